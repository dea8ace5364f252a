"""What goes over the wire to the cash desk and back: who signed it, when, and what it looks like.

Every message, either way, carries ``desk-time``, seconds since 1970, and ``desk-signature``: hex HMAC-SHA256 under the
merchant's secret over ``time LF what LF body``. ``what`` is ``POST /orders`` of a request, ``200`` of an answer,
``notice`` of a notification.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

WINDOW_MS: Final = 300_000  # how far the desk's clock and ours may lie apart

Minor = Annotated[int, msgspec.Meta(ge=1)]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order, as every message about it tells it. ``state``: open, paid or closed."""

    merchant: str
    number: str
    state: str
    minor: Minor
    currency: str
    receipt: str = ""
    paid_ms: int = 0
    code: str = ""  # to be said at the counter; only in the answer to the call that made the order


class Back(msgspec.Struct, frozen=True, kw_only=True):
    """Money that goes back. ``number``: of the refund; ``state``: taken, done or refused."""

    merchant: str
    number: str
    order: str
    state: str
    minor: Minor
    currency: str


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a call was not carried out. ``number``: what it was about."""

    error: str
    number: str = ""


class Genuine(msgspec.Struct, frozen=True):
    """A body that the desk signed, and when. Nothing else is ever parsed."""

    body: bytes
    said_ms: int


def signature(secret: str, at_s: int | str, what: str, body: bytes) -> str:
    """The same for both sides."""
    return hmac.digest(secret.encode(), f"{at_s}\n{what}\n".encode() + body, "sha256").hex()


def verified(headers: Mapping[str, str], what: str, body: bytes, secret: str, *, now_ms: int) -> Genuine | str:
    """Whether the desk said this, and now; else why not. Never raises."""
    at_s, signed = headers.get("desk-time", ""), headers.get("desk-signature", "")
    if not signed:
        return "it is not signed"
    if not (at_s.isascii() and at_s.isdecimal() and len(at_s) <= 12):
        return "it says no time"
    said_ms = int(at_s) * 1000
    if abs(now_ms - said_ms) > WINDOW_MS:
        return "it is stale"
    if not hmac.compare_digest(signature(secret, at_s, what, body).encode(), signed.encode(errors="replace")):
        return "the signature does not fit"
    return Genuine(body, said_ms)
