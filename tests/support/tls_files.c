#include "tests/support/tls_files.h"

#include <dirent.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void tls_files_begin(struct tls_files *files)
{
    strcpy(files->dir, "/tmp/warp-test-tls-XXXXXX");
    INVARIANT(mkdtemp(files->dir) != NULL);
}

void tls_files_end(struct tls_files *files)
{
    DIR *dir = opendir(files->dir);
    struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.')
            unlink(tls_files_path(files, entry->d_name));
    closedir(dir);
    rmdir(files->dir);
}

const char *tls_files_path(const struct tls_files *files, const char *name)
{
    static char paths[2][512];
    static unsigned at;

    at ^= 1;
    snprintf(paths[at], sizeof(paths[at]), "%s/%s", files->dir, name);
    return paths[at];
}

static X509 *certificate_new(EVP_PKEY *key, const char *san)
{
    static long serial;
    X509 *certificate = X509_new();
    X509V3_CTX context;
    X509_EXTENSION *extension;

    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 30 * 86400);
    X509_set_pubkey(certificate, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
    X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &context, NID_subject_alt_name, san);
    INVARIANT(extension != NULL);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    INVARIANT(X509_sign(certificate, key, EVP_sha256()) > 0);
    return certificate;
}

void tls_files_add(const struct tls_files *files, const char *name, const char *san, bool rsa)
{
    EVP_PKEY *key = rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
    X509 *certificate = certificate_new(key, san);
    char file[128];
    FILE *out;

    snprintf(file, sizeof(file), "%s.crt", name);
    out = fopen(tls_files_path(files, file), "w");
    INVARIANT(out != NULL);
    PEM_write_X509(out, certificate);
    fclose(out);
    snprintf(file, sizeof(file), "%s.key", name);
    out = fopen(tls_files_path(files, file), "w");
    INVARIANT(out != NULL && fchmod(fileno(out), 0600) == 0);
    PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL);
    fclose(out);
    X509_free(certificate);
    EVP_PKEY_free(key);
}
