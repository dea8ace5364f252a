"""The load of a drill: the storm's payers, who do everything wrong, for as long as it lasts; then peace, which waits
for what is due before it lets time pass."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from oncepay.cli.demo.books import BUSY_S
from oncepay.cli.drill.payers import SHORT, Storm
from oncepay.cli.drill.stage import Stage
from oncepay.sandbox.faults import MENU
from oncepay.store.statements import parse
from oncepay.testing.servers import ServerFailed

SQL: Final = dict(parse(files("oncepay.cli.drill").joinpath("drill.sql").read_text("utf-8")))
AT_ONCE: Final = 32
PEACE_STEPS_S: Final = (120.0,) * 18 + (600.0,) * 18 + (3_600.0,) * 72 + (21_600.0,) * 30
QUIET_S: Final = 20.0  # how long a step of peace waits for what is due


class Load(Storm):
    """``seconds``: how long new orders come. ``fast``: seconds of the world's time in one of ours."""

    world: Stage

    def __init__(self, stage: Stage, *, seconds: float, seed: int, rate: float, fast: float) -> None:
        super().__init__(stage, stage.shop, payments=0, seed=seed, rate=rate)
        self.seconds = seconds
        self.fast = fast
        self._room = asyncio.Semaphore(AT_ONCE)
        self._open: set[asyncio.Task[None]] = set()

    async def storm(self) -> None:
        """Orders come until the time is over; those that have begun are finished."""
        rates = {name: {"rate": self.rate, **SHORT.get(name, {})} for name in MENU}
        await self.world.control("PUT", "faults", {"rates": rates})
        running = asyncio.create_task(self._time_runs())
        end = time.monotonic() + self.seconds
        try:
            while time.monotonic() < end:
                if len(self._open) < AT_ONCE:
                    self._begin()
                await asyncio.sleep(0.01)
            await asyncio.gather(*self._open)
        finally:
            running.cancel()
            for task in self._open:
                task.cancel()
            await asyncio.gather(running, *self._open, return_exceptions=True)

    def _begin(self) -> None:
        buyer = f"drill-{len(self.buyers)}"
        self.buyers.append(buyer)
        task = asyncio.create_task(self._order(buyer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def peace(self) -> list[str]:
        """What the three books do not agree on once everything had its time."""
        struck = (await self.world.control("GET", "faults"))["struck"]
        # It forgets them when it is killed, which it is some twenty times.
        self.seen.update({f"fault, since the sandbox last started: {name}": count for name, count in struck.items()})
        await self.world.control("DELETE", "faults")
        wrong, passed_s = [""], 0.0
        for step, seconds in enumerate(PEACE_STEPS_S):
            await self.world.advance(seconds)
            passed_s += seconds
            await self._nothing_due()
            if step >= 17 and step % 6 == 5:
                await self._person()
                wrong = await self.complaints()
                if not wrong:
                    break
        self.seen["minutes of peace until all agreed"] = round(passed_s / 60)
        async for payment in self._payments():
            self.seen[f"ended {payment['status']}"] += 1
            self.seen.update(f"refund of {r['origin']}: {r['status']}" for r in payment["refunds"])
        return wrong

    async def _nothing_due(self) -> None:
        end = time.monotonic() + QUIET_S
        await asyncio.sleep(0.15)
        while time.monotonic() < end:
            try:
                statement = SQL["count_due"].replace(":now_ms", str(self.world.now_ms()))
                due = await asyncio.to_thread(self.world.database.sql, statement, database="oncepay")
            except ServerFailed:
                due = "?"
            if due == "0":
                return
            await asyncio.sleep(0.1)

    async def silent_queue(self) -> list[str]:
        """Versions that never lay in the broker's queue."""
        told = await self.world.told_by_queue()
        wrong = []
        async for payment in self._payments():
            missing = set(range(1, payment["version"] + 1)) - told.get(payment["id"], set())
            if missing and self.world.rabbit is not None:
                wrong.append(f"{payment['order_no']} {payment['id']}: the queue never held versions {sorted(missing)}")
        return wrong

    async def broken_promises(self) -> list[str]:
        """What an answer of the API said was taken, and is not there."""
        versions: dict[str, int] = {}
        refunds: set[tuple[str, str]] = set()
        async for payment in self._payments():
            versions[payment["id"]] = payment["version"]
            refunds |= {(payment["id"], refund["refund_no"]) for refund in payment["refunds"]}
        promised, taken = self.world.shop.promised, self.world.shop.refunds_taken
        self.seen["answers of the API held against it"] = len(promised) + len(taken)
        wrong = [f"{id_} was acknowledged, and is not there" for id_ in promised.keys() - versions.keys()]
        wrong += [
            f"{id_} was shown in version {shown}, and has {versions[id_]}"
            for id_, shown in promised.items()
            if versions.get(id_, shown) < shown
        ]
        return wrong + [f"refund {no} of {id_} was taken, and is not there" for id_, no in taken - refunds]

    def counted(self) -> dict[str, Any]:
        """What happened how often."""
        return dict(sorted(self.seen.items()))


def heard(books: Path) -> int:
    """How often money came to the shop's knowledge: it shipped, or heard that surplus went back. It may wait."""
    with closing(sqlite3.connect(books, timeout=BUSY_S)) as db:
        found = [key for (done,) in db.execute(SQL["read_done"]) for key in done.split()]
    return sum(key == "paid" or key.startswith("surplus.refunded/") for key in found)
