#include "tls_server.h"

#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct tls_server {
    SSL_CTX *context;
    struct os_thread *thread;
    struct os_address address;
    int listen_fd;
    enum tls_server_mode mode;
    char ca_file[64], cert_file[64], name[64], alpn[16], client[64];
    bool resumed;
};

static void extension_add(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509_EXTENSION *extension;

    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert_non_null(extension);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

static X509 *certificate_new(const char *name, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key)
{
    X509 *certificate = X509_new();
    X509_NAME *subject = X509_get_subject_name(certificate);

    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), issuer == NULL ? 1 : 2);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(certificate, issuer != NULL ? X509_get_subject_name(issuer) : subject);
    if (issuer == NULL)
        extension_add(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE");
    else
        extension_add(certificate, issuer, NID_subject_alt_name, "DNS:origin.test,IP:127.0.0.1");
    assert_true(X509_sign(certificate, issuer_key, EVP_sha256()) > 0);
    return certificate;
}

static void server_make_certificates(struct tls_server *server)
{
    static unsigned count;
    char ca_name[32];
    snprintf(ca_name, sizeof(ca_name), "test CA %u", ++count); /* each server's is unknown to the others */
    EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
    X509 *ca = certificate_new(ca_name, ca_key, NULL, ca_key);
    X509 *certificate = certificate_new("a server", key, ca, ca_key);
    int fd;
    FILE *file;

    assert_int_equal(SSL_CTX_use_certificate(server->context, certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(server->context, key), 1);
    snprintf(server->ca_file, sizeof(server->ca_file), "/tmp/warp-test-ca-XXXXXX");
    fd = mkstemp(server->ca_file);
    file = fdopen(fd, "w");
    PEM_write_X509(file, ca);
    fclose(file);
    snprintf(server->cert_file, sizeof(server->cert_file), "/tmp/warp-test-cert-XXXXXX");
    fd = mkstemp(server->cert_file);
    file = fdopen(fd, "w");
    PEM_write_X509(file, certificate);
    PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
    X509_free(ca);
    X509_free(certificate);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(key);
}

static int alpn_select(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
                       unsigned in_len, void *arg)
{
    struct tls_server *server = arg;

    (void)ssl;
    if (in_len < 1 || in[0] + 1u > in_len || in[0] >= sizeof(server->alpn))
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    memcpy(server->alpn, in + 1, in[0]);
    *out = in + 1;
    *out_len = in[0];
    return SSL_TLSEXT_ERR_OK;
}

static void serve_echo(SSL *ssl)
{
    char bytes[5000];
    int n;

    while ((n = SSL_read(ssl, bytes, sizeof(bytes))) > 0)
        if (SSL_write(ssl, bytes, n) != n)
            return;
    SSL_shutdown(ssl);
}

static void serve_tls(struct tls_server *server, int fd)
{
    SSL *ssl = SSL_new(server->context);

    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1) {
        const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
        X509 *client = SSL_get1_peer_certificate(ssl);
        snprintf(server->name, sizeof(server->name), "%s", name != NULL ? name : "");
        if (client != NULL)
            X509_NAME_get_text_by_NID(X509_get_subject_name(client), NID_commonName, server->client, sizeof(server->client));
        X509_free(client);
        server->resumed = SSL_session_reused(ssl) == 1;
        if (server->mode == SERVE_ECHO)
            serve_echo(ssl);
        else
            SSL_write(ssl, "part", 4);
    }
    if (server->mode == SERVE_TRUNCATED) {
        char rest[256];
        shutdown(fd, SHUT_WR);
        while (read(fd, rest, sizeof(rest)) > 0) {
        }
    }
    SSL_free(ssl);
}

static void server_run(void *arg)
{
    static const char plain[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    struct tls_server *server = arg;
    int fd = accept(server->listen_fd, NULL, NULL);
    char hello[2048];

    if (server->mode == SERVE_PLAIN || server->mode == SERVE_HANG_UP) {
        if (read(fd, hello, sizeof(hello)) > 0 && server->mode == SERVE_PLAIN)
            assert_true(write(fd, plain, sizeof(plain) - 1) > 0);
    } else {
        serve_tls(server, fd);
    }
    close(fd);
}

struct tls_server *tls_server_start(enum tls_server_mode mode, bool tls12)
{
    struct tls_server *server = calloc(1, sizeof(*server));

    server->mode = mode;
    server->context = SSL_CTX_new(TLS_server_method());
    if (tls12)
        SSL_CTX_set_max_proto_version(server->context, TLS1_2_VERSION);
    SSL_CTX_set_alpn_select_cb(server->context, alpn_select, server);
    server_make_certificates(server);
    server->address =
        (struct os_address){.in4 = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}},
                            .len = sizeof(struct sockaddr_in)};
    server->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server->listen_fd, &server->address.any, server->address.len), 0);
    assert_int_equal(listen(server->listen_fd, 4), 0);
    assert_int_equal(getsockname(server->listen_fd, &server->address.any, &server->address.len), 0);
    assert_true(err_is_ok(os_thread_start("tls-server", server_run, server, &server->thread)));
    return server;
}

void tls_server_again(struct tls_server *server)
{
    os_thread_join(server->thread);
    assert_true(err_is_ok(os_thread_start("tls-server", server_run, server, &server->thread)));
}

void tls_server_ask_certificate(struct tls_server *server)
{
    SSL_CTX_set_verify(server->context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    assert_int_equal(SSL_CTX_load_verify_file(server->context, server->ca_file), 1);
    SSL_CTX_set_session_id_context(server->context, (const unsigned char *)"test", 4);
}

const char *tls_server_cert_file(const struct tls_server *server)
{
    return server->cert_file;
}

const char *tls_server_seen_client(const struct tls_server *server)
{
    return server->client;
}

bool tls_server_has_resumed(const struct tls_server *server)
{
    return server->resumed;
}

void tls_server_stop(struct tls_server *server)
{
    os_thread_join(server->thread);
    close(server->listen_fd);
    SSL_CTX_free(server->context);
    unlink(server->ca_file);
    unlink(server->cert_file);
    free(server);
}

const struct os_address *tls_server_address(const struct tls_server *server)
{
    return &server->address;
}

const char *tls_server_ca_file(const struct tls_server *server)
{
    return server->ca_file;
}

const char *tls_server_seen_name(const struct tls_server *server)
{
    return server->name;
}

const char *tls_server_seen_alpn(const struct tls_server *server)
{
    return server->alpn;
}
