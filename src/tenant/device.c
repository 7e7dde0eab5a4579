#include "tenant/device.h"

#define AGENT_BYTES_MAX 1024u /* of it are looked at */

static const slice words[] = {
#define X(name, word) {word, sizeof(word) - 1},
    DEVICE_CLASSES(X)
#undef X
};

slice device_class_word(enum device_class device)
{
    return words[device];
}

static bool has(slice text, const char *word)
{
    slice w = slice_str(word);

    for (size_t i = 0; i + w.len <= text.len; i++)
        if (slice_eq_nocase(slice_of(text.data + i, w.len), w))
            return true;
    return false;
}

/* Crawlers first: they name the browsers they pretend to be. Android without "Mobile" is a tablet, as Android's own
 * documentation of WebView's User-Agent has it. */
enum device_class device_class_of(slice user_agent)
{
    slice agent = slice_of(user_agent.data, MIN(user_agent.len, AGENT_BYTES_MAX));

    if (has(agent, "bot") || has(agent, "crawl") || has(agent, "spider") || has(agent, "slurp"))
        return DEVICE_BOT;
    if (has(agent, "ipad") || has(agent, "tablet") || has(agent, "kindle") || has(agent, "silk/"))
        return DEVICE_TABLET;
    if (has(agent, "android"))
        return has(agent, "mobile") ? DEVICE_PHONE : DEVICE_TABLET;
    if (has(agent, "iphone") || has(agent, "ipod") || has(agent, "mobile"))
        return DEVICE_PHONE;
    return DEVICE_DESKTOP;
}
