"""Bytes that no vendor meant: what comes from proxies, lines that break, and people who try."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from oncepay.ports import Answer, Answered, NotSent, Unknown

NO_ANSWERS: Final[tuple[Answer, ...]] = (NotSent(why="connection refused"), Unknown(why="no answer within 8 s"))
STATUSES: Final = (200, 201, 202, 204, 301, 302, 400, 401, 403, 404, 409, 410, 422, 429, 500, 501, 502, 503, 504)
HEADERS: Final = {"content-type": "text/html", "server": "a proxy"}
BODIES: Final = (
    b"",
    b"<html><body>502 Bad Gateway</body></html>",
    b"{}",
    b"[]",
    b"null",
    b"true",
    b"0",
    b'""',
    b"{",
    b'{"a":1,"a":2}',
    b'{"a":NaN}',
    b'{"a":' + b"9" * 5_000 + b"}",
    b'{"a":"\\ud800"}',
    b"[" * 20_000,
    b'{"a":' * 20_000,
    b"a=1&a=2",
    b"&&==&%&%zz=%",
    b"sign=&sign_type=&signature=",
    b"\x00",
    b"\xff\xfe\x00\x00",
    "金额".encode("gbk"),
    b"\r\n\r\n",
    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
    b"A" * 65_536,
)
PADDING: Final = 3
ODD: Final = (b"\x00", b"\\u0000", b"%00", b"\\n", b"%0A", b"\xe2\x80\xae")  # what no log and no database should hold
CUTS: Final = 16
CHANGES: Final = 40
TEXTS: Final = ("", " ", "0", "-1", "\x00", "\r\nx: y", "é", "\ud800", "1" * 5_000, "=" * 300)


def changed(raw: bytes, dice: random.Random) -> bytes:
    """One to three small changes: a byte replaced, a bit turned, one dropped, one put in, two swapped, the rest cut."""
    data = bytearray(raw)
    for _ in range(dice.randint(1, 3)):
        at = dice.randrange(len(data)) if data else 0
        kind = dice.randrange(6)
        if kind == 0 and data:
            data[at] = dice.randrange(256)
        elif kind == 1 and data:
            data[at] ^= 1 << dice.randrange(8)
        elif kind == 2 and data:
            del data[at]
        elif kind == 3:
            data.insert(at, dice.randrange(256))
        elif kind == 4 and at:
            data[at - 1], data[at] = data[at], data[at - 1]
        elif kind == 5:
            del data[at:]
    return bytes(data)


def cut(raw: bytes, times: int = 64) -> Iterator[bytes]:
    """The first bytes of it, at up to so many lengths, never all of them."""
    yield from (raw[:length] for length in range(0, len(raw), max(1, len(raw) // times)))


def contents(genuine: bytes, dice: random.Random) -> Iterator[bytes]:
    """What a vendor might sign by mistake: rubbish, and what it meant to say, cut and changed."""
    yield from BODIES
    yield from cut(genuine, CUTS)
    yield from (changed(genuine, dice) for _ in range(CHANGES))
    for odd in ODD:
        yield from (head + odd + genuine[len(head) :] for head in cut(genuine, CUTS))


class Changed(NamedTuple):
    """A message with one thing about it changed. ``which``: which; ``signature``: it is a piece of the signature, so
    that whoever still believes it does not look at all of it."""

    which: str
    answer: Answered
    signature: bool


def flipped(genuine: Answered, foreign: Answered) -> Iterator[Changed]:
    """The message with one bit of one byte turned, for every byte. A header may also be gone, there twice, or hold
    something else. ``foreign``: the same signed by somebody else: where the two differ, there is the signature. Its
    last three characters may be padding, of which some bits mean nothing."""
    headers, body = genuine.headers, genuine.body
    start, end = differing(body, foreign.body)
    for at in range(len(body)):
        changed = body[:at] + bytes((body[at] ^ 1,)) + body[at + 1 :]
        yield Changed(
            f"byte {at} of the body", msgspec.structs.replace(genuine, body=changed), start <= at < end - PADDING
        )
    for name, value in headers.items():
        signs = value != foreign.headers.get(name)
        for at, letter in enumerate(value):
            text = value[:at] + chr(ord(letter) ^ 1) + value[at + 1 :]
            changed_ = _header(genuine, name, text)
            yield Changed(f"character {at} of {name}", changed_, signs and at < len(value) - PADDING)
        rest = {other: v for other, v in headers.items() if other != name}
        yield Changed(f"no {name}", msgspec.structs.replace(genuine, headers=rest), signs)
        for text in (f"{value}, {value}", *TEXTS):
            yield Changed(f"{name} {text[:20]!r}", _header(genuine, name, text), signs)


def _header(answer: Answered, name: str, text: str) -> Answered:
    return msgspec.structs.replace(answer, headers={**answer.headers, name: text})


def differing(one: bytes, other: bytes) -> tuple[int, int]:
    """Where the first differs from the second: from which byte to which."""
    start = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    alike = zip(reversed(one[start:]), reversed(other[start:]), strict=False)
    tail = next((n for n, (a, b) in enumerate(alike) if a != b), min(len(one), len(other)) - start)
    return start, len(one) - tail
