"""What UnionPay's answers mean, as tables of bytes: silence is never refusal, a refusal is of a call, not of money."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from oncepay.channels.unionpay.channel import CAPABILITIES
from oncepay.channels.unionpay.codes import OF_REFUND, SAID
from oncepay.domain.attempt import Attempt, Call, Direction, Fact, Reason, Road
from oncepay.domain.change import Evidence, Fault
from oncepay.ports import Answer, Answered, NotSent, Unknown
from tests.channels.unionpay_kit import (
    FOREIGN_KEY,
    MER_ID,
    NO,
    NOW_MS,
    QUERY_ID,
    REFUND_NO,
    answered,
    attempt_for,
    order,
    plain,
    read,
    refund,
    signed,
    told,
    transaction,
    unsigned,
)

BEFORE_MS = NOW_MS
AFTER_MS = order().expires_ms + CAPABILITIES.absent_margin_ms  # sure to be after payTimeout by UnionPay's clock too


def evidence(call: Call, answer: Answer, attempt: Attempt | None = None, *, now_ms: int = NOW_MS) -> Evidence:
    (found,) = read(call, answer, attempt, now_ms=now_ms).evidence
    return found


REFUSED, FAILED, ABSENT, ASK, PENDING, MOVED = "refused", "failed", "absent", "ask", "pending", "moved"
ACCOUNT_, BALANCE, MOMENT, EXPIRED = "account", "balance", "moment", "expired"
BACK, LATE = "pending outside_refund", "expired debited_late"


def said(found: Evidence) -> str:
    """The evidence in a word or two."""
    words = found.fact.value
    if found.fact is Fact.OVER:
        words = {Reason.REFUSED: REFUSED, Reason.CLOSED: FAILED, Reason.EXPIRED: EXPIRED}[found.reason]
    elif found.fact is Fact.SILENT:
        words = found.fault.value or ASK
    return f"{words} {found.attention}".strip()


# -- refusals of calls -----------------------------------------------------------------------------------------------

CALLS = (Call.PREPAY, Call.QUERY, Call.REFUND, Call.QUERY_REFUND)
CARD = (*range(60, 70), *range(71, 83))
CODES = [
    # respCode, and what it means to: prepay, query, refund, query of the refund
    ("01", REFUSED, ASK, FAILED, ASK),
    ("02", MOMENT, MOMENT, MOMENT, MOMENT),
    ("03", ASK, ASK, ASK, ASK),
    ("04", ASK, ASK, ASK, ASK),
    ("05", PENDING, ASK, ASK, ASK),
    ("06", MOMENT, MOMENT, MOMENT, MOMENT),
    ("10", REFUSED, ASK, REFUSED, ASK),
    ("11", ACCOUNT_, ACCOUNT_, ACCOUNT_, ACCOUNT_),
    ("12", PENDING, ASK, PENDING, ASK),
    ("13", REFUSED, ASK, REFUSED, ASK),
    ("14", ASK, ASK, ASK, ASK),
    ("30", REFUSED, ASK, FAILED, ASK),
    ("31", ACCOUNT_, ACCOUNT_, ACCOUNT_, ACCOUNT_),
    ("32", ACCOUNT_, ACCOUNT_, ACCOUNT_, ACCOUNT_),
    ("33", REFUSED, ASK, REFUSED, ASK),
    ("34", ASK, ABSENT, REFUSED, ABSENT),
    ("35", ASK, ASK, REFUSED, ASK),
    ("36", ASK, ASK, REFUSED, ASK),
    ("37", MOMENT, MOMENT, MOMENT, MOMENT),
    ("38", REFUSED, ASK, FAILED, ASK),
    ("39", MOMENT, MOMENT, MOMENT, MOMENT),
    ("40", REFUSED, ASK, FAILED, ASK),
    ("41", ASK, ASK, ASK, ASK),
    ("42", ASK, ASK, ASK, ASK),
    ("43", ACCOUNT_, ACCOUNT_, ACCOUNT_, ACCOUNT_),
    ("44", REFUSED, ASK, FAILED, ASK),
    ("45", ASK, ASK, BACK, ASK),
    *((str(code), REFUSED, ASK, FAILED, ASK) for code in CARD if code != 64),
    ("64", REFUSED, ASK, BALANCE, ASK),
    ("70", ASK, ASK, ASK, ASK),
    ("98", ASK, ASK, ASK, ASK),
    ("99", ASK, ASK, ASK, ASK),
    ("A6", ASK, ASK, PENDING, ASK),
    ("B7", ASK, ASK, ASK, ASK),  # invented tomorrow
    ("0", ASK, ASK, ASK, ASK),
    ("000", ASK, ASK, ASK, ASK),
]


@pytest.mark.parametrize(("code", "expected"), [(code, words) for code, *words in CODES])
def test_a_signed_refusal(code: str, expected: list[str]) -> None:
    answers = [answered(told(attempt_for(call), code)) for call in CALLS]
    found = [evidence(call, answer) for call, answer in zip(CALLS, answers, strict=True)]
    assert [said(one) for one in found] == expected
    for call, one in zip(CALLS, found, strict=True):
        attempt = attempt_for(call)
        assert (one.number, one.call, one.of, one.wrong) == (attempt.no, call, attempt.of, "")
        assert one.words == ("" if code == "05" else f"{code} 为什么[{code}]")
        assert one.direction is attempt.direction
        assert one.road is (Road.QUERY if call in {Call.QUERY, Call.QUERY_REFUND} else Road.REPLY)


def test_every_code_that_we_know_is_tried() -> None:
    assert set(SAID) == {code for code, *_ in CODES if code not in {"B7", "0", "000"}} | {"00"}
    assert set(SAID) == set(OF_REFUND)


@pytest.mark.parametrize("call", list(Call))
@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (NotSent(why="connection refused"), Fault.NONE),
        (Unknown(why="timed out"), Fault.NONE),
        (unsigned(200), Fault.NONE),
        (unsigned(200, b"<html>"), Fault.NONE),
        (unsigned(200, b"\xff\xfe"), Fault.NONE),
        (unsigned(200, b"respCode=00"), Fault.NONE),
        (unsigned(200, "respCode=00&respMsg=成功".encode("gbk")), Fault.NONE),
        (unsigned(200, b"a=1&a=1"), Fault.NONE),
        (unsigned(200, b"respMsg=" + b"{" * 100_000), Fault.NONE),
        (unsigned(200, b"respMsg=" + b"{a}[b]" * 50_000 + b"{"), Fault.NONE),
        (unsigned(200, plain(transaction(order()))), Fault.NONE),
        (unsigned(200, plain(told(order(), "11"))), Fault.NONE),
        (unsigned(302), Fault.NONE),
        (unsigned(429, b"slow down"), Fault.MOMENT),
        (unsigned(500), Fault.NONE),
        (unsigned(502, b"<html>Bad Gateway</html>"), Fault.NONE),
        (answered(transaction(order()), status=500), Fault.NONE),
        (answered(transaction(order()), status=201), Fault.NONE),
        (answered(transaction(order()), key=FOREIGN_KEY), Fault.NONE),
        (answered(told(order(), "")), Fault.NONE),
        (answered({"version": "5.1.0", "encoding": "UTF-8", "signMethod": "01", "respCode": "11"}), Fault.ACCOUNT),
        (answered({"version": "5.1.0", "encoding": "UTF-8", "signMethod": "01"}), Fault.NONE),
        (answered({"version": "5.1.0", "encoding": "UTF-8", "signMethod": "01", "respCode": "10"}), Fault.NONE),
    ],
)
def test_silence(call: Call, answer: Answer, fault: Fault) -> None:
    if call in {Call.CLOSE, Call.CANCEL} and fault is Fault.ACCOUNT:
        fault = Fault.NONE
    found = read(call, answer)
    assert [(e.fact, e.fault, e.wrong) for e in found.evidence] == [(Fact.SILENT, fault, "")]
    assert (found.credential, found.refresh) == (None, False)
    assert found.evidence[0].words


def test_what_is_not_believed_is_quoted_for_people() -> None:
    """A key of ours that is wrong may be answered without a signature: whoever looks should find the code."""
    found = evidence(Call.QUERY, unsigned(200, plain(told(order(), "11", respMsg="验证签名失败[9100004]"))))
    assert found.words == "not believed: no signature (11 验证签名失败[9100004])"


def test_words_are_cleaned_and_cut() -> None:
    found = evidence(Call.QUERY, answered(told(order(), "03", respMsg="a\0b" + "长" * 500)))
    assert found.words == "03 ab" + "长" * 195


@pytest.mark.parametrize("call", [Call.CLOSE, Call.CANCEL])
def test_what_is_never_called_is_never_answered(call: Call) -> None:
    assert said(evidence(call, answered(told(order())))) == ASK
    assert said(evidence(call, answered(told(order(), "34")))) == ASK


# -- payments --------------------------------------------------------------------------------------------------------

FAILING = ("01", "02", "06", "10", "12", "30", "33", "37", "38", "39", "44", "45", "61", "65", "71", "99")


@pytest.mark.parametrize(
    ("code", "before", "after"),
    [
        ("00", MOVED, MOVED),
        ("A6", MOVED, MOVED),
        ("03", PENDING, PENDING),
        ("04", PENDING, PENDING),
        ("05", PENDING, PENDING),
        ("34", ABSENT, ABSENT),
        ("70", PENDING, PENDING),
        ("B7", PENDING, PENDING),
        ("42", PENDING, LATE),
        *((code, PENDING, EXPIRED) for code in FAILING),
    ],
)
def test_what_became_of_a_payment(code: str, before: str, after: str) -> None:
    """Before payTimeout nothing has failed: the payer may take another card. Which is by UnionPay's clock, so well after
    it by ours. What no table knows never fails anything."""
    answer = answered(transaction(order(), code))
    for early_ms in (order().expires_ms - 1, order().expires_ms, AFTER_MS - 1):
        assert said(evidence(Call.QUERY, answer, now_ms=early_ms)) == before
    found = evidence(Call.QUERY, answer, now_ms=AFTER_MS)
    assert said(found) == after
    moved = after == MOVED
    assert (found.minor, found.currency, found.trade_no) == ((8888, "CNY", QUERY_ID) if moved else (None, None, ""))
    assert (found.channel_ms, found.channel_day) == ((order().created_ms, 20260301) if moved else (0, 0))
    assert found.words == ("" if code in {"00", "05"} else f"{code} 为什么[{code}]")


def test_the_querys_own_success_says_nothing_of_the_payment() -> None:
    assert said(evidence(Call.QUERY, answered(told(order(), "00")))) == ASK
    assert said(evidence(Call.QUERY, answered(transaction(order(), "00", respCode="03")))) == ASK
    assert said(evidence(Call.QUERY, answered(transaction(order(), "00", respCode="34")))) == ABSENT


IDENTITIES = [
    ({"merId": "777290058110097"}, f"merId is '777290058110097', not '{MER_ID}'"),
    ({"orderId": "PC2"}, f"orderId is 'PC2', not '{NO}'"),
    ({"txnTime": "20260301123046"}, "txnTime is '20260301123046', not '20260301123045'"),
    ({"txnType": "04"}, "txnType is '04', not 00 or 01"),
    ({"txnType": "31"}, "txnType is '31', not 00 or 01"),
]


@pytest.mark.parametrize(("fields", "wrong"), IDENTITIES)
@pytest.mark.parametrize("code", ["00", "05", "61"])
def test_a_payment_of_somebody_else_is_wrong(code: str, fields: dict[str, str], wrong: str) -> None:
    found = evidence(Call.QUERY, answered(transaction(order(), code, **fields)))
    assert (found.number, found.wrong) == (NO, wrong)


@pytest.mark.parametrize("name", ["merId", "orderId", "txnTime"])
@pytest.mark.parametrize("call", CALLS)
def test_what_does_not_say_whose_it_is_is_silent(call: Call, name: str) -> None:
    for code in ("00", "10", "12", "34"):
        answer = answered(transaction(attempt_for(call), code, respCode=code, **{name: ""}))
        assert said(evidence(call, answer)) == ASK


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"txnAmt": "1"}, (1, "CNY")),
        ({"txnAmt": "0"}, (0, "CNY")),
        ({"txnAmt": ""}, (None, "CNY")),
        ({"currencyCode": "840"}, (8888, "840")),
        ({"currencyCode": ""}, (8888, None)),  # not to be believed: the core misses the currency
    ],
)
def test_the_amount_is_handed_on_as_it_is(fields: dict[str, str], expected: tuple[object, object]) -> None:
    found = evidence(Call.QUERY, answered(transaction(order(), **fields)))
    assert (found.fact, found.minor, found.currency) == (Fact.MOVED, *expected)


@pytest.mark.parametrize(
    "fields",
    [
        {"txnAmt": "88.88"},
        {"currencyCode": "1560"},
        {"currencyCode": "1\x006"},
        {"txnAmt": "-8888"},
        {"txnAmt": "+8888"},
        {"txnAmt": " 8888"},
        {"txnAmt": "８８８８"},
        {"txnAmt": "9007199254740992"},
        {"txnAmt": "9" * 5000},
        {"queryId": "3126 0301"},
        {"queryId": "3" * 65},
    ],
)
def test_a_payment_that_cannot_be_read_is_silent(fields: dict[str, str]) -> None:
    assert said(evidence(Call.QUERY, answered(transaction(order(), **fields)))) == ASK


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"traceTime": "0301123050"}, (order().created_ms + 5_000, 20260301)),
        ({"traceTime": ""}, (0, 20260301)),
        ({"traceTime": "0230123050"}, (0, 20260301)),
        ({"traceTime": "noon"}, (0, 20260301)),
        ({"settleDate": "0302"}, (order().created_ms, 20260302)),
        ({"settleDate": ""}, (order().created_ms, 0)),
        ({"settleDate": "1301"}, (order().created_ms, 0)),
    ],
)
def test_a_time_that_cannot_be_read_takes_no_payment_away(fields: dict[str, str], expected: tuple[int, int]) -> None:
    found = evidence(Call.QUERY, answered(transaction(order(), **fields)))
    assert (found.fact, found.channel_ms, found.channel_day) == (Fact.MOVED, *expected)


NEW_YEARS_EVE_MS = 1_798_732_800_000 - 1_000  # 2026-12-31 23:59:59 in Beijing


def test_the_year_that_is_left_out_is_the_nearest() -> None:
    attempt = order(created_ms=NEW_YEARS_EVE_MS, expires_ms=NEW_YEARS_EVE_MS + 900_000)
    answer = answered(transaction(attempt, txnTime="20261231235959", traceTime="0101000104", settleDate="0101"))
    found = evidence(Call.QUERY, answer, attempt)
    assert (found.channel_ms, found.channel_day, found.wrong) == (NEW_YEARS_EVE_MS + 65_000, 20270101, "")


# -- refunds ---------------------------------------------------------------------------------------------------------

OUTCOMES = [
    *((code, MOVED) for code in ("00", "A6")),
    *((code, PENDING) for code in ("03", "04", "05", "12", "42", "70")),
    ("34", ABSENT),
    ("45", BACK),
    *((code, REFUSED) for code in ("10", "13", "33", "35", "36")),
    *((code, FAILED) for code in ("01", "02", "06", "11", "30", "31", "32", "38", "39", "40", "43", "44", "99")),
    *((str(code), FAILED) for code in CARD),
    *((code, ASK) for code in ("14", "37", "41", "98", "B7", "0")),
]


@pytest.mark.parametrize(("code", "expected"), OUTCOMES)
def test_what_became_of_a_refund(code: str, expected: str) -> None:
    found = evidence(Call.QUERY_REFUND, answered(transaction(refund(), code)))
    assert said(found) == expected
    assert (found.number, found.of, found.direction, found.wrong) == (REFUND_NO, NO, Direction.OUT, "")
    told_ = found.fact in {Fact.MOVED, Fact.PENDING}
    assert (found.minor, found.currency) == ((888, "CNY") if told_ else (None, None))
    assert found.trade_no == ("312603021005101005678" if expected == MOVED else "")
    assert found.channel_ms == (refund().created_ms if expected == MOVED else 0)


def test_every_outcome_that_we_know_is_tried() -> None:
    assert set(OF_REFUND) == {code for code, _ in OUTCOMES if code not in {"B7", "0"}}


def test_a_refund_that_was_accepted_is_not_done() -> None:
    found = evidence(Call.REFUND, answered(told(refund(), txnAmt="888")))
    assert (said(found), found.minor, found.currency) == (PENDING, 888, "CNY")
    assert evidence(Call.REFUND, answered(told(refund(), txnAmt="1"))).minor == 1  # the core sees that it is not 888
    assert evidence(Call.REFUND, answered(told(refund()))).minor is None


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"orderId": "RF2"}, f"orderId is 'RF2', not '{REFUND_NO}'"),
        ({"txnTime": "20260302100511"}, "txnTime is '20260302100511', not '20260302100510'"),
        ({"txnType": "01"}, "txnType is '01', not 04 or 31"),
    ],
)
def test_a_refund_of_something_else_is_wrong(fields: dict[str, str], wrong: str) -> None:
    assert evidence(Call.REFUND, answered(told(refund(), **fields))).wrong == wrong


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("00", PENDING),
        ("12", PENDING),
        ("03", ASK),
        ("11", ACCOUNT_),
        ("31", ACCOUNT_),
        ("37", MOMENT),
        ("45", BACK),
        ("10", FAILED),
        ("32", FAILED),
        ("35", FAILED),
        ("36", FAILED),
        ("43", FAILED),
    ],
)
def test_a_void_that_is_not_taken_leaves_room_for_a_refund(code: str, expected: str) -> None:
    """A refused refund is refused for ever; of a void, the next number will be a refund."""
    assert said(evidence(Call.REFUND, answered(told(refund(), code, txnType="31")))) == expected


@pytest.mark.parametrize(("code", "expected"), [("00", MOVED), ("05", PENDING), ("35", FAILED), ("32", FAILED)])
def test_what_became_of_a_void(code: str, expected: str) -> None:
    answer = answered(transaction(refund(), code, txnType="31"))
    assert said(evidence(Call.QUERY_REFUND, answer)) == expected


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: body + b"&",
        lambda body: b"&" + body,
        lambda body: body.replace(b"&", b"&&", 1),
        lambda body: body + b"&a",
        lambda body: body + b"&txnAmt=8888",
        lambda body: body + b"\n",
        lambda body: b"\xef\xbb\xbf" + body,
        lambda body: body.replace(b"respCode=00", b"respCode=00[", 1),
    ],
)
def test_an_answer_is_read_in_one_way_only(spoil: Callable[[bytes], bytes]) -> None:
    whole = plain(signed(transaction(order())))
    for body, expected in ((whole, MOVED), (spoil(whole), ASK)):
        assert said(evidence(Call.QUERY, Answered(status=200, headers={}, body=body))) == expected


def test_an_answer_in_any_order_is_read() -> None:
    fields = dict(reversed(signed(transaction(order())).items()))
    answer = Answered(status=200, headers={}, body=plain(fields))
    assert said(evidence(Call.QUERY, answer)) == MOVED
