"""What every ledger must do: the aggregate, its guard, what is due, and the messages that could not be taken in."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import msgspec
import pytest

from oncepay.domain.attempt import Attempt
from oncepay.domain.errors import Busy, Invalid, Unavailable
from oncepay.domain.payment import Payment, PaymentStatus, Refund
from oncepay.ports import Ledger, Page, UnappliedRow
from oncepay.store.open import open_ledger
from tests.store.conftest import TOKEN, eventually, have
from tests.store.make import T0, attempt, case, created, moved, paid, payment, raising, started

MINUTE_MS = 60_000


class TestTheAggregate:
    async def test_what_was_written_is_what_is_read(self, ledger: Ledger) -> None:
        change = created(subject='茶 "tea" \\u0000 😀', return_url="https://shop.example/done")
        assert await ledger.load(change.payment.id) is None
        assert await ledger.commit(change)
        assert await ledger.load(change.payment.id) == change.payment

    async def test_a_payment_is_created_once(self, ledger: Ledger) -> None:
        await have(ledger, created(minor=1))
        other = msgspec.structs.replace(created(minor=2), change_id="another's")
        assert not await ledger.commit(other)
        kept = await ledger.load(other.payment.id)
        assert kept is not None
        assert kept.minor == 1

    async def test_who_decided_on_old_knowledge_loses(self, ledger: Ledger) -> None:
        before = await have(ledger, created())
        assert await ledger.commit(moved(before, by="first", subject="first"))
        assert not await ledger.commit(moved(before, by="second", subject="second"))
        now = await ledger.load(before.id)
        assert now is not None
        assert (now.subject, now.rev) == ("first", 2)

    async def test_a_loser_leaves_nothing_behind(self, ledger: Ledger) -> None:
        before = await have(ledger, created())
        assert await ledger.commit(moved(before, by="winner"))
        loser = msgspec.structs.replace(
            paid(before, endpoints=("e1",)),
            drafted=started(before).drafted,
            cases=(case(before),),
            credential=("n", "c"),
        )
        assert not await ledger.commit(loser)
        assert await ledger.evidence(before.id) == []
        assert await ledger.payment_events(before.id) == []
        assert await ledger.deliveries("shop", Page()) == ([], "")
        assert await ledger.cases(Page()) == ([], "")
        assert await ledger.body(before.id, loser.drafted[0].no) is None
        assert await ledger.credential(before.id, "n") is None

    async def test_the_payment_that_is_not_there_cannot_be_changed(self, ledger: Ledger) -> None:
        with contextlib.suppress(Busy):  # PostgreSQL cannot tell it from one that another process holds
            assert not await ledger.commit(moved(payment()))
        assert await ledger.load(payment().id) is None

    async def test_the_same_change_again_is_the_same_change(self, ledger: Ledger) -> None:
        """A caller who was told that the outcome is unknown commits again."""
        first = created()
        await have(ledger, first)
        assert await ledger.commit(first)
        second = paid(first.payment, endpoints=("e1",))
        assert await ledger.commit(second)
        assert await ledger.commit(second)
        assert len(await ledger.payment_events(first.payment.id)) == 1
        assert not await ledger.commit(first), "overtaken: load again"

    async def test_nobody_is_taken_for_another_without_a_change_id(self, ledger: Ledger) -> None:
        nameless = msgspec.structs.replace(created(), change_id="")
        await have(ledger, nameless)
        assert not await ledger.commit(nameless)

    async def test_of_many_at_the_same_moment_one_wins(self, ledger: Ledger) -> None:
        before = await have(ledger, created())
        outcomes = await asyncio.gather(*(ledger.commit(moved(before, by=f"road-{i}")) for i in range(50)))
        assert outcomes.count(True) == 1

    async def test_of_many_creations_at_the_same_moment_one_wins(self, ledger: Ledger) -> None:
        changes = [msgspec.structs.replace(created(), change_id=f"road-{i}") for i in range(50)]
        outcomes = await asyncio.gather(*map(ledger.commit, changes))
        assert outcomes.count(True) == 1

    async def test_a_chain_on_one_payment_keeps_its_order(self, ledger: Ledger) -> None:
        changes = [created()]
        for _ in range(20):
            changes.append(moved(changes[-1].payment))
        assert await asyncio.gather(*map(ledger.commit, changes)) == [True] * 21

    async def test_many_payments_at_once_and_each_is_what_it_should_be(self, ledger: Ledger) -> None:
        changes = [created(f"A-{i}") for i in range(500)]
        assert all(await asyncio.gather(*map(ledger.commit, changes)))
        loaded = await asyncio.gather(*(ledger.load(change.payment.id) for change in changes))
        assert loaded == [change.payment for change in changes]

    async def test_the_first_body_of_a_number_stays(self, ledger: Ledger) -> None:
        before = await have(ledger, created())
        after = await have(ledger, started(before, body=b"\x00first\xff"))
        no = after.attempts[0].no
        again = msgspec.structs.replace(moved(after), drafted=started(before, body=b"second").drafted)
        assert await ledger.commit(again)
        assert await ledger.body(before.id, no) == b"\x00first\xff"
        assert await ledger.body(before.id, "another") is None

    async def test_a_renewed_credential_takes_the_old_ones_place(self, ledger: Ledger) -> None:
        before = await have(ledger, created())
        first = msgspec.structs.replace(moved(before), credential=("no-1", '{"form":1}'))
        second = msgspec.structs.replace(moved(first.payment), credential=("no-1", '{"form":2}'))
        await have(ledger, first, second)
        assert await ledger.credential(before.id, "no-1") == '{"form":2}'

    async def test_it_is_all_there_after_opening_again(self, ledger_url: str) -> None:
        if "memory" in ledger_url:
            return
        first = await open_ledger(ledger_url, token=lambda: TOKEN)
        change = created()
        assert await first.commit(change)
        await first.close()
        second = await open_ledger(ledger_url, token=lambda: "another" * 5)
        assert await second.load(change.payment.id) == change.payment
        assert (second.installation, second.epoch) == (first.installation, first.epoch)
        assert second.installation == TOKEN
        await second.close()

    async def test_what_was_queued_when_it_closed_is_written(self, ledger_url: str) -> None:
        ledger = await open_ledger(ledger_url, token=lambda: TOKEN)
        waiting = [asyncio.ensure_future(ledger.commit(created(f"A-{i}"))) for i in range(200)]
        await asyncio.sleep(0)
        await ledger.close()
        assert await asyncio.gather(*waiting) == [True] * 200
        with pytest.raises(Unavailable):
            await ledger.commit(created("late"))


class TestWhatNoDatabaseCanHold:
    @pytest.mark.parametrize(
        "bad",
        [
            {"subject": "nul\0"},
            {"subject": "half \ud800"},
            {"order_no": "half \udfff"},
            {"minor": 2**63},
            {"minor": -1},
            {"created_ms": 2**64},
        ],
        ids=repr,
    )
    async def test_is_refused_and_costs_its_neighbours_nothing(self, ledger: Ledger, bad: dict[str, object]) -> None:
        change = created("poison")
        change = msgspec.structs.replace(change, payment=msgspec.structs.replace(change.payment, **bad))
        others = [created(f"A-{i}") for i in range(20)]
        outcomes = await asyncio.gather(
            *map(ledger.commit, [*others[:10], change, *others[10:]]), return_exceptions=True
        )
        assert isinstance(outcomes.pop(10), Invalid)
        assert outcomes == [True] * 20

    async def test_what_passes_the_door_fails_alone(self, ledger: Ledger) -> None:
        """Half of a surrogate pair within the JSON, and a status that the table does not know."""
        hidden = moved(await have(ledger, created("hidden")), paid_by="half \ud800")
        strange = created("strange")
        strange = msgspec.structs.replace(
            strange, cases=(msgspec.structs.replace(case(strange.payment), data={"half": "\ud800"}),)
        )
        others = [created(f"A-{i}") for i in range(20)]
        outcomes = await asyncio.gather(*map(ledger.commit, [hidden, *others, strange]), return_exceptions=True)
        assert isinstance(outcomes[0], Invalid)
        assert isinstance(outcomes[-1], Invalid)
        assert outcomes[1:-1] == [True] * 20

    async def test_a_row_that_the_database_refuses_fails_alone(self, ledger: Ledger) -> None:
        """A second event of one version breaks a unique key: a fault of ours, but not its neighbours'."""
        before = await have(ledger, created("twice"), paid(created("twice").payment))
        again = paid(before)
        assert again.event is not None
        again = msgspec.structs.replace(again, event=msgspec.structs.replace(again.event, version=1))
        others = [created(f"A-{i}") for i in range(20)]
        outcomes = await asyncio.gather(*map(ledger.commit, [*others, again]), return_exceptions=True)
        assert isinstance(outcomes.pop(), Exception)
        assert outcomes == [True] * 20
        now = await ledger.load(before.id)
        assert now == before, "nothing of the refused change is left"

    async def test_a_revision_that_does_not_follow(self, ledger: Ledger) -> None:
        with pytest.raises(Invalid):
            await ledger.commit(msgspec.structs.replace(created(), rev=5))


