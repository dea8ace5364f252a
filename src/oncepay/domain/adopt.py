"""What a channel tells us of that our rows do not know: an attempt or a refund whose row was lost, and money that went
out without us. Money that moved is never dropped: what fits nothing is a case."""

from __future__ import annotations

from typing import Final

import msgspec

from oncepay.domain.attempt import Attempt, Direction, Fact, Status
from oncepay.domain.change import Evidence, Hear, Said
from oncepay.domain.desk import Desk, in_doubt, incoming, outgoing, reserved
from oncepay.domain.ids import ID_LENGTH, out_numbers
from oncepay.domain.payment import Origin, Refund, RefundStatus
from oncepay.domain.plan import SAID_SLACK_MS
from oncepay.domain.settle import LAST_DAYS_MS, OUTSIDE_MARK, add_try, free_number

_NOTHING: Final = frozenset({Fact.ABSENT, Fact.SILENT})


def adopt_in(desk: Desk, evidence: Evidence, heard: Hear) -> Attempt | None:
    """A known payment with an unknown suffix: the row was lost, the money may not be. As good as shown, and no longer
    wanted. Not from an account that the payment is not paid by: that money never reached ours."""
    if evidence.fact in _NOTHING:
        return None
    payment = desk.payment
    if evidence.number[:ID_LENGTH] != payment.id or evidence.wrong:
        raise_wrong(desk, evidence, heard, evidence.wrong or "its number is of no attempt of this payment")
        return None
    accounts = {(a.channel, a.account) for a in incoming(payment)}
    if accounts and (heard.channel, heard.account) not in accounts:
        raise_wrong(desk, evidence, heard, f"no attempt is paid to {heard.channel} {heard.account}")
        return None
    return desk.add_attempt(adopted(desk, evidence.number, heard, evidence.minor, evidence.currency))


def adopted(desk: Desk, number: str, by: Hear | Said, minor: int | None, currency: str | None) -> Attempt:
    """An attempt whose row was lost, as it is taken to have been. ``by``: whose channel and account it is of."""
    payment = desk.payment
    return Attempt(
        no=number,
        channel=by.channel,
        account=by.account,
        minor=payment.minor if minor is None else minor,
        currency=currency or payment.currency,
        created_ms=desk.now_ms,
        expires_ms=max(payment.deadline_ms, desk.now_ms),
        calls=1,
        shown_ms=desk.now_ms,
        superseded_ms=desk.now_ms,
    )


def adopt_out(desk: Desk, evidence: Evidence, heard: Hear) -> Attempt | None:
    """A number that a refund of ours would get, now or later, is that refund: the rows of its tries were lost, and
    another number would send the money twice. Any other went out without us, and is recorded here."""
    if evidence.fact in _NOTHING:
        return None
    for refund in desk.payment.refunds:
        if refund.status is RefundStatus.OPEN and evidence.number in out_numbers(desk.payment.id, refund.refund_no):
            return add_try(desk, refund.refund_no, evidence.number)
    if evidence.fact is Fact.MOVED:
        _outside(desk, evidence, heard)
    return None


def _outside(desk: Desk, evidence: Evidence, heard: Hear) -> None:
    """Money that went out without us, recorded once it is out, even past the ceiling."""
    reversed_ = desk.payment.attempt(evidence.of)
    wrong = evidence.wrong
    if not wrong and (reversed_ is None or not reversed_.incoming):
        wrong = f"it reverses {evidence.of or 'nothing'}, which is no attempt of this payment"
    if reversed_ is None or wrong:
        raise_wrong(desk, evidence, heard, wrong)
        return
    if (heard.channel, heard.account) != (reversed_.channel, reversed_.account):
        wrong = f"it comes from {heard.channel} {heard.account}, not {reversed_.channel} {reversed_.account}"
    elif evidence.minor is None or evidence.minor < 1:
        wrong = "it says that money went back and not how much"
    elif evidence.currency not in {None, reversed_.currency}:
        wrong = f"currency is {evidence.currency}, not {reversed_.currency}"
    if evidence.minor is None or wrong:
        raise_wrong(desk, evidence, heard, wrong)
        return
    desk.evidence.append(evidence)
    _record(desk, reversed_, evidence.number, evidence.minor, trade_no=evidence.trade_no, moved_ms=evidence.channel_ms)


def say_returned(desk: Desk, number: str, evidence: Evidence, heard: Hear) -> None:
    """The channel says how much of an attempt's money went back in all; the most that it ever said is kept, and when
    it first said so."""
    attempt, said = desk.payment.attempt(number), evidence.returned_minor
    if attempt is None or not said or said < attempt.returned_minor or attempt.status is not Status.SUCCEEDED:
        return
    first_ms = attempt.returned_ms
    if said == attempt.returned_minor and not (evidence.said_ms and (not first_ms or evidence.said_ms < first_ms)):
        return
    if said > attempt.minor:
        raise_wrong(desk, evidence, heard, f"{said} went back, of {attempt.minor}")
        return
    desk.set_attempt(attempt, returned_minor=said, returned_ms=evidence.said_ms)
    if evidence not in desk.evidence:
        desk.evidence.append(evidence)


