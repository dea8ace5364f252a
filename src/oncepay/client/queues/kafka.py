"""A topic in Kafka, read by a consumer group. Needs the extra ``kafka``.

The library connects, and connects again, by itself, in threads of its own; it is asked in one thread, since asking
waits. The place of the group goes forward only over what was taken in or put aside.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from oncepay.client.guards.inbox import log
from oncepay.client.queues.places import TAKE_MAX, TAKE_S, Got, Place, Source, message_of

R = TypeVar("R")

HEARTBEAT_MS: Final = 3000
RECONNECT_MAX_MS: Final = 1000
FETCH_KB: Final = 4096  # kept in memory by the library
PASSING: Final = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART})  # until the first message is published


class Kafka:
    """A topic by its URL. ``group``: consumers of one group share its partitions. ``claim_s``: a consumer that
    was not heard of for so long is dead, and its partitions are for others."""

    has_dead_letters = False

    def __init__(self, place: Place, group: str, claim_s: float) -> None:
        self._place = place
        self._group = group
        self._claim_s = claim_s

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Source]:
        """Begin to connect, and to belong to the group; it begins at the first message that the topic has."""
        with ThreadPoolExecutor(1, thread_name_prefix="oncepay-kafka") as thread:
            topic = _Topic(self._settings(), self._place.name, thread)
            try:
                yield topic
            finally:
                await topic.close()

    def _settings(self) -> dict[str, Any]:
        place = self._place
        security = ("SASL_" if place.user else "") + ("SSL" if place.tls else "PLAINTEXT")
        known = {
            "bootstrap.servers": ",".join(_with_port(host, place.tls) for host in place.hosts.split(",")),
            "group.id": self._group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "session.timeout.ms": round(self._claim_s * 1000),
            "heartbeat.interval.ms": min(HEARTBEAT_MS, round(self._claim_s * 300)),
            "reconnect.backoff.max.ms": RECONNECT_MAX_MS,
            "queued.max.messages.kbytes": FETCH_KB,
            "security.protocol": security,
            "error_cb": _say,
        }
        if place.user:
            mechanism = place.options.get("sasl", "plain").upper()
            known |= {"sasl.mechanism": mechanism, "sasl.username": place.user, "sasl.password": place.password}
        return known


class _Topic:
    def __init__(self, settings: dict[str, Any], topic: str, thread: ThreadPoolExecutor) -> None:
        self._thread = thread
        self._consumer = Consumer(settings, logger=log)
        self._consumer.subscribe([topic])

    async def take(self) -> list[Got]:
        return await self._wait_for(self._take)

    def _take(self) -> list[Got]:
        first = self._consumer.poll(TAKE_S)
        if first is None:
            return []
        found = []
        for one in (first, *self._consumer.consume(TAKE_MAX - 1, 0)):
            if (error := one.error()) is None:
                headers: Any = one.headers() or ()
                found.append(Got(message_of(headers, one.value() or b""), one))
            elif error.code() not in PASSING:
                raise KafkaException(error)
        return found

    async def done(self, got: list[Got]) -> None:
        """Past the last of each partition."""
        offsets = {(one.tag.topic(), one.tag.partition()): one.tag.offset() + 1 for one in got}
        places = [TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()]
        await self._wait_for(lambda: self._consumer.commit(offsets=places, asynchronous=False))

    async def reject(self, got: list[Got]) -> None:
        await self.done(got)

    async def close(self) -> None:
        """Leave the group, so that others need not wait until we are missed."""
        await self._wait_for(self._consumer.close)

    async def _wait_for(self, call: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)


def _with_port(host: str, tls: bool) -> str:  # noqa: FBT001 - the one thing it depends on
    """A host as the endpoint's URL has it.

    >>> [_with_port(host, True) for host in ("mq", "mq:19092", "[::1]", "[::1]:19092")]
    ['mq:9093', 'mq:19092', '[::1]:9093', '[::1]:19092']
    """
    return host if host.rpartition("]")[2].rpartition(":")[2].isdigit() else f"{host}:{9093 if tls else 9092}"


def _say(error: KafkaError) -> None:
    """What the library meets on its way, and goes on after."""
    log.warning("consumer.lost error=%s", error)
