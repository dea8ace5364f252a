"""Three kinds of broker as a test sees them: publish as the wire says, go away, come back, and what is left."""

from __future__ import annotations

import asyncio
import secrets
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final

import aio_pika
import msgspec
import redis
from confluent_kafka import Consumer, Producer, TopicPartition

from oncepay.client.guards.aside import Message
from oncepay.client.queues.consumer import GROUP
from oncepay.client.shapes import Event
from oncepay.publishers import signing
from oncepay.testing.services import Service
from tests.client.guards.payments import NOW_MS
from tests.kafka_mock import KafkaMock
from tests.services import wait_for_quorum_queue
from tests.wire.loopback import secret_of

SECRET: Final = secret_of(bytes(range(32)))
OTHER_SECRET: Final = secret_of(bytes(range(1, 33)))
QUORUM: Final = {"x-queue-type": "quorum", "x-delivery-limit": 2**31 - 1}  # as both ends declare it
KINDS: Final = ("redis", "rabbitmq", "kafka")


def message_of(event: Event, secret: str = SECRET, at_ms: int = NOW_MS) -> Message:
    """As the centre publishes it."""
    return signed(event.id, msgspec.json.encode(event), secret, at_ms)


def signed(event_id: str, body: bytes, secret: str = SECRET, at_ms: int = NOW_MS) -> Message:
    """Any body under a genuine signature."""
    return Message(headers=signing.sign((secret,), event_id, at_ms // 1000, body), body=body)


class Broker(ABC):
    """``url``: as the endpoint has it, of a queue that is this test's own. ``claim_s``: how soon what a dead consumer held
    may be another's, at the earliest. ``heard``: how many messages this test's consumers have written down."""

    url: str
    claim_s: float
    heard = 0

    @abstractmethod
    async def publish(self, *messages: Message, key: str = "") -> None:
        """Confirmed when it returns."""

    @abstractmethod
    async def left(self) -> int:
        """How many messages are neither acknowledged nor gone."""

    @abstractmethod
    async def down(self) -> None:
        """As by a power cut."""

    @abstractmethod
    async def up(self) -> None:
        """With all that it confirmed."""


class RedisBroker(Broker):
    claim_s = 0.2

    def __init__(self, server: Service, name: str) -> None:
        self._server, self.name = server, name
        self.server_url = server.url
        self.url = f"{server.url}/0?stream={name}&replicas=0"

    async def publish(self, *messages: Message, key: str = "") -> None:
        with redis.Redis.from_url(self._server.url) as client:
            for one in messages:
                client.xadd(self.name, {**one.headers, "body": one.body, "payment": key})

    async def left(self) -> int:
        with redis.Redis.from_url(self._server.url) as client:
            said: Any = client.xinfo_groups(self.name)
            return sum(int(group["pending"]) + int(group["lag"]) for group in said)

    async def down(self) -> None:
        await asyncio.to_thread(self._server.kill9)

    async def up(self) -> None:
        await asyncio.to_thread(self._server.start)


class RabbitBroker(Broker):
    claim_s = 45.0  # it knows at once

    def __init__(self, server: Service, name: str) -> None:
        self._server, self.name = server, name
        self.url = f"{server.url}/%2F?queue={name}"

    async def declare(self, name: str, arguments: dict[str, Any]) -> None:
        async with await aio_pika.connect(self._server.url) as link:
            await (await link.channel()).declare_queue(name, durable=True, arguments=arguments)

    async def publish(self, *messages: Message, key: str = "") -> None:
        if not await self.is_there():
            await self.declare(self.name, QUORUM)
        async with await aio_pika.connect(self._server.url) as link:
            channel = await link.channel(on_return_raises=True)
            for one in messages:
                body = aio_pika.Message(
                    one.body, headers={**one.headers, "payment": key}, message_id=one.headers.get("webhook-id"),
                    delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                )  # fmt: skip
                await _confirmed(channel, body, self.name)

    async def left(self) -> int:
        """Once nobody reads, what was handed out and not acknowledged is back; a little later, in a quorum queue."""
        return await self.count(self.name)

    async def hand_out_and_lose(self) -> None:
        """As to a consumer that dies with it. What the last one lost is back a little later."""
        async with asyncio.timeout(30), await aio_pika.connect(self._server.url) as link:
            queue = await (await link.channel()).get_queue(self.name)
            while await queue.get(fail=False, timeout=30) is None:
                pass

    async def count(self, name: str) -> int:
        async with await aio_pika.connect(self._server.url) as link:
            queue = await (await link.channel()).get_queue(name)
            return queue.declaration_result.message_count or 0

    async def delete(self) -> None:
        async with await aio_pika.connect(self._server.url) as link:
            await (await link.channel()).queue_delete(self.name)

    async def is_there(self) -> bool:
        try:
            await self.count(self.name)
        except aio_pika.exceptions.ChannelNotFoundEntity:
            return False
        return True

    async def down(self) -> None:
        await asyncio.to_thread(wait_for_quorum_queue, self._server, self.name)
        await asyncio.to_thread(self._server.kill9)

    async def up(self) -> None:
        await asyncio.to_thread(self._server.start)


async def _confirmed(channel: Any, body: aio_pika.Message, name: str) -> None:
    """A node that has just started refuses until the queue is up."""
    async with asyncio.timeout(30):
        while True:
            try:
                await channel.default_exchange.publish(body, name, mandatory=True)
            except aio_pika.exceptions.DeliveryError:
                continue
            return


class KafkaBroker(Broker):
    claim_s = 6.0

    def __init__(self, mock: KafkaMock, name: str) -> None:
        self._mock, self._name = mock, name
        self.url = f"{mock.url}/{name}"
        mock.topic(name, 2)

    async def publish(self, *messages: Message, key: str = "") -> None:
        def produce() -> int:
            producer = Producer({"bootstrap.servers": self._mock.address, "acks": "all"})
            for one in messages:
                producer.produce(self._name, one.body, key=key, headers=list(one.headers.items()))
            return int(producer.flush(30))

        assert await asyncio.to_thread(produce) == 0

    async def left(self) -> int:
        def count() -> int:
            consumer = Consumer({"bootstrap.servers": self._mock.address, "group.id": GROUP})
            partitions = [TopicPartition(self._name, n) for n in range(2)]
            left = 0
            for one in consumer.committed(partitions, 30):
                low, high = consumer.get_watermark_offsets(one, 30)
                left += high - (one.offset if one.offset >= 0 else low)
            consumer.close()
            return left

        return await asyncio.to_thread(count)

    async def down(self) -> None:
        self._mock.down()

    async def up(self) -> None:
        self._mock.up()


def name() -> str:
    """Nobody else's."""
    return f"news-{secrets.token_hex(6)}"


def broken(message: Message) -> Sequence[Message]:
    """What is not to be believed: altered, unsigned, signed by somebody else, for somebody else."""
    headers = dict(message.headers)
    return (
        Message(headers=headers, body=message.body.replace(b'"paid"', b'"open"')),
        Message(headers={}, body=message.body),
        Message(headers={**headers, "webhook-timestamp": "soon"}, body=message.body),
        Message(headers={**headers, "webhook-id": "evt_other"}, body=message.body),
        signed(headers["webhook-id"], message.body, OTHER_SECRET),
    )
