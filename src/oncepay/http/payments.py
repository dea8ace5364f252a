"""Payments: create, read, list; attempts; close, reopen, amend; the timeline."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from oncepay.domain import errors
from oncepay.domain.ids import payment_id
from oncepay.domain.payment import Payment
from oncepay.engine import close as closing
from oncepay.engine import pay, story
from oncepay.engine.core import Engine
from oncepay.engine.deliver import event_body
from oncepay.engine.step import ask_now
from oncepay.http import answers, bodies, named, views
from oncepay.http.exchange import Answer, Ask, Context, Reply, Resource, Verb, ok
from oncepay.http.reading import Nothing
from oncepay.ports import Page

DEADLINE_MS: Final = 2 * 3_600_000  # from now, when none is asked for
DEADLINE_MAX_MS: Final = 366 * 86_400_000  # what is further is more likely in other units than meant
LOOK_S: Final = 1.0  # how often a wait looks by itself, for what other processes commit


async def create(ask: Ask[bodies.NewPayment, Nothing]) -> Reply:
    """Create the payment of an order, and start its first attempt when one is given.

    The same `order_no` again is the same payment, with `Oncepay-Replayed: true`; with another amount or currency it is
    refused. 202 says that the channel has not answered yet: the payment is stored and followed; repeat the request, or
    read it, to learn more.
    """
    body, engine, app = ask.body, ask.engine, ask.app
    new = pay.NewPayment(
        order_no=body.order_no,
        minor=body.amount.minor,
        currency=body.amount.currency,
        subject=body.subject,
        deadline_ms=_deadline(body.deadline_ms, engine.clock.now_ms()),
        return_url=body.return_url or "",
    )
    try:
        shown = await pay.create(engine, app, new, _attempt(body.attempt) if body.attempt else None)
    except (errors.ChannelRefused, errors.ChannelSilent) as error:
        error.fields["payment"] = f"pay_{payment_id(engine.ledger.installation, app.id, body.order_no)}"
        raise
    return _started(engine, shown, replayed=shown.replayed)


def _deadline(asked: int | UnsetType, now_ms: int) -> int:
    if asked is UNSET:
        return now_ms + DEADLINE_MS
    if asked > now_ms + DEADLINE_MAX_MS:
        days = DEADLINE_MAX_MS // 86_400_000
        raise errors.DeadlineInvalid(
            f"deadline_ms is more than {days} days ahead; is it in milliseconds?", field="deadline_ms"
        )
    return asked


def _attempt(body: bodies.NewAttempt) -> pay.NewAttempt:
    return pay.NewAttempt(
        channel=body.channel,
        method=body.method,
        account=body.account,
        payer=body.payer,
        options=body.options,
        expires_ms=body.expires_ms or 0,
    )


def _started(engine: Engine, shown: pay.Shown, *, replayed: bool) -> Reply:
    attempt = shown.attempt
    in_doubt = attempt is not None and not attempt.settled and not shown.credential
    status = 202 if in_doubt else 200 if replayed else 201
    seen = views.started(shown.payment, attempt, shown.credential, engine.policy)
    return ok(seen, status, replayed=replayed)


async def start(ask: Ask[bodies.NewAttempt, Nothing]) -> Reply:
    """Start an attempt, or get the live one that is the same, with a credential that works.

    Another channel, method, account or payer is a switch: the earlier attempt is queried and closed at its channel
    before the new one starts. When it was paid meanwhile, the answer is `payment_paid`.
    """
    stored = await named.payment(ask)
    known = {attempt.no for attempt in stored.attempts}
    try:
        shown = await pay.start(ask.engine, stored, _attempt(ask.body))
    except (errors.ChannelRefused, errors.ChannelSilent) as error:
        error.fields["payment"] = f"pay_{stored.id}"
        raise
    return _started(ask.engine, shown, replayed=shown.attempt is not None and shown.attempt.no in known)


async def read(ask: Ask[None, bodies.ReadPayment]) -> Reply:
    """Read a payment; ask the channels first; or wait for it to change."""
    query = ask.query
    stored = await named.payment(ask)
    above = stored.version if query.version is UNSET else query.version
    if query.fresh:
        try:
            stored = await ask_now(ask.engine, stored)
        except errors.Busy:  # others are at it this very moment
            stored = await ask.engine.load(stored.id)
    if query.wait:
        stored = await _newer(ask.context, stored, above, query.wait)
    return ok(views.payment(stored))


async def _newer(context: Context, stored: Payment, above: int, seconds: float) -> Payment:
    """The payment as soon as its version is above ``above``, or as it is when the time is over."""
    loop = asyncio.get_running_loop()
    end = loop.time() + min(seconds, context.max_wait_s)
    while stored.version <= above and (left := end - loop.time()) > 0:
        await context.engine.hub.wait(stored.id, asyncio.sleep(min(left, LOOK_S)))
        stored = await context.engine.load(stored.id)
    return stored


async def listed(ask: Ask[None, bodies.ListPayments]) -> Reply:
    """List payments, newest first; or find the one that was paid under a channel's own number."""
    query, ledger = ask.query, ask.engine.ledger
    until_ms = query.until_ms or 0
    status = query.status.value if query.status else ""
    if query.trade_no:
        ids = await ledger.find_trade(ask.app.id, query.trade_no)
        found = [p for id_ in ids[: query.limit] if (p := await ledger.load(id_)) and p.app == ask.app.id]
        rows, after = [p for p in found if _fits(p, query)], ""
    elif query.until_ms == 0:
        rows, after = [], ""  # to the ledger, 0 is no bound
    else:
        rows, after = await ledger.payments(
            ask.app.id,
            Page(limit=query.limit, after=query.after),
            status=status,
            order_no=query.order_no or "",
            since_ms=query.since_ms,
            until_ms=until_ms,
        )
    return ok(views.page([views.payment(row) for row in rows], after))


