"""The three kinds of broker as the tests of the roads see them: an address, what lies in the queue, and an end."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import ssl
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import aio_pika
import psutil
import pytest
import redis
from aio_pika.abc import AbstractChannel
from confluent_kafka import Consumer, TopicPartition

from oncepay.ports import Endpoint, Message, Outcome
from oncepay.publishers.roads import Roads, read_target
from oncepay.publishers.webhook import WebhookPublisher
from oncepay.testing.services import Service
from tests.kafka_mock import KafkaMock
from tests.services import wait_for_quorum_queue
from tests.wire.loopback import Names, secret_of, serving

LOOPBACK = ("127.0.0.0/8",)
SECRET, OLD_SECRET = secret_of(bytes(range(32))), secret_of(bytes(32))
NOW_S = 1_795_000_000


class Got(NamedTuple):
    """A message as a consumer finds it."""

    id: str
    key: str
    body: bytes
    headers: dict[str, str]


class Broker(ABC):
    """One queue of one broker, new and this test's own. ``url``: an endpoint's."""

    url: str

    @abstractmethod
    async def all(self) -> list[Got]:
        """What lies in the queue; it is left there, or is read again with the next call."""

    @abstractmethod
    def end(self) -> None:
        """It is gone, as by a power cut. What it confirmed must be there when it is back."""

    @abstractmethod
    def back(self) -> None:
        """It runs again, at the same address."""

    async def settled(self) -> None:
        """Until an end now would lose nothing but what is not confirmed."""
        return


class Rabbit(Broker):
    """RabbitMQ."""

    def __init__(self, server: Service) -> None:
        self._server = server
        self.queue = f"q-{secrets.token_hex(4)}"
        self.url = f"{server.url}/?queue={self.queue}"
        self._got: list[Got] = []

    @contextlib.asynccontextmanager
    async def channel(self) -> AsyncIterator[AbstractChannel]:
        """A channel of an owner of the queue."""
        async with await aio_pika.connect(self._server.url) as link:
            yield await link.channel()

    async def all(self) -> list[Got]:
        async with self.channel() as channel:
            queue = await channel.declare_queue(self.queue, passive=True)
            while (one := await queue.get(no_ack=True, fail=False, timeout=30)) is not None:
                headers = {name: str(value) for name, value in one.headers.items() if name != "x-delivery-count"}
                self._got.append(Got(one.message_id or "", headers.pop("payment"), one.body, headers))
        return list(self._got)

    async def settled(self) -> None:
        wait_for_quorum_queue(self._server, self.queue)

    def end(self) -> None:
        self._server.kill9()

    def back(self) -> None:
        self._server.start()


class Stream(Broker):
    """A Redis stream."""

    def __init__(self, server: Service) -> None:
        self._server = server
        self.stream = "events"
        self.url = f"{server.url}/0?stream={self.stream}"

    def client(self) -> redis.Redis:
        """A client of an owner of the server."""
        return redis.Redis.from_url(self._server.url, decode_responses=True)

    async def all(self) -> list[Got]:
        with self.client() as client:
            entries: Any = client.xrange(self.stream)
        found = []
        for _, fields in entries:
            key, body = fields.pop("payment"), fields.pop("body")
            found.append(Got(fields["webhook-id"], key, body.encode(), fields))
        return found

    def end(self) -> None:
        self._server.kill9()

    def back(self) -> None:
        self._server.start()


class Topic(Broker):
    """A Kafka topic."""

    def __init__(self, mock: KafkaMock, partitions: int = 4) -> None:
        self.mock = mock
        self.topic = "events"
        self.partitions = partitions
        mock.topic(self.topic, partitions)
        self.url = f"{mock.url}/{self.topic}"

    async def all(self) -> list[Got]:
        consumer = Consumer({"bootstrap.servers": self.mock.address, "group.id": "reader"})
        ends = {p: consumer.get_watermark_offsets(TopicPartition(self.topic, p), 30)[1] for p in range(self.partitions)}
        consumer.assign([TopicPartition(self.topic, p, 0) for p in range(self.partitions)])
        found: list[Got] = []
        while len(found) < sum(ends.values()):
            for one in consumer.consume(500, 0.2):
                assert one.error() is None
                headers = {name: _text(value) for name, value in dict(one.headers() or []).items()}
                found.append(Got(headers["webhook-id"], _text(one.key()), one.value() or b"", headers))
        consumer.close()
        return found

    def end(self) -> None:
        self.mock.down()

    def back(self) -> None:
        self.mock.up()


def broker_of(kind: str, request: pytest.FixtureRequest) -> Broker:
    """A queue of the session's RabbitMQ, or a topic or stream of a broker of this test's own."""
    match kind:
        case "amqp":
            return Rabbit(request.getfixturevalue("rabbitmq_server"))
        case "kafka":
            return Topic(request.getfixturevalue("kafka_mock"))
        case _:
            return Stream(request.getfixturevalue("durable_valkey"))


def _text(value: str | bytes | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""


def endpoint(url: str, networks: tuple[str, ...] = LOOPBACK) -> Endpoint:
    """As the directory has it, login opened."""
    shown, login = read_target(url, networks)
    return Endpoint(id="end", app="shop", url=shown, login=login, secrets=(SECRET, OLD_SECRET))


def message(number: int = 1, body: bytes = b'{"type":"payment.changed"}') -> Message:
    """One of two payments' events."""
    return Message(id=f"evt_{number}", key=f"pay_{number % 2}", timestamp_s=NOW_S, body=body)


@contextlib.asynccontextmanager
async def roads(
    timeout_s: float = 5.0, idle_s: float = 60.0, names: Names | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Roads]:
    """A publisher of all roads."""
    one = Roads(WebhookPublisher(), timeout_s=timeout_s, idle_s=idle_s, resolve=(names or Names()).resolve, tls=tls)
    try:
        yield one
    finally:
        await one.close()


async def tell(way: Roads, url: str, number: int = 1, **more: bytes) -> Outcome:
    """Publish one message there."""
    return await way.publish(endpoint(url), LOOPBACK, message(number, **more))


@contextlib.asynccontextmanager
async def behind_tls(port: int, tls: ssl.SSLContext) -> AsyncIterator[int]:
    """What listens on this port, by TLS on another."""

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.gather(pass_on(reader, inner_writer), pass_on(inner_reader, writer))
        finally:
            inner_writer.close()

    async with serving(talk, tls) as outer:
        yield outer


def connections_to(port: int) -> int:
    """How many this process holds to a port of this machine."""
    return sum(
        1
        for found in psutil.Process().net_connections("tcp")
        if found.raddr and found.raddr.port == port and found.status == psutil.CONN_ESTABLISHED
    )


def port_of(url: str) -> int:
    """Of a URL with one host."""
    return int(url.partition("://")[2].rpartition("@")[2].partition("/")[0].rpartition(":")[2])
