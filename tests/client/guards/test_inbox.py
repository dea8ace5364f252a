"""What the inbox promises, on every kind of connection: each milestone once, in the app's own transaction, whatever
comes, in whatever order, however often, and whatever dies."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
import pytest

from oncepay.client.guards import Contended, Milestone, OtherPayment, transactions
from oncepay.client.guards.inbox import taking
from oncepay.client.guards.scripts import Script
from tests.client.guards.apps import ALL_KINDS, App, LoopApp, ThreadApp, open_app
from tests.client.guards.books import Books, Where
from tests.client.guards.payments import NOW_MS, Story, event_of, payment, payment_id

ROW = "SELECT version, settled, done, failures, failed FROM oncepay_inbox WHERE order_no = ?"


@pytest.fixture(params=ALL_KINDS)
async def app(request: pytest.FixtureRequest, where: Where) -> AsyncIterator[App]:
    async with open_app(request.param, where) as app:
        yield app


class Spilt(Exception):
    """A handler's own trouble."""


def spill(_: Milestone) -> None:
    raise Spilt("the tea is on the floor")


async def test_an_event_is_taken_in_once(app: App) -> None:
    event = event_of(Story().pay())
    assert await app.take(event) == ("paid",)
    assert await app.take(event) == ()
    assert await app.deeds() == {"paid": 1}


async def test_later_news_that_overtake_it_ship_the_goods_all_the_same(app: App) -> None:
    story = Story()
    paid, opened, done = story.pay(), story.refund("R-1", 800), story.refund("R-1", 800, "done")
    assert await app.take(event_of(done)) == ("paid", "refund.done")
    assert await app.take(event_of(paid)) == ()
    assert await app.take(event_of(opened)) == ()
    assert await app.deeds() == {"paid": 1, "refund.done/R-1": 1}


async def test_of_later_news_only_what_is_new_is_run(app: App) -> None:
    story = Story()
    assert await app.take(event_of(story.pay())) == ("paid",)
    assert await app.take(event_of(story.refund("R-1", 800))) == ()
    assert await app.take(event_of(story.refund("R-1", 800, "done"))) == ("refund.done",)
    assert await app.take(event_of(story.refund("surplus:01", 8800, "done", "surplus"))) == ("surplus.refunded",)
    assert await app.take(event_of(story.refund("R-2", 100, "failed"))) == ("refund.failed",)
    assert await app.take(event_of(story.refund("outside:1", 5, "done", "outside"))) == ("refund.outside",)
    assert set((await app.deeds()).values()) == {1}
    assert [tuple(row)[:2] for row in await app.run(ROW, "A-1")] == [(6, 1)]


async def test_each_closing_is_told_and_a_late_closing_is_not(app: App) -> None:
    story = Story()
    closed, reopened, again = story.close(), story.reopen(), story.close()
    assert await app.take(event_of(reopened)) == ()
    assert await app.take(event_of(closed)) == ()  # it is open again: nothing may be cancelled now
    assert await app.take(event_of(again)) == ("closed",)
    assert await app.take(event_of(story.pay())) == ("paid",)  # late money, accepted


async def test_a_payment_that_is_given_up_twice_is_told_twice(app: App) -> None:
    story = Story()
    assert await app.take(event_of(story.close())) == ("closed",)
    story.reopen()
    assert await app.take(event_of(story.close())) == ("closed",)
    assert await app.take(event_of(story.last)) == ()


async def test_what_the_app_made_itself_is_no_news(app: App) -> None:
    assert await app.take(payment()) == ()
    assert await app.run(ROW, "A-1") == []


async def test_a_handler_that_raises_leaves_nothing_and_is_called_again(app: App) -> None:
    event = event_of(Story().pay())
    app.trouble = spill
    with pytest.raises(Spilt):
        await app.take(event)
    assert await app.deeds() == {}
    assert [tuple(row) for row in await app.run(ROW, "A-1")] == [(-1, 0, "", 1, event.id)]
    app.trouble = lambda _: None
    assert await app.take(event) == ("paid",)
    assert await app.deeds() == {"paid": 1}
    assert [tuple(row) for row in await app.run(ROW, "A-1")] == [(1, 1, "paid", 0, "")]


async def test_one_of_two_handlers_that_raises_undoes_both(app: App) -> None:
    story = Story()
    story.pay()
    both = event_of(story.refund("R-1", 800, "done"))
    app.trouble = lambda milestone: spill(milestone) if milestone.word == "refund.done" else None
    with pytest.raises(Spilt):
        await app.take(both)
    assert await app.deeds() == {}


