#include "os/sim/image.h"

#include "os/sim/world.h"

#include <stdlib.h>

/* ---- pages -------------------------------------------------------------------------------------------------- */

static struct image_page *page_ref(struct image_page *page)
{
    if (page != NULL)
        page->refs++;
    return page;
}

static void page_unref(struct image_page *page)
{
    if (page != NULL && --page->refs == 0)
        free(page);
}

/* With what is in that one; NULL: zeros. */
static struct image_page *page_new(const struct image_page *like, uint64_t number)
{
    struct image_page *page = malloc(sizeof(*page));

    INVARIANT(page != NULL);
    if (like != NULL)
        memcpy(page->bytes, like->bytes, sizeof(page->bytes));
    else
        memset(page->bytes, 0, sizeof(page->bytes));
    page->refs = 1;
    page->number = number;
    return page;
}

/* Takes over the reference. */
static void page_set(struct image_page **place, struct image_page *page)
{
    page_unref(*place);
    *place = page;
}

/* ---- an image ----------------------------------------------------------------------------------------------- */

void image_init(struct image *image)
{
    *image = (struct image){0};
    list_init(&image->loose);
}

static void write_free(struct image_write *write)
{
    list_remove(&write->link);
    for (uint32_t i = 0; i < write->page_count; i++)
        page_unref(write->pages[i]);
    free(write);
}

static void loose_free(struct image *image)
{
    while (!list_is_empty(&image->loose))
        write_free(container_of(list_first(&image->loose), struct image_write, link));
}

static void pages_clear(struct image *image, enum image_state state, uint64_t from)
{
    for (uint64_t i = from; i < image->page_room; i++)
        page_set(&image->states[state][i], NULL);
}

void image_done(struct image *image)
{
    loose_free(image);
    for (unsigned state = 0; state < IMAGE_STATES; state++) {
        pages_clear(image, state, 0);
        free(image->states[state]);
    }
    image_init(image);
}

static void room_make(struct image *image, uint64_t pages)
{
    uint64_t room = MAX(pages, image->page_room + image->page_room / 2);

    if (pages <= image->page_room)
        return;
    for (unsigned state = 0; state < IMAGE_STATES; state++) {
        image->states[state] = realloc(image->states[state], room * sizeof(*image->states[state]));
        INVARIANT(image->states[state] != NULL);
        memset(image->states[state] + image->page_room, 0, (room - image->page_room) * sizeof(*image->states[state]));
    }
    image->page_room = room;
}

static struct image_write *write_new(uint64_t number, uint64_t at, uint32_t size)
{
    uint32_t count = (uint32_t)((at + size - 1) / IMAGE_PAGE_BYTES - at / IMAGE_PAGE_BYTES + 1);
    struct image_write *write = malloc(sizeof(*write) + count * sizeof(write->pages[0]));

    INVARIANT(write != NULL);
    *write = (struct image_write){.number = number, .at = at, .size = size, .page_count = count};
    list_init(&write->link);
    return write;
}

void image_copy(struct image *to, const struct image *from)
{
    image_done(to);
    *to = *from;
    list_init(&to->loose);
    to->page_room = 0;
    memset(to->states, 0, sizeof(to->states));
    room_make(to, from->page_room);
    for (unsigned state = 0; state < IMAGE_STATES; state++)
        for (uint64_t i = 0; i < from->page_room; i++)
            to->states[state][i] = page_ref(from->states[state][i]);
    LIST_FOREACH (&from->loose, link) {
        const struct image_write *write = container_of(link, struct image_write, link);
        struct image_write *own = write_new(write->number, write->at, write->size);
        own->told = write->told;
        for (uint32_t i = 0; i < write->page_count; i++)
            own->pages[i] = page_ref(write->pages[i]);
        list_push_back(&to->loose, &own->link);
    }
}

/* Bytes behind the end are zeros, in the last page too: a file that grows again shows no old ones. */
static void tail_clear(struct image *image, enum image_state state)
{
    uint64_t end = image->size / IMAGE_PAGE_BYTES, used = image->size % IMAGE_PAGE_BYTES;

    if (used == 0 || end >= image->page_room || image->states[state][end] == NULL)
        return;
    struct image_page *page = page_new(image->states[state][end], image->states[state][end]->number);
    memset(page->bytes + used, 0, IMAGE_PAGE_BYTES - used);
    page_set(&image->states[state][end], page);
}

static void state_cut(struct image *image, enum image_state state)
{
    uint64_t pages = (image->size + IMAGE_PAGE_BYTES - 1) / IMAGE_PAGE_BYTES;

    pages_clear(image, state, pages);
    tail_clear(image, state);
}

/* A later write of the page may be there already. */
static void page_settle(struct image *image, uint64_t page, struct image_page *from)
{
    struct image_page **place = &image->states[IMAGE_MEDIUM][page];

    if (*place == NULL || (*place)->number <= from->number)
        page_set(place, page_ref(from));
}

