/* Names asked for, their answers and who waits for them. Asking itself is ask.c's.
 *
 *   (new) --resolve_start--> ASKING --answer, failure or 5 s--> KNOWN --expired, resolve_start--> ASKING
 *
 * A name that nobody waits for may make room for another one, the longest unused first. */
#include "net/resolve.h"
#include "net/ask.h"

#include <stdlib.h>

#define NAMES_MAX      256u
#define DEADLINE_NS    UINT64_C(5000000000)
#define TTL_MIN_S      1u
#define TTL_MAX_S      3600u
#define HOLD_NS        UINT64_C(1000000000) /* after "no such name": that long it is believed */
#define HOLD_STALE_NS  UINT64_C(5000000000) /* after a failure with a last good answer in hand */
#define NAME_BYTES_MAX 255u                 /* RFC 1035 2.3.4 */

struct resolve_name {
    struct list link; /* in resolver.names, the longest unused first */
    struct resolver *resolver;
    struct list waiting;  /* struct resolve */
    struct timer timeout; /* set while somebody waits for the answer */
    uint64_t expires_ns;
    const char *why; /* count 0 only; static */
    unsigned users;  /* resolves that point here */
    bool asking;     /* the question is with ask.c, which calls back exactly once */
    uint8_t count;
    struct os_peer addresses[RESOLVE_ADDRESSES_MAX]; /* port unused */
    char text[NAME_BYTES_MAX + 1];
};

struct resolver {
    struct loop *loop;
    struct ask *ask;
    struct list names;
    unsigned names_count;
    struct list ready; /* struct resolve: done() is due */
    struct task task;
};

/* ---- telling
 * ------------------------------------------------------------------------------------------------ */

static struct os_address address_of(const struct os_peer *peer, uint16_t port)
{
    struct os_address address = {.len = 0};

    if (peer->family == AF_INET) {
        address.len = sizeof(address.in4);
        address.in4.sin_family = AF_INET;
        address.in4.sin_port = htons(port);
        memcpy(&address.in4.sin_addr, peer->ip + 12, 4);
    } else {
        address.len = sizeof(address.in6);
        address.in6.sin6_family = AF_INET6;
        address.in6.sin6_port = htons(port);
        memcpy(&address.in6.sin6_addr, peer->ip, 16);
    }
    return address;
}

/* RFC 6761 6.3: never asked of anybody. */
static bool name_is_localhost(slice name)
{
    if (slice_ends(name, SLICE(".")))
        name.len--;
    if (name.len > 9 && slice_eq_nocase(slice_from(name, name.len - 10), SLICE(".localhost")))
        return true;
    return slice_eq_nocase(name, SLICE("localhost"));
}

/* What needs no asking; 0 for a name. IPv4 first for localhost: most test origins listen there only. */
static unsigned addresses_builtin(slice name, uint16_t port, struct os_address *ret_addresses)
{
    slice bare = name;
    err v4, v6;

    if (name.len > 2 && name.data[0] == '[' && name.data[name.len - 1] == ']')
        bare = slice_of(name.data + 1, name.len - 2);
    if (err_is_ok(os_address_from_ip(bare, port, &ret_addresses[0])))
        return 1;
    if (!name_is_localhost(name))
        return 0;
    v4 = os_address_from_ip(SLICE("127.0.0.1"), port, &ret_addresses[0]);
    v6 = os_address_from_ip(SLICE("::1"), port, &ret_addresses[1]);
    INVARIANT(err_is_ok(v4) && err_is_ok(v6));
    return 2;
}

static void resolve_tell(struct resolve *resolve)
{
    struct os_address addresses[RESOLVE_ADDRESSES_MAX];
    struct resolve_name *name = resolve->of;
    unsigned count;

    if (name == NULL) {
        count = addresses_builtin(resolve->name, resolve->port, addresses);
        resolve->done(resolve, addresses, count, count > 0 ? NULL : "too many names at once, or not a name");
        return;
    }
    count = name->count;
    for (unsigned i = 0; i < count; i++)
        addresses[i] = address_of(&name->addresses[i], resolve->port);
    resolve->of = NULL;
    name->users--;
    resolve->done(resolve, addresses, count, count > 0 ? NULL : name->why);
}

static void resolver_run(struct task *task)
{
    struct resolver *resolver = container_of(task, struct resolver, task);
    struct list now = LIST_INIT(now);
    struct list *link;

    list_splice_back(&now, &resolver->ready);
    while ((link = list_pop_front(&now)) != NULL)
        resolve_tell(container_of(link, struct resolve, link));
}

static void resolver_tell_soon(struct resolver *resolver, struct resolve *resolve)
{
    list_push_back(&resolver->ready, &resolve->link);
    loop_defer(resolver->loop, &resolver->task);
}

/* ---- names
 * ---------------------------------------------------------------------------------------------------- */

static void name_tell(struct resolve_name *name)
{
    struct resolver *resolver = name->resolver;

    loop_timer_stop(resolver->loop, &name->timeout);
    if (list_is_empty(&name->waiting))
        return;
    list_splice_back(&resolver->ready, &name->waiting);
    loop_defer(resolver->loop, &resolver->task);
}

