"""What an app may ask for: start an attempt, close, reopen, amend, refund. Each refuses by raising, changes nothing
when it was asked before, and otherwise leaves the change on the desk."""

from __future__ import annotations

from oncepay.domain import errors
from oncepay.domain.attempt import Attempt, Call, Fact
from oncepay.domain.capabilities import Capabilities
from oncepay.domain.change import Amend, AskRefund, Close, Reopen, Start
from oncepay.domain.desk import Desk, incoming, unsettled
from oncepay.domain.fingerprint import check_same_refund
from oncepay.domain.ids import ATTEMPTS_MAX, ID_LENGTH, check_number, in_number, out_numbers
from oncepay.domain.money import check_amount
from oncepay.domain.payment import Origin, Payment, PaymentStatus, Refund
from oncepay.domain.settle import OUTSIDE_MARK, numbers_taken


def start(desk: Desk, asked: Start) -> None:
    """A new attempt, or the old ones superseded first: then the change holds no new attempt and the engine follows
    the old ones to their end before it asks again. The same as the live one changes nothing."""
    payment = desk.payment
    _check_open(payment, desk.now_ms)
    capabilities = _capabilities(desk, asked)
    open_ones = unsettled(payment)
    stranded = [a for a in open_ones if _is_stranded(a, desk)]
    if any(_is_same(a, asked, desk.now_ms) for a in open_ones if a not in stranded):
        return
    blocking = [a for a in open_ones if a not in stranded]
    live = [a for a in blocking if not a.superseded_ms]
    if live:  # also under force: nobody has tried to close these
        for attempt in live:
            desk.set_attempt(attempt, superseded_ms=desk.now_ms)
        return
    if blocking and not (asked.force and payment.unclosable == "switch"):
        raise _live_still(desk, blocking)
    for attempt in open_ones:
        if not attempt.superseded_ms:
            desk.set_attempt(attempt, superseded_ms=desk.now_ms)
    _new_attempt(desk, asked, capabilities)


def _is_same(attempt: Attempt, asked: Start, now_ms: int) -> bool:
    return attempt.same == asked.same and not attempt.superseded_ms and now_ms < attempt.expires_ms


def _is_stranded(attempt: Attempt, desk: Desk) -> bool:
    """Its only call was made, its credential was never shown, and no call can bring it any more: nobody can pay it, so
    it need not be over before another is started. It is followed all the same."""
    unshown = attempt.calls > 0 and not attempt.shown_ms and attempt.until_ms <= desk.now_ms
    return unshown and not desk.policy[attempt.channel].renews(attempt.method)


def _live_still(desk: Desk, blocking: list[Attempt]) -> errors.AttemptLive:
    last = max(blocking, key=lambda a: a.expires_ms)
    why = "; ".join(f"att_{a.no}: {why_unclosed(a, desk.policy[a.channel])}" for a in blocking)
    return errors.AttemptLive(why, attempt=f"att_{last.no}", until_ms=last.expires_ms)


def why_unclosed(attempt: Attempt, capabilities: Capabilities) -> str:
    """Why an attempt that is no longer wanted may still take money, in one clause."""
    if not capabilities.closes:
        return f"{attempt.channel} cannot close it; it ends by itself"
    if attempt.fact is Fact.ABSENT:
        return f"{attempt.channel} does not know it yet; it is closed as soon as it does"
    return f"{attempt.channel} has not said that it is closed"


def _check_open(payment: Payment, now_ms: int) -> None:
    if payment.status is PaymentStatus.PAID:
        raise errors.PaymentPaid(paid_ms=payment.paid_ms)
    if payment.status is PaymentStatus.CLOSED:
        raise errors.PaymentClosed(closed_ms=payment.closed_ms)
    if payment.closing_ms:
        raise errors.PaymentClosing
    if now_ms >= payment.deadline_ms:
        raise errors.PaymentClosed("the deadline has passed", deadline_ms=payment.deadline_ms)


def _capabilities(desk: Desk, asked: Start) -> Capabilities:
    capabilities = desk.policy[asked.channel]
    if asked.method not in capabilities.methods:
        known = ", ".join(sorted(capabilities.methods))
        raise errors.MethodUnknown(f"{asked.channel} has no method {asked.method!r}, only {known}", field="method")
    if desk.payment.currency not in capabilities.currencies:
        raise errors.MethodUnknown(f"{asked.channel} takes no {desk.payment.currency}", field="currency")
    return capabilities


def _new_attempt(desk: Desk, asked: Start, capabilities: Capabilities) -> None:
    payment, now_ms = desk.payment, desk.now_ms
    index = max((_index(a.no) for a in incoming(payment)), default=-1) + 1
    if index >= ATTEMPTS_MAX:
        raise errors.AttemptsSpent(f"a payment has {ATTEMPTS_MAX} attempts at most")
    expires_ms = min(asked.expires_ms or payment.deadline_ms, payment.deadline_ms, now_ms + capabilities.expiry_max_ms)
    if expires_ms - now_ms < capabilities.expiry_min_ms:
        least_s = capabilities.expiry_min_ms // 1000
        raise errors.DeadlineInvalid(
            f"{asked.channel} needs at least {least_s} s to pay, there are {(expires_ms - now_ms) / 1000:.0f} s left",
            field="expires_ms" if asked.expires_ms else "deadline_ms",
        )
    called = asked.call_until_ms > 0
    desk.add_attempt(
        Attempt(
            no=in_number(payment.id, index),
            channel=asked.channel,
            account=asked.account,
            method=asked.method,
            minor=payment.minor,
            currency=payment.currency,
            created_ms=now_ms,
            expires_ms=expires_ms,
            same=asked.same,
            calls=1 if called else 0,
            asked=Call.PREPAY if called else None,
            asked_ms=now_ms if called else 0,
            until_ms=asked.call_until_ms,
        )
    )


