"""The example shops as processes: started as their READMEs say, started again whenever they die, and their books."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from oncepay.testing.ports import free_port
from oncepay.testing.servers import run_sql

ROOT: Final = Path(__file__).parents[2]
GUARDS, QUEUES = "oncepay.client.guards", "oncepay.client.queues"


class Kind(NamedTuple):
    """One of the examples. ``make``: its tables. ``serve``, ``watch``, ``consume``: its programs; where there is none,
    the first does it too. ``json``: what it takes, else forms. ``orders``, ``journal``: where its books are."""

    folder: str
    make: tuple[str, ...]
    serve: tuple[str, ...]
    watch: tuple[str, ...] = ()
    consume: tuple[str, ...] = ()
    json: bool = False
    orders: str = "SELECT order_no, status FROM orders"
    journal: str = "SELECT order_no, what, minor FROM journal"


SHOPS: Final = {
    "fastapi": Kind("shop_fastapi", ("shop.py",), ("uvicorn", "shop:app", "--port", "PORT"), json=True),
    "django": Kind(
        "shop_django",
        ("manage.py", "migrate"),
        ("manage.py", "runserver", "--noreload", "PORT"),
        (GUARDS, "watch", "manage:watch", "--loop"),
        (QUEUES, "manage:consumer"),
        orders="SELECT order_no, status FROM shop_order",
        journal="SELECT order_id, what, minor FROM shop_entry",
    ),
    "flask": Kind(
        "shop_flask",
        ("shop.py",),
        ("flask", "--app", "shop", "run", "--port", "PORT"),
        (GUARDS, "watch", "shop:watch", "--loop"),
        (QUEUES, "shop:consumer"),
    ),
}


class Entry(NamedTuple):
    """A line of a shop's journal."""

    order_no: str
    what: str
    minor: int


class Shop:
    """The processes of one shop, each started again whenever it dies. ``home``: of the world. ``database``: a path, or PostgreSQL's URL.
    ``settings``: what else its README names."""

    def __init__(self, kind: Kind, home: Path, database: str, settings: dict[str, str]) -> None:
        self.kind = kind
        self.database = database
        self.deaths = home / "deaths"
        self.deaths.mkdir()
        self.died: Counter[str] = Counter()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = home / "example.log"
        self._mortal = [sys.executable, "-m", "tests.storm.mortal", str(home / "time"), str(self.deaths)]
        paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
        self._consumes = "SHOP_QUEUE_URL" in settings
        self._environ = {**os.environ, **settings, **_database_settings(kind, database), "PYTHONPATH": paths}
        self._keeping: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Make its tables, start its programs."""
        code = await self._run([sys.executable, *self.kind.make])
        assert code == 0, self._log.read_text()
        programs = [self.kind.serve, self.kind.watch, self.kind.consume if self._consumes else ()]
        for program in filter(None, programs):
            words = [word.replace("PORT", str(self.port)) for word in program]
            self._keeping.append(asyncio.create_task(self._keep([*self._mortal, *words])))

    async def _keep(self, command: list[str]) -> None:
        while True:
            code = await self._run(command)
            assert code == -9, f"it ended with {code}: {self._log.read_text()[-2000:]}"
            self.died[" ".join(command[5:7])] += 1

    async def _run(self, command: list[str]) -> int:
        with self._log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *command, cwd=ROOT / "examples" / self.kind.folder, env=self._environ, stdout=log, stderr=log
            )
        try:
            return await process.wait()
        except asyncio.CancelledError:
            process.terminate()
            await process.wait()
            raise

    async def dies(self, death: str) -> None:
        """Have one of its processes die of that, and wait until it did."""
        file = self.deaths / death
        file.touch()
        while file.exists():  # noqa: ASYNC110 - another process removes it
            await asyncio.sleep(0.01)

    def check(self) -> None:
        """Raises what went wrong with its processes."""
        for task in self._keeping:
            if task.done():
                task.result()

    async def close(self) -> None:
        """Stop them."""
        for task in self._keeping:
            task.cancel()
        await asyncio.gather(*self._keeping, return_exceptions=True)

    # -- what it knows -------------------------------------------------------------------------------------------

    def journal(self) -> list[Entry]:
        """What followed from payments."""
        rows = self._read(f"{self.kind.journal} ORDER BY id")
        return [Entry(order_no, what, int(minor)) for order_no, what, minor in rows]

    def orders(self) -> dict[str, str]:
        """Order numbers and how they stand."""
        return dict(self._read(self.kind.orders))

    def poisoned(self) -> list[Any]:
        """Orders whose news could not be taken in."""
        return self._read("SELECT order_no, error FROM oncepay_inbox WHERE failures > 0")

    def _read(self, statement: str) -> list[Any]:
        if self.database.startswith("postgresql:"):
            said = run_sql(self.database, statement)
            return [tuple(line.split("|")) for line in said.splitlines()]
        with contextlib.closing(sqlite3.connect(self.database, timeout=10)) as db:
            return db.execute(statement).fetchall()


def _database_settings(kind: Kind, database: str) -> dict[str, str]:
    if not database.startswith("postgresql:"):
        return {"SHOP_DATABASE": database}
    if kind.folder == "shop_fastapi":
        return {"SHOP_DATABASE_URL": database.replace("postgresql:", "postgresql+asyncpg:")}
    parts = urlsplit(database)
    return {
        "SHOP_DATABASE": parts.path.strip("/"),
        "PGHOST": str(parts.hostname),
        "PGPORT": str(parts.port),
        "PGUSER": str(parts.username),
        "PGPASSWORD": str(parts.password),
    }
