"""Signatures of version 5.1.0 with certificates (signMethod 01): how we sign, and what is believed.

Signed is ``k=v&k=v``: all fields but the signature, sorted, values as they are. Its SHA-256 is written as 64 lower-case
hex digits, and **those** are signed with RSASSA-PKCS1-v1_5 and SHA-256 once more. Only ``verify`` makes a ``Genuine``,
and nothing but a ``Genuine`` is ever read, so that no road leads around the signature.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from oncepay.channels import rsa
from oncepay.channels.unionpay.chain import Chain

VERSION: Final = "5.1.0"
ENCODING: Final = "UTF-8"
SIGN_METHOD: Final = "01"
SIGNATURE: Final = "signature"


class Genuine(msgspec.Struct, frozen=True):
    """Fields that UnionPay signed."""

    fields: Mapping[str, str]


class Doubt(msgspec.Struct, frozen=True):
    """Why fields are not believed."""

    why: str


def digest(fields: Mapping[str, str]) -> bytes:
    """What the RSA step signs: 64 hex digits."""
    text = "&".join([f"{name}={value}" for name, value in sorted(fields.items()) if name != SIGNATURE])
    return sha256(text.encode()).hexdigest().encode()


def sign(key: RSAPrivateKey, fields: Mapping[str, str]) -> str:
    """The signature, base64 on one line."""
    return rsa.sign(key, digest(fields))


def verify(fields: Mapping[str, str], chain: Chain, *, now_ms: int) -> Genuine | Doubt:
    """Whether UnionPay said this. How it is signed is fixed, whatever the message says of it. Never raises."""
    if fields.get("version") != VERSION or fields.get("signMethod") != SIGN_METHOD:
        return Doubt(f"version and signMethod are not {VERSION} and {SIGN_METHOD}")
    if fields.get("encoding", "").upper() != ENCODING:
        return Doubt(f"the encoding is not {ENCODING}")
    if SIGNATURE not in fields:
        return Doubt("no signature")
    try:
        signature = rsa.read_signature(fields[SIGNATURE])
    except ValueError as error:
        return Doubt(f"the signature {error}")
    pem = fields.get("signPubKeyCert", "")
    try:
        believed = chain.believed(pem, now_ms=now_ms)
    except ValueError as error:
        return Doubt(str(error))
    if not rsa.fits(believed.key, signature, digest(fields)):
        return Doubt("the signature does not fit")
    chain.keep(pem, believed)
    return Genuine(fields)
