"""Every vector: known keys, known bytes, checked by other people's code when they were made."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from oncepay.channels.wechat.accounts import open_account
from oncepay.channels.wechat.credentials import app_parameters, page_parameters
from oncepay.channels.wechat.keys import Doubt, Genuine, verify
from oncepay.channels.wechat.requests import signed
from oncepay.domain.attempt import Attempt, Call, Direction, Fact, Reason, Road
from oncepay.domain.change import Fault
from oncepay.ports import Answered, Draft, Notice, Refused
from tests.channels.wechat_kit import (
    ACCOUNT,
    CERTIFICATE,
    CHANNEL,
    KEYS,
    NO,
    REFUND_NO,
    SERIAL,
    VECTORS,
    account,
    lower,
    order,
    refund,
)

OPENED = open_account(ACCOUNT)
REQUESTS = {vector["name"]: vector for vector in VECTORS["request_signing"]}
RESPONSES = {vector["name"]: vector for vector in VECTORS["responses"] + VECTORS["responses_negative"]}
NOTIFICATIONS = {vector["name"]: vector for vector in VECTORS["notifications"] + VECTORS["notifications_negative"]}


def ids(name: str) -> list[str]:
    return [vector["name"] for vector in VECTORS[name]]


@pytest.mark.parametrize("vector", VECTORS["request_signing"], ids=ids("request_signing"))
def test_a_request_is_signed(vector: dict[str, Any]) -> None:
    request = signed(
        OPENED,
        vector["method"],
        vector["url"],
        vector["body"].encode(),
        now_ms=int(vector["timestamp"]) * 1000 + 999,
        nonce=vector["nonce_str"],
    )
    assert dict(request.headers)["Authorization"] == vector["authorization"]
    assert request.body == vector["body"].encode()
    assert request.url == "https://api.mch.weixin.qq.com" + vector["url"]


@pytest.mark.parametrize("vector", VECTORS["request_signing_negative"], ids=ids("request_signing_negative"))
def test_a_request_is_not_signed_wrongly(vector: dict[str, Any]) -> None:
    base = REQUESTS[vector["base"]]
    request = signed(
        OPENED,
        base["method"],
        base["url"],
        base["body"].encode(),
        now_ms=int(base["timestamp"]) * 1000,
        nonce=base["nonce_str"],
    )
    assert vector["signature"] not in dict(request.headers)["Authorization"]


CALLS: list[tuple[str, Call, Attempt]] = [
    ("native_prepay_utf8_compact", Call.PREPAY, order()),
    ("jsapi_prepay", Call.PREPAY, order("PC20270115160000000002", "jsapi")),
    ("query_by_out_trade_no", Call.QUERY, order()),
    ("close", Call.CLOSE, order("PC20270115160000000002")),
    ("refund_create", Call.REFUND, refund()),
    ("refund_query", Call.QUERY_REFUND, refund()),
]


@pytest.mark.parametrize(("name", "call", "attempt"), CALLS, ids=[name for name, *_ in CALLS])
def test_a_call_is_drafted_and_built(name: str, call: Call, attempt: Attempt) -> None:
    vector = REQUESTS[name]
    inward = attempt.direction is Direction.IN
    draft = Draft(
        attempt=attempt,
        subject="测试商品-茶杯",
        app="pc",
        order_no="7",
        notify_url="https://pay.example.com/notify/wechat" + ("" if inward else "-refund"),
        payer={"openid": KEYS["openid"]} if attempt.method == "jsapi" else {},
        paying=None if inward else order(),
        note="" if inward else "测试退款",
    )
    body = CHANNEL.draft(draft, ACCOUNT) if call in {Call.PREPAY, Call.REFUND} else b""
    now_ms, nonce = int(vector["timestamp"]) * 1000, vector["nonce_str"]
    request = CHANNEL.build(call, attempt, ACCOUNT, body=body, now_ms=now_ms, nonce=nonce, host=0)
    assert request.body.decode() == vector["body"]
    assert (request.method, request.url) == (vector["method"], "https://api.mch.weixin.qq.com" + vector["url"])
    assert dict(request.headers)["Authorization"] == vector["authorization"]


def test_the_certificates_are_asked_for() -> None:
    vector = REQUESTS["certificates"]
    request = CHANNEL.build_keys(ACCOUNT, now_ms=int(vector["timestamp"]) * 1000, nonce=vector["nonce_str"])
    assert request is not None
    assert dict(request.headers)["Authorization"] == vector["authorization"]


@pytest.mark.parametrize("vector", VECTORS["responses"], ids=ids("responses"))
def test_a_signed_answer_is_genuine(vector: dict[str, Any]) -> None:
    now_ms = int(vector["headers"]["Wechatpay-Timestamp"]) * 1000
    body = vector["body"].encode()
    assert verify(lower(vector["headers"]), body, OPENED.verifiers, now_ms=now_ms) == Genuine(body, now_ms)


@pytest.mark.parametrize("vector", VECTORS["responses_negative"], ids=ids("responses_negative"))
def test_an_answer_is_not_genuine(vector: dict[str, Any]) -> None:
    now_ms = int(vector["headers"].get("Wechatpay-Timestamp", "1800000001")) * 1000
    doubt = verify(lower(vector["headers"]), vector["body"].encode(), OPENED.verifiers, now_ms=now_ms)
    assert isinstance(doubt, Doubt)
    assert doubt.probe is ("probe" in vector["name"])
    assert doubt.unsigned is ("unsigned" in vector["name"])


ANSWERS: list[tuple[str, Call, dict[str, Any]]] = [
    ("native_200", Call.PREPAY, {"fact": Fact.PENDING}),
    ("native_200_pubkey_mode", Call.PREPAY, {"fact": Fact.PENDING}),
    ("query_NOTPAY_200", Call.QUERY, {"fact": Fact.PENDING, "minor": None, "wrong": ""}),
    (
        "query_SUCCESS_200",
        Call.QUERY,
        {
            "fact": Fact.MOVED, "minor": 1234, "currency": "CNY", "trade_no": "4200009999202701150000000001",
            "channel_ms": 1_800_000_300_000, "channel_day": 20270115, "wrong": "", "refunded": False,
        },
    ),
    ("query_404", Call.QUERY, {"fact": Fact.ABSENT}),
    ("query_404", Call.CLOSE, {"fact": Fact.ABSENT}),
    ("close_204", Call.CLOSE, {"fact": Fact.OVER, "reason": Reason.CLOSED}),
    (
        "refund_200_PROCESSING",
        Call.REFUND,
        {
            "fact": Fact.PENDING, "minor": 234, "currency": "CNY", "of": NO, "wrong": "", "road": Road.REPLY,
            "trade_no": "50300009992027011500000000001", "direction": Direction.OUT,
        },
    ),
    ("refund_403_NOT_ENOUGH", Call.REFUND, {"fact": Fact.SILENT, "fault": Fault.BALANCE}),
    ("prepay_400_PARAM_ERROR", Call.PREPAY, {"fact": Fact.OVER, "reason": Reason.REFUSED}),
    ("signature_probe_must_be_rejected", Call.PREPAY, {"fact": Fact.SILENT, "fault": Fault.NONE}),
    ("unsigned_401", Call.PREPAY, {"fact": Fact.SILENT, "fault": Fault.ACCOUNT, "words": "SIGN_ERROR 签名错误"}),
    ("unsigned_200_is_forged", Call.QUERY, {"fact": Fact.SILENT, "minor": None, "trade_no": ""}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "call", "expected"), ANSWERS, ids=[f"{name}-{call}" for name, call, _ in ANSWERS])
def test_an_answer_is_read(name: str, call: Call, expected: dict[str, Any]) -> None:
    vector = RESPONSES[name]
    stamp = vector["headers"].get("Wechatpay-Timestamp")
    now_ms = int(stamp or 1_800_000_001) * 1000
    answer = Answered(status=vector["status"], headers=lower(vector["headers"]), body=vector["body"].encode())
    attempt = refund() if call is Call.REFUND else order()
    read = CHANNEL.read(call, answer, attempt, ACCOUNT, now_ms=now_ms, nonce="n" * 32)
    (evidence,) = read.evidence
    assert {name: getattr(evidence, name) for name in expected} == expected
    assert (evidence.number, evidence.call) == (attempt.no, call)
    assert evidence.said_ms == (now_ms if evidence.fact is not Fact.SILENT or "403" in name else 0)
    if name.startswith("native"):
        assert read.credential is not None
        assert json.loads(read.credential.body) == {"type": "qr", "code_url": "weixin://wxpay/bizpayurl?pr=SiM0test1"}
        assert read.credential.until_ms == attempt.expires_ms
    else:
        assert read.credential is None


def test_every_answer_of_a_payment_was_read() -> None:
    """The other answers among the vectors are about bills and certificates."""
    assert set(RESPONSES) - {name for name, *_ in ANSWERS} == {"tradebill_200", "certificates_200"}


def certificates_answer() -> tuple[Answered, int]:
    vector = RESPONSES["certificates_200"]
    answer = Answered(status=200, headers=lower(vector["headers"]), body=vector["body"].encode())
    return answer, int(vector["headers"]["Wechatpay-Timestamp"]) * 1000


def test_certificates_are_taken_in_by_an_account_that_has_none() -> None:
    answer, now_ms = certificates_answer()
    fresh = account(drop=("platform_certificates", "public_key_id", "public_key_pem"))
    settings = CHANNEL.read_keys(answer, fresh, now_ms=now_ms)
    assert settings is not None
    assert [entry["serial_no"] for entry in settings["platform_certificates"]] == [SERIAL]
    renewed = msgspec.structs.replace(fresh, settings=settings, revision=2)
    assert set(open_account(renewed).verifiers) == {SERIAL}
    assert settings["platform_certificates"][0]["pem"].split() == CERTIFICATE["pem"].split()


def notified(name: str) -> Notice | Refused:
    vector = NOTIFICATIONS[name]
    now_ms = int(vector["headers"]["Wechatpay-Timestamp"]) * 1000
    return CHANNEL.read_notification(lower(vector["headers"]), vector["body"].encode(), ACCOUNT, now_ms=now_ms)


@pytest.mark.parametrize("name", ids("notifications"))
def test_a_notification_is_read(name: str) -> None:
    notice = notified(name)
    assert isinstance(notice, Notice)
    (evidence,) = notice.evidence
    assert (evidence.road, evidence.call, evidence.wrong) == (Road.NOTIFICATION, None, "")
    assert evidence.said_ms == int(NOTIFICATIONS[name]["headers"]["Wechatpay-Timestamp"]) * 1000
    if name.startswith("payment"):
        assert (notice.numbers, notice.echo) == ((NO,), "pc:7")
        assert (evidence.number, evidence.fact, evidence.minor, evidence.currency) == (NO, Fact.MOVED, 1234, "CNY")
        assert (evidence.trade_no, evidence.channel_ms) == ("4200009999202701150000000001", 1_800_000_300_000)
    else:
        assert notice.numbers == (NO, REFUND_NO)
        assert (evidence.number, evidence.of, evidence.direction) == (REFUND_NO, NO, Direction.OUT)
        assert (evidence.minor, evidence.currency) == (234, "CNY")
        abnormal = name == "refund_abnormal"
        assert evidence.fact is (Fact.PENDING if abnormal else Fact.MOVED)
        assert evidence.attention == ("refund_abnormal" if abnormal else "")
        assert evidence.channel_ms == (0 if abnormal else 1_800_003_620_000)


@pytest.mark.parametrize("name", ids("notifications_negative"))
def test_a_notification_is_refused(name: str) -> None:
    refused = notified(name)
    assert isinstance(refused, Refused)
    assert refused.probe is ("probe" in name)
    assert not refused.refresh


def test_a_retry_says_the_same() -> None:
    first, retry = ids("notifications")[:2]
    one, two = notified(first), notified(retry)
    assert isinstance(one, Notice)
    assert isinstance(two, Notice)
    assert one.evidence[0] == msgspec.structs.replace(two.evidence[0], said_ms=one.evidence[0].said_ms)


def test_what_a_client_invokes_with() -> None:
    jsapi, app = VECTORS["client_invoke"]["jsapi"]["params"], VECTORS["client_invoke"]["app"]["params"]
    nonce, prepay_id = jsapi["nonceStr"], app["prepayid"]
    now_ms = int(jsapi["timeStamp"]) * 1000
    assert page_parameters(prepay_id, OPENED, now_ms=now_ms, nonce=nonce) == {"type": "invoke", **jsapi}
    assert app_parameters(prepay_id, OPENED, now_ms=now_ms, nonce=nonce) == {"type": "invoke", **app}
