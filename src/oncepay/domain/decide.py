"""decide(payment, input, policy, now) -> Change: the one way in which anything about a payment changes.

Pure: no clock, dice, input or output, so it is free to repeat when the guard was lost, and small enough to explore.
"""

from __future__ import annotations

import msgspec

from oncepay.domain import commands
from oncepay.domain.attempt import Attempt, Reason, Status
from oncepay.domain.begin import begin, is_stale
from oncepay.domain.capabilities import Policy
from oncepay.domain.change import (
    Act,
    Amend,
    AskRefund,
    Begin,
    Change,
    Close,
    Event,
    Handle,
    Hear,
    Input,
    Reopen,
    Start,
    Tick,
)
from oncepay.domain.desk import Desk, end_ms, incoming, never_sent
from oncepay.domain.errors import DeadlineInvalid
from oncepay.domain.handle import handle
from oncepay.domain.hear import hear
from oncepay.domain.ids import case_id
from oncepay.domain.money import check_amount
from oncepay.domain.payment import Payment
from oncepay.domain.plan import plan, raise_at_ms
from oncepay.domain.settle import close_if_over
from oncepay.domain.snapshot import changes, snapshot


def create(payment: Payment, start: Start | None, policy: Policy, now_ms: int) -> Change:
    """The change that makes a payment, with its first attempt when there is one. Raises AmountInvalid,
    DeadlineInvalid, and what ``start`` raises."""
    check_amount(payment.minor, payment.currency)
    if payment.deadline_ms <= now_ms:
        raise DeadlineInvalid("deadline_ms has passed", field="deadline_ms")
    desk = Desk(payment, policy, now_ms)
    if start is not None:
        commands.start(desk, start)
    due = plan(desk.payment, policy, now_ms)
    return Change(rev=0, payment=desk.payment, at_ms=now_ms, due_ms=due.at_ms if due else None)


def decide(payment: Payment, asked: Input, policy: Policy, now_ms: int) -> Change | None:
    """The change that an input makes, or None when it makes none. Refuses a command by raising one of the errors."""
    desk = Desk(payment, policy, now_ms)
    match asked:
        case Hear():
            hear(desk, asked)
        case Begin():
            if is_stale(payment, asked.step, now_ms):
                return None
            begin(desk, asked)
        case Start():
            commands.start(desk, asked)
        case Close():
            commands.close(desk, asked)
        case Reopen():
            commands.reopen(desk, asked)
        case Amend():
            commands.amend(desk, asked)
        case AskRefund():
            commands.ask_refund(desk, asked)
        case Handle():
            handle(desk, asked)
        case Tick():
            pass
    _what_time_does(desk)
    if desk.payment == payment and not desk.cases and not desk.evidence and not desk.acts:
        return None
    return _change(desk, payment)


def _change(desk: Desk, before: Payment) -> Change:
    words = changes(before, desk.payment)
    desk.set(rev=before.rev + 1, version=before.version + bool(words))
    event = None
    if words:
        event = Event(version=desk.payment.version, changes=words, snapshot=snapshot(desk.payment), at_ms=desk.now_ms)
    due = plan(desk.payment, desk.policy, desk.now_ms)
    return Change(
        rev=before.rev,
        payment=desk.payment,
        at_ms=desk.now_ms,
        due_ms=due.at_ms if due else None,
        evidence=tuple(desk.evidence),
        event=event,
        cases=tuple(desk.cases),
        acts=_acts(desk),
        credential=desk.credential,
        urgency="evidence" if desk.evidence else "command",
    )


def _acts(desk: Desk) -> tuple[Act, ...]:
    """What a person did. A case that the very same change raises again is not closed with it."""
    if not desk.acts:
        return ()
    raised = {case_id(case.about, case.kind) for case in desk.cases}
    return tuple(msgspec.structs.replace(a, resolves=a.resolves and a.case_id not in raised) for a in desk.acts)


def _what_time_does(desk: Desk) -> None:
    """Give up what was never sent, call a person, close what is over: on every change, since time passes with it."""
    for attempt in incoming(desk.payment):
        if never_sent(attempt) and desk.now_ms >= end_ms(desk.payment, attempt):
            desk.set_attempt(attempt, status=Status.OVER, reason=Reason.CLOSED, settled_ms=desk.now_ms)
    for attempt in desk.payment.attempts:
        if attempt.settled or attempt.raised:
            continue
        if desk.now_ms >= raise_at_ms(desk.payment, attempt, desk.policy[attempt.channel]):
            _raise_unsettled(desk, attempt)
    close_if_over(desk)


def _raise_unsettled(desk: Desk, attempt: Attempt) -> None:
    kind = "unsettled" if attempt.incoming else "refund_unsettled"
    desk.raise_case(
        kind,
        f"{attempt.channel} has not said how {attempt.no} ended. It is still asked, more and more slowly.",
        number=attempt.no,
        minor=attempt.minor,
        currency=attempt.currency,
    )
    desk.set_attempt(attempt, raised=True)
