"""URL-encoded forms, as ``urllib`` writes and reads them. Most fields of a payment message are plain words and numbers,
of which nothing has to be escaped: seeing that first, and all of them at once where it can be, makes a form a third as
dear. Where something has to be, ``urllib`` looks at each character; here each escape is looked for in the whole."""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote_plus

FIELDS_MAX: Final = 256  # a notice has some forty; to read thousands takes a stranger's form longer than to send it

_NAMES: Final = re.compile(rb"[A-Za-z][A-Za-z0-9_]*+(?:&[A-Za-z][A-Za-z0-9_]*+)*+")
# Of what can be printed in ASCII. First the two signs of which escapes are made, or what was escaped would be again.
_ESCAPES: Final = tuple(
    (s, quote_plus(s)) for s in dict.fromkeys(("%", "+", *map(chr, range(32, 127)))) if quote_plus(s) != s
)
_BROKEN: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def encoded(fields: Mapping[str, str], charset: str = "utf-8") -> str:
    """``k=v&k=v``. The names are ours: they need no escapes.

    >>> encoded({"txnAmt": "8800", "subject": "a b&c"})
    'txnAmt=8800&subject=a+b%26c'
    """
    return "&".join(
        [
            f"{name}={value if value.isascii() and value.isalnum() else _escaped(value, charset)}"
            for name, value in fields.items()
        ]
    )


def _escaped(value: str, charset: str) -> str:
    """As ``quote_plus`` has it."""
    if not (value.isascii() and value.isprintable()):
        return quote_plus(value, encoding=charset)
    for sign, escape in _ESCAPES:
        if sign in value:
            value = value.replace(sign, escape)
    return value


def decoded(body: bytes) -> dict[bytes, bytes]:
    """The fields of a form, decoded once. Raises ValueError for what is malformed, for a name that is no plain word or
    stands twice: two readers must not see two different messages.

    >>> decoded(b"txnAmt=8800&subject=a+b%26c")
    {b'txnAmt': b'8800', b'subject': b'a b&c'}
    """
    if body.count(b"&") >= FIELDS_MAX:
        raise ValueError(f"more than {FIELDS_MAX} fields")
    if _BROKEN.search(body):
        raise ValueError("a percent sign without two digits")
    pairs = [pair.partition(b"=") for pair in body.replace(b"+", b" ").split(b"&")]
    fields = {name: _unescaped(value) if b"%" in value else value for name, equals, value in pairs if equals}
    if len(fields) != len(pairs):
        names = [name for name, equals, _ in pairs if equals]
        if len(names) == len(pairs):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"the field {twice.decode(errors='replace')[:64]!r} stands twice")
        raise ValueError("it is no form: a field without =")
    if not _NAMES.fullmatch(b"&".join(fields)):
        raise ValueError("it is no form: a name is no plain word")
    return fields


def _unescaped(value: bytes) -> bytes:
    """As ``unquote_to_bytes`` has it where each percent sign has its digits. Quoted-printable writes the same escapes
    with another sign, and Python reads it in C: a certificate in a notification has a hundred."""
    return binascii.a2b_qp(value.replace(b"=", b"=3D").replace(b"%", b"="))
