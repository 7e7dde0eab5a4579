/* config: what `warp run` was told, from flags, environment, file and defaults, in that order of weight.
 * Pure text and numbers: addresses are parsed by whoever opens them. Strings belong to the config. */
#ifndef WARP_CONF_CONFIG_H
#define WARP_CONF_CONFIG_H

#include "base/err.h"
#include "base/log.h"
#include "base/slice.h"

#define CONFIG_LIST_MAX 64u
#define CONFIG_CACHE_DIRS_MAX 16u
#define CONFIG_CACHE_SIZE_MIN (UINT64_C(16) << 20)

struct config_list {
    const char *items[CONFIG_LIST_MAX];
    unsigned count;
};

enum config_io { CONFIG_IO_AUTO, CONFIG_IO_URING, CONFIG_IO_EPOLL };

/* flag, kind, field, placeholder, default text, help. Kinds: STRING, LIST, SIZE, DURATION, COUNT, SWITCH, IO, LEVEL. */
#define CONFIG_OPTIONS(X)                                                                                    \
    X("config", STRING, config_file, "FILE", NULL, "read settings from FILE (YAML: the names of these flags)") \
    X("listen", LIST, listen, "ADDR", "127.0.0.1:8000", "serve HTTP here; may be repeated")                  \
    X("listen-tls", LIST, listen_tls, "ADDR", NULL, "serve HTTPS here; may be repeated") \
    X("cert", STRING, cert, "FILE", NULL, "certificate of --listen-tls with its chain (PEM); for all clients that --cert-dir has none for")              \
    X("key", STRING, key, "FILE", NULL, "private key of --cert (PEM)")                \
    X("cert-dir", STRING, cert_dir, "DIR", NULL, "certificates chosen by server name: NAME.crt and NAME.key, or NAME/fullchain.pem and NAME/privkey.pem") \
    X("acme-dir", STRING, acme_dir, "DIR", NULL, "answer /.well-known/acme-challenge/TOKEN from DIR/TOKEN, or from DIR as a web root")         \
    X("origin", LIST, origin, "URL", NULL, "where content comes from (http, https, h2c); may be repeated; default: the demo origin") \
    X("origin-ca", STRING, origin_ca, "FILE", NULL, "trust https origins by these certificates; default: the system's") \
    X("origin-cert", STRING, origin_cert, "FILE", NULL, "certificate shown to https origins that ask for one (with --origin-key)") \
    X("origin-key", STRING, origin_key, "FILE", NULL, "its private key")                                     \
    X("origin-name", STRING, origin_name, "NAME", NULL, "server name sent to https origins and verified; default: the URL's") \
    X("origin-insecure", SWITCH, origin_insecure, "", NULL, "do not verify https origins: anybody on the way can read and change everything") \
    X("origin-http1", SWITCH, origin_http1, "", NULL, "keep to HTTP/1.1 with https origins")                 \
    X("origin-host", STRING, origin_host, "NAME", NULL, "Host to send to the origin; default: the client's") \
    X("admin", STRING, admin, "ADDR", "127.0.0.1:8080", "health, metrics, API and dashboard")                \
    X("admin-cert", STRING, admin_cert, "FILE", NULL, "certificate of the admin listener, which then speaks TLS (PEM)")     \
    X("admin-key", STRING, admin_key, "FILE", NULL, "private key of --admin-cert (PEM)")       \
    X("admin-client-ca", STRING, admin_client_ca, "FILE", NULL, "clients of the admin listener must show a certificate of these authorities (PEM)") \
    X("admin-token-file", STRING, admin_token_file, "FILE", NULL, "token for changes; default: made once, in the cache directory") \
    X("cache-dir", LIST, cache_dir, "DIR", NULL, "where the disk tier is: a directory, or a block device; none: RAM only; may be repeated; default: /var/cache/warp, else ~/.cache/warp") \
    X("state-dir", STRING, state_dir, "DIR", NULL, "what must outlive a restart beside the cache: tenants made by the API, versions of the configuration, tokens, the audit log; default: state in the first cache directory, with --cache-dir none where the admin token is") \
    X("cache-size", SIZE, cache_size, "SIZE", "2g", "of all --cache-dir that are directories, from 16m on (block devices are used whole); and what --memory is at most by default") \
    X("cache-write-rate", SIZE, cache_write_rate, "SIZE", "0", "bytes a second that each device of the disk tier may be written on average; 0: no budget") \
    X("memory", SIZE, memory, "SIZE", NULL, "cap of the RAM tier; 0 turns it off; default: a quarter of the memory, 1g at most") \
    X("workers", COUNT, workers, "N", NULL, "event loops; default: one per usable core")                     \
    X("io", IO, io, "auto|uring|epoll", "auto", "I/O backend; auto: io_uring where the kernel permits it")                \
    X("access-log", STRING, access_log, "FILE|-|off", "off", "one JSON line per request")                    \
    X("log-level", LEVEL, log_level, "LEVEL", "info", "error, warn, info or debug, on standard error")       \
    X("metrics-tenants", COUNT, metrics_tenants, "N", "1000", "tenants with numbers of their own in /metrics: those with the most requests; all others are one, other; 0: none has") \
    X("metrics-auth", SWITCH, metrics_auth, "", NULL, "/metrics wants a token with the right to read for all tenants: it has the names and the traffic of all") \
    X("no-websocket", SWITCH, no_websocket, "", NULL, "refuse to pass WebSocket upgrades")                   \
    X("cache-status-key", SWITCH, cache_status_key, "", NULL, "show key and detail in Cache-Status")         \
    X("max-connections-per-ip", COUNT, max_connections_per_ip, "N", "1024", "per IPv4 address or IPv6 /64; 0: no limit") \
    X("drain-timeout", DURATION, drain_timeout_ms, "TIME", "30s", "how long requests under way may take at the end")

