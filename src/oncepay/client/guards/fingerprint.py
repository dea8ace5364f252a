"""What makes two submissions the same: a hash over fields that the app chooses. Pure.

It is the same whatever order the fields come in, and however an amount is written (``10``, ``Decimal("10.00")``); text
and numbers are never the same. A list keeps its order; ``Unordered`` and sets do not, for lines of a cart that a page
may send in any order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, slots=True)
class Unordered:
    """Things whose order does not matter; how often each is there does."""

    things: Iterable[Any]


def fingerprint(fields: Mapping[str, Any]) -> str:
    """64 hexadecimal digits. Fields hold text, integers, Decimal, bool, None, and mappings, lists and sets of these.
    Raises TypeError for anything else, floats too: an amount that is rounded is not the same twice.

    >>> cart = {"buyer": 7, "lines": Unordered([{"sku": "tea", "n": 2}, {"sku": "cup", "n": 1}])}
    >>> same = {"lines": Unordered([{"n": 1, "sku": "cup"}, {"n": 2, "sku": "tea"}]), "buyer": 7}
    >>> fingerprint(cart) == fingerprint(same), fingerprint(cart) == fingerprint({**cart, "buyer": "7"})
    (True, False)
    """
    return hashlib.sha256(_canonical(fields)).hexdigest()


def _canonical(value: Any) -> bytes:
    """One way to write a value, its kind and length first, so that no two values are written alike."""
    match value:
        case None:
            return _told(b"n", b"")
        case bool():
            return _told(b"b", b"1" if value else b"0")
        case int() | Decimal():
            return _told(b"d", _digits(Decimal(value)))
        case str():
            return _told(b"s", value.encode("utf-8", "surrogatepass"))
        case Mapping():
            pairs = [_canonical(_name(name)) + _canonical(of) for name, of in value.items()]
            return _told(b"m", b"".join(sorted(pairs)))
        case Unordered(things):
            return _told(b"u", b"".join(sorted(map(_canonical, things))))
        case AbstractSet():
            return _told(b"u", b"".join(sorted(map(_canonical, value))))
        case Sequence() if not isinstance(value, bytes | bytearray | memoryview):
            return _told(b"l", b"".join(map(_canonical, value)))
    raise TypeError(
        f"what makes submissions the same is text, integers, Decimal, bool, None, not {type(value).__name__}"
    )


def _told(kind: bytes, text: bytes) -> bytes:
    return b"%b%d:%b" % (kind, len(text), text)


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"fields are named by text, not by {type(name).__name__}")
    return name


def _digits(number: Decimal) -> bytes:
    """A number in full, without the zeros that say nothing.

    >>> [_digits(Decimal(text)) for text in ("10.00", "1E+1", "-0.0", "0.5")]
    [b'10', b'10', b'0', b'0.5']
    """
    if not number.is_finite():
        raise TypeError(f"{number} is no number that two submissions could share")
    text = f"{number:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return b"0" if text in {"-0", ""} else text.encode()
