"""WeChat Pay's cryptography from the vendor's side: who signs, who is believed, what is sealed.

RSASSA-PKCS1-v1_5 with SHA-256 for signatures, AES-256-GCM for notifications and certificates,
RSAES-OAEP with SHA-1 for sensitive fields. Own code: nothing is shared with the channels.
"""

import base64
import datetime as dt
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
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

OAEP: Final = padding.OAEP(
    mgf=padding.MGF1(algorithm=hashes.SHA1()),  # noqa: S303 the vendor's choice
    algorithm=hashes.SHA1(),  # noqa: S303
    label=None,
)
PUBLIC_KEY_PREFIX: Final = "PUB_KEY_ID_"
CERTIFICATE_LIFE: Final = dt.timedelta(days=5 * 365)
_LETTERS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Merchant(msgspec.Struct):
    """One direct merchant: its identity, its API certificate and its APIv3 key."""

    mchid: str
    appid: str
    serial_no: str
    private_key_pem: str
    certificate_pem: str
    apiv3_key: str


class Platform(msgspec.Struct):
    """One platform certificate of WeChat Pay with the private key that only WeChat Pay has."""

    serial_no: str
    private_key_pem: str
    certificate_pem: str


class KeyFile(msgspec.Struct):
    """Everything that is generated at the first start and kept at home in ``keys.json``."""

    merchants: list[Merchant]
    platforms: list[Platform]  # oldest first; the last one signs
    public_key_id: str
    public_key_private_pem: str


class Ring:
    """The keys, loaded: signs for WeChat Pay, and believes merchants.

    Signer ids are what travels in ``Wechatpay-Serial``: a platform certificate's serial or the id
    of the public key.
    """

    def __init__(self, file: KeyFile) -> None:
        self.file = file
        self.signers: dict[str, rsa.RSAPrivateKey] = {}
        for platform in file.platforms:
            self.signers[platform.serial_no] = load_private(platform.private_key_pem)
        self.signers[file.public_key_id] = load_private(file.public_key_private_pem)
        self.merchants = {merchant.mchid: merchant for merchant in file.merchants}
        self._believed = {
            (merchant.mchid, merchant.serial_no): _certified_key(merchant.certificate_pem)
            for merchant in file.merchants
        }
        self._sealers = {m.mchid: AESGCM(m.apiv3_key.encode()) for m in file.merchants}

    @property
    def certificate_serial(self) -> str:
        """The serial of the newest platform certificate."""
        return self.file.platforms[-1].serial_no

    @property
    def public_key_pem(self) -> str:
        return public_pem(self.signers[self.file.public_key_id])

    def rotate(self, platform: Platform) -> None:
        """From now on ``platform`` signs; the older certificates stay valid."""
        self.file.platforms.append(platform)
        self.signers[platform.serial_no] = load_private(platform.private_key_pem)

    def add(self, merchant: Merchant) -> None:
        """Let one more merchant in."""
        self.file.merchants.append(merchant)
        self.merchants[merchant.mchid] = merchant
        key = _certified_key(merchant.certificate_pem)
        self._believed[merchant.mchid, merchant.serial_no] = key
        self._sealers[merchant.mchid] = AESGCM(merchant.apiv3_key.encode())

    def sign(self, signer_id: str, timestamp: str, nonce: str, body: bytes) -> str:
        """The ``Wechatpay-Signature`` of a response or notification, base64 on one line."""
        return sign_text(self.signers[signer_id], f"{timestamp}\n{nonce}\n".encode() + body + b"\n")

    def forge(self, timestamp: str, nonce: str, body: bytes) -> str:
        """A signature by somebody else's key."""
        return sign_text(stranger(), f"{timestamp}\n{nonce}\n".encode() + body + b"\n")

    def believes(self, mchid: str, serial_no: str, message: bytes, signature: str) -> bool | None:
        """Whether the merchant signed ``message``; None when that merchant has no such serial."""
        key = self._believed.get((mchid, serial_no))
        if key is None:
            return None
        return verify_text(key, message, signature)

    def seal(self, mchid: str, plaintext: bytes, nonce: str, associated: str) -> str:
        """AES-256-GCM under the merchant's APIv3 key; base64 of ciphertext and tag."""
        sealed = self._sealers[mchid].encrypt(nonce.encode(), plaintext, associated.encode())
        return base64.b64encode(sealed).decode()

    def open_field(self, signer_id: str, ciphertext: str) -> str | None:
        """A sensitive field a merchant sealed to us, or None when it was not sealed to this key."""
        key = self.signers.get(signer_id)
        if key is None:
            return None
        try:
            return key.decrypt(base64.b64decode(ciphertext, validate=True), OAEP).decode()
        except ValueError:  # bad base64, bad padding, wrong key, not UTF-8: all are ValueErrors
            return None


def serial_hex(certificate: x509.Certificate) -> str:
    """A certificate's serial as WeChat Pay writes it: 40 upper-case hex digits."""
    return f"{certificate.serial_number:040X}"


def _certified_key(pem: str) -> rsa.RSAPublicKey:
    key = x509.load_pem_x509_certificate(pem.encode()).public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        raise TypeError("WeChat Pay's certificates hold RSA keys")
    return key


def letters(dice: Dice, count: int) -> str:
    """``count`` random digits and letters."""
    return "".join([_LETTERS[byte % 62] for byte in dice.randbytes(count)])


def certify(name: str, organisation: str, now: float) -> tuple[str, str, str]:
    """A new key with its self-signed certificate: (serial, private key PEM, certificate PEM)."""
    key = new_key()
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    start = utc(now) - dt.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number() | 1 << 156)  # always 40 hex digits
        .not_valid_before(start)
        .not_valid_after(start + CERTIFICATE_LIFE)
        .sign(key, SHA256)
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    return serial_hex(certificate), private_pem(key), pem


def new_merchant(dice: Dice, now: float, mchid: str | None = None) -> Merchant:
    """A merchant with generated identity, certificate and APIv3 key."""
    mchid = mchid or "19" + "".join([str(byte % 10) for byte in dice.randbytes(8)])
    serial_no, key_pem, certificate_pem = certify(mchid, "Sandbox merchant", now)
    return Merchant(
        mchid=mchid,
        appid="wx" + dice.randbytes(8).hex(),
        serial_no=serial_no,
        private_key_pem=key_pem,
        certificate_pem=certificate_pem,
        apiv3_key=letters(dice, 32),
    )


def new_platform(now: float) -> Platform:
    """A new platform certificate."""
    return Platform(*certify("Simulated WeChat Pay platform", "Sandbox", now))


def new_keys(dice: Dice, now: float) -> KeyFile:
    """What a first start generates: one merchant, one platform certificate, one public key."""
    merchant = new_merchant(dice, now)
    public = new_key()
    day = utc(now).strftime("%Y%m%d")
    return KeyFile(
        merchants=[merchant],
        platforms=[new_platform(now)],
        public_key_id=f"{PUBLIC_KEY_PREFIX}01{merchant.mchid}{day}00000000000001",
        public_key_private_pem=private_pem(public),
    )
