"""A message broker, those of the app who read from it, and the centre's way to it.

What the broker has confirmed it keeps, over its own restarts too. It hands each message to one consumer at a time, and
again when that one dies before it has acknowledged: then later, behind newer ones, or at once. Consumers write into the
shop's inbox, as the webhook does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

from oncepay.ports import Endpoint, Message, Outcome, Publisher
from oncepay.publishers import links, roads, schedule, signing
from oncepay.testing.sim.loop import Life
from oncepay.testing.sim.roads import Lost, Waiting

if TYPE_CHECKING:
    from oncepay.testing.sim.world import World

# A broker's own URL would be refused where its library is not installed, and no library is used here.
QUEUE_URL: Final = "https://broker.example/"
CONFIRM_S: Final = 10.0


class Letter(NamedTuple):
    """A message as it lies there."""

    headers: dict[str, str]
    body: bytes


class Broker:
    """One queue."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._dice = Random(f"{world.seed}:broker")
        self._queue: list[Letter] = []
        self._reading = False
        self.up = True
        self.stored: Counter[str] = Counter()  # how often each message was, by its id

    def arrives(self, waiting: Waiting, letter: Letter) -> None:
        """Somebody wants it stored."""
        if not self.up:
            self._world.hit("the broker was down")
            waiting.refuse()
            return
        event = letter.headers["webhook-id"]
        self._world.note("broker", f"stores {event}")
        if self.stored[event]:
            self._world.hit("a message came to the broker twice")
        self.stored[event] += 1
        self._queue.append(letter)
        self._read_soon()
        waiting.answer("stored")

    def goes(self, how: str) -> None:
        """Down, or up again."""
        self.up = how == "is up" or not self._world.raging
        self._world.note("broker", how)
        self._read_soon()

    def _read_soon(self, wait_s: float = 0.0) -> None:
        if self._queue and not self._reading:
            self._reading = True
            later_s = wait_s + 0.002 + 0.2 * self._dice.random() ** 3
            self._world.loop.call_later(later_s, self._read, context=self._world.context)

    def _read(self) -> None:
        """A consumer takes the oldest message; it may die before it has taken it in, or after, and then has not
        acknowledged it."""
        world, dice = self._world, self._dice
        self._reading = False
        if not self.up or world.shop.shut:
            if world.shop.shut:
                self._read_soon(60.0)
            return
        letter = self._queue.pop(0)
        dies = world.raging and dice.random() < world.options.shop
        if dies and dice.random() < 0.5:
            world.hit("a consumer died before it had taken a message in")
        else:
            world.shop.take(letter.headers, letter.body)
            if dies:
                world.hit("a consumer died before it had acknowledged")
        if dies:
            self._queue.insert(dice.choice((0, len(self._queue))), letter)
        self._read_soon(dice.choice((0.5, 30.0)) if dies else 0.0)


class QueuePublisher:
    """A process's way to tell apps: ``others`` carries whatever is not for the broker."""

    def __init__(self, world: World, life: Life, others: Publisher) -> None:
        self._world = world
        self._life = life
        self._others = others

    async def publish(self, endpoint: Endpoint, private_networks: Sequence[str], message: Message) -> Outcome:
        """Three points to die at: before it leaves, on its way, when the confirm is here."""
        if not endpoint.url.startswith(QUEUE_URL):
            return await self._others.publish(endpoint, private_networks, message)
        world, life = self._world, self._life
        await world.point(life, "before the message")
        headers = signing.sign(endpoint.secrets, message.id, message.timestamp_s, message.body)
        letter = Letter(headers, message.body)
        waiting = world.roads.send("queue", lambda waiting: world.broker.arrives(waiting, letter), CONFIRM_S)
        await world.point(life, "on the way of the message")
        try:
            await waiting.answered()
        except Lost as lost:
            outcome = links.down(str(lost))
            world.hit("a confirm did not come")
        else:
            outcome = links.delivered("stored")
        await world.point(life, "after the message")
        return outcome

    def at_once(self, endpoint: Endpoint) -> int:
        """As the real one."""
        return roads.AT_ONCE if endpoint.url.startswith(QUEUE_URL) else self._others.at_once(endpoint)

    def next_try_ms(self, tries: int, now_ms: int, draw: float, retry_after_s: float | None) -> int | None:
        """The timetable of every road."""
        return schedule.next_try_ms(tries, now_ms, draw, retry_after_s)

    async def close(self) -> None:
        """There are no connections."""
        await self._others.close()
