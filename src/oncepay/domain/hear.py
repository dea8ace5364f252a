"""Taking evidence in: what may be called a fact, and what a fact does to its attempt.

Silence is never refusal, ``over`` is said of the attempt and never of a call, ``absent`` settles nothing by itself,
and ``moved`` needs the right content. Everything else about order, repetition and road is the table's.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from oncepay.domain.adopt import adopt_in, adopt_out, make_room, raise_wrong, returned, say_returned
from oncepay.domain.attempt import (
    Attempt,
    Call,
    Direction,
    Fact,
    Learned,
    Reason,
    Road,
    Status,
    learn,
)
from oncepay.domain.change import Credential, Evidence, Fault, Hear
from oncepay.domain.desk import Desk, end_ms, outgoing
from oncepay.domain.payment import PaymentStatus, RefundStatus
from oncepay.domain.settle import money_in, money_out, refund_over

CREDENTIAL_INLINE_MAX: Final = 512  # bytes; a longer credential is stored apart from the aggregate


def hear(desk: Desk, heard: Hear) -> None:
    """Take in all evidence of one message."""
    answered = desk.payment.attempt(heard.answers) if heard.answers else None
    if answered is not None and answered.until_ms and _is_answer(answered, heard):
        desk.set_attempt(answered, until_ms=0)
    late = answered is not None and _is_of_earlier_call(answered, heard)
    spoken_of = [
        _hear_in(desk, evidence, heard) if evidence.direction is Direction.IN else _hear_out(desk, evidence, heard)
        for evidence in heard.evidence
    ]
    for number in dict.fromkeys(spoken_of):
        returned(desk, number, heard)  # only now: the message may name the very refund that accounts for it
    if heard.credential is not None and heard.answers and not late:
        _take_credential(desk, heard.answers, heard.credential)


def _is_answer(attempt: Attempt, heard: Hear) -> bool:
    """Whether this is about the call in flight: the late answer of an earlier one does not bring it down."""
    if _is_of_earlier_call(attempt, heard):
        return False
    return all(evidence.call in {None, attempt.asked} for evidence in heard.evidence)


def _is_of_earlier_call(attempt: Attempt, heard: Hear) -> bool:
    """Whether the call was made again since: what an earlier one handed out may be void by now, where the channel makes
    a new code each time."""
    return 0 < heard.call_no < attempt.calls


def _hear_in(desk: Desk, evidence: Evidence, heard: Hear) -> str:
    """The number of the attempt in that was spoken of, "" if of none."""
    attempt = desk.payment.attempt(evidence.number) or adopt_in(desk, evidence, heard)
    if attempt is None or _is_wrong(desk, attempt, evidence, heard):
        return ""
    learned, fresh = _learn(desk, attempt, evidence, _countable_in(desk, attempt, _dated(evidence, heard)))
    if fresh and evidence.refunded and not _may_have_sent_back(desk, attempt.no):
        desk.raise_case(
            "outside_refund",
            "The channel says that some of this money went back, and it took no refund of ours. Find out how much.",
            number=attempt.no,
        )
    if learned.news and learned.status is Status.SUCCEEDED:
        money_in(desk, attempt.no)
    say_returned(desk, attempt.no, evidence, heard)
    return attempt.no


def _may_have_sent_back(desk: Desk, number: str) -> bool:
    """Whether the channel may have taken a refund of ours. What is over has not been taken if it was refused, or if
    the channel does not know of it; and of a refund without a try, the row of one may be lost."""
    payment = desk.payment
    for refund in payment.refunds:
        tries = outgoing(payment, refund_no=refund.refund_no)
        failed = refund.status is RefundStatus.FAILED or (refund.status is RefundStatus.OPEN and tries)
        if refund.of == number and not (failed and all(_was_not_taken(a) for a in tries)):
            return True
    return False


def _was_not_taken(out: Attempt) -> bool:
    return out.status is Status.OVER and (out.reason is Reason.REFUSED or out.fact is Fact.ABSENT)


def _hear_out(desk: Desk, evidence: Evidence, heard: Hear) -> str:
    """The number of the attempt in that is reversed, "" if of none."""
    attempt = desk.payment.attempt(evidence.number) or adopt_out(desk, evidence, heard)
    if attempt is None or _is_wrong(desk, attempt, evidence, heard):
        return ""
    learned, _ = _learn(desk, attempt, evidence, _countable_out(desk, attempt, _dated(evidence, heard)))
    if learned.news and learned.status is Status.SUCCEEDED:
        _carried_out(desk, attempt)
    elif learned.news and learned.status is Status.OVER:
        refund_over(desk, attempt.no)
    if evidence.returned_minor is not None:  # that it is part of
        attempt = desk.payment.attempt(attempt.no) or attempt
        desk.set_attempt(attempt, moved_ms=_earlier(attempt.moved_ms, evidence.said_ms))
        say_returned(desk, attempt.of, evidence, heard)
    return attempt.of


def _moved_ms(desk: Desk, attempt: Attempt, evidence: Evidence) -> int:
    """When its money moved; of money out never by our clock, since it is compared with other times of the channel's."""
    if attempt.incoming:
        return attempt.moved_ms or evidence.channel_ms or desk.now_ms
    return _earlier(attempt.moved_ms, evidence.channel_ms)


