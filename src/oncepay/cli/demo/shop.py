"""The shop: ``examples/shop_flask/shop.py`` itself, started as its README says, as its buyers, its back office and a
reader of its books see it."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp
import msgspec

from oncepay.cli.demo.books import Books
from oncepay.cli.demo.process import Broken, Process
from oncepay.client import AsyncClient, Refund

HOST: Final = "127.0.0.1"
PRICE_MINOR: Final = 8800  # of tea
ANSWER_S: Final = 45.0  # longer than the shop itself waits for the centre
CLICKS: Final = 200  # of an impatient buyer
CLICK_S: Final = 0.1
WATCH: Final = ("oncepay.client.guards", "watch", "shop:watch")

# In an installed package it lies beside this file (pyproject.toml puts it there), in a clone where people find it.
_PLACES: Final = (Path(__file__).with_name("shop_flask"), Path(__file__).parents[4] / "examples" / "shop_flask")
EXAMPLE: Final = next((place for place in _PLACES if place.is_dir()), _PLACES[-1])


class Refused(Exception):
    """The centre refused what was asked by hand: ``problem`` is its answer."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(f"{status} {problem.get('code')}: {problem.get('detail')}")
        self.status = status
        self.problem = problem


class Page(NamedTuple):
    """What a browser shows."""

    status: int
    url: str
    text: str


class Shop:
    """home: where its database and its log lie."""

    def __init__(self, home: Path, port: int) -> None:
        self.url = f"http://{HOST}:{port}"
        self.key = ""  # of the centre's API
        self.centre_url = ""
        self.books = Books(home / "shop.sqlite")
        self._home = home
        self.settings = {"SHOP_DATABASE": str(self.books.path.resolve())}  # of its programs
        self._serving: Process | None = None
        self._watching: Process | None = None
        self._client: AsyncClient | None = None
        self._session: aiohttp.ClientSession | None = None

    def join(self, centre_url: str, key: str, secret: str) -> None:
        """It is an app of the centre now. ``key``: of the API. ``secret``: of its webhooks."""
        self.centre_url, self.key = centre_url, key
        self.settings |= {"SHOP_CENTRE_URL": centre_url, "SHOP_CENTRE_KEY": key, "SHOP_WEBHOOK_SECRET": secret}
        self._client = AsyncClient(centre_url, key)
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_S))

    # -- its programs --------------------------------------------------------------------------------------------

    async def make(self) -> None:
        """Make its tables, once. Raises Broken."""
        await self._run("shop.py")

    @property
    def serving(self) -> list[str]:
        """The program that serves, as ``python -m`` takes it, with ``settings``."""
        return self._words("flask", "--app", "shop", "run", "--port", self.url.rpartition(":")[2])

    async def open(self) -> None:
        """Open the doors."""
        if not self.books.path.exists():
            await self.make()
        self._serving = Process(self.serving, self._home / "shop.log", self.settings, bound=True)
        self._serving.start()
        await self._serving.answers(self.session, self.url)

    async def shut(self) -> None:
        """Shut them: connections are refused."""
        if self._serving is not None:
            await self._serving.stop()

    async def watch(self) -> None:
        """Ask by itself, once, for what it was not told. Raises Broken."""
        await self._run(*WATCH)

    def keep_watching(self) -> None:
        """The same from now on, as a shop always should."""
        self._watching = self._program(*WATCH, "--loop")
        self._watching.start()

    async def close(self) -> None:
        """For good."""
        await self.shut()
        if self._watching is not None:
            await self._watching.stop()
        if self._client is not None and self._session is not None:
            await self._client.close()
            await self._session.close()

    def _words(self, *words: str) -> list[str]:
        return ["oncepay.cli.demo.clocked", str(self._home / "time"), str(EXAMPLE), *words]

    def _program(self, *words: str) -> Process:
        return Process(self._words(*words), self._home / "shop.log", self.settings, bound=True)

    async def _run(self, *words: str) -> None:
        code, said = await self._program(*words).run()
        if code:
            raise Broken(f"{words[0]} ended with {code}: {said}")

    # -- its pages, as a buyer sees them -------------------------------------------------------------------------

    async def order(self, buyer: str, quantity: int = 1) -> str:
        """Buy tea; the order's number. Raises Broken when the shop does not answer, or not so."""
        page = await self._post("/orders", buyer=buyer, item="tea", quantity=str(quantity))
        if page.status != 200:
            raise Broken(f"the shop answered an order with {page.status}: {page.text}")
        return page.url.rpartition("/")[2]

    async def pay(self, order_no: str, way: str) -> Page:
        """Choose a way to pay."""
        return await self._post(f"/orders/{order_no}/pay", way=way)

    async def _post(self, path: str, **form: str) -> Page:
        """As an impatient browser: again until there is an answer. Redirects are followed."""
        for _ in range(CLICKS):
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with self.session.post(f"{self.url}{path}", data=form) as answer:
                    if answer.status != 503:
                        return Page(answer.status, str(answer.url), await answer.text())
            await asyncio.sleep(CLICK_S)
        raise Broken(f"the shop does not answer {path}")

    # -- its back office -----------------------------------------------------------------------------------------

    async def refund(self, payment_id: str, refund_no: str, minor: int) -> Refund:
        """Give money back. Raises CallFailed."""
        return await self.client.refunds.create(payment_id, refund_no=refund_no, minor=minor)

    @property
    def client(self) -> AsyncClient:
        """A client with its key, once it is an app of the centre."""
        assert self._client is not None
        return self._client

    @property
    def session(self) -> aiohttp.ClientSession:
        """The same, for calls by hand and for its buyers."""
        assert self._session is not None
        return self._session

    async def ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """One call of the centre's API by hand, for who looks at answers as they are. Raises Refused, ClientError."""
        headers = {"Authorization": f"Bearer {self.key}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        data = None if body is None else msgspec.json.encode(body)
        async with self.session.request(method, f"{self.centre_url}{path}", data=data, headers=headers) as answer:
            told: dict[str, Any] = msgspec.json.decode(await answer.read())
            if answer.status >= 400:
                raise Refused(answer.status, told)
            return told