def _fits(stored: Payment, query: bodies.ListPayments) -> bool:
    return (
        (not query.status or stored.status is query.status)
        and (not query.order_no or stored.order_no == query.order_no)
        and query.since_ms <= stored.created_ms
        and (query.until_ms is UNSET or stored.created_ms < query.until_ms)
    )


async def close(ask: Ask[bodies.ClosePayment, Nothing]) -> Reply:
    """Give a payment up: no new attempt or credential from now on, live attempts are closed at their channels.

    `closing: true` in the answer says that an attempt may still take money; `payment.changed` tells how it ended.
    """
    stored = await closing.close(ask.engine, await named.payment(ask), ask.body.if_paid)
    return ok(views.payment(stored))


async def reopen(ask: Ask[bodies.ReopenPayment, Nothing]) -> Reply:
    """Make an unpaid closed payment owed again, until a new deadline. Same id, versions go on."""
    deadline_ms = _deadline(ask.body.deadline_ms, ask.engine.clock.now_ms())
    stored = await closing.reopen(ask.engine, await named.payment(ask), deadline_ms)
    return ok(views.payment(stored))


async def amend(ask: Ask[bodies.AmendPayment, Nothing]) -> Reply:
    """Change the amount or the deadline of an open payment while no attempt may take the old amount."""
    body = ask.body
    deadline_ms = None if body.deadline_ms is UNSET else _deadline(body.deadline_ms, ask.engine.clock.now_ms())
    minor = None if body.minor is UNSET else body.minor
    stored = await closing.amend(ask.engine, await named.payment(ask), minor=minor, deadline_ms=deadline_ms)
    return ok(views.payment(stored))


async def timeline(ask: Ask[None, Nothing]) -> Reply:
    """The whole story of a payment with its evidence; why it is in its state, what happens next and when."""
    stored = await named.payment(ask)
    told: dict[str, Any] = {
        "payment": f"pay_{stored.id}",
        "timeline": await story.timeline(ask.engine, stored),
        "explain": story.explain(ask.engine, stored),
    }
    return ok(told)


async def events(ask: Ask[None, Nothing]) -> Reply:
    """All events of a payment, oldest first."""
    stored = await named.payment(ask)
    rows = await ask.engine.ledger.payment_events(stored.id)
    return ok({"data": [msgspec.Raw(event_body(row)) for row in rows]})


# -- the table ---------------------------------------------------------------------------------------------------

