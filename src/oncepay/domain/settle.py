"""Settlement: the first money in that equals what is owed pays; any other money in is surplus and goes back by
itself, exactly once, by the road it came."""

from __future__ import annotations

import msgspec

from oncepay.domain.attempt import Attempt, Call, Direction, Reason
from oncepay.domain.capabilities import DAY, Capabilities
from oncepay.domain.desk import Desk, in_doubt, outgoing, reserved, unsettled
from oncepay.domain.ids import ID_LENGTH, out_number
from oncepay.domain.payment import Origin, Payment, PaymentStatus, Refund, RefundStatus

SURPLUS_TRIES_MAX = 30
LAST_DAYS_MS = 30 * DAY  # before a channel's window for refunds ends, money that is still held is tried again daily
SURPLUS_MARK = "surplus:"  # an app's refund_no cannot hold a colon
OUTSIDE_MARK = "outside:"


def money_in(desk: Desk, number: str) -> None:
    """An attempt in succeeded: it pays, or goes back."""
    attempt = desk.payment.attempt(number)
    if attempt is None:
        return
    if _pays(desk.payment, attempt):
        pay(desk, attempt)
    else:
        send_back(desk, attempt)


def pay(desk: Desk, attempt: Attempt) -> None:
    """The payment is paid by this attempt."""
    desk.set(
        status=PaymentStatus.PAID,
        paid_by=attempt.no,
        paid_ms=desk.now_ms,
        closing_ms=0,
        closed_ms=0,
        expired=False,
    )


def send_back(desk: Desk, attempt: Attempt) -> None:
    """What is left of an attempt's money is surplus: a refund for it, which goes by itself."""
    left = attempt.minor - reserved(desk.payment, attempt.no)
    if left > 0:
        desk.add_refund(
            Refund(
                refund_no=SURPLUS_MARK + attempt.no[ID_LENGTH:],
                minor=left,
                of=attempt.no,
                created_ms=desk.now_ms,
                origin=Origin.SURPLUS,
            )
        )


def _pays(payment: Payment, attempt: Attempt) -> bool:
    if payment.paid_by or (attempt.minor, attempt.currency) != (payment.minor, payment.currency):
        return False
    if payment.status is PaymentStatus.OPEN:
        return not (payment.closing_ms and payment.if_paid == "refund")
    # closed: what the app said when it closed stands; otherwise its policy
    return payment.late == "accept" and payment.if_paid != "refund"


def money_out(desk: Desk, number: str) -> None:
    """A refund's attempt succeeded: the refund is done, whatever was thought of it before. If another number of the
    same refund had succeeded already, this is more money that went out than anybody asked for."""
    attempt = desk.payment.attempt(number)
    refund = desk.payment.refund(attempt.refund_no) if attempt else None
    if attempt is None or refund is None:
        return
    if refund.status is not RefundStatus.DONE:
        desk.set_refund(refund, status=RefundStatus.DONE, minor=attempt.minor, settled_ms=desk.now_ms, why="")
        for other in in_doubt(desk.payment, refund_no=refund.refund_no):
            desk.set_attempt(other, refused_ms=other.refused_ms or desk.now_ms)  # asked about, and called no more
        return
    outside = msgspec.structs.replace(
        refund,
        refund_no=OUTSIDE_MARK + number,
        minor=attempt.minor,
        origin=Origin.OUTSIDE,
        created_ms=desk.now_ms,
        settled_ms=desk.now_ms,
    )
    desk.set_attempt(attempt, refund_no=outside.refund_no)
    desk.add_refund(outside)
    desk.raise_case(
        "refunded_too_much",
        f"{attempt.channel} carried out refund {refund.refund_no} twice: {number} was over and went out all the same.",
        number=number,
        minor=attempt.minor,
    )


def refund_over(desk: Desk, number: str) -> None:
    """A refund's attempt is over: another number is tried later, or the refund failed and its amount is free again."""
    attempt = desk.payment.attempt(number)
    refund = desk.payment.refund(attempt.refund_no) if attempt else None
    if attempt is None or refund is None or refund.status is not RefundStatus.OPEN:
        return
    tries = len(outgoing(desk.payment, refund_no=refund.refund_no))
    again = desk.policy[attempt.channel].refund_retry_at_ms
    refused = attempt.reason is Reason.REFUSED
    if refund.origin is Origin.SURPLUS:
        _raise_stuck(desk, refund, attempt)  # and plan tries again: money that is not ours is never kept
        return
    if not refused and tries <= len(again):
        return
    desk.set_refund(refund, status=RefundStatus.FAILED, settled_ms=desk.now_ms, why=attempt.words or attempt.reason)
    if not refused:
        _raise_stuck(desk, refund, attempt)


