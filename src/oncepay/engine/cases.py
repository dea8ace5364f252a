"""Cases: what a person must look at, and what a person does with it. Every verb is recorded with who and why, in the
same commit as what it changes, and decided by the same core as everything else."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from oncepay.domain.attempt import Attempt, Call, Status
from oncepay.domain.change import Act, Begin, Change, Input, Step, StepKind, Verb
from oncepay.domain.decide import decide
from oncepay.domain.desk import in_doubt
from oncepay.domain.errors import Busy, CaseAbsent, Conflict, Invalid, OncepayError, VerbUnfit
from oncepay.domain.ids import hashed, payment_of
from oncepay.domain.payment import Payment
from oncepay.domain.plan import steps
from oncepay.domain.subject import handling, refund_of
from oncepay.engine.core import GUARD_TRIES, Engine, log
from oncepay.engine.intake import take_in_kept
from oncepay.engine.step import do, run_due
from oncepay.engine.story import step_ahead
from oncepay.ports import CaseRow, EvidenceRow

TEXT_MAX: Final = 2_000  # characters of a reason, and of evidence
ACTOR_MAX: Final = 160
NUMBER_MAX: Final = 64
CALLING: Final = frozenset({Verb.QUERY, Verb.CLOSE, Verb.CANCEL, Verb.RETRY})
DECIDING: Final = frozenset({Verb.ACCEPT, Verb.REFUND, Verb.SETTLE})  # on money: the channel is asked first

BY_ITSELF: Final[Mapping[str, str]] = {
    "unsettled": "It is asked on, more and more slowly.",
    "refund_unsettled": "It is asked on, daily for thirty days, then more and more slowly; its amount stays reserved.",
    "refund_abnormal": "It is asked on; the refund is done when the channel says so, its amount stays reserved.",
    "refund_stuck": "Surplus is tried on; a refund of the app's has failed, and its amount is free.",
    "refunded_too_much": "Nothing: the money is gone, and recorded.",
    "outside_refund": "What went back is recorded when the channel says how much it was.",
    "debited_late": "The channel sends it back by itself.",
    "contradiction": "Nothing: it stays succeeded.",
    "wrong_content": "The attempt is followed as ever. Money that is with us goes back thirty days before the channel's"
    " window for refunds ends, if the channel then says that it moved.",
    "unplaced_money": "Nothing.",
    "account_account": "Calls of the refused kind wait a minute at most; it ends when a call is answered.",
    "account_balance": "The same number is tried again by the refund's timetable.",
    "poisoned": "All is kept, and tried hourly.",
}


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a person wants done with a case. ``evidence``, ``trade_no`` (the channel's own number): what shows what no
    channel has told us. ``minor``: how much it was, where the case does not say."""

    verb: Verb
    actor: str
    reason: str
    evidence: str = ""
    trade_no: str = ""
    minor: int | None = None


async def act(engine: Engine, row: CaseRow, wish: Wish) -> bool:
    """Do it, with the calls that belong to it. False: it was done before, and nothing was done now. Raises VerbUnfit
    when it makes no sense as things stand, Conflict for a case that is closed already, Invalid, what ``decide``
    raises."""
    record = _record(engine, row, wish)
    if wish.verb is Verb.NOTE:
        return await engine.ledger.add_act(record)
    if wish.verb is Verb.RESOLVE:
        return await _resolve(engine, record)
    if not row.payment_id:
        return await _on_account(engine, row, record)
    payment = await engine.load(row.payment_id)
    if wish.verb is Verb.RETRY and row.kind == "poisoned":
        return await _bring_on(engine, payment, record)
    if wish.verb in DECIDING:
        payment = await _ask_first(engine, payment, row, wish.verb)
    return await _handle(engine, payment, record, row.data, wish)


def _record(engine: Engine, row: CaseRow, wish: Wish) -> Act:
    reason, actor = _text("reason", wish.reason, TEXT_MAX), _text("actor", wish.actor, ACTOR_MAX)
    evidence, trade_no = _text("evidence", wish.evidence, TEXT_MAX), _text("trade_no", wish.trade_no, NUMBER_MAX)
    for field, said in (("reason", reason), ("actor", actor)):
        if not said:
            raise Invalid(f"{field} is empty", field=field)
    for field, said in (("actor", actor), ("trade_no", trade_no)):
        if not said.isprintable():
            raise Invalid(f"{field} holds what cannot be printed", field=field)
    said_once = wish.verb is Verb.NOTE  # the same note again is the same note; the same question is another one
    return Act(
        id=hashed(26, row.id, wish.verb, actor, reason) if said_once else engine.dice.token(),
        case_id=row.id,
        payment_id=row.payment_id,
        verb=wish.verb,
        actor=actor,
        reason=reason,
        evidence="; ".join(part for part in (evidence, f"trade_no {trade_no}" if trade_no else "") if part),
        at_ms=engine.clock.now_ms(),
    )


