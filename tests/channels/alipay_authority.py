"""Authorities that sign certificates, for tests: the one of the vectors' kind, and others that are not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from oncepay.channels.alipay.certificates import serial_of
from tests.channels.alipay_kit import NOW_MS

NOW: Final = datetime.fromtimestamp(NOW_MS / 1000, UTC)
YEARS: Final = timedelta(days=365 * 5)


def name_of(common: str, company: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, company),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def public_pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    """The public half."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


class Leaf:
    """A certificate with its key."""

    def __init__(self, certificate: x509.Certificate, key: rsa.RSAPrivateKey) -> None:
        self.certificate, self.key = certificate, key
        self.pem = certificate.public_bytes(Encoding.PEM).decode()
        self.serial = serial_of(certificate)


class Authority(Leaf):
    """One that signs others; itself signed by ``above``, or by itself."""

    def __init__(
        self,
        common: str,
        *,
        company: str = "Test Financial",
        above: Authority | None = None,
        ca: bool = True,
        until: datetime | None = None,
    ) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = name_of(common, company)
        super().__init__(
            _signed(name, key.public_key(), (above.name, above.key) if above else (name, key), ca=ca, until=until), key
        )
        self.name: x509.Name = name

    def leaf(
        self,
        company: str,
        *,
        key: rsa.RSAPrivateKey | None = None,
        bits: int = 2048,
        start: datetime | None = None,
        until: datetime | None = None,
    ) -> Leaf:
        """A certificate of a company."""
        key = key or rsa.generate_private_key(public_exponent=65537, key_size=bits)
        name = name_of("Alipay Simulator(0000)", company)
        return Leaf(_signed(name, key.public_key(), (self.name, self.key), ca=False, start=start, until=until), key)


def _signed(
    name: x509.Name,
    key: rsa.RSAPublicKey,
    by: tuple[x509.Name, rsa.RSAPrivateKey],
    *,
    ca: bool,
    start: datetime | None = None,
    until: datetime | None = None,
) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(by[0])
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start or NOW - YEARS)
        .not_valid_after(until or NOW + YEARS)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(by[1], hashes.SHA256())
    )


ROOT: Final = Authority("Test Financial Certification Authority T1")
TESTED: Final = Authority("Test Financial Class 1 T1", above=ROOT)
