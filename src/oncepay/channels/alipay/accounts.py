"""A merchant's account, opened once a revision: keys and certificates parsed, and fitting each other.

==========  ==================================================================================================
identity    ``app_id`` (16 digits or so), ``seller_id``: the merchant's PID, 2088 and twelve digits
secrets     ``app_private_key``: PEM, or the bare base64 that the vendor's key tool makes; RSA, 2048 bits or more
settings    ``alipay_public_key``: Alipay's (not the app's own), PEM or bare base64: key mode;
            ``app_cert``, ``alipay_cert``, ``alipay_root_cert``: PEM: certificate mode. ``alipay_cert`` may hold
            several, and those of the authorities between; new ones are fetched by ourselves, old ones stay;
            ``use``: ``public_key`` or ``certificate``: the mode; certificate where there is an ``app_cert``;
            ``base_urls``: gateways, the first one preferred
==========  ==================================================================================================

Both kinds of the vendor's keys are believed side by side: while an app moves from one mode to the other, messages come
signed with either.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from oncepay.channels.accounts import base_urls, invalid, matching, only_known, private_key, public_key, required
from oncepay.channels.alipay.certificates import SETTING, is_authority, load, root_serial_of, serial_of, verifier
from oncepay.channels.alipay.keys import PUBLIC_KEY, Verifier
from oncepay.channels.alipay.opened import Opened
from oncepay.ports import Account

IDENTITY: Final = "app_id seller_id"
SETTINGS: Final = "alipay_public_key app_cert alipay_cert alipay_root_cert use base_urls"
SECRETS: Final = "app_private_key"
BASE_URLS: Final = ("https://openapi.alipay.com/gateway.do",)
PATH: Final = "/gateway.do"

_APP_ID: Final = re.compile(r"[0-9]{1,32}", re.ASCII)
_SELLER_ID: Final = re.compile(r"2088[0-9]{12}", re.ASCII)


def check(account: Account) -> None:
    """What a person gave. Raises Invalid naming what is missing, does not parse, or would not be read."""
    only_known(account, identity=IDENTITY, settings=SETTINGS, secrets=SECRETS)
    open_account(account)


def open_account(account: Account) -> Opened:
    """Parse it all. Raises Invalid naming what is missing or does not parse; secrets are never quoted."""
    app_id = matching(account.identity, "identity", "app_id", _APP_ID)
    seller_id = matching(account.identity, "identity", "seller_id", _SELLER_ID)
    signer = private_key(account.secrets, "app_private_key")
    settings = account.settings
    use = settings.get("use") or ("certificate" if settings.get("app_cert") else "public_key")
    if use not in {"public_key", "certificate"}:
        raise invalid("settings.use", "is neither public_key nor certificate")
    verifiers: dict[str, Verifier] = {}
    if use == "public_key" or settings.get("alipay_public_key"):
        verifiers[PUBLIC_KEY] = _public_key(settings, signer)
    certificates: tuple[x509.Certificate, ...] = ()
    roots: tuple[x509.Certificate, ...] = ()
    serials: dict[str, str] = {}
    if use == "certificate" or settings.get(SETTING):
        certificates = _loaded(settings, SETTING)
        roots = _loaded(settings, "alipay_root_cert")
        verifiers |= _verifiers(certificates, signer)
    if use == "certificate":
        serials = {"app_cert_sn": _app_serial(settings, signer), "alipay_root_cert_sn": _root_serial(roots)}
    return Opened(
        account=account,
        app_id=app_id,
        seller_id=seller_id,
        signer=signer,
        verifiers=verifiers,
        certificates=certificates,
        roots=roots,
        base_urls=base_urls(settings.get("base_urls") or BASE_URLS, path=PATH),
        serials=serials,
    )


def _public_key(settings: Mapping[str, Any], signer: RSAPrivateKey) -> Verifier:
    key = public_key(settings, "alipay_public_key")
    if key.public_numbers() == signer.public_key().public_numbers():
        raise invalid("settings.alipay_public_key", "is the app's own public key; Alipay's is shown beside it")
    return Verifier(key)


def _loaded(settings: Mapping[str, Any], name: str) -> tuple[x509.Certificate, ...]:
    found = tuple(load(required(settings, "settings", name)))
    if not found:
        raise invalid(f"settings.{name}", "holds no certificate in PEM that can be read")
    return found


def _verifiers(certificates: tuple[x509.Certificate, ...], signer: RSAPrivateKey) -> dict[str, Verifier]:
    field = f"settings.{SETTING}"
    try:
        found = {serial_of(c): verifier(c) for c in certificates if not is_authority(c)}
    except ValueError as error:
        raise invalid(field, f"holds one that is no good: {error}") from None
    if not found:
        raise invalid(field, "holds only certificates of authorities")
    if any(v.key.public_numbers() == signer.public_key().public_numbers() for v in found.values()):
        raise invalid(field, "holds the app's own certificate; Alipay's is another file")
    return found


def _app_serial(settings: Mapping[str, Any], signer: RSAPrivateKey) -> str:
    field = "settings.app_cert"
    certificate = next((c for c in _loaded(settings, "app_cert") if not is_authority(c)), None)
    try:
        if certificate is None or verifier(certificate).key.public_numbers() != signer.public_key().public_numbers():
            raise invalid(field, "is not of the app's private key")
    except ValueError as error:
        raise invalid(field, f"is no good: {error}") from None
    return serial_of(certificate)


def _root_serial(roots: tuple[x509.Certificate, ...]) -> str:
    serial = root_serial_of(roots)
    if not serial:
        raise invalid("settings.alipay_root_cert", "holds no certificate that is signed with RSA")
    return serial
