"""The story of a payment: what happened, from what was stored; why it is where it is, and what comes next."""

from __future__ import annotations

from typing import Any, Final

from oncepay.domain.attempt import Attempt, Direction, Status
from oncepay.domain.change import Act, Step, Verb
from oncepay.domain.payment import Payment, PaymentStatus
from oncepay.domain.plan import steps
from oncepay.engine.audit import deliveries_of
from oncepay.engine.core import Engine
from oncepay.engine.step import paused_until_ms
from oncepay.ports import Page

DONE: Final = {
    Verb.QUERY: "queried",
    Verb.CLOSE: "closed_at_channel",
    Verb.CANCEL: "cancelled",
    Verb.ACCEPT: "accepted",
    Verb.REFUND: "refunded",
    Verb.SETTLE: "settled",
    Verb.RETRY: "retried",
    Verb.NOTE: "noted",
    Verb.RESOLVE: "resolved",
}


async def timeline(engine: Engine, payment: Payment) -> list[dict[str, Any]]:
    """Everything that is known to have happened, oldest first. Each entry: ``at_ms``, ``what`` (one word of the
    architecture and a verb), and what belongs to it. JSON types only."""
    ledger = engine.ledger
    entries: list[dict[str, Any]] = [
        {"at_ms": payment.created_ms, "what": "payment.created", "minor": payment.minor, "currency": payment.currency}
    ]
    for attempt in payment.attempts:
        entries.extend(_of_attempt(attempt))
    entries.extend(
        {
            "at_ms": row.at_ms,
            "what": "evidence.taken",
            "attempt": f"att_{row.number}",
            "road": row.road,
            "fact": row.fact,
            "words": row.words,
            "trade_no": row.trade_no,
            "minor": row.minor,
            "wrong": row.wrong,
        }
        for row in await ledger.evidence(payment.id)
    )
    events = await ledger.payment_events(payment.id)
    entries.extend(
        {
            "at_ms": row.at_ms,
            "what": "event.written",
            "event": f"evt_{row.payment_id}_{row.version}",
            "version": row.version,
            "changes": list(row.changes),
        }
        for row in events
    )
    written_ms = {row.version: row.at_ms for row in events}
    entries.extend(
        {
            "at_ms": written_ms.get(row.version, payment.created_ms),
            "what": f"delivery.{row.status}",
            "event": f"evt_{row.payment_id}_{row.version}",
            "endpoint": row.endpoint_id,
            "tries": row.tries,
            "last": row.last,
            "due_ms": row.due_ms,
        }
        for row in await deliveries_of(ledger, payment)
    )
    cases, _ = await ledger.cases(Page(limit=100), status="", payment_id=payment.id)
    entries.extend(
        {
            "at_ms": row.opened_ms,
            "what": "case.opened",
            "case": f"case_{row.id}",
            "kind": row.kind,
            "status": row.status,
            "text": row.text,
            "note": row.note,
        }
        for row in cases
    )
    entries.extend(_of_act(act) for act in await ledger.payment_acts(payment.id))
    return sorted(entries, key=lambda entry: entry["at_ms"])  # stable: what came of one commit stays in order


def _of_attempt(attempt: Attempt) -> list[dict[str, Any]]:
    about = {"attempt": f"att_{attempt.no}", "channel": attempt.channel}
    what = "attempt" if attempt.direction is Direction.IN else "refund"
    found = [
        {
            **about,
            "at_ms": attempt.created_ms,
            "what": f"{what}.started",
            "method": attempt.method,
            "minor": attempt.asked_minor or attempt.minor,
            "refund_no": attempt.refund_no,
        }
    ]
    if attempt.shown_ms:
        found.append({**about, "at_ms": attempt.shown_ms, "what": "credential.shown"})
    if attempt.superseded_ms:
        found.append({**about, "at_ms": attempt.superseded_ms, "what": "attempt.superseded"})
    if attempt.settled_ms:
        reason = attempt.reason.value
        found.append({**about, "at_ms": attempt.settled_ms, "what": f"{what}.{attempt.status.value}", "reason": reason})
    return found


def _of_act(act: Act) -> dict[str, Any]:
    return {
        "at_ms": act.at_ms,
        "what": f"case.{DONE[act.verb]}",
        "case": f"case_{act.case_id}",
        "actor": act.actor,
        "reason": act.reason,
        "evidence": act.evidence,
        "attempt": f"att_{act.number}" if act.number else "",
        "did": act.did,
    }


def explain(engine: Engine, payment: Payment) -> dict[str, Any]:
    """Why a payment is in its state, and what happens next and when. ``next``: every step that lies ahead, earliest
    first, in the order in which it will be done."""
    now_ms = engine.clock.now_ms()
    ahead = sorted(steps(payment, engine.policy, now_ms), key=lambda step: step.at_ms)
    return {
        "status": payment.status.value,
        "why": [_why(payment), *(_why_attempt(attempt) for attempt in payment.attempts)],
        "next": [step_ahead(engine, payment, step, now_ms) for step in ahead],
    }


def step_ahead(engine: Engine, payment: Payment, step: Step, now_ms: int) -> dict[str, Any]:
    """A step that will be done, for people. JSON types only."""
    return {
        "what": step.kind.value,
        "at_ms": step.at_ms,
        "in_s": round((step.at_ms - now_ms) / 1000, 1),
        "attempt": f"att_{step.number}" if step.number else None,
        "why": step.why,
        "paused_until_ms": paused_until_ms(engine, payment, step, now_ms) or None,
    }


def _why(payment: Payment) -> str:
    if payment.status is PaymentStatus.PAID:
        return f"It is paid: attempt {payment.paid_by} moved the money."
    if payment.status is PaymentStatus.CLOSED:
        return "Its deadline passed with nothing on its way." if payment.expired else "The app closed it."
    if payment.closing_ms:
        return "The app wants it closed; an attempt may still take money, so it is not closed yet."
    if not payment.attempts:
        return "It is open: no attempt was made to pay it."
    return "It is open: no attempt has moved its money."


def _why_attempt(attempt: Attempt) -> str:
    name = f"{attempt.no} ({attempt.channel}{' ' + attempt.method if attempt.method else ''})"
    said = f", the channel last said {attempt.fact.value}" if attempt.fact else ""
    words = f" ({attempt.words})" if attempt.words else ""
    match attempt.status:
        case Status.SUCCEEDED:
            return f"{name} succeeded as {attempt.trade_no or 'unnamed'}."
        case Status.OVER:
            return f"{name} is over: {attempt.reason.value or 'closed'}{words}."
        case Status.SENT:
            return f"{name} is with the channel{said}{words}."
        case Status.UNKNOWN:
            return f"{name} is in doubt: {attempt.calls} calls made{said}{words}."
        case Status.CREATED:
            return f"{name} is not sent yet." if not attempt.calls else f"{name} is being sent."
