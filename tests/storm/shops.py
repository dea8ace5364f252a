"""The example shops under a storm: their clicks doubled, their news doubled, reordered, delayed and lost, they killed
between their write and their answer, the centre killed. Then peace, and their books must equal the sandbox's.

    python -m tests.storm.shops --shop fastapi --payments 300 --seed 7

Real processes, started as the READMEs say: the sandbox, the centre, the shop and what belongs to it. One clock for all of
them, which runs fast.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import re
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from oncepay.cli.demo.world import Broken, World
from oncepay.client import AsyncClient, CallFailed
from tests.servers import PostgresServer, free_port, fresh_database, run_sql

ROOT: Final = Path(__file__).parents[2]
FAST: Final = 40.0  # seconds of the world's time in one of ours
AT_ONCE: Final = 12
PEACE_STEPS_S: Final = (20.0,) * 30 + (600.0,) * 30
FAULTS: Final = {"notify_lost": 0.1, "notify_duplicate": 0.1, "drop_after": 0.05, "http_500_after": 0.05}
CODE: Final = re.compile(r"weixin://[^\s\"<]+")
ORDER_NO: Final = re.compile(r"\b[A-Z]-[0-9a-f]{16}\b")
BOOKS: Final = "SELECT order_no, what, minor FROM journal"


class Kind(NamedTuple):
    """One of the examples. ``programs``: what its README has one start, the one that serves first. ``order_no``: the
    column of its journal."""

    folder: str
    make: tuple[str, ...]
    programs: tuple[tuple[str, ...], ...]
    json: bool
    order_no: str = "order_no"


GUARDS: Final = "oncepay.client.guards"
SHOPS: Final = {
    "fastapi": Kind(
        "shop_fastapi", ("shop.py",), (("uvicorn", "--port", "PORT", "--no-access-log", "shop:app"),), json=True
    ),
    "django": Kind(
        "shop_django",
        ("manage.py", "migrate"),
        (("manage.py", "runserver", "--noreload", "PORT"), (GUARDS, "watch", "manage:watch", "--loop")),
        json=False,
        order_no="order_id",
    ),
    "flask": Kind(
        "shop_flask",
        ("shop.py",),
        (("flask", "--app", "shop", "run", "--port", "PORT"), (GUARDS, "watch", "shop:watch", "--loop")),
        json=False,
    ),
}


class Entry(NamedTuple):
    """A line of a shop's journal."""

    order_no: str
    what: str
    minor: int


class Shop:
    """The processes of one shop, each started again whenever it dies. ``database``: a path, or PostgreSQL's URL."""

    def __init__(self, kind: Kind, home: Path, database: str, settings: dict[str, str], sandbox_url: str) -> None:
        self.kind = kind
        self.database = database
        self.deaths = home / "deaths"
        self.deaths.mkdir()
        self.died: Counter[str] = Counter()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = home / "example.log"
        self._mortal = [sys.executable, "-m", "tests.storm.mortal", sandbox_url, str(self.deaths)]
        paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
        self._environ = {**os.environ, **settings, **_database_settings(kind, database), "PYTHONPATH": paths}
        self._keeping: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Make its tables, start its programs."""
        code = await self._run([sys.executable, *self.kind.make])
        assert code == 0, self._log.read_text()
        for program in self.kind.programs:
            words = [word.replace("PORT", str(self.port)) for word in program]
            self._keeping.append(asyncio.create_task(self._keep([*self._mortal, *words])))

    async def _keep(self, command: list[str]) -> None:
        while True:
            code = await self._run(command)
            assert code == -9, f"it ended with {code}: {self._log.read_text()[-2000:]}"
            self.died[command[5]] += 1

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
        while file.exists():  # noqa: ASYNC110, ASYNC240 - another process removes it
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
        rows = self._read(f"SELECT {self.kind.order_no}, what, minor FROM journal ORDER BY id")
        return [Entry(order_no, what, int(minor)) for order_no, what, minor in rows]

    def orders(self) -> dict[str, str]:
        """Order numbers and how they stand."""
        return dict(self._read("SELECT order_no, status FROM orders"))

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


class Wire:
    """What lies between the centre and the shop's webhook. It delays, doubles, reorders, loses news and answers."""

    def __init__(self, seed: int) -> None:
        self.seen: Counter[str] = Counter()
        self.shop_url = ""
        self._dice = random.Random(f"{seed}:wire")
        self._late: set[asyncio.Task[Any]] = set()
        self.calm = False

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """Its address."""
        app = web.Application()
        app.router.add_post("/webhook", self._pass)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as self._session:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/webhook"
            await asyncio.gather(*self._late)
        await runner.cleanup()

    async def _pass(self, request: web.Request) -> web.Response:
        headers = {name: value for name, value in request.headers.items() if name.lower().startswith("webhook-")}
        news = (headers, await request.read())
        what = (
            "passed" if self.calm else self._dice.choice(("passed", "delayed", "doubled", "lost", "unanswered", "old"))
        )
        self.seen[what] += 1
        if what == "lost":
            return web.Response(status=502)
        if what == "delayed":
            await asyncio.sleep(self._dice.random())
        if what == "old":  # once more, when newer ones were told
            self._later(news, 1 + self._dice.random())
        if what == "doubled":
            self._later(news, 0)
        status = await self._tell(news)
        return web.Response(status=502 if what == "unanswered" else status)

    def _later(self, news: tuple[dict[str, str], bytes], seconds: float) -> None:
        async def tell() -> None:
            await asyncio.sleep(seconds)
            await self._tell(news)

        task = asyncio.create_task(tell())
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _tell(self, news: tuple[dict[str, str], bytes]) -> int:
        headers, body = news
        try:
            async with self._session.post(f"{self.shop_url}/webhook", data=body, headers=headers) as answer:
                self.seen[f"answered {answer.status}"] += 1
                return answer.status
        except (aiohttp.ClientError, TimeoutError):
            self.seen["the shop was dead"] += 1
            return 502


