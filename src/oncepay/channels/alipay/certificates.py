"""Alipay's certificates: their serial numbers, whose they are, and how a new one is fetched.

A certificate that an operator gives us is trusted. One that is fetched must end in the root bundle, be valid now, and
be of the same company as the ones that we were given: the same authority signs the certificates of merchants too.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import md5
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from oncepay.channels.alipay import requests
from oncepay.channels.alipay.keys import Doubt, Verifier, verify
from oncepay.channels.alipay.opened import Opened
from oncepay.channels.alipay.wire import Downloaded, Said, decode, root_of, take_apart
from oncepay.channels.certificates import UNREADABLE
from oncepay.channels.rsa import BITS_MIN
from oncepay.ports import Answer, Answered, Request

SETTING: Final = "alipay_cert"
METHOD: Final = "alipay.open.app.alipaycert.download"
RSA_OIDS: Final = "1.2.840.113549.1.1."
CHAIN_MAX: Final = 4

_ONE: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def load(pem: str) -> list[x509.Certificate]:
    """The certificates of a bundle, in its order, loaded one by one: the vendor's root bundle holds one that a strict
    reader refuses, and that we do not need."""
    found = []
    for one in _ONE.findall(pem):
        try:
            certificate = x509.load_pem_x509_certificate(one.encode())
            _ = certificate.issuer, certificate.subject  # read only now
        except UNREADABLE:
            continue
        found.append(certificate)
    return found


def serial_of(certificate: x509.Certificate) -> str:
    """What Alipay calls its serial number: of the issuer's name and the number in decimal, the MD5."""
    text = f"{certificate.issuer.rfc4514_string()}{certificate.serial_number}"
    return md5(text.encode(), usedforsecurity=False).hexdigest()


def root_serial_of(bundle: Iterable[x509.Certificate]) -> str:
    """The serial number of a root bundle: of those that are signed with RSA, joined."""
    return "_".join(serial_of(c) for c in bundle if c.signature_algorithm_oid.dotted_string.startswith(RSA_OIDS))


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether it may sign other certificates."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, *UNREADABLE):
        return False


def verifier(certificate: x509.Certificate) -> Verifier:
    """Its key. Raises ValueError when it is none of ours."""
    try:
        key = certificate.public_key()
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from error
    if not isinstance(key, RSAPublicKey) or key.key_size < BITS_MIN:
        raise ValueError(f"it has no RSA key of {BITS_MIN} bits or more")
    return Verifier(key, int(certificate.not_valid_after_utc.timestamp() * 1000))


def is_trusted(
    certificate: x509.Certificate,
    between: Sequence[x509.Certificate],
    roots: Sequence[x509.Certificate],
    *,
    now_ms: int,
) -> bool:
    """Whether a chain of certificates that are valid now leads from it to one of the roots."""
    for _ in range(CHAIN_MAX):
        if not _is_valid(certificate, now_ms):
            return False
        if any(_is_valid(root, now_ms) and _issued(root, certificate) for root in roots):
            return True
        above = next((c for c in between if c != certificate and is_authority(c) and _issued(c, certificate)), None)
        if above is None:
            return False
        certificate = above
    return False


def _is_valid(certificate: x509.Certificate, now_ms: int) -> bool:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return start.timestamp() * 1000 <= now_ms <= end.timestamp() * 1000


def _issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, *UNREADABLE):
        return False
    return True


def company(certificate: x509.Certificate) -> tuple[str, ...]:
    """The organization in whose name it was made out."""
    return tuple(str(a.value) for a in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME))


def _pem(content: str) -> str:
    """What was downloaded: base64 of PEM, or of the certificate itself. Raises ValueError."""
    raw = binascii.a2b_base64(content)
    if raw.lstrip().startswith(b"-----"):
        return raw.decode("ascii")
    return x509.load_der_x509_certificate(raw).public_bytes(Encoding.PEM).decode()


# -- fetching --------------------------------------------------------------------------------------------------------


def build(opened: Opened, serial: str, *, now_ms: int) -> Request | None:
    """The request for a certificate; without a serial number, for the one that we hold. None where there are none."""
    if not opened.roots:
        return None
    wanted = serial or next(name for name in opened.verifiers if name)
    return requests.call_of(opened, METHOD, {"alipay_cert_sn": wanted}, now_ms=now_ms)


def read(answer: Answer, opened: Opened, *, now_ms: int) -> Mapping[str, Any] | None:
    """The account's settings with the new certificate added, or None when the answer is not believed. Never raises.
    The answer is signed with a key that we hold, or with the very one that it brings."""
    if not isinstance(answer, Answered) or answer.status != 200 or not opened.roots:
        return None
    try:
        told = take_apart(answer.body, root_of(METHOD))
        if decode(told.text, Said).code != "10000":
            return None
        pem = _pem(decode(told.text, Downloaded).alipay_cert_content)
        brought = load(pem)
        leaves = {serial_of(c): c for c in brought if not is_authority(c)}
        keys = {serial: verifier(certificate) for serial, certificate in leaves.items()}
    except UNREADABLE:
        return None
    between = [*brought, *opened.certificates]
    companies = {company(c) for c in opened.certificates if not is_authority(c)}
    for leaf in leaves.values():
        if company(leaf) not in companies or not is_trusted(leaf, between, opened.roots, now_ms=now_ms):
            return None
    verifiers = {**opened.verifiers, **keys}
    if not leaves or isinstance(verify((told.text,), told.sign, verifiers, serial=told.serial, now_ms=now_ms), Doubt):
        return None
    settings = opened.account.settings
    if keys.keys() <= opened.verifiers.keys():
        return settings
    return {**settings, SETTING: f"{settings[SETTING].rstrip()}\n{pem.strip()}\n"}
