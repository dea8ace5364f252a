"""What a person may do with a case. Each verb refuses by raising when it makes no sense as things stand, changes
nothing when it was done before, and otherwise leaves the change and the record of it on the desk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from oncepay.domain.attempt import Attempt, Status
from oncepay.domain.begin import begin
from oncepay.domain.change import Begin, Handle, Step, StepKind, Verb
from oncepay.domain.desk import Desk, in_doubt, outgoing, reserved
from oncepay.domain.errors import Busy, Invalid, RefundsSpent, RefundTooLarge, RefundTooLate, VerbUnfit
from oncepay.domain.money import decimal_text
from oncepay.domain.payment import Refund, RefundStatus
from oncepay.domain.settle import add_try, free_number, numbers_taken
from oncepay.domain.subject import Done, refund_of, sent
from oncepay.domain.vouch import accept, give_back, settle

STATING: Final = frozenset({Verb.ACCEPT, Verb.SETTLE})  # verbs that say what no channel has told us


def handle(desk: Desk, asked: Handle) -> None:
    """Raises VerbUnfit, and where that says more PaymentPaid, RefundTooLarge, RefundTooLate, RefundsSpent, Busy;
    Invalid for what the person has to say and has not."""
    verb = asked.act.verb
    if verb in STATING and not asked.act.evidence:
        raise Invalid(f"{verb} states what no channel has told us: say what shows it", field="evidence")
    done = _DO[verb](desk, asked)
    if done is not None:
        act = msgspec.structs.replace(
            asked.act, at_ms=desk.now_ms, number=done.number, did=done.did, resolves=done.resolves
        )
        desk.acts.append(act)


def _query(desk: Desk, asked: Handle) -> Done:
    refund = refund_of(desk.payment, asked.number, asked.refund_no)
    if refund is not None:
        tries = outgoing(desk.payment, refund_no=refund.refund_no)
        if not tries:
            raise VerbUnfit(f"refund {refund.refund_no} was not tried yet: there is nothing to ask about")
        attempt = next((a for a in tries if not a.settled), tries[-1])
    else:
        attempt = sent(desk.payment, asked)
    kind = StepKind.QUERY if attempt.incoming else StepKind.QUERY_REFUND
    return _call(desk, asked, attempt, kind, f"{attempt.channel} is asked about {attempt.no}.")


def _close(desk: Desk, asked: Handle) -> Done:
    attempt = _closable(desk, asked)
    if not desk.policy[attempt.channel].closes:
        raise VerbUnfit(f"{attempt.channel} has no call that closes: {attempt.no} ends by its own expiry")
    return _call(desk, asked, attempt, StepKind.CLOSE, f"{attempt.channel} is asked to close {attempt.no}.")


def _cancel(desk: Desk, asked: Handle) -> Done:
    attempt = _closable(desk, asked)
    if not desk.policy[attempt.channel].cancels:
        raise VerbUnfit(f"{attempt.channel} has no call that cancels")
    did = f"{attempt.channel} is asked to cancel {attempt.no}: if it was paid, the money goes back."
    return _call(desk, asked, attempt, StepKind.CANCEL, did)


def _closable(desk: Desk, asked: Handle) -> Attempt:
    attempt = sent(desk.payment, asked)
    if not attempt.incoming:
        raise VerbUnfit(f"{attempt.no} is a refund's: a refund cannot be closed")
    if attempt.settled:
        raise VerbUnfit(f"{attempt.no} is not live: {_ended(attempt)}")
    return attempt


def _call(desk: Desk, asked: Handle, attempt: Attempt, kind: StepKind, did: str) -> Done:
    step = Step(kind=kind, at_ms=desk.now_ms, number=attempt.no)
    begin(desk, Begin(step=step, until_ms=_until_ms(desk, asked, attempt)))
    return Done(attempt.no, did)


def _until_ms(desk: Desk, asked: Handle, attempt: Attempt) -> int:
    return desk.now_ms + desk.policy[attempt.channel].call_deadline_ms + asked.margin_ms


def _refund(desk: Desk, asked: Handle) -> Done | None:
    if refund_of(desk.payment, asked.number, asked.refund_no) is not None:
        return _retry(desk, asked)
    return give_back(desk, asked)


def _retry(desk: Desk, asked: Handle) -> Done:
    """The next number of a refund whose last one is over. What the account or the moment was at fault for is asked
    about: then the same number goes out again, by the plan, as soon as it is known not to be there."""
    refund = refund_of(desk.payment, asked.number, asked.refund_no)
    if refund is None:
        attempt = desk.payment.attempt(asked.number)
        if attempt is not None and attempt.fault and not attempt.settled:
            return _query(desk, asked)
        raise VerbUnfit("the case is about no refund of ours: there is nothing to try again")
    if refund.status is RefundStatus.DONE:
        raise VerbUnfit(f"refund {refund.refund_no} is done")
    reversed_ = desk.payment.attempt(refund.of)
    if reversed_ is None:
        raise VerbUnfit(f"the payment has no attempt {refund.of}, which refund {refund.refund_no} reverses")
    if any(a.fault for a in in_doubt(desk.payment, refund_no=refund.refund_no)):
        return _query(desk, asked)
    _check_may_retry(desk, refund, reversed_)
    if refund.status is RefundStatus.FAILED:
        refund = desk.set_refund(refund, status=RefundStatus.OPEN, settled_ms=0, why="")
    number = free_number(desk.payment, refund.refund_no)
    add_try(desk, refund.refund_no, number, until_ms=_until_ms(desk, asked, reversed_))
    return Done(number, f"refund {refund.refund_no} is tried again as {number}.")


def _check_may_retry(desk: Desk, refund: Refund, reversed_: Attempt) -> None:
    """What holds of any try holds of one that a person wants: one at a time, at the channel's pace, within its count
    and its window, and never more than is there."""
    payment, capabilities = desk.payment, desk.policy[reversed_.channel]
    doubtful = in_doubt(payment, of=reversed_.no)
    if doubtful:
        raise VerbUnfit(f"{doubtful[0].no} may still go out: ask about it first, or the money may go back twice")
    tries = outgoing(payment, of=reversed_.no)
    next_ms = max((a.created_ms for a in tries), default=0) + capabilities.refund_spacing_ms
    if tries and desk.now_ms < next_ms:
        spacing_s = capabilities.refund_spacing_ms // 1000
        raise Busy(f"{reversed_.channel} wants {spacing_s} s between two refunds of one payment", until_ms=next_ms)
    waits = refund.status is RefundStatus.OPEN and not outgoing(payment, refund_no=refund.refund_no)
    if numbers_taken(payment, reversed_.no) + (not waits) > capabilities.refund_count:
        raise RefundsSpent(f"{reversed_.channel} takes {capabilities.refund_count} refunds of one payment")
    if desk.now_ms > (reversed_.moved_ms or reversed_.settled_ms) + capabilities.refund_window_ms:
        days = capabilities.refund_window_ms // 86_400_000
        raise RefundTooLate(f"{reversed_.channel} takes refunds for {days} days")
    left = reversed_.minor - reserved(payment, reversed_.no)
    if refund.status is RefundStatus.FAILED and refund.minor > left:
        text = decimal_text(left, reversed_.currency)
        raise RefundTooLarge(f"of what was paid only {text} {reversed_.currency} is left", kept_minor=left)


def _ended(attempt: Attempt) -> str:
    return "it has succeeded" if attempt.status is Status.SUCCEEDED else f"it is over ({attempt.reason or 'closed'})"


_DO: Final[dict[Verb, Callable[[Desk, Handle], Done | None]]] = {
    Verb.QUERY: _query,
    Verb.CLOSE: _close,
    Verb.CANCEL: _cancel,
    Verb.ACCEPT: accept,
    Verb.REFUND: _refund,
    Verb.SETTLE: settle,
    Verb.RETRY: _retry,
}
