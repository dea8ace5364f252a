"""A centre that only relays: events in its ledger, one endpoint, and no channel. For tests and the bench."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Final

from oncepay.assembly import Centre, assemble
from oncepay.config import Config
from oncepay.domain.change import Change, DeliveryDue, Event
from oncepay.domain.ids import payment_id
from oncepay.domain.payment import Payment
from oncepay.domain.snapshot import snapshot
from oncepay.engine import admin
from oncepay.ports import Clock, DeliveryRow, Page

AT_A_TIME: Final = 1_000


@contextlib.asynccontextmanager
async def relay(database_url: str, url: str, clock: Clock | None = None) -> AsyncIterator[Centre]:
    """A centre with an app ``shop`` that hears its events at this URL."""
    master_key = base64.b64encode(b"k" * 32).decode()
    centre = await assemble(Config(database_url=database_url, master_key=master_key), clock=clock)
    try:
        app, _ = await admin.create_app(centre.engine, "shop", "A shop")
        app = await admin.set_policies(centre.engine, app, private_networks=("127.0.0.0/8",))
        await admin.add_endpoint(centre.engine, app, url)
        yield centre
    finally:
        await centre.stop(1.0)


async def happen(centre: Centre, count: int, first: int = 0) -> list[str]:
    """So many payments are made, each with an event that is due at once; the ids of the events."""
    engine = centre.engine
    endpoints = [endpoint.id for endpoint in engine.directory.endpoints_of("shop")]
    now_ms = engine.clock.now_ms()
    ids: list[str] = []
    for start in range(first, first + count, AT_A_TIME):
        changes = [
            _made(f"A-{number}", endpoints, now_ms) for number in range(start, min(start + AT_A_TIME, first + count))
        ]
        assert all(await asyncio.gather(*(engine.ledger.commit(change) for change in changes)))
        ids += [f"evt_{change.payment.id}_1" for change in changes]
    return ids


def _made(order_no: str, endpoints: Sequence[str], now_ms: int) -> Change:
    payment = Payment(
        id=payment_id("relay", "shop", order_no), app="shop", order_no=order_no, minor=8800, currency="CNY",
        subject="Tea", created_ms=now_ms, deadline_ms=now_ms + 7_200_000, version=1,
    )  # fmt: skip
    event = Event(version=1, changes=("created",), snapshot=snapshot(payment), at_ms=now_ms)
    return Change(
        rev=0, payment=payment, at_ms=now_ms, due_ms=None, change_id=payment.id, event=event,
        deliveries=tuple(DeliveryDue(endpoint_id=endpoint, due_ms=now_ms) for endpoint in endpoints),
    )  # fmt: skip


async def statuses(centre: Centre) -> dict[str, str]:
    """Of all deliveries to the one endpoint, by event."""
    return {f"evt_{row.payment_id}_{row.version}": row.status for row in await deliveries(centre)}


async def deliveries(centre: Centre) -> list[DeliveryRow]:
    """All of them."""
    found: list[DeliveryRow] = []
    after = ""
    while True:
        rows, after = await centre.engine.ledger.deliveries("shop", Page(limit=1_000, after=after))
        found += rows
        if not after:
            return found
