"""Notifications: two numbers in one message, identities that must agree, and all the ways of not being believed."""

from __future__ import annotations

from typing import Any

import pytest

from oncepay.domain.attempt import Fact, Reason, Road
from oncepay.ports import Notice, Refused
from tests.channels.wechat_kit import (
    ACCOUNT,
    APPID,
    CHANNEL,
    KEY_ID,
    MCHID,
    NO,
    NOW_MS,
    PUBLIC_KEY,
    REFUND_NO,
    account,
    headers,
    notified,
    trade,
)

REFUND: dict[str, Any] = {
    "mchid": MCHID,
    "out_trade_no": NO,
    "transaction_id": "4200009999202701150000000001",
    "out_refund_no": REFUND_NO,
    "refund_id": "50300009992027011500000000001",
    "refund_status": "SUCCESS",
    "success_time": "2027-01-15T17:00:20+08:00",
    "amount": {"total": 1234, "refund": 234, "payer_total": 1234, "payer_refund": 234},
}


def heard(body: bytes, **how: Any) -> Notice | Refused:
    return CHANNEL.read_notification(headers(body, **how), body, ACCOUNT, now_ms=NOW_MS)


def notice(body: bytes) -> Notice:
    found = heard(body)
    assert isinstance(found, Notice), found
    return found


def refused(found: Notice | Refused) -> Refused:
    assert isinstance(found, Refused), found
    return found


def test_a_payment() -> None:
    found = notice(notified(trade("SUCCESS")))
    (evidence,) = found.evidence
    assert (found.numbers, found.echo) == ((NO,), "pc:7")
    assert (evidence.number, evidence.fact, evidence.minor, evidence.currency) == (NO, Fact.MOVED, 1234, "CNY")
    assert (evidence.road, evidence.call, evidence.said_ms, evidence.wrong) == (Road.NOTIFICATION, None, NOW_MS, "")


@pytest.mark.parametrize("attach", ["", None])
def test_a_payment_without_echo(attach: str | None) -> None:
    assert notice(notified(trade("SUCCESS", attach=attach))).echo == ""


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"mchid": "1900000001"}, f"mchid is '1900000001', not '{MCHID}'"),
        ({"appid": "wx1"}, f"appid is 'wx1', not '{APPID}'"),
    ],
)
def test_a_payment_of_another_merchant_is_wrong(fields: dict[str, str], wrong: str) -> None:
    (evidence,) = notice(notified(trade("SUCCESS", **fields))).evidence
    assert evidence.wrong == wrong


@pytest.mark.parametrize(
    ("status", "fact", "reason", "attention"),
    [
        ("SUCCESS", Fact.MOVED, Reason.NONE, ""),
        ("CLOSED", Fact.OVER, Reason.CLOSED, ""),
        ("ABNORMAL", Fact.PENDING, Reason.NONE, "refund_abnormal"),
        ("PROCESSING", Fact.PENDING, Reason.NONE, ""),
        ("INVENTED", Fact.SILENT, Reason.NONE, ""),
    ],
)
def test_a_refund_speaks_of_two_numbers(status: str, fact: Fact, reason: Reason, attention: str) -> None:
    body = notified(REFUND | {"refund_status": status}, event=f"REFUND.{status}", original="refund")
    found = notice(body)
    (evidence,) = found.evidence
    assert found.numbers == (NO, REFUND_NO)
    assert (evidence.number, evidence.of, evidence.wrong) == (REFUND_NO, NO, "")
    assert (evidence.fact, evidence.reason, evidence.attention) == (fact, reason, attention)


def test_a_refund_of_another_merchant_is_wrong() -> None:
    body = notified(REFUND | {"mchid": "1"}, event="REFUND.SUCCESS", original="refund")
    assert notice(body).evidence[0].wrong == f"mchid is '1', not '{MCHID}'"


@pytest.mark.parametrize("data", [None, ""])
def test_missing_associated_data_is_empty(data: str | None) -> None:
    """The documentation's samples have it empty; live it is the original type. What arrives is used."""
    body = notified(trade("SUCCESS"), resource={"associated_data": data})
    assert "does not open" in refused(heard(body)).why


