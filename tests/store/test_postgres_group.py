"""The rules of the shared commit, on PostgreSQL: who won, what is skipped, what one bad row costs its neighbours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256

import msgspec
import pytest

from oncepay.domain.change import Change, Verb
from oncepay.domain.errors import Busy, Invalid, Unavailable
from oncepay.ports import DeliveryMark, Page
from oncepay.store.postgres import PostgresLedger
from oncepay.store.pump import BUSY, LOST, WON, Outcome
from tests.store.make import act, case, created, moved, paid, payment, raising, started
from tests.store.postgres_kit import opened, session


@pytest.fixture
async def ledger(postgres_database: str) -> AsyncIterator[PostgresLedger]:
    async with opened(postgres_database) as ledger:
        yield ledger


async def write(ledger: PostgresLedger, *changes: Change, marks: tuple[DeliveryMark, ...] = ()) -> list[Outcome]:
    """One group, past the door and the pump, sorted as the pump would."""
    group = sorted(changes, key=lambda change: change.payment.id)
    outcomes = dict(
        zip([c.change_id for c in group], await ledger._writer.write_group(group, list(marks)), strict=True)
    )
    return [outcomes[change.change_id] for change in changes]


def mark(change: Change, endpoint: str, status: str = "done", last: str = "200") -> DeliveryMark:
    return DeliveryMark(
        payment_id=change.payment.id, version=change.payment.version, endpoint_id=endpoint, status=status, tries=1,
        due_ms=None, last=last,
    )  # fmt: skip


# -- who won -----------------------------------------------------------------------------------------------------


async def test_each_change_of_a_group_has_its_own_outcome(postgres_database: str, ledger: PostgresLedger) -> None:
    ahead, behind, held, absent = (payment(f"A-{n}") for n in range(4))
    await write(ledger, created("A-0"), created("A-1"), created("A-2"))
    await write(ledger, moved(behind, by="other"))
    async with session(postgres_database) as other, other.transaction():
        await other.fetch("SELECT 1 FROM payment WHERE id = $1 FOR UPDATE", held.id)
        outcomes = await write(
            ledger,
            moved(ahead),
            moved(behind),
            moved(held),
            moved(absent),
            created("A-9"),
        )
    assert outcomes == [WON, LOST, BUSY, BUSY, WON]


async def test_a_second_creation_loses(ledger: PostgresLedger) -> None:
    assert await write(ledger, created("A-1"), created("A-2")) == [WON, WON]
    again = msgspec.structs.replace(created("A-1"), change_id="second")
    assert await write(ledger, again, created("A-3")) == [LOST, WON]
    assert await write(ledger, again) == [LOST]


async def test_creations_at_the_same_moment_by_two_processes_win_once(
    postgres_database: str, ledger: PostgresLedger
) -> None:
    async with opened(postgres_database) as second:
        for round_ in range(20):
            changes = [created(f"R{round_}-{n}") for n in range(10)]
            others = [msgspec.structs.replace(change, change_id="other") for change in changes]
            ours, theirs = await asyncio.gather(
                asyncio.gather(*(ledger.commit(change) for change in changes)),
                asyncio.gather(*(second.commit(change) for change in reversed(others))),
            )
            assert [a + b for a, b in zip(ours, reversed(theirs), strict=True)] == [1] * 10


async def test_a_loser_writes_nothing_at_all(postgres_database: str, ledger: PostgresLedger) -> None:
    await write(ledger, created("A-1"))
    await write(ledger, moved(payment("A-1"), by="first"))
    late = msgspec.structs.replace(
        paid(payment("A-1"), endpoints=("e",)), cases=(case(payment("A-1")),), acts=(act("c", Verb.ACCEPT),)
    )
    late = msgspec.structs.replace(late, drafted=started(payment("A-1")).drafted, credential=("n", "body"))
    assert await write(ledger, late, created("A-2")) == [LOST, WON]
    async with session(postgres_database) as look:
        for table in ("attempt", "credential", "evidence", "raw", "event", "delivery", "cases", "act"):
            assert await look.fetchval(f"SELECT count(*) FROM {table}") == 0, table


async def test_everything_of_a_change_is_written(ledger: PostgresLedger) -> None:
    first = started(payment("A-1"))
    note = paid(first.payment, endpoints=("e1", "e2"), cases=(case(payment("A-1")),), credential=("n1", "long"))
    for change in (created("A-1"), first, note):
        assert await ledger.commit(change)
    assert await ledger.load(note.payment.id) == note.payment
    assert await ledger.body(note.payment.id, first.drafted[0].no) == first.drafted[0].body
    assert await ledger.credential(note.payment.id, "n1") == "long"
    assert [row.fact for row in await ledger.evidence(note.payment.id)] == ["moved"]
    assert [row.version for row in await ledger.payment_events(note.payment.id)] == [note.payment.version]
    assert [row.endpoint_id for row in (await ledger.deliveries("shop", Page()))[0]] == ["e1", "e2"]
    assert [row.kind for row in (await ledger.cases(Page()))[0]] == ["unsettled"]


async def test_a_case_that_two_payments_raise_counts_winners_only(ledger: PostgresLedger) -> None:
    await write(ledger, *(created(f"A-{n}") for n in range(3)))
    await write(ledger, moved(payment("A-2"), by="other"))
    about = {"about": "acct", "payment_id": "", "account": "acct"}
    paused = [msgspec.structs.replace(case(payment("A-0"), "paused"), **about) for _ in range(3)]
    changes = [raising(payment(f"A-{n}"), paused[n]) for n in range(3)]
    changes[2] = msgspec.structs.replace(changes[2], change_id="late")
    assert await write(ledger, *changes) == [WON, WON, LOST]
    ((row,), _) = await ledger.cases(Page())
    assert row.seen == 2
    await write(ledger, raising(changes[0].payment, paused[0]))
    ((row,), _) = await ledger.cases(Page())
    assert row.seen == 3


# -- what is skipped ---------------------------------------------------------------------------------------------


async def test_a_row_that_a_stopped_process_holds_costs_its_neighbours_nothing(
    postgres_database: str, ledger: PostgresLedger
) -> None:
    await write(ledger, *(created(f"A-{n}") for n in range(20)))
    async with session(postgres_database) as stopped, stopped.transaction():
        await stopped.fetch("SELECT 1 FROM payment WHERE id = $1 FOR UPDATE", payment("A-7").id)
        held, *others = await asyncio.wait_for(
            asyncio.gather(
                *(ledger.commit(moved(payment(f"A-{n}"))) for n in (7, *range(7), *range(8, 20))),
                return_exceptions=True,
            ),
            0.9,  # less than lock_timeout: nobody waited for the lock
        )
        assert isinstance(held, Busy)
        assert others == [True] * 19
    assert await ledger.commit(moved(payment("A-7")))


async def test_a_busy_row_is_taken_in_a_later_group(postgres_database: str, ledger: PostgresLedger) -> None:
    ledger._pump._busy_waits_s = (0.01,) * 1000  # a busy machine may take longer than a row is waited for
    await write(ledger, created("A-1"))
    async with session(postgres_database) as other:
        transaction = other.transaction()
        await transaction.start()
        await other.fetch("SELECT 1 FROM payment WHERE id = $1 FOR UPDATE", payment("A-1").id)
        waiting = asyncio.create_task(ledger.commit(moved(payment("A-1"))))
        assert await ledger.commit(created("A-2"))  # the pump goes on meanwhile
        await transaction.rollback()
        assert await waiting


# -- one bad row -------------------------------------------------------------------------------------------------


def poisoned(order_no: str, kind: str) -> Change:
    """A change that got past the door."""
    bad = {"nul": "a\0b", "surrogate": "a\ud800"}
    if kind == "range":
        return created(order_no, due_ms=2**63)
    if kind == "constraint":  # an event version that the payment has already
        return msgspec.structs.replace(paid(payment(order_no)), change_id="twice")
    return created(order_no, subject="tea", currency=bad[kind])


@pytest.mark.parametrize("kind", ["nul", "surrogate", "range"])
@pytest.mark.parametrize("place", [0, 6, 12])
async def test_one_bad_row_does_not_poison_its_neighbours(ledger: PostgresLedger, kind: str, place: int) -> None:
    changes = sorted((created(f"A-{n}") for n in range(13)), key=lambda change: change.payment.id)
    changes[place] = poisoned(changes[place].payment.order_no, kind)
    outcomes = await write(ledger, *changes)
    bad = outcomes.pop(place)
    assert isinstance(bad, Invalid)
    assert outcomes == [WON] * 12
    assert await ledger.load(changes[place].payment.id) is None


async def test_a_row_that_breaks_a_constraint_stands_alone(postgres_database: str, ledger: PostgresLedger) -> None:
    changes = [created(f"A-{n}") for n in range(5)]
    await write(ledger, *changes)
    notes = [paid(change.payment) for change in changes]
    async with session(postgres_database) as other:
        await other.execute(
            "INSERT INTO event (payment_id, version, app_id, changes, data, at_ms) VALUES ($1, 1, 'shop', '', '{}', 1)",
            changes[3].payment.id,
        )
    outcomes = await write(ledger, *notes)
    assert isinstance(outcomes.pop(3), Invalid)
    assert outcomes == [WON] * 4
    assert await ledger.load(changes[3].payment.id) == changes[3].payment


async def test_a_number_that_is_too_long_for_an_index_stands_alone(ledger: PostgresLedger) -> None:
    """A channel's own number may be anything; SQLite's indexes take it as it is."""
    changes = [created(f"A-{n}") for n in range(5)]
    await write(ledger, *changes)
    notes = [paid(change.payment) for change in changes]
    long = "".join(sha256(str(n).encode()).hexdigest() for n in range(200))  # nothing that could be compressed away
    notes[3] = paid(changes[3].payment, trade_no=long)
    outcomes = await write(ledger, *notes)
    assert isinstance(outcomes.pop(3), Invalid)
    assert outcomes == [WON] * 4


async def test_a_bad_mark_costs_no_change(ledger: PostgresLedger) -> None:
    note = paid(payment("A-1"), endpoints=("e1", "e2"))
    await write(ledger, created("A-1"))
    await write(ledger, note)
    bad = mark(note, "e1", last="\0")
    assert await write(ledger, created("A-2"), marks=(bad, mark(note, "e2"))) == [WON]


async def test_marks_ride_along_and_what_is_done_stays_done(ledger: PostgresLedger) -> None:
    note = paid(payment("A-1"), endpoints=("e1",))
    await write(ledger, created("A-1"))
    await write(ledger, note)
    assert await write(ledger, created("A-2"), marks=(mark(note, "e1"),)) == [WON]
    assert await write(ledger, marks=(mark(note, "e1", "parked"),)) == []
    ((row,), _) = await ledger.deliveries("shop", Page())
    assert (row.status, row.last) == ("done", "200")


# -- because of others -------------------------------------------------------------------------------------------

HICCUP = """
CREATE SEQUENCE hiccups;
CREATE FUNCTION hiccup() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF nextval('hiccups') <= {times} THEN RAISE EXCEPTION 'hiccup' USING ERRCODE = '{state}'; END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER hiccup AFTER INSERT ON payment FOR EACH STATEMENT EXECUTE FUNCTION hiccup();
"""


@pytest.mark.parametrize("state", ["40P01", "40001", "55P03"])
async def test_what_others_caused_is_repeated(postgres_database: str, ledger: PostgresLedger, state: str) -> None:
    async with session(postgres_database) as other:
        await other.execute(HICCUP.format(times=2, state=state))
    assert await write(ledger, created("A-1")) == [WON]
    async with session(postgres_database) as other:
        await other.execute("SELECT setval('hiccups', 1, false)")
    assert await asyncio.gather(*(ledger.commit(created(f"B-{n}")) for n in range(5))) == [True] * 5


async def test_what_others_cause_for_ever_is_busy(postgres_database: str, ledger: PostgresLedger) -> None:
    async with session(postgres_database) as other:
        await other.execute(HICCUP.format(times=10_000, state="40P01"))
    with pytest.raises(Busy):
        await ledger.commit(created("A-1"))


@pytest.mark.parametrize("state", ["53100", "25006", "57014", "58030"])
async def test_a_server_that_cannot_write_is_unavailable_until_it_can(
    postgres_database: str, ledger: PostgresLedger, state: str
) -> None:
    async with session(postgres_database) as other:
        await other.execute(HICCUP.format(times=1, state=state))
    with pytest.raises(Unavailable):
        await ledger.commit(created("A-1"))
    assert await ledger.load(payment("A-1").id) is None
    assert await ledger.commit(created("A-1"))


async def test_a_cancelled_wait_does_not_cancel_the_change(ledger: PostgresLedger) -> None:
    waits = [asyncio.create_task(ledger.commit(created(f"A-{n}"))) for n in range(5)]
    await asyncio.sleep(0)
    for wait in waits[::2]:
        wait.cancel()
    done = await asyncio.gather(*waits, return_exceptions=True)
    assert [one for one in done if not isinstance(one, asyncio.CancelledError)] == [True, True]
    assert await ledger.commit(created("A-9"))  # the pump lives
    for n in range(5):
        assert await ledger.load(payment(f"A-{n}").id) is not None