class Storm:
    """One storm over one shop. ``told``: whether the shop is told; else it has to ask."""

    def __init__(self, world: World, shop: Shop, wire: Wire, client: AsyncClient, *, payments: int, seed: int) -> None:
        self.world = world
        self.shop = shop
        self.wire = wire
        self.client = client
        self.seed = seed
        self.buyers = range(1, payments + 1)
        self.seen: Counter[str] = Counter()
        self.ordered: dict[int, set[str]] = {}
        self._room = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> list[str]:
        """What is not as promised at the end; nothing, if all is."""
        await self.world.control("PUT", "faults", {"rates": {name: {"rate": rate} for name, rate in FAULTS.items()}})
        running = asyncio.create_task(self._time_runs())
        striking = asyncio.create_task(self._strikes())
        try:
            async with asyncio.TaskGroup() as group:
                for buyer in self.buyers:
                    group.create_task(self._buyer(buyer))
            await striking
        finally:
            running.cancel()
            striking.cancel()
        await self.world.control("DELETE", "faults")
        self.wire.calm = True
        return await self._peace()

    async def _time_runs(self) -> None:
        while True:
            await asyncio.sleep(0.1)
            await self.world.advance(0.1 * FAST)

    async def _strikes(self) -> None:
        """The shop dies twice at each of its writes, the centre in between."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._shop_dies("submission"))
            group.create_task(self._shop_dies("news"))
            group.create_task(self._centre_dies())

    async def _shop_dies(self, death: str) -> None:
        for _ in range(2):
            await self.shop.dies(death)
            self.seen[f"died of a {death}"] += 1

    async def _centre_dies(self) -> None:
        for share in (0.3, 0.6):
            while len(self.ordered) < share * len(self.buyers):  # noqa: ASYNC110 - the load is the clock here
                await asyncio.sleep(0.01)
            await self.world.centre.kill()
            await self.world.start_centre()
            self.seen["the centre was killed"] += 1

    # -- a buyer -------------------------------------------------------------------------------------------------

    async def _buyer(self, buyer: int) -> None:
        async with self._room, aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=35)) as session:
            dice = random.Random(f"{self.seed}:{buyer}")
            wish = {"buyer": buyer, "item": dice.choice(("tea", "cup")), "quantity": dice.randint(1, 3)}
            clicks = await asyncio.gather(*(self._post(session, "/orders", wish) for _ in range(2)))
            self.ordered[buyer] = {ORDER_NO.findall(text)[0] for text in clicks}
            script = dice.choice(("pays",) * 6 + ("refunded",) * 2 + ("leaves with the code", "leaves"))
            self.seen[f"a buyer {script}"] += 1
            if script == "leaves":
                return
            order_no = min(self.ordered[buyer])
            while not (found := CODE.findall(await self._post(session, f"/orders/{order_no}/pay", {}))):
                await asyncio.sleep(0.2)
            if script == "leaves with the code":
                return
            await self.world.control("POST", "pay", {"code_url": found[0]})
            if script == "refunded":
                await self._refund(order_no)

    async def _post(self, session: aiohttp.ClientSession, path: str, body: dict[str, Any]) -> str:
        """As an impatient browser: again and again until there is an answer. Redirects are followed."""
        given: dict[str, Any] = {"json": body} if self.shop.kind.json else {"data": body}
        while True:
            self.shop.check()
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with session.post(f"{self.shop.url}{path}", **given) as answer:
                    text = await answer.text()
                    if answer.status < 400:
                        return f"{answer.url} {text}"
                    self.seen[f"answered {answer.status}"] += 1
                    assert answer.status == 503, text
            await asyncio.sleep(0.1)

    async def _refund(self, order_no: str) -> None:
        """By the back office, once the centre has it as paid."""
        while True:
            with contextlib.suppress(CallFailed):
                payment = await self.client.payments.of_order(order_no)
                if payment is not None and payment.status == "paid":
                    await self.client.refunds.create(payment.id, refund_no=f"{order_no}-1", minor=1000)
                    return
            await asyncio.sleep(0.2)

    # -- peace ---------------------------------------------------------------------------------------------------

    async def _peace(self) -> list[str]:
        """Time passes until the books agree, or for five hours."""
        wrong = ["nobody has looked"]
        for step, seconds in enumerate(PEACE_STEPS_S):
            await self.world.advance(seconds)
            await asyncio.sleep(0.2)
            if step % 5 == 4:
                self.shop.check()
                wrong = [text async for text in self._complaints()]
                if not wrong:
                    break
        self.seen["minutes of peace until all agreed"] = round(sum(PEACE_STEPS_S[: step + 1]) / 60)
        self.seen.update(f"ended {status}" for status in self.shop.orders().values())
        self.seen.update({f"died: {program}": count for program, count in self.shop.died.items()})
        self.seen.update({f"news {what}": count for what, count in self.wire.seen.items()})
        return wrong

    async def _complaints(self) -> AsyncIterator[str]:
        """What the shop's books and the channel's do not agree on."""
        numbers = {payment.id[4:]: payment.order_no async for payment in self.client.payments.each(limit=100)}
        rows: dict[str, list[dict[str, Any]]] = {}
        for row in (await self.world.control("GET", "books"))["orders"]:
            rows.setdefault(numbers.get(row["number"][:26], row["number"]), []).append(row)
        orders, journal = self.shop.orders(), self.shop.journal()
        for buyer, made in self.ordered.items():
            if len(made) != 1:
                yield f"the clicks of buyer {buyer} made {made}"
        if len(orders) != len(self.buyers) or set(orders) != set().union(*self.ordered.values()):
            yield f"there are {len(orders)} orders of {len(self.buyers)} buyers"
        if strangers := {order_no for order_no, found in rows.items() if order_no not in orders and _paid(found)}:
            yield f"{strangers} were paid, and the shop has no such orders"
        for order_no, status in orders.items():
            entries = [entry for entry in journal if entry.order_no == order_no]
            for text in disagreements(rows.get(order_no, []), status, entries):
                yield f"{order_no}: {text}"
        for order in self.shop.poisoned():
            yield f"{order}: its news cannot be taken in"


def _paid(rows: list[dict[str, Any]]) -> int:
    return sum(row["paid"] for row in rows)


def disagreements(rows: list[dict[str, Any]], status: str, entries: list[Entry]) -> Iterator[str]:
    """Of one order: the channel's rows, the shop's status, the shop's journal. Amounts in fen."""
    held = _paid(rows) - sum(row["refunded"] for row in rows)
    cash = sum(entry.minor for entry in entries)
    if held != cash:
        yield f"the channel holds {held}, the shop has {cash}"
    shipped = sum(entry.what == "ship" for entry in entries)
    if shipped != bool(_paid(rows)):
        yield f"it was shipped {shipped} times"
    if status != ("paid" if shipped else "closed"):
        yield f"it is {status}"
    if len(entries) != len({entry.what for entry in entries}):
        yield f"something was done twice: {entries}"


