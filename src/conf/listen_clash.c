#include "conf/listen_clash.h"

#include "conf/config_internal.h"
#include "conf/document.h"

#include <arpa/inet.h>
#include <stdio.h>

#define PREFIX_BYTES 12u /* of a mapped IPv4 address */
#define LISTENS_MAX  (2u * CONFIG_LIST_MAX + 1u)

struct address {
    slice path;     /* of a unix socket; data NULL: none */
    uint8_t ip[16]; /* IPv4 mapped */
    uint16_t port;
};

static const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff};
static const uint8_t any[16];
static const uint8_t loopback4[16] = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1};
static const uint8_t loopback6[16] = {[15] = 1};

/* ---- addresses; as os_address_parse takes them ------------------------------------------------------------------- */

MUST_USE static bool ip_parse(slice text, uint8_t ip[16])
{
    char host[INET6_ADDRSTRLEN];
    bool has_brackets = text.len > 2 && text.data[0] == '[' && text.data[text.len - 1] == ']';

    if (has_brackets)
        text = slice_of(text.data + 1, text.len - 2);
    if (text.len >= sizeof(host) || slice_find(text, '\0') >= 0)
        return false;
    snprintf(host, sizeof(host), SLICE_FMT, SLICE_ARG(text));
    memcpy(ip, has_brackets ? any : mapped, 16);
    return has_brackets ? inet_pton(AF_INET6, host, ip) == 1 : text.len == 0 || inet_pton(AF_INET, host, ip + PREFIX_BYTES) == 1;
}

MUST_USE static bool address_parse(slice text, struct address *ret_address)
{
    struct address address = {.path = SLICE_NONE};
    slice host = text;
    uint64_t port;

    if (slice_starts(text, SLICE("unix:"))) {
        *ret_address = (struct address){.path = slice_from(text, 5)};
        return true;
    }
    while (host.len > 0 && host.data[host.len - 1] != ':')
        host.len--;
    if (host.len == 0 || !slice_to_u64(slice_from(text, host.len), &port) || port > UINT16_MAX)
        return false;
    host.len--;
    if (host.len > 0 && !ip_parse(host, address.ip)) /* a port alone: [::] */
        return false;
    address.port = (uint16_t)port;
    *ret_address = address;
    return true;
}

static bool is_ipv4(const struct address *address)
{
    return memcmp(address->ip, mapped, PREFIX_BYTES) == 0;
}

/* Every address of b is one of a's. */
static bool holds(const struct address *a, const struct address *b)
{
    return memcmp(a->ip, b->ip, 16) == 0 || memcmp(a->ip, any, 16) == 0 || (memcmp(a->ip, mapped, 16) == 0 && is_ipv4(b));
}

/* sun_path */
#define UNIX_PATH_BYTES_MAX 107u

bool listen_text_is_address(slice text)
{
    struct address address;

    if (!address_parse(text, &address))
        return false;
    return address.path.data == NULL || (address.path.len > 0 && address.path.len <= UNIX_PATH_BYTES_MAX);
}

bool listen_texts_clash(slice a, slice b)
{
    struct address one, other;

    if (!address_parse(a, &one) || !address_parse(b, &other) || (one.path.data == NULL) != (other.path.data == NULL))
        return false;
    if (one.path.data != NULL)
        return slice_eq(one.path, other.path);
    return one.port != 0 && one.port == other.port && (holds(&one, &other) || holds(&other, &one));
}

/* ---- origins: where they lead to, as far as the text says it --------------------------------------------------------- */

/* http://host:port, https://host, h2c://host:port, host:port; false: a name that others must look up, or no origin. */
MUST_USE static bool origin_address_parse(slice text, slice *ret_host, uint16_t *ret_port)
{
    bool is_https = slice_starts(text, SLICE("https://"));
    uint64_t port = is_https ? 443 : 80;
    slice rest = text;

    if (is_https)
        rest = slice_from(rest, 8);
    else if (slice_starts(rest, SLICE("http://")))
        rest = slice_from(rest, 7);
    else if (slice_starts(rest, SLICE("h2c://")))
        rest = slice_from(rest, 6);
    if (slice_ends(rest, SLICE("/")))
        rest.len--;
    *ret_host = rest;
    for (size_t at = rest.len; at > 0 && rest.data[at - 1] != ']'; at--) {
        if (rest.data[at - 1] != ':')
            continue;
        *ret_host = slice_of(rest.data, at - 1);
        if (!slice_to_u64(slice_from(rest, at), &port) || port > UINT16_MAX)
            return false;
        break;
    }
    *ret_port = (uint16_t)port;
    return ret_host->len > 0;
}

/* RFC 6761 6.3: with or without the dot at its end. */
static bool is_localhost(slice host)
{
    if (slice_ends(host, SLICE(".")))
        host.len--;
    return slice_eq_nocase(host, SLICE("localhost")) ||
           (host.len > 10 && slice_eq_nocase(slice_from(host, host.len - 10), SLICE(".localhost")));
}

static bool is_loopback(const uint8_t ip[16])
{
    return memcmp(ip, loopback6, 16) == 0 || (memcmp(ip, mapped, PREFIX_BYTES) == 0 && ip[PREFIX_BYTES] == 127);
}

