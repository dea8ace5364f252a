"""An app that is told nothing asks by itself, until it knows how each of its orders ended; and reads what it missed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from oncepay.client import CallFailed
from oncepay.client.guards import Milestone
from oncepay.testing.servers import wait_until
from tests.client.guards.apps import ALL_KINDS, App, LoopApp, ThreadApp, open_app
from tests.client.guards.books import Where
from tests.client.guards.payments import NOW_MS, Story, event_of, payment


@pytest.fixture(params=ALL_KINDS)
async def app(request: pytest.FixtureRequest, where: Where) -> AsyncIterator[App]:
    async with open_app(request.param, where) as app:
        yield app


class Spilt(Exception):
    """A handler's own trouble."""


class Dying(BaseException):
    """What ends a process, or a task."""


def spill(_: object = None) -> None:
    raise Spilt


async def until(true: Callable[[], bool]) -> None:
    """Wait for what happens in a thread or task beside."""
    await asyncio.to_thread(wait_until, true, 60)


async def watched(app: App) -> list[str]:
    return [order_no for (order_no,) in await app.run("SELECT order_no FROM oncepay_watch ORDER BY order_no")]


async def rounds(app: App, *seconds: float) -> list[int]:
    """A round after each of these pauses; for how many orders each asked."""
    asked = []
    for pause in seconds:
        app.clock.advance(pause)
        asked.append(await app.round())
    return asked


async def test_an_order_is_asked_for_on_the_timetable_until_its_outcome_is_known(app: App) -> None:
    story = Story()
    app.centre.payments["A-1"] = story.last
    await app.register("A-1")
    assert await rounds(app, 9, 1, 1, 8, 1, 10, 29, 1, 60) == [0, 1, 0, 0, 1, 1, 0, 1, 1]
    app.centre.payments["A-1"] = story.pay()
    assert await rounds(app, 119, 1) == [0, 1]
    assert await app.deeds() == {"paid": 1}
    assert await rounds(app, 10_000, 10_000) == [0, 0]
    assert await watched(app) == []


async def test_whoever_slept_for_a_day_asks_once(app: App) -> None:
    app.centre.payments["A-1"] = payment()
    await app.register("A-1")
    assert await rounds(app, 100_000, 0, 1) == [1, 0, 0]


async def test_an_outcome_that_came_by_webhook_is_not_asked_for(app: App) -> None:
    await app.register("A-1")
    await app.take(event_of(Story().pay()))
    assert await rounds(app, 10, 20) == [0, 0]
    assert app.centre.asked == []
    assert await watched(app) == []


async def test_news_that_are_no_outcome_are_taken_in_and_it_is_asked_on(app: App) -> None:
    story = Story()
    await app.register("A-1")
    app.centre.payments["A-1"] = story.next(closing=True)
    assert await rounds(app, 10) == [1]
    app.centre.payments["A-1"] = story.close()
    assert await rounds(app, 10) == [1]
    assert await app.deeds() == {f"closed/{NOW_MS + 1}": 1}


async def test_a_refund_is_asked_for_when_its_order_is_registered_again(app: App) -> None:
    story = Story()
    await app.take(event_of(story.pay()))
    app.centre.payments["A-1"] = story.last
    await app.register("A-1")
    assert await rounds(app, 10) == [1]  # it is settled as before: the refund is on its way to the centre
    app.centre.payments["A-1"] = story.refund("R-1", 800)
    assert await rounds(app, 10) == [1]
    app.centre.payments["A-1"] = story.refund("R-1", 800, "done")
    assert await rounds(app, 10, 1000) == [1, 0]
    assert await app.deeds() == {"paid": 1, "refund.done/R-1": 1}
    assert await watched(app) == []


async def test_a_refund_that_never_got_there_is_let_go(app: App) -> None:
    story = Story()
    await app.take(event_of(story.pay()))
    app.centre.payments["A-1"] = story.last
    await app.register("A-1")
    assert await rounds(app, 480, 300) == [1, 0]
    assert await watched(app) == ["A-1"]
    assert await rounds(app, 300) == [1]
    assert await watched(app) == []
    assert await app.deeds() == {"paid": 1}


