/* One thread's OpenSSL context over an identity: what a handshake asks for is answered here. */
#include "net/tls.h"
#include "net/tls_identity.h"
#include "net/tls_tickets.h"

#include "base/hash.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <stdlib.h>

#define KEEP_STREAMS    1024u
#define KEEP_SMALL      64u
#define KEEP_LARGE      16u
#define TICKET_LIFE_S   (12L * 3600) /* an older ticket's key may be gone: tls_tickets.h */
#define CIPHERS_TLS12                                                                     \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                          \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                          \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define CIPHERS_TLS13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define GROUPS        "X25519:P-256"

const char *const net_handshake_failures[NET_HANDSHAKE_FAILURE_COUNT] = {
#define X(name, word, meaning) word,
    NET_HANDSHAKE_FAILURES(X)
#undef X
};

/* Lives until the last of its streams is gone: their memory is of its pools. The identity and the context go as soon as
 * nothing is accepted any more and the last handshake is over. */
struct net_acceptor {
    struct net_identity *identity;
    struct net_tickets *tickets;
    SSL_CTX *context;
    BIO_METHOD *bio_method;
    EVP_CIPHER *ticket_cipher;
    EVP_MAC *ticket_mac_unused; /* keeps the algorithm loaded, so that a handshake does not look for it */
    struct pool streams;
    struct tls_out_pools out;
    unsigned stream_count, handshakes;
    bool is_retired; /* net_acceptor_free was called */
};

static struct tls_accepted *accepted_of(const SSL *ssl)
{
    return SSL_get_app_data(ssl);
}

/* ---- which certificate ------------------------------------------------------------------------------------------- */

/* The host_name of a server_name extension (RFC 6066 3); empty where there is none. OpenSSL itself looks at the form
 * later and refuses what is wrong. */
static slice hello_name(SSL *ssl)
{
    const unsigned char *bytes;
    size_t size, len;

    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &bytes, &size) != 1 || size < 5)
        return SLICE_NONE;
    len = (size_t)bytes[3] << 8 | bytes[4]; /* behind the list's length and the kind of name */
    if (bytes[2] != TLSEXT_NAMETYPE_host_name || len > size - 5)
        return SLICE_NONE;
    return slice_of(bytes + 5, len);
}

/* Before tickets are looked at: one that was made for other names is not taken. The certificates may be others after a
 * reload: it is the name that counts. */
static int hello_seen(SSL *ssl, int *alert, void *arg)
{
    struct tls_accepted *accepted = accepted_of(ssl);
    uint64_t context;

    (void)arg;
    accepted->name = identity_find(accepted->acceptor->identity, hello_name(ssl));
    if (accepted->name == NULL) {
        *alert = SSL_AD_UNRECOGNIZED_NAME;
        return SSL_CLIENT_HELLO_ERROR;
    }
    context = hash64(accepted->name->name, 0);
    if (SSL_set_session_id_context(ssl, (const unsigned char *)&context, sizeof(context)) == 1)
        return SSL_CLIENT_HELLO_SUCCESS;
    *alert = SSL_AD_INTERNAL_ERROR;
    return SSL_CLIENT_HELLO_ERROR;
}

/* Not called when a session is resumed. */
static int certificates_wanted(SSL *ssl, void *arg)
{
    const struct tls_accepted *accepted = accepted_of(ssl);

    (void)arg;
    if (accepted->name == &accepted->acceptor->identity->others)
        return 1; /* the context has these */
    SSL_certs_clear(ssl);
    for (unsigned kind = 0; kind < CERTIFICATE_KIND_COUNT; kind++) {
        const struct tls_certificate *one = accepted->name->certificates[kind];
        if (one != NULL && SSL_use_cert_and_key(ssl, one->x509, one->key, one->chain, 1) != 1)
            return 0;
    }
    return 1;
}

/* The one that this handshake showed, or, resumed, would show. */
static struct tls_certificate *certificate_shown(const struct tls_accepted *accepted, SSL *ssl)
{
    struct tls_certificate *const *certificates = accepted->name->certificates;
    X509 *shown = SSL_session_reused(ssl) ? NULL : SSL_get_certificate(ssl);

