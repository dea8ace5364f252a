"""What the centre's own publisher puts into a queue, the client takes out and believes: by the endpoint's very URL."""

from __future__ import annotations

from typing import Final

import msgspec
import pytest

from oncepay.client.shapes import Event
from oncepay.ports import Message
from oncepay.publishers.roads import Roads
from tests.client.guards.apps import open_app
from tests.client.guards.books import Where
from tests.client.guards.payments import Story, event_of
from tests.client.queues.brokers import OTHER_SECRET, QUORUM, Broker, RabbitBroker
from tests.client.queues.shops import asides, deeds_of_all, reading, until, until_deeds
from tests.wire.broker_kit import LOOPBACK, OLD_SECRET, SECRET, endpoint, roads

ORDERS: Final = range(8)


def told(event: Event, at_ms: int) -> Message:
    return Message(id=event.id, key=event.payment.id, body=msgspec.json.encode(event), timestamp_s=at_ms // 1000)


async def deliver(way: Roads, broker: Broker, message: Message) -> None:
    """As the centre does: again, until it is confirmed. A quorum queue that both ends have just declared may refuse."""

    async def delivered() -> bool:
        return (await way.publish(endpoint(broker.url), LOOPBACK, message)).delivered

    await until(delivered)


@pytest.mark.parametrize("known", [[SECRET], [OLD_SECRET], [OTHER_SECRET, OLD_SECRET]])
async def test_what_the_centre_publishes_is_taken_in(
    broker: Broker, fitting_way: str, where: Where, known: list[str]
) -> None:
    stories = [Story(f"A-{n}") for n in ORDERS]
    async with open_app(fitting_way, where) as app:
        async with roads() as way, reading(app, broker, known):
            for story in stories:
                story.pay()
                story.refund("R-1", 100, "done")
                for event in story.events:
                    await deliver(way, broker, told(event, app.clock.ms))
            await until_deeds(app, {(f"A-{n}", what): 1 for n in ORDERS for what in ("paid", "refund.done/R-1")})
            await until(lambda: _none_left(broker))  # a message that was published again is heard again
        assert await asides(app) == []
        assert len(await deeds_of_all(app)) == 2 * len(ORDERS)
        assert await broker.left() == 0


async def _none_left(broker: Broker) -> bool:
    return await broker.left() == 0


@pytest.mark.parametrize("maker", ["centre", "consumer"])
async def test_no_message_is_dropped_for_having_been_handed_out_often(
    rabbit: RabbitBroker, where: Where, maker: str
) -> None:
    """RabbitMQ 4 throws away what came back twenty times, unless the queue says otherwise; a limit of -1, which it takes
    for none, is to RabbitMQ 3 a limit of nothing. So it is one that no message lives to see."""
    story = Story("A-1")
    async with open_app("sqlite3", where) as app:
        if maker == "consumer":
            async with reading(app, rabbit):
                await until(rabbit.is_there)
        async with roads() as way:
            await deliver(way, rabbit, told(event_of(story.pay()), app.clock.ms))
        await rabbit.declare(rabbit.name, QUORUM)  # refused if it is another
        for _ in range(25):
            await rabbit.hand_out_and_lose()
        async with reading(app, rabbit):
            await until_deeds(app, {("A-1", "paid"): 1})