PLAIN = trade("SUCCESS")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (notified(PLAIN, resource={"algorithm": "AEAD_SM4_GCM"}), "algorithm"),
        (notified(PLAIN, resource={"nonce": "Ab3dEf6hIj9"}), "not 12 bytes"),
        (notified(PLAIN, resource={"nonce": "Ab3dEf6hIj9ä"}), "not 12 bytes"),
        (notified(PLAIN, resource={"nonce": "Ab3dEf6hIj9x"}), "does not open"),
        (notified(PLAIN, resource={"ciphertext": "%%%"}), "not base64"),
        (notified(PLAIN, resource={"ciphertext": "ä"}), "not base64"),
        (notified(PLAIN, resource={"ciphertext": "QUJD"}), "does not open"),
        (notified(PLAIN, resource={"ciphertext": ""}), "does not open"),
        (notified(PLAIN, resource={"ciphertext": None}), "unreadable"),
        (notified(PLAIN, event="REFUND.SUCCESS"), "neither"),
        (notified(PLAIN, event="PROFITSHARING"), "neither"),
        (notified(PLAIN, resource={"original_type": "refund"}), "neither"),
        (notified(b"not json"), "unreadable"),
        (notified(b"\xff\xfe"), "unreadable"),
        (notified(b"[]"), "unreadable"),
        (notified(b"{}"), "unreadable"),
        (notified(b"[" * 200_000), "unreadable"),
        (notified(b'{"mchid":"1","mchid":"2"}'), "stands twice"),
        (notified(b'{"amount":{"total":1,"total":2}}'), "stands twice"),
        (notified(trade("SUCCESS", out_trade_no="a\nb")), "unreadable"),
        (notified(trade("SUCCESS", amount={"total": "1"})), "unreadable"),
        (notified(REFUND), "unreadable"),
        (b"", "unreadable"),
        (b"{}", "unreadable"),
        (b"null", "unreadable"),
        (b'{"id":"1","id":"2"}', "stands twice"),
        (b"\xef\xbb\xbf{}", "unreadable"),
        (b"\xff", "unreadable"),
        (b"[" * 200_000, "unreadable"),
        (b'{"id":' + b"9" * 5000 + b"}", "unreadable"),
    ],
)
def test_a_signed_message_that_cannot_be_taken(body: bytes, why: str) -> None:
    found = refused(heard(body))
    assert why in found.why
    assert (found.probe, found.refresh) == (False, False)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"wechatpay-signature": None}, "no header wechatpay-signature"),
        ({"wechatpay-timestamp": None}, "wechatpay-timestamp is missing"),
        ({"wechatpay-nonce": None}, "wechatpay-nonce is missing"),
        ({"wechatpay-serial": None}, "key that the account does not hold"),
        ({"wechatpay-signature": "&"}, "not base64"),
        ({"wechatpay-signature": "QUJD"}, "does not fit"),
        ({"wechatpay-signature-type": "WECHATPAY2-SM2-WITH-SM3"}, "not WECHATPAY2-SHA256-RSA2048"),
        ({"wechatpay-timestamp": str(NOW_MS // 1000 - 300)}, "stale"),
        ({"wechatpay-timestamp": str(NOW_MS // 1000 - 1)}, "does not fit"),
    ],
)
def test_a_message_that_is_not_believed(changed: dict[str, str | None], why: str) -> None:
    body = notified(PLAIN)
    told = {name: value for name, value in (headers(body) | changed).items() if value is not None}
    found = refused(CHANNEL.read_notification(told, body, ACCOUNT, now_ms=NOW_MS))
    assert why in found.why
    assert (found.probe, found.refresh) == (False, False)


def test_a_probe_is_no_alarm() -> None:
    body = notified(PLAIN)
    told = headers(body)
    told["wechatpay-signature"] = "WECHATPAY/SIGNTEST/" + told["wechatpay-signature"]
    assert refused(CHANNEL.read_notification(told, body, ACCOUNT, now_ms=NOW_MS)).probe


def test_an_unknown_certificate_is_to_be_fetched() -> None:
    assert refused(heard(notified(PLAIN), serial="AB" * 20)).refresh


def test_a_message_signed_with_the_public_key() -> None:
    assert isinstance(heard(notified(PLAIN), key=PUBLIC_KEY, serial=KEY_ID), Notice)


def test_another_accounts_key_is_not_believed() -> None:
    """A key that verifies for one account says nothing for an account that does not hold it."""
    body = notified(PLAIN)
    told = headers(body, key=PUBLIC_KEY, serial=KEY_ID)
    other = account(drop=("public_key_id", "public_key_pem"))
    assert isinstance(CHANNEL.read_notification(told, body, other, now_ms=NOW_MS), Refused)


def test_no_header_makes_a_forged_message_believed() -> None:
    body = notified(PLAIN)
    told = headers(body, key=PUBLIC_KEY) | {
        "host": "localhost",
        "x-forwarded-for": "127.0.0.1",
        "x-real-ip": "101.226.103.1",
        "user-agent": "Mozilla/4.0",
    }
    assert isinstance(CHANNEL.read_notification(told, body, ACCOUNT, now_ms=NOW_MS), Refused)


@pytest.mark.parametrize("body", [b"<xml><return_code>SUCCESS</return_code></xml>", b"\n <xml/>"])
def test_the_old_xml_is_named(body: bytes) -> None:
    assert "XML" in refused(CHANNEL.read_notification({}, body, ACCOUNT, now_ms=NOW_MS)).why


def test_an_account_that_cannot_work_believes_nothing() -> None:
    body = notified(PLAIN)
    broken = account(drop=("merchant_serial_no",))
    found = refused(CHANNEL.read_notification(headers(body), body, broken, now_ms=NOW_MS))
    assert "merchant_serial_no" in found.why


def test_the_answers_to_a_notification() -> None:
    taken, again = CHANNEL.acknowledge(taken=True), CHANNEL.acknowledge(taken=False)
    assert (taken.status, taken.body) == (204, b"")
    assert again.status == 503
    assert b"SUCCESS" not in again.body
