/* Many certificates, found by name. */
#include "net/tls_identity.h"

#include "base/hash.h"
#include "base/log.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define PATH_BYTES       4096u
#define CERTIFICATES_MAX 65536u

/* ---- the table of names ------------------------------------------------------------------------------------------ */

static struct identity_name *table_slot(const struct net_identity *identity, slice name)
{
    uint64_t at = hash64(name, identity->seed);

    for (;; at++) {
        struct identity_name *slot = &identity->table[at & (identity->table_size - 1)];
        if (slot->name.len == 0 || slice_eq(slot->name, name))
            return slot;
    }
}

/* Where two of a kind have the name, the one that is good for longer: an old file beside its renewal does no harm. */
static void name_offer(struct identity_name *name, struct tls_certificate *certificate)
{
    struct tls_certificate **place = &name->certificates[certificate->kind];

    if (*place == NULL || (*place)->expires_s < certificate->expires_s)
        *place = certificate;
}

static void table_offer(struct net_identity *identity, slice name, struct tls_certificate *certificate)
{
    struct identity_name *slot = table_slot(identity, name);

    if (slot->name.len == 0)
        slot->name = name;
    name_offer(slot, certificate);
}

/* Is a name of a certificate, which may be a wildcard, one of its owner's? */
static bool is_owned(const struct net_identity_file *only, slice name)
{
    for (unsigned i = 0; only != NULL && i < only->host_count; i++) {
        slice host = only->hosts[i];
        if (slice_eq(host, name) || (slice_starts(host, SLICE("*.")) && slice_ends(name, slice_from(host, 1))))
            return true;
    }
    return only == NULL;
}

/* Hosts that a wildcard of the certificate covers: the wildcard itself may be good for others' hosts too. */
MUST_USE static err table_offer_hosts(struct net_identity *identity, unsigned at)
{
    const struct net_identity_file *only = identity->only[at];

    for (unsigned i = 0; only != NULL && i < only->host_count; i++) {
        char *copy;
        if (slice_starts(only->hosts[i], SLICE("*.")) || !certificate_is_for(identity->certificates[at], only->hosts[i]))
            continue;
        copy = strndup(only->hosts[i].data, only->hosts[i].len);
        ENSURE(copy != NULL, MEMORY);
        identity->host_names[identity->host_name_count++] = copy;
        table_offer(identity, slice_str(copy), identity->certificates[at]);
    }
    return ERR_OK;
}

MUST_USE static err table_new(struct net_identity *identity)
{
    unsigned names = 1, hosts = 0;

    for (unsigned i = 0; i < identity->count; i++) {
        names += identity->certificates[i]->name_count;
        hosts += identity->only[i] != NULL ? identity->only[i]->host_count : 0;
    }
    for (identity->table_size = 4; identity->table_size < 2 * (names + hosts);)
        identity->table_size *= 2;
    identity->table = calloc(identity->table_size, sizeof(*identity->table));
    identity->host_names = calloc(hosts + 1, sizeof(*identity->host_names));
    ENSURE(identity->table != NULL && identity->host_names != NULL, MEMORY);
    os_entropy(&identity->seed, sizeof(identity->seed));
    return ERR_OK;
}

MUST_USE static err table_fill(struct net_identity *identity)
{
    TRY(table_new(identity));
    for (unsigned i = 0; i < identity->count; i++) {
        struct tls_certificate *certificate = identity->certificates[i];
        for (unsigned n = 0; n < certificate->name_count; n++)
            if (is_owned(identity->only[i], slice_str(certificate->names[n])))
                table_offer(identity, slice_str(certificate->names[n]), certificate);
        TRY(table_offer_hosts(identity, i));
        identity->has_ocsp = identity->has_ocsp || certificate->ocsp != NULL;
    }
    return ERR_OK;
}

static const struct identity_name *table_find(const struct net_identity *identity, slice name)
{
    const struct identity_name *slot = table_slot(identity, name);

    return slot->name.len > 0 ? slot : NULL;
}

const struct identity_name *identity_find(const struct net_identity *identity, slice name)
{
    char lower[SERVER_NAME_BYTES_MAX + 1];
    const struct identity_name *found = NULL;
    ptrdiff_t dot;

    if (name.len > 0 && name.len < SERVER_NAME_BYTES_MAX && identity->has_dir) {
        for (size_t i = 0; i < name.len; i++)
            lower[i + 1] = (char)ascii_lower((unsigned char)name.data[i]);
        name.data = lower + 1;
        found = table_find(identity, name);
        dot = slice_find(name, '.');
        if (found == NULL && dot > 0) {
            char *star = lower + dot; /* over the last byte of the label that it stands for */
            *star = '*';
            found = table_find(identity, slice_of(star, name.len - (size_t)dot + 1));
        }
    }
    if (found != NULL)
        return found;
    for (unsigned kind = 0; kind < CERTIFICATE_KIND_COUNT; kind++)
        if (identity->others.certificates[kind] != NULL)
            return &identity->others;
    return NULL;
}

