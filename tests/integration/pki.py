"""Certificates for tests: an authority, servers, clients, OCSP answers."""
import datetime
import ipaddress
import pathlib
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PEM = serialization.Encoding.PEM
HOUR = datetime.timedelta(hours=1)
DAY = 24 * HOUR


def now():
    return datetime.datetime.utcnow().replace(microsecond=0)


def new_key(kind="ecdsa"):
    return ec.generate_private_key(ec.SECP256R1()) if kind == "ecdsa" else rsa.generate_private_key(65537, 2048)


def key_pem(key):
    return key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def general_name(name):
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class Issued:
    def __init__(self, certificate, key, chain):
        self.certificate, self.key = certificate, key
        self.pem = b"".join(c.public_bytes(PEM) for c in [certificate, *chain])
        self.key_pem = key_pem(key)

    @property
    def der(self):
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def expires(self):
        return int(self.certificate.not_valid_after.replace(tzinfo=datetime.timezone.utc).timestamp())

    def write(self, certificate_path, key_path=None):
        """Beside each other, the key for its owner alone; returns the certificate's path."""
        certificate_path = pathlib.Path(certificate_path)
        key_path = pathlib.Path(key_path or certificate_path.with_suffix(".key"))
        key_path.touch(mode=0o600)
        key_path.write_bytes(self.key_pem)
        certificate_path.write_bytes(self.pem)
        return certificate_path


class Authority:
    def __init__(self, name="test authority"):
        self.key = new_key()
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = (self._builder(self.name, self.key.public_key(), 30 * DAY)
                            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
                            .sign(self.key, hashes.SHA256()))

    def _builder(self, subject, public_key, lifetime):
        end = now() + lifetime
        return (x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(public_key)
                .serial_number(x509.random_serial_number()).not_valid_before(min(now(), end) - DAY).not_valid_after(end))

    def issue(self, *names, kind="ecdsa", lifetime=30 * DAY, key=None, client=False):
        key = key or new_key(kind)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")])
        builder = self._builder(subject, key.public_key(), lifetime)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([general_name(n) for n in names]), critical=False)
        usage = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        return Issued(builder.sign(self.key, hashes.SHA256()), key, [self.certificate])

    def write(self, path):
        path.write_bytes(self.certificate.public_bytes(PEM))
        return path

    def ocsp(self, issued, lifetime=DAY):
        """An answer that the certificate is good, in DER form."""
        end = now() + lifetime
        return (ocsp.OCSPResponseBuilder()
                .add_response(issued.certificate, self.certificate, hashes.SHA1(), ocsp.OCSPCertStatus.GOOD, min(now(), end) - DAY, end,
                              None, None)
                .responder_id(ocsp.OCSPResponderEncoding.HASH, self.certificate).sign(self.key, hashes.SHA256())
                .public_bytes(serialization.Encoding.DER))

    def context(self, alpn=("http/1.1",), ciphers=None, version=None):
        """What a client has that trusts this authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.certificate.public_bytes(PEM).decode())
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if ciphers:
            context.set_ciphers(ciphers)
        if version:
            context.minimum_version = context.maximum_version = version
        return context
