"""Notifications: a form that must be read in one way only, identities that must agree, and all the ways of not being
believed."""

from __future__ import annotations

import base64
from itertools import pairwise
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
import pytest

from oncepay.domain.attempt import Attempt, Direction, Fact, Reason, Road
from oncepay.domain.change import Evidence
from oncepay.ports import Acknowledgement, Notice, Refused
from tests.channels.unionpay_kit import (
    ACCOUNT,
    CHANNEL,
    MER_ID,
    NO,
    NOW_MS,
    QUERY_ID,
    REFUND_NO,
    notice,
    noticed,
    order,
    plain,
    refund,
    signed,
    told,
    transaction,
)

PAYMENT, REFUND = notice(order()), notice(refund())


def heard(body: bytes) -> Notice | Refused:
    return CHANNEL.read_notification({}, body, ACCOUNT, now_ms=NOW_MS)


def believed(fields: dict[str, str]) -> Notice:
    found = noticed(fields)
    assert isinstance(found, Notice), found
    return found


def evidence(fields: dict[str, str]) -> Evidence:
    (found,) = believed(fields).evidence
    return found


def why(found: Notice | Refused) -> str:
    assert isinstance(found, Refused), found
    assert not found.probe
    assert not found.refresh
    return found.why


def reserved(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


# -- what is signed alike ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["05", "01", "00", "A6"])
def test_the_answer_to_a_query_is_no_notification(code: str) -> None:
    """Its respCode says that the query went well, also of what nobody has paid."""
    for answer in (transaction(order(), code), transaction(order(), code, queryId=""), transaction(refund(), code)):
        assert "the answer to a query" in why(noticed(answer))


@pytest.mark.parametrize("credential", [{"tn": "8" + "0" * 20}, {"qrCode": "https://qr.95516.com/0"}, {}])
def test_the_answer_to_an_order_is_no_notification(credential: dict[str, str]) -> None:
    """It says that the order was taken, not that it was paid."""
    answer = told(order(), **credential)
    assert "queryId is missing" in why(noticed(answer))
    assert "queryId is missing" in why(noticed(answer | {"txnAmt": "8888", "currencyCode": "156"}))


@pytest.mark.parametrize("kind", ["04", "31"])
def test_the_answer_to_a_refund_says_no_more_than_that_it_was_taken_on(kind: str) -> None:
    """A captured one holds all that a notification does but for how it was settled."""
    answer = told(refund(), txnType=kind, txnAmt="888", origQryId=QUERY_ID, queryId="312603021005101005678")
    said = evidence(answer)
    assert (said.number, said.fact, said.trade_no, said.minor) == (REFUND_NO, Fact.PENDING, "", 888)
    for name, value in {"settleAmt": "888", "settleDate": "0302", "traceNo": "100567"}.items():
        assert evidence(answer | {name: value}).fact is Fact.MOVED


# -- payments --------------------------------------------------------------------------------------------------------


def test_a_payment() -> None:
    found = believed(PAYMENT | {"reqReserved": reserved("pc:7")})
    (said,) = found.evidence
    assert (found.numbers, found.echo) == ((NO,), "pc:7")
    assert (said.number, said.fact, said.minor, said.currency) == (NO, Fact.MOVED, 8888, "CNY")
    assert (said.road, said.call, said.said_ms, said.wrong, said.of) == (Road.NOTIFICATION, None, 0, "", "")
    assert (said.trade_no, said.channel_ms, said.channel_day) == (QUERY_ID, order().created_ms, 20260301)


@pytest.mark.parametrize(
    ("code", "fact", "words"),
    [
        ("00", Fact.MOVED, ""),
        ("A6", Fact.MOVED, "A6 为什么[00]"),
        ("05", Fact.PENDING, ""),
        ("01", Fact.PENDING, "01 为什么[00]"),  # another card may still be taken; a query after payTimeout tells
        ("42", Fact.PENDING, "42 为什么[00]"),
        ("34", Fact.ABSENT, "34 为什么[00]"),
    ],
)
def test_only_success_is_money(code: str, fact: Fact, words: str) -> None:
    said = evidence(PAYMENT | {"respCode": code})
    assert (said.fact, said.words) == (fact, words)
    assert (said.minor, said.trade_no) == ((8888, QUERY_ID) if fact is Fact.MOVED else (None, ""))


def test_a_payment_of_another_merchant_is_wrong() -> None:
    assert evidence(PAYMENT | {"merId": "777290058110097"}).wrong == f"merId is '777290058110097', not '{MER_ID}'"
    assert evidence({k: v for k, v in PAYMENT.items() if k != "merId"}).wrong == f"merId is '', not '{MER_ID}'"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"txnAmt": "1"}, (1, "CNY")),
        ({"currencyCode": "840"}, (8888, "840")),
        ({"currencyCode": "CNY"}, (8888, "CNY")),
        ({"settleAmt": "1"}, (8888, "CNY")),
    ],
)
def test_the_amount_is_handed_on_as_it_is(fields: dict[str, str], expected: tuple[int, str]) -> None:
    said = evidence(PAYMENT | fields)
    assert (said.fact, said.minor, said.currency) == (Fact.MOVED, *expected)


