/* What tls_certificate.c, tls_identity.c and tls_acceptor.c share; for net/ only. */
#ifndef WARP_NET_TLS_IDENTITY_H
#define WARP_NET_TLS_IDENTITY_H

#include "net/net.h"

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdatomic.h>

#define SERVER_NAME_BYTES_MAX 255u /* RFC 1035 2.3.4 */

/* ---- one certificate (tls_certificate.c) ---------------------------------------------------------------------
 *
 * Read from its files once, then never changed; counted, because a connection may ask after its names when the identity
 * that it came from is long gone. */

enum certificate_kind { CERTIFICATE_ECDSA, CERTIFICATE_RSA, CERTIFICATE_KIND_COUNT };

struct tls_certificate {
    atomic_uint refs;
    enum certificate_kind kind;
    char *path;
    X509 *x509;
    EVP_PKEY *key;
    STACK_OF(X509) * chain; /* behind it, towards the root; may be NULL */
    char **names;           /* lower case; "*.example.org" for a wildcard */
    unsigned name_count;
    char **ips; /* as text */
    unsigned ip_count;
    int64_t expires_s;
    unsigned char *ocsp; /* DER to staple; NULL: none */
    size_t ocsp_bytes;
    int64_t ocsp_until_s; /* not after this */
};

/* What reading many of them shares: OpenSSL 3.0 takes ten times as long for a key whose decoder it has to find. One
 * thread. */
struct certificate_reader;
MUST_USE err certificate_reader_new(char *message, size_t message_size, struct certificate_reader **ret_reader);
struct certificate_reader *certificate_reader_free(struct certificate_reader *reader);

/* key_path NULL: the key is in the certificate's file. On error the reader's message says which file, and what. */
MUST_USE err certificate_read(struct certificate_reader *reader, const char *path, const char *key_path,
                              struct tls_certificate **ret_certificate);
struct tls_certificate *certificate_ref(struct tls_certificate *certificate);
struct tls_certificate *certificate_unref(struct tls_certificate *certificate);
/* host in lower case, without port. */
bool certificate_is_for(const struct tls_certificate *certificate, slice host);
/* A file that begins with "-----BEGIN": what an operator writes. Says why not. */
MUST_USE err certificate_fail(struct certificate_reader *reader, const char *format, ...) PRINTF(2, 3);

/* ---- the identity (tls_identity.c) ------------------------------------------------------------------------------ */

/* What a client that asks for that name gets: one of each kind, where there are both. */
struct identity_name {
    slice name; /* the certificate's own; empty: for all others */
    struct tls_certificate *certificates[CERTIFICATE_KIND_COUNT];
};

struct net_identity {
    atomic_uint refs;
    bool h2, has_dir, has_ocsp;
    struct tls_certificate **certificates;
    const struct net_identity_file **only; /* for each: the names it is for; NULL: all that it has. While it is made */
    char **host_names;                     /* copies of hosts in the table */
    unsigned host_name_count;
    unsigned count, room;
    struct identity_name others; /* --cert; its certificates are NULL when there is none */
    struct identity_name *table; /* open addressing; an empty slot has no name */
    unsigned table_size;         /* a power of two */
    uint64_t seed;
    STACK_OF(X509_NAME) * client_ca_names;
    X509_STORE *client_ca; /* NULL: no client certificates */
};

/* An exact name before a wildcard, before the one for all; NULL: there is nothing to show. name in any case. */
const struct identity_name *identity_find(const struct net_identity *identity, slice name);

#endif
