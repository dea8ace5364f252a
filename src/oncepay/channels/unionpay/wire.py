"""What UnionPay's messages look like: flat fields, in three spellings.

==============  ====================================================================================================
requests        a form, URL-encoded
answers         ``k=v&k=v`` and **not** encoded: a form decoder would turn the plus signs of base64 into blanks
notifications   a form, URL-encoded
==============  ====================================================================================================

A value may hold ``{...}`` or ``[...]``, and between those brackets anything, ``&`` and ``=`` too. Times are Beijing's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from oncepay.channels.forms import decoded, encoded
from oncepay.channels.texts import BEIJING, CNY
from oncepay.domain.money import MINOR_MAX

CODE_OF_CNY: Final = "156"  # ISO 4217, numeric

# Possessive throughout: a bracket that is never closed must not be tried in a thousand ways.
_NAMED: Final = r"[A-Za-z][A-Za-z0-9_]*+"
_SAID: Final = r"(?:[^&{\[]++|\{[^}]*+\}|\[[^\]]*+\])*+"
_FIELD: Final = re.compile(rf"({_NAMED})=({_SAID})(?:&(?!\Z)|\Z)", re.ASCII)
_VALUE: Final = re.compile(_SAID)
_NUMBER: Final = re.compile(r"[0-9A-Za-z]{1,64}", re.ASCII)
_AMOUNT: Final = re.compile(r"[0-9]{1,16}", re.ASCII)
_CURRENCY: Final = re.compile(r"[0-9A-Z]{3}", re.ASCII)
_TIME: Final = re.compile(r"[0-9]{14}", re.ASCII)
_HALF_A_YEAR: Final = timedelta(days=180)
_TIME_OF_YEAR: Final = re.compile(r"[0-9]{4}(?:[0-9]{6})?", re.ASCII)


def form(fields: Mapping[str, str]) -> bytes:
    """The body of a request."""
    return encoded(fields).encode()


def read_plain(text: str) -> dict[str, str]:
    """The fields of ``k=v&k=v``. Raises ValueError, also when a field stands twice: two readers must not see two
    different messages.

    >>> read_plain("a=1&b={c=2&d=3}&e=x=[&]y")
    {'a': '1', 'b': '{c=2&d=3}', 'e': 'x=[&]y'}
    """
    fields: dict[str, str] = {}
    at = 0
    while at < len(text):
        found = _FIELD.match(text, at)
        if found is None:
            raise ValueError(f"no field at character {at}")
        _add(fields, found[1], found[2])
        at = found.end()
    return fields


def read_answer(body: bytes) -> dict[str, str]:
    """The fields of an answer. Raises ValueError."""
    return read_plain(body.decode())


def read_form(body: bytes) -> dict[str, str]:
    """The fields of a notification. Raises ValueError.

    What is signed is ``k=v&k=v`` without any escape, so a field that swallows its neighbour (``a=1%26b=2``) has the
    same signature as the two of them. Only fields that would come out of that text again as they went in are taken.
    """
    fields = {name.decode(): value.decode() for name, value in decoded(body).items()}
    for name, value in fields.items():
        if ("&" in value or "{" in value or "[" in value) and not _VALUE.fullmatch(value):
            raise ValueError(f"{name[:64]!r} swallows others")
    return fields


def _add(fields: dict[str, str], name: str, value: str) -> None:
    if name in fields:
        raise ValueError(f"{name[:64]!r} stands twice")
    fields[name] = value


def number_at(fields: Mapping[str, str], name: str) -> str:
    """A number of ours or of UnionPay's. Raises ValueError when it is none."""
    text = fields.get(name, "")
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{name} is no number")
    return text


def amount(fields: Mapping[str, str]) -> int | None:
    """``txnAmt`` in fen, None if it is not said. Raises ValueError when it is no amount."""
    text = fields.get("txnAmt")
    if text is None:
        return None
    if not _AMOUNT.fullmatch(text) or int(text) > MINOR_MAX:
        raise ValueError("txnAmt is no amount")
    return int(text)


def currency(fields: Mapping[str, str]) -> str | None:
    """CNY, None if it is not said; any other by the number that stands there. Raises ValueError when it is none."""
    code = fields.get("currencyCode")
    if code is not None and not _CURRENCY.fullmatch(code):
        raise ValueError("currencyCode is no currency")
    return CNY if code == CODE_OF_CNY else code


def time_text(at_ms: int) -> str:
    """YYYYMMDDhhmmss, whole seconds rounded down.

    >>> time_text(1_800_000_000_999)
    '20270115160000'
    """
    return _time_text(at_ms // 1000)


@lru_cache(maxsize=256)  # a loaded process writes the same second a thousand times
def _time_text(at_s: int) -> str:
    return f"{datetime.fromtimestamp(at_s, BEIJING):%Y%m%d%H%M%S}"


def read_time(text: str) -> datetime | None:
    """The time of YYYYMMDDhhmmss; None for what is no time.

    >>> read_time("20270115160000")
    datetime.datetime(2027, 1, 15, 16, 0, tzinfo=datetime.timezone(datetime.timedelta(seconds=28800)))
    >>> read_time("20270230000000"), read_time("")
    (None, None)
    """
    if not _TIME.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(f"{text[:8]}T{text[8:]}").replace(tzinfo=BEIJING)
    except ValueError:
        return None


def nearest(text: str, to: datetime) -> datetime | None:
    """The time of MMDDhhmmss, or the day of MMDD, in the year that brings it nearest to ``to``: UnionPay leaves it out.
    None for what is no time.

    >>> nearest("0101000102", read_time("20261231235959")).isoformat()
    '2027-01-01T00:01:02+08:00'
    >>> nearest("1231", read_time("20270101000102")).isoformat()
    '2026-12-31T00:00:00+08:00'
    """
    if not _TIME_OF_YEAR.fullmatch(text):
        return None
    whole = text.ljust(10, "0")
    near = read_time(f"{to.year:04}{whole}")
    if near and abs(near - to) < _HALF_A_YEAR:
        return near
    times = [near, *(read_time(f"{year:04}{whole}") for year in (to.year - 1, to.year + 1))]
    return min((time for time in times if time), key=lambda time: abs(time - to), default=None)
