"""The intent of a call: what is committed before it is made, and whether it should still be made at all."""

from __future__ import annotations

from oncepay.domain.attempt import Call
from oncepay.domain.change import Begin, Step, StepKind
from oncepay.domain.desk import Desk, end_ms
from oncepay.domain.errors import Busy
from oncepay.domain.payment import Payment
from oncepay.domain.settle import add_try, may_try


def is_stale(payment: Payment, step: Step, now_ms: int) -> bool:
    """Whether the world went on since the step was planned: then its call must not be made."""
    attempt = payment.attempt(step.number)
    if step.kind is StepKind.REFUND and attempt is None:
        return not may_try(payment, step.refund_no)
    if attempt is None:
        return True
    if step.kind is StepKind.PREPAY:
        return attempt.settled or now_ms >= end_ms(payment, attempt)
    return attempt.settled and step.kind in {StepKind.CLOSE, StepKind.CANCEL, StepKind.REFUND}


def begin(desk: Desk, begun: Begin) -> None:
    """Note the call that is about to be made. Raises Busy while another call for the same number is in flight."""
    step = begun.step
    attempt = desk.payment.attempt(step.number)
    if attempt is None:
        add_try(desk, step.refund_no, step.number, until_ms=begun.until_ms)
        return
    if attempt.until_ms > desk.now_ms:
        raise Busy("a call for this attempt is in flight", until_ms=attempt.until_ms)
    pays = step.kind in {StepKind.PREPAY, StepKind.REFUND}
    desk.set_attempt(
        attempt,
        asked=Call(step.kind.value),
        asked_ms=desk.now_ms,
        until_ms=begun.until_ms,
        calls=attempt.calls + pays,
    )
