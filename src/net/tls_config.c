#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

static bool context_trust(SSL_CTX *context, const struct net_tls_options *options)
{
    if (!options->verify)
        return true;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    if (options->ca_file != NULL)
        return SSL_CTX_load_verify_file(context, options->ca_file) == 1;
    return SSL_CTX_set_default_verify_paths(context) == 1;
}

static SSL_CTX *context_new(const struct net_tls_options *options)
{
    static const unsigned char alpn[] = "\x08http/1.1";
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());

    if (context == NULL)
        return NULL;
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    /* A send of a bounded buffer ends where it is full; an idle connection holds no record buffers. */
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
        SSL_CTX_set_alpn_protos(context, alpn, sizeof(alpn) - 1) == 0 && context_trust(context, options))
        return context;
    SSL_CTX_free(context);
    return NULL;
}

err net_tls_config_new(const struct net_tls_options *options, struct net_tls_config **ret_config)
{
    struct net_tls_config *config = calloc(1, sizeof(*config));

    ENSURE(config != NULL, MEMORY);
    atomic_init(&config->refs, 1);
    ERR_clear_error();
    config->context = context_new(options);
    config->bio_method = net_tls_bio_method_new();
    if (config->context == NULL || config->bio_method == NULL) {
        net_tls_config_unref(config);
        ERR_clear_error();
        return ERR(INVALID); /* in practice: the file of trusted certificates */
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

err net_tls_config_ssl(struct net_tls_config *config, slice name, SSL **ret_ssl)
{
    SSL *ssl = SSL_new(config->context);
    BIO *bio = BIO_new(config->bio_method);

    if (ssl == NULL || bio == NULL) {
        SSL_free(ssl);
        BIO_free(bio);
        return ERR(MEMORY);
    }
    SSL_set_bio(ssl, bio, bio); /* the ssl's now */
    SSL_set_connect_state(ssl);
    if (!ssl_name_set(ssl, name)) {
        SSL_free(ssl);
        return ERR(INVALID);
    }
    *ret_ssl = ssl;
    return ERR_OK;
}
