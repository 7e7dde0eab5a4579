/* One certificate from its files: the chain, the key, the names, the OCSP answer. */
#include "net/tls_identity.h"

#include "base/log.h"

#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define FILE_BYTES_MAX  (1u << 20)
#define CHAIN_MAX       16
#define SOON_S          (7 * 86400)
#define PATH_BYTES      4096u
#define FOR_OTHERS_MODE 044u /* bits that let the group or all read */

#define KNOWN_MAX       8u

/* An authority's certificate, of which many chains have the same: parsed once, as 3.0 takes 0.1 ms for it. */
struct known {
    char *der;
    long len;
    X509 *x509;
};

struct certificate_reader {
    struct known known[KNOWN_MAX];
    unsigned known_next; /* the oldest: the next one goes there */
    char *message;
    size_t message_size;
    OSSL_DECODER_CTX *decoder;
    EVP_PKEY *decoded;
};

err certificate_fail(struct certificate_reader *reader, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(reader->message, reader->message_size, format, args);
    va_end(args);
    ERR_clear_error();
    return ERR(INVALID);
}

/* A server starts without anybody to ask for a pass phrase; without this OpenSSL asks the terminal. */
static int no_pass_phrase(char *buffer, int size, int write, void *arg)
{
    (void)buffer, (void)size, (void)write, (void)arg;
    return -1;
}

err certificate_reader_new(char *message, size_t message_size, struct certificate_reader **ret_reader)
{
    struct certificate_reader *reader = calloc(1, sizeof(*reader));

    ENSURE(reader != NULL, MEMORY);
    reader->message = message;
    reader->message_size = message_size;
    reader->decoder = OSSL_DECODER_CTX_new_for_pkey(&reader->decoded, "PEM", NULL, NULL, EVP_PKEY_KEYPAIR, NULL, NULL);
    if (reader->decoder == NULL || OSSL_DECODER_CTX_set_pem_password_cb(reader->decoder, no_pass_phrase, NULL) != 1) {
        certificate_reader_free(reader);
        return ERR(MEMORY);
    }
    *ret_reader = reader;
    return ERR_OK;
}

static void known_done(struct known *known)
{
    OPENSSL_free(known->der);
    X509_free(known->x509);
    *known = (struct known){0};
}

struct certificate_reader *certificate_reader_free(struct certificate_reader *reader)
{
    if (reader == NULL)
        return NULL;
    for (unsigned i = 0; i < KNOWN_MAX; i++)
        known_done(&reader->known[i]);
    OSSL_DECODER_CTX_free(reader->decoder);
    free(reader);
    return NULL;
}

/* ---- files -------------------------------------------------------------------------------------------------------- */

MUST_USE static err file_read(struct certificate_reader *reader, const char *path, BIO **ret_bio, char **ret_text,
                              unsigned *ret_mode)
{
    size_t len;
    err result = os_file_read_named(path, FILE_BYTES_MAX, ret_text, &len, ret_mode);

    if (!err_is_ok(result))
        return certificate_fail(reader, "%s: cannot be read: %s", path, err_file_text(result));
    *ret_bio = BIO_new_mem_buf(*ret_text, (int)len);
    if (*ret_bio == NULL) {
        free(*ret_text);
        return ERR(MEMORY);
    }
    return ERR_OK;
}

static void file_done(BIO *bio, char *text)
{
    BIO_free(bio);
    OPENSSL_cleanse(text, strlen(text)); /* it may be a key */
    free(text);
}

/* ---- chain and key -------------------------------------------------------------------------------------------------- */

