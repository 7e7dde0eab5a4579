/* Structured fields: a dictionary, a list and an item, walked to the leaves. */
#include "http/sf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk_params(slice params, struct arena *arena)
{
    struct sf_parser parser;
    struct sf_item item;
    enum sf_result result;
    slice key;

    sf_parser_init(&parser, params, arena);
    while ((result = sf_param_next(&parser, &key, &item)) == SF_ITEM)
        INVARIANT(sf_key_is_valid(key));
    INVARIANT(result == SF_END); /* they were checked before they were handed out */
}

static void walk(const struct sf_item *item, struct arena *arena)
{
    struct sf_parser parser;
    struct sf_item inner;
    enum sf_result result;

    walk_params(item->params, arena);
    if (item->type != SF_INNER)
        return;
    sf_parser_init(&parser, item->text, arena);
    while ((result = sf_inner_next(&parser, &inner)) == SF_ITEM)
        walk_params(inner.params, arena);
    INVARIANT(result == SF_END || parser.count > SF_MEMBERS_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    slice text = slice_of(data, MIN(size, 65536u)), key;
    struct sf_parser parser;
    struct sf_item item;
    struct arena arena;

    arena_init(&arena, NULL, 0, 64u << 20);
    sf_parser_init(&parser, text, &arena);
    while (sf_dict_next(&parser, &key, &item) == SF_ITEM)
        walk(&item, &arena);
    sf_parser_init(&parser, text, &arena);
    while (sf_list_next(&parser, &item) == SF_ITEM)
        walk(&item, &arena);
    if (sf_item_read(text, &arena, &item))
        walk(&item, &arena);
    slice string = sf_string(&arena, text);
    if (string.data != NULL)
        INVARIANT(sf_item_read(string, &arena, &item) && slice_eq(item.text, text));
    arena_done(&arena);
    return 0;
}
