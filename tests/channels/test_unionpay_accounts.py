"""Accounts that can work, and how one is told what is missing: named, and no secret quoted."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, pkcs12

from oncepay.channels.accounts import Accounts
from oncepay.channels.unionpay.accounts import open_account
from oncepay.domain.errors import Invalid
from oncepay.ports import Account
from tests.channels.unionpay_authority import leaf, middle, root
from tests.channels.unionpay_kit import (
    ACCOUNT,
    CERTIFICATES,
    CHANNEL,
    FOREIGN_KEY,
    KEYS,
    MERCHANT_KEY,
    account,
    key_pem,
)

SMALL = rsa.generate_private_key(public_exponent=65537, key_size=1024)
CURVE = ec.generate_private_key(ec.SECP256R1())
LOCKED = MERCHANT_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pw")).decode()
PFX = {"merchant_p12_base64": KEYS["merchant_p12_base64"], "merchant_p12_password": KEYS["merchant_p12_password"]}

BAG = "Bag Attributes\n    localKeyID: 01 00 00 00\nKey Attributes: <No Attributes>\n"  # as openssl writes it


def secrets(**fields: str) -> Account:
    return msgspec.structs.replace(ACCOUNT, secrets={**ACCOUNT.secrets, **fields})


def packed(**fields: str) -> Account:
    return msgspec.structs.replace(account(drop=("merchant_certificate_pem",)), secrets=PFX | fields)


def pfx(key: Any, certificate: str = "") -> str:
    its = x509.load_pem_x509_certificate(certificate.encode()) if certificate else None
    raw = pkcs12.serialize_key_and_certificates(b"x", key, its, None, BestAvailableEncryption(b"000000"))
    return base64.b64encode(raw).decode()


@pytest.mark.parametrize(
    ("good", "urls"),
    [
        (ACCOUNT, ("https://gateway.example.test",)),
        (account(drop=("base_urls",)), ("https://gateway.95516.com",)),
        (account(drop=("base_urls",), test_environment=True), ("https://gateway.test.95516.com",)),
        (account(drop=("base_urls",), test_environment="true"), ("https://gateway.test.95516.com",)),
        (account(drop=("base_urls",), test_environment="false"), ("https://gateway.95516.com",)),
        (account(base_urls=["http://127.0.0.1:8490"], test_environment=True), ("http://127.0.0.1:8490",)),
        (secrets(merchant_private_key_pem=BAG + key_pem(MERCHANT_KEY)), ("https://gateway.example.test",)),
        (account(merchant_certificate_pem=BAG + CERTIFICATES["merchant_cert_pem"]), ("https://gateway.example.test",)),
        (packed(), ("https://gateway.example.test",)),
        (packed(merchant_p12_base64="\n".join(base64.encodebytes(base64.b64decode(PFX["merchant_p12_base64"])).decode().split())), ("https://gateway.example.test",)),
    ],
)  # fmt: skip
def test_an_account_that_can_work(good: Account, urls: tuple[str, ...]) -> None:
    CHANNEL.check_account(good)
    opened = open_account(good)
    assert (opened.base_urls, opened.cert_id) == (urls, KEYS["merchant_certId_decimal"])


@pytest.mark.parametrize(("value", "on"), [(True, True), ("true", True), (False, False), ("false", False)])
def test_a_void_on_the_same_day_is_asked_for(value: object, on: bool) -> None:
    assert open_account(account(void_same_day=value)).void_same_day is on
    assert open_account(ACCOUNT).void_same_day is False


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (msgspec.structs.replace(ACCOUNT, identity={}), "identity.merId"),
        (msgspec.structs.replace(ACCOUNT, identity={"merId": "7772900581100"}), "identity.merId"),
        (msgspec.structs.replace(ACCOUNT, identity={"merId": "77729005811004 "}), "identity.merId"),
        (msgspec.structs.replace(ACCOUNT, identity={"merId": "７77290058110048"}), "identity.merId"),
        (secrets(merchant_private_key_pem=""), "secrets.merchant_private_key_pem"),
        (secrets(merchant_private_key_pem="nonsense"), "secrets.merchant_private_key_pem"),
        (secrets(merchant_private_key_pem=key_pem(SMALL)), "secrets.merchant_private_key_pem"),
        (secrets(merchant_private_key_pem=key_pem(CURVE)), "secrets.merchant_private_key_pem"),  # type: ignore[arg-type]
        (secrets(merchant_private_key_pem=LOCKED), "secrets.merchant_private_key_pem"),
        (secrets(merchant_private_key_pem=key_pem(FOREIGN_KEY)), "settings.merchant_certificate_pem"),
        (account(merchant_certificate_pem=CERTIFICATES["foreign_cert_pem"]), "settings.merchant_certificate_pem"),
        (account(merchant_certificate_pem="nonsense"), "settings.merchant_certificate_pem"),
        (account(merchant_certificate_pem=17), "settings.merchant_certificate_pem"),
        (account(drop=("merchant_certificate_pem",)), "settings.merchant_certificate_pem"),
        (secrets(**PFX), "secrets.merchant_p12_base64"),
        (packed(merchant_p12_password="111111"), "secrets.merchant_p12_base64"),
        (packed(merchant_p12_password=""), "secrets.merchant_p12_base64"),
        (packed(merchant_p12_base64="nonsense"), "secrets.merchant_p12_base64"),
        (packed(merchant_p12_base64="a"), "secrets.merchant_p12_base64"),
        (packed(merchant_p12_base64=pfx(MERCHANT_KEY)), "secrets.merchant_p12_base64"),
        (packed(merchant_p12_base64=pfx(SMALL, leaf(key=SMALL.public_key()))), "secrets.merchant_p12_base64"),
        (account(drop=("middle_certificate_pem",)), "settings.middle_certificate_pem"),
        (account(middle_certificate_pem="nonsense"), "settings.middle_certificate_pem"),
        (account(middle_certificate_pem=middle()), "settings.middle_certificate_pem"),
        (account(middle_certificate_pem=CERTIFICATES["middle_pem"] + middle()), "settings.middle_certificate_pem"),
        (account(drop=("root_certificate_pem",)), "settings.root_certificate_pem"),
        (account(root_certificate_pem="nonsense"), "settings.root_certificate_pem"),
        (account(root_certificate_pem=root()), "settings.middle_certificate_pem"),
        (account(root_certificate_pem=root(key=SMALL.public_key(), issuer_key=MERCHANT_KEY)), "settings.middle_certificate_pem"),
        (account(test_environment="yes"), "settings.test_environment"),
        (account(void_same_day=2), "settings.void_same_day"),
        (account(void_same_day=["true"]), "settings.void_same_day"),
        (account(base_urls="https://gateway.95516.com"), "settings.base_urls"),
        (account(base_urls=["ftp://x"]), "settings.base_urls"),
        (account(base_urls=["https://x/gateway"]), "settings.base_urls"),
        (account(base_urls=["https://[x"]), "settings.base_urls"),
        (account(base_urls=[1]), "settings.base_urls"),
    ],
)  # fmt: skip
def test_an_account_that_cannot_work(bad: Account, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        CHANNEL.check_account(bad)
    assert refused.value.fields["field"] == field
    assert field in refused.value.detail
    assert "PRIVATE KEY" not in refused.value.detail


def test_an_account_is_opened_once_until_it_changes() -> None:
    accounts = Accounts(open_account)
    opened = accounts.open(ACCOUNT)
    assert accounts.open(ACCOUNT) is opened
    assert accounts.open(msgspec.structs.replace(ACCOUNT)) is opened
    changed = msgspec.structs.replace(account(void_same_day=True), revision=2)
    assert accounts.open(changed).account is changed
    assert accounts.open(ACCOUNT).account is ACCOUNT


def test_an_account_that_cannot_work_believes_nothing() -> None:
    refused = CHANNEL.read_notification({}, b"", account(drop=("root_certificate_pem",)), now_ms=0)
    assert "up-main cannot verify" in getattr(refused, "why", "")
