"""News from a queue are taken in as from a webhook: each once, in the app's transaction, and nothing bad holds them up."""

from __future__ import annotations

import random
from functools import partial
from typing import Final

import pytest

from oncepay.client.guards import Milestone
from tests.client.guards.apps import App, open_app
from tests.client.guards.books import Where
from tests.client.guards.payments import Story, event_of
from tests.client.queues.brokers import (
    OTHER_SECRET,
    SECRET,
    Broker,
    RedisBroker,
    broken,
    message_of,
    signed,
)
from tests.client.queues.shops import (
    WAYS,
    asides,
    deeds_of_all,
    reading,
    until,
    until_aside,
    until_deeds,
    until_heard,
)

on_both = pytest.mark.parametrize("way", WAYS)
ORDERS: Final = 20
ALL_ONCE: Final = {(f"A-{n}", what): 1 for n in range(ORDERS) for what in ("paid", "refund.done/R-1")}


def stories() -> list[Story]:
    """Orders that are paid, and partly refunded."""
    found = [Story(f"A-{n}") for n in range(ORDERS)]
    for story in found:
        story.pay()
        story.refund("R-1", 100)
        story.refund("R-1", 100, "done")
    return found


@on_both
async def test_doubled_and_out_of_order_each_milestone_is_run_once(broker: Broker, way: str, where: Where) -> None:
    messages = [message_of(event) for story in stories() for event in story.events] * 2
    random.Random(7).shuffle(messages)
    async with open_app(way, where) as app:
        await broker.publish(*messages[:40])
        async with reading(app, broker):
            await broker.publish(*messages[40:])
            await until_heard(broker, len(messages))
        assert await deeds_of_all(app) == ALL_ONCE
        assert await asides(app) == []
        assert await broker.left() == 0


async def test_two_consumers_at_once_do_everything_once(broker: Broker, where: Where) -> None:
    messages = [message_of(event) for story in stories() for event in story.events] * 2
    random.Random(8).shuffle(messages)
    async with open_app("asyncpg", where) as app:
        async with reading(app, broker), reading(app, broker):
            await broker.publish(*messages)
            await until_heard(broker, len(messages))
        assert await deeds_of_all(app) == ALL_ONCE
        assert await broker.left() == 0


async def test_what_is_bad_is_seen_before_any_handler_and_holds_up_nothing(
    broker: Broker, fitting_way: str, where: Where
) -> None:
    paid, after = event_of(Story("A-1").pay()), event_of(Story("A-2").pay())
    good = message_of(paid)
    unknown = good.body.replace(b"payment.changed", b"payment.moved")
    bad = [
        *broken(good),
        signed(paid.id, b"certainly"),
        signed(paid.id, b"\xff\x00"),
        signed(paid.id, unknown),
        signed("evt_another_1", good.body),
    ]
    async with open_app(fitting_way, where) as app:
        async with reading(app, broker):
            await broker.publish(*bad, *bad, message_of(after))
            await until_heard(broker, 2 * len(bad) + 1)
        assert await deeds_of_all(app) == {("A-2", "paid"): 1}
        assert app.heard == ["paid"]
        kept = await asides(app)
        assert len(kept) == len(bad)  # the same one again is kept once
        assert all(one.message in bad and not one.genuine for one in kept)
        errors = sorted(one.error for one in kept)
        assert (
            sum(error.startswith("SignatureInvalid: the message is not signed with the secret") for error in errors)
            == 3
        )
        for words in (
            "is missing",
            "not seconds since 1970",
            "not JSON",
            "'payment.moved' is unknown",
            "names evt_another_1",
        ):
            assert any(words in error for error in errors), (words, errors)
        assert await broker.left() == 0


async def test_what_a_wrong_secret_refused_goes_in_once_it_is_mended(
    broker: Broker, fitting_way: str, where: Where
) -> None:
    async with open_app(fitting_way, where) as app:
        await broker.publish(message_of(event_of(Story("A-1").pay()), OTHER_SECRET))
        async with reading(app, broker):
            (kept,) = await until_aside(app, 1)
            assert kept.event == event_of(Story("A-1").pay()).id
        app.clock.advance(3600)
        async with reading(app, broker, [SECRET, OTHER_SECRET]):
            await until_deeds(app, {("A-1", "paid"): 1})
            await until_aside(app, 0)


async def test_a_handler_that_raises_leaves_no_mark_and_is_tried_again(
    broker: Broker, fitting_way: str, where: Where
) -> None:
    def trouble(milestone: Milestone) -> None:
        if milestone.payment.order_no == "A-1":
            raise RuntimeError("the printer is on fire")

    async with open_app(fitting_way, where) as app:
        app.trouble = trouble
        async with reading(app, broker):
            await broker.publish(*(message_of(event_of(Story(f"A-{n}").pay())) for n in range(3)))
            await until_deeds(app, {("A-0", "paid"): 1, ("A-2", "paid"): 1})
            for tries, pause_s in enumerate((1, 2, 4, 8)):
                (kept,) = await until_aside(app, 1)
                assert (kept.genuine, kept.error) == (True, "RuntimeError: the printer is on fire")
                assert (kept.tries, kept.due_ms - app.clock.ms) == (tries, pause_s * 1000)
                assert await app.poisoned() == []
                app.clock.advance(pause_s)
                await until(partial(_tried, app, tries + 1))
            (poisoned,) = await app.poisoned()
            assert (poisoned.order_no, poisoned.failures, poisoned.version) == ("A-1", 5, -1)
            assert "printer" in poisoned.error
            app.trouble = lambda _: None
            app.clock.advance(16)
            await until_deeds(app, {(f"A-{n}", "paid"): 1 for n in range(3)})
            await until_aside(app, 0)
            assert await app.poisoned() == []
        assert await broker.left() == 0


async def _tried(app: App, tries: int) -> bool:
    """Whether that try is over, and not only begun."""
    (kept,) = await asides(app)
    ((failures,),) = await app.run("SELECT failures FROM oncepay_inbox WHERE order_no = ?", "A-1")
    return kept.tries == tries and failures == tries + 1


async def test_what_was_verified_needs_its_secret_no_more(stream: RedisBroker, where: Where) -> None:
    def trouble(_: Milestone) -> None:
        raise RuntimeError("the printer is on fire")

    async with open_app("sqlite3", where) as app:
        app.trouble = trouble
        await stream.publish(message_of(event_of(Story("A-1").pay())))
        async with reading(app, stream):
            await until_aside(app, 1)
        app.trouble = lambda _: None
        app.clock.advance(3600)
        async with reading(app, stream, OTHER_SECRET):
            await until_deeds(app, {("A-1", "paid"): 1})
            await until_aside(app, 0)
