/* Documents of texts that are at hand, and documents as one text: versions of a configuration.
 *
 * A bundle (docs/formats/config-bundle.md): a first line with checksum, then each file as a line with lengths, its path,
 * its tenant and its text. Includes are not followed again: what was included is in it. */
#include "conf/document_own.h"

#include "base/crc32c.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define BUNDLE_MAGIC     "warp-config 1 "
#define BUNDLE_CRC_CHARS 8u
#define NAME_BYTES_MAX   64u
#define PATH_BYTES_MAX   4096u

MUST_USE static err text_add(struct conf_document *document, const char *path, slice text, uint16_t *ret_file)
{
    char *copy = malloc(text.len + 1);

    ENSURE(copy != NULL, MEMORY);
    if (text.len > 0)
        memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    return conf_document_add_file(document, path, copy, text.len, ret_file);
}

MUST_USE static bool text_fits(const struct conf_document *document, const char *path, slice text, struct conf_report *report)
{
    bool fits = text.len <= CONF_FILE_BYTES_MAX && document->text_bytes + text.len <= CONF_BYTES_MAX &&
                document->file_count < CONF_FILES_MAX;

    if (!fits)
        conf_report_add(report, NULL, (struct conf_mark){0}, path,
                        "is too large; write at most 16 MiB in a file, 128 MiB in 16384 files in all");
    return fits;
}

/* ---- texts --------------------------------------------------------------------------------------------------- */

MUST_USE static err parse(struct conf_document *document, const char *path, slice text, struct conf_report *report)
{
    const struct conf_node *include;
    uint16_t file;

    ENSURE(text_fits(document, path, text, report), INVALID);
    TRY(text_add(document, path, text, &file));
    TRY(conf_document_join_file(document, file, report, &include));
    if (include != NULL)
        conf_report_add(report, document, include->key_mark, "include",
                        "nothing can be included here; write it into this text");
    return conf_document_unique(document, report);
}

err conf_document_parse(const char *path, slice text, struct conf_report *report, struct conf_document **ret_document)
{
    struct conf_document *document;
    err result;

    TRY(conf_document_new(&document));
    result = parse(document, path, text, report);
    if (err_is_ok(result))
        *ret_document = document;
    else
        conf_document_free(document);
    return result;
}

err conf_document_add_tenant(struct conf_document *document, slice name, const char *path, slice text,
                             struct conf_report *report)
{
    char *kept = arena_alloc(document->arena, name.len + 1);
    uint16_t file;

    ENSURE(kept != NULL, MEMORY);
    memcpy(kept, name.data, name.len);
    kept[name.len] = '\0'; /* as behind all texts */
    ENSURE(text_fits(document, path, text, report), INVALID);
    TRY(text_add(document, path, text, &file));
    document->files[file].tenant = slice_of(kept, name.len);
    return conf_document_join_tenant(document, file, report);
}

/* ---- bundles ------------------------------------------------------------------------------------------------- */

MUST_USE static err files_write(const struct conf_document *document, FILE *out)
{
    for (uint32_t i = 0; i < document->file_count; i++) {
        const struct conf_file *file = &document->files[i];

        fprintf(out, "%zu %zu %zu\n", strlen(file->path), file->tenant.len, file->text.len);
        fwrite(file->path, 1, strlen(file->path), out);
        if (file->tenant.len > 0)
            fwrite(file->tenant.data, 1, file->tenant.len, out);
        fwrite(file->text.data, 1, file->text.len, out);
        fputc('\n', out);
    }
    return ferror(out) ? ERR(MEMORY) : ERR_OK;
}

err conf_bundle_write(const struct conf_document *document, char **ret_bytes, size_t *ret_len)
{
    const size_t head = sizeof(BUNDLE_MAGIC) - 1 + BUNDLE_CRC_CHARS;
    char *bytes = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&bytes, &len);
    err result;

    ENSURE(out != NULL, MEMORY);
    fprintf(out, BUNDLE_MAGIC "%08x\n", 0);
    result = files_write(document, out);
    if (fclose(out) != 0 && err_is_ok(result))
        result = ERR(MEMORY);
    if (!err_is_ok(result)) {
        free(bytes);
        return result;
    }
    hex_write(bytes + head - BUNDLE_CRC_CHARS, crc32c(0, bytes + head, len - head), BUNDLE_CRC_CHARS);
    *ret_bytes = bytes;
    *ret_len = len;
    return ERR_OK;
}

