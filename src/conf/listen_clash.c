#include "conf/listen_clash.h"

#include "conf/config_internal.h"
#include "conf/document.h"

#include <arpa/inet.h>
#include <stdio.h>

#define PREFIX_BYTES 12u /* of a mapped IPv4 address */

struct address {
    slice path;     /* of a unix socket; data NULL: none */
    uint8_t ip[16]; /* IPv4 mapped */
    uint16_t port;
};

static const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff};
static const uint8_t any[16];

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

/* ---- those of a configuration ----------------------------------------------------------------------------------------- */

struct listen {
    enum config_index option;
    unsigned index; /* in its list */
    const char *text;
};

static unsigned listens_collect(const struct config *config, struct listen listens[2 * CONFIG_LIST_MAX + 1])
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

void listen_check(const struct config_build *build, const struct conf_document *document)
{
    struct listen listens[2 * CONFIG_LIST_MAX + 1];
    unsigned count = listens_collect(&build->config, listens);

    for (unsigned i = 1; i < count; i++) {
        for (unsigned before = 0; before < i; before++) {
            if (!listen_texts_clash(slice_str(listens[before].text), slice_str(listens[i].text)))
                continue;
            clash_report(build, document, &listens[before], &listens[i]);
            break; /* once for each */
        }
    }
}
