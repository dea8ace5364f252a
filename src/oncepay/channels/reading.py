"""What every translator reads alike, whatever the vendor: fields of accounts, RSA keys, other people's texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, Protocol, TypeVar
from urllib.parse import urlsplit

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from oncepay.domain.errors import Invalid
from oncepay.ports import Account

RSA_BITS_MIN: Final = 2048
WORDS_MAX: Final = 200


class HasAccount(Protocol):
    """An account with its keys parsed."""

    @property
    def account(self) -> Account:
        """What it was opened from."""
        ...


T = TypeVar("T", bound=HasAccount)


class Accounts(Generic[T]):
    """Opened accounts, kept as long as they do not change: keys are parsed once, not once a request."""

    def __init__(self, open_account: Callable[[Account], T]) -> None:
        self._open = open_account
        self._opened: dict[str, T] = {}

    def open(self, account: Account) -> T:
        """Raises Invalid naming what is missing or does not parse."""
        held = self._opened.get(account.id)
        if held is not None and (held.account is account or held.account == account):
            return held
        opened = self._open(account)
        self._opened[account.id] = opened
        return opened


def invalid(field: str, why: str) -> Invalid:
    """The refusal of an account's field. Never quote a secret in ``why``."""
    return Invalid(f"{field} {why}", field=field)


def there(fields: Mapping[str, Any], where: str, name: str) -> str:
    """The text of a field that must be there. ``where``: identity, settings or secrets. Raises Invalid."""
    text = fields.get(name)
    if not text:
        raise invalid(f"{where}.{name}", "is missing")
    if not isinstance(text, str):
        raise invalid(f"{where}.{name}", "is malformed")
    return text


def matching(fields: Mapping[str, Any], where: str, name: str, pattern: re.Pattern[str]) -> str:
    """The text of a field that must have a form. Raises Invalid."""
    text = there(fields, where, name)
    if not pattern.fullmatch(text):
        raise invalid(f"{where}.{name}", "is malformed")
    return text


def flag(settings: Mapping[str, Any], name: str) -> bool:
    """A setting that is on or off; off when it is not there. The command line gives texts. Raises Invalid."""
    value = settings.get(name, False)
    if value in (True, "true"):
        return True
    if value in (False, "false"):
        return False
    raise invalid(f"settings.{name}", "is neither true nor false")


def private_key(secrets: Mapping[str, str], name: str) -> RSAPrivateKey:
    """Our own signing key. Raises Invalid."""
    field = f"secrets.{name}"
    pem = there(secrets, "secrets", name)
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it is encrypted
        raise invalid(field, "does not parse as a private key without password") from None
    return rsa_private(key, field)


def rsa_private(key: object, field: str) -> RSAPrivateKey:
    """Refuse a key that is of another kind, or too short. Raises Invalid."""
    if not isinstance(key, RSAPrivateKey) or key.key_size < RSA_BITS_MIN:
        raise invalid(field, f"is not an RSA key of {RSA_BITS_MIN} bits or more")
    return key


def base_urls(settings: Mapping[str, Any], usual: tuple[str, ...]) -> tuple[str, ...]:
    """The vendor's hosts, the first one preferred. Raises Invalid."""
    field = "settings.base_urls"
    try:
        urls = msgspec.convert(settings.get("base_urls") or usual, tuple[str, ...])
        parts = [urlsplit(url) for url in urls]
    except ValueError:  # msgspec's own is one
        raise invalid(field, "is not a list of addresses") from None
    for url, part in zip(urls, parts, strict=True):
        if part.scheme not in {"https", "http"} or not part.hostname or part.path or part.query or part.fragment:
            raise invalid(field, f"holds {url!r}, which is not https://host without a path")
    return urls


def differing(**pairs: tuple[str, str]) -> str:
    """Which identities in a message are not the ones that must be there, each as (said, must be).

    >>> differing(mchid=("1", "2"), appid=("a", "a"))
    "mchid is '1', not '2'"
    """
    return "; ".join(f"{name} is {said!r}, not {must!r}" for name, (said, must) in pairs.items() if said != must)


def printable(text: str) -> str:
    """Somebody else's text, fit for logs and databases."""
    return text if text.isprintable() else "".join(c for c in text if c.isprintable())
