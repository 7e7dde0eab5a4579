#include "proto/h2_session.h"

#include <stdlib.h>

#define KEEP_BYTES     (1u << 20) /* of each class, on its free list */
#define SMALLEST_BYTES 64u
#define LARGE          H2_MEMORY_CLASSES
#define KEEP_BLOCKS    64u
/* Pumping stops here: what is put at most once more still fits. */
#define FULL_BYTES (H2_OUT_BLOCKS * H2_OUT_BLOCK_BYTES - H2_FRAME_BYTES_MAX)
#define SLOW_BYTES (H2_OUT_BLOCK_BYTES - H2_FRAME_BYTES_MAX)

/* ---- memory ---------------------------------------------------------------------------------------------------- */

/* In front of each block, as nghttp2 does not say how large what it frees is. */
struct memory_head {
    uint64_t size_class; /* LARGE: of malloc */
    uint64_t bytes;      /* behind the head */
};
static_assert(sizeof(struct memory_head) == 16, "blocks are aligned as malloc's are");

#ifdef H2_MEMORY_CHECKED

/* Pools would hide from the sanitizer what nghttp2 does with memory that it has given back, and nghttp2 itself is not
 * instrumented. So every block is malloc's; freed ones are filled, wait for a while, and must not have changed then. A
 * pointer read from one leads nowhere. */
#define FREED_BYTE 0xdf

static bool is_pooled(unsigned class)
{
    (void)class;
    return false;
}

static void freed_check(struct memory_head *head)
{
    if (head == NULL)
        return;
    for (size_t i = 0; i < head->bytes; i++)
        INVARIANT(((const unsigned char *)(head + 1))[i] == FREED_BYTE);
    free(head);
}

static void memory_free(struct h2_memory *memory, struct memory_head *head)
{
    void **slot = &memory->freed[memory->freed_at++ % H2_MEMORY_FREED_MAX];

    freed_check(*slot);
    memset(head + 1, FREED_BYTE, head->bytes);
    *slot = head;
}

static void memory_done(struct h2_memory *memory)
{
    for (unsigned i = 0; i < H2_MEMORY_FREED_MAX; i++)
        freed_check(memory->freed[i]);
}

#else

static bool is_pooled(unsigned class)
{
    return class < LARGE;
}

static void memory_free(struct h2_memory *memory, struct memory_head *head)
{
    (void)memory;
    free(head);
}

static void memory_done(struct h2_memory *memory)
{
    (void)memory;
}

#endif

static void *memory_get(size_t size, void *user)
{
    struct h2_memory *memory = user;
    unsigned class;
    struct memory_head *head;

    if (size > SIZE_MAX / 2)
        return NULL;
    size += sizeof(*head);
    class = size <= SMALLEST_BYTES ? 0 : MIN(LARGE, (unsigned)(64 - __builtin_clzl((size - 1) / SMALLEST_BYTES)));
    if (!is_pooled(class))
        class = LARGE;
    head = class < LARGE ? pool_get(&memory->classes[class]) : malloc(size);
    if (head == NULL)
        return NULL;
    head->size_class = class;
    head->bytes = (class < LARGE ? (size_t)SMALLEST_BYTES << class : size) - sizeof(*head);
    return head + 1;
}

static void memory_put(void *block, void *user)
{
    struct h2_memory *memory = user;
    struct memory_head *head = block;

    if (block == NULL)
        return;
    head--;
    if (head->size_class < LARGE)
        pool_put(&memory->classes[head->size_class], head);
    else
        memory_free(memory, head);
}

static void *memory_get_zeroed(size_t count, size_t size, void *user)
{
    void *block = size == 0 || count <= SIZE_MAX / 2 / size ? memory_get(count * size, user) : NULL;

    if (block != NULL)
        memset(block, 0, count * size);
    return block;
}

