"""The rules of the shared commit that no database is needed for, one test each, on a backend that does as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec
import pytest

from oncepay.domain.change import Change
from oncepay.domain.errors import Busy, CommitUnknown, Overloaded, Unavailable
from oncepay.ports import DeliveryMark
from oncepay.store.pump import BUSY, LOST, WON, Loader, Outcome, Pump
from tests.store.make import created, moved

Answer = Callable[[Change], Outcome]
T = TypeVar("T")


class Backend:
    """Writes down what it was given; answers when its gate is open."""

    def __init__(self, answer: Answer = lambda _: WON, *, open_: bool = True) -> None:
        self.answer = answer
        self.groups: list[list[Change]] = []
        self.marks: list[list[DeliveryMark]] = []
        self.gate = asyncio.Event()
        self.began = asyncio.Event()
        self.raises: BaseException | None = None
        if open_:
            self.gate.set()

    async def write_group(self, group: list[Change], marks: list[DeliveryMark]) -> list[Outcome]:
        self.groups.append(group)
        self.marks.append(marks)
        self.began.set()
        await self.gate.wait()
        if self.raises is not None:
            raise self.raises
        return [self.answer(change) for change in group]

    def names(self) -> list[list[str]]:
        """The order numbers of each group, sorted."""
        return [sorted(change.payment.order_no for change in group) for group in self.groups]


def evidence(order_no: str) -> Change:
    """A change that brings news of a channel."""
    return msgspec.structs.replace(created(order_no), urgency="evidence")


def a_mark(payment_id: str = "P", version: int = 1, **fields: Any) -> DeliveryMark:
    """A delivery that was done."""
    known: dict[str, Any] = {"endpoint_id": "e", "status": "done", "tries": 1, "due_ms": None}
    return DeliveryMark(payment_id=payment_id, version=version, **(known | fields))


def submit(pump: Pump, *changes: Change) -> list[asyncio.Task[bool]]:
    """All at the same moment."""
    return [asyncio.ensure_future(pump.submit(change)) for change in changes]


async def at_once(what: Awaitable[T], turns: int = 50) -> T:
    """What needs no time is there after a few turns of the loop; whoever waits for a clock is not."""
    task = asyncio.ensure_future(what)
    for _ in range(turns):
        await asyncio.sleep(0)
    assert task.done(), "it waits"
    return await task


async def behind_a_group(pump: Pump, backend: Backend) -> asyncio.Task[bool]:
    """Let a first group be under way, so that what is submitted now waits."""
    (first,) = submit(pump, created("first"))
    await backend.began.wait()
    return first


class TestGroups:
    async def test_what_waits_at_the_same_moment_is_written_together(self) -> None:
        backend = Backend()
        pump = Pump(backend)
        assert await asyncio.gather(*submit(pump, *(created(f"A-{i}") for i in range(10)))) == [True] * 10
        assert len(backend.groups) == 1

    async def test_one_change_a_payment_a_second_waits(self) -> None:
        backend = Backend(open_=False)
        pump = Pump(backend)
        first = await behind_a_group(pump, backend)
        chain = [created("A")]
        chain += [moved(chain[0].payment), moved(chain[0].payment, by="y")]
        waits = submit(pump, *chain, created("B"))
        await asyncio.sleep(0)
        backend.gate.set()
        await asyncio.gather(first, *waits)
        assert backend.names() == [["first"], ["A", "B"], ["A"], ["A"]]
        assert [group[-1] for group in backend.groups[2:]] == chain[1:]

    async def test_who_waits_for_the_next_group_keeps_its_place(self) -> None:
        backend = Backend(open_=False)
        pump = Pump(backend, group_max=2)
        first = await behind_a_group(pump, backend)
        change = created("A")
        waits = submit(pump, change, moved(change.payment), created("B"), created("C"), created("D"))
        await asyncio.sleep(0)
        backend.gate.set()
        await asyncio.gather(first, *waits)
        assert backend.names() == [["first"], ["A", "B"], ["A", "C"], ["D"]]

    async def test_each_of_two_on_one_payment_hears_its_own_outcome(self) -> None:
        """Both were told that they had won, and two events were written."""
        before = created("A").payment
        winner, loser = moved(before, by="w"), moved(before, by="l")
        backend = Backend(lambda change: WON if change is winner else LOST)
        assert await asyncio.gather(*submit(Pump(backend), winner, loser)) == [True, False]

    async def test_groups_are_sorted_by_key(self) -> None:
        backend = Backend()
        await asyncio.gather(*submit(Pump(backend), *(created(f"A-{i}") for i in range(50))))
        ids = [change.payment.id for change in backend.groups[0]]
        assert ids == sorted(ids)

    async def test_at_most_so_many(self) -> None:
        backend = Backend(open_=False)
        pump = Pump(backend, group_max=4)
        first = await behind_a_group(pump, backend)
        waits = submit(pump, *(created(f"A-{i}") for i in range(10)))
        await asyncio.sleep(0)
        backend.gate.set()
        await asyncio.gather(first, *waits)
        assert [len(group) for group in backend.groups] == [1, 4, 4, 2]

    async def test_evidence_goes_before_commands(self) -> None:
        backend = Backend(open_=False)
        pump = Pump(backend, group_max=2)
        first = await behind_a_group(pump, backend)
        waits = submit(pump, created("C-1"), created("C-2"), evidence("E-1"), evidence("E-2"), evidence("E-3"))
        await asyncio.sleep(0)
        backend.gate.set()
        await asyncio.gather(first, *waits)
        assert backend.names() == [["first"], ["E-1", "E-2"], ["C-1", "E-3"], ["C-2"]]

    async def test_an_outcome_of_its_own_is_its_own(self) -> None:
        mine = ValueError("mine")
        backend = Backend(lambda change: mine if change.payment.order_no == "bad" else WON)
        outcomes = await asyncio.gather(
            *submit(Pump(backend), created("A"), created("bad"), created("B")), return_exceptions=True
        )
        assert outcomes == [True, mine, True]


class TestSpacing:
    async def test_alone_and_idle_it_goes_at_once(self) -> None:
        backend = Backend()
        pump = Pump(backend, spacing_s=3_600)
        assert await at_once(pump.submit(created("A")))

    async def test_the_next_waits_for_company(self) -> None:
        backend = Backend()
        pump = Pump(backend, spacing_s=0.05)
        clock = asyncio.get_running_loop().time
        await pump.submit(created("A"))
        began = clock()
        waits = submit(pump, created("B"))
        await asyncio.sleep(0)
        waits += submit(pump, created("C"))
        await asyncio.gather(*waits)
        assert backend.names() == [["A"], ["B", "C"]]
        assert clock() - began > 0.03

    async def test_a_full_group_waits_for_nobody(self) -> None:
        backend = Backend()
        pump = Pump(backend, spacing_s=3_600, group_max=3)
        await pump.submit(created("A"))
        waits = submit(pump, created("B-1"), created("B-2"))
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(backend.groups) == 1
        await at_once(asyncio.gather(*waits, *submit(pump, created("B-3"))))
        assert backend.names() == [["A"], ["B-1", "B-2", "B-3"]]


class TestBusyRows:
    async def test_go_into_a_later_group(self) -> None:
        busy = iter([BUSY, BUSY])
        backend = Backend(lambda change: next(busy, WON) if change.payment.order_no == "held" else WON)
        assert await asyncio.gather(*submit(Pump(backend), created("held"), created("free"))) == [True, True]
        assert backend.names() == [["free", "held"], ["held"], ["held"]]

    async def test_are_given_up_after_a_few_times(self) -> None:
        tries = iter([BUSY] * 10)
        backend = Backend(lambda _: next(tries))
        pump = Pump(backend, busy_waits_s=(0.001, 0.001))
        with pytest.raises(Busy):
            await pump.submit(created("held"))
        assert len(backend.groups) == 3
        assert pump.waiting == 0

    async def test_keep_nobody_waiting(self) -> None:
        backend = Backend(lambda change: BUSY if change.payment.order_no == "held" else WON)
        pump = Pump(backend, busy_waits_s=(3_600,))
        (held,) = submit(pump, created("held"))
        await asyncio.sleep(0)
        assert await at_once(pump.submit(created("free")))
        held.cancel()


class TestBackPressure:
    async def test_too_much_is_refused_at_once(self) -> None:
        backend = Backend(open_=False)
        pump = Pump(backend, waiting_max=3)
        waits = submit(pump, *(created(f"A-{i}") for i in range(3)))
        await backend.began.wait()
        with pytest.raises(Overloaded):
            await at_once(pump.submit(created("B")))
        backend.gate.set()
        assert await asyncio.gather(*waits) == [True] * 3
        assert await pump.submit(created("B")), "there is room again"


class TestThePumpOutlivesItsCallers:
    async def test_a_cancelled_wait_neither_cancels_the_change_nor_kills_the_pump(self) -> None:
        """set_result on a cancelled future killed the pump and hung the process."""
        backend = Backend(open_=False)
        pump = Pump(backend)
        first = await behind_a_group(pump, backend)
        waits = submit(pump, created("A"), created("B"))
        await asyncio.sleep(0)
        first.cancel()
        waits[0].cancel()
        await asyncio.sleep(0)
        backend.gate.set()
        assert await at_once(waits[1])
        assert backend.names() == [["first"], ["A", "B"]]
        assert await at_once(pump.submit(created("C")))
        assert pump.waiting == 0

    async def test_a_raised_error_is_everybodys_and_the_next_group_goes_on(self) -> None:
        backend = Backend()
        backend.raises = Unavailable("gone")
        pump = Pump(backend)
        outcomes = await asyncio.gather(*submit(pump, created("A"), created("B")), return_exceptions=True)
        assert outcomes == [backend.raises] * 2
        backend.raises = None
        assert await pump.submit(created("C"))

    async def test_a_backend_that_cannot_count_leaves_the_outcome_unknown(self) -> None:
        class Short(Backend):
            async def write_group(self, group: list[Change], marks: list[DeliveryMark]) -> list[Outcome]:
                return [WON]

        outcomes = await asyncio.gather(*submit(Pump(Short()), created("A"), created("B")), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [CommitUnknown] * 2

    async def test_who_comes_in_the_step_in_which_the_queue_was_seen_empty_is_served(self) -> None:
        """Submitting from the very callbacks of the last group, with no task in between, which would come too late."""

        async def one_after_the_other(pump: Pump) -> list[bool]:
            return [await pump.submit(created(f"A-{i}")) for i in range(20)]

        assert await at_once(one_after_the_other(Pump(Backend())), turns=200) == [True] * 20

    async def test_nobody_hangs_when_the_pump_is_taken_down(self) -> None:
        """A loop that ends cancels all tasks, the pump's too."""
        backend = Backend(open_=False)
        pump = Pump(backend)
        written, *waiting = submit(pump, created("A"))
        await backend.began.wait()
        waiting = submit(pump, created("B"), created("C"))
        await asyncio.sleep(0)
        (task,) = [t for t in asyncio.all_tasks() if t.get_name() == "oncepay-pump"]
        task.cancel()
        outcomes = await at_once(asyncio.gather(written, *waiting, return_exceptions=True))
        assert [type(outcome) for outcome in outcomes] == [CommitUnknown, Unavailable, Unavailable]
        backend.gate.set()
        assert await pump.submit(created("D")), "and a new pump serves who comes then"

    async def test_close_writes_what_waits_and_takes_no_more(self) -> None:
        backend = Backend()
        pump = Pump(backend, group_max=2)
        waits = submit(pump, *(created(f"A-{i}") for i in range(7)))
        await asyncio.sleep(0)
        pump.mark([a_mark()])
        backend.gate.clear()
        closing = [asyncio.ensure_future(pump.close()) for _ in range(2)]
        await asyncio.wait(closing, timeout=0.01)
        assert not any(close.done() for close in closing)
        backend.gate.set()
        await asyncio.gather(*closing)
        assert pump.waiting == 0
        assert await asyncio.gather(*waits) == [True] * 7
        assert [mark for marks in backend.marks for mark in marks] == [a_mark()]
        with pytest.raises(Unavailable):
            await pump.submit(created("late"))
        with pytest.raises(Unavailable):
            pump.mark([a_mark()])

    async def test_close_waits_for_busy_rows(self) -> None:
        busy = iter([BUSY])
        pump = Pump(Backend(lambda _: next(busy, WON)))
        (wait,) = submit(pump, created("A"))
        await asyncio.sleep(0)
        await pump.close()
        assert await wait