    for (unsigned kind = 0; kind < CERTIFICATE_KIND_COUNT; kind++)
        if (certificates[kind] != NULL && certificates[kind]->x509 == shown)
            return certificates[kind];
    return certificates[CERTIFICATE_ECDSA] != NULL ? certificates[CERTIFICATE_ECDSA] : certificates[CERTIFICATE_RSA];
}

static int ocsp_wanted(SSL *ssl, void *arg)
{
    const struct tls_certificate *certificate = certificate_shown(accepted_of(ssl), ssl);
    unsigned char *copy;

    (void)arg;
    if (certificate->ocsp == NULL || certificate->ocsp_until_s <= os_wall_ms() / 1000)
        return SSL_TLSEXT_ERR_NOACK;
    copy = OPENSSL_memdup(certificate->ocsp, certificate->ocsp_bytes);
    if (copy == NULL)
        return SSL_TLSEXT_ERR_NOACK;
    SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)certificate->ocsp_bytes); /* the ssl's now */
    return SSL_TLSEXT_ERR_OK;
}

/* ---- ALPN (RFC 7301) ------------------------------------------------------------------------------------------------ */

static int protocol_wanted(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in, unsigned in_len,
                           void *arg)
{
    static const unsigned char all[] = "\x02h2\x08http/1.1";
    const struct net_identity *identity = arg;
    unsigned skip = identity->h2 ? 0 : 3;
    unsigned char *chosen;

    (void)ssl;
    if (SSL_select_next_proto(&chosen, out_len, all + skip, (unsigned)sizeof(all) - 1 - skip, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* ---- tickets -------------------------------------------------------------------------------------------------------- */

static bool ticket_mac_init(EVP_MAC_CTX *mac, const struct ticket_key *key)
{
    OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){"SHA256"}, 0),
                               OSSL_PARAM_construct_end()};

    return EVP_MAC_init(mac, key->mac, sizeof(key->mac), parameters) == 1;
}

static int ticket_make(struct net_acceptor *acceptor, struct ticket_key *key, unsigned char *name, unsigned char *iv,
                       EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    tickets_newest(acceptor->tickets, key);
    memcpy(name, key->name, sizeof(key->name));
    os_entropy(iv, 16);
    return EVP_EncryptInit_ex2(cipher, acceptor->ticket_cipher, key->cipher, iv, NULL) == 1 && ticket_mac_init(mac, key) ? 1 : -1;
}

/* 2: good, and the client gets another one: of the newest key; in TLS 1.3 in any case, whose clients use a ticket once (RFC
 * 8446 C.4). */
static int ticket_open(SSL *ssl, struct net_acceptor *acceptor, struct ticket_key *key, const unsigned char *name, const unsigned char *iv,
                       EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    bool is_newest;

    if (!tickets_find(acceptor->tickets, name, key, &is_newest))
        return 0; /* a full handshake */
    if (EVP_DecryptInit_ex2(cipher, acceptor->ticket_cipher, key->cipher, iv, NULL) != 1 || !ticket_mac_init(mac, key))
        return -1;
    return is_newest && SSL_version(ssl) == TLS1_2_VERSION ? 1 : 2;
}

static int ticket_wanted(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int is_new)
{
    struct net_acceptor *acceptor = accepted_of(ssl)->acceptor;
    struct ticket_key key;
    int result = is_new ? ticket_make(acceptor, &key, name, iv, cipher, mac) : ticket_open(ssl, acceptor, &key, name, iv, cipher, mac);

    OPENSSL_cleanse(&key, sizeof(key));
    return result;
}

/* ---- the context ---------------------------------------------------------------------------------------------------- */

/* A copy of the key: signing locks what all threads share of one. */
static bool context_show(SSL_CTX *context, const struct identity_name *others)
{
    for (unsigned kind = 0; kind < CERTIFICATE_KIND_COUNT; kind++) {
        const struct tls_certificate *one = others->certificates[kind];
        EVP_PKEY *key;
        bool ok;

        if (one == NULL)
            continue;
        key = EVP_PKEY_dup(one->key);
        ok = key != NULL && SSL_CTX_use_cert_and_key(context, one->x509, key, one->chain, 1) == 1;
        EVP_PKEY_free(key);
        if (!ok)
            return false;
    }
    return true;
}