static void write_settle(struct image *image, struct image_write *write)
{
    for (uint32_t i = 0; i < write->page_count; i++)
        page_settle(image, write->at / IMAGE_PAGE_BYTES + i, write->pages[i]);
    write_free(write);
}

static void loose_settle(struct image *image)
{
    while (!list_is_empty(&image->loose))
        write_settle(image, container_of(list_first(&image->loose), struct image_write, link));
}

/* The room for a cut or a longer file is the file system's own business, which its journal keeps; the length reaches the
 * medium with the next sync. */
void image_resize(struct image *image, uint64_t size)
{
    bool is_cut = size < image->size;

    image->is_there = true;
    image->size = size;
    room_make(image, (size + IMAGE_PAGE_BYTES - 1) / IMAGE_PAGE_BYTES);
    if (!is_cut)
        return;
    loose_settle(image);
    state_cut(image, IMAGE_NOW);
    state_cut(image, IMAGE_MEDIUM);
}

void image_remove(struct image *image)
{
    bool keeps_before = image->keeps_before;

    image_done(image);
    image->keeps_before = keeps_before;
}

/* ---- reading and writing ------------------------------------------------------------------------------------ */

void image_read(const struct image *image, enum image_state state, uint64_t at, uint32_t size, void *ret_bytes)
{
    char *to = ret_bytes;

    while (size > 0) {
        uint64_t page = at / IMAGE_PAGE_BYTES, offset = at % IMAGE_PAGE_BYTES;
        uint32_t part = MIN(size, (uint32_t)(IMAGE_PAGE_BYTES - offset));
        const struct image_page *from = page < image->page_room ? image->states[state][page] : NULL;
        if (from != NULL)
            memcpy(to, from->bytes + offset, part);
        else
            memset(to, 0, part);
        to += part;
        at += part;
        size -= part;
    }
}

/* The page that begins there, with those bytes in it as far as they reach into it. */
static struct image_page *page_patched(const struct image_page *like, uint64_t number, uint64_t begin, uint64_t at,
                                       const char *bytes, uint32_t size)
{
    uint64_t from = MAX(begin, at), to = MIN(begin + IMAGE_PAGE_BYTES, at + size);
    struct image_page *made = page_new(like, number);

    memcpy(made->bytes + (from - begin), bytes + (from - at), to - from);
    return made;
}

uint64_t image_write(struct image *image, uint64_t at, const void *bytes, uint32_t size)
{
    struct image_write *write = write_new(++image->writes, at, size);
    uint64_t first = at / IMAGE_PAGE_BYTES;

    room_make(image, first + write->page_count);
    image->size = MAX(image->size, at + size);
    for (uint32_t i = 0; i < write->page_count; i++) {
        struct image_page **now = &image->states[IMAGE_NOW][first + i];
        write->pages[i] = page_patched(*now, write->number, (first + i) * IMAGE_PAGE_BYTES, at, bytes, size);
        if (image->keeps_before)
            page_set(&image->states[IMAGE_BEFORE][first + i], page_ref(*now));
        page_set(now, page_ref(write->pages[i]));
    }
    list_push_back(&image->loose, &write->link);
    return write->number;
}

static void page_poke(struct image_page **place, uint64_t page, uint64_t at, const void *bytes, uint32_t size)
{
    uint64_t number = *place != NULL ? (*place)->number : 0;

    page_set(place, page_patched(*place, number, page * IMAGE_PAGE_BYTES, at, bytes, size));
}

void image_poke(struct image *image, uint64_t at, const void *bytes, uint32_t size)
{
    uint64_t first = at / IMAGE_PAGE_BYTES, last = (at + size - 1) / IMAGE_PAGE_BYTES;

    room_make(image, last + 1);
    for (uint64_t page = first; page <= last; page++) {
        page_poke(&image->states[IMAGE_NOW][page], page, at, bytes, size);
        page_poke(&image->states[IMAGE_MEDIUM][page], page, at, bytes, size);
    }
    LIST_FOREACH (&image->loose, link) {
        struct image_write *write = container_of(link, struct image_write, link);
        for (uint32_t i = 0; i < write->page_count; i++) {
            uint64_t page = write->at / IMAGE_PAGE_BYTES + i;
            if (page >= first && page <= last)
                page_poke(&write->pages[i], page, at, bytes, size);
        }
    }
}

/* ---- tearing ------------------------------------------------------------------------------------------------- */

/* Which parts of a write got through: the first ones, or any. */
struct tear {
    uint32_t unit;
    uint32_t first; /* so many parts; UINT32_MAX: any */
    unsigned percent;
};

static struct tear tear_of(uint32_t size)
{
    struct tear tear = {.unit = world_chance(50) ? IMAGE_SECTOR_BYTES : IMAGE_PAGE_BYTES, .first = UINT32_MAX};

