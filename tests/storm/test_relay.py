"""A relay whose broker is killed in the middle: every event gets there, and what is marked was confirmed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from oncepay.assembly import Centre
from oncepay.engine import admin, workers
from oncepay.testing.services import valkey
from tests.relay import deliveries, happen, relay, statuses
from tests.wire.broker_kit import Stream, broker_of
from tests.wire.loopback import closed_port

EVENTS = 3_000
FASTER = 10  # an hour of the timetable in six minutes, a lease in three seconds
WITHIN_S = 120.0


class FastClock:
    """A clock that runs faster than the machine's."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def now_ms(self) -> int:
        return 1_800_000_000_000 + int((time.monotonic() - self._began) * 1_000 * FASTER)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / FASTER)


@asynccontextmanager
async def relaying(folder: Path, url: str) -> AsyncIterator[Centre]:
    """A centre that delivers as a worker does."""
    async with relay(f"sqlite:///{folder}/relay.db", url, FastClock()) as centre:
        loop = asyncio.create_task(workers.loop(centre.engine, "deliveries", centre.deliverer.claim, 0.5))
        try:
            yield centre
        finally:
            loop.cancel()
            await asyncio.wait((loop,))


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not await true():  # noqa: ASYNC110 - the condition is a database's
            await asyncio.sleep(0.02)


async def done(centre: Centre) -> set[str]:
    return {event for event, status in (await statuses(centre)).items() if status == "done"}


@pytest.mark.parametrize("kind", ["amqp", "kafka", "redis"])
async def test_a_broker_killed_in_the_middle_loses_nothing(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    broker = broker_of(kind, request)
    async with relaying(tmp_path, broker.url) as centre:
        events = set(await happen(centre, 1))
        await until(lambda: _all_of(centre, events))
        await broker.settled()

        happening = asyncio.create_task(happen(centre, EVENTS, first=1))
        await until(lambda: _more_than(centre, EVENTS // 10))
        broker.end()
        events |= set(await happening)
        await until(lambda: _rests(centre))
        marked = await done(centre)
        assert marked < events, "it was killed too late to tell anything"
        broker.back()
        assert marked <= {one.id for one in await broker.all()}, "marked, and not there"

        await until(lambda: _all_of(centre, events))
    assert {one.id for one in await broker.all()} == events


async def test_a_dead_road_costs_the_others_nothing_and_is_tried_seldom(tmp_path: Path) -> None:
    with valkey() as server:
        stream = Stream(server)
        async with relaying(tmp_path, f"redis://127.0.0.1:{closed_port()}/0?stream=s") as centre:
            (dead,) = centre.engine.directory.endpoints_of("shop")
            await admin.add_endpoint(centre.engine, centre.engine.directory.app("shop"), stream.url)
            events = set(await happen(centre, EVENTS))
            await until(lambda: _there(stream, events))
            await until(lambda: _rests(centre))
            left = [row for row in await deliveries(centre) if row.endpoint_id == dead.id]
            assert {row.status for row in left} == {"due"}
            # Those that were on their way when it was found closed, and one a rest: not all of them again and again.
            assert 0 < sum(row.tries for row in left) < EVENTS // 2


async def _all_of(centre: Centre, events: set[str]) -> bool:
    return await done(centre) >= events


async def _more_than(centre: Centre, count: int) -> bool:
    return len(await done(centre)) > count


async def _rests(centre: Centre) -> bool:
    return bool(centre.deliverer.resting)


async def _there(stream: Stream, events: set[str]) -> bool:
    return {one.id for one in await stream.all()} == events