class TestWhatIsDue:
    async def test_the_longest_overdue_come_first_and_go_to_one_worker(self, ledger: Ledger) -> None:
        for i, late_ms in enumerate((5, 1, 3, -1)):
            await have(ledger, created(f"A-{i}", due_ms=T0 - late_ms))
        await have(ledger, created("never"))
        lent = await ledger.claim_due(T0, T0 + 30_000, 2)
        assert [due.payment.order_no for due in lent] == ["A-0", "A-2"]
        assert {due.lease_until_ms for due in lent} == {T0 + 30_000}
        assert [due.payment.order_no for due in await ledger.claim_due(T0, T0 + 30_000, 10)] == ["A-1"]
        assert await ledger.claim_due(T0, T0 + 30_000, 10) == []

    async def test_a_lease_that_is_over_gives_the_payment_back(self, ledger: Ledger) -> None:
        change = created(due_ms=T0)
        await have(ledger, change)
        assert len(await ledger.claim_due(T0, T0 + 100, 10)) == 1
        assert await ledger.claim_due(T0 + 99, T0 + 200, 10) == []
        (due,) = await ledger.claim_due(T0 + 100, T0 + 200, 10)
        assert due.payment == change.payment

    async def test_claims_go_on_where_due_times_go_back(self, ledger: Ledger) -> None:
        """A claim may start at the last batch's smallest due time; what is due from before must not wait for ever."""
        for i in range(4):
            await have(ledger, created(f"A-{i}", due_ms=T0 + i))
        assert len(await ledger.claim_due(T0 + 10, T0 + 1_000, 2)) == 2
        await have(ledger, created("early", due_ms=T0 - 5_000))
        seen = []
        for _ in range(4):
            seen += [due.payment.order_no for due in await ledger.claim_due(T0 + 10, T0 + 1_000, 2)]
        assert sorted(seen) == ["A-2", "A-3", "early"]

    async def test_a_lease_is_not_a_revision(self, ledger: Ledger) -> None:
        before = await have(ledger, created(due_ms=T0))
        (due,) = await ledger.claim_due(T0, T0 + 100, 1)
        assert due.payment.rev == before.rev
        assert await ledger.commit(moved(due.payment, due_ms=T0 + 7))
        assert await ledger.claim_due(T0 + 6, T0 + 100, 1) == []
        assert len(await ledger.claim_due(T0 + 7, T0 + 100, 1)) == 1

    async def test_what_has_no_next_step_is_never_due(self, ledger: Ledger) -> None:
        before = await have(ledger, created(due_ms=T0))
        await have(ledger, moved(before, due_ms=None))
        assert await ledger.claim_due(T0 + 10**12, T0 + 10**13, 10) == []

    async def test_two_claims_at_once_share_nothing(self, ledger: Ledger) -> None:
        await asyncio.gather(*(ledger.commit(created(f"A-{i}", due_ms=T0)) for i in range(100)))
        claims = await asyncio.gather(*(ledger.claim_due(T0, T0 + 1_000, 30) for _ in range(5)))
        lent = [due.payment.id for claim in claims for due in claim]
        assert len(lent) == len(set(lent))
        assert len(lent) + len(await ledger.claim_due(T0, T0 + 1_000, 100)) == 100

    async def test_giving_back_moves_the_lease_and_nothing_newer(self, ledger: Ledger) -> None:
        before = await have(ledger, created(due_ms=T0))
        await ledger.claim_due(T0, T0 + 100, 1)
        assert await ledger.postpone(before.id, T0 + 100, T0 + 50)
        assert not await ledger.postpone(before.id, T0 + 100, T0 + 60), "no longer ours"
        assert len(await ledger.claim_due(T0 + 50, T0 + 200, 1)) == 1
        assert await ledger.postpone(before.id, 0, T0 + 9_000), "unconditional"
        assert await ledger.claim_due(T0 + 8_999, T0 + 10_000, 1) == []
        assert await ledger.postpone(before.id, T0 + 9_000, None)
        assert await ledger.claim_due(T0 + 10**9, T0 + 10**10, 1) == []
        assert not await ledger.postpone("0" * 26, 0, T0)


