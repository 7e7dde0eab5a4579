/* The settings file: any bytes give settings or a message, nothing else. */
#include "conf/config.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static slice input;

static err read_input(const char *path, size_t max, char **ret_bytes, size_t *ret_len)
{
    char *copy;

    (void)path;
    ENSURE(input.len <= max, LIMIT);
    copy = malloc(input.len + 1);
    ENSURE(copy != NULL, MEMORY);
    if (input.len > 0)
        memcpy(copy, input.data, input.len);
    copy[input.len] = '\0';
    *ret_bytes = copy;
    *ret_len = input.len;
    return ERR_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char message[CONFIG_MESSAGE_BYTES] = "";
    err result;

    input = slice_of(data, size);
    result = config_check_file("fuzz.yaml", read_input, message, sizeof(message));
    INVARIANT(err_is_ok(result) || message[0] != '\0'); /* a refusal says what is wrong */
    return 0;
}
