"""Alipay's cryptography from the vendor's side: whose requests are believed, who signs, which certificates there are.

RSA2 is RSA PKCS#1 v1.5 with SHA-256. Key mode and certificate mode use the same keys; certificate mode names them by
serials of its own (MD5 of issuer and number). Own code: nothing is shared with the channels.
"""

import datetime as dt
import hashlib
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from oncepay.sandbox.clock import Dice, utc
from oncepay.sandbox.rsakeys import (
    SHA256,
    load_private,
    new_key,
    private_pem,
    public_pem,
    sign_text,
    stranger,
    verify_text,
)

CA_LIFE: Final = dt.timedelta(days=20 * 365)
CERTIFICATE_LIFE: Final = dt.timedelta(days=5 * 365)
RSA_SIGNED: Final = "1.2.840.113549.1.1."  # how the signature OID of a certificate that counts begins


class Merchant(msgspec.Struct):
    """One app of one merchant. ``seller_id``: the merchant's PID, 2088 and 12 digits."""

    app_id: str
    seller_id: str
    seller_email: str
    private_key_pem: str
    cert_pem: str


class KeyFile(msgspec.Struct):
    """Everything that is generated at the first start and kept at home in ``keys.json``."""

    merchants: list[Merchant]
    alipay_private_key_pem: str
    alipay_certs_pem: list[str]  # oldest first, all of the same key; the last one is named in answers
    issuing_private_key_pem: str
    issuing_cert_pem: str
    root_bundle_pem: str


class Ring:
    """The keys, loaded: signs for Alipay, and believes apps."""

    def __init__(self, file: KeyFile) -> None:
        self.file = file
        self._key = load_private(file.alipay_private_key_pem)
        self.root_cert_sn = root_sn(file.root_bundle_pem)
        self.certs = {cert_sn(pem): pem for pem in file.alipay_certs_pem}
        self.merchants: dict[str, Merchant] = {}
        self.app_certs: dict[str, tuple[str, float]] = {}  # app_id -> (serial, end of life)
        self._believed: dict[str, rsa.RSAPublicKey] = {}
        for merchant in file.merchants:
            self._admit(merchant)

    @property
    def alipay_cert_sn(self) -> str:
        """The serial of the certificate that answers name now."""
        return next(reversed(self.certs))

    @property
    def alipay_public_key_pem(self) -> str:
        return public_pem(self._key)

    def add(self, merchant: Merchant) -> None:
        """Let one more app in."""
        self.file.merchants.append(merchant)
        self._admit(merchant)

    def renew(self, now: float) -> str:
        """Alipay's certificate issued anew: the same key, a new serial; the serial."""
        pem = certify(self.file, ALIPAY_NAME, self._key.public_key(), now)
        self.file.alipay_certs_pem.append(pem)
        self.certs[cert_sn(pem)] = pem
        return self.alipay_cert_sn

    def chained(self, pem: str) -> str:
        """A certificate with the one that issued it, as Alipay's console hands certificates out."""
        return f"{pem.rstrip()}\n{self.file.issuing_cert_pem.rstrip()}\n"

    def sign(self, message: bytes) -> str:
        return sign_text(self._key, message)

    def forge(self, message: bytes) -> str:
        """A signature by somebody else's key."""
        return sign_text(stranger(), message)

    def believes(self, app_id: str, message: bytes, signature: str) -> bool:
        """Whether the app signed ``message``."""
        return verify_text(self._believed[app_id], message, signature)

    def _admit(self, merchant: Merchant) -> None:
        key = load_private(merchant.private_key_pem)
        cert = x509.load_pem_x509_certificate(merchant.cert_pem.encode())
        self.merchants[merchant.app_id] = merchant
        self._believed[merchant.app_id] = key.public_key()
        self.app_certs[merchant.app_id] = (cert_sn(merchant.cert_pem), cert.not_valid_after_utc.timestamp())


