"""Whatever a centre tells, in whatever order, however often, and with gaps: once the app knows the last of it, its books
are the centre's, and it did each thing once. Also when handlers fail and processes race on the way."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from oncepay.client import Event, Payment
from oncepay.client.guards import Inbox, Milestone, link_of
from oncepay.client.guards.milestones import WORDS, milestones
from tests.client.guards.apps import App, open_app
from tests.client.guards.books import Where
from tests.client.guards.payments import Story, payment_id

ACTS: Final = ("pay", "close", "reopen", "closing", "refund", "refund_done", "refund_failed", "surplus", "outside")


def live(acts: list[tuple[str, int]]) -> Story:
    """A payment's life: those of the acts that may happen when their turn comes."""
    story = Story()
    for act, n in acts:
        now = story.last
        open_no = next((refund.refund_no for refund in now.refunds if refund.status == "open"), "")
        if act == "pay" and now.paid is None:  # also when it is closed: late money that is accepted
            story.pay()
        elif act == "close" and now.status == "open":
            story.close()
        elif act == "reopen" and now.status == "closed":
            story.reopen()
        elif act == "closing" and now.status == "open" and not now.closing:
            story.next(closing=True)
        elif act == "refund" and now.paid:
            story.refund(f"R-{now.version}", n)
        elif act == "refund_done" and open_no:
            story.refund(open_no, _minor(now, open_no), "done")
        elif act == "refund_failed" and open_no:
            story.refund(open_no, _minor(now, open_no), "failed")
        elif act == "surplus":
            story.refund(f"surplus:{now.version:02d}", now.minor, "done", "surplus")
        elif act == "outside" and now.paid:
            story.refund(f"outside:{now.version}", n, "done", "outside")
    return story


def _minor(now: Payment, refund_no: str) -> int:
    return next(refund.minor for refund in now.refunds if refund.refund_no == refund_no)


@dataclass(frozen=True)
class Plan:
    """What happens, and how it is told. ``told``: versions, in the order of their coming; the last one among them.
    ``failing``: which calls of a handler raise."""

    story: Story
    told: list[Event]
    failing: frozenset[int]


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    acts = st.tuples(st.sampled_from(ACTS), st.integers(1, 900))
    story = live(draw(st.lists(acts, min_size=1, max_size=14)))
    events = story.events
    told: list[Event] = []
    if events:
        some = draw(st.lists(st.sampled_from(events), max_size=2 * len(events)))
        told = list(draw(st.permutations([*some, events[-1]])))
    return Plan(story, told, frozenset(draw(st.sets(st.integers(0, 6), max_size=3))))


class Spilt(Exception):
    """A handler's own trouble."""


def check(plan: Plan, deeds: list[tuple[str, int]]) -> None:
    """The app's books against the centre's."""
    last = plan.story.last
    done = Counter(what for what, _ in deeds)
    assert set(done.values()) <= {1}, "something was done twice"
    shown = {milestone.key for milestone in milestones(last)}
    ever = {milestone.key for version in plan.story.versions for milestone in milestones(version)}
    assert shown <= set(done), "something was not done"
    assert set(done) <= ever, "something was done that never happened"
    cash = sum(-minor if what.startswith("refund.") else minor for what, minor in deeds if not what.startswith(NO_CASH))
    reserved = sum(refund.minor for refund in last.refunds if refund.status == "open")
    assert cash == last.kept_minor + reserved, "the cash books differ"


NO_CASH: Final = ("closed", "surplus", "refund.failed")


@settings(max_examples=300)
@given(plans())
def test_the_books_agree_on_sqlite(plan: Plan) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        _hear(plan, connection)


def _hear(plan: Plan, connection: sqlite3.Connection) -> None:
    @contextmanager
    def begin() -> Iterator[sqlite3.Connection]:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection

    inbox: Inbox[sqlite3.Connection] = Inbox(begin)
    called = 0

    @inbox.on(*WORDS)
    def write_down(within: sqlite3.Connection, milestone: Milestone) -> None:
        nonlocal called
        called += 1
        minor = milestone.refund.minor if milestone.refund else milestone.payment.minor
        within.execute("INSERT INTO deed VALUES (?, ?)", (milestone.key, minor))
        if called - 1 in plan.failing:
            raise Spilt

    link_of(connection).make_tables()
    connection.execute("CREATE TABLE deed (what, minor)")
    again = list(plan.told)
    while again:
        event = again.pop(0)
        try:
            inbox.take(event)
        except Spilt:
            again.append(event)  # as a centre does
    check(plan, connection.execute("SELECT what, minor FROM deed").fetchall())


@pytest.mark.parametrize(
    "kind", ["psycopg", "sqlalchemy-psycopg", "django", "asyncpg", "sqlalchemy-asyncpg", "pymysql"]
)
async def test_the_books_agree_on_a_server_with_all_deliveries_at_once(kind: str, where: Where) -> None:
    """The same plans, with many deliveries under way at the same time."""
    async with open_app(kind, where) as app:
        for number, plan in enumerate(some_plans(25)):
            await _hear_at_once(app, plan, f"A-{number}")


def some_plans(count: int) -> list[Plan]:
    """Drawn plans, for a test that cannot be run anew inside the drawing."""
    drawn: list[Plan] = []

    @settings(max_examples=count, database=None)
    @given(plans())
    def draw(plan: Plan) -> None:
        drawn.append(plan)

    draw()
    return drawn


async def _hear_at_once(app: App, plan: Plan, order_no: str) -> None:
    own = payment_id(order_no)
    events = [replace(event, payment=replace(event.payment, order_no=order_no, id=own)) for event in plan.told]
    called = 0

    def fail_some(_: Milestone) -> None:
        nonlocal called
        called += 1
        if called - 1 in plan.failing:
            raise Spilt

    app.trouble = fail_some
    while events:  # what fails comes again, as from a centre
        outcomes = await asyncio.gather(*(app.take(event) for event in events), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} <= {tuple, Spilt}
        events = [event for event, outcome in zip(events, outcomes, strict=True) if isinstance(outcome, Spilt)]
    deeds = await app.run("SELECT what, minor FROM deed WHERE order_no = ?", order_no)
    check(plan, [(what, minor) for what, minor in deeds])