async def test_what_fails_again_and_again_is_listed(app: App) -> None:
    story = Story("A-7")
    first, later = event_of(story.pay()), event_of(story.refund("R-1", 800))
    assert await app.take(event_of(Story("A-8").pay())) == ("paid",)
    app.trouble = spill
    for event in (first, later, first, first):
        with pytest.raises(Spilt):
            await app.take(event)
    assert await app.poisoned() == []
    app.clock.advance(60)
    with pytest.raises(Spilt):
        await app.take(later)
    (poisoned,) = await app.poisoned()
    assert (poisoned.order_no, poisoned.payment, poisoned.version) == ("A-7", payment_id("A-7"), -1)
    assert (poisoned.failures, poisoned.failed) == (5, later.id)
    assert poisoned.error == "Spilt: the tea is on the floor"
    assert poisoned.at_ms == app.clock.ms
    app.trouble = lambda _: None
    assert await app.take(later) == ("paid",)
    assert await app.poisoned() == []


async def test_a_failure_that_is_counted_after_all_was_done_is_forgiven(app: App) -> None:
    """As when two deliveries block each other: one is done, the other one fails and comes again."""
    event = event_of(Story().pay())
    await app.take(event)
    await app.run("UPDATE oncepay_inbox SET failures = 7")
    assert len(await app.poisoned()) == 1
    assert await app.take(event) == ()
    assert await app.poisoned() == []


@pytest.mark.parametrize("words", ["nul\0in it", "钱不见了 🫖", "x" * 5000, "%s ? :name $1"])
async def test_whatever_an_error_says_is_kept(app: App, words: str) -> None:
    def say(_: Milestone) -> None:
        raise Spilt(words)

    app.trouble = say
    for _ in range(5):
        with pytest.raises(Spilt):
            await app.take(event_of(Story().pay()))
    (poisoned,) = await app.poisoned()
    assert poisoned.error == f"Spilt: {words}".replace("\0", "")[:500]


async def test_deliveries_at_once_run_it_once_and_all_are_answered(app: App) -> None:
    story = Story()
    events = [event_of(story.pay()), event_of(story.refund("R-1", 800)), event_of(story.refund("R-1", 800, "done"))]
    ran = await asyncio.gather(*(app.take(event) for event in events * 6))
    assert await app.deeds() == {"paid": 1, "refund.done/R-1": 1}
    assert sorted(word for words in ran for word in words) == ["paid", "refund.done"]


async def test_of_two_at_once_the_second_waits_and_runs_when_the_first_fails(app: App) -> None:
    calls: list[str] = []

    def fail_first(milestone: Milestone) -> None:
        calls.append(milestone.word)
        if len(calls) == 1:
            spill(milestone)

    app.trouble = fail_first
    event = event_of(Story().pay())
    ran = await asyncio.gather(*(app.take(event) for _ in range(5)), return_exceptions=True)
    assert [type(outcome) for outcome in ran if isinstance(outcome, BaseException)] == [Spilt]
    assert ran.count(("paid",)) == 1
    assert await app.deeds() == {"paid": 1}


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
async def test_a_stricter_database_is_asked_again(level: str, where: Where) -> None:
    """It ends transactions that stand in each other's way, whose order would matter."""
    url = where.postgres()

    def connect() -> psycopg.Connection:
        return psycopg.connect(url, options=f"-c default_transaction_isolation={level.replace(' ', chr(92) + ' ')}")

    books = Books(transactions.dbapi(connect))
    await asyncio.to_thread(books.make)
    app = ThreadApp("psycopg").attach(books)
    story = Story()
    events = [event_of(story.pay()), event_of(story.refund("R-1", 800)), event_of(story.refund("R-1", 800, "done"))]
    await asyncio.gather(*(app.take(event) for event in events * 4))
    assert await app.deeds() == {"paid": 1, "refund.done/R-1": 1}
    assert len(app.heard) >= 2


async def test_an_order_number_belongs_to_one_payment(app: App) -> None:
    await app.take(event_of(Story().pay()))
    other = payment(id="pay_other", version=1)
    with pytest.raises(OtherPayment, match="order A-1 belongs to pay_A-1000"):
        await app.take(other)
    assert await app.deeds() == {"paid": 1}


async def test_order_numbers_are_read_to_the_letter(app: App) -> None:
    for order_no in ("a-1", "A-1", "A_1"):
        assert await app.take(event_of(Story(order_no).pay())) == ("paid",)


async def test_long_numbers_fit(app: App) -> None:
    story = Story("N" * 64)
    story.pay()
    for n in range(50):
        story.refund(f"{n:02d}" + "R" * 62, 1, "done")
    assert len(await app.take(event_of(story.last))) == 51
    assert await app.take(event_of(story.last)) == ()
    assert await app.take(event_of(story.refund("R-1", 1, "done"))) == ("refund.done",)


