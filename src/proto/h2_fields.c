#include "proto/h2_fields.h"

#include "http/h1_chunked.h"

void h2_list_add(struct h2_list *list, slice name, slice value)
{
    INVARIANT(list->count < H2_FIELDS_MAX);
    list->list[list->count++] = (nghttp2_nv){
        .name = (uint8_t *)(uintptr_t)name.data,
        .value = (uint8_t *)(uintptr_t)value.data,
        .namelen = name.len,
        .valuelen = value.len,
        .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE,
    };
}

size_t h2_fields_bytes(const struct fields *fields)
{
    return fields != NULL ? fields->text_len : 0;
}

bool h2_list_copy(struct h2_list *list, const struct fields *fields, char **text)
{
    char *copy = *text;

    if (fields == NULL || fields->count == 0)
        return true;
    memcpy(copy, fields->text, fields->text_len);
    *text += fields->text_len;
    for (unsigned i = 0; i < fields->count; i++) {
        const struct field *field = &fields->list[i];
        char *at = copy + field->name_off;
        slice name = slice_of(at, field->name_len);

        if (list->count == H2_FIELDS_MAX)
            return false;
        if (field->id != F_OTHER)
            name = field_name_lower((enum field_id)field->id);
        else
            for (unsigned c = 0; c < field->name_len; c++)
                at[c] = (char)ascii_lower((unsigned char)at[c]);
        h2_list_add(list, name, slice_of(at + field->name_len + 2, field->value_len));
    }
    return true;
}

bool h2_submit_trailers(nghttp2_session *ng, int32_t stream_id, const struct fields *trailers)
{
    struct h2_list list = {.count = 0};
    char copy[TRAILER_BYTES_MAX + 2 * TRAILER_FIELDS_MAX], *text = copy; /* ": " may have been ":", CRLF have been LF */

    if (trailers->text_len > sizeof(copy) || !h2_list_copy(&list, trailers, &text))
        return false;
    for (unsigned i = 0; i < list.count; i++)
        list.list[i].flags = NGHTTP2_NV_FLAG_NONE; /* nghttp2 copies: trailers are few and rare */
    return nghttp2_submit_trailer(ng, stream_id, list.list, list.count) == 0;
}
