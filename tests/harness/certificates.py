"""A certificate authority and server certificates for tests of TLS, made anew for each run."""

import datetime
import ipaddress
import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _write(path, data, account=None):
    with open(path, "wb") as file:
        file.write(data)
    os.chmod(path, 0o600 if path.endswith(".key") else 0o644)
    if account and os.getuid() == 0:
        os.chown(path, account.pw_uid, account.pw_gid)


class Authority:
    def __init__(self, directory, name="test authority"):
        self.directory = directory
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = _name(name)
        self.certificate = self._sign(self.name, self.key.public_key(), authority=True)
        self.path = os.path.join(directory, name.replace(" ", "-") + ".pem")
        _write(self.path, self.certificate.public_bytes(serialization.Encoding.PEM))

    def _sign(self, subject, public_key, authority=False):
        now = datetime.datetime.utcnow()
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(public_key)
                   .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
                   .not_valid_after(now + datetime.timedelta(days=1))
                   .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True))
        if not authority:
            names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def server(self, name, account):
        """(path of the certificate, path of its key), readable by `account`."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(_name(name), key.public_key())
        paths = [os.path.join(self.directory, name + suffix) for suffix in (".crt", ".key")]
        _write(paths[0], certificate.public_bytes(serialization.Encoding.PEM), account)
        _write(paths[1], key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                           serialization.NoEncryption()), account)
        return paths
