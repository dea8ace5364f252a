"""Taking evidence in: what may be called a fact, and what a fact does to its attempt.

Silence is never refusal, ``over`` is said of the attempt and never of a call, ``absent`` settles nothing by itself,
and ``moved`` needs the right content. Everything else about order, repetition and road is the table's.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

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
from oncepay.domain.ids import ID_LENGTH
from oncepay.domain.payment import Origin, PaymentStatus, Refund, RefundStatus
from oncepay.domain.settle import money_in, money_out, refund_over

CREDENTIAL_INLINE_MAX: Final = 512  # bytes; a longer credential is stored apart from the aggregate


def hear(desk: Desk, heard: Hear) -> None:
    """Take in all evidence of one message."""
    answered = desk.payment.attempt(heard.answers) if heard.answers else None
    if answered is not None and answered.until_ms:
        desk.set_attempt(answered, until_ms=0)
    for evidence in heard.evidence:
        if evidence.direction is Direction.IN:
            _hear_in(desk, evidence, heard)
        else:
            _hear_out(desk, evidence, heard)
    if heard.credential is not None and heard.answers:
        _take_credential(desk, heard.answers, heard.credential)


def _hear_in(desk: Desk, evidence: Evidence, heard: Hear) -> None:
    attempt = desk.payment.attempt(evidence.number)
    if attempt is None:
        attempt = _adopt(desk, evidence, heard)
        if attempt is None:
            return
    if _is_wrong(desk, attempt, evidence):
        return
    learned = _learn(desk, attempt, evidence, _countable_in(desk, attempt, evidence))
    if evidence.refunded and not any(r.of == attempt.no for r in desk.payment.refunds):
        desk.raise_case(
            "outside_refund",
            "The channel says that some of this money went back, and we asked for no refund. Find out how much.",
            number=attempt.no,
        )
    if learned.news and learned.status is Status.SUCCEEDED:
        money_in(desk, attempt.no)


def _hear_out(desk: Desk, evidence: Evidence, heard: Hear) -> None:
    attempt = desk.payment.attempt(evidence.number)
    if attempt is None:
        _outside(desk, evidence, heard)
        return
    if _is_wrong(desk, attempt, evidence):
        return
    fact = evidence.fact
    if fact is Fact.OVER and evidence.call is Call.REFUND and attempt.calls != 1:
        fact = Fact.SILENT
    learned = _learn(desk, attempt, evidence, fact)
    if not learned.news:
        return
    if learned.status is Status.SUCCEEDED:
        money_out(desk, attempt.refund_no)
    elif learned.status is Status.OVER:
        refund_over(desk, attempt.no)


def _countable_in(desk: Desk, attempt: Attempt, evidence: Evidence) -> Fact:
    """What the evidence may be called, once it is known how it came about."""
    fact = evidence.fact
    if fact is Fact.OVER:
        if evidence.call is Call.PREPAY and (attempt.calls != 1 or attempt.shown_ms):
            return Fact.SILENT  # an earlier call may have moved the money
        if evidence.call is Call.CLOSE and not desk.policy[attempt.channel].close_final:
            return Fact.PENDING
    if fact is Fact.ABSENT and not attempt.settled and _absent_settles(desk, attempt, evidence):
        return Fact.OVER
    return fact


def _absent_settles(desk: Desk, attempt: Attempt, evidence: Evidence) -> bool:
    """Absent becomes over at once when no credential was ever shown and no call that could make the order is on its
    way and none will be made; else when said twice, minutes apart, after the attempt's expiry plus the margin."""
    capabilities = desk.policy[attempt.channel]
    at_ms = evidence.said_ms or desk.now_ms
    # a call in flight for the number is still in flight if its deadline lies ahead and this is not its own answer
    in_flight = attempt.until_ms > desk.now_ms and attempt.asked is Call.PREPAY
    if not attempt.shown_ms:
        return not in_flight
    if at_ms < attempt.expires_ms + capabilities.absent_margin_ms:
        return False
    if not attempt.absent_ms:
        desk.set_attempt(attempt, absent_ms=at_ms)
        return False
    return at_ms - attempt.absent_ms >= capabilities.absent_apart_ms


def _learn(desk: Desk, attempt: Attempt, evidence: Evidence, fact: Fact) -> Learned:
    attempt = desk.payment.attempt(attempt.no) or attempt
    learned = learn(attempt.status, fact)
    fields: dict[str, Any] = {"fact": evidence.fact, "fault": evidence.fault.value, "words": evidence.words}
    if learned.news:
        fields["status"] = learned.status
        if learned.status is Status.OVER:
            expired = evidence.fact is Fact.ABSENT and attempt.shown_ms
            fields["reason"] = Reason.EXPIRED if expired else evidence.reason or Reason.CLOSED
        if learned.status in {Status.OVER, Status.SUCCEEDED}:
            fields["settled_ms"] = desk.now_ms
    if evidence.fact is Fact.MOVED:
        fields["trade_no"] = attempt.trade_no or evidence.trade_no
        fields["moved_ms"] = attempt.moved_ms or evidence.channel_ms or desk.now_ms
        if attempt.trade_no and evidence.trade_no and attempt.trade_no != evidence.trade_no:
            learned = Learned(learned.status, learned.news, contradiction=True)
    news = learned.news or any(getattr(attempt, key) != value for key, value in fields.items())
    if evidence.road in {Road.NOTIFICATION, Road.STATEMENT} and not learned.news and attempt.settled:
        fields = {key: fields[key] for key in fields.keys() & {"trade_no"}}  # a repeat does not change what was asked
        news = False
    desk.set_attempt(attempt, **fields)
    if learned.contradiction:
        desk.raise_case(
            "contradiction",
            f"{attempt.no} succeeded ({attempt.trade_no}), and the channel now says {evidence.fact}"
            f" {evidence.trade_no or evidence.words}.",
            number=attempt.no,
        )
    if evidence.attention and not attempt.settled:
        desk.raise_case(evidence.attention, f"The channel needs a person for {attempt.no}.", number=attempt.no)
    if evidence.fault in {Fault.ACCOUNT, Fault.BALANCE} and evidence.fault != attempt.fault:
        desk.raise_account_case(
            attempt.account,
            f"account_{evidence.fault.value}",
            f"{attempt.channel} turns calls of account {attempt.account} away: {evidence.words}.",
            number=attempt.no,
        )
    if news or learned.contradiction or evidence.attention:
        desk.evidence.append(evidence)
    return learned