/* Takes der over. NULL: it is no certificate. */
static X509 *chain_certificate(struct certificate_reader *reader, char *der, long len)
{
    const unsigned char *at = (const unsigned char *)der;
    struct known *known = &reader->known[reader->known_next];

    for (unsigned i = 0; i < KNOWN_MAX; i++) {
        X509 *x509 = reader->known[i].x509;
        if (x509 == NULL || reader->known[i].len != len || memcmp(reader->known[i].der, der, (size_t)len) != 0)
            continue;
        OPENSSL_free(der);
        X509_up_ref(x509);
        return x509;
    }
    known_done(known);
    known->x509 = d2i_X509(NULL, &at, len);
    if (known->x509 == NULL) {
        OPENSSL_free(der);
        return NULL;
    }
    known->der = der;
    known->len = len;
    reader->known_next = (reader->known_next + 1) % KNOWN_MAX;
    X509_up_ref(known->x509);
    return known->x509;
}

/* The next certificate in the file; keys and parameters between are passed over. False: there is none, or it is damaged
 * (*ret_x509 NULL, with an error in OpenSSL's queue that says which). */
static bool chain_next(struct certificate_reader *reader, BIO *bio, X509 **ret_x509)
{
    unsigned char *der;
    long len;

    *ret_x509 = NULL;
    if (PEM_bytes_read_bio(&der, &len, NULL, PEM_STRING_X509, bio, no_pass_phrase, NULL) != 1)
        return false;
    *ret_x509 = chain_certificate(reader, (char *)der, len);
    return *ret_x509 != NULL;
}

MUST_USE static err chain_read(struct certificate_reader *reader, struct tls_certificate *certificate, BIO *bio)
{
    X509 *more;

    certificate->x509 = PEM_read_bio_X509_AUX(bio, NULL, no_pass_phrase, NULL);
    if (certificate->x509 == NULL)
        return certificate_fail(reader, "%s: no certificate in it; write the server's certificate in PEM form, then its chain",
                                certificate->path);
    while (chain_next(reader, bio, &more)) {
        if (certificate->chain == NULL)
            certificate->chain = sk_X509_new_null();
        if (certificate->chain == NULL || sk_X509_num(certificate->chain) == CHAIN_MAX ||
            sk_X509_push(certificate->chain, more) == 0) {
            X509_free(more);
            return certificate_fail(reader, "%s: more than %d certificates behind the first one", certificate->path, CHAIN_MAX);
        }
    }
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        return certificate_fail(reader, "%s: a certificate behind the first one is damaged; write its chain in PEM form",
                                certificate->path);
    ERR_clear_error();
    return ERR_OK;
}

/* The slow way reads what the fast one does not: a key behind other PEM blocks. */
static EVP_PKEY *key_decode(struct certificate_reader *reader, BIO *bio)
{
    EVP_PKEY *key;

    reader->decoded = NULL;
    if (OSSL_DECODER_from_bio(reader->decoder, bio) == 1 && reader->decoded != NULL)
        return reader->decoded;
    EVP_PKEY_free(reader->decoded);
    reader->decoded = NULL;
    ERR_clear_error();
    (void)BIO_reset(bio);
    key = PEM_read_bio_PrivateKey(bio, NULL, no_pass_phrase, NULL);
    return key;
}

MUST_USE static err key_read(struct certificate_reader *reader, struct tls_certificate *certificate, const char *path)
{
    BIO *bio = NULL;
    char *text;
    unsigned mode;
    bool is_encrypted;

    TRY(file_read(reader, path, &bio, &text, &mode));
    certificate->key = key_decode(reader, bio);
    is_encrypted = strstr(text, "ENCRYPTED") != NULL;
    file_done(bio, text);
    if (certificate->key == NULL && is_encrypted)
        return certificate_fail(reader, "%s: the private key has a pass phrase, and there is nobody to ask; write it without one",
                                path);
    if (certificate->key == NULL)
        return certificate_fail(reader, "%s: no private key that can be read; write an ECDSA or RSA key in PEM form", path);
    if (X509_check_private_key(certificate->x509, certificate->key) != 1)
        return certificate_fail(reader, "%s: this key does not belong to the certificate in %s; write the key it was made with",
                                path, certificate->path);
    if ((mode & FOR_OTHERS_MODE) != 0)
        log_warn("%s: others than the owner may read this private key (mode %03o); chmod 600", path, mode & 0777u);
    return ERR_OK;
}

