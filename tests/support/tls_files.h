/* tls_files: self-signed certificates in a directory of their own under /tmp. */
#ifndef WARP_TESTS_TLS_FILES_H
#define WARP_TESTS_TLS_FILES_H

#include "base/base.h"

struct tls_files {
    char dir[64];
};
void tls_files_begin(struct tls_files *files);
void tls_files_end(struct tls_files *files);
/* dir/NAME.crt, good for another hour, for san ("DNS:a.test,IP:192.0.2.1"), and dir/NAME.key. */
void tls_files_add(const struct tls_files *files, const char *name, const char *san, bool rsa);
/* "dir/name"; valid until the second call after it. */
const char *tls_files_path(const struct tls_files *files, const char *name);

#endif