def next_try_ms(payment: Payment, refund: Refund, capabilities: Capabilities) -> int:
    """When a refund whose last number is over gets its next; 0 when it gets none. Surplus is tried on for a month, and
    again in the last days in which the channel takes refunds: what is not ours is never kept for want of trying."""
    tries = outgoing(payment, refund_no=refund.refund_no)
    if not tries:
        return refund.created_ms
    gaps, done = capabilities.refund_retry_at_ms, len(tries) - 1
    surplus = refund.origin is Origin.SURPLUS
    at_ms = tries[-1].settled_ms + gaps[min(done, len(gaps) - 1)] if gaps else 0
    if not surplus or not gaps:
        return at_ms if done < len(gaps) else 0
    if done < SURPLUS_TRIES_MAX:
        return at_ms
    reversed_ = payment.attempt(refund.of)
    end_ms = (reversed_.moved_ms if reversed_ else refund.created_ms) + capabilities.refund_window_ms
    at_ms = max(at_ms, end_ms - LAST_DAYS_MS)
    return at_ms if at_ms < end_ms else 0


def _raise_stuck(desk: Desk, refund: Refund, attempt: Attempt) -> None:
    due_ms = 0
    if refund.origin is Origin.SURPLUS:
        due_ms = next_try_ms(desk.payment, refund, desk.policy[attempt.channel])
    desk.raise_case(
        "refund_stuck",
        f"{attempt.channel} did not carry out refund {refund.refund_no}: {attempt.words or attempt.reason}."
        + (" It is tried again by itself." if due_ms else ""),
        due_ms=due_ms,
        refund_no=refund.refund_no,
        minor=refund.minor,
        number=attempt.no,
    )


def close_if_over(desk: Desk) -> None:
    """An open payment that is being closed, or whose deadline has passed, is closed once nothing can pay it."""
    payment = desk.payment
    if payment.status is not PaymentStatus.OPEN or unsettled(payment):
        return
    if payment.closing_ms or desk.now_ms >= payment.deadline_ms:
        desk.set(status=PaymentStatus.CLOSED, closed_ms=desk.now_ms, expired=not payment.closing_ms)


def free_number(payment: Payment, refund_no: str) -> str:
    """The number of a refund's next try. Five characters of hash can meet another refund's; then the next one."""
    try_ = len(outgoing(payment, refund_no=refund_no))
    while payment.attempt(number := out_number(payment.id, refund_no, try_)) is not None:
        try_ += 1
    return number


def numbers_taken(payment: Payment, of: str) -> int:
    """How many numbers the refunds of an attempt have used, or are sure to use: the channel counts them."""
    waiting = (r for r in payment.refunds if r.of == of and r.status is RefundStatus.OPEN)
    return len(outgoing(payment, of=of)) + sum(not outgoing(payment, refund_no=r.refund_no) for r in waiting)


def may_try(payment: Payment, refund_no: str) -> bool:
    """Whether a new number may be called for a refund: it is open, and no number of its attempt is in doubt."""
    refund = payment.refund(refund_no)
    return refund is not None and refund.status is RefundStatus.OPEN and not in_doubt(payment, of=refund.of)


def add_try(desk: Desk, refund_no: str, number: str, *, until_ms: int = 0) -> Attempt:
    """A refund's next try: a new number, called once; in flight until ``until_ms``, 0 if nobody waits for it."""
    refund = desk.payment.refund(refund_no)
    reversed_ = desk.payment.attempt(refund.of) if refund else None
    if refund is None or reversed_ is None:
        message = f"no refund {refund_no} of a known attempt"
        raise ValueError(message)
    return desk.add_attempt(
        Attempt(
            no=number,
            direction=Direction.OUT,
            channel=reversed_.channel,
            account=reversed_.account,
            method=reversed_.method,
            minor=refund.minor,
            currency=reversed_.currency,
            created_ms=desk.now_ms,
            refund_no=refund_no,
            of=reversed_.no,
            calls=1,
            asked=Call.REFUND,
            asked_ms=desk.now_ms,
            until_ms=until_ms,
        )
    )
