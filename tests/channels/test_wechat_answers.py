"""What WeChat Pay's answers mean, as tables of bytes: silence is never refusal, a refusal is of a call, not of money."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from oncepay.channels.wechat.codes import VERDICTS
from oncepay.domain.attempt import Attempt, Call, Direction, Fact, Reason, Road
from oncepay.domain.change import Evidence, Fault
from oncepay.ports import Answer, NotSent, Unknown
from tests.channels.kit import ABSENT, ACCOUNT_, ASK, BALANCE, MOMENT, REFUSED, said
from tests.channels.wechat_kit import (
    APPID,
    MCHID,
    NO,
    NONCE,
    NOW_MS,
    REFUND_NO,
    answered,
    order,
    read,
    refund,
    refund_told,
    trade,
    unsigned,
)


def evidence(call: Call, answer: Answer, attempt: Attempt | None = None) -> Evidence:
    (found,) = read(call, answer, attempt).evidence
    return found


# -- refusals --------------------------------------------------------------------------------------------------------

CODES = [
    # status, code as it comes, prepay, query, close, refund, query of the refund
    (400, "PARAM_ERROR", REFUSED, ASK, ASK, REFUSED, ASK),
    (400, "INVALID_REQUEST", ASK, ASK, ASK, ASK, ASK),
    (400, "APPID_MCHID_NOT_MATCH", ACCOUNT_, ACCOUNT_, ACCOUNT_, ACCOUNT_, ACCOUNT_),
    (400, "MCH_NOT_EXISTS", ACCOUNT_, ACCOUNT_, ACCOUNT_, ACCOUNT_, ACCOUNT_),
    (404, "MCH_NOT_EXISTS", ACCOUNT_, ACCOUNT_, ACCOUNT_, ACCOUNT_, ACCOUNT_),
    (400, "ORDER_CLOSED", ASK, ASK, ASK, REFUSED, ASK),
    (400, "ORDERCLOSED", ASK, ASK, ASK, REFUSED, ASK),
    (400, "ORDERPAID", ASK, ASK, ASK, ASK, ASK),
    (400, "ORDER_PAID", ASK, ASK, ASK, ASK, ASK),
    (403, "ORDERPAID", ASK, ASK, ASK, ASK, ASK),
    (401, "SIGN_ERROR", ACCOUNT_, ACCOUNT_, ACCOUNT_, ACCOUNT_, ACCOUNT_),
    (403, "OUT_TRADE_NO_USED", ASK, ASK, ASK, ASK, ASK),
    (403, "NO_AUTH", ACCOUNT_, ACCOUNT_, ACCOUNT_, ACCOUNT_, ACCOUNT_),
    (403, "NOAUTH", ACCOUNT_, ACCOUNT_, ACCOUNT_, ACCOUNT_, ACCOUNT_),
    (403, "RULE_LIMIT", MOMENT, MOMENT, MOMENT, ASK, MOMENT),
    (403, "RULELIMIT", MOMENT, MOMENT, MOMENT, ASK, MOMENT),
    (403, "TRADE_ERROR", ASK, ASK, ASK, ASK, ASK),
    (403, "NOT_ENOUGH", ASK, ASK, ASK, BALANCE, ASK),
    (403, "NOTENOUGH", ASK, ASK, ASK, BALANCE, ASK),
    (403, "USER_ACCOUNT_ABNORMAL", ASK, ASK, ASK, REFUSED, ASK),
    (403, "ACCOUNT_ERROR", REFUSED, ASK, ASK, ASK, ASK),
    (403, "ACCOUNTERROR", REFUSED, ASK, ASK, ASK, ASK),
    (404, "ORDER_NOT_EXIST", ASK, ABSENT, ABSENT, ASK, ASK),
    (404, "ORDERNOTEXIST", ASK, ABSENT, ABSENT, ASK, ASK),
    (400, "ORDER_NOT_EXIST", ASK, ASK, ASK, ASK, ASK),
    (404, "RESOURCE_NOT_EXISTS", ASK, ASK, ASK, REFUSED, ABSENT),
    (500, "RESOURCE_NOT_EXISTS", ASK, ASK, ASK, ASK, ASK),
    (429, "FREQUENCY_LIMITED", MOMENT, MOMENT, MOMENT, MOMENT, MOMENT),
    (403, "FREQUENCY_LIMIT_EXCEED", MOMENT, MOMENT, MOMENT, MOMENT, MOMENT),
    (429, "RATELIMIT_EXCEEDED", MOMENT, MOMENT, MOMENT, MOMENT, MOMENT),
    (429, "", MOMENT, MOMENT, MOMENT, MOMENT, MOMENT),
    (500, "SYSTEM_ERROR", ASK, ASK, ASK, ASK, ASK),
    (500, "SYSTEMERROR", ASK, ASK, ASK, ASK, ASK),
    (500, "BANK_ERROR", ASK, ASK, ASK, ASK, ASK),
    (500, "BANKERROR", ASK, ASK, ASK, ASK, ASK),
    (500, "PARAM_ERROR", ASK, ASK, ASK, ASK, ASK),
    (500, "OPENID_MISMATCH", REFUSED, ASK, ASK, ASK, ASK),
    (400, "OPENID_MISMATCH", REFUSED, ASK, ASK, ASK, ASK),
    (500, "INVALID_TRANSACTIONID", REFUSED, ASK, ASK, ASK, ASK),
    (503, "SERVICE_UNAVAILABLE", ASK, ASK, ASK, ASK, ASK),
    (202, "USERPAYING", ASK, ASK, ASK, ASK, ASK),
    (403, "USERPAYING", ASK, ASK, ASK, ASK, ASK),
    (400, "TRADE_OVERDUE", ASK, ASK, ASK, REFUSED, ASK),
    (400, "REFUND_FEE_MISMATCH", ASK, ASK, ASK, ASK, ASK),
    (400, "INVENTED_TOMORROW", ASK, ASK, ASK, ASK, ASK),
    (301, "PARAM_ERROR", ASK, ASK, ASK, ASK, ASK),
]
CALLS = (Call.PREPAY, Call.QUERY, Call.CLOSE, Call.REFUND, Call.QUERY_REFUND)


@pytest.mark.parametrize(("status", "code", "expected"), [(s, c, words) for s, c, *words in CODES])
def test_a_signed_refusal(status: int, code: str, expected: list[str]) -> None:
    answer = answered(status, {"code": code, "message": "为什么"})
    assert [said(evidence(call, answer)) for call in CALLS] == expected
    for call in CALLS:
        found = evidence(call, answer)
        assert found.words == f"{code or status} 为什么"
        assert found.direction is (Direction.OUT if call in {Call.REFUND, Call.QUERY_REFUND} else Direction.IN)
        assert found.road is (Road.QUERY if call in {Call.QUERY, Call.QUERY_REFUND} else Road.REPLY)
        assert found.said_ms == (0 if status == 401 else NOW_MS)


@pytest.mark.parametrize(
    ("status", "code", "first", "insisted"),
    [
        (400, "INVALID_REQUEST", ASK, REFUSED),
        (403, "TRADE_ERROR", ASK, REFUSED),
        (400, "INVENTED_TOMORROW", ASK, REFUSED),
        (400, "PARAM_ERROR", REFUSED, REFUSED),
        (403, "NOT_ENOUGH", BALANCE, BALANCE),
        (403, "NO_AUTH", ACCOUNT_, ACCOUNT_),
        (403, "RULE_LIMIT", ASK, REFUSED),
        (403, "FREQUENCY_LIMITED", MOMENT, MOMENT),
        (429, "INVALID_REQUEST", MOMENT, MOMENT),
        (500, "SYSTEM_ERROR", ASK, ASK),
        (500, "INVALID_REQUEST", ASK, ASK),
        (202, "INVALID_REQUEST", ASK, ASK),
    ],
)
def test_a_refund_that_is_refused_again_and_again(status: int, code: str, first: str, insisted: str) -> None:
    """The sixth time it counts as refused; what then becomes of its number, its query decides."""
    answer = answered(status, {"code": code, "message": "为什么"})
    tries = [msgspec.structs.replace(refund(), calls=n) for n in (1, 5, 6, 50)]
    assert [said(evidence(Call.REFUND, answer, attempt)) for attempt in tries] == [first, first, insisted, insisted]
    prepaid = evidence(Call.PREPAY, answer, msgspec.structs.replace(order(), calls=6))
    assert said(prepaid) == said(evidence(Call.PREPAY, answer)), "a prepay's number may be in use"


def test_every_code_that_we_know_is_tried() -> None:
    assert set(VERDICTS) <= {code.replace("_", "") for _, code, *_ in CODES}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (NotSent(why="connection refused"), Fault.NONE),
        (Unknown(why="timed out"), Fault.NONE),
        (unsigned(401, b'{"code":"SIGN_ERROR","message":"x"}'), Fault.ACCOUNT),
        (unsigned(401), Fault.ACCOUNT),
        (unsigned(401, b"\xff<html>"), Fault.ACCOUNT),
        (unsigned(401, b'{"x":' + b"[" * 200_000), Fault.ACCOUNT),
        (unsigned(400, b'{"code":"INVALID_REQUEST"}'), Fault.ACCOUNT),
        (unsigned(400, b'{"code":"PARAM_ERROR"}'), Fault.ACCOUNT),
        (unsigned(403, b'{"code":"NO_AUTH"}'), Fault.NONE),
        (unsigned(404), Fault.NONE),
        (unsigned(404, b'{"code":"ORDER_NOT_EXIST"}'), Fault.NONE),
        (unsigned(404, b'{"code":"RESOURCE_NOT_EXISTS"}'), Fault.NONE),
        (unsigned(429, b"slow down"), Fault.MOMENT),
        (unsigned(200, json.dumps(trade("SUCCESS")).encode()), Fault.NONE),
        (unsigned(200, json.dumps(trade("CLOSED")).encode()), Fault.NONE),
        (unsigned(204), Fault.NONE),
        (unsigned(302), Fault.NONE),
        (unsigned(500), Fault.NONE),
        (unsigned(502, b"<html>Bad Gateway</html>"), Fault.NONE),
        (unsigned(503), Fault.NONE),
        (answered(200), Fault.NONE),
        (answered(200, b"<html>"), Fault.NONE),
        (answered(200, b"[]"), Fault.NONE),
        (answered(200, b"{}"), Fault.NONE),
        (answered(200, b"\xff\xfe"), Fault.NONE),
        (answered(200, b'{"x":' + b"[" * 200_000), Fault.NONE),
        (answered(400, b'{"x":' + b"[" * 200_000), Fault.NONE),
        (answered(202, {"code": "USERPAYING"}), Fault.NONE),
        (answered(400, b""), Fault.NONE),
        (answered(403, b'{"code":17}'), Fault.NONE),
        (answered(404, b"{}"), Fault.NONE),
    ],
)
def test_silence(call: Call, answer: Answer, fault: Fault) -> None:
    found = read(call, answer)
    assert [(e.fact, e.fault, e.wrong) for e in found.evidence] == [(Fact.SILENT, fault, "")]
    assert (found.credential, found.refresh) == (None, False)
    assert found.evidence[0].words


def test_a_number_for_words_is_cleaned_and_cut() -> None:
    found = evidence(Call.QUERY, answered(400, {"code": "A\0B", "message": "\n" + "长" * 500}))
    assert found.words == "AB " + "长" * 197


# -- orders ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "fact", "words"),
    [
        ("NOTPAY", Fact.PENDING, ""),
        ("USERPAYING", Fact.PENDING, "USERPAYING"),
        ("PAYERROR", Fact.PENDING, "PAYERROR"),
        ("SUCCESS", Fact.MOVED, ""),
        ("REFUND", Fact.MOVED, "REFUND"),
        ("CLOSED", Fact.OVER, "CLOSED"),
        ("REVOKED", Fact.OVER, "REVOKED"),
        ("INVENTED", Fact.SILENT, "INVENTED"),
        ("", Fact.SILENT, ""),
        ("success", Fact.SILENT, "success"),
    ],
)
def test_the_state_of_an_order(state: str, fact: Fact, words: str) -> None:
    found = evidence(Call.QUERY, answered(200, trade(state)))
    assert (found.fact, found.words, found.wrong, found.road) == (fact, words, "", Road.QUERY)
    moved = fact is Fact.MOVED
    assert (found.minor, found.currency) == ((1234, "CNY") if moved else (None, None))
    assert found.channel_ms == (1_800_000_300_000 if moved else 0)
    assert found.refunded is (state == "REFUND")
    assert found.reason is (Reason.CLOSED if fact is Fact.OVER else Reason.NONE)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"mchid": "1900000001"}, f"mchid is '1900000001', not '{MCHID}'"),
        ({"appid": "wx1"}, f"appid is 'wx1', not '{APPID}'"),
        ({"out_trade_no": "PC2"}, f"out_trade_no is 'PC2', not '{NO}'"),
        ({"mchid": "1", "appid": "2"}, f"mchid is '1', not '{MCHID}'; appid is '2', not '{APPID}'"),
    ],
)
@pytest.mark.parametrize("state", ["SUCCESS", "CLOSED", "NOTPAY"])
def test_an_order_of_somebody_else_is_wrong(state: str, fields: dict[str, str], wrong: str) -> None:
    found = evidence(Call.QUERY, answered(200, trade(state, **fields)))
    assert (found.number, found.wrong) == (NO, wrong)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"amount": {"total": 1}}, (1, None)),  # not to be believed: the core misses the currency
        ({"amount": {"total": 1234, "currency": "USD"}}, (1234, "USD")),
        ({"amount": None}, (None, None)),
        ({"amount": {"total": 0, "currency": "CNY"}}, (0, "CNY")),
    ],
)
def test_the_amount_is_handed_on_as_it_is(fields: dict[str, Any], expected: tuple[object, object]) -> None:
    found = evidence(Call.QUERY, answered(200, trade("SUCCESS", **fields)))
    assert (found.fact, found.minor, found.currency) == (Fact.MOVED, *expected)


@pytest.mark.parametrize(
    "fields",
    [
        {"amount": {"total": "1234", "currency": "CNY"}},
        {"amount": {"total": 12.34, "currency": "CNY"}},
        {"amount": {"total": True, "currency": "CNY"}},
        {"amount": {"total": -1234, "currency": "CNY"}},
        {"amount": {"total": 2**53, "currency": "CNY"}},
        {"amount": {"total": 1234, "currency": "CN金Y"}},
        {"amount": {"total": 1234, "currency": "CNY\n"}},
        {"amount": {}},
        {"mchid": 1900009999},
        {"out_trade_no": "a b"},
        {"out_trade_no": ""},
        {"trade_state": None},
    ],
)
def test_an_order_that_cannot_be_read_is_silent(fields: dict[str, Any]) -> None:
    assert evidence(Call.QUERY, answered(200, trade("SUCCESS", **fields))).fact is Fact.SILENT


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2027-01-15T16:05:00+08:00", (1_800_000_300_000, 20270115)),
        ("2027-01-15T08:05:00Z", (1_800_000_300_000, 20270115)),
        ("2027-01-15T16:05:00", (1_800_000_300_000, 20270115)),  # without a zone it is Beijing's
        ("2027-01-15T23:59:59-01:00", (1_800_061_199_000, 20270116)),
        ("0001-01-01T00:00:00+23:59", (0, 0)),
        ("15.1.2027", (0, 0)),
        ("", (0, 0)),
        (None, (0, 0)),
    ],
)
def test_a_time_that_cannot_be_read_takes_no_payment_away(text: str | None, expected: tuple[int, int]) -> None:
    found = evidence(Call.QUERY, answered(200, trade("SUCCESS", success_time=text)))
    assert (found.fact, found.channel_ms, found.channel_day) == (Fact.MOVED, *expected)


def test_a_close_is_acknowledged_by_204_and_nothing_else() -> None:
    assert said(evidence(Call.CLOSE, answered(204))) == "over"
    assert evidence(Call.CLOSE, answered(204)).reason is Reason.CLOSED
    assert said(evidence(Call.CLOSE, answered(200))) == ASK
    assert said(evidence(Call.CLOSE, answered(200, trade("CLOSED")))) == ASK
    assert said(evidence(Call.CLOSE, answered(204, b"{}"))) == ASK


# -- refunds ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [Call.REFUND, Call.QUERY_REFUND])
@pytest.mark.parametrize(
    ("status", "fact", "attention"),
    [
        ("PROCESSING", Fact.PENDING, ""),
        ("SUCCESS", Fact.MOVED, ""),
        ("CLOSED", Fact.OVER, ""),
        ("ABNORMAL", Fact.PENDING, "refund_abnormal"),
        ("INVENTED", Fact.SILENT, ""),
    ],
)
def test_the_state_of_a_refund(call: Call, status: str, fact: Fact, attention: str) -> None:
    told = refund_told(status, success_time="2027-01-15T17:00:20+08:00")
    found = evidence(call, answered(200, told))
    assert (found.number, found.of, found.direction, found.wrong) == (REFUND_NO, NO, Direction.OUT, "")
    assert (found.fact, found.attention) == (fact, attention)
    assert (found.minor, found.currency) == ((None, None) if fact is Fact.SILENT else (234, "CNY"))
    assert found.trade_no == "50300009992027011500000000001"
    assert found.channel_ms == (1_800_003_620_000 if fact is Fact.MOVED else 0)
    assert found.reason is (Reason.CLOSED if fact is Fact.OVER else Reason.NONE)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"out_refund_no": "RF2"}, f"out_refund_no is 'RF2', not '{REFUND_NO}'"),
        ({"out_trade_no": "PC2"}, f"out_trade_no is 'PC2', not '{NO}'"),
    ],
)
def test_a_refund_of_something_else_is_wrong(fields: dict[str, str], wrong: str) -> None:
    found = evidence(Call.QUERY_REFUND, answered(200, refund_told("SUCCESS", **fields)))
    assert (found.number, found.wrong) == (REFUND_NO, wrong)


def test_a_refund_of_another_amount_is_told_as_it_is() -> None:
    told = refund_told("PROCESSING", amount={"refund": 1, "currency": "CNY"})
    assert evidence(Call.REFUND, answered(200, told), refund(minor=234)).minor == 1


@pytest.mark.parametrize(("amount", "currency"), [({"refund": 234, "currency": "USD"}, "USD"), ({"refund": 234}, None)])
def test_a_refund_in_another_currency_is_told_as_it_is(amount: dict[str, Any], currency: str | None) -> None:
    assert evidence(Call.QUERY_REFUND, answered(200, refund_told("SUCCESS", amount=amount))).currency == currency


# -- credentials -----------------------------------------------------------------------------------------------------

PREPAY_ID = "wx1516000098a67dfba4774967834c341600"


@pytest.mark.parametrize(
    ("method", "told", "type_", "life_ms"),
    [
        ("native", {"code_url": "weixin://wxpay/bizpayurl?pr=1"}, "qr", 7_200_000),
        ("h5", {"h5_url": "https://wx.tenpay.com/cgi-bin/mmpayweb-bin/checkmweb?prepay_id=wx1"}, "url", 300_000),
        ("jsapi", {"prepay_id": PREPAY_ID}, "invoke", 7_200_000),
        ("app", {"prepay_id": PREPAY_ID}, "invoke", 7_200_000),
    ],
)
def test_what_the_payer_gets(method: str, told: dict[str, str], type_: str, life_ms: int) -> None:
    attempt = msgspec.structs.replace(order(method=method), expires_ms=NOW_MS + 7_200_001)
    found = read(Call.PREPAY, answered(200, told), attempt)
    assert [(e.fact, e.said_ms, e.words) for e in found.evidence] == [(Fact.PENDING, NOW_MS, "")]
    assert found.credential is not None
    body = json.loads(found.credential.body)
    assert (body["type"], found.credential.until_ms) == (type_, NOW_MS + life_ms)
    if type_ != "invoke":
        assert body == {"type": type_, **told}
    elif method == "jsapi":
        assert body["package"] == f"prepay_id={PREPAY_ID}"
        assert (body["appId"], body["timeStamp"], body["nonceStr"]) == (APPID, str(NOW_MS // 1000), NONCE)
    else:
        assert (body["prepayid"], body["partnerid"]) == (PREPAY_ID, MCHID)


@pytest.mark.parametrize(
    ("expires_ms", "until_ms"),
    [(NOW_MS + 600_000, NOW_MS + 600_000), (NOW_MS + 8_000_000, NOW_MS + 7_200_000), (0, NOW_MS + 7_200_000)],
)
def test_a_code_works_no_longer_than_the_time_to_pay(expires_ms: int, until_ms: int) -> None:
    answer = answered(200, {"code_url": "weixin://wxpay/bizpayurl?pr=1"})
    found = read(Call.PREPAY, answer, msgspec.structs.replace(order(), expires_ms=expires_ms))
    assert found.credential is not None
    assert found.credential.until_ms == until_ms


@pytest.mark.parametrize("method", ["native", "h5", "jsapi", "app", ""])
def test_an_answer_without_what_the_method_needs_is_silent(method: str) -> None:
    others = {
        "native": {"prepay_id": PREPAY_ID},
        "h5": {"code_url": "weixin://x"},
        "jsapi": {"h5_url": "https://x"},
        "app": {"code_url": "weixin://x"},
    }
    found = read(Call.PREPAY, answered(200, others.get(method, {"prepay_id": PREPAY_ID})), order(method=method))
    assert (found.evidence[0].fact, found.credential) == (Fact.SILENT, None)
