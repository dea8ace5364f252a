"""Deliveries: events on their way to endpoints, above all those that did not arrive."""

from __future__ import annotations

from typing import Final

from oncepay.domain import errors
from oncepay.engine.wake import DELIVERIES
from oncepay.http import answers, bodies, named, views
from oncepay.http.exchange import Answer, Ask, Reply, Resource, Verb, ok
from oncepay.http.reading import Nothing
from oncepay.ports import Page


async def listed(ask: Ask[None, bodies.ListDeliveries]) -> Reply:
    """List deliveries: `due` (on their way), `done`, or `parked` (all tries used up, or the endpoint disabled)."""
    query = ask.query
    rows, after = await ask.engine.ledger.deliveries(
        ask.app.id,
        Page(limit=query.limit, after=query.after),
        status=query.status or "",
        payment_id=await _payment(ask, query.payment or ""),
    )
    return ok(views.page([views.delivery(row) for row in rows], after))


async def _payment(ask: Ask[bodies.ReplayDeliveries, Nothing] | Ask[None, bodies.ListDeliveries], name: str) -> str:
    return (await named.payment_of(ask.engine, ask.app, name)).id if name else ""


async def replay_one(ask: Ask[None, Nothing]) -> Reply:
    """Make one delivery again, whatever became of it. Consumers drop repeats by the event's id."""
    payment_id, version, endpoint = named.delivery(ask)
    now_ms = ask.engine.clock.now_ms()
    for status in ("parked", "done", "due"):
        replayed = await ask.engine.ledger.replay(
            ask.app.id, now_ms, payment_id=payment_id, version=version, endpoint=endpoint, status=status, limit=1
        )
        if replayed:
            ask.engine.waking.ring(DELIVERIES)
            return ok({"replayed": replayed})
    raise errors.DeliveryAbsent


async def replay(ask: Ask[bodies.ReplayDeliveries, Nothing]) -> Reply:
    """Make many deliveries again, by filter; with an empty body all parked ones."""
    body = ask.body
    replayed = await ask.engine.ledger.replay(
        ask.app.id,
        ask.engine.clock.now_ms(),
        payment_id=await _payment(ask, body.payment),
        endpoint=body.endpoint,
        status=body.status,
        limit=body.limit,
    )
    if replayed:
        ask.engine.waking.ring(DELIVERIES)
    return ok({"replayed": replayed})


_REPLAYED: Final = (Answer(200, "How many are due again.", answers.Replayed),)

RESOURCES: Final = (
    Resource(
        "/v1/deliveries",
        "deliveries",
        GET=Verb(
            run=listed,
            auth="key",
            summary="List deliveries",
            query=bodies.ListDeliveries,
            answers=(Answer(200, "A page of deliveries.", answers.DeliveryList),),
            errors=(errors.PaymentAbsent,),
        ),
    ),
    Resource(
        "/v1/deliveries/replay",
        "deliveries",
        POST=Verb(
            run=replay,
            auth="key",
            summary="Replay deliveries by filter",
            body=bodies.ReplayDeliveries,
            answers=_REPLAYED,
            errors=(errors.PaymentAbsent,),
        ),
    ),
    Resource(
        "/v1/deliveries/{delivery}/replay",
        "deliveries",
        POST=Verb(
            run=replay_one,
            auth="key",
            summary="Replay a delivery",
            answers=_REPLAYED,
            errors=(errors.DeliveryAbsent,),
        ),
    ),
)