@contextlib.asynccontextmanager
async def _told_by(client: AsyncClient, url: str) -> AsyncIterator[str]:
    """The secret of the only endpoint, the demonstration's taken away; none when there is no address."""
    for endpoint in await client.endpoints.list():
        await client.endpoints.remove(endpoint.id)
    yield (await client.endpoints.create(url=url)).secret if url else "whsec_" + "A" * 32


async def storm(
    name: str, *, payments: int, seed: int, home: Path, database: str, told: bool = True
) -> tuple[list[str], Counter[str]]:
    """A storm in a world of its own: what is wrong at its end, and what happened how often. ``told``: by webhooks; else
    the shop has to ask."""
    wire = Wire(seed)
    async with World(home, None) as world, AsyncClient(world.centre_url, world.shop.key) as client, wire.open() as url:
        async with _told_by(client, url if told else "") as secret:
            settings = {
                "SHOP_CENTRE_URL": world.centre_url,
                "SHOP_CENTRE_KEY": world.shop.key,
                "SHOP_WEBHOOK_SECRET": secret,
                "SHOP_SECRET_KEY": "of-this-test",
            }
            shop = Shop(SHOPS[name], home, database, settings, world.sandbox_url)
            wire.shop_url = shop.url
            try:
                await shop.open()
                raging = Storm(world, shop, wire, client, payments=payments, seed=seed)
                return await raging.run(), raging.seen
            finally:
                await shop.close()
