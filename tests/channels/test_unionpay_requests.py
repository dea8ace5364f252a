"""What we say to UnionPay: payers and options that it takes, first bodies, refunds and voids, signed forms."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from oncepay.channels.unionpay.requests import settlement_day
from oncepay.domain.attempt import Attempt, Call
from oncepay.domain.capabilities import H
from oncepay.domain.errors import Invalid, MethodUnknown, PayerInvalid
from oncepay.domain.ids import in_number, out_number, payment_id
from oncepay.ports import Answered, Draft, Request
from tests.channels.unionpay_authority import leaf
from tests.channels.unionpay_kit import (
    ACCOUNT,
    CHANNEL,
    FOREIGN_KEY,
    KEYS,
    MER_ID,
    MERCHANT_KEY,
    NO,
    NOTIFY_URL,
    NOW_MS,
    QUERY_ID,
    REFUND_NO,
    RETURN_URL,
    START_MS,
    account,
    key_pem,
    order,
    refund,
    signature,
)

# -- payers and options ----------------------------------------------------------------------------------------------

RISK = {"commodityName": "咖啡 A+B", "commodityQty": "1"}


@pytest.mark.parametrize(
    ("method", "payer", "options"),
    [
        ("front", {}, {}),
        ("front", {"device": "pc"}, {}),
        ("front", {"device": "mobile"}, {"unionpay": {}}),
        ("front", {}, {"unionpay": {"riskRateInfo": RISK, "orderDesc": "咖啡", "defaultPayType": "0001"}}),
        ("app", {}, {"unionpay": {"riskRateInfo": {}, "orderDesc": "x" * 32}}),
        ("qr", {}, {"unionpay": {"termId": "0000000A"}}),
    ],
)
def test_what_a_method_takes(method: str, payer: dict[str, str], options: dict[str, Any]) -> None:
    CHANNEL.check_start(method, payer, options)


@pytest.mark.parametrize(
    ("method", "payer", "options", "error", "field"),
    [
        ("native", {}, {}, MethodUnknown, "method"),
        ("", {}, {}, MethodUnknown, "method"),
        ("front", {"device": ""}, {}, PayerInvalid, "payer.device"),
        ("front", {"device": "07"}, {}, PayerInvalid, "payer.device"),
        ("front", {"openid": "o"}, {}, PayerInvalid, "payer.openid"),
        ("app", {"device": "mobile"}, {}, PayerInvalid, "payer.device"),
        ("qr", {"client_ip": "203.0.113.7"}, {}, PayerInvalid, "payer.client_ip"),
        ("front", {}, {"orderDesc": "x"}, Invalid, "options"),
        ("front", {}, {"wechat": {}}, Invalid, "options"),
        ("front", {}, {"unionpay": "x"}, Invalid, "options.unionpay"),
        ("front", {}, {"unionpay": None}, Invalid, "options.unionpay"),
        ("front", {}, {"unionpay": {"order_desc": "x"}}, Invalid, "options.unionpay"),
        ("front", {}, {"unionpay": {"txnAmt": "1"}}, Invalid, "options.unionpay"),
        ("front", {}, {"unionpay": {"termId": "00000001"}}, Invalid, "options.unionpay.termId"),
        ("app", {}, {"unionpay": {"defaultPayType": "0001"}}, Invalid, "options.unionpay.defaultPayType"),
        ("qr", {}, {"unionpay": {"riskRateInfo": RISK}}, Invalid, "options.unionpay.riskRateInfo"),
        ("qr", {}, {"unionpay": {"termId": "1"}}, Invalid, "options.unionpay"),
        ("qr", {}, {"unionpay": {"termId": "0000000\n"}}, Invalid, "options.unionpay"),
        ("front", {}, {"unionpay": {"defaultPayType": 1}}, Invalid, "options.unionpay"),
        ("front", {}, {"unionpay": {"defaultPayType": "１２３４"}}, Invalid, "options.unionpay"),
        ("front", {}, {"unionpay": {"orderDesc": ""}}, Invalid, "options.unionpay"),
        ("front", {}, {"unionpay": {"orderDesc": "x" * 33}}, Invalid, "options.unionpay"),
        *(("front", {}, {"unionpay": {"orderDesc": f"a{sign}b"}}, Invalid, "options.unionpay") for sign in "&={}[]\"'\n\0"),
        *(
            ("front", {}, {"unionpay": {"riskRateInfo": {"commodityName": f"a{sign}b"}}}, Invalid, "options.unionpay")
            for sign in "&={}[]"
        ),
        ("front", {}, {"unionpay": {"riskRateInfo": {"a&b": "x"}}}, Invalid, "options.unionpay"),
        ("front", {}, {"unionpay": {"riskRateInfo": {"": "x"}}}, Invalid, "options.unionpay"),
        ("front", {}, {"unionpay": {"riskRateInfo": {"a": ""}}}, Invalid, "options.unionpay"),
        ("front", {}, {"unionpay": {"riskRateInfo": {"a": 1}}}, Invalid, "options.unionpay"),
        ("front", {}, {"unionpay": {"riskRateInfo": {f"a{n}": "x" * 200 for n in range(6)}}}, Invalid, "options.unionpay.riskRateInfo"),
    ],
)  # fmt: skip
def test_what_a_method_does_not_take(
    method: str, payer: dict[str, str], options: dict[str, Any], error: type[Invalid], field: str
) -> None:
    with pytest.raises(error) as refused:
        CHANNEL.check_start(method, payer, options)
    assert refused.value.fields["field"] == field


# -- first bodies ----------------------------------------------------------------------------------------------------


def draft_of(attempt: Attempt, **fields: Any) -> Draft:
    told: dict[str, Any] = {"return_url": RETURN_URL, "paying": None if attempt.incoming else order(trade_no=QUERY_ID)}
    return Draft(attempt=attempt, subject="tea", app="pc", order_no="7", notify_url=NOTIFY_URL, **(told | fields))


def drafted(attempt: Attempt, to: Any = ACCOUNT, **fields: Any) -> dict[str, str]:
    body: dict[str, str] = json.loads(CHANNEL.draft(draft_of(attempt, **fields), to))
    return body


HEAD = {"version": "5.1.0", "encoding": "UTF-8", "signMethod": "01", "accessType": "0", "merId": MER_ID}
IN = HEAD | {
    "txnType": "01",
    "txnSubType": "01",
    "bizType": "000201",
    "channelType": "08",
    "orderId": NO,
    "txnTime": "20260301123045",
    "txnAmt": "8888",
    "currencyCode": "156",
    "backUrl": NOTIFY_URL,
    "payTimeout": "20260301124545",
    "reqReserved": "cGM6Nw==",  # pc:7
}


def test_the_body_of_each_method() -> None:
    assert drafted(order()) == IN | {"channelType": "07", "frontUrl": RETURN_URL}
    assert drafted(order(), payer={"device": "pc"}) == IN | {"channelType": "07", "frontUrl": RETURN_URL}
    assert drafted(order(), payer={"device": "mobile"}) == IN | {"channelType": "08", "frontUrl": RETURN_URL}
    assert drafted(order(method="app")) == IN
    assert drafted(order(method="qr")) == IN | {"txnSubType": "07", "bizType": "000000"}


def test_options_in_the_body() -> None:
    unionpay = {"riskRateInfo": RISK, "orderDesc": "咖啡", "defaultPayType": "0001"}
    assert drafted(order(), options={"unionpay": unionpay}) == IN | {
        "channelType": "07",
        "frontUrl": RETURN_URL,
        "riskRateInfo": "{commodityName=咖啡 A+B&commodityQty=1}",
        "orderDesc": "咖啡",
        "defaultPayType": "0001",
    }
    assert drafted(order(method="qr"), options={"unionpay": {"termId": "00000001"}})["termId"] == "00000001"


def test_the_identity_is_never_made_anew() -> None:
    """orderId and txnTime are the attempt's, to the second, whenever it is drafted, sent or asked about."""
    attempt = order(created_ms=START_MS + 999)
    assert drafted(attempt)["txnTime"] == "20260301123045"
    for now_ms in (START_MS, START_MS + 86_400_000):
        sent = fields_of(Call.QUERY, attempt, now_ms=now_ms)
        assert (sent["orderId"], sent["txnTime"]) == (NO, "20260301123045")