def returned(desk: Desk, number: str, heard: Hear) -> None:
    """What went back and none of our refunds accounts for went out without us. One whose outcome is open accounts for
    its amount, and does so no more when it comes to nothing after all, or went out only after that was said; one that
    a person said was paid back outside is what the channel speaks of now."""
    attempt = desk.payment.attempt(number)
    if attempt is None or not attempt.returned_minor:
        return
    ours = outgoing(desk.payment, of=number)
    went = {a.refund_no for a in ours if a.status is Status.SUCCEEDED}
    stated = [r for r in desk.payment.refunds if r.of == number and r.status is RefundStatus.DONE]
    missing = attempt.returned_minor - sum(a.minor for a in ours if _may_be_in(a, attempt.returned_ms))
    missing -= sum(r.minor for r in stated if r.refund_no not in went)
    if missing <= 0:
        return
    outs = (e.number for e in heard.evidence if e.direction is Direction.OUT)
    named = next((out for out in outs if desk.payment.attempt(out) is None), "")
    _record(desk, attempt, named or free_number(desk.payment, OUTSIDE_MARK + number), missing)


def _may_be_in(out: Attempt, said_ms: int) -> bool:
    """Whether a refund's attempt may be part of what the channel said at ``said_ms`` had gone back."""
    if out.status is not Status.SUCCEEDED:
        return not out.settled
    return not said_ms or out.moved_ms <= said_ms + SAID_SLACK_MS


def _record(desk: Desk, reversed_: Attempt, number: str, minor: int, *, trade_no: str = "", moved_ms: int = 0) -> None:
    """A refund that went out without us, done as soon as it is known. ``number``: the channel's, where it names one.
    One that a person had recorded by its amount is that one."""
    now_ms = desk.now_ms
    stated = desk.payment.refund(OUTSIDE_MARK + reversed_.no)
    if stated is not None and (stated.minor != minor or outgoing(desk.payment, refund_no=stated.refund_no)):
        stated = None
    refund_no = stated.refund_no if stated is not None else OUTSIDE_MARK + number
    desk.add_attempt(
        Attempt(
            no=number,
            direction=Direction.OUT,
            channel=reversed_.channel,
            account=reversed_.account,
            minor=minor,
            currency=reversed_.currency,
            created_ms=now_ms,
            refund_no=refund_no,
            of=reversed_.no,
            status=Status.SUCCEEDED,
            settled_ms=now_ms,
            trade_no=trade_no,
            moved_ms=moved_ms,
        )
    )
    if stated is not None:
        return
    desk.add_refund(
        Refund(
            refund_no=refund_no,
            minor=minor,
            of=reversed_.no,
            created_ms=now_ms,
            origin=Origin.OUTSIDE,
            status=RefundStatus.DONE,
            settled_ms=now_ms,
        )
    )
    make_room(desk, reversed_)


def make_room(desk: Desk, reversed_: Attempt) -> None:
    """Somebody else sent back what we were about to: send only what is left. What may already be on its way is not
    ours to stop; a person must look."""
    over = reserved(desk.payment, reversed_.no) - reversed_.minor
    for refund in reversed(desk.payment.refunds):
        if over <= 0:
            return
        if refund.of != reversed_.no or refund.status is not RefundStatus.OPEN:
            continue
        if in_doubt(desk.payment, refund_no=refund.refund_no):
            continue
        over -= refund.minor
        if refund.origin is Origin.APP:
            desk.set_refund(refund, status=RefundStatus.FAILED, settled_ms=desk.now_ms, why="outside")
        elif over < 0:
            desk.set_refund(refund, minor=-over)
        else:
            desk.set_refund(refund, status=RefundStatus.DONE, settled_ms=desk.now_ms, why="outside")
    if over > 0:
        desk.raise_case(
            "refunded_too_much",
            f"More went back of {reversed_.no} than was paid, or is about to: money went out without us, or late.",
            number=reversed_.no,
            minor=over,
        )


def raise_wrong(desk: Desk, evidence: Evidence, heard: Hear, wrong: str) -> None:
    """A validly signed message whose content fits nothing here: a case, and nothing is changed. The case holds what
    a person needs to act on it: one for each number and money of the channel's, and for each amount that is said of
    it, so that what was a lie and what is true are not one case."""
    desk.raise_case(
        "wrong_content",
        f"A validly signed message about {evidence.number} does not fit this payment: {wrong}. Nothing was changed.",
        apart=f"{evidence.trade_no}:{evidence.minor}:{evidence.currency}",
        due_ms=_goes_back_ms(desk, evidence, heard),
        number=evidence.number,
        fact=evidence.fact.value,
        minor=evidence.minor,
        currency=evidence.currency,
        trade_no=evidence.trade_no,
        channel_ms=evidence.channel_ms,
        channel=heard.channel,
        account=heard.account,
        wrong=wrong,
        ours=not evidence.wrong,
    )
    desk.evidence.append(msgspec.structs.replace(evidence, wrong=wrong, account=heard.account))


def _goes_back_ms(desk: Desk, evidence: Evidence, heard: Hear) -> int:
    """When money that is with us and fits nothing goes back by itself, if nobody has decided by then and the channel
    still says that it moved; 0 for what is not with us, or is no money."""
    if (
        evidence.wrong
        or evidence.fact is not Fact.MOVED
        or evidence.direction is not Direction.IN
        or not evidence.minor
    ):
        return 0
    window_ms = desk.policy[heard.channel].refund_window_ms
    return max((evidence.channel_ms or desk.now_ms) + window_ms - LAST_DAYS_MS, desk.now_ms)