def _text(field: str, text: str, most: int) -> str:
    if len(text) > most:
        raise Invalid(f"{field} has more than {most} characters", field=field)
    return text.strip()


async def _resolve(engine: Engine, record: Act) -> bool:
    if await engine.ledger.resolve_case(record):
        log.info("case.handled case=%s verb=%s actor=%s", record.case_id, record.verb, record.actor)
        return True
    row = await engine.ledger.case(record.case_id)
    if row is None:
        raise CaseAbsent
    if row.note != record.reason:
        raise Conflict("the case is closed already", case=f"case_{row.id}")
    return False


async def _ask_first(engine: Engine, payment: Payment, row: CaseRow, verb: Verb) -> Payment:
    """The channel's word goes before a person's: it is asked about what is not known to have succeeded. If it says how
    it was, the core takes that in, and refuses what does not fit. Silence stops nobody who has evidence; but nothing
    goes back that the channel does not speak of just so, now."""
    attempt = _in_question(payment, row)
    if attempt is None:
        return payment
    kind = StepKind.QUERY if attempt.incoming else StepKind.QUERY_REFUND
    now_ms = engine.clock.now_ms()
    until_ms = now_ms + engine.policy[attempt.channel].call_deadline_ms + engine.settings.call_margin_ms
    step = Step(kind=kind, at_ms=now_ms, number=attempt.no, why="a person is about to decide on it")
    change, _ = await _commit(engine, payment, Begin(step=step, until_ms=until_ms))
    if change is not None:
        payment = await do(engine, change.payment, attempt.no, Call(kind.value))
    asked = payment.attempt(attempt.no)
    if verb is Verb.REFUND and attempt.incoming and asked is not None and asked.status is not Status.SUCCEEDED:
        again = await engine.ledger.case(row.id)
        if again is None or again.seen == row.seen:
            said = f"it says {asked.fact.value}" if asked.fact is not None else "it says nothing"
            raise VerbUnfit(f"{attempt.channel} was asked and does not say that this money moved: {said}")
    return payment


def _in_question(payment: Payment, row: CaseRow) -> Attempt | None:
    """The attempt that the channel can be asked about, if how it ended is not for certain."""
    refund = refund_of(payment, row.data.get("number", ""), row.data.get("refund_no", ""))
    if refund is not None:
        return next(iter(in_doubt(payment, refund_no=refund.refund_no)), None)
    attempt = payment.attempt(row.data.get("number", ""))
    if attempt is None or attempt.status is Status.SUCCEEDED or not (attempt.calls or attempt.shown_ms):
        return None
    return attempt


async def _handle(engine: Engine, payment: Payment, record: Act, data: Mapping[str, Any], wish: Wish) -> bool:
    """Decide, commit, make the call whose intent was committed, and go on with what is due then."""
    margin_ms = engine.settings.call_margin_ms
    asked = handling(record, data, minor=wish.minor, trade_no=wish.trade_no.strip(), margin_ms=margin_ms)
    change, bodies = await _commit(engine, payment, asked)
    if change is None or not change.acts:
        return False
    payment = change.payment
    attempt = payment.attempt(change.acts[0].number)
    if attempt is not None and attempt.asked is not None and _calls(wish.verb, attempt):
        if wish.verb is Verb.RETRY:
            engine.pauses.lift(attempt.account)
        payment = await do(engine, payment, attempt.no, attempt.asked, body=bodies.get(attempt.no))
    await run_due(engine, payment, budget_ms=engine.settings.start_budget_ms)
    return True


async def _commit(engine: Engine, payment: Payment, asked: Input) -> tuple[Change | None, Mapping[str, bytes]]:
    """Decide and commit, again from what is stored when another road got there first; with the first bodies by number.
    None when it changes nothing. Raises what ``decide`` raises, Busy."""
    for _ in range(GUARD_TRIES):
        change = decide(payment, asked, engine.policy, engine.clock.now_ms())
        bodies = await engine.commit(change, before=payment) if change is not None else {}
        if bodies is not None:
            return change, bodies
        payment = await engine.load(payment.id)
    raise Busy("other changes to this payment keep arriving", payment=payment.id)


def _calls(verb: Verb, attempt: Attempt) -> bool:
    return verb in CALLING or (verb is Verb.REFUND and not attempt.incoming)


