"""Nobody can change a byte of what WeChat Pay signed, and nothing that arrives makes a reader raise."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oncepay.channels.wechat.accounts import open_account
from oncepay.channels.wechat.keys import Doubt, Genuine, verify
from oncepay.domain.attempt import Call, Fact, Reason
from oncepay.ports import Answered, Notice, Refused
from oncepay.testing.conformance.hostile import changed
from tests.channels.kit import ANYTHING
from tests.channels.wechat_kit import (
    ACCOUNT,
    CHANNEL,
    NOW_MS,
    answered,
    headers,
    notified,
    order,
    read,
    refund_told,
    trade,
)

SIGNED = ("wechatpay-signature", "wechatpay-timestamp", "wechatpay-nonce", "wechatpay-serial")
BODY = notified(trade("SUCCESS"))
HEADERS = headers(BODY)
VERIFIERS = open_account(ACCOUNT).verifiers


@given(st.integers(0, 2**32))
def test_a_changed_notification_is_refused(seed: int) -> None:
    rng = random.Random(seed)
    where = rng.choice(("body", *SIGNED))
    body, told = BODY, dict(HEADERS)
    if where == "body":
        body = changed(BODY, rng)
    else:
        told[where] = changed(told[where].encode(), rng).decode("latin-1")
    if (body, told) == (BODY, HEADERS):
        return
    assert isinstance(CHANNEL.read_notification(told, body, ACCOUNT, now_ms=NOW_MS), Refused)


def test_every_single_byte_is_signed() -> None:
    assert isinstance(CHANNEL.read_notification(HEADERS, BODY, ACCOUNT, now_ms=NOW_MS), Notice)
    for at in range(len(BODY)):
        body = BODY[:at] + bytes((BODY[at] ^ 1,)) + BODY[at + 1 :]
        assert isinstance(verify(HEADERS, body, VERIFIERS, now_ms=NOW_MS), Doubt), at
    for name in SIGNED:
        for at, letter in enumerate(HEADERS[name]):
            told = {**HEADERS, name: HEADERS[name][:at] + chr(ord(letter) ^ 1) + HEADERS[name][at + 1 :]}
            assert isinstance(verify(told, BODY, VERIFIERS, now_ms=NOW_MS), Doubt), (name, at)


ANSWERS = {
    Call.PREPAY: answered(200, {"code_url": "weixin://wxpay/bizpayurl?pr=1"}),
    Call.QUERY: answered(200, trade("SUCCESS")),
    Call.CLOSE: answered(404, {"code": "ORDER_NOT_EXIST"}),
    Call.REFUND: answered(200, refund_told("SUCCESS")),
    Call.QUERY_REFUND: answered(404, {"code": "RESOURCE_NOT_EXISTS"}),
}


@pytest.mark.parametrize("call", ANSWERS)
@given(seed=st.integers(0, 2**32))
def test_a_changed_answer_is_silent(call: Call, seed: int) -> None:
    rng = random.Random(seed)
    answer = ANSWERS[call]
    where = rng.choice(("body", *SIGNED))
    body, told = answer.body, dict(answer.headers)
    if where == "body":
        body = changed(body, rng)
    else:
        told[where] = changed(told[where].encode(), rng).decode("latin-1")
    if (body, told) == (answer.body, answer.headers):
        return
    found = read(call, Answered(status=answer.status, headers=told, body=body))
    assert [e.fact for e in found.evidence] == [Fact.SILENT]
    assert found.credential is None


@pytest.mark.parametrize("call", ANSWERS)
@given(status=st.integers(100, 599))
def test_another_status_makes_no_other_fact(call: Call, status: int) -> None:
    """The status is not signed: by itself it turns nothing into money, and no order into none."""
    answer = ANSWERS[call]
    (evidence,) = read(call, Answered(status=status, headers=answer.headers, body=answer.body)).evidence
    assert status == answer.status or evidence.fact is Fact.SILENT


@given(body=st.binary(max_size=300), status=st.integers(100, 599), call=st.sampled_from(list(Call)))
@example(body=b"", status=204, call=Call.CLOSE)
def test_whatever_is_signed_is_read_without_raising(body: bytes, status: int, call: Call) -> None:
    (evidence,) = read(call, answered(status, body)).evidence
    if (body, status, call) == (b"", 204, Call.CLOSE):
        assert (evidence.fact, evidence.reason) == (Fact.OVER, Reason.CLOSED)
    else:
        assert evidence.fact is Fact.SILENT


@given(
    fields=st.dictionaries(st.sampled_from([*trade(""), *refund_told("")]), ANYTHING, max_size=3),
    call=st.sampled_from(list(Call)),
)
def test_strange_members_are_read_without_raising(fields: dict[str, Any], call: Call) -> None:
    for told in (trade("SUCCESS") | fields, refund_told("SUCCESS") | fields, fields):
        (evidence,) = read(call, answered(200, told), order()).evidence
        if evidence.fact is Fact.MOVED and not evidence.wrong and call is Call.QUERY:
            assert evidence.number == told["out_trade_no"]


@given(plain=st.binary(max_size=200) | st.dictionaries(st.sampled_from(list(trade(""))), ANYTHING))
def test_whatever_is_sealed_is_read_without_raising(plain: bytes | dict[str, Any]) -> None:
    for event, original in (("TRANSACTION.SUCCESS", "transaction"), ("REFUND.SUCCESS", "refund")):
        body = notified(plain, event=event, original=original)
        CHANNEL.read_notification(headers(body), body, ACCOUNT, now_ms=NOW_MS)


@given(
    told=st.dictionaries(st.sampled_from([*SIGNED, "wechatpay-signature-type"]), st.text(max_size=40)),
    body=st.binary(max_size=100),
)
def test_whatever_arrives_unsigned_is_refused_without_raising(told: dict[str, str], body: bytes) -> None:
    assert not isinstance(verify(told, body, VERIFIERS, now_ms=NOW_MS), Genuine)
    assert isinstance(CHANNEL.read_notification(told, body, ACCOUNT, now_ms=NOW_MS), Refused)
    assert CHANNEL.read_keys(Answered(status=200, headers=told, body=body), ACCOUNT, now_ms=NOW_MS) is None