def test_an_amount_that_is_not_said_is_not_made_up() -> None:
    said = evidence({k: v for k, v in PAYMENT.items() if k not in {"txnAmt", "currencyCode"}})
    assert (said.fact, said.minor, said.currency) == (Fact.MOVED, None, None)  # the core makes it a case


# -- refunds ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["04", "31"])
@pytest.mark.parametrize(
    ("code", "fact", "reason", "attention"),
    [
        ("00", Fact.MOVED, Reason.NONE, ""),
        ("A6", Fact.MOVED, Reason.NONE, ""),
        ("05", Fact.PENDING, Reason.NONE, ""),
        ("12", Fact.PENDING, Reason.NONE, ""),
        ("45", Fact.PENDING, Reason.NONE, "outside_refund"),
        ("01", Fact.OVER, Reason.CLOSED, ""),
        ("35", Fact.OVER, Reason.REFUSED, ""),
        ("B7", Fact.SILENT, Reason.NONE, ""),
    ],
)
def test_a_refund(kind: str, code: str, fact: Fact, reason: Reason, attention: str) -> None:
    found = believed(REFUND | {"txnType": kind, "respCode": code, "reqReserved": reserved(f"pc:7:{NO}")})
    (said,) = found.evidence
    assert (found.numbers, found.echo) == ((NO, REFUND_NO), "pc:7")
    assert (said.number, said.of, said.direction, said.wrong) == (REFUND_NO, NO, Direction.OUT, "")
    if kind == "31" and reason is Reason.REFUSED:
        reason = Reason.CLOSED  # the next number will be a refund
    assert (said.fact, said.reason, said.attention) == (fact, reason, attention)


def test_a_refund_that_does_not_say_of_what() -> None:
    """Made by another program: the number alone says whether it is ours."""
    found = believed(REFUND)
    assert (found.numbers, found.echo, found.evidence[0].of) == ((REFUND_NO,), "", "")


def test_a_refund_without_currency_is_in_yuan() -> None:
    said = evidence({k: v for k, v in REFUND.items() if k != "currencyCode"})
    assert (said.fact, said.minor, said.currency) == (Fact.MOVED, 888, "CNY")


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "pc:7",  # plain text of another program
        "!!!",
        reserved("pc"),
        reserved(":"),
        reserved("pc:"),
        reserved(b"\xff\xfe"),
        reserved("pc:7\n"),
        reserved("pc:7:a b"),
    ],
)
def test_an_echo_that_is_not_ours(sent: str) -> None:
    fields = REFUND | ({"reqReserved": sent} if sent else {})
    found = believed(fields)
    assert (found.numbers, found.echo, found.evidence[0].of) == ((REFUND_NO,), "", "")


# -- what is not read ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"txnType": "02"}, "neither a payment nor a refund"),
        ({"txnType": "99"}, "neither a payment nor a refund"),
        ({"txnType": ""}, "neither a payment nor a refund"),
        ({"respCode": ""}, "respCode or txnTime"),
        ({"txnTime": ""}, "respCode or txnTime"),
        ({"txnTime": "20260230000000"}, "respCode or txnTime"),
        ({"txnTime": "2026-03-01 12:30"}, "respCode or txnTime"),
        ({"orderId": ""}, "orderId is no number"),
        ({"orderId": "PC 1"}, "orderId is no number"),
        ({"orderId": "PC'; --"}, "orderId is no number"),
        ({"txnAmt": "88.88"}, "txnAmt is no amount"),
        ({"currencyCode": "1\x006"}, "currencyCode is no currency"),
        ({"queryId": "%00"}, "queryId is no number"),
    ],
)
def test_signed_and_unreadable(fields: dict[str, str], says: str) -> None:
    assert says in why(noticed({name: value for name, value in (PAYMENT | fields).items() if value}))


