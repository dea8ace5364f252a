"""What one process leaves to be done, another does at once: on a clock that stands, so that only a wake-up can have
started it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from oncepay.assembly import Centre, SystemDice, assemble
from oncepay.engine import admin
from oncepay.engine.ceiling import BURST_S
from oncepay.engine.wake import DELIVERIES, DIRECTORY, GAP_S, PAYMENTS, Bell, Waking
from oncepay.ports import Answer, Request, Wake
from oncepay.testing.servers import fresh_database
from oncepay.testing.services import valkey
from tests.sandbox.vectors import vector_keys
from tests.spec.centre import Town, api, open_town

BOUND_S = 20.0


async def for_ever() -> None:
    await asyncio.Event().wait()


class Standing:
    """The sandbox's time; nobody who sleeps on it wakes up by himself."""

    def __init__(self, town: Town) -> None:
        self._town = town

    def now_ms(self) -> int:
        return self._town.now_ms

    async def sleep(self, seconds: float) -> None:
        await for_ever()


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with valkey() as server:
        yield server.url


@pytest.fixture(params=["postgres", "redis"])
def by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How words are passed on: the Redis, or nothing beside the database. On a clock that stands a word that was given up
    for taking too long, as on a busy machine it may, is never made up for."""
    monkeypatch.setattr("oncepay.shared.link.ANSWER_S", 5.0)
    return str(request.getfixturevalue("redis_url")) if request.param == "redis" else ""


@asynccontextmanager
async def two(postgres_url: str, redis_url: str) -> AsyncIterator[tuple[Town, Centre]]:
    """A town whose centre only answers, and a process that works, on one database."""
    with fresh_database(postgres_url) as url:
        async with open_town(url, vector_keys(), redis_url=redis_url) as town:
            town.engine.hand_over = None
            config = msgspec.structs.replace(town.config, redis_url=redis_url)
            works = await assemble(config, clock=Standing(town), dice=SystemDice())
            works.start(work=True)
            try:
                await heard(town.engine.waking, works)
                yield town, works
            finally:
                await works.stop(1.0)


async def heard(waking: Waking, works: Centre) -> None:
    """Until the one that works hears the other, and has nothing to do."""
    probe = works.engine.waking.bell("probe")
    listening = asyncio.ensure_future(probe.wait(for_ever()))
    while not listening.done():
        waking.tell("probe")
        await asyncio.sleep(0.01)
    bells = [works.engine.waking.bell(word) for word in (PAYMENTS, DELIVERIES, DIRECTORY)]
    while not all(bell.awaited for bell in bells):  # noqa: ASYNC110 - another program's state
        await asyncio.sleep(0.001)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(BOUND_S):
        while not true():  # noqa: ASYNC110 - another program's state
            await asyncio.sleep(0.005)


async def test_a_delivery_that_this_process_does_not_make(postgres_url: str, by: str) -> None:
    async with two(postgres_url, by) as (town, _):
        shown = await town.pay("W-1")
        await town.payer_pays(shown)
        await until(lambda: town.shop.told("W-1") == ["paid"])


async def test_a_step_that_this_process_does_not_do(postgres_url: str, by: str) -> None:
    """Money that came too late goes back by another process, which nobody but the notification's has told."""
    async with two(postgres_url, by) as (town, _):
        shown = await town.pay("W-2", minutes=5)
        await town.closes(shown.payment)
        town.faults({"fault": "pay_after_close"})
        await town.payer_pays(shown)
        await until(lambda: town.refunds_in_books(shown.payment) == [8800])


async def test_deliveries_that_are_replayed(postgres_url: str, by: str) -> None:
    async with two(postgres_url, by) as (town, _):
        await town.payer_pays(await town.pay("W-3"))
        await until(lambda: len(town.shop.heard) == 1)
        await town.quiet()
        status, answer = await api(town, "POST", "/v1/deliveries/replay", {"status": "done"})
        assert (status, answer) == (200, {"replayed": 1})
        await until(lambda: len(town.shop.heard) == 2)


async def test_who_was_added_elsewhere_is_known(postgres_url: str, by: str) -> None:
    async with two(postgres_url, by) as (town, works):
        app, key = await admin.create_app(town.engine, "another", "")
        await until(lambda: works.engine.directory.app_of_key(key) is not None)
        await admin.revoke_key(town.engine, app, key[-4:])
        await until(lambda: works.engine.directory.app_of_key(key) is None)


async def test_who_waits_for_a_payment_elsewhere_is_woken(postgres_url: str, by: str) -> None:
    async with two(postgres_url, by) as (town, works):
        shown = await town.pay("W-5")
        waiting = asyncio.ensure_future(works.engine.hub.wait(shown.payment.id, for_ever()))
        await asyncio.sleep(0)
        await town.payer_pays(shown)
        await asyncio.wait_for(waiting, BOUND_S)


# -- inside one process ------------------------------------------------------------------------------------------------


