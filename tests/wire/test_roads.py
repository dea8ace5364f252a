"""Messages to real brokers: what arrives, what counts as delivered, and what happens when a broker does not take it."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiormq.abc import FieldTable

from oncepay.ports import Message
from oncepay.testing.services import Service, valkey
from tests.kafka_mock import METADATA, PRODUCE, KafkaMock
from tests.wire.broker_kit import (
    LOOPBACK,
    NOW_S,
    OLD_SECRET,
    SECRET,
    Broker,
    Rabbit,
    Stream,
    Topic,
    behind_tls,
    broker_of,
    connections_to,
    endpoint,
    message,
    port_of,
    roads,
    tell,
)
from tests.wire.loopback import Certificates, Names, closed_port, is_signed_by, serving

KINDS = ("amqp", "kafka", "redis")
TOPIC_AUTHORIZATION_FAILED, STORAGE_ERROR = 29, 56


@pytest.fixture(params=KINDS)
def broker(request: pytest.FixtureRequest) -> Broker:
    """Each kind of broker in turn."""
    return broker_of(request.param, request)


# -- what arrives --------------------------------------------------------------------------------------------------


async def test_a_message_arrives_as_a_webhook_would(broker: Broker) -> None:
    body = json.dumps({"type": "payment.changed", "data": {"subject": "Tee für zwei, 茶"}}).encode()
    async with roads() as way:
        outcome = await tell(way, broker.url, 7, body=body)
    assert outcome.delivered, outcome.why
    (got,) = await broker.all()
    assert got.body == body
    assert (got.id, got.key) == ("evt_7", "pay_1")
    assert sorted(got.headers) == ["webhook-id", "webhook-signature", "webhook-timestamp"]
    assert (got.headers["webhook-id"], got.headers["webhook-timestamp"]) == ("evt_7", str(NOW_S))
    for secret in (SECRET, OLD_SECRET):
        assert is_signed_by(secret, got.headers, got.body)


async def test_many_at_once_all_arrive_over_one_connection(broker: Broker) -> None:
    async with roads() as way:
        place = endpoint(broker.url)
        outcomes = await asyncio.gather(*(way.publish(place, LOOPBACK, message(n)) for n in range(way.at_once(place))))
        assert all(outcome.delivered for outcome in outcomes)
        if not isinstance(broker, Topic):  # librdkafka has one to the cluster and one to each broker
            assert connections_to(port_of(broker.url)) == 1
    found = await broker.all()
    assert sorted(one.id for one in found) == sorted(f"evt_{n}" for n in range(len(outcomes)))
    for key in ("pay_0", "pay_1"):  # in the order in which they were handed over
        assert [one.id for one in found if one.key == key] == [
            f"evt_{n}" for n in range(len(outcomes)) if f"pay_{n % 2}" == key
        ]


# -- a broker that goes and comes ------------------------------------------------------------------------------------


async def test_a_broker_that_is_down_is_no_delivery_and_is_found_again(broker: Broker) -> None:
    async with roads(timeout_s=4.0) as way:
        assert (await tell(way, broker.url, 1)).delivered
        await broker.settled()
        broker.end()
        outcome = await tell(way, broker.url, 2)
        assert not outcome.delivered
        assert outcome.down
        broker.back()
        async with asyncio.timeout(60):
            while not (await tell(way, broker.url, 3)).delivered:
                pass
    ids = {one.id for one in await broker.all()}
    assert {"evt_1", "evt_3"} <= ids


async def test_a_broker_killed_among_many_keeps_what_it_confirmed(broker: Broker) -> None:
    confirmed: set[str] = set()
    refused = 0
    async with roads(timeout_s=5.0) as way:
        assert (await tell(way, broker.url, 0)).delivered
        await broker.settled()
        place, numbers = endpoint(broker.url), iter(range(1, 5_000))
        enough = asyncio.Event()

        async def sender() -> None:
            nonlocal refused
            for number in numbers:
                if (await way.publish(place, LOOPBACK, message(number))).delivered:
                    confirmed.add(f"evt_{number}")
                else:
                    refused += 1
                    enough.set()
                    return
                if len(confirmed) > 500:
                    enough.set()

        senders = [asyncio.create_task(sender()) for _ in range(64)]
        await enough.wait()
        broker.end()
        await asyncio.gather(*senders)
        broker.back()
    assert len(confirmed) > 500
    assert refused > 0
    assert confirmed <= {one.id for one in await broker.all()}


@pytest.mark.parametrize("kind", KINDS)
async def test_where_nobody_listens_is_no_delivery(kind: str) -> None:
    tail = {"amqp": "/?queue=q", "kafka": "/t", "redis": "/0?stream=s"}[kind]
    async with roads(timeout_s=2.0) as way:
        outcome = await tell(way, f"{kind}://127.0.0.1:{closed_port()}{tail}")
    assert not outcome.delivered
    assert outcome.down


@pytest.mark.parametrize("kind", KINDS)
async def test_a_silent_broker_ends_in_time_for_all_that_wait(kind: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    tail = {"amqp": "/?queue=q", "kafka": "/t", "redis": "/0?stream=s"}[kind]
    loop = asyncio.get_running_loop()
    async with serving(talk) as port, roads(timeout_s=1.0) as way:
        began = loop.time()
        url = f"{kind}://127.0.0.1:{port}{tail}"
        outcomes = await asyncio.gather(*(tell(way, url, number) for number in range(50)))
        assert loop.time() - began < 20  # one after the other they would take 50
    assert {outcome.delivered for outcome in outcomes} == {False}
    assert {outcome.down for outcome in outcomes} == {True}


async def no_connection_to(port: int) -> None:
    """Wait until there is none; a library's thread closes it when its turn comes."""
    async with asyncio.timeout(20):
        while connections_to(port):  # noqa: ASYNC110 - the condition is the operating system's
            await asyncio.sleep(0.02)


