"""Nobody can change what Alipay signed, and nothing that arrives makes a reader raise."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncepay.domain.attempt import Call, Fact, Reason
from oncepay.ports import Notice, Refused
from oncepay.testing.conformance.hostile import changed
from tests.channels.alipay_kit import (
    ACCOUNT,
    CERTIFIED,
    CHANNEL,
    NO,
    NOW_MS,
    PAID,
    PARTLY_BACK,
    REFUND,
    REFUND_QUERY,
    ROOTS,
    SERIAL,
    TRADE,
    answered,
    done,
    failed,
    form,
    heard,
    notice,
    notified,
    raw,
    read,
    signature,
    string_to_sign,
)
from tests.channels.kit import ANYTHING

BODY = notified(PARTLY_BACK)
NOTICE = notice(BODY)


def escapes_of(body: bytes) -> set[int]:
    """Places of digits in percent escapes: in small or capital letters they are the same."""
    return {at + offset for at, byte in enumerate(body) if byte == ord("%") for offset in (1, 2)}


@pytest.mark.parametrize("bit", range(8))
def test_every_single_byte_of_a_notification_is_signed(bit: int) -> None:
    escapes = escapes_of(BODY)
    for at in range(len(BODY)):
        body = BODY[:at] + bytes((BODY[at] ^ 1 << bit,)) + BODY[at + 1 :]
        found = heard(body)
        if at in escapes and body.upper() == BODY.upper():
            assert found == NOTICE
        else:
            assert isinstance(found, Refused), at


def test_no_byte_can_be_dropped_or_doubled() -> None:
    for at in range(len(BODY)):
        assert isinstance(heard(BODY[:at] + BODY[at + 1 :]), Refused), at
        assert isinstance(heard(BODY[:at]), Refused), at
        doubled = BODY[: at + 1] + BODY[at:]
        assert isinstance(heard(doubled), Refused), at


@given(st.integers(0, 2**32))
def test_a_changed_notification_is_refused_or_says_the_same(seed: int) -> None:
    found = heard(changed(BODY, random.Random(seed)))
    assert isinstance(found, Refused) or found == NOTICE


FIELDS = sorted(PARTLY_BACK)


@given(name=st.sampled_from(FIELDS), value=st.text(max_size=20))
def test_no_field_can_be_swapped(name: str, value: str) -> None:
    sign = signature(string_to_sign(PARTLY_BACK))
    if value == PARTLY_BACK[name]:
        return
    try:
        body = form({**PARTLY_BACK, name: value, "sign_type": "RSA2", "sign": sign})
    except UnicodeEncodeError:
        return
    assert isinstance(heard(body), Refused)


ANSWERS = {
    Call.PREPAY: done(Call.PREPAY, out_trade_no=NO, qr_code="https://qr.alipay.com/x"),
    Call.QUERY: answered(Call.QUERY, {"code": "10000", **TRADE}, serial=SERIAL),
    Call.CLOSE: done(Call.CLOSE, out_trade_no=NO),
    Call.CANCEL: done(Call.CANCEL, out_trade_no=NO, action="refund"),
    Call.REFUND: done(Call.REFUND, **REFUND),
    Call.QUERY_REFUND: failed(Call.QUERY_REFUND, "ACQ.TRADE_NOT_EXIST"),
}


@pytest.mark.parametrize("call", ANSWERS)
@given(seed=st.integers(0, 2**32))
def test_a_changed_answer_is_silent_or_says_the_same(call: Call, seed: int) -> None:
    body = changed(ANSWERS[call].body, random.Random(seed))
    for to in (ACCOUNT, CERTIFIED):
        found = read(call, raw(body), to=to)
        assert [e.fact for e in found.evidence] == [Fact.SILENT] or found.evidence == read(call, ANSWERS[call]).evidence


@pytest.mark.parametrize("call", ANSWERS)
def test_every_byte_of_the_signed_text_is_signed(call: Call) -> None:
    body = ANSWERS[call].body
    start, end = body.index(b":") + 1, body.rindex(b',"sign"')
    end = min(end, body.rindex(b',"alipay_cert_sn"')) if b'"alipay_cert_sn"' in body else end
    assert read(call, raw(body)).evidence[0].fact is not Fact.SILENT
    for at in range(start, end):
        mutated = body[:at] + bytes((body[at] ^ 1,)) + body[at + 1 :]
        assert read(call, raw(mutated)).evidence[0].fact is Fact.SILENT, at


@pytest.mark.parametrize("call", ANSWERS)
@given(status=st.integers(100, 599))
def test_another_status_makes_no_other_fact(call: Call, status: int) -> None:
    """The status is not signed: by itself it turns nothing into money, and no order into none."""
    (evidence,) = read(call, raw(ANSWERS[call].body, status=status)).evidence
    assert status == 200 or evidence.fact is Fact.SILENT


@given(body=st.binary(max_size=300), call=st.sampled_from(list(Call)))
def test_whatever_is_signed_is_read_without_raising(body: bytes, call: Call) -> None:
    (evidence,) = read(call, answered(call, body)).evidence
    assert evidence.fact is Fact.SILENT


MEMBERS = [*TRADE, *REFUND, *REFUND_QUERY, "action", "retry_flag", "qr_code", "code", "sub_code"]


@given(fields=st.dictionaries(st.sampled_from(MEMBERS), ANYTHING, max_size=3), call=st.sampled_from(list(Call)))
def test_strange_members_are_read_without_raising(fields: dict[str, Any], call: Call) -> None:
    for told in ({"code": "10000"} | TRADE | fields, {"code": "10000"} | REFUND | REFUND_QUERY | fields, fields):
        try:
            text = json.dumps(told).encode()
        except UnicodeEncodeError:
            continue
        (evidence,) = read(call, answered(call, text)).evidence
        if evidence.fact is Fact.MOVED and not evidence.wrong:
            assert told["out_trade_no"] == NO
        if evidence.fact is Fact.OVER and evidence.reason is Reason.CLOSED and not evidence.wrong:
            assert told["out_trade_no"] == NO


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(fields=st.dictionaries(st.sampled_from([*PARTLY_BACK, "alipay_cert_sn", "gmt_close"]), TEXT))
def test_whatever_is_signed_as_a_notification_is_read_without_raising(fields: dict[str, str]) -> None:
    for told in (PAID | fields, PARTLY_BACK | fields, fields):
        found = heard(notified(told))
        if isinstance(found, Notice):
            assert found.numbers[0] == told["out_trade_no"]
            assert len(found.numbers) == len(found.evidence)


@given(body=st.binary(max_size=200))
def test_whatever_arrives_unsigned_is_refused_without_raising(body: bytes) -> None:
    assert isinstance(heard(body), Refused)
    assert CHANNEL.read_keys(raw(body), CERTIFIED, now_ms=NOW_MS) is None
    for call in Call:
        assert read(call, raw(body)).evidence[0].fact is Fact.SILENT


@given(fields=st.dictionaries(st.sampled_from([*PAID, "sign", "sign_type", "alipay_cert_sn"]), TEXT))
def test_a_form_that_claims_to_be_signed_is_refused_without_raising(fields: dict[str, str]) -> None:
    assert isinstance(heard(form({**fields, "sign_type": "RSA2"})), Refused)
    assert isinstance(heard(form(fields)), Refused)


@given(tail=st.binary(max_size=60), call=st.sampled_from(list(Call)))
def test_members_beside_the_signed_text_change_nothing(tail: bytes, call: Call) -> None:
    answer = ANSWERS[call]
    added = raw(answer.body[:-1] + b"," + tail + b"}")
    evidence = read(call, added).evidence
    assert evidence[0].fact is Fact.SILENT or evidence == read(call, answer).evidence
    assert ROOTS[call].encode() in answer.body
