"""Claims: due payments and deliveries are lent by moving ``due_ms``, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import chain

import pytest

from oncepay.ports import Due
from oncepay.store.postgres import PostgresLedger
from oncepay.store.postgres_link import Book
from oncepay.store.statements import load
from tests.store.make import created, moved, paid, payment
from tests.store.postgres_kit import opened, session

NOW = 1_000_000
LEASE = 2_000_000


@pytest.fixture
async def ledger(postgres_database: str) -> AsyncIterator[PostgresLedger]:
    async with opened(postgres_database, links=1) as ledger:
        yield ledger


async def fill(ledger: PostgresLedger, count: int, *, first_ms: int = 1) -> list[str]:
    """Payments that are due one after the other; their ids in that order."""
    changes = [created(f"D-{first_ms}-{n}", due_ms=first_ms + n) for n in range(count)]
    assert all(await asyncio.gather(*(ledger.commit(change) for change in changes)))
    return [change.payment.id for change in changes]


def ids(lent: list[Due]) -> list[str]:
    return [due.payment.id for due in lent]


async def test_the_longest_overdue_first_and_each_once(ledger: PostgresLedger) -> None:
    due = await fill(ledger, 250)
    batches = [ids(await ledger.claim_due(NOW, LEASE, 100)) for _ in range(4)]
    assert batches == [due[:100], due[100:200], due[200:], []]
    assert ids(await ledger.claim_due(LEASE, LEASE + 1, 300)) != []  # a lease that ran out gives them back


async def test_a_batch_holds_a_thousand_at_most(ledger: PostgresLedger) -> None:
    await fill(ledger, 1_030)
    assert len(await ledger.claim_due(NOW, LEASE, 5_000)) == 1_000


async def test_two_workers_never_get_the_same(postgres_database: str, ledger: PostgresLedger) -> None:
    due = await fill(ledger, 600)

    async def work(worker: PostgresLedger) -> list[str]:
        found: list[str] = []
        while batch := await worker.claim_due(NOW, LEASE, 20):
            found += ids(batch)
        return found

    async with opened(postgres_database) as second, opened(postgres_database) as third:
        found = list(chain(*await asyncio.gather(work(ledger), work(second), work(third))))
    assert sorted(found) == sorted(due)


async def test_without_skip_locked_it_is_still_a_compare_and_set(
    postgres_database: str, ledger: PostgresLedger
) -> None:
    """SKIP LOCKED only saves waiting: a database without it must not lend a payment twice."""
    due = await fill(ledger, 200)
    text = load("postgres")["claim_due"]
    assert "FOR NO KEY UPDATE SKIP LOCKED" in text
    book = Book({"claim_due": text.replace("FOR NO KEY UPDATE SKIP LOCKED", "")})
    claim = book.call("claim_due", now_ms=NOW, floor_ms=0, lease_until_ms=LEASE, limit_=200)
    async with session(postgres_database) as one, session(postgres_database) as two:
        transaction = one.transaction()
        await transaction.start()
        first = await one.fetch(*claim)
        second = asyncio.create_task(two.fetch(*claim))  # picks the same rows, and has to wait for them
        await asyncio.wait({second}, timeout=0.2)
        await transaction.commit()
        assert len(first) == 200
        assert await second == []
    assert {row["id"] for row in first} == set(due)


async def test_a_claim_does_not_touch_the_guard(ledger: PostgresLedger) -> None:
    """A lease changes nothing that anybody has read."""
    await fill(ledger, 1)
    (lent,) = await ledger.claim_due(NOW, LEASE, 10)
    assert await ledger.commit(moved(lent.payment, due_ms=5))
    assert not await ledger.postpone(lent.payment.id, lent.lease_until_ms, 9)  # the commit's due time stands
    assert [due.payment.rev for due in await ledger.claim_due(NOW, LEASE, 10)] == [2]


async def test_changes_go_on_while_rows_are_being_claimed(postgres_database: str, ledger: PostgresLedger) -> None:
    """A guard that meets a claim is busy for a moment, and a claim passes over what a group holds."""
    await fill(ledger, 40)

    async def work(number: int) -> None:
        for _ in range(10):
            now = await ledger.load(payment(f"D-1-{number}").id)
            assert now is not None
            assert await ledger.commit(moved(now, due_ms=1 + number))

    async def claim(worker: PostgresLedger, working: asyncio.Future[list[None]]) -> int:
        count = 0
        while not working.done():
            count += len(await worker.claim_due(NOW, LEASE, 40))
        return count

    async with opened(postgres_database, links=1) as second:
        working = asyncio.gather(*(work(n) for n in range(40)))
        assert await claim(second, working)
        await working


# -- the floor ---------------------------------------------------------------------------------------------------


async def read_index_rows(ledger: PostgresLedger) -> int:
    """How many entries of payment_due were read so far, by the connection that claims."""
    async with ledger._links.lend() as link:
        await link.execute("SELECT pg_stat_force_next_flush()")
    async with ledger._links.lend() as link:
        count: int = await link.fetchval(
            "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'payment_due'"
        )
    return count


async def test_an_old_snapshot_does_not_make_claims_slow(postgres_database: str, ledger: PostgresLedger) -> None:
    """While somebody keeps an old snapshot open, the entries that claims leave behind cannot be cleaned away. Without
    the floor each batch would read those of all batches before it."""
    count, batch = 2_000, 100
    due = await fill(ledger, count)
    async with session(postgres_database) as old:
        transaction = old.transaction(isolation="repeatable_read")
        await transaction.start()
        await old.fetchval("SELECT count(*) FROM payment")
        before = await read_index_rows(ledger)
        found: list[str] = []
        while len(found) < count:
            found += ids(await ledger.claim_due(NOW, LEASE, batch))
        read = await read_index_rows(ledger) - before
        await transaction.rollback()
    assert found == due
    assert read < 3 * count  # without the floor: 100 + 200 + ... + 2,000


async def test_what_becomes_due_below_the_floor_is_seen_when_a_batch_comes_back_short(ledger: PostgresLedger) -> None:
    late = await fill(ledger, 20, first_ms=500)
    assert ids(await ledger.claim_due(NOW, LEASE, 10)) == late[:10]
    early = await fill(ledger, 3, first_ms=1)
    assert ids(await ledger.claim_due(NOW, LEASE, 15)) == early + late[10:]


async def test_what_becomes_due_below_the_floor_is_seen_within_a_minute(ledger: PostgresLedger) -> None:
    late = await fill(ledger, 30, first_ms=500)
    assert ids(await ledger.claim_due(NOW, LEASE, 10)) == late[:10]
    early = await fill(ledger, 3, first_ms=1)
    assert ids(await ledger.claim_due(NOW + 59_999, LEASE, 10)) == late[10:20]
    assert ids(await ledger.claim_due(NOW + 60_000, LEASE, 3)) == early


async def test_a_clock_that_was_set_back_does_not_hide_what_is_due(ledger: PostgresLedger) -> None:
    late = await fill(ledger, 20, first_ms=500_000)
    assert ids(await ledger.claim_due(NOW, LEASE, 10)) == late[:10]
    early = await fill(ledger, 2, first_ms=1)
    assert ids(await ledger.claim_due(1_000, LEASE, 2)) == early


# -- deliveries --------------------------------------------------------------------------------------------------


async def test_one_endpoint_never_takes_the_turn_of_another(postgres_database: str, ledger: PostgresLedger) -> None:
    for n in range(30):
        assert await ledger.commit(created(f"E-{n}"))
        endpoints = ("busy", "calm") if n == 29 else ("busy",)
        assert await ledger.commit(paid(payment(f"E-{n}"), endpoints=endpoints, lent_ms=n))
    lent = await ledger.claim_deliveries(NOW, LEASE, ["busy", "calm", "absent"], 20)
    assert [row.endpoint_id for row in lent] == ["busy"] * 20 + ["calm"]
    assert [row.payment_id for row in lent[:20]] == [payment(f"E-{n}").id for n in range(20)]
    assert all(row.event is not None and row.event.changes == ("paid",) and row.due_ms == LEASE for row in lent)
    async with session(postgres_database) as other, other.transaction():
        await other.fetch("SELECT 1 FROM delivery WHERE payment_id = $1 FOR UPDATE", payment("E-20").id)
        rest = await ledger.claim_deliveries(NOW, LEASE, ["busy", "calm"], 20)
        assert [row.payment_id for row in rest] == [payment(f"E-{n}").id for n in range(21, 30)]