class TestMarks:
    async def test_ride_with_the_next_group(self) -> None:
        backend = Backend()
        pump = Pump(backend, mark_wait_s=3_600)
        pump.mark([a_mark("B"), a_mark("A")])
        await pump.submit(created("A"))
        assert backend.marks == [[a_mark("A"), a_mark("B")]], "sorted by key"
        await pump.submit(created("B"))
        assert backend.marks[1] == []

    async def test_go_alone_when_no_group_comes(self) -> None:
        backend = Backend()
        pump = Pump(backend, mark_wait_s=0.001)
        pump.mark([a_mark()])
        await asyncio.wait_for(backend.began.wait(), 5)
        assert (backend.groups, backend.marks) == ([[]], [[a_mark()]])

    async def test_the_last_word_on_a_delivery_counts(self) -> None:
        backend = Backend()
        pump = Pump(backend, mark_wait_s=3_600)
        pump.mark([a_mark(status="due", due_ms=5)])
        pump.mark([a_mark(status="parked")])
        await pump.submit(created("A"))
        assert backend.marks == [[a_mark(status="parked")]]

    async def test_a_lost_mark_costs_nobody_anything(self) -> None:
        backend = Backend()
        backend.raises = Unavailable("gone")
        pump = Pump(backend, mark_wait_s=0.001)
        pump.mark([a_mark()])
        await asyncio.wait_for(backend.began.wait(), 5)
        backend.raises = None
        assert await pump.submit(created("A"))


