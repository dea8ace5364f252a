"""Signatures of Alipay's: who is believed. Only ``verify`` makes a ``Genuine``, and of an answer or a notification
nothing else is ever read, so that no road leads around the signature.

Every key that an account holds is trusted, so whichever fits will do. The serial number that a message names is not
signed: it only says which key to try first, and which is to be fetched when none that we hold fits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from oncepay.channels.rsa import fits, read_signature

SIGN_TYPE: Final = "RSA2"  # never read from a message
PUBLIC_KEY: Final = ""  # the serial number of a key without a certificate


class Verifier(NamedTuple):
    """A key of the vendor's. ``until_ms``: when its certificate ends; 0 for a key without one."""

    key: RSAPublicKey
    until_ms: int = 0


class Genuine(msgspec.Struct, frozen=True):
    """A text that the vendor signed."""

    text: bytes


class Doubt(msgspec.Struct, frozen=True, kw_only=True):
    """Why a message is not believed. ``unheld``: the serial number that it names and we do not hold."""

    why: str
    unheld: str = ""


def verify(
    texts: Iterable[bytes], signature: str, verifiers: Mapping[str, Verifier], *, serial: str, now_ms: int
) -> Genuine | Doubt:
    """Whether the vendor signed one of ``texts``, ways to read the same message. Never raises."""
    held = {name: verifier for name, verifier in verifiers.items() if not 0 < verifier.until_ms < now_ms}
    unheld = serial if serial and serial not in held else ""
    try:
        raw = read_signature(signature)
    except ValueError as error:
        return Doubt(why=f"sign {error}", unheld=unheld)
    tried = sorted(held, key=lambda name: name != serial)
    for text in texts:
        if any(fits(held[name].key, raw, text) for name in tried):
            return Genuine(text)
    if unheld:
        return Doubt(why=f"signed with a certificate that the account does not hold: {serial[:64]!r}", unheld=unheld)
    return Doubt(why="the signature does not fit")