_IN_ATTEMPT: Final = {
    name: f"attempt.{name}" for name in ("channel", "method", "account", "payer", "options", "expires_ms")
}
_STARTING: Final = (
    errors.MethodUnknown,
    errors.PayerInvalid,
    errors.DeadlineInvalid,
    errors.AccountAbsent,
    errors.PaymentPaid,
    errors.PaymentClosed,
    errors.PaymentClosing,
    errors.AttemptLive,
    errors.AttemptsSpent,
    errors.Busy,
    errors.Overloaded,
    errors.AccountPaused,
    errors.ChannelRefused,
    errors.ChannelSilent,
    errors.CommitUnknown,
)
_IN_DOUBT: Final = Answer(202, "The channel has not answered yet; the attempt is followed.", answers.PaymentStarted)

CREATE: Final = Verb(
    run=create,
    auth="key",
    summary="Create a payment",
    body=bodies.NewPayment,
    answers=(
        Answer(201, "Created.", answers.PaymentStarted),
        Answer(200, "It was there before.", answers.PaymentStarted),
        _IN_DOUBT,
    ),
    errors=(errors.NumberInvalid, errors.AmountInvalid, errors.KeyReused, *_STARTING),
    money=True,
    paths={"minor": "amount.minor", "currency": "amount.currency", **_IN_ATTEMPT},
)
_CHANGED: Final = (Answer(200, "As it is now.", answers.PaymentSeen),)

RESOURCES: Final = (
    Resource(
        "/v1/payments",
        "payments",
        POST=CREATE,
        GET=Verb(
            run=listed,
            auth="key",
            summary="List payments",
            query=bodies.ListPayments,
            answers=(Answer(200, "A page of payments.", answers.PaymentList),),
        ),
    ),
    Resource(
        "/v1/payments/{payment}",
        "payments",
        GET=Verb(
            run=read,
            auth="key",
            summary="Read a payment",
            query=bodies.ReadPayment,
            answers=_CHANGED,
            errors=(errors.PaymentAbsent,),
        ),
    ),
    Resource(
        "/v1/payments/{payment}/attempts",
        "payments",
        POST=Verb(
            run=start,
            auth="key",
            summary="Start an attempt",
            body=bodies.NewAttempt,
            answers=(
                Answer(201, "Started.", answers.PaymentStarted),
                Answer(200, "The same attempt is live.", answers.PaymentStarted),
                _IN_DOUBT,
            ),
            errors=(errors.PaymentAbsent, *_STARTING),
            money=True,
        ),
    ),
    Resource(
        "/v1/payments/{payment}/close",
        "payments",
        POST=Verb(
            run=close,
            auth="key",
            summary="Close a payment",
            body=bodies.ClosePayment,
            answers=_CHANGED,
            errors=(errors.PaymentAbsent, errors.PaymentPaid, errors.Busy),
            money=True,
        ),
    ),
    Resource(
        "/v1/payments/{payment}/reopen",
        "payments",
        POST=Verb(
            run=reopen,
            auth="key",
            summary="Reopen a closed payment",
            body=bodies.ReopenPayment,
            answers=_CHANGED,
            errors=(
                errors.PaymentAbsent,
                errors.PaymentPaid,
                errors.PaymentOpen,
                errors.DeadlineInvalid,
                errors.Busy,
            ),
            money=True,
        ),
    ),
    Resource(
        "/v1/payments/{payment}/amend",
        "payments",
        POST=Verb(
            run=amend,
            auth="key",
            summary="Amend an open payment",
            body=bodies.AmendPayment,
            answers=_CHANGED,
            errors=(
                errors.PaymentAbsent,
                errors.PaymentPaid,
                errors.PaymentClosed,
                errors.PaymentClosing,
                errors.AttemptLive,
                errors.AmountInvalid,
                errors.DeadlineInvalid,
                errors.Busy,
            ),
            money=True,
        ),
    ),
    Resource(
        "/v1/payments/{payment}/timeline",
        "payments",
        GET=Verb(
            run=timeline,
            auth="key",
            summary="The story of a payment",
            answers=(Answer(200, "Oldest first.", answers.Timeline),),
            errors=(errors.PaymentAbsent,),
        ),
    ),
    Resource(
        "/v1/payments/{payment}/events",
        "payments",
        GET=Verb(
            run=events,
            auth="key",
            summary="The events of a payment",
            answers=(Answer(200, "Oldest first.", answers.PaymentEvents),),
            errors=(errors.PaymentAbsent,),
        ),
    ),
)
