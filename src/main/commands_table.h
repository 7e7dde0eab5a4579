/* commands_table: the commands of the binary, written once: warp help, --help, shell completions and man pages come from here.
 *
 * Rows stand in the order in which they are shown. In shell completions a placeholder FILE or DIR completes as one. */
#ifndef WARP_MAIN_COMMANDS_TABLE_H
#define WARP_MAIN_COMMANDS_TABLE_H

/* name, function, whom it asks (NOBODY, a running WARP's ADMIN), what it does ("": help does not list it) */
#define COMMANDS(X)                                                                                                    \
    X("run", cmd_run, NOBODY, "serve, with the cache in between")                                                      \
    X("origin", cmd_origin, NOBODY, "the demo origin alone")                                                           \
    X("check", cmd_check, NOBODY, "validate files of settings")                                                        \
    X("purge", cmd_purge, ADMIN, "make stored answers unusable")                                                       \
    X("purges", cmd_purges, ADMIN, "who purged what, and when")                                                        \
    X("stats", cmd_stats, ADMIN, "numbers of a running WARP")                                                          \
    X("tenants", cmd_tenants, ADMIN, "whose sites are served: limits, usage, changes")                                 \
    X("tokens", cmd_tokens, ADMIN, "who may ask the API, and for what")                                                \
    X("reload", cmd_reload, ADMIN, "read the configuration's files again")                                             \
    X("config", cmd_config, ADMIN, "versions of the configuration: what changed, and back")                            \
    X("audit", cmd_audit, ADMIN, "who changed what")                                                                   \
    X("completion", cmd_completion, NOBODY, "print the completions of a shell")                                        \
    X("version", cmd_version, NOBODY, "print the version")                                                             \
    X("help", cmd_help, NOBODY, "this text, or that of a command")                                                     \
    X("reference", cmd_reference, NOBODY, "")

/* command, arguments, what that does ("": what the command does) */
#define COMMAND_FORMS(X)                                                                                               \
    X("run", "[OPTION]...", "")                                                                                        \
    X("origin", "[--listen ADDR]", "")                                                                                 \
    X("check", "[--json] FILE...", "- is standard input")                                                                                 \
    X("purge", "URL", "all variants of one URL; without a scheme, http and https both")                                \
    X("purge", "--tag T", "what carries the tag in Surrogate-Key or Cache-Tag")                                        \
    X("purge", "--prefix P", "what begins so: http://host/path/ with the / at its end")                                \
    X("purge", "--host H", "a host, or host:port")                                                                     \
    X("purge", "--group G --host H", "a group of Cache-Groups, of URL's or H's origin")                                \
    X("purge", "--everything", "all of it")                                                                            \
    X("purges", "", "the newest 100, or --limit N; with --since those behind that purge, the oldest first")            \
    X("stats", "[--tenant NAME]", "")                                                                                  \
    X("tenants", "[list]", "all of them")                                                                              \
    X("tenants", "show NAME", "one, with its configuration")                                                           \
    X("tenants", "set NAME FILE", "make or change one: FILE is the value of tenants.NAME, in YAML or JSON; - is standard input") \
    X("tenants", "delete NAME", "with all that is stored for it")                                                      \
    X("tokens", "[list]", "all of them, without their texts")                                                          \
    X("tokens", "create --name N --right R", "its text is printed, this once")                                         \
    X("tokens", "revoke ID", "by its id or name")                                                                      \
    X("reload", "", "")                                                                                                \
    X("config", "[versions]", "those that are kept, the newest first")                                                 \
    X("config", "show [N]", "the text of one; the one in force where none is named")                                   \
    X("config", "diff A [B]", "what is different in B, or in the one in force")                                        \
    X("config", "rollback N", "in force again until the next reload, also after a restart")                            \
    X("audit", "[--since N] [--limit N]", "all of it, the oldest first; with --limit the newest, or the next behind --since")    \
    X("completion", "bash", "source <(warp completion bash)")                                                          \
    X("completion", "zsh", "source <(warp completion zsh)")                                                            \
    X("completion", "fish", "warp completion fish | source")                                                           \
    X("version", "", "")                                                                                               \
    X("help", "[COMMAND]", "")