def _index(no: str) -> int:
    """The index of an attempt's number; of an adopted one with a strange suffix, -1."""
    suffix = no[ID_LENGTH:]
    return next((i for i in range(ATTEMPTS_MAX) if in_number("", i) == suffix), -1)


def close(desk: Desk, asked: Close) -> None:
    """From now on no new attempt or credential; closed once all attempts are settled."""
    payment = desk.payment
    if payment.status is PaymentStatus.PAID:
        raise errors.PaymentPaid(paid_ms=payment.paid_ms)
    if payment.status is PaymentStatus.CLOSED:
        desk.set(if_paid=asked.if_paid)  # money may still come
        return
    desk.set(closing_ms=payment.closing_ms or desk.now_ms, if_paid=asked.if_paid)


def reopen(desk: Desk, asked: Reopen) -> None:
    """An unpaid closed payment is owed again: same id, versions go on."""
    payment = desk.payment
    if payment.status is PaymentStatus.OPEN and not payment.closing_ms and payment.deadline_ms == asked.deadline_ms:
        return
    if payment.status is PaymentStatus.PAID:
        raise errors.PaymentPaid(paid_ms=payment.paid_ms)
    if payment.status is PaymentStatus.OPEN:
        raise errors.PaymentOpen("only a closed payment can be reopened")
    _check_deadline(asked.deadline_ms, desk.now_ms)
    desk.set(
        status=PaymentStatus.OPEN,
        deadline_ms=asked.deadline_ms,
        closing_ms=0,
        closed_ms=0,
        expired=False,
        if_paid="keep",
    )


def amend(desk: Desk, asked: Amend) -> None:
    """Another amount or deadline, while nobody can be paying the old one."""
    payment = desk.payment
    minor = payment.minor if asked.minor is None else asked.minor
    deadline_ms = payment.deadline_ms if asked.deadline_ms is None else asked.deadline_ms
    if (minor, deadline_ms) == (payment.minor, payment.deadline_ms):
        return
    _check_open(payment, min(desk.now_ms, payment.deadline_ms - 1))
    live = unsettled(payment)
    if live:
        raise errors.AttemptLive("an attempt may still take the old amount", until_ms=max(a.expires_ms for a in live))
    check_amount(minor, payment.currency)
    if asked.deadline_ms is not None:
        _check_deadline(deadline_ms, desk.now_ms)
    desk.set(minor=minor, deadline_ms=deadline_ms)


def _check_deadline(deadline_ms: int, now_ms: int) -> None:
    if deadline_ms <= now_ms:
        raise errors.DeadlineInvalid("deadline_ms has passed", field="deadline_ms")


def ask_refund(desk: Desk, asked: AskRefund) -> None:
    """Money back from what is kept, never from surplus. The amount is reserved from now on."""
    payment = desk.payment
    check_number(asked.refund_no, "refund_no")
    known = payment.refund(asked.refund_no) or _claim(desk, asked.refund_no)
    if known is not None:
        check_same_refund(known, asked.minor)
        return
    if payment.status is not PaymentStatus.PAID:
        raise errors.PaymentUnpaid(_why_unpaid(payment), status=payment.status.value)
    check_amount(asked.minor, payment.currency)
    paying = payment.attempt(payment.paid_by)
    if paying is None:
        raise errors.PaymentUnpaid
    capabilities = desk.policy[paying.channel]
    if desk.now_ms > (paying.moved_ms or payment.paid_ms) + capabilities.refund_window_ms:
        days = capabilities.refund_window_ms // 86_400_000
        raise errors.RefundTooLate(f"{paying.channel} takes refunds for {days} days", paid_ms=payment.paid_ms)
    if asked.minor > payment.kept:
        raise errors.RefundTooLarge(
            f"minor is {asked.minor}, {payment.kept} is kept", field="minor", kept_minor=payment.kept
        )
    if numbers_taken(payment, paying.no) >= capabilities.refund_count:
        raise errors.RefundsSpent(f"{paying.channel} takes {capabilities.refund_count} refunds of one payment")
    desk.add_refund(
        Refund(refund_no=asked.refund_no, minor=asked.minor, of=paying.no, created_ms=desk.now_ms, note=asked.note)
    )


def _claim(desk: Desk, refund_no: str) -> Refund | None:
    """A refund of this very number whose row was lost, and whose money was then seen to go out: it is this one. Its
    number says so, for it is a hash of the refund's."""
    for number in out_numbers(desk.payment.id, refund_no):
        lost, attempt = desk.payment.refund(OUTSIDE_MARK + number), desk.payment.attempt(number)
        if lost is not None and attempt is not None:
            desk.set_attempt(attempt, refund_no=refund_no)
            return desk.set_refund(lost, refund_no=refund_no, origin=Origin.APP)
    return None


def _why_unpaid(payment: Payment) -> str:
    if unsettled(payment):
        return "whether it was paid is not known yet"
    return f"the payment is {payment.status.value}"
