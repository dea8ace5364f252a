"""What must hold of deliveries when something fails: work that died half-way, faults of ours, endpoints that are dead,
disabled, or changed by another process at this moment."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import msgspec
import pytest

from oncepay.engine import admin, close
from oncepay.engine.pay import NewPayment, create
from oncepay.engine.story import timeline
from oncepay.ports import Page
from tests.spec.centre import Town
from tests.spec.test_stories import paid

HOUR_S = 3_600


async def test_a_delivery_whose_process_died_comes_back_after_its_lease(town: Town) -> None:
    shown = await town.pay("D-6")
    town.engine.hand_over = lambda _row: True  # it was lent to a process that does nothing any more
    town.sandbox.pay(shown.payment.id + "00")
    await town.sandbox.settle()
    town.engine.hand_over = town.centre.deliverer.hand_over
    assert town.shop.told("D-6") == []
    town.sandbox.advance(31)
    await town.centre.deliverer.claim()
    await town.quiet()
    assert town.shop.told("D-6") == ["paid"]


async def test_a_fault_of_ours_in_a_delivery_stops_no_other(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    publish, broken = town.centre.deliverer._publisher.publish, [True] * 16

    async def fails_at_first(*given: Any) -> Any:
        await asyncio.sleep(0.05)  # until all of them wait
        if broken and broken.pop():
            raise ZeroDivisionError("a fault of ours")
        return await publish(*given)

    monkeypatch.setattr(town.centre.deliverer._publisher, "publish", fails_at_first)
    shown = [await town.pay(f"D-6-{n}") for n in range(40)]
    for one in shown:
        town.sandbox.pay(one.payment.id + "00")
    await town.sandbox.settle()
    await town.passes(60)
    assert len(town.shop.books) == 40


async def test_an_endpoint_that_is_gone_is_disabled_and_its_events_wait_parked(town: Town) -> None:
    town.shop.status = 410
    await paid(town, "D-7")
    (stored,) = await town.engine.ledger.endpoints()
    assert stored.disabled == "410 Gone"
    town.shop.status = 204
    await paid(town, "D-8")
    rows, _ = await town.engine.ledger.deliveries("shop", Page(limit=10), status="parked")
    assert {row.last for row in rows} == {"410 Gone", "the endpoint is disabled"}
    await admin.enable_endpoint(town.engine, town.app, stored.id)
    assert await town.replays() == 2
    await town.passes(5)
    assert (town.shop.told("D-7"), town.shop.told("D-8")) == (["paid"], ["paid"])


async def test_what_another_process_enabled_just_now_is_not_parked_again(town: Town) -> None:
    """Enabled and replayed there, claimed here before this process has looked."""
    town.shop.status = 410
    await paid(town, "D-9")
    town.shop.status = 204
    (stored,) = await town.engine.ledger.endpoints()
    assert await town.engine.ledger.save_endpoint(msgspec.structs.replace(stored, disabled=""), stored)
    assert await town.replays() == 1
    await town.passes(5)
    assert town.shop.told("D-9") == ["paid"]


async def test_what_another_process_added_just_now_is_not_parked_as_gone(town: Town) -> None:
    engine, handing_over = town.engine, town.engine.hand_over
    (first,) = engine.directory.endpoints_of("shop")
    await admin.remove_endpoint(engine, town.app, first.id)
    stale = copy.copy(engine.directory)
    _, town.shop.secret = await admin.add_endpoint(engine, town.app, town.shop.url)
    engine.hand_over = None  # the other process does not work
    await paid(town, "D-10")
    engine.directory, engine.hand_over = stale, handing_over
    await town.passes(5)
    assert town.shop.told("D-10") == ["paid"]


async def test_a_dead_endpoint_slows_no_other(town: Town) -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    dead = await asyncio.start_server(never, "127.0.0.1", 0)
    port = dead.sockets[0].getsockname()[1]
    await admin.add_endpoint(town.engine, town.app, f"http://127.0.0.1:{port}/hook")
    shown = [await town.pay(f"D-8-{n}") for n in range(30)]
    for one in shown:
        town.sandbox.pay(one.payment.id + "00")
    await town.sandbox.settle()
    async with asyncio.timeout(5):
        while len(town.shop.books) < 30:  # noqa: ASYNC110 - the shop is another program
            await asyncio.sleep(0.005)
    dead.close()


async def test_tries_end_parked_after_thirty_days_and_can_be_replayed(town: Town) -> None:
    town.shop.status = 500
    await paid(town, "D-9")
    await town.passes(40 * 24 * HOUR_S)
    rows, _ = await town.engine.ledger.deliveries("shop", Page(limit=10), status="parked")
    assert [(row.tries, row.last) for row in rows] == [(20, "HTTP 500")]
    assert len(town.shop.heard) == 20
    town.shop.status = 204
    assert await town.replays() == 1
    await town.passes(5)
    assert town.shop.books["D-9"]["status"] == "paid"


async def test_the_story_of_a_payment_holds_each_delivery(town: Town) -> None:
    """An app with many endpoints: what did not arrive at one of them must not be missing where people look for it."""
    town.engine.hand_over = lambda _row: True  # lent, and nothing comes of it
    for n in range(15):
        await admin.add_endpoint(town.engine, town.app, f"{town.shop.url}?{n}")
    deadline_ms = town.now_ms + 3_600_000
    owed = NewPayment(order_no="D-9", minor=8800, currency="CNY", subject="Tea", deadline_ms=deadline_ms)
    payment = (await create(town.engine, town.app, owed, None)).payment
    for minor in range(1, 8):
        payment = await close.amend(town.engine, payment, minor=minor, deadline_ms=None)
    story = await timeline(town.engine, payment)
    assert sum(entry["what"].startswith("delivery.") for entry in story) == 16 * payment.version == 112
