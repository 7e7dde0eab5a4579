/* Where a client command asks: the text of --admin as an address, and TLS for https://. */
#include "main/client.h"

#include "net/resolve.h"
#include "os/process.h"

#include <stdio.h>

#define PORT_HTTPS 443u

static const char *given(const char *flag, const char *variable)
{
    const char *value = flag != NULL ? flag : os_environment(variable);

    return value != NULL && value[0] != '\0' ? value : NULL;
}

/* ---- https://HOST[:PORT] -------------------------------------------------------------------------------------------- */

struct asking {
    struct loop *loop;
    struct resolve resolve;
    struct os_address address;
    bool found;
};

static void asking_done(struct resolve *resolve, const struct os_address *addresses, unsigned count, const char *why)
{
    struct asking *asking = container_of(resolve, struct asking, resolve);

    (void)why;
    asking->found = count > 0;
    if (count > 0)
        asking->address = addresses[0];
    loop_stop(asking->loop);
}

static bool host_resolve(slice host, uint16_t port, struct os_address *ret_address)
{
    const struct loop_config config = {.os.io = OS_IO_EPOLL};
    struct resolver *resolver = NULL;
    struct asking asking = {.resolve.done = asking_done};

    if (!err_is_ok(loop_new(&config, &asking.loop)))
        return false;
    if (err_is_ok(resolver_new(asking.loop, &resolver))) {
        resolve_start(resolver, &asking.resolve, host, port);
        loop_run(asking.loop);
        resolver_free(resolver);
    }
    loop_free(asking.loop);
    if (asking.found)
        *ret_address = asking.address;
    return asking.found;
}

/* The name (without brackets) and the port of HOST[:PORT], [V6][:PORT]. */
static bool authority_split(slice text, slice *ret_host, uint16_t *ret_port)
{
    ptrdiff_t end = slice_starts(text, SLICE("[")) ? slice_find(text, ']') : -1, colon;
    slice rest = end >= 0 ? slice_from(text, (size_t)end + 1) : text;
    uint64_t port = PORT_HTTPS;

    colon = slice_find(rest, ':');
    if (colon >= 0 && (!slice_to_u64(slice_from(rest, (size_t)colon + 1), &port) || port == 0 || port > UINT16_MAX))
        return false;
    if (end >= 0 && rest.len > 0 && colon != 0)
        return false;
    if (end >= 0)
        *ret_host = slice_of(text.data + 1, (size_t)end - 1);
    else
        *ret_host = colon >= 0 ? slice_of(rest.data, (size_t)colon) : rest;
    *ret_port = (uint16_t)port;
    return ret_host->len > 0;
}

static int tls_prepare(const struct client_where *where, struct client_target *target)
{
    struct net_tls_options options = {
        .ca_file = given(where->admin_ca, "WARP_ADMIN_CA"),
        .cert_file = given(where->admin_client_cert, "WARP_ADMIN_CLIENT_CERT"),
        .key_file = given(where->admin_client_key, "WARP_ADMIN_CLIENT_KEY"),
        .verify = true,
    };
    char message[512];

    if ((options.cert_file == NULL) != (options.key_file == NULL)) {
        fprintf(stderr, "warp: --admin-client-cert and --admin-client-key belong together\n");
        return EXIT_USAGE;
    }
    if (err_is_ok(net_tls_config_new(&options, message, sizeof(message), &target->tls)))
        return EXIT_DONE;
    fprintf(stderr, "warp: %s\n", message);
    return EXIT_USAGE;
}

static int https_find(const struct client_where *where, slice authority, struct client_target *target)
{
    uint16_t port;

    if (slice_ends(authority, SLICE("/")))
        authority.len--;
    if (!authority_split(authority, &target->name, &port)) {
        fprintf(stderr, "warp: https://" SLICE_FMT " is no address; write --admin https://HOST:PORT\n", SLICE_ARG(authority));
        return EXIT_USAGE;
    }
    if (!err_is_ok(os_address_from_ip(target->name, port, &target->address)) &&
        !host_resolve(target->name, port, &target->address)) {
        fprintf(stderr, "warp: " SLICE_FMT " has no address\n", SLICE_ARG(target->name));
        return EXIT_FAILED;
    }
    return tls_prepare(where, target);
}

/* ---- all forms -------------------------------------------------------------------------------------------------------- */

/* As the listener's own flag reads, where ":8080" is every address of the host: here it is this host. */
static int plain_find(const char *admin, struct client_target *target)
{
    char local[64];
    const char *text = admin;

    if (admin[0] == ':') {
        snprintf(local, sizeof(local), "127.0.0.1%s", admin);
        text = local;
    }
    if (err_is_ok(os_address_parse(slice_str(text), &target->address)))
        return EXIT_DONE;
    fprintf(stderr, "warp: %s is no address; write --admin 127.0.0.1:8080, [::1]:8080, unix:/path or https://HOST:PORT\n", admin);
    return EXIT_USAGE;
}

int client_target_find(const struct client_where *where, const char *admin, struct client_target *ret_target)
{
    slice text = slice_str(admin);

    *ret_target = (struct client_target){0};
    if (slice_starts(text, SLICE("https://")))
        return https_find(where, slice_from(text, sizeof("https://") - 1), ret_target);
    if (slice_starts(text, SLICE("http://")))
        admin += sizeof("http://") - 1;
    return plain_find(admin, ret_target);
}

void client_target_done(struct client_target *target)
{
    target->tls = net_tls_config_unref(target->tls);
}
