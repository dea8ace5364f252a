"""What an answer to one of our calls tells us. Whatever it cannot read is silence, never a refusal.

Believed is only what is signed. Refusals of the gateway come unsigned by their nature (an app that it does not know has
no key): they say that account or request is at fault, and nothing of the attempt. An answer holds no time of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from oncepay.channels.alipay.codes import DONE, unsigned, verdict
from oncepay.channels.alipay.credentials import scanned
from oncepay.channels.alipay.facts import of_trade
from oncepay.channels.alipay.keys import Doubt, Genuine, verify
from oncepay.channels.alipay.opened import Opened
from oncepay.channels.alipay.requests import METHODS
from oncepay.channels.alipay.wire import (
    Closed,
    Precreated,
    Refunded,
    RefundQueried,
    Said,
    Trade,
    decode,
    minor_of,
    root_of,
    take_apart,
)
from oncepay.channels.texts import CNY, WORDS_MAX, differing, printable, read_time
from oncepay.channels.verdicts import ABSENT, ASK, Verdict
from oncepay.domain.attempt import Attempt, Call, Fact, Reason, Road, Status
from oncepay.domain.change import Evidence
from oncepay.ports import Answer, Answered, Read

_ROADS: Final = {call: Road.QUERY if call in {Call.QUERY, Call.QUERY_REFUND} else Road.REPLY for call in Call}


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer is an answer to."""

    call: Call
    attempt: Attempt
    opened: Opened
    now_ms: int


def believe(answer: Answer, asked: Asked) -> Genuine | Doubt | Said:
    """The signed text of an answer; why it is none; or, unsigned, what a refusal says. Never raises."""
    if not isinstance(answer, Answered):
        return Doubt(why=answer.why)
    if answer.status != 200:
        return Doubt(why=f"HTTP {answer.status}")
    try:
        told = take_apart(answer.body, root_of(METHODS[asked.call]))
        if not told.sign:
            said = decode(told.text, Said)
            return Doubt(why=f"{said.code} without a signature") if said.code == DONE else said
    except ValueError as error:
        return Doubt(why=f"unreadable: {error}")
    # The official SDK tries once more with plain slashes; as JSON both are the same.
    texts = (told.text, told.text.replace(b"\\/", b"/")) if b"\\/" in told.text else (told.text,)
    return verify(texts, told.sign, asked.opened.verifiers, serial=told.serial, now_ms=asked.now_ms)


def read(told: Genuine | Doubt | Said, asked: Asked) -> Read:
    """Never raises for what the answer holds."""
    if isinstance(told, Said):
        return Read(evidence=(_silent(asked, unsigned(told.code, told.sub_code), _words(told)),))
    if isinstance(told, Doubt):
        refresh = bool(told.unheld and asked.opened.roots)  # without roots there is nothing to fetch
        return Read(evidence=(_silent(asked, ASK, told.why),), refresh=refresh)
    try:
        said = decode(told.text, Said)
        if said.code == DONE:
            return _READERS[asked.call](told.text, asked)
    except ValueError as error:
        return Read(evidence=(_silent(asked, ASK, f"unreadable: {error}"),))
    found = verdict(asked.call, said.code, said.sub_code, calls=asked.attempt.calls)
    wrong = ""
    if found.fact is not Fact.SILENT and said.out_trade_no:
        wrong = differing(out_trade_no=(said.out_trade_no, _trade(asked)))
    return Read(evidence=(_silent(asked, found, _words(said), wrong=wrong),))


def _trade(asked: Asked) -> str:
    """The number of the payment that was spoken of."""
    return asked.attempt.no if asked.attempt.incoming else asked.attempt.of


def _words(said: Said) -> str:
    """The code first, then what the vendor says to people about it: without that, nobody finds the wrong field."""
    return " ".join(part for part in (said.sub_code or said.code, said.sub_msg or said.msg) if part)


def _silent(asked: Asked, found: Verdict, words: str, *, wrong: str = "", trade_no: str = "") -> Evidence:
    """A fact that is not about money: most often that there is none."""
    attempt = asked.attempt
    return Evidence(
        number=attempt.no,
        fact=found.fact,
        road=_ROADS[asked.call],
        direction=attempt.direction,
        call=asked.call,
        reason=found.reason,
        words=printable(words)[:WORDS_MAX],
        fault=found.fault,
        wrong=wrong,
        of=attempt.of,
        trade_no=trade_no,
    )


_THERE: Final = Verdict(Fact.PENDING)
_CLOSED: Final = Verdict(Fact.OVER, Reason.CLOSED)

# -- what was done ---------------------------------------------------------------------------------------------------


