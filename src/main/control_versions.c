#include "main/control_versions.h"

#include "main/config_text.h"
#include "os/os.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define VERSION_HEAD "warp version "
#define VERSIONS_DIR "versions"

struct control_versions {
    const struct state *state;
    _Atomic uint64_t in_force;
    pthread_mutex_t lock;                          /* of the next */
    struct control_version list[CONTROL_VERSIONS]; /* the newest first */
    unsigned count;
};

/* ---- files ---------------------------------------------------------------------------------------------------------- */

void control_version_file(char file[VERSION_FILE_BYTES], uint64_t number)
{
    snprintf(file, VERSION_FILE_BYTES, VERSIONS_DIR "/%08llu", (unsigned long long)number);
}

/* The first line: "warp version NUMBER WALL_MS TENANTS", then who and what, each a line. *ret_bundle: behind them. */
static bool version_parse(slice text, struct control_version *ret_version, slice *ret_bundle)
{
    unsigned long long number;
    long long wall_ms;
    unsigned tenants;
    slice lines[3];

    for (unsigned i = 0; i < 3; i++) {
        ptrdiff_t end = slice_find(text, '\n');
        if (end < 0)
            return false;
        lines[i] = slice_of(text.data, (size_t)end);
        text = slice_from(text, (size_t)end + 1);
    }
    if (!slice_starts(lines[0], SLICE(VERSION_HEAD)) ||
        sscanf(lines[0].data, VERSION_HEAD "%20llu %20lld %10u", &number, &wall_ms, &tenants) != 3)
        return false;
    *ret_version = (struct control_version){.number = number, .wall_ms = wall_ms, .tenants = tenants};
    snprintf(ret_version->who, sizeof(ret_version->who), SLICE_FMT, (int)MIN(lines[1].len, sizeof(ret_version->who) - 1),
             lines[1].data);
    snprintf(ret_version->what, sizeof(ret_version->what), SLICE_FMT, (int)MIN(lines[2].len, sizeof(ret_version->what) - 1),
             lines[2].data);
    *ret_bundle = text;
    return true;
}

err control_version_read(const struct state *state, uint64_t number, char **ret_text, struct control_version *ret_version,
                         slice *ret_bundle)
{
    char file[VERSION_FILE_BYTES], *text;
    size_t len;

    control_version_file(file, number);
    TRY(state_read(state, file, &text, &len));
    if (!version_parse(slice_of(text, len), ret_version, ret_bundle)) {
        free(text);
        return ERR(CORRUPT);
    }
    *ret_text = text;
    return ERR_OK;
}

err control_version_text(const struct control_version *version, const struct settings *settings, char **ret_text, size_t *ret_len)
{
    char *bundle;
    size_t len;
    FILE *out;

    TRY(config_text_write(settings, &bundle, &len));
    out = open_memstream(ret_text, ret_len);
    if (out == NULL) {
        free(bundle);
        return ERR(MEMORY);
    }
    fprintf(out, VERSION_HEAD "%llu %lld %u\n%s\n%s\n", (unsigned long long)version->number, (long long)version->wall_ms,
            version->tenants, version->who, version->what);
    fwrite(bundle, 1, len, out);
    free(bundle);
    return fclose(out) == 0 ? ERR_OK : ERR(MEMORY);
}

/* ---- the list ------------------------------------------------------------------------------------------------------- */

uint64_t control_versions_in_force(const struct control_versions *versions)
{
    return atomic_load(&((struct control_versions *)(uintptr_t)versions)->in_force);
}

struct control_version control_versions_next(struct control_versions *versions, const char *who, const char *what, uint32_t tenants)
{
    struct control_version version = {.wall_ms = os_wall_ms(), .tenants = tenants};

    snprintf(version.who, sizeof(version.who), "%s", who);
    snprintf(version.what, sizeof(version.what), "%s", what);
    pthread_mutex_lock(&versions->lock);
    version.number = versions->count > 0 ? versions->list[0].number + 1 : 1;
    pthread_mutex_unlock(&versions->lock);
    return version;
}

/* In front, and the oldest goes. Under the lock. */
static void list_enter(struct control_versions *versions, const struct control_version *version, char ret_gone[VERSION_FILE_BYTES])
{
    ret_gone[0] = '\0';
    if (versions->count == CONTROL_VERSIONS)
        control_version_file(ret_gone, versions->list[--versions->count].number);
    memmove(&versions->list[1], &versions->list[0], versions->count * sizeof(*version));
    versions->list[0] = *version;
    versions->count++;
}

void control_versions_enter(struct control_versions *versions, const struct control_version *version,
                            char ret_gone[VERSION_FILE_BYTES])
{
    pthread_mutex_lock(&versions->lock);
    list_enter(versions, version, ret_gone);
    pthread_mutex_unlock(&versions->lock);
    atomic_store(&versions->in_force, version->number);
}

bool control_versions_resume(struct control_versions *versions, const struct settings *settings)
{
    struct control_version last;
    char *text = NULL, *bundle = NULL;
    slice kept = SLICE_NONE;
    size_t len = 0;
    bool is_same = versions->count > 0 &&
                   err_is_ok(control_version_read(versions->state, versions->list[0].number, &text, &last, &kept)) &&
                   err_is_ok(config_text_write(settings, &bundle, &len)) && slice_eq(kept, slice_of(bundle, len));

    if (is_same)
        atomic_store(&versions->in_force, versions->list[0].number);
    free(text);
    free(bundle);
    return is_same;
}

unsigned control_versions_list(struct control_versions *versions, struct control_version *ret_versions, unsigned max)
{
    uint64_t in_force = control_versions_in_force(versions);
    unsigned count;

    pthread_mutex_lock(&versions->lock);
    count = MIN(max, versions->count);
    memcpy(ret_versions, versions->list, count * sizeof(*ret_versions));
    pthread_mutex_unlock(&versions->lock);
    for (unsigned i = 0; i < count; i++)
        ret_versions[i].is_in_force = ret_versions[i].number == in_force;
    return count;
}

/* ---- life ----------------------------------------------------------------------------------------------------------- */

static void versions_load(struct control_versions *versions)
{
    char **names, *text, gone[VERSION_FILE_BYTES];
    struct control_version version;
    unsigned count;
    slice bundle;

    if (!err_is_ok(state_names(versions->state, VERSIONS_DIR, &names, &count)))
        return;
    for (unsigned i = 0; i < count; i++) {
        uint64_t number;
        if (!slice_to_u64(slice_str(names[i]), &number) ||
            !err_is_ok(control_version_read(versions->state, number, &text, &version, &bundle)))
            continue;
        free(text);
        list_enter(versions, &version, gone);
        if (gone[0] != '\0') {
            err removed = state_remove(versions->state, gone);
            (void)removed; /* left from before: it goes with the next start */
        }
    }
    os_dir_names_free(names, count);
}

err control_versions_new(const struct state *state, struct control_versions **ret_versions)
{
    struct control_versions *versions = calloc(1, sizeof(*versions));

    ENSURE(versions != NULL, MEMORY);
    versions->state = state;
    pthread_mutex_init(&versions->lock, NULL);
    versions_load(versions);
    *ret_versions = versions;
    return ERR_OK;
}

struct control_versions *control_versions_free(struct control_versions *versions)
{
    if (versions == NULL)
        return NULL;
    pthread_mutex_destroy(&versions->lock);
    free(versions);
    return NULL;
}