def _earlier(one_ms: int, other_ms: int) -> int:
    """The earlier of two times; 0 is not known."""
    return min(filter(None, (one_ms, other_ms)), default=0)


def _carried_out(desk: Desk, attempt: Attempt) -> None:
    """Money went out. If its refund had failed, its amount was free, and may have been promised again since."""
    refund, reversed_ = desk.payment.refund(attempt.refund_no), desk.payment.attempt(attempt.of)
    money_out(desk, attempt.no)
    if refund is not None and refund.status is RefundStatus.FAILED and reversed_ is not None:
        make_room(desk, reversed_)


def _dated(evidence: Evidence, heard: Hear) -> Evidence:
    """That there was no such number is as old as the question, where the answer bears no time: since then whoever heard
    it may have stood still, and a payer have opened the page."""
    if evidence.fact is not Fact.ABSENT or evidence.said_ms or not heard.asked_ms:
        return evidence
    return msgspec.structs.replace(evidence, said_ms=heard.asked_ms)


def _said_of_attempt(attempt: Attempt, evidence: Evidence) -> Fact:
    """``over`` is said of the attempt, never of a call: the refusal of a call counts only when it was the only one
    ever made for the number and nothing was handed out; an earlier call may have moved the money. What account or
    moment is at fault for says nothing of the attempt."""
    if evidence.fact is not Fact.OVER:
        return evidence.fact
    if evidence.fault:
        return Fact.SILENT
    if evidence.call in {Call.PREPAY, Call.REFUND} and (attempt.calls != 1 or attempt.shown_ms):
        return Fact.SILENT
    return Fact.OVER


def _countable_in(desk: Desk, attempt: Attempt, evidence: Evidence) -> Fact:
    """What the evidence may be called, once it is known how it came about."""
    fact = _said_of_attempt(attempt, evidence)
    if fact is Fact.OVER and evidence.call is Call.CLOSE and not desk.policy[attempt.channel].close_final:
        return Fact.PENDING
    if fact is Fact.PENDING and attempt.absent_ms:
        desk.set_attempt(attempt, absent_ms=0)  # it is there after all: absent counts from anew
    if fact is Fact.ABSENT and not attempt.settled and _absent_settles(desk, attempt, evidence):
        return Fact.OVER
    return fact


def _absent_settles(desk: Desk, attempt: Attempt, evidence: Evidence) -> bool:
    """Absent becomes over at once when no credential was ever shown and no call that could make the order is on its
    way and none will be made; else when said twice, minutes apart, after the attempt's expiry plus the margin, or
    then once by the complete statements of all its days."""
    sure_ms = attempt.expires_ms + desk.policy[attempt.channel].absent_margin_ms
    if not attempt.shown_ms:
        return not (attempt.until_ms > desk.now_ms and attempt.asked is Call.PREPAY)
    if evidence.road is Road.STATEMENT:
        return (evidence.said_ms or desk.now_ms) >= sure_ms
    return _absent_twice(desk, attempt, evidence, sure_ms)


def _absent_twice(desk: Desk, attempt: Attempt, evidence: Evidence, sure_ms: int) -> bool:
    """Whether this is the second time after ``sure_ms`` that it is said to be absent, minutes after the first."""
    at_ms = evidence.said_ms or desk.now_ms
    if at_ms < sure_ms:
        return False
    if not attempt.absent_ms:
        desk.set_attempt(attempt, absent_ms=at_ms)
        return False
    return at_ms - attempt.absent_ms >= desk.policy[attempt.channel].absent_apart_ms


def _countable_out(desk: Desk, attempt: Attempt, evidence: Evidence) -> Fact:
    """As of money in. A refund whose first call was not answered and whose repeated call is refused would be in doubt
    for ever, where a number is refused whose time has become old. Where the channel can say that there is no such
    refund, it is over when that is said twice, well after the refusal; the next number finds out what is wrong."""
    fact, margin_ms = _said_of_attempt(attempt, evidence), desk.policy[attempt.channel].refund_absent_margin_ms
    if not margin_ms or attempt.settled:
        return fact
    refused = evidence.call is Call.REFUND and evidence.fact is Fact.OVER and not evidence.fault
    if refused and fact is Fact.SILENT:
        desk.set_attempt(attempt, refused_ms=attempt.refused_ms or desk.now_ms, absent_ms=0)
    if fact is not Fact.ABSENT or not attempt.refused_ms or attempt.status is Status.SENT:
        return fact
    return Fact.OVER if _absent_twice(desk, attempt, evidence, attempt.refused_ms + margin_ms) else fact


