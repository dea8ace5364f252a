"""The loop: load, plan, commit the intent, do the step, decide on the answer, commit; again while due.

The API call that starts an attempt runs it at once; a worker runs the same for whatever is due. Recovery is not a
second code path: what a dead process left behind is simply due. This is the only place where a channel is called.
"""

from __future__ import annotations

from typing import Final

import msgspec

from oncepay.domain.attempt import Attempt, Call, Direction, Fact, Status
from oncepay.domain.change import Begin, Hear, Step, StepKind, Tick
from oncepay.domain.decide import decide
from oncepay.domain.payment import Payment
from oncepay.domain.plan import plan, steps
from oncepay.engine.core import Engine, apply, log
from oncepay.engine.keys import refresh_keys
from oncepay.engine.metrics import CALLS, WORK, labelled
from oncepay.engine.pauses import use_of
from oncepay.ports import Answer, Answered, NotSent, Read


async def run_due(engine: Engine, payment: Payment, *, budget_ms: int, ahead_ms: int = 0) -> Payment:
    """Do what is due, for at most ``budget_ms``; also what falls due within ``ahead_ms``, by waiting for it."""
    end_ms = engine.clock.now_ms() + budget_ms
    while True:
        now_ms = engine.clock.now_ms()
        step = next_step(engine, payment, now_ms)
        if step is None or now_ms >= end_ms:
            return payment
        if step.at_ms > now_ms:
            if step.at_ms - now_ms > ahead_ms:
                return payment
            await engine.hub.wait(payment.id, engine.clock.sleep((step.at_ms - now_ms) / 1000))
            payment = await engine.load(payment.id)
            continue
        payment = await take(engine, payment, step)


async def take(engine: Engine, payment: Payment, step: Step) -> Payment:
    """One step: its intent is committed first. If another road was faster, nothing is done."""
    if step.kind is StepKind.TICK:
        return await apply(engine, payment, Tick())
    about = _about(payment, step)
    if about is None:
        message = f"step {step.kind} of {payment.id} is about nothing we know"
        raise LookupError(message)
    capabilities = engine.policy[about.channel]
    now_ms = engine.clock.now_ms()
    until_ms = now_ms + capabilities.call_deadline_ms + engine.settings.call_margin_ms
    change = decide(payment, Begin(step=step, until_ms=until_ms), engine.policy, now_ms)
    if change is None:
        return payment
    bodies = await engine.commit(change, before=payment)
    if bodies is None:
        return await engine.load(payment.id)
    return await do(engine, change.payment, step.number, Call(step.kind.value), body=bodies.get(step.number))


async def do(engine: Engine, payment: Payment, number: str, call: Call, *, body: bytes | None = None) -> Payment:
    """Make the call whose intent is committed, and take in what it says."""
    started_ms = engine.clock.now_ms()
    attempt = payment.attempt(number)
    if attempt is None:
        message = f"no attempt {number}"
        raise LookupError(message)
    read, raw = await _ask(engine, payment, attempt, call, body)
    heard = Hear(
        evidence=read.evidence,
        channel=attempt.channel,
        account=attempt.account,
        answers=number,
        call_no=attempt.calls if call in {Call.PREPAY, Call.REFUND} else 0,
        asked_ms=started_ms,
        credential=read.credential,
    )
    engine.pauses.hear(attempt, call, read.evidence, engine.clock.now_ms())
    payment = await apply(engine, payment, heard, raw=raw)
    WORK.observe((engine.clock.now_ms() - started_ms) / 1000)
    return payment


