"""Accounts: opened once a revision, and how one is told what is missing. Everything that does not parse is refused by
name; secrets are never quoted."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar
from urllib.parse import urlsplit

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    load_der_private_key,
    load_der_public_key,
    load_pem_private_key,
    load_pem_public_key,
)

from oncepay.channels.rsa import BITS_MIN
from oncepay.domain.errors import Invalid
from oncepay.ports import Account

T = TypeVar("T")

_PEM: Final = "-----BEGIN "  # openssl writes "Bag Attributes" and more before it, for people


class Accounts(Generic[T]):
    """Opened accounts, kept as long as they do not change."""

    def __init__(self, open_account: Callable[[Account], T]) -> None:
        self._open_account = open_account
        self._opened: dict[str, tuple[Account, T]] = {}

    def open(self, account: Account) -> T:
        """Raises Invalid naming what is missing or does not parse."""
        held = self._opened.get(account.id)
        if held is not None and (held[0] is account or held[0] == account):
            return held[1]
        opened = self._open_account(account)
        self._opened[account.id] = (account, opened)
        return opened


def invalid(field: str, why: str) -> Invalid:
    """The refusal of one field."""
    return Invalid(f"{field} {why}", field=field)


def only_known(account: Account, *, identity: str, settings: str, secrets: str) -> None:
    """What would not be read is refused: an account with a misspelt address would call the vendor's own, and one that
    names another payee would be paid for this one. The names are separated by blanks. Raises Invalid."""
    for where, names in (("identity", identity), ("settings", settings), ("secrets", secrets)):
        known = names.split()
        for name in getattr(account, where):
            if name not in known:
                raise invalid(f"{where}.{name}", f"is not known; there is {', '.join(known)}")


def matching(fields: Mapping[str, Any], where: str, name: str, pattern: re.Pattern[str]) -> str:
    """A field that must be there in this form. Raises Invalid."""
    text = required(fields, where, name)
    if not pattern.fullmatch(text):
        raise invalid(f"{where}.{name}", "is malformed")
    return text


def required(fields: Mapping[str, Any], where: str, name: str) -> str:
    """A text that must be there. Raises Invalid."""
    text = fields.get(name)
    if not text:
        raise invalid(f"{where}.{name}", "is missing")
    if not isinstance(text, str):
        raise invalid(f"{where}.{name}", "is malformed")
    return text


def private_key(fields: Mapping[str, Any], name: str) -> RSAPrivateKey:
    """A private key among the secrets: PEM, or the bare base64 that some consoles hand out. Raises Invalid."""
    field = f"secrets.{name}"
    text = required(fields, "secrets", name)
    try:
        pem = _PEM in text
        key = load_pem_private_key(text.encode(), None) if pem else load_der_private_key(_der(text), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it is encrypted
        raise invalid(field, "does not parse as a private key without password") from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < BITS_MIN:
        raise invalid(field, f"is not an RSA key of {BITS_MIN} bits or more")
    return key


def public_key(fields: Mapping[str, Any], name: str) -> RSAPublicKey:
    """A public key among the settings: PEM, or bare base64. Raises Invalid."""
    field = f"settings.{name}"
    text = required(fields, "settings", name)
    try:
        pem = _PEM in text
        key = load_pem_public_key(text.encode()) if pem else load_der_public_key(_der(text))
    except (ValueError, UnsupportedAlgorithm):
        raise invalid(field, "does not parse as a public key") from None
    if not isinstance(key, RSAPublicKey) or key.key_size < BITS_MIN:
        raise invalid(field, f"is not an RSA key of {BITS_MIN} bits or more")
    return key


def _der(text: str) -> bytes:
    return binascii.a2b_base64("".join(text.split()), strict_mode=True)


def base_urls(listed: Any, *, path: str = "") -> tuple[str, ...]:
    """Where a vendor is reached: hosts, the first one preferred; ``path``: the only one that may stand behind a host,
    added where none does. Raises Invalid."""
    field = "settings.base_urls"
    try:
        urls = msgspec.convert(listed, tuple[str, ...])
        parts = [urlsplit(url) for url in urls]
    except ValueError:  # msgspec's own is one
        raise invalid(field, "is not a list of addresses") from None
    for url, part in zip(urls, parts, strict=True):
        good = part.scheme in {"https", "http"} and part.hostname and part.path in {"", path}
        if not good or part.query or part.fragment:
            raise invalid(field, f"holds {url!r}, which is not https://host{path or ' without a path'}")
    return tuple(url if part.path else url + path for url, part in zip(urls, parts, strict=True))
