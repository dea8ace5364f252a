"""URL-encoded forms, as ``urllib`` writes and reads them. Most fields of a payment message are plain words and numbers,
of which nothing has to be escaped: seeing that first halves what a form costs."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote_plus, unquote_to_bytes


def encoded(fields: Mapping[str, str], charset: str = "utf-8") -> str:
    """``k=v&k=v``. The names are ours: they need no escapes.

    >>> encoded({"txnAmt": "8800", "subject": "a b&c"})
    'txnAmt=8800&subject=a+b%26c'
    """
    return "&".join(
        [
            f"{name}={value if value.isascii() and value.isalnum() else quote_plus(value, encoding=charset)}"
            for name, value in fields.items()
        ]
    )


def decoded(part: bytes) -> bytes:
    """One side of a field, decoded once.

    >>> decoded(b"a+b%26c"), decoded(b"8800")
    (b'a b&c', b'8800')
    """
    part = part.replace(b"+", b" ")
    return unquote_to_bytes(part) if b"%" in part else part