async def _ask(
    engine: Engine, payment: Payment, attempt: Attempt, call: Call, body: bytes | None
) -> tuple[Read, bytes]:
    channel = engine.channels[attempt.channel]
    account = engine.directory.account(attempt.account)
    if body is None and call in {Call.PREPAY, Call.REFUND}:
        body = await engine.ledger.body(payment.id, attempt.no)
        if body is None:
            message = f"the first body of {attempt.no} is not stored"
            raise LookupError(message)
    capabilities = channel.capabilities
    if not await engine.ceiling.admits(account.id, capabilities.calls_per_s):
        answer: Answer = NotSent(why="more calls wait for this account than may be made in a second")
    elif attempt.until_ms <= engine.clock.now_ms():  # we stood still; what was done since relies on its being over
        answer = NotSent(why="the time of this call was over before it was made")
    else:
        request = channel.build(
            call,
            attempt,
            account,
            body=body or b"",
            now_ms=engine.clock.now_ms(),
            nonce=engine.dice.token(),
            host=_host(attempt, call),
        )
        answer = await engine.transport.send(request, capabilities.call_deadline_ms / 1000)
    read = channel.read(call, answer, attempt, account, now_ms=engine.clock.now_ms(), nonce=engine.dice.token())
    if read.refresh:
        refresh_keys(engine, account)
    outcome = str(answer.status) if isinstance(answer, Answered) else type(answer).__name__
    labelled(CALLS, attempt.channel, call.value, outcome).inc()
    if not isinstance(answer, Answered):
        log.info("call.unanswered number=%s call=%s outcome=%s why=%s", attempt.no, call.value, outcome, answer.why)
    return read, answer.body if isinstance(answer, Answered) else b""


def _host(attempt: Attempt, call: Call) -> int:
    """Which of the vendor's hosts: a paying call moves on with each call, others when the last was not answered."""
    if call in {Call.PREPAY, Call.REFUND}:
        return attempt.calls - 1
    return 1 if attempt.fact is Fact.SILENT else 0


def _about(payment: Payment, step: Step) -> Attempt | None:
    """The attempt that a step is about; of a refund's next number, which is not there yet, the one that it reverses."""
    attempt = payment.attempt(step.number)
    if attempt is None and (refund := payment.refund(step.refund_no)) is not None:
        attempt = payment.attempt(refund.of)
    return attempt


# -- an account that the channel turns away ----------------------------------------------------------------------


def paused_until_ms(engine: Engine, payment: Payment, step: Step, now_ms: int) -> int:
    """Until when a step waits for its account; 0 if it does not."""
    attempt = _about(payment, step)
    return engine.pauses.until_ms(attempt.account, use_of(step.kind, attempt.method), now_ms) if attempt else 0


def next_step(engine: Engine, payment: Payment, now_ms: int) -> Step | None:
    """As ``plan``, but what waits for its account is not due before that, and holds up nothing else: a refund without
    a balance must not keep us from a page that somebody is about to pay."""
    if not engine.pauses:
        return plan(payment, engine.policy, now_ms)
    planned = (
        (max(step.at_ms, paused_until_ms(engine, payment, step, now_ms)), step)
        for step in steps(payment, engine.policy, now_ms)
    )
    at_ms, step = min(planned, key=lambda pair: pair[0], default=(0, None))
    return msgspec.structs.replace(step, at_ms=at_ms) if step else None


# -- asking afresh -----------------------------------------------------------------------------------------------


async def ask_now(engine: Engine, payment: Payment) -> Payment:
    """Ask the channel at once about all that may still bring money, and about the money that paid, of which some may
    have gone back without us: when the payer comes back, or the app wants a fresh answer. At most once in
    ``fresh_gap_ms`` a payment, and never while a call is in flight."""
    now_ms = engine.clock.now_ms()
    last_ms = max((a.asked_ms for a in payment.attempts if a.asked in QUERIES), default=0)
    if now_ms - last_ms < engine.settings.fresh_gap_ms:
        return payment
    asking = [a for a in payment.attempts if askable(a, now_ms)]
    paying = payment.attempt(payment.paid_by)
    if paying is not None and paying.until_ms <= now_ms:
        asking.append(paying)
    for attempt in asking:
        kind = StepKind.QUERY if attempt.direction is Direction.IN else StepKind.QUERY_REFUND
        payment = await take(engine, payment, Step(kind=kind, at_ms=now_ms, number=attempt.no, why="asked afresh"))
    return await run_due(engine, payment, budget_ms=engine.settings.start_budget_ms)


QUERIES: Final = frozenset({Call.QUERY, Call.QUERY_REFUND})


def askable(attempt: Attempt, now_ms: int) -> bool:
    """Whether a question about an attempt can bring news: it was sent, is not known to have succeeded, is not in
    flight."""
    sent = attempt.calls > 0 or attempt.shown_ms > 0
    return sent and attempt.status is not Status.SUCCEEDED and attempt.until_ms <= now_ms
