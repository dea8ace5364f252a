"""The example shops under a storm: buyers who click twice, pay, leave, get money back; news doubled, reordered, delayed,
lost; the shop killed between its write and its answer, the centre and the broker killed. Then peace, and the shop's books
must equal the sandbox's.

    python -m tests.storm.shops --shop fastapi --road queue --buyers 300 --seed 7

Real processes, started as the READMEs say: the sandbox, the centre, the shop and what belongs to it, PostgreSQL, Valkey. One
clock for all of them, which runs fast.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final, Literal, get_args

import aiohttp

from oncepay.cli.demo.process import Broken
from oncepay.cli.demo.world import World
from oncepay.client import AsyncClient, CallFailed
from oncepay.testing.servers import PostgresServer, fresh_database
from oncepay.testing.services import Service, valkey
from tests.storm.examples import SHOPS, Entry, Shop
from tests.storm.wire import Wire, meddle

Road = Literal["webhook", "queue", "watch"]  # how the shop hears; with the last it hears nothing, and has to ask

FAST: Final = 20.0  # seconds of the world's time in one of ours; a window of ten minutes outlasts a restart
AT_ONCE: Final = 12
RELOADS: Final = 10  # of a page whose code is an old one, until the buyer gives up
PATIENCE_S: Final = 120.0  # and a second for each buyer: by then every buyer is served, and all have died who shall
DEATHS: Final = 2  # of each kind, and more when there are many buyers
PEACE_STEPS_S: Final = (20.0,) * 10 + (600.0,) * 40
FAULTS: Final = {"notify_lost": 0.1, "notify_duplicate": 0.1, "drop_after": 0.05, "http_500_after": 0.05}
SCRIPTS: Final = ("pays",) * 6 + ("gets money back",) * 2 + ("leaves with the code", "leaves")
CODE: Final = re.compile(r"weixin://[^\s\"<]+")
ORDER_NO: Final = re.compile(r"\b[A-Z]-[0-9a-f]{16}\b")
NO_SECRET: Final = "whsec_" + "A" * 32


class Storm:
    """One storm over one shop. ``broker``: the one whose queue the shop reads, if it reads one. ``told``: whether it hears
    anything at all."""

    def __init__(
        self,
        world: World,
        shop: Shop,
        wire: Wire,
        client: AsyncClient,
        *,
        broker: Service | None,
        told: bool,
        buyers: int,
        seed: int,
    ) -> None:
        self.world = world
        self.shop = shop
        self.wire = wire
        self.client = client
        self.broker = broker
        self.told = told
        self.seed = seed
        self.buyers = range(1, buyers + 1)
        self.seen: Counter[str] = Counter()
        self.ordered: dict[int, set[str]] = {}
        self._room = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> list[str]:
        """What is not as promised at the end; nothing, if all is."""
        await self.world.control("PUT", "faults", {"rates": {name: {"rate": rate} for name, rate in FAULTS.items()}})
        running = [asyncio.create_task(self._time_runs())]
        if self.broker:
            running.append(asyncio.create_task(meddle(stream_of(self.broker), self.seed, self.seen)))
        try:
            async with asyncio.timeout(PATIENCE_S + len(self.buyers)), asyncio.TaskGroup() as group:
                group.create_task(self._strikes())
                for buyer in self.buyers:
                    group.create_task(self._buyer(buyer))
        finally:
            for task in running:
                task.cancel()
        await self.world.control("DELETE", "faults")
        self.wire.calm = True
        return await self._peace()

    async def _time_runs(self) -> None:
        while True:
            await asyncio.sleep(0.1)
            await self.world.advance(0.1 * FAST)

    async def _strikes(self) -> None:
        """The shop dies of each of its writes, and the centre and the broker are killed in between."""
        async with asyncio.TaskGroup() as group:
            for death in ("submission", "message" if self.broker else "news"):
                group.create_task(self._shop_dies(death))
            group.create_task(self._others_die())

    async def _shop_dies(self, death: str) -> None:
        deaths = max(DEATHS, len(self.buyers) // 20)
        for number in range(deaths):
            await self._ordered(number / deaths)
            await self.shop.dies(death)
            self.seen[f"died of a {death}"] += 1

    async def _others_die(self) -> None:
        for share in (0.3, 0.6):
            await self._ordered(share)
            await self.world.centre.kill()
            await self.world.start_centre()
            self.seen["the centre was killed"] += 1
            if self.broker:
                await asyncio.to_thread(self.broker.kill9)
                await asyncio.to_thread(self.broker.start)
                self.seen["the broker was killed"] += 1

    async def _ordered(self, share: float) -> None:
        """Until so many of the buyers have an order."""
        while len(self.ordered) < share * len(self.buyers):  # noqa: ASYNC110 - the load is the clock here
            await asyncio.sleep(0.01)

    # -- a buyer -------------------------------------------------------------------------------------------------

    async def _buyer(self, buyer: int) -> None:
        async with self._room, aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=35)) as session:
            dice = random.Random(f"{self.seed}:{buyer}")
            wish = {"buyer": buyer, "item": dice.choice(("tea", "cup")), "quantity": dice.randint(1, 3)}
            clicks = await asyncio.gather(*(self._post(session, "/orders", wish) for _ in range(2)))
            self.ordered[buyer] = {ORDER_NO.findall(text)[0] for text in clicks}
            script = dice.choice(SCRIPTS)
            self.seen[f"a buyer {script}"] += 1
            if script == "leaves":
                return
            order_no = min(self.ordered[buyer])
            code = await self._code(session, order_no)
            if script == "leaves with the code":
                return
            for _ in range(RELOADS):
                if await self._scans(code):
                    break
                code = await self._code(session, order_no)  # the buyer reloads the page
            else:
                self.seen["a buyer gave up: the code never worked"] += 1
                return
            if script == "gets money back" and self.told:  # of a refund that it did not register a shop is only told
                await self._refund(order_no)

    async def _code(self, session: aiohttp.ClientSession, order_no: str) -> str:
        while True:
            if found := CODE.findall(await self._post(session, f"/orders/{order_no}/pay", {})):
                return str(found[0])
            self.seen["no code yet"] += 1

    async def _scans(self, code: str) -> bool:
        try:
            await self.world.control("POST", "pay", {"code_url": code})
        except Broken:
            self.seen["the code was an old one"] += 1
            return False
        return True

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
        """Time passes until the books agree, or for seven hours."""
        wrong = ["nobody has looked"]
        for step, seconds in enumerate(PEACE_STEPS_S):
            await self.world.advance(seconds)
            await asyncio.sleep(0.15)
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


def stream_of(broker: Service) -> str:
    """The stream of the news."""
    return f"{broker.url}/0?stream=news"


async def storm(
    name: str, road: Road, *, buyers: int, seed: int, home: Path, database: str, broker: Service | None = None
) -> tuple[list[str], Counter[str]]:
    """A storm in a world of its own: what is wrong at its end, and what happened how often. ``broker``: for the road
    ``queue``."""
    wire = Wire(seed)
    async with World(home, None) as world, AsyncClient(world.centre_url, world.shop.key) as client, wire.open() as url:
        for endpoint in await client.endpoints.list():  # the demonstration's shop hears nothing
            await client.endpoints.remove(endpoint.id)
        where = {"webhook": url, "queue": stream_of(broker) if broker else "", "watch": ""}[road]
        settings = {
            "SHOP_CENTRE_URL": world.centre_url,
            "SHOP_CENTRE_KEY": world.shop.key,
            "SHOP_WEBHOOK_SECRET": (await client.endpoints.create(url=where)).secret if where else NO_SECRET,
            "SHOP_SECRET_KEY": "of-this-test",
            **({"SHOP_QUEUE_URL": where} if road == "queue" else {}),
        }
        shop = Shop(SHOPS[name], home, database, settings)
        wire.shop_url = shop.url
        raging = Storm(world, shop, wire, client, broker=broker, told=bool(where), buyers=buyers, seed=seed)
        try:
            await shop.open()
            return await raging.run(), raging.seen
        finally:
            await shop.close()


def main() -> int:
    """Print the table; 0 only if everything agrees."""
    parser = argparse.ArgumentParser(prog="python -m tests.storm.shops", description=__doc__)
    parser.add_argument("--shop", choices=SHOPS, default="fastapi")
    parser.add_argument("--road", choices=get_args(Road), default="webhook")
    parser.add_argument("--buyers", type=int, default=200)
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="oncepay-storm-")))
        database = str(home / "shop.sqlite")
        if asked.shop != "flask":
            database = stack.enter_context(fresh_database(stack.enter_context(PostgresServer()).url))
        broker = stack.enter_context(valkey(durable=True)) if asked.road == "queue" else None
        wrong, seen = asyncio.run(
            storm(
                asked.shop,
                asked.road,
                buyers=asked.buyers,
                seed=asked.seed,
                home=home,
                database=database,
                broker=broker,
            )
        )
    for what, count in sorted(seen.items()):
        sys.stdout.write(f"{count:8}  {what}\n")
    for text in wrong[:20]:
        sys.stdout.write(f"WRONG {text}\n")
    sys.stdout.write(f"seed {asked.seed}: {asked.buyers} buyers, {len(wrong)} complaints\n")
    return 0 if not wrong else 1


if __name__ == "__main__":
    sys.exit(main())
