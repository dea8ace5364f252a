"""Pay: create a payment, start an attempt, hand out its credential."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from oncepay.domain import errors, ids
from oncepay.domain.attempt import Attempt, Call, Reason
from oncepay.domain.change import Hear, Start, Step, StepKind
from oncepay.domain.decide import create as create_change
from oncepay.domain.decide import decide
from oncepay.domain.desk import end_ms, unsettled
from oncepay.domain.fingerprint import check_same_payment, same_attempt
from oncepay.domain.payment import Payment, PaymentStatus
from oncepay.engine.core import GUARD_TRIES, Engine, Extras, apply
from oncepay.engine.pauses import use_of
from oncepay.engine.step import do, next_step, run_due, take
from oncepay.ports import Account, App

LOOK_S: Final = 0.2  # how often to look at what another process is doing for the same attempt
CREDENTIAL_MARGIN_MS: Final = 60_000  # a credential that is about to stop working is renewed


class NewPayment(msgspec.Struct, frozen=True, kw_only=True):
    """What is owed. ``minor``: minor units; ``deadline_ms``: the last moment to pay."""

    order_no: str
    minor: int
    currency: str
    subject: str
    deadline_ms: int
    return_url: str = ""


class NewAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """How it is to be paid. ``account`` may be left out where the channel has just one."""

    channel: str
    method: str
    account: str = ""
    payer: Mapping[str, str] = {}
    options: Mapping[str, Any] = {}
    expires_ms: int = 0


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A payment and, where there is one, the attempt that was asked for with its credential (JSON object text; empty
    while the channel has not answered). ``replayed``: it was there before."""

    payment: Payment
    attempt: Attempt | None = None
    credential: str = ""
    replayed: bool = False


async def create(engine: Engine, app: App, new: NewPayment, attempt: NewAttempt | None) -> Shown:
    """Create the payment of an order, with its first attempt if wanted. The same again returns the same. Raises
    KeyReused when the order number was used for another amount, and what ``start`` raises."""
    ids.check_number(new.order_no, "order_no")
    payment_id = ids.payment_id(engine.ledger.installation, app.id, new.order_no)
    now_ms = engine.clock.now_ms()
    fresh = Payment(
        id=payment_id,
        app=app.id,
        order_no=new.order_no,
        minor=new.minor,
        currency=new.currency,
        subject=new.subject,
        created_ms=now_ms,
        deadline_ms=new.deadline_ms,
        late=app.late,
        unclosable=app.unclosable,
        return_url=new.return_url,
    )
    try:
        asked = _checked(engine, attempt, now_ms) if attempt else None
        change = create_change(fresh, asked, engine.policy, now_ms)
    except errors.OncepayError:  # what could not be made now may have been made before, and even be paid
        stored = await engine.find(payment_id)
        if stored is None:
            raise
        return await _replay(engine, app, new, attempt, stored)
    bodies = await engine.commit(change, extras=_extras(attempt))
    if bodies is None:
        stored = await engine.find(payment_id)
        if stored is not None:
            return await _replay(engine, app, new, attempt, stored)
        # the commit's answer was lost and the store then found nothing of it: it never happened
        raise errors.Busy("the store lost this request; repeat it", order_no=new.order_no)
    payment = change.payment
    if asked is None:
        return Shown(payment=payment)
    payment = await _first_call(engine, payment, payment.attempts[0], bodies)
    return await _until_shown(engine, payment, asked, now_ms + engine.settings.start_budget_ms)


async def _first_call(engine: Engine, payment: Payment, attempt: Attempt, bodies: Mapping[str, bytes]) -> Payment:
    """What brings a new attempt its credential: the call whose intent was committed with it, or nothing but keys."""
    body = bodies[attempt.no]
    if attempt.calls:
        return await do(engine, payment, attempt.no, Call.PREPAY, body=body)
    return await show(engine, payment, attempt, body)


async def show(engine: Engine, payment: Payment, attempt: Attempt, body: bytes | None = None) -> Payment:
    """Make a credential that needs no call, and commit that it is shown: from then on it is as good as sent."""
    body = body or await engine.ledger.body(payment.id, attempt.no)
    if body is None:
        message = f"the first body of {attempt.no} is not stored"
        raise LookupError(message)
    account = engine.directory.account(attempt.account)
    made = engine.channel(attempt.channel).credential(attempt, account, body=body)
    heard = Hear(evidence=(), channel=attempt.channel, account=attempt.account, answers=attempt.no, credential=made)
    return await apply(engine, payment, heard)