/* ---- files ---------------------------------------------------------------------------------------------------------- */

MUST_USE static err identity_add(struct net_identity *identity, struct certificate_reader *reader, const char *path,
                                 const char *key_path, struct tls_certificate **ret_certificate)
{
    if (identity->count == CERTIFICATES_MAX)
        return certificate_fail(reader, "%s: the certificate after %u others; no more than that are taken", path,
                                CERTIFICATES_MAX);
    if (identity->count == identity->room) {
        unsigned room = MAX(16u, 2 * identity->room);
        struct tls_certificate **grown = realloc(identity->certificates, room * sizeof(struct tls_certificate *));
        ENSURE(grown != NULL, MEMORY);
        identity->certificates = grown;
        const struct net_identity_file **only = realloc(identity->only, room * sizeof(*only));
        ENSURE(only != NULL, MEMORY);
        identity->only = only;
        identity->room = room;
    }
    TRY(certificate_read(reader, path, key_path, ret_certificate));
    identity->only[identity->count] = NULL;
    identity->certificates[identity->count++] = *ret_certificate;
    return ERR_OK;
}

PRINTF(2, 3) MUST_USE static bool path_make(char path[PATH_BYTES], const char *format, ...)
{
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(path, PATH_BYTES, format, args);
    va_end(args);
    return len > 0 && (size_t)len < PATH_BYTES;
}

static bool file_is_there(const char *path)
{
    unsigned mode;
    size_t len;
    char *text;
    err result = os_file_read_named(path, 0, &text, &len, &mode);

    if (err_is_ok(result))
        free(text);
    return result.code != ERR_NOT_FOUND && !(result.code == ERR_SYSTEM && result.sys == ENOTDIR);
}

