/* What the files of conf share: the table as data, and a configuration that is being put together.
 *
 * Sources are read from the strongest to the weakest: flags, environment, file, defaults. Every value is
 * checked, also one that a stronger source has overruled; only the strongest is kept. */
#ifndef WARP_CONF_CONFIG_INTERNAL_H
#define WARP_CONF_CONFIG_INTERNAL_H

#include "base/arena.h"
#include "conf/config.h"
#include "conf/document_own.h"

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
    struct conf_report *report;
    const char *unknown_variable;
};

/* Where a value was written. */
struct config_place {
    const struct conf_document *document; /* NULL: a flag, a variable */
    struct conf_mark mark;
    const char *where; /* "--memory", "WARP_MEMORY", "memory" */
};

/* The option of that name, or CONFIG_OPTION_COUNT. */
enum config_index config_option_find(slice flag);
/* As whoever wrote it knows it: "--listen", "WARP_LISTEN", "listen". */
#define CONFIG_NAME_BYTES 48u
const char *config_name_of(enum config_index option, enum config_source source, char name[CONFIG_NAME_BYTES]);
/* One value (of a list: one item). ERR_INVALID: it is not one, which is in the report. */
MUST_USE err config_set(struct config_build *build, enum config_index option, enum config_source source, slice value,
                        const struct config_place *place);

/* In this order; problems are in the report, errors are others. */
MUST_USE err config_begin(struct config_build *build, struct conf_report *report);
MUST_USE err config_read_flags(struct config_build *build, int argc, char *const *argv);
MUST_USE err config_read_environment(struct config_build *build, char *const *environment);
MUST_USE err config_read_defaults(struct config_build *build);
void config_done(struct config *config);

/* What a value's text means: nothing for a string or a list's item. Else why: "is wrong; what is allowed". */
#define CONFIG_WHY_BYTES 256u
MUST_USE bool config_value_parse(enum config_index option, slice text, char why[CONFIG_WHY_BYTES],
                                 uint64_t *ret_number);

#endif
