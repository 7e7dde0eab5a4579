/* control_audit: the audit log: who changed what, and what came of it; a JSON object a line, numbered.
 *
 *   line --written--> audit.log
 *        --cannot be--> refused (control_audit_write), or owed (control_audit_add) --control_audit_turn--> audit.log
 *
 * What is owed stays in order, and is bounded: beyond OWED_BYTES_MAX lines are lost, and that is said.
 * Threads: "warp-config" writes, alone; reason, count and read: any, and none of them waits for a line that is being written.
 * Writing and reading block as long as the file system does. */
#ifndef WARP_MAIN_CONTROL_AUDIT_H
#define WARP_MAIN_CONTROL_AUDIT_H

#include "main/state_log.h"

struct control_audit;

MUST_USE err control_audit_new(const struct state *state, struct control_audit **ret_audit);
struct control_audit *control_audit_free(struct control_audit *audit);

/* Written, or on an error as if it had never been asked for. details: members of a JSON object without its braces, or
 * nothing; 1.5 KiB at most. */
MUST_USE err control_audit_write(struct control_audit *audit, slice who, const char *what, slice details);
/* Written, now or later. False: it is owed. */
bool control_audit_add(struct control_audit *audit, slice who, const char *what, slice details);
/* Tries what is owed again. False: there is still something. */
bool control_audit_turn(struct control_audit *audit);
/* A sentence on what is owed; false: nothing is. */
bool control_audit_reason(struct control_audit *audit, char *buffer, size_t size);
/* How many are owed, and how many were ever lost. Any thread. */
void control_audit_count(struct control_audit *audit, unsigned *ret_owed, uint64_t *ret_lost);
/* The first lines behind `since`; free() it. */
MUST_USE err control_audit_read(const struct control_audit *audit, uint64_t since, unsigned max, char **ret_text, size_t *ret_len);

#endif