static bool name_is_listed(char *const *names, unsigned count, const char *name)
{
    unsigned low = 0, high = count;

    while (low < high) {
        unsigned middle = (low + high) / 2;
        int order = strcmp(names[middle], name);
        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

MUST_USE static err dir_add(struct net_identity *identity, struct certificate_reader *reader, const char *path,
                            const char *key_path)
{
    struct tls_certificate *certificate;

    TRY(identity_add(identity, reader, path, key_path, &certificate));
    if (certificate->name_count == 0)
        return certificate_fail(reader, "%s: no server name in it (subjectAltName), so that nobody can ask for it; leave it out",
                                path);
    return ERR_OK;
}

/* NAME.crt or NAME.pem with NAME.key (or the key in the same file); NAME/fullchain.pem with NAME/privkey.pem, as certbot
 * leaves them. NAME.issuer.crt, which lego leaves beside, is nobody's. */
MUST_USE static err dir_entry(struct net_identity *identity, struct certificate_reader *reader, const char *dir,
                              char *const *names, unsigned count, const char *name)
{
    slice text = slice_str(name);
    int stem = (int)text.len - 4;
    char path[PATH_BYTES], key[PATH_BYTES], key_name[PATH_BYTES];

    if (slice_ends(text, SLICE(".issuer.crt")) || slice_ends(text, SLICE(".key")) || slice_ends(text, SLICE(".ocsp")))
        return ERR_OK;
    if (slice_ends(text, SLICE(".crt")) || slice_ends(text, SLICE(".pem"))) {
        if (!path_make(path, "%s/%s", dir, name) || !path_make(key_name, "%.*s.key", stem, name) ||
            !path_make(key, "%s/%s", dir, key_name))
            return certificate_fail(reader, "%s: the path of a file in it is too long", dir);
        return dir_add(identity, reader, path, name_is_listed(names, count, key_name) ? key : NULL);
    }
    if (!path_make(path, "%s/%s/fullchain.pem", dir, name) || !path_make(key, "%s/%s/privkey.pem", dir, name))
        return certificate_fail(reader, "%s: the path of a file in it is too long", dir);
    return file_is_there(path) ? dir_add(identity, reader, path, key) : ERR_OK;
}

MUST_USE static err dir_read(struct net_identity *identity, struct certificate_reader *reader, const char *dir)
{
    char **names;
    unsigned count;
    err result = os_dir_names(dir, &names, &count);

    if (!err_is_ok(result))
        return certificate_fail(reader, "%s: the directory of certificates cannot be read: %s", dir, err_text(result));
    for (unsigned i = 0; err_is_ok(result) && i < count; i++)
        result = dir_entry(identity, reader, dir, names, count, names[i]);
    os_dir_names_free(names, count);
    return result;
}

MUST_USE static err files_read(struct net_identity *identity, struct certificate_reader *reader,
                               const struct net_identity_options *options)
{
    for (unsigned i = 0; i < options->file_count; i++) {
        const struct net_identity_file *file = &options->files[i];
        struct tls_certificate *certificate;
        TRY(identity_add(identity, reader, file->cert_file, file->key_file, &certificate));
        identity->only[identity->count - 1] = file;
    }
    return ERR_OK;
}

MUST_USE static err client_ca_read(struct net_identity *identity, struct certificate_reader *reader, const char *path)
{
    identity->client_ca = X509_STORE_new();
    ENSURE(identity->client_ca != NULL, MEMORY);
    identity->client_ca_names = SSL_load_client_CA_file(path);
    if (identity->client_ca_names == NULL || X509_STORE_load_file(identity->client_ca, path) != 1)
        return certificate_fail(reader, "%s: no certificates of client authorities in it; write them in PEM form", path);
    return ERR_OK;
}

MUST_USE static err identity_read(struct net_identity *identity, struct certificate_reader *reader,
                                  const struct net_identity_options *options)
{
    struct tls_certificate *certificate;

    if (options->cert_file != NULL) {
        TRY(identity_add(identity, reader, options->cert_file, options->key_file, &certificate));
        identity->others.certificates[certificate->kind] = certificate;
    }
    if (options->cert_dir != NULL)
        TRY(dir_read(identity, reader, options->cert_dir));
    TRY(files_read(identity, reader, options));
    if (identity->count == 0 && options->cert_dir == NULL)
        return certificate_fail(reader, "no certificate is named; give a file with its key, or a directory");
    /* Not an error: the first certificate may be on its way, by ACME over the plain listener. */
    if (identity->count == 0)
        log_warn("%s: no certificate in it yet (NAME.crt with NAME.key, or NAME/fullchain.pem with NAME/privkey.pem): every "
                 "TLS handshake is refused", options->cert_dir);
    if (options->client_ca_file != NULL)
        TRY(client_ca_read(identity, reader, options->client_ca_file));
    return table_fill(identity);
}

err net_identity_new(const struct net_identity_options *options, char *message, size_t message_size,
                     struct net_identity **ret_identity)
{
    struct net_identity *identity = calloc(1, sizeof(*identity));
    struct certificate_reader *reader = NULL;
    err result = ERR(MEMORY);

    INVARIANT(message_size > 0);
    snprintf(message, message_size, "out of memory");
    if (identity != NULL) {
        atomic_init(&identity->refs, 1);
        identity->h2 = options->h2;
        identity->has_dir = options->cert_dir != NULL || options->file_count > 0;
        result = certificate_reader_new(message, message_size, &reader);
    }
    if (err_is_ok(result))
        result = identity_read(identity, reader, options);
    certificate_reader_free(reader);
    if (identity != NULL) {
        free(identity->only); /* the files are the caller's, for this call */
        identity->only = NULL;
    }
    ERR_clear_error();
    if (!err_is_ok(result)) {
        net_identity_unref(identity);
        return result;
    }
    message[0] = '\0';
    *ret_identity = identity;
    return ERR_OK;
}

struct net_identity *net_identity_ref(struct net_identity *identity)
{
    atomic_fetch_add_explicit(&identity->refs, 1, memory_order_relaxed);
    return identity;
}

struct net_identity *net_identity_unref(struct net_identity *identity)
{
    if (identity == NULL || atomic_fetch_sub(&identity->refs, 1) > 1)
        return NULL;
    for (unsigned i = 0; i < identity->count; i++)
        certificate_unref(identity->certificates[i]);
    sk_X509_NAME_pop_free(identity->client_ca_names, X509_NAME_free);
    X509_STORE_free(identity->client_ca);
    free(identity->certificates);
    for (unsigned i = 0; i < identity->host_name_count; i++)
        free(identity->host_names[i]);
    free(identity->host_names);
    free(identity->only);
    free(identity->table);
    free(identity);
    return NULL;
}

bool net_identity_certificate(const struct net_identity *identity, unsigned at, const char **ret_name, int64_t *ret_expires_s)
{
    if (at >= identity->count)
        return false;
    *ret_name = identity->certificates[at]->path;
    *ret_expires_s = identity->certificates[at]->expires_s;
    return true;
}
