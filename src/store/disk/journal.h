#ifndef WARP_STORE_DISK_JOURNAL_H
#define WARP_STORE_DISK_JOURNAL_H
#include "store/purge.h"
struct journal;
uint64_t journal_forgotten(const struct journal *journal);
struct journal *journal_free(struct journal *journal);
bool journal_append(struct journal *journal, const struct purge_entry *entry);
uint32_t journal_next_write(struct journal *journal, void *bytes, uint32_t size, uint64_t *ret_at);
void journal_written(struct journal *journal);
void journal_forget(struct journal *journal, uint64_t up_to_seq);
#endif