async def _replay(engine: Engine, app: App, new: NewPayment, attempt: NewAttempt | None, stored: Payment) -> Shown:
    check_same_payment(stored, new.order_no, app.id, new.minor, new.currency)
    if attempt is None or stored.status is not PaymentStatus.OPEN:
        return Shown(payment=stored, replayed=True)
    shown = await start(engine, stored, attempt)
    return msgspec.structs.replace(shown, replayed=True)


def _extras(attempt: NewAttempt | None) -> Extras:
    return Extras(payer=attempt.payer, options=attempt.options) if attempt else Extras()


def _checked(engine: Engine, new: NewAttempt, now_ms: int) -> Start:
    """The start that a request asks for, after everything was refused that can be refused without the channel."""
    channel = engine.channel(new.channel)
    channel.check_start(new.method, new.payer, new.options)
    account = _account(engine, new)
    paused_ms = engine.pauses.until_ms(account.id, use_of(Call.PREPAY, new.method), now_ms)
    if paused_ms > now_ms:
        raise errors.AccountPaused(account=account.id, until_ms=paused_ms)
    capabilities = channel.capabilities
    until_ms = now_ms + capabilities.call_deadline_ms + engine.settings.call_margin_ms
    return Start(
        channel=new.channel,
        method=new.method,
        account=account.id,
        same=same_attempt(new.channel, new.method, account.id, new.payer),
        expires_ms=new.expires_ms,
        call_until_ms=until_ms if capabilities.by_call(new.method) else 0,
    )


def _account(engine: Engine, new: NewAttempt) -> Account:
    if new.account:
        account = engine.directory.account(new.account)
        if account.channel != new.channel:
            raise errors.AccountAbsent(f"account {new.account!r} is not one of {new.channel}", field="account")
    else:
        accounts = [a for a in engine.directory.accounts(new.channel) if not a.retired]
        if len(accounts) != 1:
            why = "has no account" if not accounts else "has several accounts; name one"
            raise errors.AccountAbsent(f"{new.channel} {why}", field="account")
        account = accounts[0]
    if account.retired:
        raise errors.AccountAbsent(f"account {account.id!r} is retired", field="account")
    return account


async def start(engine: Engine, payment: Payment, new: NewAttempt) -> Shown:
    """Start an attempt, or return the live one that is the same. Anything else is a switch: the old attempt is
    queried, closed at the channel and seen over before the new one starts. Raises PaymentPaid (it was paid
    meanwhile), PaymentClosed, PaymentClosing, AttemptLive (it cannot be closed, by the app's policy)."""
    end = engine.clock.now_ms() + engine.settings.start_budget_ms
    following = True
    for _ in range(GUARD_TRIES):
        now_ms = engine.clock.now_ms()
        force = not following and payment.unclosable == "switch"
        asked = msgspec.structs.replace(_checked(engine, new, now_ms), force=force)
        try:
            change = decide(payment, asked, engine.policy, now_ms)
        except errors.AttemptLive:
            if not following:
                raise
            payment, following = await _follow_to_end(engine, payment, now_ms)
            continue
        if change is None:
            return await _until_shown(engine, payment, asked, end)
        bodies = await engine.commit(change, before=payment, extras=_extras(new))
        if bodies is None:  # what is live now may be another's, and nobody has tried to close that
            payment, following = await engine.load(payment.id), True
            continue
        payment = change.payment
        live = _live(payment, asked)
        if live is None:  # the change superseded what was live before
            payment, following = await _follow_to_end(engine, payment, now_ms)
            continue
        if live.no in bodies:
            payment = await _first_call(engine, payment, live, bodies)
        return await _until_shown(engine, payment, asked, end)
    raise errors.Busy("other changes to this payment keep arriving", payment=payment.id)


async def _follow_to_end(engine: Engine, payment: Payment, now_ms: int) -> tuple[Payment, bool]:
    """Query and close what is superseded, waiting a little for answers; and whether all of it is settled now."""
    budget_ms = engine.settings.start_budget_ms // 2
    payment = await run_due(engine, payment, budget_ms=budget_ms, ahead_ms=budget_ms)
    while _may_settle(engine, payment, now_ms + budget_ms):
        await engine.hub.wait(payment.id, engine.clock.sleep(LOOK_S))
        payment = await engine.load(payment.id)
    return payment, not unsettled(payment)