/* The next number, and the byte that ends it. */
MUST_USE static bool number_read(slice *rest, char end, uint64_t max, size_t *ret_number)
{
    ptrdiff_t len = slice_find(*rest, end);
    uint64_t number;

    if (len < 0 || !slice_to_u64(slice_of(rest->data, (size_t)len), &number) || number > max)
        return false;
    *ret_number = (size_t)number;
    *rest = slice_from(*rest, (size_t)len + 1);
    return true;
}

MUST_USE static bool bytes_read(slice *rest, size_t len, slice *ret_bytes)
{
    if (len > rest->len)
        return false;
    *ret_bytes = slice_of(rest->data, len);
    *rest = slice_from(*rest, len);
    return true;
}

struct bundled {
    slice path, tenant, text;
};

MUST_USE static bool file_read(slice *rest, struct bundled *ret_file)
{
    size_t path, tenant, text;
    slice end;

    return number_read(rest, ' ', PATH_BYTES_MAX, &path) && number_read(rest, ' ', NAME_BYTES_MAX, &tenant) &&
           number_read(rest, '\n', CONF_FILE_BYTES_MAX, &text) && bytes_read(rest, path, &ret_file->path) &&
           bytes_read(rest, tenant, &ret_file->tenant) && bytes_read(rest, text, &ret_file->text) &&
           bytes_read(rest, 1, &end) && end.data[0] == '\n' && slice_find(ret_file->path, '\0') < 0;
}

MUST_USE static err file_add(struct conf_document *document, const struct bundled *bundled, struct conf_report *report)
{
    const struct conf_node *include;
    char path[PATH_BYTES_MAX + 1];
    uint16_t file;
    err result;

    snprintf(path, sizeof(path), SLICE_FMT, SLICE_ARG(bundled->path));
    ENSURE(document->file_count < CONF_FILES_MAX, CORRUPT);
    ENSURE(document->text_bytes + bundled->text.len <= CONF_BYTES_MAX, CORRUPT);
    if (bundled->tenant.len == 0) {
        TRY(text_add(document, path, bundled->text, &file));
        return conf_document_join_file(document, file, report, &include);
    }
    result = conf_document_add_tenant(document, bundled->tenant, path, bundled->text, report);
    return result.code == ERR_INVALID ? ERR_OK : result; /* is in the report */
}

MUST_USE static err bundle_read(struct conf_document *document, slice rest, struct conf_report *report)
{
    while (rest.len > 0) {
        struct bundled file;

        ENSURE(file_read(&rest, &file), CORRUPT);
        TRY(file_add(document, &file, report));
    }
    return conf_document_unique(document, report);
}

/* The lines behind the first one, when it has their checksum. */
MUST_USE static err bundle_check(slice bytes, slice *ret_rest)
{
    const size_t head = sizeof(BUNDLE_MAGIC) - 1 + BUNDLE_CRC_CHARS;
    char crc[BUNDLE_CRC_CHARS];

    ENSURE(bytes.len > head && slice_starts(bytes, SLICE(BUNDLE_MAGIC)) && bytes.data[head] == '\n', CORRUPT);
    hex_write(crc, crc32c(0, bytes.data + head, bytes.len - head), BUNDLE_CRC_CHARS);
    ENSURE(memcmp(crc, bytes.data + head - BUNDLE_CRC_CHARS, BUNDLE_CRC_CHARS) == 0, CORRUPT);
    *ret_rest = slice_from(bytes, head + 1);
    return ERR_OK;
}

err conf_bundle_read(slice bytes, struct conf_report *report, struct conf_document **ret_document)
{
    struct conf_document *document;
    slice rest;
    err result;

    TRY(bundle_check(bytes, &rest));
    TRY(conf_document_new(&document));
    result = bundle_read(document, rest, report);
    if (err_is_ok(result))
        *ret_document = document;
    else
        conf_document_free(document);
    return result;
}
