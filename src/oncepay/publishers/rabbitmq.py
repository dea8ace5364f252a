"""Events by RabbitMQ: persistent messages into a durable queue, each confirmed by the broker.

A queue that is there is taken as it is, with whatever limits and policies its owner gave it; one that is not is
declared as a quorum queue. A message that no queue takes comes back (mandatory) before its confirm, and counts as an
error: by default a broker confirms what it threw away.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from typing import Any, Final

import msgspec
from aio_pika import Connection, DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange
from aio_pika.exceptions import AMQPException, ChannelNotFoundEntity, DeliveryError, PublishError
from yarl import URL

from oncepay.ports import Outcome
from oncepay.publishers.links import WHY_LATE, Connected, Letter, Road, delivered, down, reason

HEARTBEAT_S: Final = 15

_OK: Final = delivered("in the queue")
_FAULTS: Final = (
    AMQPException,
    OSError,
    RuntimeError,
    ValueError,
)  # the library's own, the network's, a closed channel


class Wire(msgspec.Struct, frozen=True):
    """What stands while a connection does."""

    connection: AbstractConnection
    exchange: AbstractExchange


class Guarded:
    """Opens the library's sockets: to addresses that were judged."""

    def __init__(self, road: Road) -> None:
        self._road = road

    async def create(self, url: URL, **_: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:  # noqa: ARG002
        """Where the library would connect to the URL's host."""
        return await self._road.dial()


class RabbitLink(Connected[Wire]):
    """One connection and one channel to one queue's broker."""

    def __init__(self, road: Road) -> None:
        super().__init__()
        self._road = road

    async def send(self, letter: Letter) -> Outcome:
        """Publish, and wait until the broker has it in the queue."""
        place = self._road.place
        message = Message(
            letter.body,
            headers={**letter.headers, "payment": letter.key},
            content_type="application/json",
            delivery_mode=DeliveryMode.PERSISTENT,
            message_id=letter.id,
        )
        wire = None
        try:
            async with asyncio.timeout(self._road.timeout_s):
                wire = await self._connection()
                await wire.exchange.publish(message, place.name, mandatory=True)
        except TimeoutError:
            outcome = down(WHY_LATE.format(self._road.timeout_s))
        except PublishError:  # the queue was deleted: it is declared again with the next connection
            outcome = down(f"unroutable: there is no queue {place.name!r}")
        except DeliveryError:
            return down("the broker refused it (nack): is the queue full?")
        except _FAULTS as error:
            outcome = down(reason(error))
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            outcome = down("the connection was closed")  # the library cancels whoever waits for a confirm
        else:
            return _OK
        await self._drop(wire)
        return outcome

    async def close(self) -> None:
        """Let go of the connection."""
        await self._drop()

    async def _open(self) -> Wire:
        place = self._road.place
        (host, port) = place.hosts[0]
        connection = Connection(
            URL.build(
                scheme="amqps" if place.tls else "amqp", host=host, port=port, path=_path(place.room),
                user=place.user or None, password=place.password or None, query={"heartbeat": str(HEARTBEAT_S)},
            ),
            ssl_context=self._road.tls,
        )  # fmt: skip
        connection.kwargs["transport_factory"] = Guarded(self._road)
        try:
            await connection.connect(self._road.timeout_s)
            channel = await self._channel(connection)
        except BaseException:
            await _close(connection)
            raise
        return Wire(connection, channel.default_exchange)

    async def _channel(self, connection: AbstractConnection) -> AbstractChannel:
        """A channel with confirms, and a queue that is there."""
        name = self._road.place.name
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        try:
            await channel.declare_queue(name, passive=True)
        except ChannelNotFoundEntity:  # and the channel with it
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            await channel.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum"})
        return channel

    async def _shut(self, connection: Wire) -> None:
        await _close(connection.connection)


def _path(room: str) -> str:
    return "/" if room == "/" else f"/{room}"


async def _close(connection: AbstractConnection) -> None:
    with suppress(*_FAULTS, ssl.SSLError, asyncio.CancelledError, TimeoutError):
        async with asyncio.timeout(1):
            await connection.close()