MUST_USE static err kind_find(struct certificate_reader *reader, struct tls_certificate *certificate)
{
    switch (EVP_PKEY_get_base_id(certificate->key)) {
    case EVP_PKEY_EC:
        certificate->kind = CERTIFICATE_ECDSA;
        return ERR_OK;
    case EVP_PKEY_RSA:
        certificate->kind = CERTIFICATE_RSA;
        if (EVP_PKEY_get_bits(certificate->key) < 2048)
            return certificate_fail(reader, "%s: an RSA key of %d bits, which clients refuse; write one of 2048 or more",
                                    certificate->path, EVP_PKEY_get_bits(certificate->key));
        return ERR_OK;
    default:
        return certificate_fail(reader, "%s: a key that browsers do not know; write an ECDSA (P-256) or RSA one",
                                certificate->path);
    }
}

/* ---- names ------------------------------------------------------------------------------------------------------------ */

static bool name_is_good(slice name)
{
    bool is_wild = slice_starts(name, SLICE("*."));
    slice rest = is_wild ? slice_from(name, 2) : name;

    if (rest.len == 0 || name.len > SERVER_NAME_BYTES_MAX)
        return false;
    for (size_t i = 0; i < rest.len; i++) {
        unsigned char c = ascii_lower((unsigned char)rest.data[i]);
        if (!(c >= 'a' && c <= 'z') && !ascii_is_digit(c) && c != '-' && c != '_' && c != '.')
            return false;
    }
    return true;
}

MUST_USE static err text_add(char ***list, unsigned *count, slice text)
{
    char **grown = realloc(*list, (*count + 1) * sizeof(*grown));
    char *copy = malloc(text.len + 1);

    if (grown != NULL)
        *list = grown;
    if (grown == NULL || copy == NULL) {
        free(copy);
        return ERR(MEMORY);
    }
    for (size_t i = 0; i < text.len; i++)
        copy[i] = (char)ascii_lower((unsigned char)text.data[i]);
    copy[text.len] = '\0';
    grown[(*count)++] = copy;
    return ERR_OK;
}

MUST_USE static err ip_add(struct tls_certificate *certificate, const ASN1_OCTET_STRING *ip)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct os_peer peer = {.family = AF_INET6};
    int size = ASN1_STRING_length(ip);
    char text[64];

    if (size != 4 && size != 16)
        return ERR_OK;
    if (size == 4) {
        peer.family = AF_INET;
        memcpy(peer.ip, mapped, sizeof(mapped));
    }
    memcpy(peer.ip + 16 - size, ASN1_STRING_get0_data(ip), (size_t)size);
    return text_add(&certificate->ips, &certificate->ip_count, slice_str(os_peer_text(&peer, text, sizeof(text))));
}

MUST_USE static err names_read(struct tls_certificate *certificate)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate->x509, NID_subject_alt_name, NULL, NULL);
    err result = ERR_OK;

    for (int i = 0; err_is_ok(result) && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_DNS) {
            slice text = slice_of(ASN1_STRING_get0_data(name->d.dNSName), (size_t)ASN1_STRING_length(name->d.dNSName));
            if (name_is_good(text))
                result = text_add(&certificate->names, &certificate->name_count, text);
        } else if (name->type == GEN_IPADD) {
            result = ip_add(certificate, name->d.iPAddress);
        }
    }
    GENERAL_NAMES_free(names);
    return result;
}

/* RFC 6125 6.4.3: the star stands for one whole label. */
static bool name_covers(const char *name, slice host)
{
    slice pattern = slice_str(name);
    ptrdiff_t dot;

    if (!slice_starts(pattern, SLICE("*.")))
        return slice_eq(pattern, host);
    dot = slice_find(host, '.');
    return dot > 0 && slice_eq(slice_from(pattern, 1), slice_from(host, (size_t)dot));
}

