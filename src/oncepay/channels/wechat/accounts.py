"""A merchant's account, opened once a revision: keys parsed, the constant parts of every request made.

==========  ==================================================================================================
identity    ``mchid``, ``appid``
secrets     ``merchant_private_key_pem`` (RSA, 2048 bits or more), ``apiv3_key`` (32 characters)
settings    ``merchant_serial_no`` of the merchant's certificate;
            ``public_key_id`` and ``public_key_pem``: WeChat Pay's public key, from the merchant console;
            ``platform_certificates``: [{``serial_no``, ``pem``}], fetched by ourselves, old ones stay;
            ``use``: ``public_key`` or ``platform``: which of the two the vendor shall sign its answers with;
            ``base_urls``: hosts, the first one preferred
==========  ==================================================================================================

Both kinds of the vendor's keys are believed side by side, chosen by the serial that a message names: while a merchant
moves from certificates to the public key, notifications come signed with either.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from oncepay.channels.wechat.keys import PUBLIC_KEY_ID, SCHEME, Verifier
from oncepay.domain.errors import Invalid
from oncepay.ports import Account

BASE_URLS: Final = ("https://api.mch.weixin.qq.com", "https://api2.mch.weixin.qq.com")  # the second: another city
RSA_BITS_MIN: Final = 2048

_MCHID: Final = re.compile(r"[0-9]{1,32}", re.ASCII)
_APPID: Final = re.compile(r"[0-9A-Za-z_-]{1,32}", re.ASCII)
_SERIAL: Final = re.compile(r"[0-9A-Fa-f]{1,64}", re.ASCII)
_KEY_ID: Final = re.compile(PUBLIC_KEY_ID + r"[0-9A-Za-z]{1,64}", re.ASCII)


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """An account with its keys parsed."""

    account: Account
    mchid: str
    appid: str
    signer: RSAPrivateKey
    sealer: AESGCM
    verifiers: Mapping[str, Verifier]  # by serial
    base_urls: tuple[str, ...]
    # of every request: Authorization before the nonce and after the timestamp, the other headers, and close's body
    authorization: str
    authorization_end: str
    headers: tuple[tuple[str, str], ...]
    close_body: bytes


class Accounts:
    """Opened accounts, kept as long as they do not change."""

    def __init__(self) -> None:
        self._opened: dict[str, Opened] = {}

    def open(self, account: Account) -> Opened:
        """Raises Invalid naming what is missing or does not parse."""
        held = self._opened.get(account.id)
        if held is not None and (held.account is account or held.account == account):
            return held
        opened = open_account(account)
        self._opened[account.id] = opened
        return opened


def open_account(account: Account) -> Opened:
    """Parse it all. Raises Invalid naming what is missing or does not parse; secrets are never quoted."""
    mchid = _matching(account.identity, "identity", "mchid", _MCHID)
    appid = _matching(account.identity, "identity", "appid", _APPID)
    serial_no = _matching(account.settings, "settings", "merchant_serial_no", _SERIAL)
    verifiers = certificates(account.settings.get("platform_certificates", ()))
    headers: tuple[tuple[str, str], ...] = (("Accept", "application/json"), ("User-Agent", "oncepay"))
    key_id = account.settings.get("public_key_id")
    if key_id or account.settings.get("public_key_pem"):
        key_id = _matching(account.settings, "settings", "public_key_id", _KEY_ID)
        verifiers[key_id] = Verifier(_public_key(account.settings))
    use = account.settings.get("use") or ("public_key" if key_id else "platform")
    if use not in {"public_key", "platform"}:
        raise _invalid("settings.use", "is neither public_key nor platform")
    if use == "public_key":
        if not key_id:
            raise _invalid("settings.public_key_id", "is missing")
        headers += (("Wechatpay-Serial", key_id),)
    return Opened(
        account=account,
        mchid=mchid,
        appid=appid,
        signer=_private_key(account.secrets),
        sealer=_sealer(account.secrets),
        verifiers=verifiers,
        base_urls=_base_urls(account.settings.get("base_urls") or BASE_URLS),
        authorization=f'{SCHEME} mchid="{mchid}",nonce_str="',
        authorization_end=f'",serial_no="{serial_no}"',
        headers=headers,
        close_body=msgspec.json.encode({"mchid": mchid}),
    )


def certificates(listed: Any) -> dict[str, Verifier]:
    """The vendor's certificates by serial. ``listed``: as they stand in the settings. Raises Invalid."""
    field = "settings.platform_certificates"
    try:
        entries = msgspec.convert(listed, list[dict[str, str]])
    except msgspec.ValidationError:
        raise _invalid(field, "is not a list of {serial_no, pem}") from None
    verifiers = {}
    for entry in entries:
        serial_no = entry.get("serial_no", "")
        try:
            verifiers[serial_no] = certificate(serial_no, entry.get("pem", ""))
        except ValueError as error:
            raise _invalid(field, f"holds one that is no good: {error}") from None
    return verifiers


