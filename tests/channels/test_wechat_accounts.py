"""Accounts that can work, and how one is told what is missing: named, and no secret quoted."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from oncepay.channels.accounts import Accounts
from oncepay.channels.wechat.accounts import open_account
from oncepay.domain.errors import Invalid
from oncepay.ports import Account
from tests.channels.wechat_kit import ACCOUNT, CERTIFICATE, CHANNEL, KEYS, SERIAL, account


def pem(key: Any, encryption: KeySerializationEncryption | None = None) -> str:
    raw: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())
    return raw.decode()


def public_pem(key: Any) -> str:
    raw: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return raw.decode()


SMALL = rsa.generate_private_key(public_exponent=65537, key_size=1024)
CURVE = ec.generate_private_key(ec.SECP256R1())


def secrets(**fields: str) -> Account:
    return msgspec.structs.replace(ACCOUNT, secrets={**ACCOUNT.secrets, **fields})


def identity(**fields: str) -> Account:
    return msgspec.structs.replace(ACCOUNT, identity={**ACCOUNT.identity, **fields})


@pytest.mark.parametrize(
    "good",
    [
        ACCOUNT,
        account(drop=("platform_certificates",)),
        account(drop=("public_key_id", "public_key_pem")),
        account(drop=("public_key_id", "public_key_pem", "platform_certificates")),  # they will be fetched
        account(use="platform"),
        account(base_urls=["http://127.0.0.1:9100"]),
    ],
)
def test_an_account_that_can_work(good: Account) -> None:
    CHANNEL.check_account(good)


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (identity(mchid=""), "identity.mchid"),
        (identity(mchid='1",x="'), "identity.mchid"),
        (identity(appid="wx 1"), "identity.appid"),
        (msgspec.structs.replace(ACCOUNT, identity={}), "identity.mchid"),
        (secrets(merchant_private_key_pem=""), "secrets.merchant_private_key_pem"),
        (secrets(merchant_private_key_pem="nonsense"), "secrets.merchant_private_key_pem"),
        (secrets(merchant_private_key_pem=pem(SMALL)), "secrets.merchant_private_key_pem"),
        (secrets(merchant_private_key_pem=pem(CURVE)), "secrets.merchant_private_key_pem"),
        (
            secrets(merchant_private_key_pem=pem(SMALL, BestAvailableEncryption(b"pw"))),
            "secrets.merchant_private_key_pem",
        ),
        (secrets(merchant_private_key_pem=KEYS["wechatpay_public_key_pem"]), "secrets.merchant_private_key_pem"),
        (secrets(apiv3_key=""), "secrets.apiv3_key"),
        (secrets(apiv3_key="a" * 31), "secrets.apiv3_key"),
        (secrets(apiv3_key="ä" * 32), "secrets.apiv3_key"),
        (account(drop=("merchant_serial_no",)), "settings.merchant_serial_no"),
        (account(merchant_serial_no="xyz"), "settings.merchant_serial_no"),
        (account(merchant_serial_no=17), "settings.merchant_serial_no"),
        (account(drop=("public_key_id",)), "settings.public_key_id"),
        (account(public_key_id=SERIAL), "settings.public_key_id"),
        (account(drop=("public_key_pem",)), "settings.public_key_pem"),
        (account(public_key_pem="nonsense"), "settings.public_key_pem"),
        (account(public_key_pem=CERTIFICATE["pem"]), "settings.public_key_pem"),
        (account(public_key_pem=public_pem(SMALL)), "settings.public_key_pem"),
        (account(public_key_pem=public_pem(CURVE)), "settings.public_key_pem"),
        (account(drop=("public_key_id", "public_key_pem"), use="public_key"), "settings.public_key_id"),
        (account(use="both"), "settings.use"),
        (account(platform_certificates="x"), "settings.platform_certificates"),
        (account(platform_certificates=[{"serial_no": SERIAL}]), "settings.platform_certificates"),
        (account(platform_certificates=[{"pem": CERTIFICATE["pem"]}]), "settings.platform_certificates"),
        (account(platform_certificates=[CERTIFICATE | {"serial_no": "AB"}]), "settings.platform_certificates"),
        (account(platform_certificates=[CERTIFICATE | {"serial_no": "no hex"}]), "settings.platform_certificates"),
        (account(base_urls="https://api.mch.weixin.qq.com"), "settings.base_urls"),
        (account(base_urls=["ftp://x"]), "settings.base_urls"),
        (account(base_urls=["https://x/"]), "settings.base_urls"),
        (account(base_urls=["https://[x"]), "settings.base_urls"),
        (account(base_urls=[1]), "settings.base_urls"),
    ],
)
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
    changed = msgspec.structs.replace(account(use="platform"), revision=2)
    assert accounts.open(changed).account is changed
    assert accounts.open(ACCOUNT).account is ACCOUNT