async def test_forgetting_leaves_what_may_still_come(app: App) -> None:
    await app.take(event_of(Story("old").pay()))
    await app.take(event_of(Story("open").next(closing=True)))
    app.clock.advance(401 * 86_400)
    await app.take(event_of(Story("new").pay()))
    with pytest.raises(ValueError, match="400 days"):
        await app.forget(399)
    assert await app.forget(400) == 1
    left = await app.run("SELECT order_no FROM oncepay_inbox ORDER BY order_no")
    assert [order_no for (order_no,) in left] == ["new", "open"]


DAYS_401: Final = 401 * 86_400


async def test_an_order_that_was_forgotten_is_not_shipped_again(app: App) -> None:
    story, unknown = Story("old"), Story("older")
    event = event_of(story.pay())
    await app.take(event)
    app.clock.advance(DAYS_401)
    assert await app.forget(400) == 1
    assert await app.take(event) == ()
    assert await app.take(event_of(story.refund("R-1", 800, "done"))) == ()
    assert await app.take(event_of(unknown.pay())) == ()  # nobody can tell that it was not forgotten
    assert await app.run("SELECT order_no FROM oncepay_inbox") == []
    assert await app.deeds("old") == {"paid": 1}


async def test_what_is_old_and_was_not_forgotten_is_taken_in(app: App) -> None:
    """Nobody has forgotten anything; or it is not settled; or it came after the day up to which was forgotten."""
    story, late = Story("open"), Story("late")
    await app.take(event_of(story.next(closing=True)))
    app.clock.advance(DAYS_401)
    assert await app.take(event_of(Story("early").pay())) == ("paid",)
    assert await app.forget(402) == 0
    assert await app.take(event_of(late.pay())) == ("paid",)
    assert await app.forget(400) == 0
    assert await app.take(event_of(story.pay())) == ("paid",)
    assert await app.take(event_of(late.refund("R-1", 800, "done"))) == ("refund.done",)


async def test_up_to_when_was_forgotten_only_goes_forward(app: App) -> None:
    event = event_of(Story("old").pay())
    await app.take(event)
    app.clock.advance(DAYS_401)
    assert await app.forget(400) == 1
    for days in (402, 1_000_000):
        assert await app.forget(days) == 0
    assert await app.take(event) == ()
    assert len(await app.run("SELECT place FROM oncepay_feed")) == 1


async def test_forgetting_and_old_news_at_once_ship_once(app: App) -> None:
    stories = [Story(f"A-{n}") for n in range(8)]
    for story in stories:
        await app.take(event_of(story.pay()))
    app.clock.advance(DAYS_401)
    took = (app.take(event_of(story.last)) for story in stories)
    await asyncio.gather(app.forget(400), *took, app.forget(400))
    assert [await app.deeds(story.last.order_no) for story in stories] == [{"paid": 1}] * 8


def answering(script: Script[Any], *answers: Any) -> Iterator[str]:
    """The statements of a script that is told these answers, in turn; what it returned at last."""
    answer: Any = None
    for following in (*answers, None):
        try:
            do = script.send(answer)
        except StopIteration as end:
            yield repr(end.value)
            return
        yield do.statement
        answer = following


def test_an_order_that_is_forgotten_between_two_statements_is_not_shipped_again() -> None:
    """The row that was in the way of the insert is gone when it is to be read."""
    story = Story()
    said = answering(taking(story.pay(), NOW_MS), 0, [], 0, [], [[f"{NOW_MS + 1:020d}"]])
    assert list(said) == ["tell", "known", "hold", "known", "forgotten", "()"]
    gone = answering(taking(story.pay(), NOW_MS), 0, [], 0, [], [], 0, [], 0, [], [], 0, [])
    with pytest.raises(Contended, match="A-1 was there and was gone, 3 times"):
        list(gone)


async def test_tables_may_be_made_again(app: App) -> None:
    await app.take(event_of(Story().pay()))
    if isinstance(app, ThreadApp):
        await asyncio.to_thread(app.books.make_tables)
    elif isinstance(app, LoopApp):
        await app.books.make_tables()
    assert await app.take(event_of(Story().pay())) == ()


@pytest.mark.parametrize("kind", ["sqlite3", "sqlalchemy-sqlite"])
async def test_the_first_news_of_an_order_cost_one_insert(kind: str, where: Where) -> None:
    async with open_app(kind, where) as app:
        assert isinstance(app, ThreadApp)
        said: list[str] = []
        begin = app.inbox.begin

        @contextmanager
        def listening() -> Iterator[Any]:
            with begin() as within:
                link = within if isinstance(within, sqlite3.Connection) else within.connection().connection
                link.set_trace_callback(lambda sql: said.append(" ".join(sql.split()[:3])))
                yield within

        app.inbox.begin = listening
        await app.take(event_of(Story().pay()))
        assert [sql for sql in said if not sql.startswith("BEGIN")] == [
            "INSERT INTO oncepay_inbox",
            "INSERT INTO deed",
            "COMMIT",
        ]