def _learn(desk: Desk, attempt: Attempt, evidence: Evidence, fact: Fact) -> tuple[Learned, bool]:
    """Join the fact with what we know; and whether the evidence says anything that was not known."""
    attempt = desk.payment.attempt(attempt.no) or attempt
    learned = learn(attempt.status, fact)
    fields: dict[str, Any] = {"fact": evidence.fact, "fault": evidence.fault.value, "words": evidence.words}
    if evidence.fact in {Fact.ABSENT, Fact.SILENT} and _says_why(attempt, evidence.call):
        del fields["words"]  # that there is none is no reason: why it was refused is
    if learned.news:
        fields["status"] = learned.status
        if learned.status is Status.OVER:
            expired = evidence.fact is Fact.ABSENT and attempt.shown_ms
            fields["reason"] = Reason.EXPIRED if expired else evidence.reason or Reason.CLOSED
        if learned.status in {Status.OVER, Status.SUCCEEDED}:
            fields["settled_ms"] = desk.now_ms
    if evidence.fact is Fact.MOVED:
        fields["trade_no"] = attempt.trade_no or evidence.trade_no
        fields["moved_ms"] = _moved_ms(desk, attempt, evidence)
        if attempt.trade_no and evidence.trade_no and attempt.trade_no != evidence.trade_no:
            learned = Learned(learned.status, learned.news, contradiction=True)
    fresh = learned.news or any(getattr(attempt, key) != value for key, value in fields.items())
    if evidence.road in {Road.NOTIFICATION, Road.STATEMENT} and not learned.news and attempt.settled:
        fields = {key: fields[key] for key in fields.keys() & {"trade_no"}}  # a repeat does not change what was asked
        fresh = any(getattr(attempt, key) != value for key, value in fields.items())
    desk.set_attempt(attempt, **fields)
    if learned.contradiction:
        desk.raise_case(
            "contradiction",
            f"{attempt.no} succeeded ({attempt.trade_no}), and the channel now says {evidence.fact}"
            f" {evidence.trade_no or evidence.words}.",
            number=attempt.no,
        )
    if evidence.attention and fresh and not attempt.settled:
        desk.raise_case(evidence.attention, f"The channel needs a person for {attempt.no}.", number=attempt.no)
    if evidence.fault in {Fault.ACCOUNT, Fault.BALANCE} and evidence.fault != attempt.fault:
        desk.raise_account_case(
            attempt.account,
            f"account_{evidence.fault.value}",
            f"{attempt.channel} turns calls of account {attempt.account} away: {evidence.words}.",
            number=attempt.no,
        )
    if fresh or learned.contradiction:
        desk.evidence.append(evidence)
    return learned, fresh


def _says_why(attempt: Attempt, asked: Call | None) -> bool:
    """Whether the words that are kept are of the call that came to nothing, and not of a question after it."""
    if not attempt.incoming:
        return attempt.refused_ms > 0 and asked is Call.QUERY_REFUND
    return not attempt.shown_ms and asked in {Call.QUERY, Call.CLOSE} and attempt.words != ""


def _is_wrong(desk: Desk, attempt: Attempt, evidence: Evidence, heard: Hear) -> bool:
    """A validly signed message whose content is not this attempt's is a case and changes nothing."""
    wrong = evidence.wrong or _differing(attempt, evidence, heard)
    if wrong:
        raise_wrong(desk, evidence, heard, wrong)
    return bool(wrong)


def _differing(attempt: Attempt, evidence: Evidence, heard: Hear) -> str:
    if (heard.channel, heard.account) != (attempt.channel, attempt.account):
        return f"it comes from {heard.channel} {heard.account}, not {attempt.channel} {attempt.account}"
    if evidence.direction is not attempt.direction:
        return f"it speaks of money {evidence.direction}, not {attempt.direction}"
    if evidence.fact is Fact.MOVED and (evidence.minor is None or evidence.currency is None):
        return "it says that money moved and not how much"
    if evidence.minor is not None and evidence.minor != attempt.minor:
        return f"minor is {evidence.minor}, not {attempt.minor}"
    if evidence.currency is not None and evidence.currency != attempt.currency:
        return f"currency is {evidence.currency}, not {attempt.currency}"
    if evidence.of and attempt.of and evidence.of != attempt.of:
        return f"it reverses {evidence.of}, not {attempt.of}"
    return ""


def _wanted(desk: Desk, attempt: Attempt) -> bool:
    """Whether anybody may still be given it. That another takes its place, or that the payment is being closed, holds
    also where a clock is behind."""
    given_up = attempt.superseded_ms or desk.payment.closing_ms
    return not given_up and desk.now_ms < end_ms(desk.payment, attempt)


def _take_credential(desk: Desk, number: str, credential: Credential) -> None:
    """Handing out a credential is a step: it is committed as shown before the payer can have it."""
    attempt = desk.payment.attempt(number)
    if attempt is None or attempt.settled or desk.payment.status is not PaymentStatus.OPEN:
        return
    if not _wanted(desk, attempt):
        return
    apart = len(credential.body.encode()) > CREDENTIAL_INLINE_MAX
    desk.set_attempt(
        attempt,
        shown_ms=attempt.shown_ms or desk.now_ms,
        credential="" if apart else credential.body,
        credential_apart=apart,
        credential_until_ms=credential.until_ms,
    )
    if apart:
        desk.credential = (number, credential.body)
