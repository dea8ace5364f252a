"""A COMMIT whose answer was lost: nobody is told anything before the database has said what happened."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from oncepay.domain.change import Change
from oncepay.domain.errors import CommitUnknown, Unavailable
from oncepay.ports import Page
from tests.store.make import created, moved, paid, payment
from tests.store.postgres_kit import Wire, opened, session

# The commit itself takes its time, after everything was written: the moment in which a plain read shows the old row.
SLOW_COMMIT = """
CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.6); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER linger AFTER {what} ON payment DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  WHEN (NEW.change_id LIKE 'slow%') EXECUTE FUNCTION linger();
"""


PATIENT_S = 3.0  # ten times what the ledger is given


def named(change: Change, change_id: str) -> Change:
    return msgspec.structs.replace(change, change_id=change_id)


@pytest.mark.parametrize(("fate", "stored"), [("before", False), ("after", True), ("during", True)])
async def test_a_change_whose_answer_was_lost_is_what_really_happened(
    postgres_database: str, fate: str, stored: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with Wire(postgres_database) as wire, opened(wire.url) as ledger:
        assert await ledger.commit(created("A-1"))
        change = named(paid(payment("A-1"), endpoints=("e",)), "the-one")
        wire.cut(fate, "the-one")
        assert await ledger.commit(change) is stored
        assert wire.cuts == 1
        assert (await ledger.load(change.payment.id) == change.payment) is stored
        if not stored:  # decide again
            assert await ledger.commit(named(change, "another"))
        assert len((await ledger.events("shop", Page()))[0]) == 1  # once, whatever happened
    said = [record.getMessage().partition(" after_s")[0] for record in caplog.records if record.name == "oncepay"]
    assert said == ["commit.unknown changes=1", f"commit.settled stored={stored:d} decided_again={not stored:d}"]


@pytest.mark.parametrize(("fate", "stored"), [("before", False), ("after", True), ("during", True)])
async def test_a_creation_whose_answer_was_lost(postgres_database: str, fate: str, stored: bool) -> None:
    async with Wire(postgres_database) as wire, opened(wire.url) as ledger:
        assert await ledger.commit(created("A-0"))
        wire.cut(fate, "the-one")
        assert await ledger.commit(named(created("A-1"), "the-one")) is stored
        assert (await ledger.load(payment("A-1").id) is not None) is stored
        if not stored:  # asking left nothing behind
            assert await ledger.commit(named(created("A-1"), "another"))
        assert await ledger.load(payment("A-1").id) == payment("A-1")


async def test_a_commit_that_is_still_on_its_way_is_waited_for(postgres_database: str) -> None:
    """A plain read would show the old row, and the change would be called lost while it is being committed."""
    async with Wire(postgres_database) as wire, opened(wire.url) as ledger:
        assert await ledger.commit(created("A-1"))
        async with session(postgres_database) as other:
            await other.execute(SLOW_COMMIT.format(what="UPDATE"))
        wire.cut("during", "slow-1")
        change = named(moved(payment("A-1"), subject="new"), "slow-1")
        waiting = asyncio.create_task(ledger.commit(change))
        assert await waiting
        assert await ledger.load(change.payment.id) == change.payment


async def test_a_creation_that_is_still_on_its_way_is_run_into(postgres_database: str) -> None:
    """A row that is not committed cannot even be locked."""
    async with Wire(postgres_database) as wire, opened(wire.url) as ledger:
        async with session(postgres_database) as other:
            await other.execute(SLOW_COMMIT.format(what="INSERT"))
        wire.cut("during", "slow-1")
        assert await ledger.commit(named(created("A-1"), "slow-1"))
        assert await ledger.load(payment("A-1").id) == payment("A-1")


async def test_each_member_of_the_group_is_asked_about_alone(postgres_database: str) -> None:
    """One of them had lost before the answer was lost."""
    async with Wire(postgres_database) as wire, opened(wire.url) as ledger:
        for n in range(6):
            assert await ledger.commit(created(f"A-{n}"))
        assert await ledger.commit(named(moved(payment("A-3")), "before"))
        changes = [named(moved(payment(f"A-{n}"), subject="new"), f"mine-{n}") for n in range(6)]
        changes += [named(created(f"B-{n}"), f"mine-{n}") for n in range(3)]
        wire.cut("after", "mine-")
        outcomes = await asyncio.gather(*(ledger.commit(change) for change in changes))
        assert outcomes == [True, True, True, False, True, True, True, True, True]
        assert wire.cuts == 1


async def test_who_moved_on_since_makes_it_a_loss_to_decide_again(postgres_database: str) -> None:
    """Ours was stored and another process has built on it: to load and decide again is right, to say "won" would hand
    out an aggregate that is no longer the last."""
    async with Wire(postgres_database) as wire, opened(wire.url) as ledger, opened(postgres_database) as second:
        assert await ledger.commit(created("A-1"))
        mine = named(moved(payment("A-1")), "mine-1")
        wire.refusing = False
        wire.cut("after", "mine-1")

        async def build_on() -> None:
            while (await second.load(mine.payment.id)) != mine.payment:
                continue
            assert await second.commit(moved(mine.payment, by="theirs"))
            wire.refusing = False

        wire.on_cut = lambda: setattr(wire, "refusing", True)  # nobody can ask until the other has built on it
        building = asyncio.create_task(build_on())
        assert await ledger.commit(mine) is False
        await building
        assert (await ledger.load(mine.payment.id) or mine.payment).rev == mine.payment.rev + 1


async def test_nobody_is_told_anything_while_nobody_knows(postgres_database: str) -> None:
    async with Wire(postgres_database) as wire, opened(wire.url) as ledger:
        assert await ledger.commit(created("A-1"))
        wire.on_cut = lambda: setattr(wire, "refusing", True)
        wire.cut("after", "mine")
        waiting = asyncio.create_task(ledger.commit(named(moved(payment("A-1")), "mine")))
        done, _ = await asyncio.wait({waiting}, timeout=0.5)
        assert not done
        wire.refusing = False
        assert await waiting


async def test_after_enough_patience_the_callers_hear_that_it_is_unknown(postgres_database: str) -> None:
    async with Wire(postgres_database) as wire, opened(wire.url, patience_s=0.3) as ledger:
        assert await ledger.commit(created("A-1"))
        wire.on_cut = lambda: setattr(wire, "refusing", True)
        wire.cut("after", "mine")
        waiting = asyncio.create_task(ledger.commit(named(moved(payment("A-1")), "mine")))
        await asyncio.wait({waiting}, timeout=PATIENT_S)
        wire.refusing = False
        with pytest.raises(CommitUnknown):
            await waiting
        stored = await ledger.load(payment("A-1").id)
        assert stored is not None
        assert stored.rev == 2
        assert await ledger.commit(moved(stored))  # the ledger goes on


async def test_of_what_is_only_read_nothing_is_unknown(postgres_database: str) -> None:
    """Cut off twice, it has not been read: that is all. `commit_unknown` would send a person to look what was stored."""
    async with Wire(postgres_database) as wire, opened(wire.url) as ledger:
        wire.on_cut = lambda: wire.cut("before", "FROM event")
        wire.cut("before", "FROM event")
        with pytest.raises(Unavailable) as raised:
            await ledger.events("shop", Page())
        assert wire.cuts == 2
        assert not isinstance(raised.value, CommitUnknown)