/* Certificates of clients are looked at again on every connection: what a ticket remembers may be revoked by a reload. */
static bool context_ask_clients(SSL_CTX *context, const struct net_identity *identity)
{
    STACK_OF(X509_NAME) * names;

    if (identity->client_ca == NULL)
        return true;
    names = SSL_dup_CA_list(identity->client_ca_names);
    if (names == NULL)
        return false;
    SSL_CTX_set_client_CA_list(context, names);
    SSL_CTX_set1_verify_cert_store(context, identity->client_ca);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    return SSL_CTX_set_num_tickets(context, 0) == 1;
}

static bool context_limit(SSL_CTX *context)
{
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                     SSL_OP_PRIORITIZE_CHACHA);
    /* A send of a bounded buffer ends where it is full; an idle connection holds no record buffers. */
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF); /* tickets only: nothing to share, nothing to lock */
    SSL_CTX_set_timeout(context, TICKET_LIFE_S);
    return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 && SSL_CTX_set_cipher_list(context, CIPHERS_TLS12) == 1 &&
           SSL_CTX_set_ciphersuites(context, CIPHERS_TLS13) == 1 && SSL_CTX_set1_groups_list(context, GROUPS) == 1 &&
           SSL_CTX_set_num_tickets(context, 1) == 1 &&
           SSL_CTX_set_session_id_context(context, (const unsigned char *)"warp", 4) == 1;
}

static bool context_init(struct net_acceptor *acceptor)
{
    struct net_identity *identity = acceptor->identity;
    SSL_CTX *context = acceptor->context;

    if (!context_limit(context) || !context_show(context, &identity->others) || !context_ask_clients(context, identity))
        return false;
    SSL_CTX_set_alpn_select_cb(context, protocol_wanted, identity);
    if (identity->has_dir) {
        SSL_CTX_set_client_hello_cb(context, hello_seen, NULL);
        SSL_CTX_set_cert_cb(context, certificates_wanted, NULL);
    }
    if (identity->has_ocsp) {
        SSL_CTX_set_tlsext_status_cb(context, ocsp_wanted);
        SSL_CTX_set_tlsext_status_arg(context, NULL);
    }
    return SSL_CTX_set_tlsext_ticket_key_evp_cb(context, ticket_wanted) == 1;
}

static void acceptor_release(struct net_acceptor *acceptor)
{
    if (!acceptor->is_retired || acceptor->handshakes > 0)
        return;
    SSL_CTX_free(acceptor->context);
    acceptor->context = NULL;
    acceptor->identity = net_identity_unref(acceptor->identity);
    if (acceptor->stream_count > 0)
        return;
    EVP_CIPHER_free(acceptor->ticket_cipher);
    EVP_MAC_free(acceptor->ticket_mac_unused);
    BIO_meth_free(acceptor->bio_method);
    pool_done(&acceptor->streams);
    pool_done(&acceptor->out.small);
    pool_done(&acceptor->out.large);
    free(acceptor);
}

err net_acceptor_new(struct net_identity *identity, struct net_tickets *tickets, struct net_acceptor **ret_acceptor)
{
    struct net_acceptor *acceptor = calloc(1, sizeof(*acceptor));

    ENSURE(acceptor != NULL, MEMORY);
    acceptor->identity = net_identity_ref(identity);
    acceptor->tickets = tickets;
    pool_init(&acceptor->streams, (uint32_t)tls_stream_bytes(), KEEP_STREAMS);
    pool_init(&acceptor->out.small, TLS_OUT_SMALL_BYTES, KEEP_SMALL);
    pool_init(&acceptor->out.large, TLS_OUT_LARGE_BYTES, KEEP_LARGE);
    ERR_clear_error();
    acceptor->context = SSL_CTX_new(TLS_server_method());
    acceptor->bio_method = net_tls_bio_method_new();
    acceptor->ticket_cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    acceptor->ticket_mac_unused = EVP_MAC_fetch(NULL, "HMAC", NULL);
    if (acceptor->context == NULL || acceptor->bio_method == NULL || acceptor->ticket_cipher == NULL ||
        acceptor->ticket_mac_unused == NULL || !context_init(acceptor)) {
        net_acceptor_free(acceptor);
        ERR_clear_error();
        return ERR(INVALID);
    }
    *ret_acceptor = acceptor;
    return ERR_OK;
}

struct net_acceptor *net_acceptor_free(struct net_acceptor *acceptor)
{
    if (acceptor != NULL) {
        acceptor->is_retired = true;
        acceptor_release(acceptor);
    }
    return NULL;
}

