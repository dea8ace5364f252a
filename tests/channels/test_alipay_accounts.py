"""Accounts that can work, and how one is told what is missing: named, and no secret quoted."""

from __future__ import annotations

import base64
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
from oncepay.channels.alipay.accounts import open_account
from oncepay.domain.errors import Invalid
from oncepay.ports import Account
from tests.channels.alipay_authority import TESTED, public_pem
from tests.channels.alipay_kit import (
    ACCOUNT,
    ALIPAY_KEY,
    APP_KEY,
    CERTIFICATES,
    CERTIFIED,
    CHANNEL,
    KEYS,
    SERIAL,
    account,
)

SMALL = rsa.generate_private_key(public_exponent=65537, key_size=1024)
CURVE = ec.generate_private_key(ec.SECP256R1())
ROOTS = CERTIFICATES["root_bundle_pem"]


def pem(
    key: Any, form: PrivateFormat = PrivateFormat.PKCS8, encryption: KeySerializationEncryption | None = None
) -> str:
    raw: bytes = key.private_bytes(Encoding.PEM, form, encryption or NoEncryption())
    return raw.decode()


def bare(text: str) -> str:
    """A key as the vendor's tool shows it: base64 on one line, without the lines around it."""
    return "".join(line for line in text.splitlines() if "-----" not in line)


def secret(key: str) -> Account:
    return msgspec.structs.replace(ACCOUNT, secrets={"app_private_key": key})


def identity(**fields: str) -> Account:
    return msgspec.structs.replace(ACCOUNT, identity={**ACCOUNT.identity, **fields})


@pytest.mark.parametrize(
    "good",
    [
        ACCOUNT,
        CERTIFIED,
        secret(pem(APP_KEY)),
        secret(pem(APP_KEY, PrivateFormat.TraditionalOpenSSL)),
        secret(bare(pem(APP_KEY, PrivateFormat.TraditionalOpenSSL))),
        secret(f"\n{bare(pem(APP_KEY))}\n"),
        account(alipay_public_key=bare(KEYS["alipay_public_key_pem"])),
        account(alipay_public_key=KEYS["alipay_public_key_pem"].replace("\n", "\r\n")),
        account(CERTIFIED, use="certificate"),
        account(CERTIFIED, **ACCOUNT.settings),
        account(CERTIFIED, **ACCOUNT.settings, use="public_key"),
        account(CERTIFIED, alipay_cert=CERTIFICATES["alipay_cert_pem"]),
        account(CERTIFIED, alipay_cert=CERTIFICATES["alipay_cert_pem"] + TESTED.leaf("Test Channel Co").pem),
        account(base_urls=["http://127.0.0.1:9100"]),
        account(base_urls=["http://127.0.0.1:9100/gateway.do", GATEWAY := "https://openapi.alipay.com/gateway.do"]),
    ],
)
def test_an_account_that_can_work(good: Account) -> None:
    CHANNEL.check_account(good)


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (msgspec.structs.replace(ACCOUNT, identity={}), "identity.app_id"),
        (identity(app_id=""), "identity.app_id"),
        (identity(app_id="20210000&x=1"), "identity.app_id"),
        (identity(app_id="２０２１"), "identity.app_id"),
        (identity(seller_id=""), "identity.seller_id"),
        (identity(seller_id="2021000000000001"), "identity.seller_id"),
        (identity(seller_id="seller@example.test"), "identity.seller_id"),
        (secret(""), "secrets.app_private_key"),
        (secret("nonsense"), "secrets.app_private_key"),
        (secret("密"), "secrets.app_private_key"),
        (secret(pem(SMALL)), "secrets.app_private_key"),
        (secret(pem(CURVE)), "secrets.app_private_key"),
        (secret(pem(APP_KEY, encryption=BestAvailableEncryption(b"pw"))), "secrets.app_private_key"),
        (secret(KEYS["app_public_key_pem"]), "secrets.app_private_key"),
        (secret(bare(KEYS["app_public_key_pem"])), "secrets.app_private_key"),
        (account(drop=("alipay_public_key",)), "settings.alipay_public_key"),
        (account(alipay_public_key=17), "settings.alipay_public_key"),
        (account(alipay_public_key="nonsense"), "settings.alipay_public_key"),
        (account(alipay_public_key="键"), "settings.alipay_public_key"),
        (account(alipay_public_key=public_pem(SMALL)), "settings.alipay_public_key"),
        (account(alipay_public_key=public_pem(CURVE)), "settings.alipay_public_key"),
        (account(alipay_public_key=CERTIFICATES["alipay_cert_pem"]), "settings.alipay_public_key"),
        (account(alipay_public_key=KEYS["app_public_key_pem"]), "settings.alipay_public_key"),
        (account(use="both"), "settings.use"),
        (account(use="certificate"), "settings.alipay_cert"),
        (account(CERTIFIED, use="public_key"), "settings.alipay_public_key"),
        (account(CERTIFIED, drop=("app_cert",), use="certificate"), "settings.app_cert"),
        (account(CERTIFIED, app_cert=CERTIFICATES["alipay_cert_pem"]), "settings.app_cert"),
        (account(CERTIFIED, app_cert=CERTIFICATES["issuing_ca_pem"]), "settings.app_cert"),
        (account(CERTIFIED, app_cert="nonsense"), "settings.app_cert"),
        (account(CERTIFIED, app_cert=["x"]), "settings.app_cert"),
        (account(CERTIFIED, drop=("alipay_cert",)), "settings.alipay_cert"),
        (account(CERTIFIED, alipay_cert=CERTIFICATES["app_cert_pem"]), "settings.alipay_cert"),
        (account(CERTIFIED, alipay_cert=CERTIFICATES["issuing_ca_pem"]), "settings.alipay_cert"),
        (account(CERTIFIED, alipay_cert=TESTED.leaf("Test Channel Co", bits=1024).pem), "settings.alipay_cert"),
        (account(CERTIFIED, drop=("alipay_root_cert",)), "settings.alipay_root_cert"),
        (account(CERTIFIED, alipay_root_cert="nonsense"), "settings.alipay_root_cert"),
        (account(CERTIFIED, alipay_root_cert=ROOTS.split("\n\n")[0]), "settings.alipay_root_cert"),
        (account(alipay_cert=CERTIFICATES["alipay_cert_pem"]), "settings.alipay_root_cert"),
        (account(base_urls="https://openapi.alipay.com"), "settings.base_urls"),
        (account(base_urls=["ftp://x"]), "settings.base_urls"),
        (account(base_urls=["https://x/"]), "settings.base_urls"),
        (account(base_urls=["https://x/other.do"]), "settings.base_urls"),
        (account(base_urls=["https://x/gateway.do?a=b"]), "settings.base_urls"),
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