static void *memory_resize(void *block, size_t size, void *user)
{
    struct memory_head *head = block;
    void *grown;

    if (block == NULL)
        return memory_get(size, user);
    head--;
    if (size <= head->bytes)
        return block;
    grown = memory_get(size, user);
    if (grown == NULL)
        return NULL;
    memcpy(grown, block, head->bytes);
    memory_put(block, user);
    return grown;
}

void h2_memory_init(struct h2_memory *memory)
{
    for (unsigned class = 0; class < LARGE; class++)
        pool_init(&memory->classes[class], SMALLEST_BYTES << class, KEEP_BYTES / (SMALLEST_BYTES << class));
    pool_init(&memory->out_pool, H2_OUT_BLOCK_BYTES, KEEP_BLOCKS);
#ifdef H2_MEMORY_CHECKED
    memset(memory->freed, 0, sizeof(memory->freed));
    memory->freed_at = 0;
#endif
    memory->mem = (nghttp2_mem){memory, memory_get, memory_put, memory_get_zeroed, memory_resize};
}

void h2_memory_done(struct h2_memory *memory)
{
    memory_done(memory);
    for (unsigned class = 0; class < LARGE; class++)
        pool_done(&memory->classes[class]);
    pool_done(&memory->out_pool);
}

/* ---- the session ------------------------------------------------------------------------------------------------ */

/* Its payload is dropped. */
static int ignore_frame(nghttp2_session *ng, void **payload, const nghttp2_frame_hd *head, void *user)
{
    (void)ng, (void)payload, (void)head, (void)user;
    return NGHTTP2_ERR_CANCEL;
}

/* nghttp2 passes over frames of other types without a word; so it says when they begin, and they can be counted. */
static void hear_of_all(nghttp2_option *option)
{
    for (unsigned type = NGHTTP2_CONTINUATION + 1; type <= UINT8_MAX; type++)
        nghttp2_option_set_user_recv_extension_type(option, (uint8_t)type);
}

nghttp2_session_callbacks *h2_session_callbacks(void)
{
    nghttp2_session_callbacks *callbacks;

    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        return NULL;
    nghttp2_session_callbacks_set_unpack_extension_callback(callbacks, ignore_frame);
    return callbacks;
}

