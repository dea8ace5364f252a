"""Somebody else's reading of the same protocol: their SDK verifies what we sign, and we verify what it signs."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from oncepay.channels.alipay.accounts import open_account
from oncepay.channels.alipay.notifications import fields, signed_texts
from oncepay.channels.alipay.wire import root_of, take_apart
from oncepay.domain.attempt import Call, Fact
from oncepay.ports import Account, Draft, Request
from tests.channels.alipay_kit import (
    ACCOUNT,
    ALIPAY_KEY,
    APP_ID,
    APP_KEY,
    CERTIFICATES,
    CERTIFIED,
    CHANNEL,
    KEYS,
    NO,
    NONCE,
    NOW_MS,
    PAID,
    PARTLY_BACK,
    TRADE,
    done,
    form,
    notice,
    notified,
    order,
    read,
    refund,
)

alipay = pytest.importorskip("alipay")


def pem(key: Any) -> str:
    raw: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return raw.decode()


def sdk(private: Any, public: str) -> Any:
    return alipay.AliPay(appid=APP_ID, app_private_key_string=pem(private), alipay_public_key_string=public)


MERCHANT = sdk(APP_KEY, KEYS["alipay_public_key_pem"])  # as a shop uses it
GATEWAY = sdk(ALIPAY_KEY, KEYS["app_public_key_pem"])  # with the keys the other way round: it plays the vendor
DRAFT = Draft(
    attempt=order(),
    subject="咖啡 A+B 100%",
    app="pc",
    order_no="7",
    notify_url="https://x.example/n",
    return_url="https://x.example/r",
)


def parameters(request: Request) -> dict[str, str]:
    return dict(parse_qsl(f"{urlsplit(request.url).query}&{request.body.decode()}", strict_parsing=True))


def is_verified(told: dict[str, str]) -> bool:
    """The SDK drops ``sign_type`` when it verifies a notification; of a request it is signed."""
    sign = told.pop("sign")
    text = "&".join(f"{name}={value}" for name, value in sorted(told.items()))
    verified: bool = GATEWAY._verify(text, sign)
    return verified


@pytest.mark.parametrize("to", [ACCOUNT, CERTIFIED])
@pytest.mark.parametrize("call", list(Call))
def test_it_verifies_our_calls(call: Call, to: Account) -> None:
    attempt = refund() if call in {Call.REFUND, Call.QUERY_REFUND} else order()
    body = CHANNEL.draft(_of(attempt), to)
    told = parameters(CHANNEL.build(call, attempt, to, body=body, now_ms=NOW_MS, nonce=NONCE, host=0))
    assert is_verified(dict(told))
    assert not is_verified(told | {"biz_content": "{}"})


def _of(attempt: Any) -> Draft:
    return msgspec.structs.replace(DRAFT, attempt=attempt)


@pytest.mark.parametrize("method", ["page", "wap", "app"])
def test_it_makes_the_same_of_what_needs_no_call(method: str) -> None:
    attempt = order(method=method)
    body = CHANNEL.draft(_of(attempt), ACCOUNT)
    content = json.loads(CHANNEL.credential(attempt, ACCOUNT, body=body).body)
    stored = json.loads(body)
    theirs = {
        "app_id": APP_ID,
        "format": "JSON",
        "charset": "utf-8",
        "sign_type": "RSA2",
        "version": "1.0",
        "timestamp": "2027-01-15 16:00:00",
        **stored,
    }
    signed = MERCHANT.sign_data(theirs)
    if method == "app":
        assert content["order_string"] == signed
    else:
        assert sorted(content["url"].partition("?")[2].split("&")) == sorted(signed.split("&"))


@pytest.mark.parametrize("told", [PAID, PARTLY_BACK])
def test_notifications_are_verified_by_both(told: dict[str, str]) -> None:
    body = notified(told)
    theirs = {name.decode(): value.decode() for name, value in fields(body).items()}
    sign = theirs.pop("sign")
    assert MERCHANT.verify(dict(theirs), sign)
    assert not MERCHANT.verify(theirs | {"total_amount": "0.01"}, sign)
    (text,) = signed_texts(fields(body))
    assert notice(form({**told, "sign_type": "RSA2", "sign": GATEWAY._sign(text.decode())})) == notice(body)


def test_answers_are_verified_by_both() -> None:
    answer = done(Call.QUERY, **TRADE)
    root = root_of("alipay.trade.query")
    assert read(Call.QUERY, answer).evidence[0].fact is Fact.MOVED
    theirs = MERCHANT._verify_and_return_sync_response(answer.body.decode(), root)
    assert theirs["out_trade_no"] == NO
    told = take_apart(answer.body, root)
    assert GATEWAY._sign(told.text.decode()) == told.sign


@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")  # the SDK reads certificates in an old way
def test_serial_numbers_are_the_same() -> None:
    theirs = alipay.DCAliPay(
        appid=APP_ID,
        app_notify_url="",
        app_private_key_string=pem(APP_KEY),
        app_public_key_cert_string=CERTIFICATES["app_cert_pem"],
        alipay_public_key_cert_string=CERTIFICATES["alipay_cert_pem"],
        alipay_root_cert_string=CERTIFICATES["root_bundle_pem"],
    )
    assert open_account(CERTIFIED).serials == {
        "app_cert_sn": theirs.app_cert_sn,
        "alipay_root_cert_sn": theirs.alipay_root_cert_sn,
    }
