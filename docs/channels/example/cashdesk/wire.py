"""What goes over the wire to the cash desk and back: who signed it, when, and what it looks like.

Every message, either way, carries ``desk-time``, seconds since 1970, and ``desk-signature``: hex HMAC-SHA256 under the
merchant's secret over ``time LF what LF body``. ``what`` is ``POST /orders`` of a request, ``200`` of an answer,
``notice`` of a notification.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Annotated, Final, TypeVar

import msgspec

WINDOW_MS: Final = 300_000  # how far the desk's clock and ours may lie apart

T = TypeVar("T")

# What is not as narrow as it should be is not read at all, and so ends in no log and no database.
Minor = Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]
Number = Annotated[str, msgspec.Meta(pattern=r"\A[0-9A-Za-z_-]{1,64}\Z")]
Word = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z_]{1,32}\Z")]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order, as every message about it tells it. ``state``: open, paid or closed."""

    merchant: str
    number: Number
    state: Word
    minor: Minor
    currency: Word
    receipt: Number | None = None
    paid_ms: int = 0
    code: str = ""  # to be said at the counter; only in the answer to the call that made the order


class Back(msgspec.Struct, frozen=True, kw_only=True):
    """Money that goes back. ``number``: of the refund; ``state``: taken, done or refused."""

    merchant: str
    number: Number
    order: Number
    state: Word
    minor: Minor
    currency: Word


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a call was not carried out. ``number``: what it was about."""

    error: Word
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


def decode(told: Genuine, type_: type[T]) -> T:
    """Raises ValueError, also for what is nested too deep."""
    try:
        return msgspec.json.decode(told.body, type=type_)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