def test_the_commonest_mistake_is_named() -> None:
    with pytest.raises(Invalid, match="is the app's own public key; Alipay's"):
        CHANNEL.check_account(account(alipay_public_key=KEYS["app_public_key_pem"]))
    with pytest.raises(Invalid, match="holds the app's own certificate"):
        CHANNEL.check_account(account(CERTIFIED, alipay_cert=CERTIFICATES["app_cert_pem"]))


def test_what_is_opened() -> None:
    by_key, by_certificate = open_account(ACCOUNT), open_account(CERTIFIED)
    assert (set(by_key.verifiers), by_key.serials, by_key.roots) == ({""}, {}, ())
    assert set(by_certificate.verifiers) == {SERIAL}
    assert by_certificate.serials == {
        "app_cert_sn": CERTIFICATES["app_cert_sn"],
        "alipay_root_cert_sn": CERTIFICATES["alipay_root_cert_sn"],
    }
    assert set(open_account(account(CERTIFIED, **ACCOUNT.settings)).verifiers) == {"", SERIAL}
    assert open_account(account(CERTIFIED, **ACCOUNT.settings, use="public_key")).serials == {}


def test_a_root_bundle_is_loaded_one_by_one() -> None:
    """The vendor's own holds a certificate that a strict reader refuses."""
    broken = ROOTS.split("\n\n")[0].replace("MIIC", "MIID", 1)
    assert "MIID" in broken
    for bundle in (
        f"{broken}\n{ROOTS}",
        f"{ROOTS}{broken}\n",
        ROOTS.replace("\n\n", "\n"),
        ROOTS.replace("\n", "\r\n"),
    ):
        opened = open_account(account(CERTIFIED, alipay_root_cert=bundle))
        assert opened.serials["alipay_root_cert_sn"] == CERTIFICATES["alipay_root_cert_sn"]
    backwards = "\n".join(reversed(ROOTS.split("\n\n")))
    opened = open_account(account(CERTIFIED, alipay_root_cert=backwards))
    assert opened.serials["alipay_root_cert_sn"] == "_".join(reversed(CERTIFICATES["alipay_root_cert_sn"].split("_")))


def test_where_it_is_reached() -> None:
    assert open_account(account(drop=("base_urls",))).base_urls == (GATEWAY,)
    assert open_account(account(base_urls=["http://127.0.0.1:9100"])).base_urls == ("http://127.0.0.1:9100/gateway.do",)


def test_an_account_is_opened_once_until_it_changes() -> None:
    times = []

    def counted(account: Account) -> object:
        times.append(account.revision)
        return open_account(account)

    accounts = Accounts(counted)
    opened = accounts.open(CERTIFIED)
    assert accounts.open(CERTIFIED) is opened
    assert accounts.open(msgspec.structs.replace(CERTIFIED)) is opened
    changed = msgspec.structs.replace(account(CERTIFIED, use="certificate"), revision=2)
    assert accounts.open(changed) is not opened
    assert accounts.open(changed) is accounts.open(changed)
    accounts.open(CERTIFIED)
    assert times == [1, 2, 1]


def test_keys_of_the_same_bytes_are_the_same() -> None:
    der = ALIPAY_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    opened = open_account(account(alipay_public_key=base64.b64encode(der).decode()))
    assert opened.verifiers[""].key.public_numbers() == ALIPAY_KEY.public_key().public_numbers()