async def test_an_idle_connection_is_closed(broker: Broker) -> None:
    port = port_of(broker.url)
    async with roads(idle_s=0.6) as way:
        assert (await tell(way, broker.url)).delivered
        assert connections_to(port) > 0
        await no_connection_to(port)
        assert (await tell(way, broker.url, 2)).delivered


async def test_closing_ends_what_is_under_way(broker: Broker) -> None:
    port = port_of(broker.url)
    async with roads() as way:
        assert (await tell(way, broker.url)).delivered
        sending = [asyncio.create_task(tell(way, broker.url, number)) for number in range(2, 200)]
        await asyncio.sleep(0)
        await way.close()
        outcomes = await asyncio.gather(*sending)
    assert len(outcomes) == 198  # each with an answer
    await no_connection_to(port)


# -- what a broker does not take -------------------------------------------------------------------------------------


async def test_wrong_credentials_are_no_delivery_and_are_not_quoted(
    rabbitmq_node: Service, caplog: pytest.LogCaptureFixture
) -> None:
    with valkey(password="correct-horse") as server:
        for right, path in ((rabbitmq_node.url, "/?queue=none"), (server.url, "/0?stream=s")):
            async with roads(timeout_s=5.0) as way:
                outcome = await tell(way, right.replace("correct-horse", "battery-staple") + path)
            assert not outcome.delivered
            assert outcome.down
            assert "battery-staple" not in outcome.why
            assert "no confirm within" not in outcome.why  # it says what is wrong
    assert "battery-staple" not in caplog.text


async def test_credentials_for_a_kafka_that_wants_none_are_not_quoted(kafka_mock: KafkaMock) -> None:
    async with roads(timeout_s=2.0) as way:
        outcome = await tell(way, f"kafka://shop:battery-staple@{kafka_mock.address}/t?sasl=scram-sha-256")
    assert not outcome.delivered
    assert "battery-staple" not in outcome.why


async def test_a_message_that_no_queue_takes_is_an_error(rabbitmq_server: Service) -> None:
    """The broker confirms what it threw away; mandatory makes it say so first."""
    rabbit = Rabbit(rabbitmq_server)
    async with roads() as way:
        assert (await tell(way, rabbit.url, 1)).delivered
        async with rabbit.channel() as channel:
            await channel.queue_delete(rabbit.queue)
        outcome = await tell(way, rabbit.url, 2)
        assert not outcome.delivered
        assert outcome.why == f"unroutable: there is no queue {rabbit.queue!r}"
        assert (await tell(way, rabbit.url, 3)).delivered  # declared again with the next connection
    assert [one.id for one in await rabbit.all()] == ["evt_3"]