static bool is_wildcard(const uint8_t ip[16])
{
    return memcmp(ip, any, 16) == 0 || memcmp(ip, mapped, 16) == 0;
}

/* Who connects to ip is let in there. Which addresses besides are this machine's the text does not say: a listener of all of
 * them is found on the loopback ones. */
static bool is_reached(const struct address *listen, const uint8_t ip[16])
{
    struct address to = {.port = listen->port};

    memcpy(to.ip, ip, 16);
    return memcmp(listen->ip, ip, 16) == 0 || (is_wildcard(listen->ip) && is_loopback(ip) && holds(listen, &to));
}

bool listen_text_reached(slice listen_text, slice origin)
{
    struct address listen;
    uint8_t ip[16];
    uint16_t port;
    slice host;

    if (!address_parse(listen_text, &listen) || listen.path.data != NULL || !origin_address_parse(origin, &host, &port) ||
        listen.port == 0 || listen.port != port)
        return false;
    if (!is_localhost(host)) {
        if (!ip_parse(host, ip))
            return false;
        if (!is_wildcard(ip)) /* those lead to the loopback addresses */
            return is_reached(&listen, ip);
    }
    return is_reached(&listen, loopback4) || is_reached(&listen, loopback6);
}

/* ---- those of a configuration ----------------------------------------------------------------------------------------- */

struct listen {
    enum config_index option;
    unsigned index; /* in its list */
    const char *text;
};

static unsigned listens_collect(const struct config *config, struct listen listens[LISTENS_MAX])
{
    unsigned count = 0;

    for (unsigned i = 0; i < config->listen.count; i++)
        listens[count++] = (struct listen){CONFIG_listen, i, config->listen.items[i]};
    for (unsigned i = 0; i < config->listen_tls.count; i++)
        listens[count++] = (struct listen){CONFIG_listen_tls, i, config->listen_tls.items[i]};
    if (config->admin != NULL)
        listens[count++] = (struct listen){CONFIG_admin, 0, config->admin};
    return count;
}

const char *listen_of_origin(const struct config *config, slice origin, const char **ret_name)
{
    struct listen listens[LISTENS_MAX];
    unsigned count = listens_collect(config, listens);

    for (unsigned i = 0; i < count; i++) {
        if (!listen_text_reached(slice_str(listens[i].text), origin))
            continue;
        *ret_name = config_options[listens[i].option].flag;
        return listens[i].text;
    }
    return NULL;
}

/* As whoever wrote it knows it. */
static const char *name_of(const struct config_build *build, const struct listen *listen, char name[CONFIG_NAME_BYTES])
{
    return config_name_of(listen->option, (enum config_source)build->set_by[listen->option], name);
}

static struct conf_mark mark_of(const struct config_build *build, const struct conf_document *document, const struct listen *listen)
{
    const struct conf_node *node = NULL;

    if (build->set_by[listen->option] == FROM_FILE)
        node = conf_node_get(document->root, slice_str(config_options[listen->option].flag));
    if (node != NULL && node->kind == CONF_LIST) {
        node = node->first;
        for (unsigned i = 0; i < listen->index && node != NULL; i++)
            node = node->next;
    }
    return node != NULL ? node->mark : (struct conf_mark){0};
}

/* Said where it can be changed: at the later one, unless nobody wrote that. */
static void clash_report(const struct config_build *build, const struct conf_document *document, const struct listen *one,
                         const struct listen *other)
{
    bool is_default = build->set_by[other->option] == FROM_DEFAULT;
    const struct listen *at = is_default ? one : other, *with = is_default ? other : one;
    bool is_of_file = build->set_by[at->option] == FROM_FILE;
    char where[CONFIG_NAME_BYTES], name[CONFIG_NAME_BYTES];

    conf_report_add(
        build->report, is_of_file ? document : NULL, mark_of(build, document, at), name_of(build, at, where),
        "%s cannot be listened on beside %s %s: one is the other, or part of it; write another port, or another address", at->text,
        name_of(build, with, name), with->text);
}

/* Those at the top; the tenants' are settings_check's. */
static void origins_check(const struct config_build *build, const struct conf_document *document)
{
    const struct config *config = &build->config;

    for (unsigned i = 0; i < config->origin.count; i++) {
        const struct listen at = {CONFIG_origin, i, config->origin.items[i]};
        bool is_of_file = build->set_by[CONFIG_origin] == FROM_FILE;
        const char *name, *own = listen_of_origin(config, slice_str(at.text), &name);
        char where[48];

        if (own != NULL)
            conf_report_add(build->report, is_of_file ? document : NULL, mark_of(build, document, &at), name_of(build, &at, where),
                            "%s" LISTEN_IS_OWN, at.text, name, own);
    }
}

void listen_check(const struct config_build *build, const struct conf_document *document)
{
    struct listen listens[LISTENS_MAX];
    unsigned count = listens_collect(&build->config, listens);

    for (unsigned i = 1; i < count; i++) {
        for (unsigned before = 0; before < i; before++) {
            if (!listen_texts_clash(slice_str(listens[before].text), slice_str(listens[i].text)))
                continue;
            clash_report(build, document, &listens[before], &listens[i]);
            break; /* once for each */
        }
    }
    origins_check(build, document);
}
