"""RSASSA-PKCS1-v1_5 with SHA-256, and its base64: what our vendors sign and are signed with."""

from __future__ import annotations

import binascii
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

BITS_MIN: Final = 2048

_PADDING: Final = PKCS1v15()
_SHA256: Final = hashes.SHA256()


def sign(key: RSAPrivateKey, message: bytes) -> str:
    """The signature, base64 on one line."""
    return binascii.b2a_base64(key.sign(message, _PADDING, _SHA256), newline=False).decode()


def read_signature(text: str) -> bytes:
    """The bytes of a signature. Raises ValueError; also for a second spelling of the same bytes: the last digit before
    the padding has bits to spare."""
    try:
        raw = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raise ValueError("is not base64") from None
    if binascii.b2a_base64(raw, newline=False).decode() != text:
        raise ValueError("is not canonical base64")
    return raw


def fits(key: RSAPublicKey, signature: bytes, message: bytes) -> bool:
    """Whether the owner of the key signed this."""
    try:
        key.verify(signature, message, _PADDING, _SHA256)
    except InvalidSignature:
        return False
    return True
