#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#define ALPN_H2 "\x02h2"
#define ALPN_H1 "\x08http/1.1"

/* ---- the context: what all connections have in common --------------------------------------------------------- */

/* What OpenSSL says of the last failure; a missing file is said first, what it was needed for behind it. */
MUST_USE static err config_fail(char *message, size_t message_size, const char *file, const char *wanted)
{
    unsigned long code = ERR_peek_error();
    const char *reason = ERR_SYSTEM_ERROR(code) ? err_text(ERR_SYS(ERR_GET_REASON(code))) : ERR_reason_error_string(code);

    snprintf(message, message_size, "%s: %s (%s)", file, wanted, reason != NULL ? reason : "nothing of that kind in it");
    return ERR(INVALID);
}

MUST_USE static err context_trust(SSL_CTX *context, const struct net_tls_options *options, char *message, size_t message_size)
{
    if (!options->verify)
        return ERR_OK;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    if (options->ca_file == NULL && SSL_CTX_set_default_verify_paths(context) != 1)
        return config_fail(message, message_size, "the system's certificates", "cannot be read");
    if (options->ca_file != NULL && SSL_CTX_load_verify_file(context, options->ca_file) != 1)
        return config_fail(message, message_size, options->ca_file, "no certificates to trust can be read from it");
    return ERR_OK;
}

MUST_USE static err context_identify(SSL_CTX *context, const struct net_tls_options *options, char *message, size_t message_size)
{
    if (options->cert_file == NULL)
        return ERR_OK;
    if (SSL_CTX_use_certificate_chain_file(context, options->cert_file) != 1)
        return config_fail(message, message_size, options->cert_file, "no certificate can be read from it");
    ERR_clear_error();
    if (SSL_CTX_use_PrivateKey_file(context, options->key_file, SSL_FILETYPE_PEM) != 1)
        return config_fail(message, message_size, options->key_file, "no key for the certificate can be read from it");
    return ERR_OK;
}

static int context_ticket(SSL *ssl, SSL_SESSION *session)
{
    return net_tls_keep_session(ssl, session);
}

MUST_USE static err context_set(SSL_CTX *context, const struct net_tls_options *options, char *message, size_t message_size)
{
    static const char both[] = ALPN_H2 ALPN_H1;
    size_t skip = options->h2 ? 0 : sizeof(ALPN_H2) - 1;

    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    /* A send of a bounded buffer ends where it is full; an idle connection holds no record buffers. */
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, context_ticket);
    ENSURE(SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1, MEMORY);
    ENSURE(SSL_CTX_set_alpn_protos(context, (const unsigned char *)both + skip, (unsigned)(sizeof(both) - 1 - skip)) == 0,
           MEMORY);
    TRY(context_trust(context, options, message, message_size));
    return context_identify(context, options, message, message_size);
}

MUST_USE static err config_fill(struct net_tls_config *config, const struct net_tls_options *options, char *message,
                                size_t message_size)
{
    config->context = SSL_CTX_new(TLS_client_method());
    config->bio_method = net_tls_bio_method_new();
    ENSURE(config->context != NULL && config->bio_method != NULL, MEMORY);
    if (options->name != NULL) {
        if (options->name[0] == '\0' || strlen(options->name) >= sizeof(config->name)) {
            snprintf(message, message_size, "\"%.64s\" is no name that a certificate can have", options->name);
            return ERR(INVALID);
        }
        memcpy(config->name, options->name, strlen(options->name));
    }
    return context_set(config->context, options, message, message_size);
}

err net_tls_config_new(const struct net_tls_options *options, char *message, size_t message_size,
                       struct net_tls_config **ret_config)
{
    struct net_tls_config *config = calloc(1, sizeof(*config));
    err result;

    INVARIANT((options->cert_file == NULL) == (options->key_file == NULL));
    snprintf(message, message_size, "out of memory");
    ENSURE(config != NULL, MEMORY);
    atomic_init(&config->refs, 1);
    ERR_clear_error();
    result = config_fill(config, options, message, message_size);
    ERR_clear_error();
    if (!err_is_ok(result)) {
        net_tls_config_unref(config);
        return result;
    }
    *ret_config = config;
    return ERR_OK;
}

struct net_tls_config *net_tls_config_ref(struct net_tls_config *config)
{
    atomic_fetch_add_explicit(&config->refs, 1, memory_order_relaxed);
    return config;
}

struct net_tls_config *net_tls_config_unref(struct net_tls_config *config)
{
    if (config != NULL && atomic_fetch_sub(&config->refs, 1) == 1) {
        SSL_CTX_free(config->context);
        BIO_meth_free(config->bio_method);
        free(config);
    }
    return NULL;
}

/* A host as in a URL: IPv6 in brackets, a DNS name perhaps with the final dot that no certificate has. */
static slice name_bare(slice name)
{
    if (name.len > 2 && name.data[0] == '[' && name.data[name.len - 1] == ']')
        return slice_of(name.data + 1, name.len - 2);
    if (slice_ends(name, SLICE(".")))
        name.len--;
    return name;
}

static bool ssl_name_set(SSL *ssl, slice name)
{
    char text[256];
    struct os_address literal;

    name = name_bare(name);
    if (name.len == 0 || name.len >= sizeof(text) || slice_find(name, '\0') >= 0)
        return false;
    memcpy(text, name.data, name.len);
    text[name.len] = '\0';
    if (err_is_ok(os_address_from_ip(name, 0, &literal)))
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), text) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, text) == 1 && SSL_set_tlsext_host_name(ssl, text) == 1;
}

void net_tls_memory_done(struct net_tls_memory *memory)
{
    SSL_SESSION_free(memory->session);
    memory->session = NULL;
}

/* The same ticket may open several connections at once: being recognised (RFC 8446 C.4) is no harm to a proxy. */
MUST_USE static bool ssl_resume(SSL *ssl, const struct net_tls_memory *memory)
{
    return memory == NULL || memory->session == NULL || !SSL_SESSION_is_resumable(memory->session) ||
           SSL_set_session(ssl, memory->session) == 1;
}

MUST_USE static bool ssl_only_h1(SSL *ssl)
{
    return SSL_set_alpn_protos(ssl, (const unsigned char *)ALPN_H1, sizeof(ALPN_H1) - 1) == 0;
}

err net_tls_config_ssl(struct net_tls_config *config, const struct net_tls_target *target, SSL **ret_ssl)
{
    SSL *ssl = SSL_new(config->context);
    BIO *bio = BIO_new(config->bio_method);
    slice name = config->name[0] != '\0' ? slice_str(config->name) : target->name;

    if (ssl == NULL || bio == NULL) {
        SSL_free(ssl);
        BIO_free(bio);
        return ERR(MEMORY);
    }
    SSL_set_bio(ssl, bio, bio); /* the ssl's now */
    SSL_set_connect_state(ssl);
    if (!ssl_name_set(ssl, name) || !ssl_resume(ssl, target->memory) || (target->h1_only && !ssl_only_h1(ssl))) {
        SSL_free(ssl);
        return ERR(INVALID);
    }
    *ret_ssl = ssl;
    return ERR_OK;
}
