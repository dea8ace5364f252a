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

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from oncepay.channels.accounts import base_urls, invalid, matching, only_known, private_key, public_key
from oncepay.channels.certificates import UNREADABLE
from oncepay.channels.rsa import BITS_MIN
from oncepay.channels.wechat.keys import PUBLIC_KEY_ID, SCHEME, Verifier
from oncepay.ports import Account

IDENTITY: Final = "mchid appid"
SETTINGS: Final = "merchant_serial_no public_key_id public_key_pem platform_certificates use base_urls"
SECRETS: Final = "merchant_private_key_pem apiv3_key"
BASE_URLS: Final = ("https://api.mch.weixin.qq.com", "https://api2.mch.weixin.qq.com")  # the second: another city

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


def check(account: Account) -> None:
    """What a person gave. Raises Invalid naming what is missing, does not parse, or would not be read."""
    only_known(account, identity=IDENTITY, settings=SETTINGS, secrets=SECRETS)
    open_account(account)


def open_account(account: Account) -> Opened:
    """Parse it all. Raises Invalid naming what is missing or does not parse; secrets are never quoted."""
    mchid = matching(account.identity, "identity", "mchid", _MCHID)
    appid = matching(account.identity, "identity", "appid", _APPID)
    serial_no = matching(account.settings, "settings", "merchant_serial_no", _SERIAL)
    verifiers = certificates(account.settings.get("platform_certificates", ()))
    headers: tuple[tuple[str, str], ...] = (("Accept", "application/json"), ("User-Agent", "oncepay"))
    key_id = account.settings.get("public_key_id")
    if key_id or account.settings.get("public_key_pem"):
        key_id = matching(account.settings, "settings", "public_key_id", _KEY_ID)
        verifiers[key_id] = Verifier(public_key(account.settings, "public_key_pem"))
    use = account.settings.get("use") or ("public_key" if key_id else "platform")
    if use not in {"public_key", "platform"}:
        raise invalid("settings.use", "is neither public_key nor platform")
    if use == "public_key":
        if not key_id:
            raise invalid("settings.public_key_id", "is missing")
        headers += (("Wechatpay-Serial", key_id),)
    return Opened(
        account=account,
        mchid=mchid,
        appid=appid,
        signer=private_key(account.secrets, "merchant_private_key_pem"),
        sealer=_sealer(account.secrets),
        verifiers=verifiers,
        base_urls=base_urls(account.settings.get("base_urls") or BASE_URLS),
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
        raise invalid(field, "is not a list of {serial_no, pem}") from None
    verifiers = {}
    for entry in entries:
        serial_no = entry.get("serial_no", "")
        try:
            verifiers[serial_no] = certificate(serial_no, entry.get("pem", ""))
        except ValueError as error:
            raise invalid(field, f"holds one that is no good: {error}") from None
    return verifiers


def certificate(serial_no: str, pem: str) -> Verifier:
    """The key of one certificate. Raises ValueError when it does not parse or is not the one that is named."""
    try:
        parsed = x509.load_pem_x509_certificate(pem.encode())
        key = parsed.public_key()
    except UNREADABLE as error:
        raise ValueError(str(error)) from error
    if not serial_no or int(serial_no, 16) != parsed.serial_number:
        raise ValueError(f"its serial number is not {serial_no!r}")
    if not isinstance(key, RSAPublicKey) or key.key_size < BITS_MIN:
        raise ValueError(f"not an RSA key of {BITS_MIN} bits or more")
    until: datetime = parsed.not_valid_after_utc
    return Verifier(key, int(until.timestamp() * 1000))


def _sealer(secrets: Mapping[str, str]) -> AESGCM:
    key = secrets.get("apiv3_key", "")
    if not key:
        raise invalid("secrets.apiv3_key", "is missing")
    if len(key) != 32 or not key.isascii():
        raise invalid("secrets.apiv3_key", "is not 32 characters of ASCII")
    return AESGCM(key.encode())
