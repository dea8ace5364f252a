"""A shop that reads a queue, in threads or in a loop, as a test sees it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from oncepay.client.around import Around
from oncepay.client.guards import Aside
from oncepay.client.queues import AsyncConsumer, Consumer
from oncepay.client.queues.places import Got
from tests.client.guards.apps import App, LoopApp, ThreadApp
from tests.client.queues.brokers import SECRET, Broker

PATIENCE_S: Final = 60.0
# One way for each kind of consumer, on the databases that they are for.
WAYS: Final = ("sqlite3", "asyncpg")


def consumer_of(app: App, url: str, secrets: Any = SECRET, **options: Any) -> Consumer[Any] | AsyncConsumer[Any]:
    """Of the kind that fits the shop. It waits in earnest, but its time of day is the shop's."""
    options.setdefault("around", Around(now_ms=lambda: app.clock.ms))
    if isinstance(app, ThreadApp):
        return Consumer(url, secrets, app.inbox, **options)
    assert isinstance(app, LoopApp)
    return AsyncConsumer(url, secrets, app.inbox, **options)


@asynccontextmanager
async def reading(
    app: App, broker: Broker, secrets: Any = SECRET, run: Callable[[Any], None] = Consumer.run, **options: Any
) -> AsyncIterator[Any]:
    """While a consumer runs; it is closed in order. ``run``: in a thread, of one for threads."""
    consumer = consumer_of(app, broker.url, secrets, claim_s=broker.claim_s, **options)
    _count(consumer, broker)
    work = asyncio.to_thread(run, consumer) if isinstance(consumer, Consumer) else consumer.run()
    task = asyncio.ensure_future(work)
    try:
        yield consumer
    finally:
        consumer.close()
        await asyncio.wait_for(task, PATIENCE_S)


def _count(consumer: Any, broker: Broker) -> None:
    """Have the broker know how many messages were written down: those are acknowledged even if it is closed now."""
    hear = consumer.hear

    def heard(got: list[Got]) -> list[Got]:
        refused: list[Got] = hear(got)
        broker.heard += len(got)
        return refused

    async def heard_async(got: list[Got]) -> list[Got]:
        refused: list[Got] = await hear(got)
        broker.heard += len(got)
        return refused

    consumer.hear = heard if isinstance(consumer, Consumer) else heard_async


async def until(said: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what is to become true."""
    async with asyncio.timeout(PATIENCE_S):
        while not await said():  # noqa: ASYNC110 - a database cannot tell that it has changed
            await asyncio.sleep(0.05)


async def until_deeds(app: App, wanted: Mapping[tuple[str, str], int]) -> None:
    """Wait until just this was done."""

    async def there() -> bool:
        return await deeds_of_all(app) == wanted

    await until(there)


async def until_heard(broker: Broker, count: int) -> None:
    """Wait until so many messages were taken in or put aside, and none is left; what was done says nothing of those that
    were told twice. RabbitMQ does not count what it has handed out as left, and Kafka may hand something out again."""

    async def there() -> bool:
        return broker.heard >= count and await broker.left() == 0

    await until(there)


async def until_aside(app: App, count: int) -> list[Aside]:
    """Wait until so many are aside; they are those."""

    async def there() -> bool:
        return len(await asides(app)) == count

    await until(there)
    return await asides(app)


async def asides(app: App) -> list[Aside]:
    """What was put aside."""
    assert isinstance(app, ThreadApp | LoopApp)
    if isinstance(app, ThreadApp):
        return await asyncio.to_thread(app.inbox.aside)
    return await app.inbox.aside()


async def deeds_of_all(app: App) -> Counter[tuple[str, str]]:
    """What was done, for which order, how often."""
    return Counter((order, what) for order, what in await app.run("SELECT order_no, what FROM deed"))