def _is_wrong(desk: Desk, attempt: Attempt, evidence: Evidence) -> bool:
    """A validly signed message whose content is not this attempt's is a case and changes nothing."""
    wrong = evidence.wrong
    if not wrong and evidence.fact is Fact.MOVED and (evidence.minor is None or evidence.currency is None):
        wrong = "it says that money moved and not how much"
    if not wrong and evidence.minor is not None and evidence.minor != attempt.minor:
        wrong = f"minor is {evidence.minor}, not {attempt.minor}"
    if not wrong and evidence.currency is not None and evidence.currency != attempt.currency:
        wrong = f"currency is {evidence.currency}, not {attempt.currency}"
    if not wrong and evidence.of and attempt.of and evidence.of != attempt.of:
        wrong = f"it reverses {evidence.of}, not {attempt.of}"
    if not wrong:
        return False
    desk.raise_case(
        "wrong_content",
        f"A validly signed message about {attempt.no} does not fit it: {wrong}. Nothing was changed.",
        number=attempt.no,
        wrong=wrong,
        trade_no=evidence.trade_no,
    )
    desk.evidence.append(msgspec.structs.replace(evidence, wrong=wrong))
    return True


def _adopt(desk: Desk, evidence: Evidence, heard: Hear) -> Attempt | None:
    """A known payment with an unknown suffix: the row was lost, the money may not be. As good as shown."""
    if evidence.number[:ID_LENGTH] != desk.payment.id or evidence.fact in {Fact.ABSENT, Fact.SILENT}:
        return None
    payment = desk.payment
    return desk.add_attempt(
        Attempt(
            no=evidence.number,
            channel=heard.channel,
            account=heard.account,
            minor=payment.minor if evidence.minor is None else evidence.minor,
            currency=evidence.currency or payment.currency,
            created_ms=desk.now_ms,
            expires_ms=max(payment.deadline_ms, desk.now_ms),
            calls=1,
            shown_ms=desk.now_ms,
            superseded_ms=desk.now_ms,
        )
    )


def _outside(desk: Desk, evidence: Evidence, heard: Hear) -> None:
    """Money that went out without us, recorded once it is out, even past the ceiling."""
    reversed_ = desk.payment.attempt(evidence.of)
    if evidence.fact is not Fact.MOVED or reversed_ is None or evidence.minor is None:
        return
    if evidence.wrong:
        _is_wrong(desk, reversed_, evidence)
        return
    now_ms = desk.now_ms
    desk.add_attempt(
        Attempt(
            no=evidence.number,
            direction=Direction.OUT,
            channel=heard.channel,
            account=heard.account,
            minor=evidence.minor,
            currency=reversed_.currency,
            created_ms=now_ms,
            refund_no=evidence.number,
            of=reversed_.no,
            status=Status.SUCCEEDED,
            settled_ms=now_ms,
            trade_no=evidence.trade_no,
            moved_ms=evidence.channel_ms or now_ms,
        )
    )
    desk.add_refund(
        Refund(
            refund_no=evidence.number,
            minor=evidence.minor,
            of=reversed_.no,
            created_ms=now_ms,
            origin=Origin.OUTSIDE,
            status=RefundStatus.DONE,
            settled_ms=now_ms,
        )
    )
    _lower_surplus(desk, reversed_.no, evidence.minor)
    desk.evidence.append(evidence)


def _lower_surplus(desk: Desk, of: str, minor: int) -> None:
    """Somebody else sent back what we were about to: send only the rest."""
    for refund in desk.payment.refunds:
        if refund.of != of or refund.origin is not Origin.SURPLUS or refund.status is not RefundStatus.OPEN:
            continue
        if outgoing(desk.payment, refund_no=refund.refund_no):
            desk.raise_case("surplus_outside", "Surplus was sent back by hand while our refund was on its way.", of=of)
        elif refund.minor > minor:
            desk.set_refund(refund, minor=refund.minor - minor)
        else:
            desk.set_refund(refund, status=RefundStatus.DONE, settled_ms=desk.now_ms, why="outside")


def _take_credential(desk: Desk, number: str, credential: Credential) -> None:
    """Handing out a credential is a step: it is committed as shown before the payer can have it."""
    attempt = desk.payment.attempt(number)
    if attempt is None or attempt.settled or desk.payment.status is not PaymentStatus.OPEN:
        return
    if desk.now_ms >= end_ms(desk.payment, attempt):
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