GOOD = signed(PAYMENT)
BODY = urlencode(GOOD).encode()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "without ="),
        (b"&", "without ="),
        (b"<html>", "without ="),
        (b"=", "a name is no plain word"),
        (b"a=1&a=1", "'a' stands twice"),
        (BODY + b"&txnAmt=8888", "'txnAmt' stands twice"),
        (BODY + b"&signature=" + quote(GOOD["signature"], safe="").encode(), "'signature' stands twice"),
        (BODY + b"&txn%41mt=8888", "a name is no plain word"),
        (BODY + b"".join(b"&x%d=" % n for n in range(256)), "more than 256 fields"),
        (BODY + b"&", "without ="),
        (b"&" + BODY, "without ="),
        (BODY.replace(b"&", b"&&", 1), "without ="),
        (BODY.replace(b"&", b";"), "version and signMethod"),
        (BODY + b"%", "a percent sign without two digits"),
        (BODY.replace(b"%0D", b"%0G", 1), "a percent sign without two digits"),
        (BODY.replace(b"%E4", b"%FF", 1), "'utf-8' codec"),
        (urlencode(GOOD | {"respMsg": "成功"}, encoding="gbk").encode(), "codec"),
        (urlencode(GOOD, encoding="gbk").encode(), "does not fit"),  # these very words are UTF-8 too, of other ones
        (b"\xef\xbb\xbf" + BODY, "a name is no plain word"),
        (BODY + b"&a=b", "does not fit"),  # what a backUrl with a query would add
        (BODY + b"&a=", "does not fit"),
        (BODY.replace(b"accessType=0&", b""), "does not fit"),
        (plain(GOOD), "not base64"),  # not encoded: the plus signs become blanks
        (urlencode(GOOD | {"signPubKeyCert": GOOD["signPubKeyCert"].replace("\r\n", "\n")}).encode(), "does not fit"),
        (b"sign=1&" + BODY, "does not fit"),
        (b"{" * 60_000, "without ="),
        (b"&".join(b"b%d={" % at for at in range(250)), "swallows others"),
        (b"a=%7B" + b"%5B%7B" * 9_000, "swallows others"),
        (b"x" * 60_000 + b"=1", "version and signMethod"),
    ],
)
def test_not_believed(body: bytes, says: str) -> None:
    assert says in why(heard(body))


def swallowed(fields: dict[str, str], first: str, second: str) -> bytes:
    """The same signed text, with one field swallowed by its neighbour."""
    told = {name: value for name, value in fields.items() if name != second}
    told[first] = f"{fields[first]}&{second}={fields[second]}"
    return urlencode(told).encode()


def test_a_field_that_swallows_its_neighbour_is_refused() -> None:
    """The signed text is the same, and so is the signature: without care, the amount would be gone."""
    names = sorted(name for name in GOOD if name != "signature")
    for first, second in pairwise(names):
        assert "swallows" in why(heard(swallowed(GOOD, first, second)))


def test_a_field_that_is_spat_out_by_another_is_refused() -> None:
    """Braces keep ``&`` and ``=`` in: taken apart, the text is the same and the fields are not."""
    fields = signed(PAYMENT | {"payInfo": "{a=1&queryIdx=2}"})
    assert isinstance(heard(urlencode(fields).encode()), Notice)
    apart = {name: value for name, value in fields.items() if name != "payInfo"}
    apart |= {"payInfo": "{a=1", "queryIdx": "2}"}
    assert isinstance(heard(urlencode(apart).encode()), Refused)


def test_any_order_and_any_escapes_are_read() -> None:
    fields = dict(reversed(GOOD.items()))
    escaped = "&".join(f"{k}=" + "".join(f"%{b:02x}" for b in v.encode()) for k, v in fields.items())
    assert heard(escaped.encode()) == heard(BODY)
    assert heard(BODY.replace(b"+", b"%20")) == heard(BODY)


def test_one_answer_for_all_that_was_taken() -> None:
    assert CHANNEL.acknowledge(taken=True) == Acknowledgement(status=200, body=b"ok", content_type="text/plain")
    assert CHANNEL.acknowledge(taken=False).status == 503


def test_a_notification_says_the_same_each_time() -> None:
    first, again = heard(BODY), CHANNEL.read_notification({}, BODY, ACCOUNT, now_ms=NOW_MS + 3 * 86_400_000)
    assert first == again


@pytest.mark.parametrize("attempt", [order(), refund()])
def test_another_accounts_notification_is_wrong(attempt: Attempt) -> None:
    """The same authorities and the same UnionPay: only the merchant tells two accounts apart."""
    other = msgspec.structs.replace(ACCOUNT, id="up-2", identity={"merId": "777290058110097"})
    found: Any = noticed(notice(attempt), to=other)
    assert found.evidence[0].wrong == f"merId is '{MER_ID}', not '777290058110097'"


def test_no_header_makes_a_forged_message_believed() -> None:
    told = {"host": "localhost", "x-forwarded-for": "127.0.0.1", "user-agent": "Mozilla/4.0"}
    forged = urlencode({**PAYMENT, "signature": "AAAA"}).encode()
    assert isinstance(CHANNEL.read_notification(told, forged, ACCOUNT, now_ms=NOW_MS), Refused)
