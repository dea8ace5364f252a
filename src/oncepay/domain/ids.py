"""Ids and numbers: everything that names a thing, made from what it is the name of.

A payment's id is a hash of (installation, app, order_no): the primary key itself is the guard against submitting
an order twice. Every number given to a channel starts with the payment's id, so any notification finds its payment
without a lookup, and is made of 32 capital letters and digits at most, which every channel accepts.

==============  ==========================================================
payment         26 characters of Crockford base32
attempt, in     payment id + 2 characters: 00 to 1Z, 64 of them
attempt, out    payment id + ``R`` + 5 characters of hash(refund_no, try)
==============  ==========================================================
"""

from __future__ import annotations

import re
from base64 import b32encode
from hashlib import blake2b
from typing import Final

from oncepay.domain.errors import NumberInvalid

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base32: no I, L, O, U
ID_LENGTH: Final = 26
ATTEMPTS_MAX: Final = 64
TRIES_MAX: Final = 128  # more than a channel takes of one refund: monthly, daily, and by people
OUT_MARK: Final = "R"

_CROCKFORD = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", ALPHABET.encode())
_NUMBER = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_ID = re.compile(f"[{ALPHABET}]{{{ID_LENGTH}}}", re.ASCII)


def base32(value: int, length: int) -> str:
    """The ``length`` lowest base32 digits of ``value``, highest first.

    >>> base32(33, 2)
    '11'
    """
    digits = []
    for _ in range(length):
        value, digit = divmod(value, 32)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))


def hashed(length: int, *parts: str) -> str:
    """A hash of the parts in up to 32 base32 characters. Parts are length-prefixed: ("a", "bc") is not ("ab", "c")."""
    text = b"".join(b"%d:%b" % (len(raw), raw) for raw in (part.encode() for part in parts))
    return b32encode(blake2b(text, digest_size=20).digest()).translate(_CROCKFORD)[:length].decode()


def payment_id(installation: str, app: str, order_no: str) -> str:
    """The id of the payment of this order of this app in this installation."""
    return hashed(ID_LENGTH, installation, app, order_no)


def in_number(payment: str, index: int) -> str:
    """The number of a payment's attempt ``index``, 0 to 63."""
    return payment + base32(index, 2)


def out_number(payment: str, refund_no: str, try_: int) -> str:
    """The number of try ``try_`` (from 0) of a refund: given again after a lost row, it means the same refund."""
    return f"{payment}{OUT_MARK}{hashed(5, refund_no, str(try_))}"


def out_numbers(payment: str, refund_no: str) -> list[str]:
    """The numbers that tries of a refund have or would have: it is known by each of them."""
    return [out_number(payment, refund_no, try_) for try_ in range(TRIES_MAX)]


def payment_of(number: str) -> str:
    """The payment id at the head of a number, or "" when the number cannot be one of ours."""
    head = number[:ID_LENGTH]
    return head if _ID.fullmatch(head) else ""


def refund_id(payment: str, refund_no: str) -> str:
    """The public id of a refund, without its prefix: it carries its payment's id."""
    return payment + hashed(6, refund_no)


def case_id(about: str, kind: str) -> str:
    """One case for each thing that it is ``about`` (see ``CaseOpened``) and kind."""
    return hashed(ID_LENGTH, about, kind)


def is_id(text: str) -> bool:
    """Whether the text has the shape of a payment id."""
    return _ID.fullmatch(text) is not None


def check_number(number: str, field: str) -> None:
    """Refuse a number of the app's that is not 1 to 64 of A-Z a-z 0-9 _ - ; ``field`` names it in the error."""
    if not _NUMBER.fullmatch(number):
        raise NumberInvalid(f"{field} must be 1 to 64 of A-Z a-z 0-9 _ -", field=field)