OUT = HEAD | {
    "txnType": "04",
    "txnSubType": "00",
    "bizType": "000201",
    "channelType": "07",
    "orderId": REFUND_NO,
    "txnTime": "20260302100510",
    "txnAmt": "888",
    "currencyCode": "156",
    "origQryId": QUERY_ID,
    "backUrl": NOTIFY_URL,
    "reqReserved": base64.b64encode(f"pc:7:{NO}".encode()).decode(),
}


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("front", {}),
        ("app", {}),
        ("qr", {"bizType": "000000", "channelType": "08"}),
        ("", {}),  # adopted: what it was sold as is not known
    ],
)
def test_the_body_of_a_refund(method: str, fields: dict[str, str]) -> None:
    paying = order(method=method, trade_no=QUERY_ID)
    assert drafted(refund(), paying=paying) == OUT | fields


@pytest.mark.parametrize("paying", [None, order()])
def test_without_a_query_id_nothing_is_given_back(paying: Attempt | None) -> None:
    with pytest.raises(ValueError, match=f"{REFUND_NO} reverses nothing"):
        CHANNEL.draft(draft_of(refund(), paying=paying), ACCOUNT)


# -- voids -----------------------------------------------------------------------------------------------------------

PAYMENT = payment_id("installation", "pc", "7")
VOIDING = account(void_same_day=True)
PAID_MS = START_MS + 30_000
CUT_MS = START_MS + (22 * 3600 + 60 * 60 - (12 * 3600 + 30 * 60 + 45)) * 1000  # 23:00 in Beijing