async def _on_account(engine: Engine, row: CaseRow, record: Act) -> bool:
    """A case about an account names the first payment that it stopped: that one is brought on, and shows whether the
    account is well again. Money that fits no payment has nothing that a verb could change."""
    payment_id = payment_of(str(row.data.get("number", "")))
    payment = await engine.ledger.load(payment_id) if payment_id else None
    if payment is None or record.verb not in {Verb.QUERY, Verb.RETRY}:
        raise VerbUnfit("the case is about no payment of ours: note what was found and done, and resolve")
    record = msgspec.structs.replace(record, payment_id=payment.id)
    wish = Wish(verb=record.verb, actor=record.actor, reason=record.reason)
    return await _handle(engine, payment, record, {"number": row.data["number"]}, wish)


async def _bring_on(engine: Engine, payment: Payment, record: Act) -> bool:
    """The core raised on this payment: try again what was kept, then whatever is due. Recorded before it is tried, for
    it may raise again."""
    kept = await engine.ledger.unapplied([payment.id])
    did = f"{len(kept)} kept messages are taken in again." if kept else "nothing is kept; the payment is brought on."
    await engine.ledger.add_act(msgspec.structs.replace(record, did=did))
    try:
        payment = await take_in_kept(engine, payment, kept)
        await run_due(engine, payment, budget_ms=engine.settings.start_budget_ms)
    except OncepayError:
        raise
    except Exception as error:
        log.exception("payment.poisoned payment=%s", payment.id)
        raise VerbUnfit(f"the core raises still ({type(error).__name__}: {error}); all is kept") from error
    return True


# -- what there is to see ----------------------------------------------------------------------------------------


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """A case as a person sees it. ``minor``, ``currency``: the money at risk, None and "" where there is none to name.
    ``by_itself``: what happens if nobody does anything. ``ahead``: the next step for what it is about (as
    ``story.step_ahead``), None where there is none."""

    row: CaseRow
    age_ms: int
    minor: int | None
    currency: str
    by_itself: str
    ahead: dict[str, Any] | None


async def look(engine: Engine, rows: Sequence[CaseRow]) -> list[Look]:
    """What a person needs to see of these cases."""
    payments = await asyncio.gather(*(_payment_of(engine, row) for row in rows))
    return [_look(engine, row, payment) for row, payment in zip(rows, payments, strict=True)]


async def _payment_of(engine: Engine, row: CaseRow) -> Payment | None:
    return await engine.ledger.load(row.payment_id) if row.payment_id else None


def _look(engine: Engine, row: CaseRow, payment: Payment | None) -> Look:
    now_ms = engine.clock.now_ms()
    minor, currency = at_risk(row, payment)
    is_open = row.status == "open"
    return Look(
        row=row,
        age_ms=max(now_ms - row.opened_ms, 0),
        minor=minor,
        currency=currency,
        by_itself=BY_ITSELF.get(row.kind, "Nothing.") if is_open else "",
        ahead=_ahead(engine, row, payment, now_ms) if is_open and payment is not None else None,
    )


def at_risk(row: CaseRow, payment: Payment | None) -> tuple[int | None, str]:
    """The money that a case is about: as its data say, or its refund's, its attempt's, its payment's."""
    data = row.data
    told = next(iter(data.get("evidence", ())), data)  # money that fits no payment holds what was said
    minor, currency = told.get("minor"), told.get("currency") or ""
    if payment is None:
        return minor, currency
    refund = payment.refund(data.get("refund_no", ""))
    attempt = payment.attempt(refund.of if refund is not None else data.get("number", ""))
    if minor is None:
        minor = refund.minor if refund is not None else attempt.minor if attempt is not None else payment.minor
    return minor, currency or (attempt.currency if attempt is not None else payment.currency)


def _ahead(engine: Engine, row: CaseRow, payment: Payment, now_ms: int) -> dict[str, Any] | None:
    try:
        ahead = sorted(steps(payment, engine.policy, now_ms), key=lambda step: step.at_ms)
    except Exception:  # a payment on which the core raises must not hide the others
        return None
    numbers = _numbers(row, payment)
    fitting = [step for step in ahead if not numbers or step.number in numbers or step.refund_no in numbers]
    return step_ahead(engine, payment, fitting[0], now_ms) if fitting else None


def _numbers(row: CaseRow, payment: Payment) -> set[str]:
    """All numbers that a case is about: of its attempt, or of its refund and that one's tries. Empty: all there are."""
    number = row.data.get("number", "")
    refund = refund_of(payment, number, row.data.get("refund_no", ""))
    if refund is None:
        return {number} - {""}
    return {refund.refund_no, *(a.no for a in payment.attempts if a.refund_no == refund.refund_no)}


async def evidence(engine: Engine, row: CaseRow) -> list[EvidenceRow]:
    """What channels said of what a case is about, oldest first."""
    payment = await _payment_of(engine, row)
    if payment is None:
        return []
    numbers = _numbers(row, payment)
    return [known for known in await engine.ledger.evidence(payment.id) if not numbers or known.number in numbers]