def _prepaid(text: bytes, asked: Asked) -> Read:
    prepaid = decode(text, Precreated)
    wrong = differing(out_trade_no=(prepaid.out_trade_no, asked.attempt.no))
    if not prepaid.qr_code:
        raise ValueError("the code is missing")
    made = None if wrong else scanned(prepaid.qr_code, asked.attempt, now_ms=asked.now_ms)
    return Read(evidence=(_silent(asked, _THERE, "", wrong=wrong),), credential=made)


def _queried(text: bytes, asked: Asked) -> Read:
    trade = decode(text, Trade)
    evidence = of_trade(
        trade,
        number=asked.attempt.no,
        road=Road.QUERY,
        wrong=differing(out_trade_no=(trade.out_trade_no, asked.attempt.no)),
        call=asked.call,
        known=asked.attempt.status is Status.SUCCEEDED,
    )
    return Read(evidence=(evidence,))


def _closed(text: bytes, asked: Asked) -> Read:
    closed = decode(text, Closed)
    wrong = differing(out_trade_no=(closed.out_trade_no, asked.attempt.no))
    return Read(evidence=(_silent(asked, _CLOSED, "", wrong=wrong, trade_no=closed.trade_no),))


def _cancelled(text: bytes, asked: Asked) -> Read:
    """Unpaid, it closed the trade; paid, it sent all of it back; where there is none, it did nothing."""
    cancelled, attempt = decode(text, Closed), asked.attempt
    if cancelled.retry_flag == "Y":
        return Read(evidence=(_silent(asked, ASK, "retry_flag=Y"),))
    if not cancelled.action:
        return Read(evidence=(_silent(asked, ABSENT, "nothing to cancel"),))
    if cancelled.action == "close":
        return _closed(text, asked)
    if cancelled.action != "refund":
        raise ValueError(f"action is {cancelled.action!r}")
    evidence = Evidence(
        number=attempt.no,
        fact=Fact.MOVED,
        road=Road.REPLY,
        call=asked.call,
        words="refund",
        minor=attempt.minor,  # it does not say how much: all of it, and all of it is what the trade was made with
        currency=CNY,
        wrong=differing(out_trade_no=(cancelled.out_trade_no, attempt.no)),
        trade_no=cancelled.trade_no,
        returned_minor=attempt.minor,
    )
    return Read(evidence=(evidence,))


def _refunded(text: bytes, asked: Asked) -> Read:
    """``fund_change=Y``: the refund is there. The answer names neither its number nor, of a second one, its amount:
    that it was this refund, and all of it, its query says. Anything else moved nothing now, most often since an earlier
    call did, or nothing at all: then the query finds it, or the same number is sent again."""
    refund, attempt = decode(text, Refunded), asked.attempt
    wrong = differing(out_trade_no=(refund.out_trade_no, attempt.of))
    if refund.fund_change != "Y":
        return Read(evidence=(_silent(asked, ASK, f"fund_change={refund.fund_change}", wrong=wrong),))
    back = minor_of(refund.refund_fee)
    if not wrong and back < attempt.minor:
        wrong = f"refund_fee, all that went back, is {back}, less than the {attempt.minor} of this refund"
    there = _silent(asked, _THERE, "", wrong=wrong, trade_no=refund.trade_no)
    at_ms, _ = read_time(refund.gmt_refund_pay)
    return Read(evidence=(msgspec.structs.replace(there, returned_minor=back, said_ms=at_ms),))


def _refund_queried(text: bytes, asked: Asked) -> Read:
    refund, attempt = decode(text, RefundQueried), asked.attempt
    wrong = differing(
        out_trade_no=(refund.out_trade_no or attempt.of, attempt.of),
        out_request_no=(refund.out_request_no or attempt.no, attempt.no),
    )
    if not refund.refund_status:  # not received, failed, or not made yet: the same number may be sent again
        return Read(evidence=(_silent(asked, ABSENT, "no refund_status", wrong=wrong),))
    if refund.refund_status != "REFUND_SUCCESS":
        return Read(evidence=(_silent(asked, ASK, refund.refund_status, wrong=wrong),))
    if not (refund.out_trade_no and refund.out_request_no):
        raise ValueError("it does not say which refund")
    channel_ms, day = read_time(refund.gmt_refund_pay)
    evidence = msgspec.structs.replace(
        _silent(asked, Verdict(Fact.MOVED), "", wrong=wrong, trade_no=refund.trade_no),
        minor=minor_of(refund.refund_amount),
        currency=CNY,
        channel_ms=channel_ms,
        channel_day=day,
    )
    return Read(evidence=(evidence,))


_READERS: Final[dict[Call, Callable[[bytes, Asked], Read]]] = {
    Call.PREPAY: _prepaid,
    Call.QUERY: _queried,
    Call.CLOSE: _closed,
    Call.CANCEL: _cancelled,
    Call.REFUND: _refunded,
    Call.QUERY_REFUND: _refund_queried,
}