def kind(
    *,
    to: Any = VOIDING,
    minor: int = 8888,
    try_: int = 0,
    paid_ms: int = PAID_MS,
    created_ms: int = PAID_MS + 60_000,
    refund_no: str = "r-1",
) -> str:
    """txnType of a refund's first body."""
    paying = order(in_number(PAYMENT, 0), trade_no=QUERY_ID, moved_ms=paid_ms)
    attempt = refund(out_number(PAYMENT, refund_no, try_), paying.no, minor, created_ms=created_ms, refund_no=refund_no)
    return drafted(attempt, to, paying=paying)["txnType"]


def test_a_whole_payment_on_the_same_day_is_voided_where_the_account_wants_it() -> None:
    assert kind() == "31"
    assert kind(to=ACCOUNT) == "04"
    assert kind(to=account(void_same_day="false")) == "04"
    assert kind(minor=8887) == "04"
    assert kind(refund_no="surplus:00") == "31"


def test_only_the_first_try_is_a_void() -> None:
    """One that UnionPay does not take is followed by a refund."""
    assert [kind(try_=try_) for try_ in range(3)] == ["31", "04", "04"]


@pytest.mark.parametrize(
    ("paid_ms", "created_ms", "expected"),
    [
        (CUT_MS - 3_600_000, CUT_MS - 600_001, "31"),
        (CUT_MS - 3_600_000, CUT_MS - 600_000, "04"),  # the call might arrive after the cut
        (CUT_MS - 1, CUT_MS, "04"),
        (CUT_MS, CUT_MS, "31"),
        (CUT_MS, CUT_MS + 24 * H - 600_001, "31"),
        (CUT_MS, CUT_MS + 24 * H, "04"),
        (CUT_MS, CUT_MS + 48 * H, "04"),
    ],
)
def test_the_day_is_cut_at_eleven_in_the_evening(paid_ms: int, created_ms: int, expected: str) -> None:
    assert kind(paid_ms=paid_ms, created_ms=created_ms) == expected


def test_settlement_days() -> None:
    assert str(settlement_day(CUT_MS - 1)) == "2026-03-01"
    assert str(settlement_day(CUT_MS)) == "2026-03-02"


# -- signed forms ----------------------------------------------------------------------------------------------------


def built(call: Call, attempt: Attempt, to: Any = ACCOUNT, *, host: int = 0, now_ms: int = NOW_MS) -> Request:
    body = CHANNEL.draft(draft_of(attempt), to) if call in {Call.PREPAY, Call.REFUND} else b""
    return CHANNEL.build(call, attempt, to, body=body, now_ms=now_ms, nonce="n" * 32, host=host)


