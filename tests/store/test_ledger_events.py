"""What every ledger must do with events: the feed, deliveries by endpoint, marks, replay."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from oncepay.domain.errors import Invalid
from oncepay.domain.payment import Payment
from oncepay.ports import DeliveryMark, DeliveryRow, Endpoint, EventRow, Ledger, Page
from tests.store.conftest import eventually, have
from tests.store.make import T0, created, paid, started

LATER = T0 + 100_000


async def with_event(ledger: Ledger, order_no: str, app: str = "shop", **more: Any) -> Payment:
    """A payment that is paid, with its event."""
    first = created(order_no, app)
    second = started(first.payment)
    return await have(ledger, first, second, paid(second.payment, **more))


async def feed(ledger: Ledger, app: str, *, wanted: int, limit: int = 3, after: str = "") -> list[EventRow]:
    """Page through the feed until that many events were seen."""
    seen: list[EventRow] = []

    async def enough() -> bool:
        nonlocal after
        page, after = await ledger.events(app, Page(limit=limit, after=after))
        seen.extend(page)
        return len(seen) >= wanted

    await eventually(enough)
    return seen


def marked(row: DeliveryRow, status: str, due_ms: int | None = None, **fields: Any) -> DeliveryMark:
    """How a try ended."""
    known: dict[str, Any] = {"tries": row.tries + 1, "last": "200 OK"}
    return DeliveryMark(
        payment_id=row.payment_id, version=row.version, endpoint_id=row.endpoint_id, status=status, due_ms=due_ms,
        **(known | fields),
    )  # fmt: skip


async def mark(ledger: Ledger, *marks: DeliveryMark) -> None:
    """Mark, and wait for the group that takes the marks along."""
    await ledger.mark_deliveries(marks)
    wanted = {(m.payment_id, m.version, m.endpoint_id): (m.status, m.tries) for m in marks}

    async def there() -> bool:
        found: dict[tuple[str, int, str], tuple[str, int]] = {}
        for payment_id in {m.payment_id for m in marks}:
            for app in ("shop", "other"):
                rows, _ = await ledger.deliveries(app, Page(limit=500), payment_id=payment_id)
                found |= {(r.payment_id, r.version, r.endpoint_id): (r.status, r.tries) for r in rows}
        return all(found[key] == value for key, value in wanted.items())

    await eventually(there)


async def endpoints(ledger: Ledger, *ids: str, app: str = "shop") -> None:
    """Endpoints of an app."""
    for id_ in ids:
        await ledger.save_endpoint(Endpoint(id=id_, app=app, url=f"https://{id_}.example", secrets=("s",)), None)


class TestTheFeed:
    async def test_goes_on_from_its_cursor_and_misses_nothing(self, ledger: Ledger) -> None:
        payments = [await with_event(ledger, f"A-{i}") for i in range(10)]
        seen = await feed(ledger, "shop", wanted=10)
        assert sorted(event.payment_id for event in seen) == sorted(payment.id for payment in payments)
        assert all(event.changes == ("paid",) and event.version == 1 and event.at_ms == T0 + 5_000 for event in seen)
        data = msgspec.json.decode(seen[0].data)
        assert (data["id"], data["status"]) == (f"pay_{seen[0].payment_id}", "paid")

    async def test_every_event_carries_its_own_place(self, ledger: Ledger) -> None:
        for i in range(4):
            await with_event(ledger, f"A-{i}")
        seen = await feed(ledger, "shop", wanted=4, limit=4)
        assert await feed(ledger, "shop", wanted=2, after=seen[1].cursor) == seen[2:]

    async def test_an_empty_feed_has_a_place_to_go_on_from(self, ledger: Ledger) -> None:
        events, after = await ledger.events("shop", Page())
        assert events == []
        assert after
        await with_event(ledger, "A")
        assert len(await feed(ledger, "shop", wanted=1, after=after)) == 1

    async def test_at_its_end_the_place_stays(self, ledger: Ledger) -> None:
        await with_event(ledger, "A")
        (last,) = await feed(ledger, "shop", wanted=1)
        assert await ledger.events("shop", Page(after=last.cursor)) == ([], last.cursor)

    async def test_is_an_apps_own(self, ledger: Ledger) -> None:
        await with_event(ledger, "A", "shop")
        theirs = await with_event(ledger, "A", "other")
        assert [e.payment_id for e in await feed(ledger, "other", wanted=1)] == [theirs.id]
        assert await ledger.event("shop", theirs.id, 1) is None

    async def test_a_place_of_another_epoch_starts_again(self, ledger: Ledger) -> None:
        from oncepay.store.rows import cursor, place_of

        await with_event(ledger, "A")
        (event,) = await feed(ledger, "shop", wanted=1)
        _, *place = place_of(event.cursor, str, int, str, int)
        assert await feed(ledger, "shop", wanted=1, after=cursor("before the restore", *place)) == [event]

    @pytest.mark.parametrize(
        "after", ["x", "!", "bm90IGpzb24", "WzFd", "WyJhIiwtMSwiYiIsMV0", "\ud800", "WyJhIiwxLCJcdTAwMDAiLDFd"]
    )
    async def test_what_is_no_place_is_refused(self, ledger: Ledger, after: str) -> None:
        with pytest.raises(Invalid):
            await ledger.events("shop", Page(after=after))

    async def test_readers_beside_writers_miss_nothing(self, ledger: Ledger) -> None:
        async def write() -> None:
            await asyncio.gather(*(with_event(ledger, f"A-{i}") for i in range(100)))

        writing = asyncio.ensure_future(write())
        seen = await feed(ledger, "shop", wanted=100, limit=7)
        await writing
        assert len({event.payment_id for event in seen}) == 100

    async def test_one_event(self, ledger: Ledger) -> None:
        payment = await with_event(ledger, "A")
        event = await ledger.event("shop", payment.id, 1)
        assert event is not None
        assert event.payment_id == payment.id
        assert await ledger.event("shop", payment.id, 2) is None
        assert [e.version for e in await ledger.payment_events(payment.id)] == [1]


class TestDeliveries:
    async def test_are_born_lent_to_whoever_committed_them(self, ledger: Ledger) -> None:
        await endpoints(ledger, "e1")
        await with_event(ledger, "A", endpoints=("e1",), lent_ms=T0 + 30_000)
        assert await ledger.due_endpoints(T0 + 29_999) == []
        assert await ledger.claim_deliveries(T0 + 29_999, LATER, ["e1"], 20) == []
        assert await ledger.due_endpoints(T0 + 30_000) == ["e1"]
        (row,) = await ledger.claim_deliveries(T0 + 30_000, LATER, ["e1"], 20)
        assert (row.status, row.tries, row.due_ms) == ("due", 0, LATER)
        assert row.event is not None
        assert row.event.changes == ("paid",)

    async def test_go_to_one_worker_and_come_back_when_it_dies(self, ledger: Ledger) -> None:
        await endpoints(ledger, "e1")
        await with_event(ledger, "A", endpoints=("e1",), lent_ms=T0)
        claims = await asyncio.gather(*(ledger.claim_deliveries(T0, LATER, ["e1"], 20) for _ in range(4)))
        assert sum(map(len, claims)) == 1
        assert len(await ledger.claim_deliveries(LATER, LATER + 1, ["e1"], 20)) == 1

    async def test_an_endpoint_takes_no_turn_from_another(self, ledger: Ledger) -> None:
        await endpoints(ledger, "slow", "quick", "idle")
        await asyncio.gather(*(with_event(ledger, f"A-{i}", endpoints=("slow",), lent_ms=T0) for i in range(30)))
        await with_event(ledger, "B", endpoints=("quick",), lent_ms=T0 + 5)
        assert await ledger.due_endpoints(T0 + 5) == ["quick", "slow"]
        rows = await ledger.claim_deliveries(T0 + 5, LATER, ["slow", "quick", "idle"], 20)
        assert [sum(row.endpoint_id == e for row in rows) for e in ("slow", "quick", "idle")] == [20, 1, 0]

    async def test_the_longest_overdue_first(self, ledger: Ledger) -> None:
        await endpoints(ledger, "e1")
        for i, late_ms in enumerate((1, 9, 5)):
            await with_event(ledger, f"A-{i}", endpoints=("e1",), lent_ms=T0 - late_ms)
        rows = await ledger.claim_deliveries(T0, LATER, ["e1"], 2)
        loaded = [await ledger.load(row.payment_id) for row in rows]
        assert [p.order_no for p in loaded if p is not None] == ["A-1", "A-2"]

    async def test_marks_say_how_tries_ended(self, ledger: Ledger) -> None:
        await endpoints(ledger, "e1", "e2", "e3")
        await with_event(ledger, "A", endpoints=("e1", "e2", "e3"), lent_ms=T0)
        done, again, parked = await ledger.claim_deliveries(T0, LATER, ["e1", "e2", "e3"], 20)
        await mark(
            ledger,
            marked(done, "done"),
            marked(again, "due", LATER + 5, last="500"),
            marked(parked, "parked", last="410"),
        )
        rows, _ = await ledger.deliveries("shop", Page())
        assert [(r.endpoint_id, r.status, r.tries, r.due_ms, r.last) for r in rows] == [
            ("e1", "done", 1, None, "200 OK"), ("e2", "due", 1, LATER + 5, "500"), ("e3", "parked", 1, None, "410"),
        ]  # fmt: skip
        assert await ledger.due_endpoints(LATER + 4) == []
        assert await ledger.due_endpoints(LATER + 5) == ["e2"]

    async def test_what_is_done_stays_done(self, ledger: Ledger) -> None:
        """Two workers had it; the slower one failed. The app has heard."""
        await endpoints(ledger, "e1")
        payment = await with_event(ledger, "A", endpoints=("e1",), lent_ms=T0)
        (row,) = await ledger.claim_deliveries(T0, LATER, ["e1"], 20)
        await mark(ledger, marked(row, "done"))
        await ledger.mark_deliveries([marked(row, "due", T0, tries=7)])
        await have(ledger, created("B"))  # a group that takes the mark along

        async def taken_along() -> bool:
            return await ledger.commit(created("C")) or True

        await eventually(taken_along)
        ((kept,), _) = await ledger.deliveries("shop", Page(), payment_id=payment.id)
        assert (kept.status, kept.tries) == ("done", 1)

    async def test_marks_ride_in_the_same_group_as_changes(self, ledger: Ledger) -> None:
        await endpoints(ledger, "e1")
        payments = [await with_event(ledger, f"A-{i}", endpoints=("e1",), lent_ms=T0) for i in range(15)]
        rows = await ledger.claim_deliveries(T0, LATER, ["e1"], 20)
        assert len(rows) == len(payments)
        waits = [asyncio.ensure_future(ledger.commit(created(f"B-{i}"))) for i in range(20)]
        await mark(ledger, *(marked(row, "done") for row in rows))
        assert await asyncio.gather(*waits) == [True] * 20

    async def test_a_mark_that_no_database_can_hold(self, ledger: Ledger) -> None:
        row = DeliveryRow(payment_id="P", version=1, endpoint_id="e", app="shop", status="due", tries=0, due_ms=None)
        for bad in ({"last": "nul\0"}, {"last": "\ud800"}, {"due_ms": 2**63}, {"tries": -1}):
            with pytest.raises(Invalid):
                await ledger.mark_deliveries([msgspec.structs.replace(marked(row, "due"), **bad)])
        await ledger.mark_deliveries([marked(row, "done")])  # nobody has it; nothing happens

    async def test_a_deleted_endpoints_queue_goes_with_it(self, ledger: Ledger) -> None:
        await endpoints(ledger, "e1", "e2")
        await with_event(ledger, "A", endpoints=("e1", "e2"), lent_ms=T0)
        assert not await ledger.delete_endpoint("other", "e1"), "not theirs"
        assert await ledger.delete_endpoint("shop", "e1")
        assert not await ledger.delete_endpoint("shop", "e1")
        rows, _ = await ledger.deliveries("shop", Page())
        assert [row.endpoint_id for row in rows] == ["e2"]

    async def test_what_is_due_to_nobody_is_found_too(self, ledger: Ledger) -> None:
        """An event of another process that had not heard yet that the endpoint was removed: somebody must put it away."""
        await endpoints(ledger, "e1", "e2", "e3")
        await with_event(ledger, "A", endpoints=("e1", "e2", "e3"), lent_ms=T0)
        assert await ledger.delete_endpoint("shop", "e2")
        await with_event(ledger, "B", endpoints=("e2", "e4"), lent_ms=T0 + 5)
        assert await ledger.due_endpoints(T0 - 1) == []
        assert await ledger.due_endpoints(T0 + 4) == ["e1", "e3"]
        assert await ledger.due_endpoints(T0 + 5) == ["e1", "e2", "e3", "e4"]


class TestReplay:
    async def parked(self, ledger: Ledger) -> list[Payment]:
        """Three payments, each with a parked delivery to e1 and a delivered one to e2."""
        await endpoints(ledger, "e1", "e2")
        payments = [await with_event(ledger, f"A-{i}", endpoints=("e1", "e2"), lent_ms=T0) for i in range(3)]
        rows = await ledger.claim_deliveries(T0, LATER, ["e1", "e2"], 20)
        await mark(
            ledger,
            *(marked(row, "parked" if row.endpoint_id == "e1" else "done") for row in rows),
        )
        return payments

    async def test_makes_what_is_parked_due_with_all_its_tries(self, ledger: Ledger) -> None:
        await self.parked(ledger)
        assert await ledger.replay("shop", T0 + 7) == 3
        rows, _ = await ledger.deliveries("shop", Page(), status="due")
        assert {(r.endpoint_id, r.tries, r.due_ms) for r in rows} == {("e1", 0, T0 + 7)}
        assert await ledger.replay("shop", T0 + 7) == 0
        assert len(await ledger.claim_deliveries(T0 + 7, LATER, ["e1"], 20)) == 3

    async def test_by_payment_by_endpoint_by_version_by_status(self, ledger: Ledger) -> None:
        payments = await self.parked(ledger)
        assert await ledger.replay("other", T0) == 0
        assert await ledger.replay("shop", T0, endpoint="e2") == 0
        assert await ledger.replay("shop", T0, payment_id=payments[0].id, version=2) == 0
        assert await ledger.replay("shop", T0, payment_id=payments[0].id, version=1) == 1
        assert await ledger.replay("shop", T0, limit=1) == 1
        assert await ledger.replay("shop", T0, status="done", payment_id=payments[1].id) == 1
        assert await ledger.replay("shop", T0, status="done", endpoint="e2") == 2

    async def test_lists_of_deliveries(self, ledger: Ledger) -> None:
        payments = await self.parked(ledger)
        parked, _ = await ledger.deliveries("shop", Page(), status="parked")
        assert [row.payment_id for row in parked] == sorted(p.id for p in payments)
        assert [r.endpoint_id for r in parked] == ["e1"] * 3
        mine, _ = await ledger.deliveries("shop", Page(), payment_id=payments[0].id)
        assert [(r.payment_id, r.endpoint_id) for r in mine] == [(payments[0].id, "e1"), (payments[0].id, "e2")]
        assert (await ledger.deliveries("other", Page(), payment_id=payments[0].id))[0] == []
        for status in ("", "parked", "done"):
            seen, after = [], ""
            while True:
                rows, after = await ledger.deliveries("shop", Page(limit=2, after=after), status=status)
                assert len(rows) <= 2
                seen += [(r.payment_id, r.version, r.endpoint_id) for r in rows]
                if not after:
                    break
            assert seen == sorted(set(seen))
            assert len(seen) == (6 if status == "" else 3)