#define CONFIG_TYPE_STRING   const char *
#define CONFIG_TYPE_LIST     struct config_list
#define CONFIG_TYPE_SIZE     uint64_t /* bytes */
#define CONFIG_TYPE_DURATION uint64_t /* ms */
#define CONFIG_TYPE_COUNT    uint32_t
#define CONFIG_TYPE_SWITCH   bool
#define CONFIG_TYPE_IO       enum config_io
#define CONFIG_TYPE_LEVEL    enum log_level

struct config {
#define X(flag, kind, field, placeholder, dflt, help) CONFIG_TYPE_##kind field;
    CONFIG_OPTIONS(X)
#undef X
    uint32_t given[2]; /* a bit per option, in the order of the table: somebody set it */
    void *owned;       /* its strings, of whoever made it (settings_free) */
};

enum config_index {
#define X(flag, kind, field, placeholder, dflt, help) CONFIG_##field,
    CONFIG_OPTIONS(X)
#undef X
        CONFIG_OPTION_COUNT
};

static inline bool config_is_given(const struct config *config, enum config_index option)
{
    return (config->given[option / 32] >> (option % 32)) & 1;
}

static inline bool config_has_access_log(const struct config *config)
{
    return config->access_log != NULL && strcmp(config->access_log, "off") != 0;
}

const char *config_flag(enum config_index option); /* without dashes */

/* "512", "64k", "256m", "2g", "1t": binary multiples, either case. */
MUST_USE bool config_parse_size(slice text, uint64_t *ret_bytes);
/* "250ms", "30s", "5m", "2h", "7d", "1w", up to CONFIG_DURATION_MS_MAX. The unit is always written. */
#define CONFIG_DURATION_MS_MAX (UINT64_C(36500) * 86400000) /* a hundred years: in ns it still fits 64 bits */
MUST_USE bool config_parse_duration(slice text, uint64_t *ret_ms);

/* The table as help text, to stdout: flags with placeholder, default and explanation. */
void config_print_options(void);
/* The known flag nearest to a misspelled one (without dashes), or NULL when none is near. */
const char *config_nearest(const char *flag);
/* The same among other words: the flags of a client command, the commands. */
const char *config_nearest_of(const char *word, const char *const *words, unsigned count);

#endif