@pytest.mark.parametrize("kind", ["quorum", "classic"])
async def test_a_queue_that_is_there_is_taken_as_it_is_and_may_be_full(rabbitmq_server: Service, kind: str) -> None:
    rabbit = Rabbit(rabbitmq_server)
    arguments: FieldTable = {"x-queue-type": kind, "x-max-length": 1, "x-overflow": "reject-publish"}
    async with rabbit.channel() as channel:
        await channel.declare_queue(rabbit.queue, durable=True, arguments=arguments)
    async with roads() as way:
        async with asyncio.timeout(30):
            while (outcome := await tell(way, rabbit.url)).delivered:  # a quorum queue notices a little late
                pass
        assert outcome.why == "the broker refused it (nack): is the queue full?"
        assert outcome.down
        await rabbit.all()
        async with asyncio.timeout(30):
            while not (await tell(way, rabbit.url, 2)).delivered:
                pass


async def test_messages_survive_in_a_classic_queue_too(rabbitmq_server: Service) -> None:
    """A quorum queue keeps everything on disk; a classic one only what says that it must."""
    rabbit = Rabbit(rabbitmq_server)
    async with rabbit.channel() as channel:
        await channel.declare_queue(rabbit.queue, durable=True)
    async with roads() as way:
        assert (await tell(way, rabbit.url)).delivered
        rabbit.end()
    rabbit.back()
    assert [one.id for one in await rabbit.all()] == ["evt_1"]


async def test_a_full_redis_is_no_delivery(durable_valkey: Service) -> None:
    stream = Stream(durable_valkey)
    async with roads() as way:
        assert (await tell(way, stream.url, 1)).delivered
        with stream.client() as client:
            client.config_set("maxmemory", "1")
            outcome = await tell(way, stream.url, 2)
            assert not outcome.delivered
            assert outcome.down
            assert "maxmemory" in outcome.why
            client.config_set("maxmemory", "0")
        assert (await tell(way, stream.url, 3)).delivered
    assert [one.id for one in await stream.all()] == ["evt_1", "evt_3"]


async def test_a_name_that_is_no_stream_is_an_error(durable_valkey: Service) -> None:
    stream = Stream(durable_valkey)
    with stream.client() as client:
        client.set(stream.stream, "something else")
    async with roads() as way:
        outcome = await tell(way, stream.url)
    assert not outcome.delivered
    assert "WRONGTYPE" in outcome.why


async def test_replicas_that_do_not_have_it_are_no_delivery(durable_valkey: Service) -> None:
    stream = Stream(durable_valkey)
    async with roads(timeout_s=2.0) as way:
        outcome = await tell(way, f"{stream.url}&replicas=1")
        assert not outcome.delivered
        assert outcome.why == "0 of 1 replicas have it"
        with valkey() as replica:
            import redis

            with redis.Redis.from_url(replica.url) as client:
                client.replicaof("127.0.0.1", port_of(stream.url))
            async with asyncio.timeout(30):
                while not (await tell(way, f"{stream.url}&replicas=1", 2)).delivered:
                    pass
            with redis.Redis.from_url(replica.url) as client:
                assert client.xlen(stream.stream) == len(await stream.all())


async def test_an_error_of_kafka_is_no_delivery(kafka_mock: KafkaMock) -> None:
    topic = Topic(kafka_mock)
    async with roads(timeout_s=3.0) as way:
        assert (await tell(way, topic.url, 1)).delivered
        kafka_mock.fail(PRODUCE, [TOPIC_AUTHORIZATION_FAILED])
        outcome = await tell(way, topic.url, 2)
        assert not outcome.delivered
        assert "authorization" in outcome.why.lower()
        kafka_mock.fail(PRODUCE, [STORAGE_ERROR] * 2)  # librdkafka repeats by itself what can be repeated
        async with asyncio.timeout(30):
            while not (await tell(way, topic.url, 3)).delivered:  # a client keeps an error of its topic
                pass
        large = await tell(way, topic.url, 4, body=b"x" * 1_100_000)
        assert not large.delivered
        assert not large.down  # the next one is not as large
        assert (await tell(way, topic.url, 5)).delivered
    assert {one.id for one in await topic.all()} == {"evt_1", "evt_3", "evt_5"}


