"""A quick stand-in for RSA signatures: what is sealed with a key is believed by who holds that key's other half, and by
nobody else. A signature of 2048 bits takes 0.25 ms, which is half of what a simulated payment may cost; RSA itself is
looked at by the channels' own tests, by the storm, and by one world in fifty.

Both sides, the centre's and the sandbox's, are replaced together; what they sign, and whether they look, is theirs.
"""

from __future__ import annotations

import binascii
import hmac
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from hashlib import blake2b
from types import ModuleType
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from oncepay.channels import rsa
from oncepay.sandbox import rsakeys
from oncepay.testing.sim.patching import instead, places_of

BYTES: Final = 256
KEPT_MAX: Final = 2_000

_halves: Final[dict[int, tuple[object, bytes]]] = {}  # by identity; the key is kept, so that no other gets its place


def _common(key: RSAPrivateKey | RSAPublicKey) -> bytes:
    """What both halves of a key know."""
    known = _halves.get(id(key))
    if known is None:
        if len(_halves) > KEPT_MAX:
            _halves.clear()
        public = key.public_key() if isinstance(key, RSAPrivateKey) else key
        known = _halves[id(key)] = (key, blake2b(public.public_numbers().n.to_bytes(1024, "big")).digest())
    return known[1]


def _seal(key: RSAPrivateKey | RSAPublicKey, message: bytes) -> bytes:
    return blake2b(message, key=_common(key)).digest() * (BYTES // 64)


def _sign(key: RSAPrivateKey, message: bytes) -> str:
    return binascii.b2a_base64(_seal(key, message), newline=False).decode()


def _fits(key: RSAPublicKey, signature: bytes, message: bytes) -> bool:
    return hmac.compare_digest(signature, _seal(key, message))


def _verify_text(key: RSAPublicKey, message: bytes, signature: str) -> bool:
    try:
        return _fits(key, binascii.a2b_base64(signature, strict_mode=True), message)
    except ValueError:
        return False


@contextmanager
def quick_seals() -> Iterator[None]:
    """While it lasts, seals instead of signatures, everywhere."""
    with ExitStack() as stack:
        for original, other, places in _replaced():
            stack.enter_context(instead(original, other, places))
        yield


@cache
def _replaced() -> list[tuple[Any, Any, list[tuple[ModuleType, str]]]]:
    """What, by what, and where: looked up once, when all channels have been imported."""
    pairs = ((rsa.sign, _sign), (rsa.fits, _fits), (rsakeys.sign_text, _sign), (rsakeys.verify_text, _verify_text))
    return [(original, other, places_of(original)) for original, other in pairs]