async def test_a_refund_is_asked_for_though_older_news_come_late(app: App) -> None:
    """The app has read that it is paid; the webhook that says so comes after the refund was asked for."""
    story = Story()
    paid = story.pay()
    await app.register("A-1", above=paid.version)
    await app.take(event_of(paid))
    app.centre.payments["A-1"] = story.refund("R-1", 800)
    assert await rounds(app, 10) == [1]
    app.centre.payments["A-1"] = story.refund("R-1", 800, "done")
    assert await rounds(app, 10, 1000) == [1, 0]
    assert await app.deeds() == {"paid": 1, "refund.done/R-1": 1}
    assert await watched(app) == []


async def test_a_refund_is_not_asked_for_when_its_end_came_by_webhook(app: App) -> None:
    story = Story()
    await app.register("A-1", above=story.pay().version)
    await app.take(event_of(story.refund("R-1", 800, "done")))
    assert await rounds(app, 10) == [0]
    assert await watched(app) == []


async def test_what_was_seen_and_never_told_is_taken_in_too(app: App) -> None:
    """The app has read that it is paid, its webhook is lost, and the refund never got there."""
    await app.register("A-1", above=1)
    app.centre.payments["A-1"] = Story().pay()
    assert await rounds(app, 10, 10) == [1, 1]
    assert await app.deeds() == {"paid": 1}
    assert await watched(app) == ["A-1"]
    assert await rounds(app, 1000, 1000) == [1, 0]


async def test_what_the_inbox_knows_counts_when_it_is_more_than_was_seen(app: App) -> None:
    story = Story()
    story.pay()
    await app.take(event_of(story.refund("R-1", 800, "done")))
    app.centre.payments["A-1"] = story.last
    for _ in range(2):  # the first time, and again
        await app.register("A-1", above=1)
        assert await rounds(app, 10) == [1]
        assert await watched(app) == ["A-1"]


async def test_an_order_that_never_got_there_is_handed_back(app: App) -> None:
    await app.register("A-1")
    assert await rounds(app, 480) == [1]
    assert await app.deeds() == {}
    assert await rounds(app, 1000, 10_000) == [1, 0]
    assert await app.deeds() == {"absent": 1}
    assert await watched(app) == []


async def test_an_order_that_was_forgotten_is_not_asked_for_for_ever(app: App) -> None:
    """A refund after 400 days: nothing of it is told, but nothing is shipped again either."""
    story = Story()
    await app.take(event_of(story.pay()))
    app.clock.advance(401 * 86_400)
    assert await app.forget(400) == 1
    await app.register("A-1")
    app.centre.payments["A-1"] = story.refund("R-1", 800)
    assert await rounds(app, 10, 1000) == [1, 1]
    assert await watched(app) == ["A-1"]  # something is on its way
    app.centre.payments["A-1"] = story.refund("R-1", 800, "failed")
    assert await rounds(app, 1000) == [1]
    assert await watched(app) == []
    await app.register("A-1")
    assert await rounds(app, 10) == [1]
    assert await watched(app) == ["A-1"]  # a call may be under way
    assert await app.deeds() == {"paid": 1}


async def test_an_old_order_that_is_known_is_asked_for_until_it_is_settled(app: App) -> None:
    story = Story()
    app.clock.advance(401 * 86_400)
    await app.register("A-1")
    app.centre.payments["A-1"] = story.pay()
    app.trouble = spill
    assert await rounds(app, 1000) == [1]
    assert await watched(app) == ["A-1"]
    app.trouble = lambda _: None
    assert await rounds(app, 1000, 1000) == [1, 0]
    assert await app.deeds() == {"paid": 1}


