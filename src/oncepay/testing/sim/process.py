"""One process of the centre: the real engine, store, deliverer and HTTP application, with a clock, dice, a network and
points to die at that are the world's.

Both processes of a world have connections of their own to one SQLite file, as two real ones have: what a dead one had
in memory (changes that wait, marks of deliveries, pauses, what it remembered of payments) is gone, what it had
committed is there. A ledger shared in memory would have kept the first and hidden that.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from functools import cache
from random import Random
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

from starlette import routing
from starlette.applications import Starlette

from oncepay.assembly import Centre, assemble
from oncepay.config import Config
from oncepay.domain.errors import CommitUnknown, Unavailable
from oncepay.engine import workers
from oncepay.engine.core import Engine
from oncepay.ports import Ledger
from oncepay.store.sqlite import SqliteLedger, open_sqlite
from oncepay.testing.sim.broker import QueuePublisher
from oncepay.testing.sim.loop import Life
from oncepay.testing.sim.patching import attribute
from oncepay.testing.sim.roads import Waiting, Wire, publisher

if TYPE_CHECKING:
    from oncepay.testing.sim.world import World

CENTRE_URL: Final = "https://centre.test"
MASTER_KEY: Final = base64.b64encode(b"k" * 32).decode()
START_MS: Final = 1_800_000_000_000
POLLS: Final = frozenset({"payments", "deliveries", "directory"})  # tasks that only look whether there is work

WRITES: Final = frozenset({
    "commit", "claim_due", "postpone", "keep_unapplied", "drop_unapplied", "forget_raw", "claim_deliveries",
    "mark_deliveries", "replay", "open_case", "resolve_case", "add_act", "save_app", "used_key", "save_account",
    "save_endpoint", "delete_endpoint",
})  # fmt: skip
CHANGES_DIRECTORY: Final = frozenset({"save_app", "save_account", "save_endpoint", "delete_endpoint"})
READS: Final = frozenset({
    "load", "body", "credential", "unapplied", "due_endpoints", "payments", "find_trade", "events", "event",
    "deliveries", "evidence", "payment_events", "cases", "case", "acts", "payment_acts", "apps", "accounts",
    "endpoints", "directory_stamp", "ping", "stats",
})  # fmt: skip


class SimDice:
    """Chance from a seed."""

    def __init__(self, dice: Random) -> None:
        self._dice = dice

    def token(self) -> str:
        """32 hex digits."""
        return f"{self._dice.getrandbits(128):032x}"

    def draw(self) -> float:
        """In [0, 1)."""
        return self._dice.random()


class SimClock:
    """The world's time, as wrong as this process's clock is."""

    def __init__(self, world: World, life: Life, skew_ms: int) -> None:
        self._world = world
        self._life = life
        self.skew_ms = skew_ms

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return START_MS + int(self._world.loop.time() * 1000) + self.skew_ms

    def sleep(self, seconds: float) -> Coroutine[Any, Any, None]:
        """Wait. Who only polls (it is the task that calls, whoever waits) is woken at the first of its ticks at which
        there is something."""
        task = asyncio.current_task()
        return self._sleep(task.get_name() if task else "", seconds)

    async def _sleep(self, name: str, seconds: float) -> None:
        if name in POLLS:
            await self._world.polls.wait(self._life, name, seconds, self.skew_ms)
        else:
            await asyncio.sleep(seconds)


class SimLedger:
    """The real ledger, with points to die at and times at which it does not answer."""

    def __init__(self, world: World, life: Life, real: SqliteLedger) -> None:
        self._world = world
        self._life = life
        self._dice = Random(f"{world.seed}:ledger:{life.name}")
        self.real = real
        self.installation = real.installation
        self.epoch = real.epoch

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in WRITES and name not in READS:
            raise AttributeError(name)
        made = self._writing(name) if name in WRITES else self._reading(name)
        setattr(self, name, made)
        return made

    def _reading(self, name: str) -> Callable[..., Any]:
        do, world, dice = getattr(self.real, name), self._world, self._dice

        async def read(*values: Any, **named: Any) -> Any:
            if world.store_is_away:
                await store_away(world)
            if dice.random() < 0.2:
                await world.loop.sleep(0.001 + 0.01 * dice.random())
            return await do(*values, **named)

        return read

    def _writing(self, name: str) -> Callable[..., Any]:
        do, world, life, dice = getattr(self.real, name), self._world, self._life, self._dice

        async def write(*values: Any, **named: Any) -> Any:
            await world.point(life, f"before {name}")
            if world.store_is_away:
                await store_away(world)
            await world.loop.sleep(0.001 + 0.01 * dice.random() ** 2)
            lost = name == "commit" and world.unknown > 0 and dice.random() < world.unknown
            if lost and dice.random() < 0.5:
                world.hit("a commit's outcome was not told, and it was not there")
                raise CommitUnknown("the connection was lost")
            told = await do(*values, **named)
            world.written(values, name, told)
            if name in CHANGES_DIRECTORY:
                world.polls.directory_changed()
            await world.point(life, f"after {name}")
            if name == "commit" and told:
                await world.before_call(life, values[0])
            if lost:
                world.hit("a commit's outcome was not told, and it was there")
                raise CommitUnknown("the connection was lost")
            return told

        return write

    async def close(self) -> None:
        """Finish what is queued, then let go."""
        await self.real.close()


_compiled: Final = cache(routing.compile_path)


def kept_routes() -> AbstractContextManager[None]:
    """While it lasts, each path of the application is compiled once, not for every process that starts."""
    return attribute(routing, "compile_path", _compiled)


async def store_away(world: World) -> NoReturn:
    """The store does not answer. Raises Unavailable."""
    await world.loop.sleep(0.01)
    world.hit("the store did not answer")
    raise Unavailable("the database does not answer")


class Process:
    """A process of the centre. ``start`` it once; ``kill`` it at any time."""

    def __init__(self, world: World, name: str, count: int) -> None:
        self.world = world
        self.name = name
        self.life = Life(f"{name}.{count}")
        self.app: Starlette = Starlette()
        self.engine: Engine | None = None
        self.up = False
        self.waiting: set[Waiting] = set()  # whose requests it has
        self._ledger: SqliteLedger | None = None
        dice = Random(f"{world.seed}:process:{self.life.name}")
        skew_ms = int(world.options.skew_s * 1000 * (2 * dice.random() - 1)) if world.raging else 0
        self.clock = SimClock(world, self.life, skew_ms)
        self._dice = SimDice(dice)

    def start(self) -> None:
        """In its own context."""
        self.world.loop.in_life(self.life, self._start(), f"start {self.name}")

    async def _start(self) -> None:
        centre = None
        while centre is None:
            try:
                centre = await self._assembled()
            except Unavailable:  # a supervisor starts it again
                await asyncio.sleep(1.0)
        engine = centre.engine
        engine.hand_over = centre.deliverer.hand_over
        workers.start(engine, centre.deliverer, workers.Places())
        self.engine, self.app, self.up = engine, centre.app, True
        self.world.note(self.life.name, "is up")

    async def _assembled(self) -> Centre:
        if self.world.store_is_away:
            await store_away(self.world)
        self._ledger = await open_sqlite(self.world.disk.url, token=self._dice.token, migrate=False)
        return await assemble(
            Config(public_url=CENTRE_URL, master_key=MASTER_KEY),
            clock=self.clock,
            dice=self._dice,
            ledger=cast("Ledger", SimLedger(self.world, self.life, self._ledger)),
            transport=Wire(self.world, self.life),
            publisher=QueuePublisher(self.world, self.life, publisher(self.world, self.life)),
            channels=self.world.ground.channels,
        )

    def kill(self) -> None:
        """As ``kill -9`` does. Who waited for it is told by the network."""
        self.life.alive, self.up = False, False
        if self._ledger is not None:
            self._ledger.abandon()
        waiting, self.waiting = self.waiting, set()
        for one in waiting:
            one.fail("connection reset")