async def test_a_topic_that_we_may_not_see_is_an_error(kafka_mock: KafkaMock) -> None:
    topic = Topic(kafka_mock)
    kafka_mock.topic_error(topic.topic, TOPIC_AUTHORIZATION_FAILED)
    async with roads(timeout_s=3.0) as way:
        outcome = await tell(way, topic.url)
        assert not outcome.delivered
        assert "authorization" in outcome.why.lower()
        kafka_mock.topic_error(topic.topic, 0)
        assert (await tell(way, topic.url, 2)).delivered
    kafka_mock.fail(METADATA, [])


# -- by TLS ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["amqp", "redis"])
@pytest.mark.parametrize("fault", ["", "another name", "unknown authority"])
async def test_by_tls_names_and_authorities_are_verified(
    request: pytest.FixtureRequest, certificates: Certificates, kind: str, fault: str
) -> None:
    broker = broker_of(kind, request)
    tls = certificates.server("other.test" if fault == "another name" else "mq.test")
    trusted = None if fault == "unknown authority" else certificates.client()
    async with (
        behind_tls(port_of(broker.url), tls) as port,
        roads(names=Names(mq_test=[["127.0.0.1"]]), tls=trusted) as way,
    ):
        head, _, tail = broker.url.partition("://")
        login, at, place = tail.rpartition("@")
        _, _, path = place.partition("/")
        outcome = await tell(way, f"{head}s://{login}{at}mq.test:{port}/{path}")
    assert outcome.delivered is (not fault), outcome.why
    if fault:
        assert "certificate" in outcome.why.lower()


async def test_by_tls_kafka_trusts_no_unknown_authority(kafka_mock: KafkaMock, certificates: Certificates) -> None:
    port = int(kafka_mock.address.rpartition(":")[2])
    async with behind_tls(port, certificates.server("localhost")) as outer, roads(timeout_s=3.0) as way:
        outcome = await tell(way, f"kafkas://127.0.0.1:{outer}/t")
    assert not outcome.delivered
    assert "certificate" in outcome.why.lower()


# -- where we do not go ----------------------------------------------------------------------------------------------

INSIDE = ("10.0.0.0/8",)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("address", ["169.254.169.254", "127.0.0.1", "93.184.216.34"])
async def test_a_name_that_leads_elsewhere_is_not_connected_to(kind: str, address: str) -> None:
    """Not to metadata, not to a network that the app may not reach, and without TLS not to the internet."""
    visits = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal visits
        visits += 1

    tail = {"amqp": "/?queue=q", "kafka": "/t", "redis": "/0?stream=s"}[kind]
    async with serving(talk) as port, roads(timeout_s=1.0, names=Names(mq_inside=[[address]])) as way:
        place = endpoint(f"{kind}://mq.inside:{port}{tail}", INSIDE)
        outcome = await way.publish(place, INSIDE, message())
    assert not outcome.delivered
    assert outcome.why.startswith(f"not sent: {address}: ")
    assert visits == 0


@pytest.mark.parametrize("kind", ["amqp", "redis"])
async def test_a_name_is_looked_up_once_for_each_connection(request: pytest.FixtureRequest, kind: str) -> None:
    """What was judged is what is connected to: a name that changes its mind in between gains nothing."""
    server = request.getfixturevalue("rabbitmq_node" if kind == "amqp" else "durable_valkey")
    path = "/?queue=names" if kind == "amqp" else "/0?stream=names"
    names = Names(mq_inside=[["127.0.0.1"], ["169.254.169.254"]])
    async with roads(names=names) as way:
        assert (await tell(way, server.url.replace("127.0.0.1", "mq.inside") + path)).delivered
    assert names.asked == ["mq.inside"]


async def test_a_cluster_that_names_brokers_elsewhere_gets_nothing(kafka_mock: KafkaMock) -> None:
    topic = Topic(kafka_mock)
    kafka_mock.named("169.254.169.254", 9092)
    async with roads(timeout_s=2.0) as way:
        outcome = await tell(way, topic.url)
    assert not outcome.delivered
    assert outcome.why == "not sent: 169.254.169.254: link-local"


async def test_an_endpoint_saved_before_its_networks_were_taken_away_gets_nothing(durable_valkey: Service) -> None:
    stream = Stream(durable_valkey)
    place = endpoint(stream.url)
    async with roads() as way:
        outcome = await way.publish(place, (), Message(id="evt_1", body=b"{}", timestamp_s=NOW_S))
    assert not outcome.delivered
    assert "no private networks" in outcome.why
    assert await stream.all() == []
