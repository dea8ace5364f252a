"""UnionPay's keys from the vendor's side: a chain of its own, who signs, which merchant is believed.

Root, middle and signing certificate, the latter with UnionPay's name in its CN; merchants get their
certificates from the same middle one, which is why a chain alone proves nothing. For the faults there
are certificates that must not be believed, and one that must although it is signed with SHA-1.
"""

import base64
import datetime as dt
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from oncepay.sandbox.clock import Clock, Dice, utc
from oncepay.sandbox.rsakeys import PKCS1, SHA256, load_private, new_key, private_pem, sign_text, stranger, verify_text
from oncepay.sandbox.unionpay.wire import CERTIFICATE, SIGNATURE, Fields, digest

COMPANY: Final = "中国银联股份有限公司"
SIGNER_NAME: Final = f"041@8310000000083040@{COMPANY}@00016495"
FOREIGN_NAME: Final = "041@Z2024@Some Other Company@00000009"
LIFE: Final = dt.timedelta(days=5 * 365)
P12_PASSWORD: Final = "000000"  # noqa: S105 what UnionPay's own test files have

# Who may sign a message: UnionPay; another company of the same chain; UnionPay's name with a certificate
# out of date, or not of the chain; UnionPay with a certificate that itself is signed with SHA-1.
SIGNERS: Final = ("unionpay", "foreign", "expired", "stranger", "sha1")


class Holder(msgspec.Struct):
    """A certificate with its key: one that signs messages, or one that issues others."""

    private_key_pem: str
    certificate_pem: str


class Merchant(msgspec.Struct):
    """One merchant: its number and the certificate that UnionPay's middle certificate issued."""

    mer_id: str
    cert_id: str  # the certificate's serial, decimal
    private_key_pem: str
    certificate_pem: str
    p12_base64: str = ""  # both once more, as UnionPay hands them out


class KeyFile(msgspec.Struct):
    """Everything that is generated at the first start and kept at home."""

    root_pem: str
    middle: Holder
    signers: list[Holder]  # UnionPay's, oldest first; the last one signs
    foreign: Holder  # of the same chain, but another company's
    merchants: list[Merchant]


class Ring:
    """The keys: signs for UnionPay, and believes merchants. Without a ``file`` they are made when first needed."""

    def __init__(self, file: KeyFile | None, clock: Clock, dice: Dice) -> None:
        self._file = file
        self._clock = clock
        self._dice = dice
        self._loaded: dict[str, tuple[rsa.RSAPrivateKey, str]] = {}
        self._believed: dict[str, tuple[str, rsa.RSAPublicKey]] = {}

    @property
    def file(self) -> KeyFile:
        if self._file is None:
            self._file = new_keys(self._dice, self._clock.now())
        return self._file

    def merchant(self, mer_id: str) -> Merchant | None:
        return next((merchant for merchant in self.file.merchants if merchant.mer_id == mer_id), None)

    def add(self, mer_id: str | None) -> Merchant:
        """Let one more merchant in, of this number or a drawn one."""
        while mer_id is None or self.merchant(mer_id) is not None:
            mer_id = draw_mer_id(self._dice)
        merchant = new_merchant(self.file.middle, self._clock.now(), mer_id)
        self.file.merchants.append(merchant)
        return merchant

    def rotate(self) -> None:
        """A new signing certificate from now on; the older ones stay valid."""
        self.file.signers.append(_issue(self.file.middle, SIGNER_NAME, self._clock.now()))
        self._loaded.clear()

    def believes(self, fields: Fields) -> bool:
        """Whether the merchant that is named signed this, with the certificate that certId names."""
        known = self._known(fields.get("certId", ""))
        if known is None or known[0] != fields.get("merId"):
            return False
        return verify_text(known[1], digest(fields), fields[SIGNATURE])

    def sign(self, fields: Fields, signer: str = "unionpay", *, line_feeds: bool = False) -> Fields:
        """The fields with certificate and signature, by one of SIGNERS.

        ``line_feeds``: the certificate loses its CR after it was signed, as careless proxies do it.
        """
        key, text = self._signer(signer)
        signed = {**fields, CERTIFICATE: text}
        signed[SIGNATURE] = sign_text(key, digest(signed))
        if line_feeds:
            signed[CERTIFICATE] = text.replace("\r\n", "\n")
        return signed

    def _known(self, cert_id: str) -> tuple[str, rsa.RSAPublicKey] | None:
        """The merchant whose certificate has this serial, and its key."""
        if cert_id not in self._believed:
            for merchant in self.file.merchants:
                if merchant.cert_id == cert_id:
                    self._believed[cert_id] = merchant.mer_id, _public_key(merchant.certificate_pem)
        return self._believed.get(cert_id)

    def _signer(self, name: str) -> tuple[rsa.RSAPrivateKey, str]:
        """A signer's key and its certificate as it travels; made at its first use."""
        found = self._loaded.get(name)
        if found is None:
            signer = self._made(name)
            found = load_private(signer.private_key_pem), on_the_wire(signer.certificate_pem)
            self._loaded[name] = found
        return found

    def _made(self, name: str) -> Holder:
        file, right, now = self.file, self.file.signers[-1], self._clock.now()
        if name == "unionpay":
            return right
        if name == "foreign":
            return file.foreign
        key = load_private(right.private_key_pem)
        if name == "expired":
            return _issue(file.middle, SIGNER_NAME, now - 2 * LIFE.total_seconds(), key)
        if name == "sha1":
            return Holder(right.private_key_pem, _with_sha1(right.certificate_pem, file.middle))
        other = stranger()  # "stranger": says that our middle certificate issued it, which did not
        middle = Holder(private_pem(other), file.middle.certificate_pem)
        return _issue(middle, SIGNER_NAME, now, other)


