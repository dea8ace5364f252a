"""Nobody can change a byte of what UnionPay signed, and nothing that arrives makes a reader raise."""

from __future__ import annotations

import doctest
import random
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncepay.channels import texts
from oncepay.channels.unionpay import requests, wire
from oncepay.channels.unionpay.wire import read_form, read_plain
from oncepay.domain.attempt import Call, Fact
from oncepay.ports import Answered, Notice, Read, Refused
from oncepay.testing.conformance.hostile import changed
from tests.channels.unionpay_kit import (
    ACCOUNT,
    CHANNEL,
    NOW_MS,
    answered,
    attempt_for,
    notice,
    order,
    plain,
    read,
    refund,
    signed,
    told,
    transaction,
)

# A changed certificate may have a serial number of nought, which some of those who issue them use in earnest.
pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number")

FIELDS = signed(notice(order(), reqReserved="cGM6Nw=="))
BODY = urlencode(FIELDS).encode()


def heard(body: bytes) -> Notice | Refused:
    return CHANNEL.read_notification({}, body, ACCOUNT, now_ms=NOW_MS)


GOOD = heard(BODY)


def same(body: bytes) -> bool:
    """Whether a changed body still says the same, by other escapes (``%2a`` for ``%2A``) or in another order."""
    try:
        return read_form(body) == FIELDS
    except ValueError:
        return False


@given(st.integers(0, 2**32))
def test_a_changed_notification_is_refused(seed: int) -> None:
    body = changed(BODY, random.Random(seed))
    found = heard(body)
    assert found == GOOD if same(body) else isinstance(found, Refused)


@pytest.mark.parametrize("bit", [0, 1, 5])  # the fifth makes a letter of an escape small: the same escape
def test_every_single_bit_is_signed(bit: int) -> None:
    assert isinstance(GOOD, Notice)
    for at in range(len(BODY)):
        body = BODY[:at] + bytes((BODY[at] ^ (1 << bit),)) + BODY[at + 1 :]
        assert isinstance(heard(body), Refused) or (same(body) and bit == 5), (at, body[at - 3 : at + 3])


def test_every_field_is_signed() -> None:
    for name in FIELDS:
        fields = {other: value for other, value in FIELDS.items() if other != name}
        assert isinstance(heard(urlencode(fields).encode()), Refused), name
        for value in ("", FIELDS[name] + "0", FIELDS[name] + " ", FIELDS[name][:-1], FIELDS["signature"]):
            if value != FIELDS[name]:
                assert isinstance(heard(urlencode(FIELDS | {name: value}).encode()), Refused), name


def test_every_field_of_another_valid_message_is_refused() -> None:
    other = signed(notice(order("PC20260301000002", minor=1), queryId="312603011230451001239", reqReserved="cGM6OA=="))
    for name in FIELDS:
        if other[name] != FIELDS[name]:
            assert isinstance(heard(urlencode(FIELDS | {name: other[name]}).encode()), Refused), name


ANSWERS: dict[Call, dict[str, str]] = {
    Call.PREPAY: signed(told(order(method="qr"), qrCode="https://qr.95516.com/1")),
    Call.QUERY: signed(transaction(order())),
    Call.REFUND: signed(told(refund(), "35")),
    Call.QUERY_REFUND: signed(told(refund(), "34")),
}


@pytest.mark.parametrize("call", ANSWERS)
@given(seed=st.integers(0, 2**32))
def test_a_changed_answer_is_silent(call: Call, seed: int) -> None:
    whole = plain(ANSWERS[call])
    body = changed(whole, random.Random(seed))
    found = read(call, Answered(status=200, headers={}, body=body))
    if body != whole:
        assert ([e.fact for e in found.evidence], found.credential) == ([Fact.SILENT], None)


@pytest.mark.parametrize("call", ANSWERS)
@given(status=st.integers(100, 599))
def test_another_status_makes_no_fact(call: Call, status: int) -> None:
    """The status is not signed: by itself it turns nothing into money, and no order into none."""
    found = read(call, Answered(status=status, headers={}, body=plain(ANSWERS[call])))
    assert status == 200 or ([e.fact for e in found.evidence], found.credential) == ([Fact.SILENT], None)


@given(body=st.binary(max_size=300), status=st.integers(100, 599), call=st.sampled_from(list(Call)))
def test_whatever_arrives_is_read_without_raising(body: bytes, status: int, call: Call) -> None:
    assert [e.fact for e in read(call, Answered(status=status, headers={}, body=body)).evidence] == [Fact.SILENT]
    assert isinstance(heard(body), Refused)


NAMES = [*transaction(order()), "qrCode", "tn", "reqReserved", "origQryId"]
VALUES = st.text(max_size=20) | st.sampled_from(["", "00", "34", "12", "04", "31", "0" * 14, "9" * 17, "0229", "{a=1}"])


@given(fields=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4), call=st.sampled_from(list(Call)))
def test_strange_fields_are_read_without_raising(fields: dict[str, str], call: Call) -> None:
    attempt = attempt_for(call)
    found: Read = read(call, answered(transaction(attempt, tn="1") | fields), attempt)
    (evidence,) = found.evidence
    if evidence.fact is Fact.MOVED and not evidence.wrong:
        assert "orderId" not in fields or fields["orderId"] == attempt.no
    for base in (notice(order()), notice(refund())):
        heard(urlencode(signed(base | fields)).encode())


@given(st.dictionaries(st.from_regex(r"\A[A-Za-z][A-Za-z0-9_]{0,5}\Z"), st.text(max_size=20), max_size=5))
def test_what_is_read_was_written(fields: dict[str, str]) -> None:
    """A form is read as it was written or not at all; and so is plain text."""
    try:
        found = read_form(urlencode(fields).encode())
    except ValueError:
        assert not fields or any(sign in value for value in fields.values() for sign in "&[{")
    else:
        assert found == fields
        assert read_plain(plain(fields).decode()) == fields


@pytest.mark.parametrize("module", [wire, requests, texts])
def test_the_examples_hold(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted > 0
    assert result.failed == 0
