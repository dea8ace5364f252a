"""The brokers that tests start: they take messages, go away in the middle, and come back with what they confirmed."""

from __future__ import annotations

from typing import Final

import aio_pika
import psutil
import pytest
import redis
from aiormq.abc import FieldTable
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from oncepay.testing.services import Service, valkey
from tests.kafka_mock import KafkaMock
from tests.services import wait_for_quorum_queue

QUEUE: Final = "kept"
QUORUM: Final[FieldTable] = {"x-queue-type": "quorum"}


async def test_rabbitmq_killed_and_back_has_what_it_confirmed(rabbitmq_server: Service) -> None:
    link = await aio_pika.connect(rabbitmq_server.url)
    channel = await link.channel(on_return_raises=True)
    await channel.declare_queue(QUEUE, durable=True, arguments=QUORUM)
    message = aio_pika.Message(b"one", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
    await channel.default_exchange.publish(message, QUEUE, mandatory=True)
    wait_for_quorum_queue(rabbitmq_server, QUEUE)
    rabbitmq_server.kill9()
    await link.close()

    rabbitmq_server.start()
    async with await aio_pika.connect(rabbitmq_server.url) as again:
        queue = await (await again.channel()).declare_queue(QUEUE, durable=True, arguments=QUORUM)
        got = await queue.get(timeout=30)
        assert got.body == b"one"
        await got.ack()


def test_rabbitmq_leaves_no_daemon_behind(rabbitmq_server: Service) -> None:
    assert rabbitmq_server._process is not None
    family = psutil.Process(rabbitmq_server._process.pid).children(recursive=True)
    assert "epmd" in {process.name() for process in family}
    rabbitmq_server.stop()
    _, alive = psutil.wait_procs(family, 30)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def test_a_durable_valkey_killed_and_back_has_what_it_confirmed() -> None:
    with valkey(durable=True, password="open sesame") as server:
        url = server.url.replace("open sesame", "open%20sesame")
        with redis.Redis.from_url(url) as client:
            client.xadd("s", {"body": "one"})
            server.kill9()
            server.start()
            assert client.xlen("s") == 1
        with redis.Redis.from_url(url.replace("open", "closed")) as client, pytest.raises(redis.AuthenticationError):
            client.ping()


def test_the_kafka_mock_goes_down_and_comes_back_with_what_it_confirmed() -> None:
    reports: list[tuple[KafkaError | None, Message]] = []
    with KafkaMock() as mock:
        producer = Producer(
            {
                "bootstrap.servers": mock.address,
                "acks": "all",
                "reconnect.backoff.ms": 10,
                "reconnect.backoff.max.ms": 50,
            }
        )
        mock.topic("t", 1)
        producer.produce("t", b"one", on_delivery=lambda error, message: reports.append((error, message)))
        assert producer.flush(30) == 0
        mock.down()
        producer.produce("t", b"two", on_delivery=lambda error, message: reports.append((error, message)))
        assert producer.flush(0.2) == 1
        mock.up()
        assert producer.flush(30) == 0
        assert [error for error, _ in reports] == [None, None]

        consumer = Consumer({"bootstrap.servers": mock.address, "group.id": "g"})
        consumer.assign([TopicPartition("t", 0, 0)])
        got = [message.value() for message in consumer.consume(2, 30)]
        consumer.close()
        assert got == [b"one", b"two"]
