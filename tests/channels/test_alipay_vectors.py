"""Every vector: known keys, known bytes, checked by other people's code when they were made."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import unquote_plus, urlencode

import msgspec
import pytest

from oncepay.channels.alipay.accounts import open_account
from oncepay.channels.alipay.certificates import load, root_serial_of, serial_of
from oncepay.channels.alipay.credentials import made
from oncepay.channels.alipay.keys import Genuine, verify
from oncepay.channels.alipay.notifications import fields, signed_texts
from oncepay.channels.alipay.requests import Stored, posted, seal
from oncepay.channels.alipay.wire import root_of, take_apart
from oncepay.domain.attempt import Call, Direction, Fact, Reason
from oncepay.domain.change import Fault
from oncepay.ports import Notice, Refused
from tests.channels.alipay_kit import (
    ACCOUNT,
    CERTIFICATES,
    CERTIFIED,
    CHANNEL,
    NO,
    NOW_MS,
    REFUND_NO,
    TRADE_NO,
    VECTORS,
    form,
    heard,
    order,
    raw,
    read,
    refund,
    signature,
)

KEY_MODE, CERT_MODE = open_account(ACCOUNT), open_account(CERTIFIED)
ALL = {vector["name"]: vector for vector in VECTORS["vectors"]}
NEGATIVE = {vector["name"]: vector for vector in VECTORS["negative_vectors"]}
SENT_MS = 1_772_339_445_000  # 2026-03-01 12:30:45 in Beijing


def of_kind(kind: str) -> list[str]:
    return [name for name, vector in ALL.items() if vector["kind"] == kind]


# -- requests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", of_kind("request"))
def test_a_request_is_signed_and_sent(name: str) -> None:
    vector = ALL[name]
    sealed = seal(KEY_MODE.signer, vector["params_before_sign"])
    assert sealed["sign"] == vector["sign"]
    assert sealed.keys() - {"sign"} == {k for k, v in vector["params_before_sign"].items() if v}
    if "http" in vector:
        http = vector["http"]
        request = posted(KEY_MODE, sealed)
        assert (request.method, request.url, request.body.decode()) == (http["method"], http["url"], http["body"])
        assert dict(request.headers)["Content-Type"] == http["content_type"]


@pytest.mark.parametrize(
    ("name", "member"),
    [("request_page_pay_key_mode", "http_get_url"), ("request_app_pay_order_string", "order_string")],
)
def test_what_the_payer_gets(name: str, member: str) -> None:
    vector = ALL[name]
    parameters = vector["params_before_sign"]
    body = msgspec.json.encode(Stored(**{k: parameters[k] for k in Stored.__struct_fields__ if k in parameters}))
    method = "page" if "page" in name else "app"
    attempt = msgspec.structs.replace(order(method=method), created_ms=SENT_MS + 999)
    credential = json.loads(made(attempt, KEY_MODE, body).body)
    assert credential[{"page": "url", "app": "order_string"}[method]] == vector[member]


def test_the_calls_of_the_vectors_are_built() -> None:
    for name, call, attempt, account in (
        ("request_trade_query_key_mode", Call.QUERY, order(), ACCOUNT),
        ("request_refund_cert_mode", Call.REFUND, refund(), CERTIFIED),
    ):
        body = b""
        if call is Call.REFUND:
            body = msgspec.json.encode(
                Stored(method="alipay.trade.refund", biz_content=ALL[name]["params_before_sign"]["biz_content"])
            )
        request = CHANNEL.build(call, attempt, account, body=body, now_ms=SENT_MS, nonce="", host=0)
        assert (request.url, request.body.decode()) == (ALL[name]["http"]["url"], ALL[name]["http"]["body"])


def test_serial_numbers() -> None:
    (app,), (alipay,) = load(CERTIFICATES["app_cert_pem"]), load(CERTIFICATES["alipay_cert_pem"])
    assert (serial_of(app), serial_of(alipay)) == (CERTIFICATES["app_cert_sn"], CERTIFICATES["alipay_cert_sn"])
    roots = load(CERTIFICATES["root_bundle_pem"])
    assert len(roots) == 3
    assert root_serial_of(roots) == CERTIFICATES["alipay_root_cert_sn"]
    for name, certificate in (("app_cert", app), ("alipay_cert", alipay), ("root_1", roots[1]), ("root_2", roots[2])):
        text = CERTIFICATES["sn_md5_inputs"][name]
        assert serial_of(certificate) == hashlib.md5(text.encode()).hexdigest()


# -- answers ---------------------------------------------------------------------------------------------------------

CALLS = {
    "alipay.trade.query": Call.QUERY,
    "alipay.trade.precreate": Call.PREPAY,
    "alipay.trade.refund": Call.REFUND,
}


@pytest.mark.parametrize("name", of_kind("sync_response"))
def test_the_signed_text_is_cut_out(name: str) -> None:
    vector = ALL[name]
    told = take_apart(vector["raw_body"].encode(), root_of(vector["method"]))
    if vector["signed_substring"] is None:
        assert told.sign == ""
        return
    assert told.text == vector["signed_substring"].encode()
    assert hashlib.sha256(told.text).hexdigest() == vector["signed_substring_sha256"]
    assert told.sign == vector["sign"]
    for opened in (KEY_MODE, CERT_MODE):
        believed = verify((told.text,), told.sign, opened.verifiers, serial=told.serial, now_ms=NOW_MS)
        assert isinstance(believed, Genuine)
        assert believed.text == told.text


ANSWERS: dict[str, dict[str, Any]] = {
    "response_query_success_key_mode": {
        "fact": Fact.MOVED, "minor": 8888, "currency": "CNY", "trade_no": TRADE_NO,
        "channel_ms": 1_772_339_480_000, "channel_day": 20260301, "returned_minor": None,
    },
    "response_precreate_escaped_slash": {"fact": Fact.PENDING},
    "response_query_trade_not_exist": {"fact": Fact.ABSENT, "words": "ACQ.TRADE_NOT_EXIST 交易不存在"},
    "response_system_error_unknown": {"fact": Fact.SILENT, "fault": Fault.NONE, "direction": Direction.OUT},
    "response_brace_inside_string": {"fact": Fact.PENDING},
    "response_query_success_cert_mode": {"fact": Fact.MOVED, "minor": 8888},
    "response_unsigned_invalid_app_id": {"fact": Fact.SILENT, "fault": Fault.ACCOUNT},
    "response_error_root": {"fact": Fact.SILENT, "fault": Fault.ACCOUNT},
}  # fmt: skip
NUMBERS = {"response_precreate_escaped_slash": "PC202603010003", "response_query_trade_not_exist": "PC202603019999"}


@pytest.mark.parametrize("name", of_kind("sync_response"))
@pytest.mark.parametrize("to", [ACCOUNT, CERTIFIED])
def test_an_answer_is_read(name: str, to: Any) -> None:
    vector = ALL[name]
    call = CALLS[vector["method"]]
    attempt = refund() if call is Call.REFUND else order(NUMBERS.get(name, NO))
    told = read(call, raw(vector["raw_body"].encode()), attempt, to=to)
    (evidence,) = told.evidence
    expected = ANSWERS[name] | {"wrong": ""}
    assert {member: getattr(evidence, member) for member in expected} == expected
    if call is Call.PREPAY:
        assert told.credential is not None
        assert json.loads(told.credential.body) == {
            "type": "qr",
            "code_url": "https://qr.alipay.com/bavh4wjlxf12tper3a",
        }
        assert told.credential.until_ms == attempt.expires_ms


def test_an_answer_that_was_written_again_is_not_believed() -> None:
    vector = ALL["response_precreate_escaped_slash"]
    assert NEGATIVE["response_redumped"]["expected"] == "signature invalid"
    again = json.dumps(json.loads(vector["raw_body"]), separators=(",", ":")).encode()
    assert b"\\/" not in again
    told = read(Call.PREPAY, raw(again), order("PC202603010003"))
    assert (told.evidence[0].fact, told.credential) == (Fact.SILENT, None)


# -- notifications ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", of_kind("notification"))
def test_what_is_signed_of_a_notification(name: str) -> None:
    vector = ALL[name]
    decoded = fields(vector["raw_body"].encode())
    assert {k.decode(): v.decode() for k, v in decoded.items()} == vector["decoded_params"]
    (text,) = signed_texts(decoded)
    assert text.decode() == vector["string_to_sign"]
    assert hashlib.sha256(text).hexdigest() == vector["string_to_sign_sha256"]
    assert decoded[b"sign"].decode() == vector["sign"]


NOTICES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "notify_payment_success": (
        (NO,),
        {"fact": Fact.MOVED, "minor": 8888, "currency": "CNY", "returned_minor": None, "channel_ms": 1_772_339_480_000},
    ),
    "notify_partial_refund": ((NO, REFUND_NO), {"fact": Fact.MOVED, "minor": 8888, "returned_minor": 888}),
    "notify_full_refund_closed": ((NO, "RF202603030002"), {"fact": Fact.MOVED, "minor": 8888, "returned_minor": 8888}),
    "notify_timeout_closed": (
        ("PC202603010002",),
        {"fact": Fact.OVER, "reason": Reason.CLOSED, "minor": None, "returned_minor": None},
    ),
}


@pytest.mark.parametrize("name", of_kind("notification"))
@pytest.mark.parametrize("by", [ACCOUNT, CERTIFIED])
def test_a_notification_is_read(name: str, by: Any) -> None:
    vector = ALL[name]
    found = heard(vector["raw_body"].encode(), by=by)
    assert isinstance(found, Notice)
    numbers, expected = NOTICES[name]
    assert found.numbers == numbers
    assert {member: getattr(found.evidence[0], member) for member in expected} == expected
    assert [e.wrong for e in found.evidence] == [""] * len(numbers)
    assert found.echo == ("" if name == "notify_timeout_closed" else "order=PC202603010001")
    assert CHANNEL.acknowledge(taken=True).body.decode() == vector["expected_reply"]
    for refunded in found.evidence[1:]:
        assert (refunded.fact, refunded.minor, refunded.of) == (Fact.PENDING, None, NO)
        assert refunded.direction is Direction.OUT


def refused(body: bytes) -> None:
    found = heard(body)
    assert isinstance(found, Refused)
    assert found.why == "the signature does not fit"


def test_a_changed_amount() -> None:
    refused(NEGATIVE["notify_amount_tampered"]["raw_body"].encode())


def test_a_notification_that_was_decoded_twice() -> None:
    decoded = ALL["notify_payment_success"]["decoded_params"]
    twice = {name: value if name == "sign" else unquote_plus(value) for name, value in decoded.items()}
    assert twice != decoded
    refused(form(twice))


def test_a_signature_over_sign_type_too() -> None:
    decoded = {k: v for k, v in ALL["notify_payment_success"]["decoded_params"].items() if k != "sign"}
    with_sign_type = "&".join(f"{name}={decoded[name]}" for name in sorted(decoded))
    assert "sign_type=RSA2" in with_sign_type
    refused(urlencode({**decoded, "sign": signature(with_sign_type.encode())}).encode())


def test_every_negative_vector_was_tried() -> None:
    assert set(NEGATIVE) == {
        "notify_amount_tampered",
        "notify_decoded_twice",
        "notify_with_sign_type_included",
        "response_redumped",
    }