class Street:
    """Passes words on at once, inside this process."""

    def __init__(self) -> None:
        self._ears: dict[object, Callable[[str], None]] = {}

    def join(self) -> Wake:
        street, me = self, object()

        class Door:
            async def tell(self, words: Sequence[str]) -> None:
                for ear in [ear for who, ear in street._ears.items() if who is not me]:
                    for word in words:
                        ear(word)

            async def listen(self, hear: Callable[[str], None], caught_up: Callable[[], None]) -> None:
                street._ears[me] = hear
                caught_up()
                await for_ever()

            async def close(self) -> None:
                street._ears.pop(me, None)

        return Door()


class Listener:
    """A process of which only the ears are there: what its bells rang for, in order."""

    def __init__(self, wake: Wake) -> None:
        self.news: list[str] = []
        self.waking = Waking(wake, self.news.append)
        self._loops = [asyncio.create_task(self._answer(word)) for word in (PAYMENTS, DELIVERIES, DIRECTORY)]
        self._loops.append(asyncio.create_task(self.waking.listen()))
        self.rung: asyncio.Queue[str] = asyncio.Queue()

    async def _answer(self, word: str) -> None:
        bell = self.waking.bell(word)
        while True:
            await bell.wait(for_ever())
            self.rung.put_nowait(word)

    async def close(self) -> None:
        for task in self._loops:
            task.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await self.waking.close()


@pytest.fixture
async def ears() -> AsyncIterator[tuple[Listener, Listener]]:
    street = Street()
    both = Listener(street.join()), Listener(street.join())
    for each in both:  # each is rung once for all that it may have missed
        assert {await each.rung.get() for _ in range(3)} == {PAYMENTS, DELIVERIES, DIRECTORY}
    yield both
    for each in both:
        await each.close()


async def test_what_the_committing_process_does_next_by_itself_is_told_to_nobody(
    ears: tuple[Listener, Listener],
) -> None:
    here, there = ears
    here.waking.left("p1", due=True, news=False)
    here.waking.left("p1", due=False, news=False)  # its next commit: the intent of the step that was due
    here.waking.left("p2", due=True, news=False)
    here.waking._still_due()  # a look that comes right after the commit waits for the next one
    assert here.rung.empty()
    here.waking.left("p2", due=False, news=False)
    await asyncio.sleep(3 * GAP_S)
    here.waking.tell(DIRECTORY)
    assert await there.rung.get() == DIRECTORY
    assert here.rung.empty()


async def test_what_is_still_due_a_moment_later_is_done_here_when_there_is_room(
    ears: tuple[Listener, Listener],
) -> None:
    here, there = ears
    here.waking.left("p1", due=True, news=False)
    here.waking.left("p2", due=True, news=False)
    here.waking.left("p1", due=False, news=False)
    assert await here.rung.get() == PAYMENTS
    here.waking.tell(DIRECTORY)
    assert await there.rung.get() == DIRECTORY, "it was told of nothing before"


async def test_and_elsewhere_when_the_loop_here_is_busy_or_there_is_none(ears: tuple[Listener, Listener]) -> None:
    here, there = ears
    here._loops[0].cancel()
    await asyncio.gather(here._loops[0], return_exceptions=True)
    here.waking.left("p1", due=True, news=False)
    assert await there.rung.get() == PAYMENTS


async def test_a_ring_while_the_loop_works_is_kept() -> None:
    bell = Bell()
    bell.ring()
    await bell.wait(for_ever())
    waiting = asyncio.ensure_future(bell.wait(for_ever()))
    await asyncio.sleep(0)
    assert not waiting.done(), "one ring, one look"
    bell.ring()
    await waiting


async def test_what_was_to_be_told_is_told_before_the_end() -> None:
    street = Street()
    here, there = Listener(street.join()), Listener(street.join())
    await here.rung.get()
    for _ in range(3):
        await there.rung.get()
    here.waking.left("p1", due=False, news=True)
    here.waking.left("p2", due=True, news=False)
    await here.close()
    assert await there.rung.get() == PAYMENTS
    assert there.news == ["p1"]
    await there.close()


# -- the ceiling, in the loop ------------------------------------------------------------------------------------------


async def test_calls_keep_to_the_ceiling_and_every_payer_gets_a_code(tmp_path: Path) -> None:
    per_s = 4.0
    async with open_town(f"sqlite:///{tmp_path}/centre.db", vector_keys(), calls_per_s=per_s) as town:
        at_ms: list[int] = []
        send = town.engine.transport.send

        async def counted(request: Request, deadline_s: float) -> Answer:
            at_ms.append(town.now_ms)
            return await send(request, deadline_s)

        town.engine.transport.send = counted  # type: ignore[method-assign]
        shown = await asyncio.gather(*(town.pay(f"C-{n}") for n in range(12)))
        await town.passes(60)
        for n, each in enumerate(shown):
            again = await town.pay(f"C-{n}")
            assert again.credential
            assert again.payment.id == each.payment.id
        assert len(at_ms) >= 12
        for first in at_ms:
            assert sum(first <= at < first + 1000 for at in at_ms) <= per_s * (1 + BURST_S) + 1
