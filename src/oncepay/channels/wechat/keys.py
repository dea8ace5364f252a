"""Signatures and sealed texts of APIv3: who is believed, and what can be opened.

Signed is ``timestamp LF nonce LF body LF``, with RSASSA-PKCS1-v1_5 and SHA-256. Only ``verify`` makes a ``Genuine``,
and nothing but a ``Genuine`` is ever parsed, so that no road leads around the signature.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from oncepay.channels.rsa import fits, read_signature
from oncepay.channels.wechat.wire import Sealed

SCHEME: Final = "WECHATPAY2-SHA256-RSA2048"
SEAL: Final = "AEAD_AES_256_GCM"
PROBE: Final = "WECHATPAY/SIGNTEST/"  # a signature that must fail: the vendor looks whether we verify
PUBLIC_KEY_ID: Final = "PUB_KEY_ID_"
WINDOW_MS: Final = 300_000  # how far the vendor's clock and ours may lie apart

_STAMP: Final = re.compile(r"[1-9][0-9]{0,11}", re.ASCII)
_NONCE: Final = re.compile(r"[!-~]{1,128}", re.ASCII)  # no line feed: it would move the border to the body


class Verifier(NamedTuple):
    """A key of the vendor's. ``until_ms``: when its certificate ends; 0 for a key without one."""

    key: RSAPublicKey
    until_ms: int = 0


class Genuine(msgspec.Struct, frozen=True):
    """A body that the vendor signed, and when."""

    body: bytes
    said_ms: int


class Doubt(msgspec.Struct, frozen=True, kw_only=True):
    """Why a body is not believed. ``unsigned``: it does not even claim to be signed."""

    why: str
    probe: bool = False
    refresh: bool = False
    unsigned: bool = False


def verify(
    headers: Mapping[str, str], body: bytes, verifiers: Mapping[str, Verifier], *, now_ms: int
) -> Genuine | Doubt:
    """Whether the vendor said this, and now. ``headers``: names in lower case. Never raises."""
    signature = headers.get("wechatpay-signature", "")
    if signature.startswith(PROBE):
        return Doubt(why="a probe: its signature is wrong on purpose", probe=True)
    if not signature:
        return Doubt(why="no header wechatpay-signature", unsigned=True)
    stamp, nonce = headers.get("wechatpay-timestamp", ""), headers.get("wechatpay-nonce", "")
    if not _STAMP.fullmatch(stamp):
        return Doubt(why="wechatpay-timestamp is missing or no time")
    if not _NONCE.fullmatch(nonce):
        return Doubt(why="wechatpay-nonce is missing or malformed")
    if headers.get("wechatpay-signature-type", SCHEME) != SCHEME:
        return Doubt(why=f"wechatpay-signature-type is not {SCHEME}")
    said_ms = int(stamp) * 1000
    if abs(now_ms - said_ms) >= WINDOW_MS:
        return Doubt(why=f"stale: signed {(now_ms - said_ms) // 1000} s ago")
    serial = headers.get("wechatpay-serial", "")
    verifier = verifiers.get(serial)
    if verifier is None:
        return _unknown(serial)
    if verifier.until_ms and now_ms > verifier.until_ms:
        return Doubt(why=f"the certificate {serial} has expired", refresh=True)
    try:
        raw = read_signature(signature)
    except ValueError as error:
        return Doubt(why=f"wechatpay-signature {error}")
    if not fits(verifier.key, raw, b"%b\n%b\n%b\n" % (stamp.encode(), nonce.encode(), body)):
        return Doubt(why="the signature does not fit")
    return Genuine(body, said_ms)


def _unknown(serial: str) -> Doubt:
    if serial.startswith(PUBLIC_KEY_ID):  # comes from the vendor's console by hand; there is nothing to fetch
        return Doubt(why=f"signed with a public key that the account does not hold: {serial[:64]!r}")
    return Doubt(why=f"signed with a key that the account does not hold: {serial[:64]!r}", refresh=bool(serial))


def unseal(key: AESGCM, sealed: Sealed) -> bytes:
    """Open what only we and the vendor can read (AES-256-GCM under the APIv3 key). Raises ValueError saying why not."""
    if sealed.algorithm != SEAL:
        raise ValueError(f"the algorithm is not {SEAL}")
    nonce = sealed.nonce.encode()
    if len(nonce) != 12:
        raise ValueError("the nonce is not 12 bytes")
    try:
        ciphertext = binascii.a2b_base64(sealed.ciphertext, strict_mode=True)
        return key.decrypt(nonce, ciphertext, (sealed.associated_data or "").encode())
    except ValueError as error:
        raise ValueError("the ciphertext is not base64") from error
    except InvalidTag as error:
        raise ValueError("it does not open with the account's APIv3 key") from error