def certificate(serial_no: str, pem: str) -> Verifier:
    """The key of one certificate. Raises ValueError when it does not parse or is not the one that is named."""
    try:
        parsed = x509.load_pem_x509_certificate(pem.encode())
        key = parsed.public_key()
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from error
    if not serial_no or int(serial_no, 16) != parsed.serial_number:
        raise ValueError(f"its serial number is not {serial_no!r}")
    if not isinstance(key, RSAPublicKey) or key.key_size < RSA_BITS_MIN:
        raise ValueError(f"not an RSA key of {RSA_BITS_MIN} bits or more")
    until: datetime = parsed.not_valid_after_utc
    return Verifier(key, int(until.timestamp() * 1000))


def _public_key(settings: Mapping[str, Any]) -> RSAPublicKey:
    field = "settings.public_key_pem"
    pem = settings.get("public_key_pem")
    if not isinstance(pem, str) or not pem:
        raise _invalid(field, "is missing")
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise _invalid(field, "does not parse as a public key") from None
    if not isinstance(key, RSAPublicKey) or key.key_size < RSA_BITS_MIN:
        raise _invalid(field, f"is not an RSA key of {RSA_BITS_MIN} bits or more")
    return key


def _private_key(secrets: Mapping[str, str]) -> RSAPrivateKey:
    field = "secrets.merchant_private_key_pem"
    pem = secrets.get("merchant_private_key_pem")
    if not pem:
        raise _invalid(field, "is missing")
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it is encrypted
        raise _invalid(field, "does not parse as a private key without password") from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < RSA_BITS_MIN:
        raise _invalid(field, f"is not an RSA key of {RSA_BITS_MIN} bits or more")
    return key


def _sealer(secrets: Mapping[str, str]) -> AESGCM:
    key = secrets.get("apiv3_key", "")
    if not key:
        raise _invalid("secrets.apiv3_key", "is missing")
    if len(key) != 32 or not key.isascii():
        raise _invalid("secrets.apiv3_key", "is not 32 characters of ASCII")
    return AESGCM(key.encode())


def _base_urls(listed: Any) -> tuple[str, ...]:
    field = "settings.base_urls"
    try:
        urls = msgspec.convert(listed, tuple[str, ...])
        parts = [urlsplit(url) for url in urls]
    except ValueError:  # msgspec's own is one
        raise _invalid(field, "is not a list of addresses") from None
    for url, part in zip(urls, parts, strict=True):
        if part.scheme not in {"https", "http"} or not part.hostname or part.path or part.query or part.fragment:
            raise _invalid(field, f"holds {url!r}, which is not https://host without a path")
    return urls


def _matching(fields: Mapping[str, Any], where: str, name: str, pattern: re.Pattern[str]) -> str:
    text = fields.get(name)
    if not text:
        raise _invalid(f"{where}.{name}", "is missing")
    if not isinstance(text, str) or not pattern.fullmatch(text):
        raise _invalid(f"{where}.{name}", "is malformed")
    return text


def _invalid(field: str, why: str) -> Invalid:
    return Invalid(f"{field} {why}", field=field)
