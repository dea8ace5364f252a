"""What an answer to one of our calls tells us. Whatever it cannot read is silence, never a refusal.

Believed is only what is signed and fresh. Two kinds of answer are unsigned by their nature, 401 and the 400 that comes
before authentication: they say that the account is at fault, and nothing of the attempt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from oncepay.channels.texts import WORDS_MAX, differing, printable
from oncepay.channels.verdicts import ACCOUNT, ASK, MOMENT, Verdict
from oncepay.channels.wechat.accounts import Opened
from oncepay.channels.wechat.codes import verdict
from oncepay.channels.wechat.credentials import credential
from oncepay.channels.wechat.facts import of_refund, of_trade
from oncepay.channels.wechat.keys import Doubt, Genuine, verify
from oncepay.channels.wechat.wire import PREPAID, PROBLEM, REFUNDED, TRADE, Problem, decode
from oncepay.domain.attempt import Attempt, Call, Fact, Reason, Road
from oncepay.domain.capabilities import Method
from oncepay.domain.change import Evidence
from oncepay.ports import Answer, Answered, Read

_ROADS: Final = {call: Road.QUERY if call in {Call.QUERY, Call.QUERY_REFUND} else Road.REPLY for call in Call}
_DONE: Final = {Call.PREPAY: 200, Call.QUERY: 200, Call.CLOSE: 204, Call.REFUND: 200, Call.QUERY_REFUND: 200}


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer is an answer to."""

    call: Call
    attempt: Attempt
    opened: Opened
    method: Method | None  # how the attempt is paid; None when we do not know it
    now_ms: int
    nonce: str


def read(answer: Answer, asked: Asked) -> Read:
    """Never raises for what the answer holds."""
    if not isinstance(answer, Answered):
        return _silent(asked, ASK, answer.why)
    status = answer.status
    if status == 401:
        return _silent(asked, ACCOUNT, _words(status, _problem(answer.body)))
    genuine = verify(answer.headers, answer.body, asked.opened.verifiers, now_ms=asked.now_ms)
    if isinstance(genuine, Doubt):
        return _doubted(asked, answer, genuine)
    if status == _DONE.get(asked.call):
        try:
            return _DONE_READERS[asked.call](genuine, asked)
        except ValueError as error:
            return _silent(asked, ASK, f"{status}, unreadable: {error}", genuine)
    problem = _problem(answer.body)
    found = verdict(asked.call, status, problem.code, calls=asked.attempt.calls) if status >= 400 else ASK
    return _silent(asked, found, _words(status, problem), genuine)


def _doubted(asked: Asked, answer: Answered, doubt: Doubt) -> Read:
    found = ASK
    if answer.status == 429:
        found = MOMENT
    elif answer.status == 400 and doubt.unsigned:
        found = ACCOUNT
    words = f"{answer.status}, not believed: {doubt.why}"
    return msgspec.structs.replace(_silent(asked, found, words), refresh=doubt.refresh)


def _silent(asked: Asked, found: Verdict, words: str, genuine: Genuine | None = None) -> Read:
    """A fact that is not about money: most often that there is none."""
    attempt = asked.attempt
    evidence = Evidence(
        number=attempt.no,
        fact=found.fact,
        road=_ROADS[asked.call],
        direction=attempt.direction,
        call=asked.call,
        reason=found.reason,
        words=printable(words)[:WORDS_MAX],
        fault=found.fault,
        of=attempt.of,
        said_ms=genuine.said_ms if genuine else 0,
    )
    return Read(evidence=(evidence,))


def _problem(body: bytes) -> Problem:
    try:
        return decode(PROBLEM, body)
    except ValueError:
        return Problem()


def _words(status: int, problem: Problem) -> str:
    """The code first, then what the vendor says to people about it: without that, nobody finds the wrong field."""
    return " ".join(part for part in (problem.code or str(status), problem.message) if part)


# -- what was done ---------------------------------------------------------------------------------------------------


def _prepaid(genuine: Genuine, asked: Asked) -> Read:
    if asked.method is None:
        raise ValueError("no such method")
    prepaid = decode(PREPAID, genuine.body)
    made = credential(prepaid, asked.attempt, asked.method, asked.opened, now_ms=asked.now_ms, nonce=asked.nonce)
    read = _silent(asked, Verdict(Fact.PENDING), "", genuine)
    return msgspec.structs.replace(read, credential=made)


def _queried(genuine: Genuine, asked: Asked) -> Read:
    evidence = of_trade(
        decode(TRADE, genuine.body),
        asked.opened,
        number=asked.attempt.no,
        road=Road.QUERY,
        said_ms=genuine.said_ms,
        call=asked.call,
    )
    return Read(evidence=(evidence,))


def _closed(genuine: Genuine, asked: Asked) -> Read:
    if genuine.body:
        raise ValueError("an acknowledged close has no body")
    return _silent(asked, Verdict(Fact.OVER, Reason.CLOSED), "", genuine)


def _refunded(genuine: Genuine, asked: Asked) -> Read:
    refund = decode(REFUNDED, genuine.body)
    attempt = asked.attempt
    wrong = differing(
        out_refund_no=(refund.out_refund_no, attempt.no),
        out_trade_no=(refund.out_trade_no, attempt.of),
    )
    evidence = of_refund(
        refund, number=attempt.no, road=_ROADS[asked.call], said_ms=genuine.said_ms, wrong=wrong, call=asked.call
    )
    return Read(evidence=(evidence,))


_DONE_READERS: Final[dict[Call, Callable[[Genuine, Asked], Read]]] = {
    Call.PREPAY: _prepaid,
    Call.QUERY: _queried,
    Call.CLOSE: _closed,
    Call.REFUND: _refunded,
    Call.QUERY_REFUND: _refunded,
}
