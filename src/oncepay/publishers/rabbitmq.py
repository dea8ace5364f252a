"""Events by RabbitMQ: persistent messages into a durable queue, each confirmed by the broker.

A queue that is there is taken as it is, with whatever limits and policies its owner gave it; one that is not is
declared as a quorum queue. A message that no queue takes comes back (mandatory) before its confirm, and counts as an
error: by default a broker confirms what it threw away.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from contextlib import suppress
from typing import Any, Final

import aiormq
import msgspec
from aio_pika import Connection, DeliveryMode
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import AMQPException, ChannelNotFoundEntity, DeliveryError, PublishError
from aiormq.abc import FieldTable
from pamqp.commands import Basic
from yarl import URL

from oncepay.ports import Outcome
from oncepay.publishers.links import WHY_LATE, Connected, Letter, Road, delivered, down, reason

HEARTBEAT_S: Final = 15
# As the consumers declare it. Without a limit RabbitMQ 4 drops what it handed out twenty times and was not done with; a
# limit of -1, none to RabbitMQ 4, is nothing to RabbitMQ 3, which drops what comes back once.
_QUORUM: Final[FieldTable] = {"x-queue-type": "quorum", "x-delivery-limit": 2**31 - 1}
WHY_BROKEN: Final = "the connection broke before the confirm"

for _library in ("aio_pika", "aiormq"):  # they log each lost connection at length; an outcome says it in a clause
    logging.getLogger(_library).setLevel(logging.CRITICAL)

_OK: Final = delivered("in the queue")
# The library's own, the network's, a closed channel.
_FAULTS: Final = (AMQPException, OSError, RuntimeError, ValueError)


class Wire(msgspec.Struct, frozen=True, eq=False):
    """What stands while a connection does, and the deadlines of the messages that are on their way over it."""

    connection: AbstractConnection
    channel: aiormq.Channel  # below the library's exchange, which drains the socket at each message
    deadlines: set[asyncio.Timeout] = msgspec.field(default_factory=set)


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
        properties = Basic.Properties(
            headers={**letter.headers, "payment": letter.key},
            content_type="application/json",
            delivery_mode=DeliveryMode.PERSISTENT,
            message_id=letter.id,
        )
        wire, deadline = None, asyncio.timeout(self._road.timeout_s)
        try:
            async with deadline:
                wire = await self._connection()
                wire.deadlines.add(deadline)
                await wire.channel.basic_publish(
                    letter.body, routing_key=place.name, properties=properties, mandatory=True, wait=False
                )
        except TimeoutError:
            late = wire is None or deadline in wire.deadlines
            outcome = down(WHY_LATE.format(self._road.timeout_s) if late else WHY_BROKEN)
        except PublishError:  # the queue was deleted: it is declared again with the next connection
            outcome = down(f"unroutable: there is no queue {place.name!r}")
        except DeliveryError:
            return down("the broker refused it (nack): is the queue full?")
        except _FAULTS as error:
            outcome = down(reason(error))
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            outcome = down(WHY_BROKEN)  # the library cancels whoever waits for a confirm
        else:
            return _OK
        finally:
            if wire is not None:
                wire.deadlines.discard(deadline)
        await self._drop(wire)
        return outcome

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
        below = await channel.get_underlay_channel()
        assert isinstance(below, aiormq.Channel)
        return Wire(connection, below)

    async def _channel(self, connection: AbstractConnection) -> AbstractChannel:
        """A channel with confirms, and a queue that is there."""
        name = self._road.place.name
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        try:
            await channel.declare_queue(name, passive=True)
        except ChannelNotFoundEntity:  # and the channel with it
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            await channel.declare_queue(name, durable=True, arguments=_QUORUM)
        return channel

    async def _shut(self, connection: Wire) -> None:
        deadlines = list(connection.deadlines)
        connection.deadlines.clear()
        for deadline in deadlines:  # the library lets some of them wait on for a connection that is gone
            if not deadline.expired():
                deadline.reschedule(0)
        await _close(connection.connection)


def _path(room: str) -> str:
    return "/" if room == "/" else f"/{room}"


async def _close(connection: AbstractConnection) -> None:
    with suppress(*_FAULTS, ssl.SSLError, asyncio.CancelledError, TimeoutError):
        async with asyncio.timeout(1):
            await connection.close()
