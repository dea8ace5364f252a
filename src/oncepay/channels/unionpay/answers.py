"""What an answer to one of our calls tells us. Whatever it cannot read is silence, never a refusal.

Believed is only what UnionPay signed and what names our merchant, order and time. An answer has a code of its own
(``respCode``), and that of a query a second one, of the transaction that was asked about (``origRespCode``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from oncepay.channels.texts import WORDS_MAX, printable
from oncepay.channels.unionpay import codes, credentials
from oncepay.channels.unionpay.accounts import Opened
from oncepay.channels.unionpay.codes import SUCCESS
from oncepay.channels.unionpay.facts import PAYMENTS, REFUNDS, differs, of_transaction, words
from oncepay.channels.unionpay.keys import Doubt, verify
from oncepay.channels.unionpay.requests import VOID
from oncepay.channels.unionpay.wire import read_answer
from oncepay.channels.verdicts import ASK, MOMENT, Verdict
from oncepay.domain.attempt import Attempt, Call, Fact, Road
from oncepay.domain.change import Evidence
from oncepay.ports import Answer, Answered, Read

_QUESTIONS: Final = frozenset({Call.QUERY, Call.QUERY_REFUND})
_OF_QUERY: Final = frozenset({"00"})  # txnType of a query that found nothing is its own


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer is an answer to."""

    call: Call
    attempt: Attempt
    opened: Opened
    now_ms: int
    margin_ms: int  # by how much UnionPay's clock may be behind ours

    @property
    def road(self) -> Road:
        """How the answer reached us."""
        return Road.QUERY if self.call in _QUESTIONS else Road.REPLY


def read(answer: Answer, asked: Asked) -> Read:
    """Never raises for what the answer holds."""
    if not isinstance(answer, Answered):
        return _silent(asked, ASK, answer.why)
    if answer.status != 200:
        return _silent(asked, MOMENT if answer.status == 429 else ASK, f"HTTP {answer.status}")
    try:
        fields = read_answer(answer.body)
    except ValueError as error:
        return _silent(asked, ASK, f"unreadable: {error}")
    genuine = verify(fields, asked.opened.chain, now_ms=asked.now_ms)
    if isinstance(genuine, Doubt):
        says = f"{fields.get('respCode')} {fields.get('respMsg')}"  # for people: it may well say what is wrong
        return _silent(asked, ASK, f"not believed: {genuine.why} ({says})")
    try:
        return _said(genuine.fields, asked)
    except ValueError as error:
        return _silent(asked, ASK, f"signed, and unreadable: {error}")


def _silent(asked: Asked, verdict: Verdict, why: str) -> Read:
    attempt = asked.attempt
    evidence = Evidence(
        number=attempt.no,
        fact=verdict.fact,
        road=asked.road,
        direction=attempt.direction,
        call=asked.call,
        words=printable(why)[:WORDS_MAX],
        fault=verdict.fault,
        of=attempt.of,
    )
    return Read(evidence=(evidence,))


def _said(fields: Mapping[str, str], asked: Asked) -> Read:
    """Raises ValueError when it says nothing that can be read."""
    attempt, call = asked.attempt, asked.call
    code, says = fields.get("respCode", ""), fields.get("respMsg", "")
    void = fields.get("txnType") == VOID
    if not code:
        raise ValueError("it has no code")
    if call in _QUESTIONS and code == SUCCESS:
        code, says = fields.get("origRespCode", ""), fields.get("origRespMsg", "")
        verdict = _became(code, asked, void=void)
    else:
        verdict = codes.said(call, code, void=void)
    wrong = ""
    if verdict.fact is not Fact.SILENT:  # what says nothing of the attempt need not name it
        kinds = PAYMENTS if attempt.incoming else REFUNDS
        wrong = differs(fields, attempt, asked.opened, kinds | _OF_QUERY if call in _QUESTIONS else kinds)
    evidence = of_transaction(
        fields,
        verdict,
        number=attempt.no,
        direction=attempt.direction,
        road=asked.road,
        words=words(code, says),
        wrong=wrong,
        of=attempt.of,
        call=call,
    )
    if call is not Call.PREPAY or code != SUCCESS or evidence.wrong:
        return Read(evidence=(evidence,))
    return Read(evidence=(evidence,), credential=credentials.answered(fields, attempt))


def _became(code: str, asked: Asked, *, void: bool) -> Verdict:
    if not code:
        raise ValueError("origRespCode is missing")
    if asked.attempt.incoming:
        return codes.became_of_payment(code, expired=asked.now_ms >= asked.attempt.expires_ms + asked.margin_ms)
    return codes.became_of_refund(code, void=void)