def on_the_wire(certificate_pem: str) -> str:
    """A certificate as messages carry it: lines ended by CR LF, none after the last."""
    return certificate_pem.strip().replace("\r\n", "\n").replace("\n", "\r\n")


def new_keys(dice: Dice, now: float) -> KeyFile:
    """What a first start generates: a chain, its signer, a stranger's company, one merchant."""
    root_key, middle_key = new_key(), new_key()
    root_name, middle_name = _name("UP SIM ROOT CA"), _name("UP SIM OCA1")
    root = _certify(root_name, root_key, root_name, root_key, now, ca=True)
    middle = Holder(private_pem(middle_key), _pem(_certify(middle_name, middle_key, root_name, root_key, now, ca=True)))
    return KeyFile(
        root_pem=_pem(root),
        middle=middle,
        signers=[_issue(middle, SIGNER_NAME, now)],
        foreign=_issue(middle, FOREIGN_NAME, now),
        merchants=[new_merchant(middle, now, draw_mer_id(dice))],
    )


def draw_mer_id(dice: Dice) -> str:
    """A merchant number as those of the test environment are."""
    return "777" + "".join([str(byte % 10) for byte in dice.randbytes(12)])


def new_merchant(middle: Holder, now: float, mer_id: str) -> Merchant:
    """A merchant with a generated key and certificate."""
    issued = _issue(middle, f"041@{mer_id}@Sandbox merchant@00000001", now)
    certificate = _certificate(issued.certificate_pem)
    sealed = serialization.BestAvailableEncryption(P12_PASSWORD.encode())
    key = load_private(issued.private_key_pem)
    packed = pkcs12.serialize_key_and_certificates(b"merchant", key, certificate, None, sealed)
    return Merchant(
        mer_id=mer_id,
        cert_id=str(certificate.serial_number),
        private_key_pem=issued.private_key_pem,
        certificate_pem=issued.certificate_pem,
        p12_base64=base64.b64encode(packed).decode(),
    )


def _issue(
    middle: Holder,
    name: str,
    now: float,
    key: rsa.RSAPrivateKey | None = None,
) -> Holder:
    """A certificate for ``name`` by the middle certificate, valid for LIFE from the day before ``now``."""
    key = key or new_key()
    issuer = _certificate(middle.certificate_pem).subject
    certificate = _certify(_name(name), key, issuer, load_private(middle.private_key_pem), now)
    return Holder(private_pem(key), _pem(certificate))


def _certify(
    subject: x509.Name,
    key: rsa.RSAPrivateKey,
    issuer: x509.Name,
    issuer_key: rsa.RSAPrivateKey,
    now: float,
    *,
    ca: bool = False,
) -> x509.Certificate:
    start = utc(now) - dt.timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number() >> 120 | 1 << 38)  # 12 decimal digits; captured ones have 11
        .not_valid_before(start)
        .not_valid_after(start + LIFE)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(issuer_key, SHA256)
    )


def _with_sha1(certificate_pem: str, middle: Holder) -> str:
    """The same certificate signed with SHA-1, as the vendor's own test ones are.

    No library makes such a thing any more, so the algorithm's name and the signature are exchanged by hand.
    """
    names = bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010105")  # sha256With..., sha1WithRSA
    certificate = _certificate(certificate_pem)
    signed = certificate.tbs_certificate_bytes.replace(*names)
    signature = load_private(middle.private_key_pem).sign(signed, PKCS1, hashes.SHA1())  # noqa: S303 theirs
    whole = certificate.public_bytes(serialization.Encoding.DER)
    whole = whole.replace(certificate.tbs_certificate_bytes, signed).replace(*names)
    return _pem(x509.load_der_x509_certificate(whole.replace(certificate.signature, signature)))


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Sandbox"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _public_key(pem: str) -> rsa.RSAPublicKey:
    key = _certificate(pem).public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        raise TypeError("UnionPay's certificates hold RSA keys")
    return key


def _certificate(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())
