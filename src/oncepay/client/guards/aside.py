"""Messages of a broker that could not be taken in, kept in the app's database so that nothing waits behind them.

A broker hands out what it holds in a line, and a message that stays unacknowledged holds up the line or comes back at
once. So what cannot be taken in is written here, acknowledged, and tried again on a timetable: what a handler will not
take, until it takes it; what was refused, in case the secret is mended or a newer version is installed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import msgspec

from oncepay.client.guards.scripts import Row, Script, change, rows

ASIDE_MAX: Final = 100  # messages that a listing gives
ROUND_MAX: Final = 20  # messages that are tried again in one round
PAUSE_MAX_MS: Final = 3_600_000
BODY_MAX: Final = 262_144  # bytes; a longer one is no event, and only its beginning is kept
ERROR_MAX: Final = 500  # characters
NAME_MAX: Final = 80


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What a broker handed out. ``headers``: in any case. ``body``: as it came, byte for byte."""

    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> str:
        """What it says of itself, before anybody has looked whether that is true."""
        return next((value for name, value in self.headers.items() if name.lower() == "webhook-id"), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """A message that was put aside. ``key``: of it here. ``place``: where it came from. ``event``: ``evt_...``, as it
    says. ``error``: why it could not be taken in, the last time. ``genuine``: it was verified, and a handler failed.
    ``tries``: how often it was tried since. ``since_ms``, ``due_ms``: when it came, when it is tried next."""

    key: str
    place: str
    event: str
    error: str
    genuine: bool
    tries: int
    since_ms: int
    due_ms: int
    message: Message


def pause_ms(tries: int) -> int:
    """How long to wait after so many tries in vain.

    >>> [pause_ms(tries) // 1000 for tries in (0, 1, 2, 3, 11, 12, 500)]
    [1, 2, 4, 8, 2048, 3600, 3600]
    """
    return min(1000 << min(tries, 20), PAUSE_MAX_MS)


def error_text(error: Exception) -> str:
    """What went wrong, short enough to be stored, and such text as can be. Never raises: what an app's own error says
    of itself may hold up nobody."""
    try:
        words = str(error)
    except Exception:  # an error that fails in its turn
        words = "(it cannot say what)"
    text = f"{type(error).__name__}: {words}".replace("\0", "")[:ERROR_MAX]
    return text.encode("utf-8", "replace").decode()


def putting_aside(message: Message, place: str, error: Exception, now_ms: int, *, genuine: bool) -> Script[None]:
    """Keep a message; the same one again is kept once."""
    kept = Message(headers=message.headers, body=message.body[:BODY_MAX])
    text = msgspec.json.encode(kept)
    yield from change(
        "put_aside",
        digest=hashlib.sha256(text).hexdigest(),
        place=place,
        event=message.event.replace("\0", "")[:NAME_MAX],
        error=error_text(error),
        message=text.decode(),
        genuine=int(genuine),
        now_ms=now_ms,
        due_ms=now_ms + pause_ms(0),
    )


def listing_aside() -> Script[list[Aside]]:
    """What was put aside, the oldest first."""
    return [_aside(row) for row in (yield from rows("aside", limit=ASIDE_MAX))]


def due_aside(now_ms: int) -> Script[list[Aside]]:
    """What is to be tried again."""
    return [_aside(row) for row in (yield from rows("aside_due", now_ms=now_ms, limit=ROUND_MAX))]


def putting_aside_off(kept: Aside, now_ms: int) -> Script[bool]:
    """Whether it is ours to try it now; if we die, the next time comes anyway."""
    next_ms = now_ms + pause_ms(kept.tries + 1)
    return (yield from change("put_aside_off", digest=kept.key, due_ms=kept.due_ms, next_ms=next_ms)) == 1


def failing_aside(kept: Aside, error: Exception) -> Script[None]:
    """Note why it was in vain again."""
    yield from change("fail_aside", digest=kept.key, error=error_text(error))


def hurrying_aside(now_ms: int) -> Script[int]:
    """Try all of it as soon as may be; how many."""
    return (yield from change("hurry_aside", now_ms=now_ms))


def dropping_aside(key: str) -> Script[bool]:
    """Keep it no longer; whether it was there."""
    return (yield from change("drop_aside", digest=key)) == 1


def _aside(row: Row) -> Aside:
    key, place, event, error, message, genuine, tries, since_ms, due_ms = row
    return Aside(
        key=key,
        place=place,
        event=event,
        error=error,
        genuine=bool(genuine),
        tries=tries,
        since_ms=since_ms,
        due_ms=due_ms,
        message=msgspec.json.decode(message, type=Message),
    )