class TestLoader:
    async def test_loads_of_the_same_moment_share_a_statement(self) -> None:
        asked: list[list[str]] = []

        async def load_many(ids: list[str]) -> Mapping[str, str]:
            asked.append(ids)
            return {id_: id_.upper() for id_ in ids if id_ != "none"}

        loader = Loader(load_many)
        assert await asyncio.gather(*map(loader.load, ["a", "b", "a", "none"])) == ["A", "B", "A", None]
        assert asked == [["a", "b", "none"]]

    async def test_a_load_sees_what_was_committed_before_it_was_asked(self) -> None:
        """It must not join a statement that is already running."""
        truth = {"a": 1}
        running, go_on = asyncio.Event(), asyncio.Event()

        async def load_many(ids: list[str]) -> Mapping[str, int]:
            snapshot = dict(truth)
            running.set()
            await go_on.wait()
            return snapshot

        loader = Loader(load_many)
        early = asyncio.ensure_future(loader.load("a"))
        await running.wait()
        truth["a"] = 2
        late = asyncio.ensure_future(loader.load("a"))
        await asyncio.sleep(0)
        go_on.set()
        assert (await early, await late) == (1, 2)

    async def test_at_most_so_many_in_one_statement(self) -> None:
        sizes: list[int] = []

        async def load_many(ids: list[str]) -> Mapping[str, str]:
            sizes.append(len(ids))
            return dict(zip(ids, ids, strict=True))

        loader = Loader(load_many, group_max=4)
        ids = [str(i) for i in range(10)]
        assert await asyncio.gather(*map(loader.load, ids)) == ids
        assert sizes == [4, 4, 2]

    async def test_an_error_is_everybodys_and_a_cancelled_wait_nobodys(self) -> None:
        gate = asyncio.Event()
        failing = [Unavailable("gone")]

        async def load_many(ids: list[str]) -> Mapping[str, str]:
            await gate.wait()
            if failing:
                raise failing.pop()
            return dict(zip(ids, ids, strict=True))

        loader = Loader(load_many)
        waits = [asyncio.ensure_future(loader.load(id_)) for id_ in ("a", "a", "b")]
        await asyncio.sleep(0)
        waits[0].cancel()
        gate.set()
        outcomes = await asyncio.gather(*waits, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError, Unavailable, Unavailable]
        assert await loader.load("c") == "c"

    async def test_too_many_are_refused_at_once(self) -> None:
        gate = asyncio.Event()

        async def load_many(ids: list[str]) -> Mapping[str, str]:
            await gate.wait()
            return {}

        loader = Loader(load_many, waiting_max=2)
        waits = [asyncio.ensure_future(loader.load(id_)) for id_ in "ab"]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await loader.load("c")
        gate.set()
        assert await asyncio.gather(*waits) == [None, None]