def fields_of(call: Call, attempt: Attempt, to: Any = ACCOUNT, **how: Any) -> dict[str, str]:
    pairs = parse_qsl(built(call, attempt, to, **how).body.decode(), keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


GATEWAY = "https://gateway.example.test/gateway/api/"


@pytest.mark.parametrize(
    ("call", "attempt", "path", "fields"),
    [
        (Call.PREPAY, order(method="qr"), "backTransReq.do", {"txnType": "01", "txnSubType": "07"}),
        (Call.PREPAY, order(method="app"), "appTransReq.do", {"txnType": "01", "txnSubType": "01"}),
        (Call.QUERY, order(), "queryTrans.do", {"txnType": "00", "bizType": "000000", "orderId": NO}),
        (Call.QUERY, order(method="app"), "queryTrans.do", {"txnType": "00"}),
        (Call.QUERY, order(method=""), "queryTrans.do", {"txnType": "00"}),
        (Call.QUERY, order(method="qr"), "backTransReq.do", {"txnType": "00", "bizType": "000000"}),
        (Call.REFUND, refund(), "backTransReq.do", {"txnType": "04", "origQryId": QUERY_ID}),
        (Call.QUERY_REFUND, refund(), "queryTrans.do", {"orderId": REFUND_NO, "txnTime": "20260302100510"}),
        (Call.QUERY_REFUND, refund(method="qr"), "backTransReq.do", {"orderId": REFUND_NO}),
    ],
)
def test_where_a_call_goes(call: Call, attempt: Attempt, path: str, fields: dict[str, str]) -> None:
    assert built(call, attempt).url == GATEWAY + path
    sent = fields_of(call, attempt)
    assert {name: sent[name] for name in fields} == fields
    assert sent["certId"] == KEYS["merchant_certId_decimal"]
    assert sent["signature"] == signature(sent, MERCHANT_KEY)


@pytest.mark.parametrize(
    ("call", "attempt"),
    [(Call.CLOSE, order()), (Call.CANCEL, order()), (Call.PREPAY, order()), (Call.PREPAY, order(method=""))],
)
def test_what_unionpay_has_no_call_for(call: Call, attempt: Attempt) -> None:
    with pytest.raises(MethodUnknown):
        CHANNEL.build(call, attempt, ACCOUNT, body=b"{}", now_ms=NOW_MS, nonce="", host=0)


def test_hosts_in_turn() -> None:
    two = account(base_urls=["https://a.example", "https://b.example"])
    assert [built(Call.QUERY, order(), two, host=host).url[:17] for host in range(3)] == [
        "https://a.example",
        "https://b.example",
        "https://a.example",
    ]


def test_a_number_that_was_adopted_may_hold_anything() -> None:
    sent = fields_of(Call.QUERY, order("A&b=c %/{"))
    assert sent["orderId"] == "A&b=c %/{"


def test_what_is_empty_is_neither_signed_nor_sent() -> None:
    body = json.dumps(drafted(order(method="qr")) | {"customerInfo": ""}).encode()
    request = CHANNEL.build(Call.PREPAY, order(method="qr"), ACCOUNT, body=body, now_ms=NOW_MS, nonce="", host=0)
    assert request.body == built(Call.PREPAY, order(method="qr")).body


def test_a_repeat_is_the_same_to_the_byte() -> None:
    assert built(Call.REFUND, refund(), now_ms=NOW_MS) == built(Call.REFUND, refund(), now_ms=NOW_MS + 86_400_000)


def test_after_a_change_of_keys_it_is_still_the_same_instruction() -> None:
    renewed = msgspec.structs.replace(
        account(merchant_certificate_pem=leaf("x", key=FOREIGN_KEY.public_key())),
        secrets={"merchant_private_key_pem": key_pem(FOREIGN_KEY)},
    )
    before, after = fields_of(Call.REFUND, refund()), fields_of(Call.REFUND, refund(), renewed)
    assert {name for name in before if before[name] != after[name]} == {"certId", "signature"}
    assert after["signature"] == signature(after, FOREIGN_KEY)
    assert after["certId"] == "4096"


def test_there_are_no_keys_to_fetch() -> None:
    assert CHANNEL.build_keys(ACCOUNT, now_ms=NOW_MS, nonce="") is None
    assert CHANNEL.read_keys(Answered(status=200, headers={}, body=b""), ACCOUNT, now_ms=NOW_MS) is None


def test_the_kit_signs_twice_as_unionpay_does() -> None:
    """The known answer of UnionPay's public test key: the hash of this text, in hex, is what is signed."""
    fields = {
        "certId": "68759663125", "merId": "888888888888888", "signMethod": "01", "transType": "01", "version": "5.1.0",
        "sysReserved": "{aaa=a&bbb=b}",
    }  # fmt: skip
    digest = b"5b9536c5babc539ddcaf1672972b196c510b6397e6f5820eee37c8c69e85741d"
    raw = MERCHANT_KEY.sign(digest, PKCS1v15(), hashes.SHA256())
    assert signature(fields, MERCHANT_KEY) == base64.b64encode(raw).decode()