nghttp2_option *h2_session_options(void)
{
    nghttp2_option *option;

    if (nghttp2_option_new(&option) != 0)
        return NULL;
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_http_messaging(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_max_deflate_dynamic_table_size(option, 4096);
    nghttp2_option_set_max_outbound_ack(option, 100);
    hear_of_all(option);
    nghttp2_option_set_max_send_header_block_length(option, H2_SENT_HEAD_BYTES_MAX);
    return option;
}

static void session_task(struct task *task)
{
    h2_session_pump(container_of(task, struct h2_session, task));
}

err h2_session_init(struct h2_session *session, const struct h2_session_config *config)
{
    int failed;

    memset(session, 0, sizeof(*session));
    session->net = config->net;
    session->memory = config->memory;
    session->owner = config->owner;
    session->after = config->after;
    task_init(&session->task, session_task);
    failed = config->is_server ? nghttp2_session_server_new3(&session->ng, config->callbacks, session, config->options,
                                                             &config->memory->mem)
                               : nghttp2_session_client_new3(&session->ng, config->callbacks, session, config->options,
                                                             &config->memory->mem);
    ENSURE(failed == 0, MEMORY);
    return ERR_OK;
}

void h2_session_end(struct h2_session *session)
{
    task_cancel(&session->task);
    INVARIANT(!session->is_pumping);
    nghttp2_session_del(session->ng);
    session->ng = NULL;
}

static void out_drop_first(struct h2_session *session)
{
    pool_put(&session->memory->out_pool, session->out[0].bytes);
    session->out_count--;
    memmove(session->out, session->out + 1, session->out_count * sizeof(session->out[0]));
}

void h2_session_done(struct h2_session *session)
{
    if (session->ng != NULL)
        h2_session_end(session);
    while (session->out_count > 0)
        out_drop_first(session);
}

bool h2_session_receive(struct h2_session *session, slice bytes)
{
    ssize_t used;

    session->is_pumping = true; /* what the callbacks wake leaves with the pump below */
    used = nghttp2_session_mem_recv(session->ng, (const uint8_t *)bytes.data, bytes.len);
    session->is_pumping = false;
    if (used < 0)
        session->error = (int)used;
    return used >= 0;
}

void h2_session_wake(struct h2_session *session)
{
    if (session->ng != NULL && !session->is_pumping)
        loop_defer(session->net->loop, &session->task);
}

/* ---- output ----------------------------------------------------------------------------------------------------- */

bool h2_session_has_room(const struct h2_session *session, size_t bytes)
{
    if (session->out_bytes == 0)
        return true; /* any frame fits into one block */
    return session->out_bytes + bytes <= (session->is_slow ? 1 : H2_OUT_BLOCKS) * (size_t)H2_OUT_BLOCK_BYTES;
}

static struct h2_block *out_block(struct h2_session *session)
{
    struct h2_block *block = session->out_count > 0 ? &session->out[session->out_count - 1] : NULL;

    if (block != NULL && block->end < H2_OUT_BLOCK_BYTES)
        return block;
    if (session->out_count == H2_OUT_BLOCKS)
        return NULL;
    block = &session->out[session->out_count];
    *block = (struct h2_block){.bytes = pool_get(&session->memory->out_pool)};
    if (block->bytes == NULL)
        return NULL;
    session->out_count++;
    return block;
}

bool h2_session_put(struct h2_session *session, const void *data, size_t len)
{
    const char *at = data;

    while (len > 0) {
        struct h2_block *block = out_block(session);
        uint32_t n;
        if (block == NULL)
            return false;
        n = (uint32_t)MIN(len, (size_t)(H2_OUT_BLOCK_BYTES - block->end));
        memcpy(block->bytes + block->end, at, n);
        block->end += n;
        session->out_bytes += n;
        at += n;
        len -= n;
    }
    return true;
}

static void out_send(struct h2_session *session)
{
    for (unsigned i = 0; i < session->out_count; i++) {
        const struct h2_block *block = &session->out[i];
        session->iov[i] = (struct iovec){block->bytes + block->start, block->end - block->start};
    }
    session->sending = true;
    net_send(session->net, session->iov, session->out_count, false);
}

/* Frames into blocks, until there are no more or the blocks are full. */
static void out_fill(struct h2_session *session)
{
    uint32_t full = session->is_slow ? SLOW_BYTES : FULL_BYTES;

    while (session->out_bytes < full) {
        const uint8_t *data;
        ssize_t len = nghttp2_session_mem_send(session->ng, &data);

        if (len == 0)
            return;
        if (len < 0 || !h2_session_put(session, data, (size_t)len)) {
            session->failed = true;
            return;
        }
    }
}

void h2_session_pump(struct h2_session *session)
{
    if (session->ng == NULL || session->is_pumping)
        return;
    task_cancel(&session->task);
    if (!session->sending) {
        session->is_pumping = true;
        out_fill(session);
        session->is_pumping = false;
        if (session->out_count > 0)
            out_send(session);
    }
    session->after(session); /* the last: the session may be over behind it */
}

bool h2_session_sent(struct h2_session *session, int32_t result)
{
    uint32_t left = result > 0 ? (uint32_t)result : 0;

    session->sending = false;
    if (result <= 0)
        return false;
    session->moved_bytes += left;
    session->is_slow = left < session->out_bytes;
    session->out_bytes -= left;
    while (left > 0) {
        struct h2_block *block = &session->out[0];
        uint32_t n = MIN(left, block->end - block->start);
        block->start += n;
        left -= n;
        if (block->start == block->end)
            out_drop_first(session);
    }
    if (session->out_bytes > 0)
        out_send(session);
    else
        h2_session_pump(session);
    return true;
}

bool h2_session_is_flushed(const struct h2_session *session)
{
    return session->out_bytes == 0 && (session->ng == NULL || !nghttp2_session_want_write(session->ng));
}
