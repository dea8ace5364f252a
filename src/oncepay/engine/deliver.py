"""Deliver: events on their way to the apps' endpoints, each endpoint by itself, so that a dead one slows no other.

A delivery is lent to this process either by the commit that made it (the fast way) or by a claim (the truth). It is
marked only after the endpoint has acknowledged; a mark that is lost is only a second delivery of the same event.

When a road itself is closed (a broker that is down), its endpoint rests: nothing more is tried or taken into memory,
what waited goes back to the store, and after the rest one delivery is tried before the others follow."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Final

import msgspec

from oncepay.domain.errors import OncepayError
from oncepay.engine.core import GUARD_TRIES, Engine, log
from oncepay.engine.metrics import DELIVERIES, labelled
from oncepay.ports import DeliveryMark, DeliveryRow, Endpoint, EventRow, Message, Outcome, Publisher

DISABLED: Final = "the endpoint is disabled"
WAITING_MAX: Final = 2_000  # per endpoint, in memory; what is more stays in the store and is claimed later
CLAIM_EACH: Final = 20
REST_MS: Final = (1_000, 2_000, 5_000, 10_000, 20_000, 30_000)  # by how often the road was found closed


class Rest(msgspec.Struct, frozen=True):
    """An endpoint whose road was closed: until when, and how often in a row."""

    until_ms: int
    times: int

    def lasts(self, now_ms: int) -> bool:
        """Whether it is not over; a clock that was set back makes it no longer."""
        return 0 < self.until_ms - now_ms <= REST_MS[-1]


class Deliverer:
    """The queues of one process, one for each endpoint."""

    def __init__(self, engine: Engine, publisher: Publisher) -> None:
        self._engine = engine
        self._publisher = publisher
        self._waiting: dict[str, deque[DeliveryRow]] = {}
        self._running: dict[str, int] = {}
        self._resting: dict[str, Rest] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def hand_over(self, row: DeliveryRow) -> bool:
        """Take a lent delivery; False when this endpoint's queue is full, or it rests: then it comes back when its
        lease is over."""
        waiting = self._waiting.setdefault(row.endpoint_id, deque())
        if len(waiting) >= WAITING_MAX or self._shut(row.endpoint_id):
            return False
        waiting.append(row)
        running = self._running.get(row.endpoint_id, 0)
        if running < self._room(row.endpoint_id):
            self._running[row.endpoint_id] = running + 1
            task = asyncio.get_running_loop().create_task(self._drain(row.endpoint_id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return True

    @property
    def busy(self) -> bool:
        """Whether a delivery is under way or waits in memory."""
        return bool(self._tasks)

    @property
    def resting(self) -> frozenset[str]:
        """Endpoints whose road was found closed, and has not been found open since."""
        return frozenset(self._resting)

    async def claim(self) -> int:
        """Lend what is due of the endpoints that have room, and hand it over; how many."""
        engine = self._engine
        now_ms = engine.clock.now_ms()
        free: dict[int, list[str]] = {}
        for endpoint in await engine.ledger.due_endpoints(now_ms):
            each = self._share(endpoint)
            if len(self._waiting.get(endpoint, ())) < each:
                free.setdefault(each, []).append(endpoint)
        claimed = 0
        for each, endpoints in free.items():
            rows = await engine.ledger.claim_deliveries(now_ms, now_ms + engine.settings.lease_ms, endpoints, each)
            claimed += len(rows)
            for row in rows:
                self.hand_over(row)
        return claimed

    def _room(self, endpoint_id: str) -> int:
        endpoint = self._engine.directory.endpoint(endpoint_id)
        return 1 if endpoint is None else self._publisher.at_once(endpoint)

    def _share(self, endpoint_id: str) -> int:
        """How much is claimed for an endpoint at a time: nothing while it rests, then one to see."""
        if self._shut(endpoint_id):
            return 0
        return 1 if endpoint_id in self._resting else max(CLAIM_EACH, self._room(endpoint_id))

    def _shut(self, endpoint_id: str) -> bool:
        """Whether it rests, or the one that is tried after a rest is on its way."""
        rest = self._resting.get(endpoint_id)
        if rest is None:
            return False
        return rest.lasts(self._engine.clock.now_ms()) or self._running.get(endpoint_id, 0) > 0

    async def _drain(self, endpoint_id: str) -> None:
        waiting = self._waiting[endpoint_id]
        try:
            while waiting:
                row = waiting.popleft()
                if row.due_ms is not None and row.due_ms <= self._engine.clock.now_ms():
                    continue  # its lease is over: another process may have it
                try:
                    await self._deliver(row)
                except OncepayError as error:
                    log.warning("delivery.unmarked payment=%s why=%s", row.payment_id, error.detail)
                except Exception:  # it comes back when its lease is over; those behind it must not wait for that
                    log.exception("delivery.failed payment=%s", row.payment_id)
        finally:
            self._running[endpoint_id] -= 1

    async def _deliver(self, row: DeliveryRow) -> None:
        endpoint = await self._known(row.endpoint_id)
        if endpoint is None or endpoint.disabled or row.event is None:
            await self._park(row, "the endpoint is gone" if endpoint is None else DISABLED)
            return
        message = Message(
            id=event_id(row.event),
            key=f"pay_{row.payment_id}",
            body=event_body(row.event),
            timestamp_s=self._engine.clock.now_ms() // 1000,
        )
        outcome = await self._publisher.publish(endpoint, self._allowed(endpoint), message)
        labelled(DELIVERIES, "delivered" if outcome.delivered else "gone" if outcome.gone else "failed").inc()
        if outcome.delivered:
            self._resting.pop(row.endpoint_id, None)
            await self._mark(row, "done", None, outcome.why)
        elif outcome.gone:
            await self._disable(endpoint, outcome.why)
            await self._park(row, outcome.why)
        else:
            if outcome.down:
                self._rest(row.endpoint_id, outcome.why)
            await self._later(row, outcome)

    async def _known(self, endpoint_id: str) -> Endpoint | None:
        """An endpoint as it stands. One that seems gone or disabled may have been added or enabled by another process
        just now: parked for that, nobody would try it again."""
        directory = self._engine.directory
        endpoint = directory.endpoint(endpoint_id)
        if endpoint is None or endpoint.disabled:
            await directory.refresh()
            endpoint = directory.endpoint(endpoint_id)
        return endpoint

    def _rest(self, endpoint_id: str, why: str) -> None:
        """Its road is closed. What waits here goes back by itself: it was only lent."""
        known = self._resting.get(endpoint_id)
        if known is not None and known.lasts(self._engine.clock.now_ms()):
            return  # others that were on their way have found the same
        times = known.times + 1 if known else 0
        rest_ms = REST_MS[min(times, len(REST_MS) - 1)]
        self._resting[endpoint_id] = Rest(self._engine.clock.now_ms() + rest_ms, times)
        self._waiting[endpoint_id].clear()
        log.warning("endpoint.resting endpoint=%s seconds=%d why=%s", endpoint_id, rest_ms // 1000, why)

    def _allowed(self, endpoint: Endpoint) -> tuple[str, ...]:
        return self._engine.directory.app(endpoint.app).private_networks

    async def _later(self, row: DeliveryRow, outcome: Outcome) -> None:
        engine = self._engine
        next_ms = self._publisher.next_try_ms(
            row.tries + 1, engine.clock.now_ms(), engine.dice.draw(), outcome.retry_after_s
        )
        if next_ms is None:
            await self._park(row, outcome.why)
        else:
            await self._mark(row, "due", next_ms, outcome.why)

    async def _park(self, row: DeliveryRow, why: str) -> None:
        # That it was disabled was said once; what it misses from then on is no news.
        level = logging.INFO if why == DISABLED else logging.WARNING
        log.log(level, "delivery.parked payment=%s version=%d why=%s", row.payment_id, row.version, why)
        await self._mark(row, "parked", None, why)

    async def _mark(self, row: DeliveryRow, status: str, due_ms: int | None, last: str) -> None:
        mark = DeliveryMark(
            payment_id=row.payment_id,
            version=row.version,
            endpoint_id=row.endpoint_id,
            status=status,
            tries=row.tries + 1,
            due_ms=due_ms,
            last=last[:200],
        )
        await self._engine.ledger.mark_deliveries((mark,))

    async def _disable(self, endpoint: Endpoint, why: str) -> None:
        """Again from what stands when somebody changes it at this moment; left alone when it is removed or disabled by
        then. Where others change it all the time, the next delivery that is answered so disables it."""
        engine = self._engine
        for _ in range(GUARD_TRIES):
            stands = next((known for known in await engine.ledger.endpoints() if known.id == endpoint.id), None)
            if stands is None or stands.disabled:
                break
            if await engine.ledger.save_endpoint(msgspec.structs.replace(stands, disabled=why), stands):
                log.warning("endpoint.disabled endpoint=%s why=%s", endpoint.id, why)
                break
        await engine.directory.refresh(force=True)

    async def finish(self, seconds: float) -> None:
        """Give deliveries under way a moment; what is left comes back when its lease is over."""
        for waiting in self._waiting.values():
            waiting.clear()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)


def event_id(event: EventRow) -> str:
    """The id of an event, the same on every delivery of it: what consumers drop repeats by."""
    return f"evt_{event.payment_id}_{event.version}"


def event_body(event: EventRow) -> bytes:
    """The event as apps get it: by webhook, by broker, and from the feed."""
    head = {
        "id": event_id(event),
        "type": "payment.changed",
        "created_ms": event.at_ms,
        "version": event.version,
        "changes": event.changes,
        "data": msgspec.Raw(event.data),
    }
    return msgspec.json.encode(head)
