"""Answers, made of what is stored: dicts of the shapes that ``answers.py`` declares."""

from __future__ import annotations

from typing import Any

import msgspec

from oncepay.domain.attempt import Attempt
from oncepay.domain.capabilities import Policy
from oncepay.domain.change import Act
from oncepay.domain.commands import why_unclosed
from oncepay.domain.desk import unsettled
from oncepay.domain.ids import refund_id
from oncepay.domain.payment import Payment, Refund
from oncepay.domain.snapshot import snapshot
from oncepay.engine import cases
from oncepay.engine.cases import Look
from oncepay.engine.core import Engine
from oncepay.ports import CaseRow, DeliveryRow, Endpoint, EvidenceRow


def payment(stored: Payment) -> dict[str, Any]:
    """PaymentSeen."""
    seen = snapshot(stored)
    seen["attempts"] = [attempt(a) for a in stored.attempts if a.incoming]
    return seen


def started(stored: Payment, asked: Attempt | None, credential: str, policy: Policy) -> dict[str, Any]:
    """PaymentStarted. ``credential``: JSON object text, or empty."""
    seen = payment(stored)
    if asked is None:
        seen["attempt"] = None
        return seen
    view = attempt(asked)
    view["credential"] = msgspec.Raw(credential.encode()) if credential else None
    view["credential_until_ms"] = asked.credential_until_ms if credential else None
    view["risk"] = _risk(stored, asked, policy)
    seen["attempt"] = view
    return seen


def _risk(stored: Payment, asked: Attempt, policy: Policy) -> str | None:
    """Which earlier attempts may still take money although this one was started, and why."""
    if asked.superseded_ms:
        return None
    left = [a for a in unsettled(stored) if a.superseded_ms and a.shown_ms]
    if not left:
        return None
    which = "; ".join(f"att_{a.no}: {why_unclosed(a, policy[a.channel])}" for a in left)
    return f"An earlier attempt may still take money ({which}). If it does, that money goes back by itself."


def attempt(a: Attempt) -> dict[str, Any]:
    """AttemptSeen."""
    return {
        "id": f"att_{a.no}",
        "channel": a.channel,
        "method": a.method,
        "account": a.account,
        "status": a.status.value,
        "reason": a.reason.value or None,
        "words": a.words,
        "minor": a.minor,
        "currency": a.currency,
        "created_ms": a.created_ms,
        "expires_ms": a.expires_ms,
        "shown_ms": a.shown_ms or None,
        "superseded": a.superseded_ms > 0,
        "settled_ms": a.settled_ms or None,
        "trade_no": a.trade_no or None,
    }


def refund(stored: Payment, r: Refund) -> dict[str, Any]:
    """RefundView."""
    paying = stored.attempt(r.of)
    return {
        "id": f"ref_{refund_id(stored.id, r.refund_no)}",
        "payment": f"pay_{stored.id}",
        "order_no": stored.order_no,
        "refund_no": r.refund_no,
        "minor": r.minor,
        "currency": paying.currency if paying else stored.currency,
        "status": r.status.value,
        "origin": r.origin.value,
        "why": r.why,
        "note": r.note,
        "created_ms": r.created_ms,
        "settled_ms": r.settled_ms or None,
        "tries": [
            {
                "id": f"att_{a.no}",
                "status": a.status.value,
                "words": a.words,
                "created_ms": a.created_ms,
                "settled_ms": a.settled_ms or None,
            }
            for a in stored.attempts
            if a.refund_no == r.refund_no and not a.incoming
        ],
    }


def endpoint(e: Endpoint) -> dict[str, Any]:
    """EndpointView."""
    return {"id": e.id, "url": e.url, "disabled": e.disabled or None, "created_ms": e.created_ms}


def delivery(row: DeliveryRow) -> dict[str, Any]:
    """DeliveryView."""
    return {
        "id": f"dlv_{row.payment_id}_{row.version}_{row.endpoint_id}",
        "event": f"evt_{row.payment_id}_{row.version}",
        "payment": f"pay_{row.payment_id}",
        "version": row.version,
        "endpoint": row.endpoint_id,
        "status": row.status,
        "tries": row.tries,
        "due_ms": row.due_ms,
        "last": row.last,
    }


def case(seen: Look) -> dict[str, Any]:
    """CaseView."""
    row = seen.row
    ahead_ms = seen.ahead["at_ms"] if seen.ahead else None
    return {
        "id": f"case_{row.id}",
        "kind": row.kind,
        "status": row.status,
        "text": row.text,
        "payment": f"pay_{row.payment_id}" if row.payment_id else None,
        "opened_ms": row.opened_ms,
        "age_ms": seen.age_ms,
        "due_ms": row.due_ms or ahead_ms,
        "by_itself": seen.by_itself,
        "next": seen.ahead,
        "at_risk": {"minor": seen.minor, "currency": seen.currency} if seen.minor is not None else None,
        "seen": row.seen,
        "note": row.note,
        "data": row.data,
    }


async def case_seen(engine: Engine, row: CaseRow) -> dict[str, Any]:
    """CaseSeen."""
    (seen,) = await cases.look(engine, [row])
    view = case(seen)
    view["evidence"] = [evidence(known) for known in await cases.evidence(engine, row)]
    view["acts"] = [act(done) for done in await engine.ledger.acts(row.id)]
    return view


def evidence(row: EvidenceRow) -> dict[str, Any]:
    """EvidenceSeen."""
    return {
        "at_ms": row.at_ms,
        "number": row.number,
        "account": row.account,
        "road": row.road,
        "fact": row.fact,
        "words": row.words,
        "minor": row.minor,
        "currency": row.currency,
        "trade_no": row.trade_no,
        "channel_ms": row.channel_ms or None,
        "wrong": row.wrong,
        "digest": row.digest,
    }


def act(done: Act) -> dict[str, Any]:
    """ActSeen."""
    return {
        "at_ms": done.at_ms,
        "verb": done.verb.value,
        "actor": done.actor,
        "reason": done.reason,
        "evidence": done.evidence,
        "attempt": f"att_{done.number}" if done.number else None,
        "did": done.did,
    }


def page(rows: list[dict[str, Any]], after: str) -> dict[str, Any]:
    """Listed."""
    return {"data": rows, "next": after or None}
