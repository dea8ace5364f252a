"""What Alipay's answers say of payments and refunds: states, amounts, and what must agree."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from oncepay.domain.attempt import Attempt, Call, Direction, Fact, Reason, Road, Status
from oncepay.domain.change import Fault
from tests.channels.alipay_kit import (
    NO,
    NOW_MS,
    REFUND,
    REFUND_NO,
    REFUND_QUERY,
    ROOTS,
    TRADE,
    TRADE_NO,
    answered,
    done,
    evidence,
    order,
    read,
    refund,
)

# -- payments --------------------------------------------------------------------------------------------------------

UNPAID = {k: v for k, v in TRADE.items() if k != "send_pay_date"}


@pytest.mark.parametrize(
    ("fields", "attempt", "fact", "returned", "words"),
    [
        (UNPAID | {"trade_status": "WAIT_BUYER_PAY"}, order(), Fact.PENDING, None, ""),
        (TRADE, order(), Fact.MOVED, None, ""),
        (TRADE | {"trade_status": "TRADE_FINISHED"}, order(), Fact.MOVED, None, "TRADE_FINISHED"),
        (UNPAID | {"trade_status": "TRADE_CLOSED"}, order(), Fact.OVER, None, "TRADE_CLOSED"),
        (UNPAID | {"trade_status": "TRADE_CLOSED"}, order(status=Status.OVER), Fact.OVER, None, "TRADE_CLOSED"),
        (UNPAID | {"trade_status": "TRADE_CLOSED"}, order(status=Status.SUCCEEDED), Fact.MOVED, 8888, "TRADE_CLOSED"),
        (TRADE | {"trade_status": "TRADE_CLOSED"}, order(), Fact.MOVED, 8888, "TRADE_CLOSED"),
        (UNPAID | {"trade_status": "TRADE_CLOSED", "refund_fee": "0.00"}, order(), Fact.OVER, None, "TRADE_CLOSED"),
        (TRADE | {"trade_status": "TRADE_PENDING"}, order(), Fact.SILENT, None, "TRADE_PENDING"),
        (TRADE | {"trade_status": ""}, order(), Fact.SILENT, None, ""),
    ],
)
def test_the_states_of_a_payment(
    fields: dict[str, str], attempt: Attempt, fact: Fact, returned: int | None, words: str
) -> None:
    found = evidence(Call.QUERY, done(Call.QUERY, **fields), attempt)
    assert (found.fact, found.returned_minor, found.words, found.wrong) == (fact, returned, words, "")
    moved = fact is Fact.MOVED
    assert (found.minor, found.currency) == ((8888, "CNY") if moved else (None, None))
    paid = moved and "send_pay_date" in fields
    assert (found.channel_ms, found.channel_day) == ((1_772_339_480_000, 20260301) if paid else (0, 0))
    assert found.reason is (Reason.CLOSED if fact is Fact.OVER else Reason.NONE)
    assert (found.trade_no, found.refunded) == (TRADE_NO, False)


def test_the_amount_is_told_as_it_stands_there() -> None:
    assert evidence(Call.QUERY, done(Call.QUERY, **(TRADE | {"total_amount": "0.01"}))).minor == 1


def test_another_payment_is_wrong() -> None:
    found = evidence(Call.QUERY, done(Call.QUERY, **(TRADE | {"out_trade_no": "PC9"})))
    assert found.wrong == f"out_trade_no is 'PC9', not '{NO}'"
    assert evidence(Call.QUERY, done(Call.QUERY, trade_status="TRADE_SUCCESS", total_amount="88.88")).wrong


@pytest.mark.parametrize(
    "amount", ["", "88,88", "88.888", "-1.00", "1e3", "NaN", " 1.00", "1.00 ", "８.00", "9" * 14 + ".00", "0x1", "."]
)
def test_money_without_a_readable_amount_is_silent(amount: str) -> None:
    assert evidence(Call.QUERY, done(Call.QUERY, **(TRADE | {"total_amount": amount}))).fact is Fact.SILENT
    assert evidence(Call.QUERY_REFUND, done(Call.QUERY_REFUND, **(REFUND_QUERY | {"refund_amount": amount}))).fact is (
        Fact.SILENT
    )
    assert evidence(Call.REFUND, done(Call.REFUND, **(REFUND | {"refund_fee": amount}))).fact is Fact.SILENT


@pytest.mark.parametrize("amount", [88.88, 8888, None, ["88.88"]])
def test_an_amount_is_a_text(amount: object) -> None:
    assert evidence(Call.QUERY, done(Call.QUERY, **(TRADE | {"total_amount": amount}))).fact is Fact.SILENT


@pytest.mark.parametrize("trade_no", ["2026\0", "2026 1", "号", "2" * 65, "2026\n", "\n2026"])
def test_a_number_of_the_vendors_that_is_none_is_silent(trade_no: str) -> None:
    odd = {"trade_no": trade_no}
    for call, told in (
        (Call.QUERY, TRADE | odd),
        (Call.CLOSE, NAMED | odd),
        (Call.CANCEL, NAMED | {"action": "refund"} | odd),
        (Call.REFUND, REFUND | odd),
        (Call.QUERY_REFUND, REFUND_QUERY | odd),
    ):
        found = evidence(call, done(call, **told))
        assert (found.fact, found.trade_no) == (Fact.SILENT, "")


def test_a_time_that_cannot_be_read_does_not_spoil_a_payment() -> None:
    found = evidence(Call.QUERY, done(Call.QUERY, **(TRADE | {"send_pay_date": "soon"})))
    assert (found.fact, found.channel_ms, found.channel_day) == (Fact.MOVED, 0, 0)


# -- precreate, close, cancel ----------------------------------------------------------------------------------------

QR = "https://qr.alipay.com/bavh4wjlxf12tper3a"


@pytest.mark.parametrize(
    ("expires_ms", "until_ms"),
    [
        (NOW_MS + 1_800_000, NOW_MS + 1_800_000),
        (NOW_MS + 7_200_001, NOW_MS + 7_200_000),
        (0, NOW_MS + 7_200_000),
    ],
)
def test_a_code_to_scan(expires_ms: int, until_ms: int) -> None:
    attempt = msgspec.structs.replace(order(), expires_ms=expires_ms)
    told = read(Call.PREPAY, done(Call.PREPAY, out_trade_no=NO, qr_code=QR), attempt)
    assert [(e.fact, e.wrong, e.words) for e in told.evidence] == [(Fact.PENDING, "", "")]
    assert told.credential is not None
    assert (json.loads(told.credential.body), told.credential.until_ms) == ({"type": "qr", "code_url": QR}, until_ms)


@pytest.mark.parametrize("fields", [{}, {"out_trade_no": NO}, {"qr_code": QR}, {"out_trade_no": NO, "qr_code": ""}])
def test_a_precreate_without_what_it_needs_is_silent(fields: dict[str, str]) -> None:
    told = read(Call.PREPAY, done(Call.PREPAY, **fields))
    assert (told.evidence[0].fact, told.credential) == (Fact.SILENT, None)


def test_a_code_of_another_payment_is_wrong_and_not_shown() -> None:
    told = read(Call.PREPAY, done(Call.PREPAY, out_trade_no="PC9", qr_code=QR))
    assert (told.evidence[0].wrong, told.credential) == (f"out_trade_no is 'PC9', not '{NO}'", None)


def test_a_close() -> None:
    found = evidence(Call.CLOSE, done(Call.CLOSE, out_trade_no=NO, trade_no=TRADE_NO))
    assert (found.fact, found.reason, found.wrong, found.trade_no) == (Fact.OVER, Reason.CLOSED, "", TRADE_NO)
    assert evidence(Call.CLOSE, done(Call.CLOSE, out_trade_no="PC9")).wrong
    assert evidence(Call.CLOSE, done(Call.CLOSE)).wrong


NAMED = {"out_trade_no": NO, "trade_no": TRADE_NO}


@pytest.mark.parametrize(
    ("fields", "fact", "returned", "words"),
    [
        (NAMED | {"retry_flag": "N", "action": "close"}, Fact.OVER, None, ""),
        (NAMED | {"retry_flag": "N", "action": "refund"}, Fact.MOVED, 8888, "refund"),
        (NAMED | {"action": "refund"}, Fact.MOVED, 8888, "refund"),
        (NAMED | {"retry_flag": "N"}, Fact.ABSENT, None, "nothing to cancel"),
        (NAMED | {"retry_flag": "Y"}, Fact.SILENT, None, "retry_flag=Y"),
        (NAMED | {"retry_flag": "Y", "action": "close"}, Fact.SILENT, None, "retry_flag=Y"),
        (NAMED | {"retry_flag": "Y", "action": "refund"}, Fact.SILENT, None, "retry_flag=Y"),
        (NAMED | {"retry_flag": "N", "action": "freeze"}, Fact.SILENT, None, "unreadable: action is 'freeze'"),
    ],
)
def test_a_cancel(fields: dict[str, str], fact: Fact, returned: int | None, words: str) -> None:
    found = evidence(Call.CANCEL, done(Call.CANCEL, **fields))
    assert (found.fact, found.returned_minor, found.words, found.wrong) == (fact, returned, words, "")
    assert (found.minor, found.currency) == ((8888, "CNY") if fact is Fact.MOVED else (None, None))
    assert found.reason is (Reason.CLOSED if fact is Fact.OVER else Reason.NONE)
    assert (found.call, found.road) == (Call.CANCEL, Road.REPLY)


@pytest.mark.parametrize("action", ["close", "refund"])
def test_a_cancel_of_another_payment_is_wrong(action: str) -> None:
    assert evidence(Call.CANCEL, done(Call.CANCEL, out_trade_no="PC9", action=action)).wrong


# -- refunds ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("back", ["8.88", "17.76"])
def test_a_refund_is_there(back: str) -> None:
    """The answer names the payment and all that went back of it, neither this refund's number nor its amount: that it
    is done, its query says."""
    found = evidence(Call.REFUND, done(Call.REFUND, **(REFUND | {"refund_fee": back})))
    assert (found.fact, found.minor, found.currency, found.wrong) == (Fact.PENDING, None, None, "")
    assert (found.number, found.of, found.direction, found.road) == (REFUND_NO, NO, Direction.OUT, Road.REPLY)
    assert (found.trade_no, found.channel_ms, found.channel_day) == (TRADE_NO, 0, 0)
    assert (found.returned_minor, found.said_ms) == (round(float(back) * 100), 0)


def test_a_refund_that_says_when_it_was_says_when_so_much_had_gone_back() -> None:
    found = evidence(Call.REFUND, done(Call.REFUND, **(REFUND | {"gmt_refund_pay": "2026-03-01 12:00:00"})))
    assert (found.returned_minor, found.said_ms, found.channel_ms) == (888, 1_772_337_600_000, 0)


def test_less_back_than_the_refund_is_wrong() -> None:
    found = evidence(Call.REFUND, done(Call.REFUND, **(REFUND | {"refund_fee": "8.87"})))
    assert found.wrong == "refund_fee, all that went back, is 887, less than the 888 of this refund"


@pytest.mark.parametrize("change", ["N", ""])
def test_a_refund_that_moved_nothing_now_is_asked_about(change: str) -> None:
    found = evidence(Call.REFUND, done(Call.REFUND, **(REFUND | {"fund_change": change})))
    assert (found.fact, found.fault, found.minor) == (Fact.SILENT, Fault.NONE, None)
    assert found.words == f"fund_change={change}"


def test_a_refund_of_another_payment_is_wrong() -> None:
    for change in ("Y", "N"):
        answer = done(Call.REFUND, **(REFUND | {"out_trade_no": "PC9", "fund_change": change}))
        assert evidence(Call.REFUND, answer).wrong == f"out_trade_no is 'PC9', not '{NO}'"


def test_a_refund_is_queried() -> None:
    found = evidence(Call.QUERY_REFUND, done(Call.QUERY_REFUND, **REFUND_QUERY))
    assert (found.fact, found.minor, found.currency, found.wrong) == (Fact.MOVED, 888, "CNY", "")
    assert (found.trade_no, found.channel_ms, found.channel_day) == (TRADE_NO, 1_772_417_112_000, 20260302)
    assert (found.number, found.of, found.direction, found.road) == (REFUND_NO, NO, Direction.OUT, Road.QUERY)


def test_the_amount_of_a_queried_refund_is_its_own() -> None:
    found = evidence(Call.QUERY_REFUND, done(Call.QUERY_REFUND, **(REFUND_QUERY | {"refund_amount": "8.87"})))
    assert (found.fact, found.minor) == (Fact.MOVED, 887)


@pytest.mark.parametrize(
    ("fields", "fact"),
    [
        ({}, Fact.ABSENT),
        (NAMED | {"out_request_no": REFUND_NO}, Fact.ABSENT),
        ({k: v for k, v in REFUND_QUERY.items() if k != "refund_status"}, Fact.ABSENT),
        (REFUND_QUERY | {"refund_status": "REFUND_PROCESSING"}, Fact.SILENT),
        ({"refund_status": "REFUND_SUCCESS", "refund_amount": "8.88"}, Fact.SILENT),
        ({"refund_status": "REFUND_SUCCESS", "refund_amount": "8.88", "out_trade_no": NO}, Fact.SILENT),
    ],
)
def test_a_refund_that_is_not_there_or_not_done(fields: dict[str, str], fact: Fact) -> None:
    found = evidence(Call.QUERY_REFUND, done(Call.QUERY_REFUND, **fields))
    assert (found.fact, found.minor, found.wrong) == (fact, None, "")


@pytest.mark.parametrize("name", ["out_trade_no", "out_request_no"])
@pytest.mark.parametrize("status", ["REFUND_SUCCESS", "REFUND_PROCESSING", ""])
def test_a_query_of_another_refund_is_wrong(name: str, status: str) -> None:
    fields: dict[str, Any] = REFUND_QUERY | {name: "X9", "refund_status": status}
    must = NO if name == "out_trade_no" else REFUND_NO
    assert evidence(Call.QUERY_REFUND, done(Call.QUERY_REFUND, **fields)).wrong == f"{name} is 'X9', not '{must}'"


@pytest.mark.parametrize("call", list(Call))
def test_an_answer_to_another_method_is_silent(call: Call) -> None:
    """The name of the root is not signed, but it must be the one that was asked for."""
    for other in Call:
        answer = answered(other, {"code": "10000", **TRADE, **REFUND_QUERY, **REFUND, "qr_code": QR, "action": "close"})
        assert (evidence(call, answer).fact is Fact.SILENT) is (call is not other)
    assert len(set(ROOTS.values())) == len(Call)


def test_a_refund_attempt_of_ours_is_named_by_its_payment() -> None:
    assert evidence(Call.REFUND, done(Call.REFUND, **REFUND), refund(of="PC9")).wrong