/* command, flag, placeholder (NULL: a switch), what it means */
#define COMMAND_FLAGS(X)                                                                                               \
    X("origin", "listen", "ADDR", "where; default 127.0.0.1:8001")                                                     \
    X("check", "json", NULL, "for scripts")                                                                            \
    X("purge", "tag", "T", "purge what carries this tag; may be repeated")                                             \
    X("purge", "prefix", "P", "purge what begins so")                                                                  \
    X("purge", "host", "H", "purge what is of this host")                                                              \
    X("purge", "group", "G", "purge what is of this group; with URL or --host, whose it is")                           \
    X("purge", "tenant", "NAME", "of this tenant; default: the URL's")                                                 \
    X("purge", "everything", NULL, "purge all")                                                                        \
    X("purge", "soft", NULL, "make it stale only")                                                                     \
    X("purge", "refresh", NULL, "with --soft: fetch again what is asked for often")                                    \
    X("purge", "dry-run", NULL, "only say what it would match")                                                        \
    X("purge", "json", NULL, "for scripts")                                                                            \
    X("purges", "since", "SEQ", "only those behind this purge")                                                        \
    X("purges", "limit", "N", "how many at most; default: 100")                                                        \
    X("purges", "tenant", "NAME", "of this tenant alone")                                                              \
    X("purges", "json", NULL, "for scripts")                                                                           \
    X("stats", "tenant", "NAME", "of this tenant alone")                                                               \
    X("stats", "json", NULL, "for scripts")                                                                            \
    X("tenants", "dry-run", NULL, "set: only say whether it could be")                                                 \
    X("tenants", "create", NULL, "set: only where there is none of that name yet")                                     \
    X("tenants", "if-match", "ETAG", "set, delete: only while it is what this ETag says (tenants show)")               \
    X("tenants", "json", NULL, "for scripts")                                                                          \
    X("tokens", "name", "N", "create: for people, and for logs")                                                       \
    X("tokens", "right", "R", "create: read, purge, configure or admin; may be repeated")                              \
    X("tokens", "tenant", "NAME", "create: for this tenant alone; may be repeated; default: all")                      \
    X("tokens", "expires", "TIME", "create: from now: 12h, 30d; default: never")                                       \
    X("tokens", "json", NULL, "for scripts")                                                                           \
    X("reload", "json", NULL, "for scripts")                                                                           \
    X("config", "json", NULL, "for scripts")                                                                           \
    X("audit", "since", "N", "only what came behind this number")                                                      \
    X("audit", "limit", "N", "how many at most; default: all")                                                         \
    X("audit", "json", NULL, "for scripts: a JSON object a line")

/* command, flag, the words that it knows: for completions */
#define FLAG_WORDS(X)                                                                                                  \
    X("run", "io", "auto uring epoll")                                                                                 \
    X("run", "access-log", "- off")                                                                                    \
    X("run", "cache-dir", "none")                                                                                      \
    X("run", "log-level", "error warn info debug")                                                                     \
    X("tokens", "right", "read purge configure admin")

/* Of every command that asks a running WARP. */
#define CLIENT_FLAGS(X)                                                                                                \
    X("admin", "ADDR", admin, "where it listens: 127.0.0.1:8080 (default), unix:/path or https://HOST:PORT; also WARP_ADMIN") \
    X("admin-token-file", "FILE", admin_token_file, "the token; default: WARP_TOKEN, then the file that the server made") \
    X("cache-dir", "DIR", cache_dir, "where the server may have left its token")                                       \
    X("admin-ca", "FILE", admin_ca, "https: trust these certificates; default: the system's")                          \
    X("admin-client-cert", "FILE", admin_client_cert, "https: a certificate to show")                                  \
    X("admin-client-key", "FILE", admin_client_key, "https: its private key")

/* command, what to type, what it does */
#define COMMAND_EXAMPLES(X)                                                                                            \
    X("run", "warp run --listen :80 --origin https://www.example.org", "in front of a site")                           \
    X("run", "warp run --config /etc/warp.yaml", "as a file says")                                                     \
    X("check", "warp check /etc/warp.yaml", "before a reload")                                                         \
    X("purge", "warp purge https://www.example.org/news/", "one page, with all its variants")                          \
    X("purge", "warp purge --tag article-17 --tenant shop", "what carries a tag, of one tenant")                       \
    X("purge", "warp purge --prefix www.example.org/img/ --soft --refresh", "stale, and fetched again while it is asked for") \
    X("purges", "warp purges --tenant shop --limit 20", "its last twenty")                                             \
    X("stats", "warp stats --tenant shop --json", "numbers of one tenant, for a script")                               \
    X("tenants", "warp tenants set shop shop.yaml --create", "make a tenant of a file")                                \
    X("tenants", "warp tenants show shop", "its limits, usage and configuration")                                      \
    X("tokens", "warp tokens create --name ci --right purge --tenant shop --expires 30d", "for a deployment that purges") \
    X("tokens", "warp tokens revoke ci", "and away with it")                                                           \
    X("reload", "warp check /etc/warp.yaml && warp reload", "only what is fine")                                       \
    X("config", "warp config diff 11 12", "what the last change was")                                                  \
    X("config", "warp config rollback 11", "and back")                                                                 \
    X("audit", "warp audit --since 100", "what happened since")                                                        \
    X("completion", "warp completion bash > /etc/bash_completion.d/warp", "for everybody on the machine")

/* code, meaning */
#define COMMAND_EXITS(X)                                                                                               \
    X(0, "done")                                                                                                       \
    X(1, "failed at run time: nobody answers, or it was refused")                                                      \
    X(2, "usage or configuration: nothing was done")

#endif