def _may_settle(engine: Engine, payment: Payment, until_ms: int) -> bool:
    """Whether waiting till then can bring news of what is unsettled: a call is in flight, or one will be made."""
    now_ms = engine.clock.now_ms()
    left = unsettled(payment)
    if not left or now_ms >= until_ms:
        return False
    step = next_step(engine, payment, now_ms)
    return any(a.until_ms > now_ms for a in left) or (step is not None and step.at_ms < until_ms)


def _live(payment: Payment, asked: Start) -> Attempt | None:
    for attempt in reversed(payment.attempts):
        if attempt.incoming and attempt.same == asked.same and not attempt.settled and not attempt.superseded_ms:
            return attempt
    return None


async def _until_shown(engine: Engine, payment: Payment, asked: Start, end: int) -> Shown:
    """Work on the attempt until it has a credential, it cannot have one, or the time is over: then "not known yet"."""
    while True:
        now_ms = engine.clock.now_ms()
        attempt = _live(payment, asked)
        if attempt is None:
            return _settled(payment, asked)
        if _usable(payment, attempt, now_ms):
            return Shown(payment=payment, attempt=attempt, credential=await credential(engine, payment, attempt))
        if now_ms >= end:
            return Shown(payment=payment, attempt=attempt)
        if attempt.until_ms > now_ms:  # another call for it is in flight: somebody else asked for the same
            await engine.hub.wait(payment.id, engine.clock.sleep(LOOK_S))
            payment = await engine.load(payment.id)
        elif not engine.policy[attempt.channel].by_call(attempt.method):
            if attempt.shown_ms:  # it would be the same again
                return Shown(payment=payment, attempt=attempt)
            payment = await show(engine, payment, attempt)
        elif attempt.shown_ms and not engine.policy[attempt.channel].renews(attempt.method):
            return Shown(payment=payment, attempt=attempt)
        elif attempt.shown_ms:  # what was shown has stopped working: the same body again brings a new one
            renew = Step(kind=StepKind.PREPAY, at_ms=now_ms, number=attempt.no, why="the credential is too old")
            payment = await take(engine, payment, renew)
            renewed = payment.attempt(attempt.no)
            if renewed is not None and not _usable(payment, renewed, now_ms) and not renewed.settled:
                return Shown(payment=payment, attempt=renewed)
        else:
            before = payment.rev
            payment = await run_due(engine, payment, budget_ms=end - now_ms, ahead_ms=max(end - now_ms, 0))
            if payment.rev == before:
                return Shown(payment=payment, attempt=attempt)


def _usable(payment: Payment, attempt: Attempt, now_ms: int) -> bool:
    """A credential is handed out only while it works and the payment may be paid by it. One that works for as long as
    the attempt is not replaced before: a new one would work no longer."""
    until_ms = attempt.credential_until_ms
    return (
        attempt.shown_ms > 0
        and (until_ms > now_ms + CREDENTIAL_MARGIN_MS or 0 < attempt.expires_ms <= until_ms)
        and payment.status is PaymentStatus.OPEN
        and now_ms < end_ms(payment, attempt)
    )


def _settled(payment: Payment, asked: Start) -> Shown:
    """The attempt came to an end while it was being started."""
    last = next((a for a in reversed(payment.attempts) if a.incoming and a.same == asked.same), None)
    if last is None or payment.status is not PaymentStatus.OPEN or last.superseded_ms:
        return Shown(payment=payment, attempt=last)
    if last.reason is Reason.REFUSED:
        raise errors.ChannelRefused(
            f"{last.channel} refused: {last.words or last.reason}", outcome="failed", attempt=f"att_{last.no}"
        )
    said = f" ({last.words})" if last.words else ""
    raise errors.ChannelSilent(  # its call came to nothing, and nobody was given anything: the next may fare better
        f"nothing came of {last.no} at {last.channel}{said}; the same request starts another attempt",
        outcome="not_sent",
        attempt=f"att_{last.no}",
    )


async def credential(engine: Engine, payment: Payment, attempt: Attempt) -> str:
    """The credential of an attempt, from what was committed and nothing else."""
    if not attempt.credential_apart:
        return attempt.credential
    return await engine.ledger.credential(payment.id, attempt.no) or ""
