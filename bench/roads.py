"""Events to brokers: the publisher alone, and the whole relay (ledger, claim, sign, publish, confirm, mark) of one
process on SQLite. The broker is a process of its own beside it: RabbitMQ with a quorum queue, Valkey that writes to
disk before it confirms, librdkafka's mock cluster for Kafka's protocol."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from oncepay.assembly import Centre
from oncepay.ports import Message
from oncepay.publishers.roads import Roads, read_target
from oncepay.publishers.webhook import WebhookPublisher
from oncepay.testing.services import has_rabbitmq, rabbitmq, valkey
from tests.kafka_mock import KafkaMock
from tests.relay import happen, relay, statuses

ALONE, RELAYED = 20_000, 10_000
NETWORKS = ("127.0.0.0/8",)
SECRET = "whsec_" + "A" * 32
BODY = b'{"id":"evt_0"}'.ljust(900)  # as large as the event of a payment with one attempt

BROKERS: dict[str, tuple[Callable[[], AbstractContextManager[Any]], str]] = {
    "kafka": (KafkaMock, "/events"),
    "redis": (lambda: valkey(durable=True), "/0?stream=events"),
    "rabbitmq": (rabbitmq, "/?queue=events"),
}


async def measure(*, quick: bool = False) -> dict[str, dict[str, float]]:
    """Events a second and CPU of this process by event, for each kind of broker that this machine has."""
    figures: dict[str, dict[str, float]] = {}
    for name, (start, path) in BROKERS.items():
        if name == "rabbitmq" and not has_rabbitmq():
            print("rabbitmq: not on this machine (Debian: rabbitmq-server)")
            continue
        with start() as broker:
            part = 4 if quick else 1
            alone = await _alone(broker.url + path, ALONE // part)
            relayed = await _relayed(broker.url + path, RELAYED // part)
            figures[name] = {
                **{f"alone_{what}": value for what, value in alone.items()},
                **{f"relay_{what}": value for what, value in relayed.items()},
            }
            print(f"{name:9} {figures[name]}", flush=True)
    return figures


def _figures(count: int, began: float, cpu: float) -> dict[str, float]:
    return {
        "events_per_s": round(count / (time.perf_counter() - began)),
        "cpu_us": round((time.process_time() - cpu) / count * 1e6),
    }


async def _alone(url: str, count: int) -> dict[str, float]:
    from oncepay.ports import Endpoint

    shown, login = read_target(url, NETWORKS)
    place = Endpoint(id="end", app="shop", url=shown, login=login, secrets=(SECRET,))
    way = Roads(WebhookPublisher())
    numbers = iter(range(count))

    async def sender() -> None:
        for number in numbers:
            message = Message(id=f"evt_{number}", key=f"pay_{number % 997}", body=BODY, timestamp_s=1)
            outcome = await way.publish(place, NETWORKS, message)
            assert outcome.delivered, outcome.why

    warm = await way.publish(place, NETWORKS, Message(id="evt_warm", body=BODY, timestamp_s=1))
    assert warm.delivered, warm.why
    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(sender() for _ in range(way.at_once(place))))
    found = _figures(count, began, cpu)
    await way.close()
    return found


async def _relayed(url: str, count: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        async with relay(f"sqlite:///{Path(folder)}/relay.db", url) as centre:
            await happen(centre, 200)
            await _empty(centre)
            await happen(centre, count, first=200)
            began, cpu = time.perf_counter(), time.process_time()
            await _empty(centre)
            return _figures(count, began, cpu)


async def _empty(centre: Centre) -> None:
    """Deliver as a worker does, until nothing is due and every mark is written."""
    while True:
        if await centre.deliverer.claim():
            continue
        if not centre.deliverer.busy and set((await statuses(centre)).values()) <= {"done"}:
            return
        await asyncio.sleep(0.002)


if __name__ == "__main__":
    asyncio.run(measure())
