"""A merchant's account, opened once a revision: keys and certificates parsed.

==========  ==================================================================================================
identity    ``merId``, 15 digits or letters
secrets     ``merchant_private_key_pem`` (RSA, 2048 bits or more), or
            ``merchant_p12_base64`` with ``merchant_p12_password``: the .pfx that UnionPay hands out, in base64
settings    ``merchant_certificate_pem``: the signing certificate of that key (the .pfx brings its own);
            ``root_certificate_pem``, ``middle_certificate_pem``: those above UnionPay's own, from its kit;
            ``test_environment``: believe the older certificates of the test environment, and call it;
            ``void_same_day``: give a whole payment back by a void, as long as it is not settled;
            ``base_urls``: hosts, the first one preferred
==========  ==================================================================================================

The certificate must be the key's: its serial number names the key in every request, and a pair that does not belong
together fails only at the first payment, with "signature failed".
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization.pkcs12 import load_key_and_certificates

from oncepay.channels.accounts import base_urls, invalid, matching, only_known, private_key, required
from oncepay.channels.certificates import UNREADABLE
from oncepay.channels.rsa import BITS_MIN
from oncepay.channels.unionpay.chain import COMPANY, TEST_COMPANY, Chain, authorities, parsed
from oncepay.ports import Account

IDENTITY: Final = "merId"
SETTINGS: Final = (
    "merchant_certificate_pem middle_certificate_pem root_certificate_pem void_same_day test_environment base_urls"
)
SECRETS: Final = "merchant_private_key_pem merchant_p12_base64 merchant_p12_password"
BASE_URLS: Final = ("https://gateway.95516.com",)
TEST_BASE_URLS: Final = ("https://gateway.test.95516.com",)

_MER_ID: Final = re.compile(r"[0-9A-Za-z]{15}", re.ASCII)


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """An account with its keys parsed."""

    account: Account
    mer_id: str
    signer: RSAPrivateKey
    cert_id: str  # serial number of the signing certificate, decimal
    chain: Chain
    base_urls: tuple[str, ...]
    void_same_day: bool


def check(account: Account) -> None:
    """What a person gave. Raises Invalid naming what is missing, does not parse, or would not be read."""
    only_known(account, identity=IDENTITY, settings=SETTINGS, secrets=SECRETS)
    open_account(account)


def open_account(account: Account) -> Opened:
    """Parse it all. Raises Invalid naming what is missing or does not parse; secrets are never quoted."""
    settings = account.settings
    mer_id = matching(account.identity, "identity", "merId", _MER_ID)
    signer, certificate = _p12(account) if account.secrets.get("merchant_p12_base64") else _pair(account)
    testing = _flag(settings, "test_environment")
    return Opened(
        account=account,
        mer_id=mer_id,
        signer=signer,
        cert_id=str(certificate.serial_number),
        chain=_chain(account, testing=testing),
        base_urls=base_urls(settings.get("base_urls") or (TEST_BASE_URLS if testing else BASE_URLS)),
        void_same_day=_flag(settings, "void_same_day"),
    )


def _pair(account: Account) -> tuple[RSAPrivateKey, x509.Certificate]:
    field = "settings.merchant_certificate_pem"
    key = private_key(account.secrets, "merchant_private_key_pem")
    try:
        certificates = parsed(required(account.settings, "settings", "merchant_certificate_pem"))
        its = certificates[0].public_key()
    except UNREADABLE:
        raise invalid(field, "does not parse as a certificate") from None
    if its != key.public_key():
        raise invalid(field, "is not of secrets.merchant_private_key_pem")
    return key, certificates[0]


def _p12(account: Account) -> tuple[RSAPrivateKey, x509.Certificate]:
    field = "secrets.merchant_p12_base64"
    secrets = account.secrets
    if secrets.get("merchant_private_key_pem"):
        raise invalid(field, "and secrets.merchant_private_key_pem are both there; leave one out")
    try:
        raw = binascii.a2b_base64(secrets["merchant_p12_base64"])
        key, certificate, _ = load_key_and_certificates(raw, secrets.get("merchant_p12_password", "").encode())
    except UNREADABLE:
        raise invalid(field, "does not open with secrets.merchant_p12_password") from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < BITS_MIN or certificate is None:
        raise invalid(field, f"does not hold an RSA key of {BITS_MIN} bits or more with its certificate")
    return key, certificate


def _chain(account: Account, *, testing: bool) -> Chain:
    pems = []
    for name in ("middle_certificate_pem", "root_certificate_pem"):
        pems.append(required(account.settings, "settings", name))
        try:
            parsed(pems[-1])
        except ValueError:
            raise invalid(f"settings.{name}", "does not parse as a certificate") from None
    try:
        above = authorities(*pems)
    except ValueError as error:
        raise invalid("settings.middle_certificate_pem", f"is not under root_certificate_pem: {error}") from None
    return Chain(above, frozenset({COMPANY, TEST_COMPANY} if testing else {COMPANY}))


def _flag(settings: Mapping[str, Any], name: str) -> bool:
    """On or off, off when it is not there. The command line gives texts."""
    value = settings.get(name, False)
    if value not in (True, False, "true", "false"):
        raise invalid(f"settings.{name}", "is neither true nor false")
    return value in (True, "true")
