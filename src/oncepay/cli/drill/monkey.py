"""The monkey: kills, stops, cuts, fills, wipes and jumps, each at its own pace, until it is told to stop; then it heals
everything that it has hurt."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import msgspec
import psutil

from oncepay.cli.drill.members import Member
from oncepay.cli.drill.stage import Stage
from oncepay.testing.services import Service

# Seconds between two deeds of a kind, on the average.
GAPS_S: Final = {
    "kill": 2.2, "kill database": 17.0, "stop": 6.0, "drop connections": 4.0, "cut a commit": 5.0, "fill disk": 40.0,
    "wipe Valkey": 20.0, "jump clock": 15.0, "kill RabbitMQ": 70.0, "shut shop": 30.0,
}  # fmt: skip
CENTRE: Final = ("serve-1", "serve-2", "work-1", "work-2")
MORTALS: Final = (*CENTRE, "sandbox", "shop", "Valkey", "PostgreSQL")
COMMIT_BYTES: Final = 900  # a message to the database that is larger carries changes: it commits
ARMED_S: Final = 2.0
HOURS_MS: Final = 3_600_000
WATCH_S: Final = 0.25


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """What was done, when (seconds since the start), and how long it took until it was undone."""

    at_s: float
    what: str
    whom: str
    lasted_s: float = 0.0


class Monkey:
    """``say``: hears of each deed as it begins."""

    def __init__(self, stage: Stage, seed: int, say: Callable[[str], None] = lambda _: None) -> None:
        self._stage = stage
        self._say = say
        self._dice = random.Random(f"monkey {seed}")
        self._began = time.monotonic()
        self._hurt: set[str] = set()
        self._next: list[str] = []
        self._database = asyncio.Lock()
        self.deeds: list[Deed] = []

    @property
    def kills(self) -> Counter[str]:
        """``kill -9`` by whom."""
        return Counter(deed.whom for deed in self.deeds if deed.what == "kill")

    async def run(self, seconds: float) -> None:
        """Do it for so long. Raises what a deed raised."""
        deeds = {
            "kill": self._kill, "kill database": self._kill_database, "stop": self._stop, "wipe Valkey": self._wipe,
            "drop connections": self._drop, "cut a commit": self._cut, "fill disk": self._fill,
            "jump clock": self._jump, "kill RabbitMQ": self._kill_rabbit, "shut shop": self._shut,
        }  # fmt: skip
        self._began = time.monotonic()
        end = self._began + seconds
        watching = asyncio.create_task(self._watch())
        try:
            await asyncio.gather(*(self._again(deed, GAPS_S[what], end) for what, deed in deeds.items()))
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        for member in self._stage.members.values():
            member.jump.set(0)
            if not member.alive:
                member.start()

    async def _again(self, deed: Callable[[], Awaitable[None]], gap_s: float, end: float) -> None:
        await asyncio.sleep(min(gap_s, 8.0) * self._dice.uniform(0.5, 1.0))
        while time.monotonic() < end:
            next_ = min(time.monotonic() + gap_s * self._dice.uniform(0.6, 1.4), end)
            await deed()
            await asyncio.sleep(max(0.0, next_ - time.monotonic()))

    async def _watch(self) -> None:
        """Whoever ends by itself is started again, as a service manager does, and it is told."""
        while True:
            await asyncio.sleep(WATCH_S)
            for name, member in self._stage.members.items():
                if name not in self._hurt and member.look():
                    self._tell("ended by itself", f"{name} ({member.ended[-1]})")
                    member.start()
            database = self._stage.database
            if not self._database.locked() and not database.running:
                async with self._database:
                    self._tell("ended by itself", "PostgreSQL")
                    database.panics += 1
                    await database.returns()

    def _tell(self, what: str, whom: str, began: float = 0.0) -> None:
        now = time.monotonic()
        began = began or now
        self.deeds.append(
            Deed(at_s=round(began - self._began, 2), what=what, whom=whom, lasted_s=round(now - began, 2))
        )
        self._say(f"{what}: {whom}" if now == began else f"healed: {what} {whom}")

    @asynccontextmanager
    async def _doing(self, what: str, whom: str) -> AsyncIterator[None]:
        began = time.monotonic()
        self._say(f"{what} {whom}")
        try:
            yield
        finally:
            self._tell(what, whom, began)

    # -- deeds ----------------------------------------------------------------------------------------------------

    def _victim(self, rest: tuple[str, ...] = ()) -> str:
        """Somebody who is well."""
        well = [name for name in CENTRE * 3 + rest if name not in self._hurt]
        return self._dice.choice(well) if well else ""

    def _turn(self) -> str:
        """Whose turn it is to die, among those who are well: everybody has one before all begin anew."""
        if not self._next:
            self._next = [*CENTRE * 2, "sandbox", "shop", "Valkey"]
            self._dice.shuffle(self._next)
        name = next((name for name in self._next if name not in self._hurt), "")
        if name:
            self._next.remove(name)
        return name

    async def _kill(self) -> None:
        name = self._turn()
        if not name:
            return
        self._hurt.add(name)
        try:
            async with self._doing("kill", name):
                if name == "Valkey":
                    await self._bounce(self._stage.valkey, 0.5)
                    return
                member = self._stage.members[name]
                await asyncio.to_thread(member.kill)
                await asyncio.sleep(self._dice.uniform(0.0, 1.0))
                member.start()
                if name == "sandbox":
                    await self._stage.sandbox_is_back()
        finally:
            self._hurt.discard(name)

    async def _bounce(self, service: Service, away_s: float) -> None:
        await asyncio.to_thread(service.kill9)
        await asyncio.sleep(away_s)
        await asyncio.to_thread(service.start)

    async def _kill_rabbit(self) -> None:
        if self._stage.rabbit is not None:
            async with self._doing("kill", "RabbitMQ"):
                await self._bounce(self._stage.rabbit, 1.0)

    async def _kill_database(self) -> None:
        """While a commit is on its way to it: the moment in which nobody can know what becomes of it."""
        database, proxy = self._stage.database, self._stage.to_database
        async with self._database:
            if not database.running:
                return
            family: list[psutil.Process] = await asyncio.to_thread(database.processes)
            struck = asyncio.Event()

            def strike() -> None:
                database.strike(family)
                struck.set()

            proxy.arm(COMMIT_BYTES, self._soon(strike))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(struck.wait(), ARMED_S)
            proxy.disarm()
            async with self._doing("kill", "PostgreSQL"):
                database.strike(family)
                await asyncio.sleep(self._dice.uniform(0.0, 1.5))
                await database.returns()

    def _soon(self, fire: Callable[[], None]) -> Callable[[], None]:
        """At once, or a moment later: a commit takes some milliseconds."""
        delay_s = self._dice.choice((0.0, 0.0, 0.001, 0.003))

        def later() -> None:
            asyncio.get_running_loop().call_later(delay_s, fire)

        return later if delay_s else fire

    async def _cut(self) -> None:
        """All connections to the database, while a commit is on its way."""
        proxy, cut = self._stage.to_database, asyncio.Event()
        if self._database.locked():
            return
        async with self._database:

            def fire() -> None:
                proxy.drop()
                cut.set()

            proxy.arm(COMMIT_BYTES, self._soon(fire))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(cut.wait(), ARMED_S)
            proxy.disarm()
            if cut.is_set():
                self._tell("cut a commit", "PostgreSQL")

    async def _drop(self) -> None:
        name = self._dice.choice(("front", "to_channel", "to_database"))
        proxy = {"front": self._stage.front, "to_channel": self._stage.to_channel}.get(name, self._stage.to_database)
        whom = {"front": "the centre's door", "to_channel": "the channels"}.get(name, "PostgreSQL")
        async with self._doing("drop connections", whom):
            proxy.refusing = True
            proxy.drop()
            await asyncio.sleep(self._dice.choice((0.0, 0.1, 1.0)))
            proxy.refusing = False

    async def _stop(self) -> None:
        """SIGSTOP, and some seconds later SIGCONT: whoever it is thinks that no time has passed."""
        name = self._victim(("sandbox", "shop"))
        if not name:
            return
        self._hurt.add(name)
        member: Member = self._stage.members[name]
        try:
            async with self._doing("stop", name):
                member.tell(signal.SIGSTOP)
                await asyncio.sleep(1.0 if name in {"sandbox", "shop"} else self._dice.uniform(0.5, 7.0))
                member.tell(signal.SIGCONT)
        finally:
            self._hurt.discard(name)

    async def _fill(self) -> None:
        database = self._stage.database
        if not database.small:
            return
        async with self._doing("fill disk", "PostgreSQL"):
            try:
                await asyncio.to_thread(database.fill)
                await asyncio.sleep(self._dice.uniform(2.0, 4.0))
            finally:
                database.empty()

    async def _wipe(self) -> None:
        port = self._stage.valkey.port
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"FLUSHALL\r\nSCRIPT FLUSH\r\nCLIENT KILL TYPE normal\r\nCLIENT KILL TYPE pubsub\r\n")
            await writer.drain()
            wiped = await reader.readline()
            writer.close()
            if wiped == b"+OK\r\n":
                self._tell("wipe", "Valkey")

    async def _jump(self) -> None:
        """The clock of one process is wrong for a while, by up to a day, forwards or backwards."""
        name = self._victim()  # the shop has no clock of its own
        if not name:
            return
        member = self._stage.members[name]
        by_ms = self._dice.choice((-24, -1, 1, 24)) * HOURS_MS + self._dice.randrange(60_000)
        async with self._doing("jump clock", name):
            member.jump.set(by_ms)
            await asyncio.sleep(self._dice.uniform(1.0, 5.0))
            member.jump.set(0)

    async def _shut(self) -> None:
        """The shop is closed in order, and opens again some time later."""
        if "shop" in self._hurt:
            return
        self._hurt.add("shop")
        shop = self._stage.members["shop"]
        try:
            async with self._doing("shut", "shop"):
                await asyncio.to_thread(shop.stop)
                await asyncio.sleep(self._dice.uniform(0.5, 3.0))
                shop.start()
        finally:
            self._hurt.discard("shop")
