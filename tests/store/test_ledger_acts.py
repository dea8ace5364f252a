"""What every ledger must keep of what people did with cases: with the change that it was, or not at all."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from oncepay.domain.attempt import Fact
from oncepay.domain.change import Verb
from oncepay.domain.errors import Invalid
from oncepay.ports import Ledger, Page
from tests.store.conftest import have
from tests.store.make import T0, act, acting, case, created, paid, raising, started


class TestWithAChange:
    async def test_it_is_written_with_what_it_changed(self, ledger: Ledger) -> None:
        before = await have(ledger, created())
        id_ = await ledger.open_case(case(before), T0)
        done = act(
            id_,
            Verb.ACCEPT,
            "the bank says so",
            evidence="statement 7",
            number="n",
            did="It pays.",
            payment_id=before.id,
        )
        await have(ledger, acting(before, done))
        assert await ledger.acts(id_) == await ledger.payment_acts(before.id) == [done]
        row = await ledger.case(id_)
        assert row is not None
        assert (row.status, row.note) == ("open", "")

    async def test_it_closes_its_case_in_the_same_commit(self, ledger: Ledger) -> None:
        before = await have(ledger, created())
        other = await have(ledger, created("A-2"))
        id_ = await ledger.open_case(case(before, due_ms=T0 + 9), T0)
        theirs = await ledger.open_case(case(other), T0)
        await have(ledger, acting(before, act(id_, Verb.ACCEPT, "the bank says so", resolves=True)))
        row = await ledger.case(id_)
        assert row is not None
        assert (row.status, row.note, row.due_ms) == ("resolved", "the bank says so", 0)
        assert [row.id for row in (await ledger.cases(Page()))[0]] == [theirs]
        await ledger.open_case(case(before, text="once more"), T0 + 9)
        row = await ledger.case(id_)
        assert row is not None
        assert (row.status, row.note, len(await ledger.acts(id_))) == ("open", "", 1), "what was done stays"

    async def test_a_change_that_lost_leaves_nothing_of_it(self, ledger: Ledger) -> None:
        before = await have(ledger, created())
        id_ = await ledger.open_case(case(before), T0)
        ours = acting(before, act(id_, Verb.ACCEPT, resolves=True))
        await have(ledger, raising(before, case(before)))
        assert not await ledger.commit(ours)
        assert await ledger.acts(id_) == []
        row = await ledger.case(id_)
        assert row is not None
        assert row.status == "open"

    async def test_of_many_at_once_one_is_written(self, ledger: Ledger) -> None:
        before = await have(ledger, created())
        id_ = await ledger.open_case(case(before), T0)
        changes = [
            msgspec.structs.replace(
                acting(before, act(id_, Verb.REFUND, f"by {n}", resolves=True)), change_id=f"change {n}"
            )
            for n in range(8)
        ]
        won = await asyncio.gather(*(ledger.commit(change) for change in changes))
        assert sum(won) == 1
        (kept,) = await ledger.acts(id_)
        row = await ledger.case(id_)
        assert row is not None
        assert row.note == kept.reason == f"by {won.index(True)}"

    async def test_those_of_neighbours_in_one_group_stay_apart(self, ledger: Ledger) -> None:
        payments = [await have(ledger, created(f"A-{n}")) for n in range(6)]
        ids = [await ledger.open_case(case(payment), T0) for payment in payments]
        changes = [
            acting(payment, act(id_, Verb.SETTLE, f"for {id_}", resolves=n % 2 == 0))
            for n, (payment, id_) in enumerate(zip(payments, ids, strict=True))
        ]
        assert all(await asyncio.gather(*(ledger.commit(change) for change in changes)))
        assert [[a.reason for a in await ledger.acts(id_)] for id_ in ids] == [[f"for {id_}"] for id_ in ids]
        assert {row.id for row in (await ledger.cases(Page()))[0]} == set(ids[1::2])


class TestWithoutAChange:
    async def test_a_note_stands_once_however_often_it_is_sent(self, ledger: Ledger) -> None:
        assert await ledger.add_act(act("c", reason="called them", payment_id="p"))
        assert not await ledger.add_act(act("c", reason="called them", payment_id="p", at_ms=T0 + 99))
        assert await ledger.add_act(act("c", reason="called again", payment_id="p", at_ms=T0 + 1))
        assert await ledger.add_act(act("another", reason="called them"))
        assert [(a.reason, a.at_ms) for a in await ledger.acts("c")] == [
            ("called again", T0 + 1),
            ("called them", T0 + 5),
        ]
        assert [a.case_id for a in await ledger.payment_acts("p")] == ["c", "c"]
        assert await ledger.payment_acts("") == [], "those that touched no payment are no payment's"

    async def test_closing_is_recorded_by_whoever_was_first(self, ledger: Ledger) -> None:
        before = await have(ledger, created())
        id_ = await ledger.open_case(case(before), T0)
        acts = [act(id_, Verb.RESOLVE, f"by {n}", payment_id=before.id) for n in range(5)]
        won = await asyncio.gather(*(ledger.resolve_case(each) for each in acts))
        assert sum(won) == 1
        assert await ledger.acts(id_) == [acts[won.index(True)]]
        assert not await ledger.resolve_case(act("0" * 26, Verb.RESOLVE))
        assert await ledger.acts("0" * 26) == []

    async def test_what_no_database_can_hold(self, ledger: Ledger) -> None:
        before = await have(ledger, created())
        id_ = await ledger.open_case(case(before), T0)
        for bad in ("nul\0", "half \ud800"):
            for field in ("reason", "actor", "evidence", "did", "number"):
                wrong = act(id_, **{field: bad})  # type: ignore[arg-type]
                for call in (ledger.add_act(wrong), ledger.resolve_case(wrong), ledger.commit(acting(before, wrong))):
                    with pytest.raises(Invalid):
                        await call
        assert await ledger.acts(id_) == []


async def test_evidence_that_was_not_taken_in_says_why_and_of_which_account(ledger: Ledger) -> None:
    first = created("A")
    second = started(first.payment)
    change = paid(second.payment)
    wrong = msgspec.structs.replace(change.evidence[0], wrong="minor is 1, not 2", account="of the message")
    payment = await have(ledger, first, second, msgspec.structs.replace(change, evidence=(wrong, *change.evidence)))
    assert [(row.wrong, row.account, row.fact) for row in await ledger.evidence(payment.id)] == [
        ("minor is 1, not 2", "of the message", Fact.MOVED),
        ("", "acct", Fact.MOVED),
    ]
