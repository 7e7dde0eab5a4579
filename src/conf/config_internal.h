/* What the files of conf share: the table as data, and a configuration that is being put together.
 *
 * Sources are read from the strongest to the weakest: flags, environment, file, defaults. Every value is
 * checked, also one that a stronger source has overruled; only the strongest is kept. */
#ifndef WARP_CONF_CONFIG_INTERNAL_H
#define WARP_CONF_CONFIG_INTERNAL_H

#include "base/arena.h"
#include "conf/config.h"

enum config_kind {
    KIND_STRING,
    KIND_LIST,
    KIND_SIZE,
    KIND_DURATION,
    KIND_COUNT,
    KIND_SWITCH,
    KIND_IO,
    KIND_LEVEL
};

struct config_option {
    const char *flag; /* without dashes */
    enum config_kind kind;
    size_t offset; /* of the field in struct config */
    const char *placeholder, *dflt, *help;
};

extern const struct config_option config_options[CONFIG_OPTION_COUNT];

enum config_source {
    FROM_NOBODY,
    FROM_DEFAULT,
    FROM_FILE,
    FROM_ENVIRONMENT,
    FROM_FLAG
};

struct config_build {
    struct config config;
    struct arena *arena;                 /* its strings */
    uint8_t set_by[CONFIG_OPTION_COUNT]; /* enum config_source */
    char *message;
    size_t message_size;
};

/* The option of that name, or CONFIG_OPTION_COUNT. */
enum config_index config_option_find(slice flag);
/* One value (of a list: one item). where begins the message: "--memory", "WARP_MEMORY", "FILE:1:9: memory".
 */
MUST_USE err config_set(struct config_build *build, enum config_index option, enum config_source source,
                        slice value, const char *where);
/* Writes "where: what is wrong; what is allowed" and returns ERR_INVALID. */
MUST_USE err config_fail(struct config_build *build, const char *where, const char *format, ...) PRINTF(3, 4);
/* Text in quotes for a message, made safe and short; returns buffer. */
#define CONFIG_QUOTED_BYTES 72u
const char *config_quoted(slice text, char buffer[CONFIG_QUOTED_BYTES]);

/* What a value's text means: nothing for a string or a list's item. Else why: "is wrong; what is allowed". */
#define CONFIG_WHY_BYTES 192u
MUST_USE bool config_value_parse(enum config_index option, slice text, char why[CONFIG_WHY_BYTES],
                                 uint64_t *ret_number);

/* The settings of a YAML text. path is for messages. */
MUST_USE err config_file_parse(struct config_build *build, const char *path, slice text);

#endif