bool certificate_is_for(const struct tls_certificate *certificate, slice host)
{
    for (unsigned i = 0; i < certificate->name_count; i++)
        if (name_covers(certificate->names[i], host))
            return true;
    for (unsigned i = 0; i < certificate->ip_count; i++)
        if (slice_eq(slice_str(certificate->ips[i]), host))
            return true;
    return false;
}

/* ---- validity ----------------------------------------------------------------------------------------------------------- */

/* Seconds since 1970; false where the time cannot be read. */
static bool time_read(const ASN1_TIME *time, int64_t *ret_s)
{
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int days = 0, seconds = 0;
    bool ok = epoch != NULL && time != NULL && ASN1_TIME_diff(&days, &seconds, epoch, time) == 1;

    ASN1_TIME_free(epoch);
    if (ok)
        *ret_s = (int64_t)days * 86400 + seconds;
    return ok;
}

MUST_USE static err validity_read(struct certificate_reader *reader, struct tls_certificate *certificate)
{
    int64_t now_s = os_wall_ms() / 1000;

    if (!time_read(X509_get0_notAfter(certificate->x509), &certificate->expires_s))
        return certificate_fail(reader, "%s: its end of validity cannot be read", certificate->path);
    if (certificate->expires_s <= now_s)
        log_warn("%s: this certificate has expired; clients refuse it", certificate->path);
    else if (certificate->expires_s <= now_s + SOON_S)
        log_warn("%s: this certificate expires in %lld hours", certificate->path,
                 (long long)((certificate->expires_s - now_s) / 3600));
    return ERR_OK;
}

/* ---- OCSP (RFC 6960) -------------------------------------------------------------------------------------------------------- */

/* NULL when it is good and for that certificate; ret_until_s is its nextUpdate (INT64_MAX without one). */
static const char *ocsp_problem(const struct tls_certificate *certificate, OCSP_BASICRESP *basic, int64_t *ret_until_s)
{
    ASN1_GENERALIZEDTIME *next = NULL;
    X509 *issuer = sk_X509_num(certificate->chain) > 0 ? sk_X509_value(certificate->chain, 0) : NULL;
    int status = -1, reason;

    *ret_until_s = INT64_MAX;
    for (int i = 0; i < OCSP_resp_count(basic); i++) {
        OCSP_SINGLERESP *single = OCSP_resp_get0(basic, i);
        const OCSP_CERTID *id = OCSP_SINGLERESP_get0_id(single);
        ASN1_OBJECT *digest = NULL;
        ASN1_INTEGER *serial = NULL;
        OCSP_CERTID *own;

        OCSP_id_get0_info(NULL, &digest, NULL, &serial, (OCSP_CERTID *)(uintptr_t)id);
        if (ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(certificate->x509)) != 0)
            continue;
        /* Without the issuer's certificate in the file the serial number must do. */
        own = issuer != NULL ? OCSP_cert_to_id(EVP_get_digestbyobj(digest), certificate->x509, issuer) : NULL;
        if (own == NULL || OCSP_id_cmp(own, id) == 0)
            status = OCSP_single_get0_status(single, &reason, NULL, NULL, &next);
        OCSP_CERTID_free(own);
    }
    if (status == -1)
        return "is about another certificate";
    if (status == V_OCSP_CERTSTATUS_UNKNOWN)
        return "says that the certificate is not known";
    if (next != NULL && (!time_read(next, ret_until_s) || *ret_until_s <= os_wall_ms() / 1000))
        return "is out of date (nextUpdate has passed)";
    return NULL;
}

static const char *ocsp_check(const struct tls_certificate *certificate, slice der, int64_t *ret_until_s)
{
    const unsigned char *at = (const unsigned char *)der.data;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)der.len);
    OCSP_BASICRESP *basic = NULL;
    const char *problem = "is no OCSP answer in DER form";

    if (response != NULL && at == (const unsigned char *)der.data + der.len) {
        problem = "is an OCSP error, not an answer";
        if (OCSP_response_status(response) == OCSP_RESPONSE_STATUS_SUCCESSFUL)
            basic = OCSP_response_get1_basic(response);
        if (basic != NULL)
            problem = ocsp_problem(certificate, basic, ret_until_s);
    }
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(response);
    ERR_clear_error();
    return problem;
}