@pytest.mark.parametrize("kind", ["sqlite3", "psycopg", "pymysql"])
async def test_an_order_that_is_registered_again_meanwhile_stays(kind: str, where: Where) -> None:
    async with open_app(kind, where) as app:
        assert isinstance(app, ThreadApp)
        books, watch, answer = app.books, app.watch, app.centre.answer

        def answer_late(call: Any) -> Any:
            """The payer comes back while the centre is asked."""
            app.clock.advance(1)
            with books.begin() as within:
                watch.register(within, "A-1")
            return answer(call)

        await app.register("A-1")
        app.clock.advance(1000)
        app.centre.answer = answer_late  # type: ignore[method-assign]
        await app.round()
        assert await app.deeds() == {}
        assert await watched(app) == ["A-1"]


async def test_when_the_centre_is_down_nothing_is_lost_and_all_is_asked_soon(app: App) -> None:
    for n in range(3):
        await app.register(f"A-{n}")
        app.centre.payments[f"A-{n}"] = Story(f"A-{n}").pay()
    app.centre.down = True
    app.clock.advance(86_400)
    with pytest.raises(CallFailed):
        await app.round()
    assert await watched(app) == ["A-0", "A-1", "A-2"]
    app.centre.down = False
    await rounds(app, 10)
    assert [await app.deeds(f"A-{n}") for n in range(3)] == [{"paid": 1}] * 3


async def test_two_who_watch_ask_once(app: App) -> None:
    for n in range(20):
        await app.register(f"A-{n:02d}")
        app.centre.payments[f"A-{n:02d}"] = Story(f"A-{n:02d}").pay()
    app.clock.advance(10)
    asked = await asyncio.gather(*(app.round() for _ in range(4)))
    assert sum(asked) == 20
    assert sorted(app.centre.asked) == [f"A-{n:02d}" for n in range(20)]
    assert [await app.deeds(f"A-{n:02d}") for n in range(20)] == [{"paid": 1}] * 20


async def test_a_handler_that_raises_keeps_no_other_order_waiting_and_is_called_again(app: App) -> None:
    for order_no in ("A-1", "A-2", "A-3"):
        await app.register(order_no)
        app.centre.payments[order_no] = Story(order_no).pay()
    app.trouble = lambda milestone: spill(milestone) if milestone.payment.order_no == "A-2" else None
    assert await rounds(app, 10) == [3]
    assert [len(await app.deeds(order_no)) for order_no in ("A-1", "A-2", "A-3")] == [1, 0, 1]
    assert await rounds(app, 10, 10, 30, 60) == [1, 1, 1, 1]
    (poisoned,) = await app.poisoned()
    assert (poisoned.order_no, poisoned.failures) == ("A-2", 5)
    app.trouble = lambda _: None
    assert await rounds(app, 120, 240) == [1, 0]
    assert await app.deeds("A-2") == {"paid": 1}


async def test_registering_is_part_of_the_apps_own_transaction(app: App) -> None:
    with pytest.raises(Spilt):
        await app.register("A-1", spill)
    assert await watched(app) == []


# -- the feed ----------------------------------------------------------------------------------------------------


def feed(app: App) -> None:
    """Eight events of three orders, three a page."""
    one, two, three = Story("A-1"), Story("A-2"), Story("A-3")
    for told in (one.pay(), two.next(closing=True), three.pay(), one.refund("R-1", 5), two.close()):
        app.centre.events.append(event_of(told))
    for told in (one.refund("R-1", 5, "done"), three.refund("surplus:01", 1, "done", "surplus"), two.reopen()):
        app.centre.events.append(event_of(told))


ALL = {
    "A-1": {"paid": 1, "refund.done/R-1": 1},
    "A-2": {f"closed/{NOW_MS + 1}": 1},
    "A-3": {"paid": 1, "surplus.refunded/surplus:01": 1},
}


async def told(app: App) -> dict[str, Any]:
    return {order_no: dict(await app.deeds(order_no)) for order_no in ALL}


