"""Whoever dies in the middle, the broker, a consumer or the database: what was told is done once, by whoever is left."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import redis

from oncepay.client.guards import Milestone
from tests.client.guards.apps import App, ThreadApp, open_app
from tests.client.guards.books import Where
from tests.client.guards.payments import Story, event_of
from tests.client.queues.brokers import Broker, RabbitBroker, RedisBroker, message_of
from tests.client.queues.shops import asides, deeds_of_all, reading, until, until_deeds

ROOT: Final = Path(__file__).parents[3]


def paid(*numbers: int) -> dict[tuple[str, str], int]:
    return {(f"A-{n}", "paid"): 1 for n in numbers}


@pytest.mark.parametrize("when", ["inside", "after"])
async def test_a_consumer_killed_between_the_write_and_the_answer(broker: Broker, when: str, where: Where) -> None:
    async with open_app("sqlite3", where) as app:
        await broker.publish(*(message_of(event_of(Story(f"A-{n}").pay())) for n in range(40)))
        words = [str(where.folder), broker.url, str(broker.claim_s), str(app.clock.ms), when]
        command = [sys.executable, "-m", "tests.client.queues.dying", *words]
        done = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert done.returncode == -signal.SIGKILL, done.stderr
        dead = await deeds_of_all(app)
        assert bool(dead) == (when == "after")
        assert len(dead) < 40
        async with reading(app, broker):
            await until_deeds(app, paid(*range(40)))
            await until(lambda: _left(broker, 0))
        assert await asides(app) == []
        assert await broker.left() == 0


async def _left(broker: Broker, count: int) -> bool:
    return await broker.left() == count


async def test_a_broker_killed_in_the_middle_loses_nothing(broker: Broker, fitting_way: str, where: Where) -> None:
    async with open_app(fitting_way, where) as app:
        async with reading(app, broker):
            await broker.publish(*(message_of(event_of(Story(f"A-{n}").pay())) for n in range(50)))
            await until(lambda: _some(app, 5))
            await broker.down()
            await broker.up()
            await until_deeds(app, paid(*range(50)))
            await broker.publish(*(message_of(event_of(Story(f"A-{n}").pay())) for n in range(50, 60)))
            await until_deeds(app, paid(*range(60)))
            await until(lambda: _left(broker, 0))  # what it was told of before its end, and comes again
        assert await asides(app) == []
        assert await broker.left() == 0


async def test_a_broker_that_is_away_at_the_start_is_waited_for(broker: Broker, where: Where) -> None:
    async with open_app("sqlite3", where) as app:
        await broker.publish(message_of(event_of(Story("A-1").pay())))
        await broker.down()
        async with reading(app, broker):
            await broker.up()
            await until_deeds(app, paid(1))


async def _some(app: App, count: int) -> bool:
    return len(await deeds_of_all(app)) >= count


async def test_a_database_that_is_away_is_waited_for_and_nothing_is_acknowledged(broker: Broker, where: Where) -> None:
    async with open_app("sqlite3", where) as app:
        assert isinstance(app, ThreadApp)
        begin, refused = app.inbox.begin, []

        @contextmanager
        def away() -> Iterator[Any]:
            refused.append(1)
            with closing(sqlite3.connect(where.folder / "nowhere" / "shop.db")) as db:
                yield db

        app.inbox.begin = away
        await broker.publish(*(message_of(event_of(Story(f"A-{n}").pay())) for n in range(3)))
        async with reading(app, broker):
            await until(lambda: _are(refused, 6))
        await until(lambda: _left(broker, 3))

        async with reading(app, broker):
            await until(lambda: _are(refused, 12))
            app.inbox.begin = begin
            await until_deeds(app, paid(0, 1, 2))
        assert await asides(app) == []
        assert await broker.left() == 0


async def _are(found: list[int], count: int) -> bool:
    return len(found) >= count


async def test_an_interrupt_in_a_handler_ends_the_consumer_and_undoes_what_it_did(broker: Broker, where: Where) -> None:
    def interrupted(_: Milestone) -> None:
        raise KeyboardInterrupt

    async with open_app("sqlite3", where) as app:
        app.trouble = interrupted
        await broker.publish(message_of(event_of(Story("A-1").pay())))
        with pytest.raises(Interrupted):
            async with reading(app, broker, run=_interruptible):
                await until(lambda: _heard(app))
        await until(lambda: _left(broker, 1))
        assert await deeds_of_all(app) == {}


class Interrupted(Exception):
    """In place of KeyboardInterrupt, which a loop does not take from its threads."""


def _interruptible(consumer: Any) -> None:
    try:
        consumer.run()
    except KeyboardInterrupt:
        raise Interrupted from None


async def _heard(app: App) -> bool:
    return app.heard == ["paid"]


async def test_a_queue_that_is_deleted_is_made_again(rabbit: RabbitBroker, where: Where) -> None:
    async with open_app("sqlite3", where) as app, reading(app, rabbit):
        await rabbit.publish(message_of(event_of(Story("A-1").pay())))
        await until_deeds(app, paid(1))
        await rabbit.delete()
        await until(rabbit.is_there)
        await rabbit.publish(message_of(event_of(Story("A-2").pay())))
        await until_deeds(app, paid(1, 2))


async def test_a_connection_lost_before_the_answer_is_made_up_for_at_once(stream: RedisBroker, where: Where) -> None:
    """What was handed to us is asked for first, without waiting until it may be claimed."""

    def cut(_: Milestone) -> None:
        with redis.Redis.from_url(stream.server_url) as client:
            client.client_kill_filter(_type="normal", skipme=True)

    async with open_app("sqlite3", where) as app:
        app.trouble = cut
        await stream.publish(message_of(event_of(Story("A-1").pay())))
        stream.claim_s = 3600.0
        async with reading(app, stream):
            await until_deeds(app, paid(1))
            await until(lambda: _left(stream, 0))
        assert await deeds_of_all(app) == paid(1)