/* ---- streams ---------------------------------------------------------------------------------------------------------- */

void *acceptor_stream_get(struct net_acceptor *acceptor)
{
    void *stream = pool_get(&acceptor->streams);

    if (stream != NULL)
        acceptor->stream_count++;
    return stream;
}

void acceptor_stream_put(struct net_acceptor *acceptor, void *stream)
{
    pool_put(&acceptor->streams, stream);
    acceptor->stream_count--;
    acceptor_release(acceptor);
}

struct tls_out_pools *acceptor_out_pools(struct net_acceptor *acceptor)
{
    return &acceptor->out;
}

err acceptor_ssl(struct net_acceptor *acceptor, struct tls_accepted *accepted, SSL **ret_ssl)
{
    SSL *ssl = SSL_new(acceptor->context);
    BIO *bio = BIO_new(acceptor->bio_method);

    if (ssl == NULL || bio == NULL) {
        SSL_free(ssl);
        BIO_free(bio);
        return ERR(MEMORY);
    }
    SSL_set_bio(ssl, bio, bio); /* the ssl's now */
    SSL_set_accept_state(ssl);
    SSL_set_app_data(ssl, accepted);
    *accepted = (struct tls_accepted){.acceptor = acceptor, .name = &acceptor->identity->others, .is_shaking = true};
    acceptor->handshakes++;
    *ret_ssl = ssl;
    return ERR_OK;
}

static enum net_handshake_failure failure_of(unsigned long error)
{
    int reason = ERR_GET_REASON(error);

    if (ERR_GET_LIB(error) != ERR_LIB_SSL)
        return NET_HANDSHAKE_OTHER;
    if (reason >= SSL_AD_REASON_OFFSET)
        return NET_HANDSHAKE_ALERT;
    switch (reason) {
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_UNKNOWN_PROTOCOL:
        return NET_HANDSHAKE_NOT_TLS;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_INAPPROPRIATE_FALLBACK:
        return NET_HANDSHAKE_VERSION;
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SHARED_GROUPS:
    case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_NO_SUITABLE_GROUPS:
    case SSL_R_NO_SUITABLE_KEY_SHARE:
        return NET_HANDSHAKE_CIPHER;
    case SSL_R_NO_APPLICATION_PROTOCOL:
        return NET_HANDSHAKE_ALPN;
    case SSL_R_CALLBACK_FAILED: /* hello_seen's */
        return NET_HANDSHAKE_SERVER_NAME;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
        return NET_HANDSHAKE_CLIENT_CERTIFICATE;
    default:
        return NET_HANDSHAKE_OTHER;
    }
}

/* What only a handshake needs goes: an idle connection is to be small. */
static void accepted_slim(SSL *ssl)
{
    SSL_set_tlsext_status_ocsp_resp(ssl, NULL, 0);
    SSL_certs_clear(ssl);
}

/* The stream's own memory still holds the acceptor. */
static void shaking_end(struct tls_accepted *accepted)
{
    accepted->is_shaking = false;
    accepted->name = NULL;
    accepted->acceptor->handshakes--;
    acceptor_release(accepted->acceptor);
}

void accepted_handshake_over(struct tls_accepted *accepted, SSL *ssl, bool good, struct net_stream *stream)
{
    struct net_acceptor *acceptor = accepted->acceptor;

    if (good) {
        stream->is_tls12 = SSL_version(ssl) == TLS1_2_VERSION;
        stream->is_resumed = SSL_session_reused(ssl) == 1;
        if (acceptor->identity->has_dir)
            accepted->certificate = certificate_ref(certificate_shown(accepted, ssl));
        accepted_slim(ssl);
    } else {
        stream->handshake_failure = (uint8_t)failure_of(ERR_peek_last_error());
    }
    shaking_end(accepted);
}

void accepted_done(struct tls_accepted *accepted)
{
    accepted->certificate = certificate_unref(accepted->certificate);
    if (accepted->is_shaking)
        shaking_end(accepted); /* closed in the middle */
}

bool net_is_for_host(const struct net_stream *stream, slice host)
{
    const struct tls_certificate *certificate = stream->scheme == NET_TLS ? tls_accepted_of(stream)->certificate : NULL;

    return certificate == NULL || certificate_is_for(certificate, host);
}
