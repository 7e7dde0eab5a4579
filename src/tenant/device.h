/* device: the class of a client's device, from its User-Agent: few classes, so that few variants come of them. */
#ifndef WARP_TENANT_DEVICE_H
#define WARP_TENANT_DEVICE_H

#include "base/slice.h"

/* name, word */
#define DEVICE_CLASSES(X)                                                                                              \
    X(DESKTOP, "desktop")                                                                                              \
    X(PHONE, "phone")                                                                                                  \
    X(TABLET, "tablet")                                                                                                \
    X(BOT, "bot")

enum device_class {
#define X(name, word) DEVICE_##name,
    DEVICE_CLASSES(X)
#undef X
};
enum device_class device_class_of(slice user_agent);
slice device_class_word(enum device_class device);

#endif