def cert_sn(pem: str) -> str:
    """A certificate's serial as Alipay writes it: MD5 of its issuer's name and its number in decimal."""
    cert = x509.load_pem_x509_certificate(pem.encode())
    return hashlib.md5(sn_input(cert).encode(), usedforsecurity=False).hexdigest()


def sn_input(cert: x509.Certificate) -> str:
    """Issuer as ``CN=..,OU=..,O=..,C=..``, directly followed by the serial number."""
    return f"{cert.issuer.rfc4514_string()}{cert.serial_number}"


def root_sn(bundle_pem: str) -> str:
    """The serials of a bundle's RSA-signed certificates, in file order, joined by ``_``."""
    certs = [f"-----BEGIN{part}" for part in bundle_pem.split("-----BEGIN")[1:]]
    return "_".join(
        cert_sn(pem)
        for pem in certs
        if x509.load_pem_x509_certificate(pem.encode()).signature_algorithm_oid.dotted_string.startswith(RSA_SIGNED)
    )


# --- making them ------------------------------------------------------------------------------


def name(common: str, unit: str, organisation: str = "Sandbox Financial") -> x509.Name:
    """Country first, common name last: the order that the serial rule turns around."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


ROOT_NAME: Final = name("Sandbox Financial Certification Authority R1", "Certification Authority")
EC_ROOT_NAME: Final = name("Sandbox Financial Certification Authority E1", "Certification Authority")
ISSUING_NAME: Final = name("Sandbox Financial Class 1 R1", "Class 1 R1")
ALIPAY_NAME: Final = name("Simulated Alipay (sandbox)-2088000000000000", "Simulated Alipay", "Sandbox")


def _issue(
    subject: x509.Name,
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    signer: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    now: float,
    *,
    authority: bool,
) -> str:
    start = utc(now) - dt.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + (CA_LIFE if authority else CERTIFICATE_LIFE))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .sign(signer, SHA256)
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def certify(file: KeyFile, subject: x509.Name, key: rsa.RSAPublicKey, now: float) -> str:
    """A certificate by the issuing authority of ``file``."""
    signer = load_private(file.issuing_private_key_pem)
    return _issue(subject, key, ISSUING_NAME, signer, now, authority=False)


def new_merchant(file: KeyFile, dice: Dice, now: float, app_id: str | None = None) -> Merchant:
    """An app with generated identity, key and certificate."""
    drawn = "".join([str(byte % 10) for byte in dice.randbytes(24)])
    app_id = app_id or f"2021{drawn[:12]}"
    key = new_key()
    return Merchant(
        app_id=app_id,
        seller_id=f"2088{drawn[12:]}",
        seller_email=f"seller{drawn[12:18]}@sandbox.test",
        private_key_pem=private_pem(key),
        cert_pem=certify(file, name(app_id, "Apps", "Sandbox merchant"), key.public_key(), now),
    )


def new_keys(dice: Dice, now: float) -> KeyFile:
    """What a first start generates: a root bundle, an issuing authority, Alipay's key and one app."""
    root, issuing, alipay = new_key(), new_key(), new_key()
    ec_root = ec.generate_private_key(ec.SECP256R1())
    roots = [
        _issue(EC_ROOT_NAME, ec_root.public_key(), EC_ROOT_NAME, ec_root, now, authority=True),
        _issue(ROOT_NAME, root.public_key(), ROOT_NAME, root, now, authority=True),
    ]
    file = KeyFile(
        merchants=[],
        alipay_private_key_pem=private_pem(alipay),
        alipay_certs_pem=[],
        issuing_private_key_pem=private_pem(issuing),
        issuing_cert_pem=_issue(ISSUING_NAME, issuing.public_key(), ROOT_NAME, root, now, authority=True),
        root_bundle_pem="\n".join(roots),  # a blank line between, on which some readers split
    )
    file.alipay_certs_pem.append(certify(file, ALIPAY_NAME, alipay.public_key(), now))
    file.merchants.append(new_merchant(file, dice, now))
    return file
