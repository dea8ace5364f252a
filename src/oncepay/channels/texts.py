"""What every vendor's messages need: words fit to be kept, identities compared, Beijing's time."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Final

BEIJING: Final = timezone(timedelta(hours=8))
CNY: Final = "CNY"
WORDS_MAX: Final = 200


def printable(text: str) -> str:
    """Somebody else's text, fit for logs and databases."""
    return text if text.isprintable() else "".join(c for c in text if c.isprintable())


def differing(**pairs: tuple[str, str]) -> str:
    """Which identities in a message are not the ones that must be there, each as (said, must be).

    >>> differing(mchid=("1", "2"), appid=("a", "a"))
    "mchid is '1', not '2'"
    """
    return "; ".join(f"{name} is {said!r}, not {must!r}" for name, (said, must) in pairs.items() if said != must)


def cut(text: str, bytes_max: int) -> str:
    """As much of a text for people as fits, whole characters.

    >>> cut("茶杯", 5)
    '茶'
    """
    raw = text.encode()
    return text if len(raw) <= bytes_max else raw[:bytes_max].decode(errors="ignore")


def read_time(text: str | None) -> tuple[int, int]:
    """Milliseconds since 1970 and Beijing's day as yyyymmdd; zeros for what is no time: a payment that was made is
    not doubted because its time cannot be read. A time without a zone is Beijing's.

    >>> read_time("2027-01-15T16:05:00+08:00")
    (1800000300000, 20270115)
    >>> read_time("2027-01-15 16:05:00.143")
    (1800000300143, 20270115)
    >>> read_time("yesterday")
    (0, 0)
    """
    if not text:
        return 0, 0
    try:
        time = datetime.fromisoformat(text)
        time = time.replace(tzinfo=BEIJING) if time.tzinfo is None else time.astimezone(BEIJING)
    except (ValueError, OverflowError):
        return 0, 0
    return int(time.timestamp() * 1000), time.year * 10_000 + time.month * 100 + time.day