    if (world_chance(50))
        tear.first = (uint32_t)world_random(size / tear.unit + 1);
    else
        tear.percent = 10 + (unsigned)world_random(81);
    return tear;
}

static bool tear_keeps(const struct tear *tear, uint32_t offset)
{
    return tear->first != UINT32_MAX ? offset / tear->unit < tear->first : world_chance(tear->percent);
}

void image_write_torn(struct image *image, uint64_t at, const char *bytes, uint32_t size)
{
    struct tear tear = tear_of(size);

    for (uint32_t i = 0; i < size; i += tear.unit)
        if (tear_keeps(&tear, i))
            (void)image_write(image, at + i, bytes + i, MIN(tear.unit, size - i));
}

void image_overlay_torn(char *into, const char *bytes, uint32_t size)
{
    struct tear tear = tear_of(size);

    for (uint32_t i = 0; i < size; i += tear.unit)
        if (tear_keeps(&tear, i))
            memcpy(into + i, bytes + i, MIN(tear.unit, size - i));
}

/* ---- to the medium ------------------------------------------------------------------------------------------- */

void image_tell(struct image *image, uint64_t number)
{
    for (struct list *link = image->loose.prev; link != &image->loose; link = link->prev) {
        struct image_write *write = container_of(link, struct image_write, link);
        if (write->number == number) {
            write->told = ++image->tellings;
            return;
        }
    }
}

void image_tell_all(struct image *image)
{
    image->tellings++;
    LIST_FOREACH (&image->loose, link)
        container_of(link, struct image_write, link)->told = image->tellings;
}

static void write_settle_torn(struct image *image, struct image_write *write)
{
    struct tear tear = tear_of(write->size);

    for (uint32_t i = 0; i < write->page_count; i++) {
        uint64_t page = write->at / IMAGE_PAGE_BYTES + i;
        struct image_page *old = image->states[IMAGE_MEDIUM][page];
        struct image_page *made = page_new(old, write->pages[i]->number);
        for (uint32_t at = 0; at < IMAGE_PAGE_BYTES; at += tear.unit)
            if (tear_keeps(&tear, i * IMAGE_PAGE_BYTES + at))
                memcpy(made->bytes + at, write->pages[i]->bytes + at, tear.unit);
        page_settle(image, page, made);
        page_unref(made);
    }
    write_free(write);
}

static void size_settle(struct image *image)
{
    image->is_there_on_medium = image->is_there;
    image->size_on_medium = image->size;
    state_cut(image, IMAGE_MEDIUM);
}

void image_sync(struct image *image, uint64_t told)
{
    LIST_FOREACH_SAFE (&image->loose, link) {
        struct image_write *write = container_of(link, struct image_write, link);
        if ((write->told != 0 && write->told <= told) || world_chance(50))
            write_settle(image, write);
    }
    size_settle(image);
}

void image_sync_fail(struct image *image, uint64_t told)
{
    LIST_FOREACH_SAFE (&image->loose, link) {
        struct image_write *write = container_of(link, struct image_write, link);
        unsigned fate = (unsigned)world_random(3);
        if (write->told == 0 || write->told > told || fate == 0)
            continue;
        if (fate == 1)
            write_settle(image, write);
        else
            write_free(write); /* marked clean: no later sync will bring it there */
    }
}

/* ---- power ---------------------------------------------------------------------------------------------------- */

enum loss {
    LOSS_NONE,
    LOSS_ALL,
    LOSS_FROM, /* all from one write on, that one torn */
    LOSS_ANY,
    LOSS_KINDS
};

static void loose_lose(struct image *image)
{
    enum loss loss = (enum loss)world_random(LOSS_KINDS + 2); /* the last one thrice as often */
    uint64_t count = 0, i = 0, from;

    LIST_FOREACH (&image->loose, link)
        count++;
    from = world_random(count + 1);
    LIST_FOREACH_SAFE (&image->loose, link) {
        struct image_write *write = container_of(link, struct image_write, link);
        unsigned fate = loss == LOSS_NONE   ? 0
                        : loss == LOSS_ALL  ? 2
                        : loss == LOSS_FROM ? (i < from ? 0 : i == from ? 1 : 2)
                                            : (unsigned)world_random(3);
        i++;
        world_trace(TRACE_DISK_LOSS, write->number, fate);
        if (fate == 0)
            write_settle(image, write);
        else if (fate == 1)
            write_settle_torn(image, write);
        else
            write_free(write);
    }
}

void image_lose_power(struct image *image)
{
    loose_lose(image);
    if (!image->is_there_on_medium && world_chance(50)) {
        image_remove(image);
        return;
    }
    if (image->is_there_on_medium && image->size_on_medium != image->size && world_chance(50))
        image->size = image->size_on_medium;
    size_settle(image);
    for (uint64_t i = 0; i < image->page_room; i++)
        page_set(&image->states[IMAGE_NOW][i], page_ref(image->states[IMAGE_MEDIUM][i]));
}