def unapplied(payment_id: str, key: str = "a", at_ms: int = T0) -> UnappliedRow:
    return UnappliedRow(
        payment_id=payment_id, key=key, channel="wechat", account="a", road="notification", body=b"\x00{}", why="x",
        at_ms=at_ms,
    )  # fmt: skip


class TestMessagesThatCouldNotBeTakenIn:
    async def test_are_kept_until_they_are(self, ledger: Ledger) -> None:
        late, early, other = unapplied("P1", "a", T0 + 2), unapplied("P1", "b", T0 + 1), unapplied("P2", "a", T0)
        for kept in (late, early, other, msgspec.structs.replace(late, why="again")):
            await ledger.keep_unapplied(kept)
        assert await ledger.unapplied(["P1"]) == [early, late]
        assert sorted(r.payment_id for r in await ledger.unapplied(["P1", "P2", "P3"])) == ["P1", "P1", "P2"]
        await ledger.drop_unapplied("P1", "b")
        assert await ledger.unapplied(["P1"]) == [late]
        assert await ledger.unapplied([]) == []

    @pytest.mark.parametrize("due_ms", [None, T0 + 30 * 86_400_000])
    async def test_what_is_kept_is_claimed_though_a_later_change_put_its_payment_off(
        self, ledger: Ledger, due_ms: int | None
    ) -> None:
        other, kept = created("other", due_ms=due_ms), created("kept", due_ms=due_ms)
        await have(ledger, other, kept)
        assert await ledger.claim_due(T0, T0 + 1, 10) == []
        await ledger.keep_unapplied(unapplied(kept.payment.id))
        assert [due.payment.id for due in await ledger.claim_due(T0 + MINUTE_MS, T0 + 2 * MINUTE_MS, 10)] == [
            kept.payment.id
        ]
        at_ms = T0 + 62 * MINUTE_MS
        assert await ledger.postpone(kept.payment.id, 0, at_ms)
        for minutes in range(2, 61):
            assert await ledger.claim_due(T0 + minutes * MINUTE_MS, at_ms, 10) == [], "hourly, not all the time"
        assert len(await ledger.claim_due(at_ms, at_ms + 1, 10)) == 1