static void name_failed(struct resolve_name *name, const char *why)
{
    uint64_t hold_ns = name->count > 0 ? HOLD_STALE_NS : HOLD_NS;

    name->why = why;
    name->expires_ns = loop_now_ns(name->resolver->loop) + hold_ns;
    name_tell(name);
}

static void name_timed_out(struct timer *timer)
{
    name_failed(container_of(timer, struct resolve_name, timeout), "timed out");
}

static void name_answered(void *arg, const struct ask_answer *answer)
{
    struct resolve_name *name = arg;
    uint32_t ttl_s = MIN(MAX(answer->ttl_s, TTL_MIN_S), TTL_MAX_S);

    name->asking = false;
    if (answer->count == 0) {
        /* "No such name" is an answer and ends the old one; a failure to ask is none and does not. */
        if (answer->is_final)
            name->count = 0;
        name_failed(name, answer->why);
        return;
    }
    name->count = (uint8_t)answer->count;
    memcpy(name->addresses, answer->addresses, answer->count * sizeof(name->addresses[0]));
    name->expires_ns = loop_now_ns(name->resolver->loop) + ttl_s * UINT64_C(1000000000);
    name_tell(name);
}

static struct resolve_name *name_find(struct resolver *resolver, slice text)
{
    /* At most 256 names, asked once per new connection to an origin: a walk is fast enough. */
    LIST_FOREACH (&resolver->names, link) {
        struct resolve_name *name = container_of(link, struct resolve_name, link);
        if (slice_eq_nocase(slice_str(name->text), text))
            return name;
    }
    return NULL;
}

static bool names_make_room(struct resolver *resolver)
{
    if (resolver->names_count < NAMES_MAX)
        return true;
    LIST_FOREACH (&resolver->names, link) {
        struct resolve_name *name = container_of(link, struct resolve_name, link);
        if (name->users > 0 || name->asking)
            continue;
        list_remove(&name->link);
        resolver->names_count--;
        free(name);
        return true;
    }
    return false;
}

static struct resolve_name *name_new(struct resolver *resolver, slice text)
{
    struct resolve_name *name;

    if (text.len == 0 || text.len > NAME_BYTES_MAX || slice_find(text, '\0') >= 0 ||
        !names_make_room(resolver))
        return NULL;
    name = calloc(1, sizeof(*name));
    if (name == NULL)
        return NULL;
    name->resolver = resolver;
    list_init(&name->link);
    list_init(&name->waiting);
    timer_init(&name->timeout, name_timed_out);
    memcpy(name->text, text.data, text.len);
    resolver->names_count++;
    return name;
}

static void name_ask(struct resolve_name *name)
{
    struct loop *loop = name->resolver->loop;

    loop_timer_set(loop, &name->timeout, loop_now_ns(loop) + DEADLINE_NS);
    if (name->asking)
        return; /* the answer to an older question may still come in time */
    name->asking = true;
    ask_start(name->resolver->ask, name->text, name_answered, name);
}

/* ---- the interface
 * ---------------------------------------------------------------------------------------------- */

err resolver_new(struct loop *loop, struct resolver **ret_resolver)
{
    struct resolver *resolver = calloc(1, sizeof(*resolver));

    ENSURE(resolver != NULL, MEMORY);
    resolver->loop = loop;
    list_init(&resolver->names);
    list_init(&resolver->ready);
    task_init(&resolver->task, resolver_run);
    resolver->ask = ask_new(loop);
    if (resolver->ask == NULL) {
        free(resolver);
        return ERR(MEMORY);
    }
    *ret_resolver = resolver;
    return ERR_OK;
}

struct resolver *resolver_free(struct resolver *resolver)
{
    if (resolver == NULL)
        return NULL;
    ask_free(resolver->ask);
    LIST_FOREACH_SAFE (&resolver->names, link) {
        struct resolve_name *name = container_of(link, struct resolve_name, link);
        loop_timer_stop(resolver->loop, &name->timeout);
        free(name);
    }
    task_cancel(&resolver->task);
    free(resolver);
    return NULL;
}

err resolver_servers_set(struct resolver *resolver, const char *servers)
{
    return ask_servers_set(resolver->ask, servers);
}

void resolve_start(struct resolver *resolver, struct resolve *resolve, slice text, uint16_t port)
{
    struct os_address builtin[RESOLVE_ADDRESSES_MAX];
    struct resolve_name *name = NULL;

    resolve->name = text;
    resolve->port = port;
    resolve->of = NULL;
    if (addresses_builtin(text, port, builtin) == 0) {
        name = name_find(resolver, text);
        if (name == NULL)
            name = name_new(resolver, text);
    }
    if (name == NULL) {
        resolver_tell_soon(resolver, resolve);
        return;
    }
    list_remove(&name->link);
    list_push_back(&resolver->names, &name->link);
    resolve->of = name;
    name->users++;
    if (name->expires_ns > loop_now_ns(resolver->loop)) {
        resolver_tell_soon(resolver, resolve);
        return;
    }
    list_push_back(&name->waiting, &resolve->link);
    if (!timer_is_set(&name->timeout))
        name_ask(name);
}

void resolve_cancel(struct resolver *resolver, struct resolve *resolve)
{
    (void)resolver;
    list_remove(&resolve->link);
    if (resolve->of != NULL)
        resolve->of->users--;
    resolve->of = NULL;
}
