"""A queue in RabbitMQ, by AMQP 0-9-1. Needs the extra ``rabbitmq``.

What was handed out and not acknowledged when the connection is lost, RabbitMQ hands out again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aio_pika.exceptions import ChannelNotFoundEntity

from oncepay.client.queues.places import TAKE_MAX, TAKE_S, Got, Place, Source, message_of

OPEN_S: Final = 10.0
AHEAD_MAX: Final = 8 * TAKE_MAX  # handed out before asked for, so that acknowledging and taking do not alternate
# As the centre declares it. Without a limit RabbitMQ 4 drops what was handed out twenty times: a consumer killed as
# often, or a database away for twenty times RabbitMQ's patience (half an hour), would cost all that it held.
QUORUM: Final[dict[str, Any]] = {"x-queue-type": "quorum", "x-delivery-limit": 2**31 - 1}


class Rabbitmq:
    """A queue by its URL."""

    has_dead_letters = True

    def __init__(self, place: Place) -> None:
        self._place = place

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Source]:
        """Connect, and make the queue if it is not there, as who publishes does."""
        link = await aio_pika.connect(self._place.without("queue"), timeout=OPEN_S)
        try:
            async with asyncio.timeout(OPEN_S):  # a node that is starting takes connections, and may not answer on them
                source = await self._consume(link)
            yield source
        finally:
            with suppress(Exception):
                async with asyncio.timeout(OPEN_S):
                    await link.close()

    async def _consume(self, link: AbstractConnection) -> Source:
        channel = await _channel(link)
        try:
            queue = await channel.get_queue(self._place.name)
        except ChannelNotFoundEntity:  # only what is not there may be made as we like it; and the channel is closed
            channel = await _channel(link)
            queue = await channel.declare_queue(self._place.name, durable=True, arguments=QUORUM)
        source = _Queue()
        channel.close_callbacks.add(source.lost)
        underlay = await channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(source.cancelled)
        await queue.consume(source.put)
        return source


async def _channel(link: AbstractConnection) -> AbstractChannel:
    channel = await link.channel(publisher_confirms=False)
    await channel.set_qos(prefetch_count=AHEAD_MAX)
    return channel


class _Queue:
    """What was handed out and not yet taken; RabbitMQ knows how much that may be."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[AbstractIncomingMessage | Exception] = asyncio.Queue()

    async def put(self, message: AbstractIncomingMessage) -> None:
        self._waiting.put_nowait(message)

    def lost(self, _: Any, error: BaseException | None) -> None:
        why = f"{type(error).__name__}: {error}" if error else "closed"
        self._waiting.put_nowait(ConnectionError(f"the channel ended: {why}"))

    def cancelled(self, _: Any) -> None:
        self._waiting.put_nowait(ConnectionError("the queue was deleted, or moved to another node"))

    async def take(self) -> list[Got]:
        try:
            got = [await asyncio.wait_for(self._waiting.get(), TAKE_S)]
        except TimeoutError:
            return []
        while len(got) < TAKE_MAX and not self._waiting.empty():
            got.append(self._waiting.get_nowait())
        return [_got(one) for one in got]

    async def done(self, got: list[Got]) -> None:
        """The last one stands for all before it: they were handed out, and taken, in their order."""
        if got:
            await got[-1].tag.ack(multiple=True)

    async def reject(self, got: list[Got]) -> None:
        for one in got:
            await one.tag.reject(requeue=False)


def _got(one: AbstractIncomingMessage | Exception) -> Got:
    if isinstance(one, Exception):
        raise one
    return Got(message_of(one.headers.items(), one.body), one)