class PaymentOfTomorrow(Payment, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """As a later release may have it."""

    tip_minor: int = 0


class AttemptOfTomorrow(Attempt, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """As a later release may have it."""

    fee_minor: int = 0


class RefundOfTomorrow(Refund, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """As a later release may have it."""

    fee_minor: int = 0


class TestWhatALaterReleaseWrote:
    """While a release is rolled out its processes and older ones work on the same payments. An older one that read what
    it does not know would write the payment back without it."""

    @pytest.mark.parametrize("where", ["payment", "attempt", "refund"])
    async def test_what_we_do_not_know_is_not_read_without_it(self, ledger: Ledger, where: str) -> None:
        before, known = payment("new"), attempt(payment("new"))
        about: dict[str, Any] = {"refund_no": "R-1", "minor": 1, "of": known.no, "created_ms": T0}
        fields = msgspec.structs.asdict(before) | {
            "attempts": (AttemptOfTomorrow(**msgspec.structs.asdict(known), fee_minor=int(where == "attempt")),),
            "refunds": (RefundOfTomorrow(**about, fee_minor=int(where == "refund")),),
        }
        newer = PaymentOfTomorrow(**fields, tip_minor=int(where == "payment"))
        await have(ledger, msgspec.structs.replace(created("new", due_ms=T0), payment=newer), created("old", due_ms=T0))
        with pytest.raises(msgspec.DecodeError):
            await ledger.load(newer.id)
        assert [due.payment.order_no for due in await ledger.claim_due(T0, T0 + 1, 10)] == ["old"]

    async def test_a_new_field_that_says_nothing_yet_keeps_nobody_out(self, ledger: Ledger) -> None:
        newer = PaymentOfTomorrow(**msgspec.structs.asdict(payment("new")))
        await have(ledger, msgspec.structs.replace(created("new"), payment=newer))
        assert await ledger.load(newer.id) == payment("new")


class TestHealth:
    async def test_it_answers(self, ledger: Ledger) -> None:
        await ledger.ping()

    async def test_the_figures(self, ledger: Ledger) -> None:
        for i in range(3):
            await have(ledger, created(f"A-{i}", due_ms=T0 + i * 1_000))
        before = await have(ledger, created("B"))
        await have(ledger, raising(before, case(before)))
        await have(ledger, created("C"), paid(created("C").payment, endpoints=("e1", "e2"), lent_ms=T0))
        stats = await ledger.stats(T0 + 1_500)
        assert {name: stats[name] for name in ("payments_due", "payments_due_age_ms", "deliveries_due", "cases_open")} == {
            "payments_due": 2, "payments_due_age_ms": 1_500, "deliveries_due": 2, "cases_open": 1,
        }  # fmt: skip

    async def test_a_cancelled_wait_does_not_cancel_the_change(self, ledger: Ledger) -> None:
        changes = [created(f"A-{i}") for i in range(20)]
        waits = [asyncio.ensure_future(ledger.commit(change)) for change in changes]
        await asyncio.sleep(0)
        for wait in waits[::2]:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)

        async def all_there() -> bool:
            return all([await ledger.load(change.payment.id) is not None for change in changes])

        await eventually(all_there)

    async def test_statuses_are_those_of_the_domain(self, ledger: Ledger) -> None:
        before = await have(ledger, created())
        for status in PaymentStatus:
            before = await have(ledger, moved(before, status=status))
