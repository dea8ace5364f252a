"""Signatures of version 5.1.0 with certificates (signMethod 01): how we sign, and what is believed.

Signed is ``k=v&k=v``: all fields but the signature, sorted, values as they are. Its SHA-256 is written as 64 lower-case
hex digits, and **those** are signed with RSASSA-PKCS1-v1_5 and SHA-256 once more. Only ``verify`` makes a ``Genuine``,
and nothing but a ``Genuine`` is ever read, so that no road leads around the signature.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from oncepay.channels.unionpay.chain import Chain

VERSION: Final = "5.1.0"
ENCODING: Final = "UTF-8"
SIGN_METHOD: Final = "01"
SIGNATURE: Final = "signature"

_PADDING: Final = PKCS1v15()
_SHA256: Final = hashes.SHA256()


class Genuine(msgspec.Struct, frozen=True):
    """Fields that UnionPay signed."""

    fields: Mapping[str, str]


class Doubt(msgspec.Struct, frozen=True):
    """Why fields are not believed."""

    why: str


def digest(fields: Mapping[str, str]) -> bytes:
    """What the RSA step signs: 64 hex digits."""
    text = "&".join(f"{name}={fields[name]}" for name in sorted(fields) if name != SIGNATURE)
    return sha256(text.encode()).hexdigest().encode()


def sign(key: RSAPrivateKey, fields: Mapping[str, str]) -> str:
    """The signature, base64 on one line."""
    return binascii.b2a_base64(key.sign(digest(fields), _PADDING, _SHA256), newline=False).decode()


def verify(fields: Mapping[str, str], chain: Chain, *, now_ms: int) -> Genuine | Doubt:
    """Whether UnionPay said this. How it is signed is fixed, whatever the message says of it. Never raises."""
    if fields.get("version") != VERSION or fields.get("signMethod") != SIGN_METHOD:
        return Doubt(f"version and signMethod are not {VERSION} and {SIGN_METHOD}")
    if fields.get("encoding", "").upper() != ENCODING:
        return Doubt(f"the encoding is not {ENCODING}")
    try:
        raw = _decoded(fields.get(SIGNATURE, ""))
        chain.key(fields.get("signPubKeyCert", ""), now_ms=now_ms).verify(raw, digest(fields), _PADDING, _SHA256)
    except InvalidSignature:
        return Doubt("the signature does not fit")
    except ValueError as error:
        return Doubt(str(error))
    return Genuine(fields)


def _decoded(signature: str) -> bytes:
    """One spelling only: the last digit before the padding has bits to spare."""
    if not signature:
        raise ValueError("no signature")
    try:
        raw = binascii.a2b_base64(signature, strict_mode=True)
    except ValueError as error:
        raise ValueError("the signature is not base64") from error
    if binascii.b2a_base64(raw, newline=False).decode() != signature:
        raise ValueError("the signature is not canonical base64")
    return raw
