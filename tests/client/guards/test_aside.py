"""Messages that were put aside, on every kind of database: kept once, tried by one, seen by people, gone when they went
in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeVar

import pytest

from oncepay.client.guards import async_link_of, link_of
from oncepay.client.guards.aside import (
    BODY_MAX,
    ERROR_MAX,
    Aside,
    Message,
    dropping_aside,
    due_aside,
    failing_aside,
    putting_aside,
    putting_aside_off,
)
from oncepay.client.guards.scripts import Script
from tests.client.guards.apps import ALL_KINDS, App, LoopApp, ThreadApp, open_app
from tests.client.guards.books import Where

R = TypeVar("R")

HEADERS = {"webhook-id": "evt_1\0", "webhook-timestamp": "soon", "webhook-signature": "v1,\ufffd 支付"}
ODD = Message(headers=HEADERS, body=b"\xff\x00 :name ? %s $1")


@pytest.fixture(params=ALL_KINDS)
async def app(request: pytest.FixtureRequest, where: Where) -> AsyncIterator[App]:
    async with open_app(request.param, where) as app:
        yield app


async def run(app: App, script: Script[R]) -> R:
    """In a transaction of its own."""
    if isinstance(app, LoopApp):
        async with app.books.begin() as within:
            return await async_link_of(within).run(script)
    assert isinstance(app, ThreadApp)
    return await asyncio.to_thread(_run, app, script)


def _run(app: ThreadApp, script: Script[R]) -> R:
    with app.books.begin() as within:
        return link_of(within).run(script)


async def inbox(app: App, act: str, *arguments: Any) -> Any:
    """Something that people do."""
    assert isinstance(app, ThreadApp | LoopApp)
    call = getattr(app.inbox, act)
    return await (call(*arguments) if isinstance(app, LoopApp) else asyncio.to_thread(call, *arguments))


async def put(app: App, message: Message = ODD, *, genuine: bool = False) -> None:
    error = ValueError("no\0 " + "x" * 2 * ERROR_MAX)
    await run(app, putting_aside(message, "queue news at host", error, app.clock.ms, genuine=genuine))


async def due(app: App) -> list[Aside]:
    return await run(app, due_aside(app.clock.ms))


async def test_the_same_is_kept_once_and_as_it_came(app: App) -> None:
    for _ in range(3):
        await put(app)
    (kept,) = await inbox(app, "aside")
    assert kept.message == ODD
    assert (kept.event, kept.place, kept.genuine, kept.tries) == ("evt_1", "queue news at host", False, 0)
    assert kept.error.startswith("ValueError: no xx")
    assert len(kept.error) <= ERROR_MAX
    assert (kept.since_ms, kept.due_ms) == (app.clock.ms, app.clock.ms + 1000)


async def test_only_the_beginning_of_what_is_no_event_is_kept(app: App) -> None:
    await put(app, Message(headers={}, body=b"\xff" * (BODY_MAX + 1)), genuine=True)
    (kept,) = await inbox(app, "aside")
    assert (len(kept.message.body), kept.event, kept.genuine) == (BODY_MAX, "", True)


async def test_it_is_tried_by_one_at_growing_distances(app: App) -> None:
    await put(app)
    assert await due(app) == []
    app.clock.advance(1)
    (seen,) = await due(app)
    (also,) = await due(app)
    assert await run(app, putting_aside_off(seen, app.clock.ms))
    assert not await run(app, putting_aside_off(also, app.clock.ms))
    assert await due(app) == []
    await run(app, failing_aside(seen, RuntimeError("still")))
    app.clock.advance(2)
    (again,) = await due(app)
    assert (again.key, again.tries, again.error) == (seen.key, 1, "RuntimeError: still")


async def test_people_may_hurry_it_and_drop_it(app: App) -> None:
    await put(app)
    await put(app, Message(headers={}, body=b"another"))
    assert await inbox(app, "hurry_aside") == 2
    assert len(await due(app)) == 2
    first, second = await inbox(app, "aside")
    assert await inbox(app, "drop_aside", first.key)
    assert not await inbox(app, "drop_aside", first.key)
    assert await run(app, dropping_aside(second.key))
    assert await inbox(app, "aside") == []
