"""Events by Kafka: produced with ``acks=all`` and idempotence, done when the delivery report says so.

librdkafka opens its own sockets, and Python cannot look at each address before it does. So the hosts of the URL are
judged before a client is made, and the brokers that the cluster names in its metadata before anything is produced, and
again every minute; a cluster that lies between two looks could still make librdkafka open a connection elsewhere.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from collections import deque
from contextlib import suppress
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from oncepay.ports import Outcome
from oncepay.publishers.links import Connected, Letter, Road, delivered, down, reason

POLL_S: Final = 0.25
QUEUED_MAX: Final = 4_096  # in librdkafka's memory
JUDGED_S: Final = 60.0
LINGER_MS: Final = 5
RECONNECT_MAX_MS: Final = 1_000

_OK: Final = delivered("in the topic")
_TOO_LARGE: Final = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE})

_log = logging.getLogger("oncepay.kafka")
_log.addHandler(logging.NullHandler())
_log.propagate = False  # what matters of it is in an outcome's words

Report = tuple[asyncio.Future[Outcome], KafkaError | None]


class Client:
    """A producer, and the thread that serves its reports."""

    def __init__(self, settings: dict[str, Any], loop: asyncio.AbstractEventLoop) -> None:
        self.last_error: KafkaError | None = None
        self.fatal = False
        self.judged_at = loop.time()
        self._loop = loop
        self._reports: deque[Report] = deque()
        self._told = False
        self._ending = threading.Event()
        self.producer: Final = Producer({**settings, "error_cb": self._failed}, logger=_log)
        self._thread = threading.Thread(target=self._serve, name="oncepay-kafka", daemon=True)
        self._thread.start()

    def produce(self, topic: str, letter: Letter, done: asyncio.Future[Outcome]) -> None:
        """Queue one message. Raises BufferError when the client's own queue is full, KafkaException."""
        self.producer.produce(
            topic,
            letter.body,
            letter.key,
            headers=dict(letter.headers),
            on_delivery=functools.partial(self._reported, done),
        )

    def end(self) -> threading.Thread:
        """Throw away what is not confirmed, and let go: the thread ends by itself."""
        self._ending.set()
        self.producer.purge()
        return self._thread

    def _serve(self) -> None:
        while not self._ending.is_set():
            self.producer.poll(POLL_S)
        self.producer.flush(1.0)  # the reports of what was purged
        self.producer.close()

    def _failed(self, error: KafkaError) -> None:
        self.last_error = error
        self.fatal = self.fatal or error.fatal()

    def _reported(self, done: asyncio.Future[Outcome], error: KafkaError | None, _: Message) -> None:
        # In the thread; the loop is woken once for all reports of one poll.
        self._reports.append((done, error))
        if not self._told:
            self._told = True
            with suppress(RuntimeError):  # the loop is gone, and whoever waited with it
                self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        self._told = False
        while self._reports:
            done, error = self._reports.popleft()
            if not done.done():
                done.set_result(_OK if error is None else self.outcome(error))

    def outcome(self, error: KafkaError) -> Outcome:
        """What a report says."""
        if error.code() in _TOO_LARGE:
            return _too_large(error)
        self.fatal = self.fatal or error.fatal()
        last = self.last_error
        return down(
            f"{error.str()} ({last.str()})" if last is not None and last.code() != error.code() else error.str()
        )


class KafkaLink(Connected[Client]):
    """One producer for one topic."""

    def __init__(self, road: Road) -> None:
        super().__init__()
        self._road = road
        self._judging: asyncio.Task[None] | None = None

    async def send(self, letter: Letter) -> Outcome:
        """Produce, and wait for the delivery report: librdkafka ends it in time."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Outcome] = loop.create_future()
        try:
            client = await self._connection()
            if loop.time() - client.judged_at > JUDGED_S:
                client.judged_at = loop.time()
                self._judging = loop.create_task(self._judge_again(client))
            client.produce(self._road.place.name, letter, done)
        except KafkaException as error:
            if _of(error).code() in _TOO_LARGE:
                return _too_large(_of(error))
            await self._drop()  # it is of the topic, and a client keeps it
            return down(_of(error).str())
        except (BufferError, OSError, ValueError) as error:
            return down(reason(error))
        outcome = await done
        if client.fatal:  # an idempotent producer that has lost its place must be made anew
            await self._drop(client)
        return outcome

    async def close(self) -> None:
        """Let go of the client, for good; what is under way ends as not confirmed."""
        if self._judging is not None:
            self._judging.cancel()
        await super().close()

    async def _open(self) -> Client:
        for host, port in self._road.place.hosts:
            await self._road.addresses(host, port)
        client = Client(_settings(self._road), asyncio.get_running_loop())
        try:
            await self._judge(client)
        except BaseException:
            client.end()
            raise
        return client

    async def _judge(self, client: Client) -> None:
        """Judge the brokers that the cluster names, and see that the topic is there."""
        topic, seconds = self._road.place.name, self._road.timeout_s / 2
        try:
            metadata = await asyncio.to_thread(client.producer.list_topics, topic, seconds)
        except KafkaException as error:
            last = client.last_error
            words = _of(error).str()
            raise OSError(f"{words} ({last.str()})" if last is not None else words) from error
        for broker in metadata.brokers.values():
            await self._road.addresses(broker.host, broker.port)
        found = metadata.topics[topic].error
        if found is not None and not found.retriable():
            raise KafkaException(found)

    async def _judge_again(self, client: Client) -> None:
        try:
            await self._judge(client)
        except (KafkaException, OSError, ValueError) as error:
            _log.warning("broker.refused why=%s", reason(error))
            await self._drop(client)

    async def _shut(self, connection: Client) -> None:
        await asyncio.to_thread(connection.end().join, 2.0)


def _settings(road: Road) -> dict[str, Any]:
    place, ms = road.place, int(road.timeout_s * 1_000)
    settings: dict[str, Any] = {
        "bootstrap.servers": ",".join(
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in place.hosts
        ),
        "client.id": "oncepay",
        "acks": "all",
        "enable.idempotence": True,
        "message.timeout.ms": ms,
        "request.timeout.ms": ms,
        "socket.timeout.ms": ms,
        "socket.connection.setup.timeout.ms": max(1_000, ms // 2),
        "topic.metadata.propagation.max.ms": ms // 2,
        "reconnect.backoff.max.ms": RECONNECT_MAX_MS,
        "linger.ms": LINGER_MS,
        "queue.buffering.max.messages": QUEUED_MAX,
        "security.protocol": ("SASL_" if place.user else "") + ("SSL" if place.tls else "PLAINTEXT"),
    }
    if place.user:
        settings |= {"sasl.mechanism": place.sasl, "sasl.username": place.user, "sasl.password": place.password}
    return settings


def _of(error: KafkaException) -> KafkaError:
    """The error that a library's exception carries."""
    found = error.args[0]
    assert isinstance(found, KafkaError)
    return found


def _too_large(error: KafkaError) -> Outcome:
    """Only this message: the next one is not as large."""
    return Outcome(delivered=False, why=f"refused: {error.str()}")
