"""An authority of the tests' own: chains that end elsewhere, certificates that end early, the old hash."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.channels.unionpay_kit import NOW_MS, UNIONPAY_KEY, private_key

NOW: Final = datetime.fromtimestamp(NOW_MS / 1000, UTC)
DAY: Final = timedelta(days=1)
UNIONPAY_NAME: Final = "041@8310000000083040@中国银联股份有限公司@00016495"
ROOT_KEY, MIDDLE_KEY = private_key("merchant"), private_key("foreign")
UNIONPAY_PUBLIC: Final = UNIONPAY_KEY.public_key()
SMALL_KEY: Final = rsa.generate_private_key(public_exponent=65537, key_size=1024)

_SHA256_RSA: Final = bytes.fromhex("06092a864886f70d01010b")
_SHA1_RSA: Final = bytes.fromhex("06092a864886f70d010105")
_MD5_RSA: Final = bytes.fromhex("06092a864886f70d010104")


def named(*names: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])


def certificate(
    names: Sequence[str] = (UNIONPAY_NAME,),
    *,
    key: Any = UNIONPAY_PUBLIC,
    issuer: str = "Middle",
    issuer_key: RSAPrivateKey = MIDDLE_KEY,
    begins: datetime = NOW - DAY,
    ends: datetime = NOW + DAY,
    algorithm: hashes.HashAlgorithm | None = None,
) -> bytes:
    """In DER. ``algorithm``: None for SHA-256; SHA-1 and MD5 are put in by hand, since nobody makes such any more."""
    made = (
        x509.CertificateBuilder(named(issuer), named(*names), key, 4096, begins, ends)
        .sign(issuer_key, hashes.SHA256())
    )  # fmt: skip
    if algorithm is None:
        return made.public_bytes(Encoding.DER)
    oid = _SHA1_RSA if isinstance(algorithm, hashes.SHA1) else _MD5_RSA
    signed = made.tbs_certificate_bytes.replace(_SHA256_RSA, oid)
    whole = made.public_bytes(Encoding.DER).replace(_SHA256_RSA, oid)
    return whole.replace(made.signature, issuer_key.sign(signed, PKCS1v15(), algorithm))


def pem(der: bytes) -> str:
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode()


def root(**how: Any) -> str:
    told: dict[str, Any] = {"key": ROOT_KEY.public_key(), "issuer": "Root", "issuer_key": ROOT_KEY}
    return pem(certificate(("Root",), **(told | how)))


def middle(**how: Any) -> str:
    told: dict[str, Any] = {"key": MIDDLE_KEY.public_key(), "issuer": "Root", "issuer_key": ROOT_KEY}
    return pem(certificate(("Middle",), **(told | how)))


def leaf(*names: str, **how: Any) -> str:
    return pem(certificate(names or (UNIONPAY_NAME,), **how))
