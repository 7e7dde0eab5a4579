/* Classes of devices, by User-Agents as browsers send them. */
#include "tenant/device.h"

static void test_classes(void **state)
{
    static const struct {
        const char *agent, *word;
    } cases[] = {
        {"", "desktop"},
        {"curl/7.88.1", "desktop"},
        {"Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0", "desktop"},
        {"Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1", "phone"},
        {"Mozilla/5.0 (Linux; Android 13; Pixel 7) AppleWebKit/537.36 Chrome/116.0 Mobile Safari/537.36", "phone"},
        {"Mozilla/5.0 (Linux; Android 13; SM-X900) AppleWebKit/537.36 Chrome/116.0 Safari/537.36", "tablet"},
        {"Mozilla/5.0 (iPad; CPU OS 16_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148", "tablet"},
        {"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "bot"},
        {"Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X) Chrome/W Mobile Safari/537.36 (compatible; Googlebot/2.1)", "bot"},
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        slice word = device_class_word(device_class_of(slice_str(cases[i].agent)));
        if (!slice_eq(word, slice_str(cases[i].word)))
            fail_msg("%s: %.*s", cases[i].agent, SLICE_ARG(word));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_classes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
