"""Whose certificates are believed. In 5.1.0 UnionPay sends its certificate inside each message, so this is where trust
begins. Three things make it UnionPay's:

1. it is valid today, and so are those above it;
2. it was issued under the middle and root certificates that the account holds;
3. the third part of its name (CN, split at ``@``) is UnionPay's company. **This is the one that counts**: the same
   authority issues a certificate to every merchant, and any of them could else sign in UnionPay's name.

Source: the certificate checks of UnionPay's kits. The chain may be signed with SHA-1 (the test environment's is), which
ready-made chain checks refuse, so each link is checked here: names, signature, dates.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509.oid import NameOID

from oncepay.channels.certificates import UNREADABLE
from oncepay.channels.rsa import BITS_MIN

COMPANY: Final = "中国银联股份有限公司"
TEST_COMPANY: Final = "00040000:SIGN"  # older certificates of the test environment; its merchants have it too
KEPT_MAX: Final = 16  # UnionPay signs with one at a time, and changes it every few years

_HASHES: Final = (hashes.SHA1, hashes.SHA256, hashes.SHA384, hashes.SHA512)
_PADDING: Final = PKCS1v15()


class Believed(NamedTuple):
    """A key, and from when to when all certificates on the way to the root are valid."""

    key: RSAPublicKey
    from_ms: int
    until_ms: int

    def within(self, above: Believed) -> Believed:
        """The same key, only as long as the one above is valid too."""
        return Believed(self.key, max(self.from_ms, above.from_ms), min(self.until_ms, above.until_ms))


class Authority(NamedTuple):
    """A middle certificate, and its key as far as the root above it carries."""

    certificate: x509.Certificate
    believed: Believed


def authorities(middle_pem: str, root_pem: str) -> tuple[Authority, ...]:
    """The middle certificates; each text may hold several, while an authority is being changed. Raises ValueError when
    one does not parse, or was issued under none of the roots."""
    roots = [Authority(root, _own(root)) for root in parsed(root_pem)]
    return tuple(Authority(middle, _under(middle, roots)) for middle in parsed(middle_pem))


def parsed(pem: str) -> list[x509.Certificate]:
    """The certificates of a text. Raises ValueError when there is none, or one does not parse."""
    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except UNREADABLE as error:
        raise ValueError(str(error)) from error


class Chain:
    """Those who may issue UnionPay's certificate, and the ones that it signed with before. A certificate is parsed once
    for its text; whether it is valid is looked at each time. Kept is only what came with a signature that fits, so that
    strangers, who can write UnionPay's certificate in many ways, push nothing out."""

    def __init__(self, above: tuple[Authority, ...], companies: frozenset[str]) -> None:
        self._above = above
        self._companies = companies
        self._kept: dict[str, Believed] = {}

    def believed(self, pem: str, *, now_ms: int) -> Believed:
        """UnionPay's certificate. ``pem``: as it stands in the message. Raises ValueError saying why it is none."""
        believed = self._kept.get(pem) or self._look(pem)
        if not believed.from_ms <= now_ms <= believed.until_ms:
            raise ValueError("its certificate, or one above it, is not valid now")
        return believed

    def keep(self, pem: str, believed: Believed) -> None:
        """Remember it: it came with a signature that fits."""
        if pem not in self._kept:
            if len(self._kept) >= KEPT_MAX:
                self._kept.pop(next(iter(self._kept)), None)
            self._kept[pem] = believed

    def _look(self, pem: str) -> Believed:
        try:
            certificate = parsed(pem)[0]
            company = _company(certificate)
        except UNREADABLE as error:
            raise ValueError("its certificate does not parse") from error
        if company not in self._companies:
            raise ValueError(f"its certificate is somebody else's: {company[:64]!r}")
        return _under(certificate, self._above)


def _under(certificate: x509.Certificate, above: Iterable[Authority]) -> Believed:
    for issuer in above:
        if _issued(certificate, issuer):
            return _own(certificate).within(issuer.believed)
    raise ValueError("its certificate was issued by somebody else")


def _issued(certificate: x509.Certificate, issuer: Authority) -> bool:
    try:
        algorithm = certificate.signature_hash_algorithm
        if not isinstance(algorithm, _HASHES) or certificate.issuer != issuer.certificate.subject:
            return False
        issuer.believed.key.verify(certificate.signature, certificate.tbs_certificate_bytes, _PADDING, algorithm)
    except (InvalidSignature, *UNREADABLE):
        return False
    return True


def _own(certificate: x509.Certificate) -> Believed:
    try:
        key = certificate.public_key()
    except UnsupportedAlgorithm as error:
        raise ValueError("its key is of a kind that we do not know") from error
    if not isinstance(key, RSAPublicKey) or key.key_size < BITS_MIN:
        raise ValueError(f"its key is not an RSA key of {BITS_MIN} bits or more")
    return Believed(key, _ms(certificate.not_valid_before_utc), _ms(certificate.not_valid_after_utc))


def _company(certificate: x509.Certificate) -> str:
    """The third part of the name, "" when there is none or more than one name."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    parts = str(names[0].value).split("@") if len(names) == 1 else []
    return parts[2] if len(parts) > 2 else ""


def _ms(time: datetime) -> int:
    return int(time.timestamp() * 1000)