/* False: there is no such file, try another name. */
static bool ocsp_read(struct tls_certificate *certificate, const char *path)
{
    const char *problem;
    unsigned mode;
    size_t len;
    char *der;
    err result = os_file_read_named(path, FILE_BYTES_MAX, &der, &len, &mode);

    if (result.code == ERR_NOT_FOUND)
        return false;
    problem = err_is_ok(result) ? ocsp_check(certificate, slice_of(der, len), &certificate->ocsp_until_s) : err_file_text(result);
    if (problem != NULL) {
        log_warn("%s: %s: it is not stapled to %s", path, problem, certificate->path);
        if (err_is_ok(result))
            free(der);
        return true;
    }
    certificate->ocsp = (unsigned char *)der;
    certificate->ocsp_bytes = len;
    return true;
}

/* An answer that cannot be used is left out: clients ask the issuer themselves. */
static void ocsp_find(struct tls_certificate *certificate)
{
    const char *path = certificate->path, *dot = strrchr(path, '.'), *slash = strrchr(path, '/');
    int stem = dot != NULL && (slash == NULL || dot > slash) ? (int)(dot - path) : (int)strlen(path);
    char other[PATH_BYTES];

    snprintf(other, sizeof(other), "%.*s.ocsp", stem, path);
    if (ocsp_read(certificate, other))
        return;
    snprintf(other, sizeof(other), "%s.ocsp", path);
    (void)ocsp_read(certificate, other);
}

/* ---- all of it --------------------------------------------------------------------------------------------------------------- */

MUST_USE static err certificate_fill(struct certificate_reader *reader, struct tls_certificate *certificate,
                                     const char *key_path)
{
    BIO *bio = NULL;
    char *text;
    unsigned mode;
    err result;

    TRY(file_read(reader, certificate->path, &bio, &text, &mode));
    result = chain_read(reader, certificate, bio);
    file_done(bio, text);
    TRY(result);
    TRY(key_read(reader, certificate, key_path != NULL ? key_path : certificate->path));
    TRY(kind_find(reader, certificate));
    TRY(names_read(certificate));
    TRY(validity_read(reader, certificate));
    ocsp_find(certificate);
    return ERR_OK;
}

err certificate_read(struct certificate_reader *reader, const char *path, const char *key_path,
                     struct tls_certificate **ret_certificate)
{
    struct tls_certificate *certificate = calloc(1, sizeof(*certificate));
    err result = ERR(MEMORY);

    snprintf(reader->message, reader->message_size, "%s: out of memory", path);
    ERR_clear_error();
    if (certificate != NULL) {
        atomic_init(&certificate->refs, 1);
        certificate->path = strdup(path);
        if (certificate->path != NULL)
            result = certificate_fill(reader, certificate, key_path);
    }
    if (!err_is_ok(result)) {
        certificate_unref(certificate);
        return result;
    }
    reader->message[0] = '\0';
    *ret_certificate = certificate;
    return ERR_OK;
}

struct tls_certificate *certificate_ref(struct tls_certificate *certificate)
{
    if (certificate != NULL)
        atomic_fetch_add_explicit(&certificate->refs, 1, memory_order_relaxed);
    return certificate;
}

static void texts_free(char **texts, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        free(texts[i]);
    free(texts);
}

struct tls_certificate *certificate_unref(struct tls_certificate *certificate)
{
    if (certificate == NULL || atomic_fetch_sub(&certificate->refs, 1) > 1)
        return NULL;
    X509_free(certificate->x509);
    EVP_PKEY_free(certificate->key);
    sk_X509_pop_free(certificate->chain, X509_free);
    texts_free(certificate->names, certificate->name_count);
    texts_free(certificate->ips, certificate->ip_count);
    free(certificate->ocsp);
    free(certificate->path);
    free(certificate);
    return NULL;
}
