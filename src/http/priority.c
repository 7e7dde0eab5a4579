#include "http/priority.h"

#include "http/sf.h"

static bool text_read(slice text, struct arena *arena, struct priority *priority)
{
    struct priority found = *priority;
    struct sf_parser parser;
    struct sf_item item;
    enum sf_result result;
    slice key;

    sf_parser_init(&parser, text, arena);
    while ((result = sf_dict_next(&parser, &key, &item)) == SF_ITEM) {
        if (slice_eq(key, SLICE("u")) && item.type == SF_INTEGER && item.number >= 0 && item.number <= 7)
            found.urgency = (uint8_t)item.number;
        else if (slice_eq(key, SLICE("i")) && item.type == SF_BOOLEAN)
            found.incremental = item.number != 0;
    }
    if (result == SF_END)
        *priority = found;
    return result == SF_END;
}

void priority_read(const struct fields *fields, struct arena *arena, struct priority *priority)
{
    slice text;

    if (!fields_has(fields, F_PRIORITY))
        return;
    text = fields_joined(fields, F_PRIORITY, arena);
    if (text.data != NULL)
        (void)text_read(text, arena, priority);
}

bool priority_parse(slice text, struct priority *priority)
{
    char block[512];
    struct arena arena;
    bool is_valid;

    arena_init(&arena, block, sizeof(block), 0);
    is_valid = text_read(text, &arena, priority);
    arena_done(&arena);
    return is_valid;
}