async def place(app: App) -> list[str]:
    return [place for (place,) in await app.run("SELECT place FROM oncepay_feed")]


async def test_the_feed_is_read_to_its_end_and_then_from_there_on(app: App) -> None:
    assert await app.pull() == 0
    feed(app)
    assert await app.pull() == 8
    assert await told(app) == ALL
    assert await place(app) == ["8"]
    assert await app.pull() == 0
    app.centre.events.append(event_of(Story("A-4").pay()))
    assert await app.pull() == 1
    assert await app.deeds("A-4") == {"paid": 1}


async def test_what_came_by_webhook_is_not_done_again(app: App) -> None:
    feed(app)
    for event in reversed(app.centre.events[1:]):
        await app.take(event)
    assert await app.pull() == 8
    done = await told(app)
    assert done == {**ALL, "A-2": {}}  # its closing came after its reopening


async def test_the_place_and_what_was_taken_in_are_one(app: App) -> None:
    """Who dies in the middle of a page reads that page again."""
    feed(app)
    app.centre.page_max = 5
    calls: list[Milestone] = []

    def die(milestone: Milestone) -> None:
        calls.append(milestone)
        if len(calls) == 2:
            raise Dying

    app.trouble = die
    with pytest.raises(Dying):
        await app.pull()
    assert await told(app) == {"A-1": {}, "A-2": {}, "A-3": {}}
    assert await place(app) == []
    app.trouble = lambda _: None
    assert await app.pull() == 8
    assert await told(app) == ALL


async def test_one_event_that_cannot_be_taken_in_keeps_no_other_waiting(app: App) -> None:
    feed(app)
    app.trouble = lambda milestone: spill(milestone) if milestone.payment.order_no == "A-3" else None
    assert await app.pull() == 8
    assert await told(app) == {**ALL, "A-3": {}}
    assert await place(app) == ["8"]
    assert await watched(app) == ["A-3"]  # so it is asked for until it is in
    app.centre.payments["A-3"] = app.centre.events[6].payment
    app.trouble = lambda _: None
    assert await rounds(app, 10, 10) == [1, 0]
    assert await told(app) == ALL
    assert await watched(app) == []


async def test_two_who_pull_do_it_once(app: App) -> None:
    feed(app)
    await asyncio.gather(*(app.pull() for _ in range(3)))
    assert await told(app) == ALL
    assert await place(app) == ["8"]


async def test_a_centre_that_is_down_leaves_the_place(app: App) -> None:
    feed(app)
    await app.pull()
    app.centre.down = True
    with pytest.raises(CallFailed):
        await app.pull()
    assert await place(app) == ["8"]


# -- loops -------------------------------------------------------------------------------------------------------


async def test_a_loop_goes_on_whatever_happens_and_ends_when_it_is_told(where: Where) -> None:
    async with open_app("sqlite3", where) as app:
        assert isinstance(app, ThreadApp)
        await app.register("A-1")
        app.centre.payments["A-1"] = Story().pay()
        app.clock.advance(10)
        app.centre.down = True
        stop = threading.Event()
        looping = asyncio.create_task(asyncio.to_thread(app.watch.run, stop, 0.001))
        await until(lambda: app.centre.tried > 0)
        app.centre.down = False
        app.clock.advance(10)
        await until(lambda: bool(app.centre.asked))
        stop.set()
        await asyncio.wait_for(looping, 10)
        assert await app.deeds() == {"paid": 1}


async def test_so_does_a_task(where: Where) -> None:
    async with open_app("asyncpg", where) as app:
        assert isinstance(app, LoopApp)
        await app.register("A-1")
        app.centre.payments["A-1"] = Story().pay()
        app.clock.advance(10)
        app.centre.down = True
        looping = asyncio.create_task(app.watch.run(0.001))
        await until(lambda: app.centre.tried > 0)
        app.centre.down = False
        app.clock.advance(10)
        await until(lambda: bool(app.centre.asked))
        await until(lambda: app.heard == ["paid"])
        looping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looping
