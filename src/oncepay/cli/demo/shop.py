"""A small shop: it orders payments from the centre, shows the code to scan, and takes in what the centre tells it.

It stands for a business app, and is made as those in ``examples/`` are: on the client and its three guards, and on
nothing else of the centre.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import secrets
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, quote

import aiohttp
import jinja2
import msgspec
import segno
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from oncepay.cli.demo.books import Books, Order
from oncepay.client import (
    AsyncClient,
    Attempt,
    CallFailed,
    Client,
    Conflict,
    EventRefused,
    PaymentStarted,
    Refund,
    verify,
)

SUBJECT: Final = "Green tea, 100 g"
PRICE_MINOR: Final = 8800
DEADLINE_S: Final = 7200
ANSWER_S: Final = 25.0
WAYS: Final = {  # how the shop lets people pay, and what it asks the centre for
    "wechat": Attempt(channel="wechat", method="native"),
    "alipay": Attempt(channel="alipay", method="page"),
    "unionpay": Attempt(channel="unionpay", method="front"),
}


class Refused(Exception):
    """The centre refused what was asked by hand: ``problem`` is its answer."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(f"{status} {problem.get('code')}: {problem.get('detail')}")
        self.status = status
        self.problem = problem


class _Server(uvicorn.Server):
    """Leaves the process's signals to whoever runs the loop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Shop:
    """The shop. ``now_ms``: its clock."""

    def __init__(
        self, books: Books, *, centre_url: str, sandbox_url: str, listener: socket.socket, now_ms: Callable[[], int]
    ) -> None:
        self.books = books
        self.centre_url = centre_url
        self.sandbox_url = sandbox_url
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.key = ""  # of the centre's API
        self.secret = ""  # of its webhooks
        self._listener: socket.socket | None = listener
        self._address = listener.getsockname()
        self._now_ms = now_ms
        self._client: AsyncClient | None = None
        self._session: aiohttp.ClientSession | None = None
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._pages = _pages()

    def join(self, key: str, secret: str) -> None:
        """It is an app of the centre now. ``key``: of the API. ``secret``: of its webhooks."""
        self.key, self.secret = key, secret
        self._client = AsyncClient(self.centre_url, key)
        self.books.join(Client(self.centre_url, key))

    # -- opening hours -------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open the doors."""
        self._session = self._session or aiohttp.ClientSession(
            self.centre_url, timeout=aiohttp.ClientTimeout(total=ANSWER_S)
        )
        listener = self._listener or socket.create_server(self._address)
        config = uvicorn.Config(
            self._app(), log_config=None, access_log=False, ws="none", lifespan="off", timeout_graceful_shutdown=1
        )
        self._listener, self._server = None, _Server(config)
        self._serving = asyncio.create_task(self._server.serve([listener]))
        while not self._server.started:
            if self._serving.done():
                self._serving.result()
            await asyncio.sleep(0.01)

    async def shut(self) -> None:
        """Shut them: connections are refused."""
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await self._serving
            self._server = None

    async def close(self) -> None:
        """For good."""
        await self.shut()
        if self._session is not None:
            await self._session.close()
        if self._client is not None:
            await self._client.close()

    async def watch(self) -> int:
        """Ask by itself for what it was not told; for how many orders it asked. Raises CallFailed."""
        assert self.books.watch is not None
        return await asyncio.to_thread(self.books.watch.run_once)

    # -- what it asks of the centre ------------------------------------------------------------------------------

    async def submit(
        self,
        order_no: str,
        *,
        way: str = "wechat",
        minor: int = PRICE_MINOR,
        subject: str = SUBJECT,
        deadline_s: int = DEADLINE_S,
    ) -> PaymentStarted:
        """Take an order on, and order its payment. Safe to repeat: the order number is the key. Raises CallFailed."""
        await asyncio.to_thread(self.books.add, order_no, order_no, subject, minor)
        return await self._start(order_no, way, deadline_s)

    async def _start(self, order_no: str, way: str, deadline_s: int = DEADLINE_S) -> PaymentStarted:
        order = self.books.order(order_no)
        assert order is not None
        payment = await self.client.payments.create(
            order_no=order_no,
            minor=order.minor,
            currency="CNY",
            subject=order.subject,
            deadline_ms=order.ordered_ms + deadline_s * 1000,
            attempt=WAYS[way],
        )
        return self._started(payment)

    async def switch(self, payment_id: str, way: str) -> PaymentStarted:
        """Pay the same in another way. Raises CallFailed."""
        return self._started(await self.client.payments.start_attempt(payment_id, WAYS[way]))

    def _started(self, payment: PaymentStarted) -> PaymentStarted:
        if payment.attempt is not None and payment.attempt.credential is not None:
            self.books.started(payment.order_no, payment.id, payment.attempt.credential)
        return payment

    async def refund(self, payment_id: str, refund_no: str, minor: int) -> Refund:
        """Give money back. Raises CallFailed."""
        return await self.client.refunds.create(payment_id, refund_no=refund_no, minor=minor)

    @property
    def client(self) -> AsyncClient:
        """Its client, once it is an app of the centre."""
        assert self._client is not None
        return self._client

    async def payment(self, payment_id: str) -> dict[str, Any]:
        """A payment as the centre has it. Raises Refused, ClientError."""
        return await self.ask("GET", f"/v1/payments/{payment_id}")

    async def ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """One call of the centre's API by hand, for who looks at answers as they are. Raises Refused, ClientError."""
        assert self._session is not None
        headers = {"Authorization": f"Bearer {self.key}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        data = None if body is None else msgspec.json.encode(body)
        async with self._session.request(method, path, data=data, headers=headers) as answer:
            told: dict[str, Any] = msgspec.json.decode(await answer.read())
            if answer.status >= 400:
                raise Refused(answer.status, told)
            return told

    # -- what it serves ------------------------------------------------------------------------------------------

    def _app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/", self._front, methods=["GET"]),
                Route("/buy", self._buy, methods=["POST"]),
                Route("/orders/{order_no}", self._order, methods=["GET"]),
                Route("/orders/{order_no}/pay", self._pay, methods=["POST"]),
                Route("/orders/{order_no}/timeline", self._timeline, methods=["GET"]),
                Route("/webhook", self._webhook, methods=["POST"]),
            ]
        )

    async def _webhook(self, request: Request) -> Response:
        """What the centre tells: believed only when signed, taken in once."""
        body = await request.body()
        try:
            event = verify(self.secret, request.headers, body, self._now_ms() / 1000)
        except EventRefused as error:
            return PlainTextResponse(str(error), 400)
        try:
            await asyncio.to_thread(self.books.take, event.payment)
        except KeyError:
            return PlainTextResponse("not an order of ours", 404)
        return Response(status_code=204)

    async def _front(self, _: Request) -> Response:
        shown = {"ways": WAYS, "orders": self.books.orders(), "subject": SUBJECT, "price": PRICE_MINOR}
        return self._page("front.html", click=secrets.token_hex(8), **shown)

    async def _buy(self, request: Request) -> Response:
        """The page carries a number for each click, so that a double one is one order, and a second tea another."""
        form = await _form(request)
        click = form.get("click") or secrets.token_hex(8)
        order_no = f"tea-{secrets.token_hex(4)}"
        order_no = await asyncio.to_thread(self.books.add, click, order_no, SUBJECT, PRICE_MINOR)
        try:
            await self._start(order_no, _way(form))
        except CallFailed as error:
            return PlainTextResponse(f"The centre did not take the order: {error}", 502)
        return RedirectResponse(f"/orders/{quote(order_no)}", 303)

    async def _pay(self, request: Request) -> Response:
        """The payer chose another way. What was paid meanwhile is paid: the page says so."""
        order = self.books.order(request.path_params["order_no"])
        if order is None or not order.payment:
            return PlainTextResponse("no such order, or no payment yet", 404)
        try:
            await self.switch(order.payment, _way(await _form(request)))
        except CallFailed as error:
            if not (isinstance(error, Conflict) and error.code == "payment_paid"):
                return PlainTextResponse(f"The centre did not switch: {error}", 502)
        return RedirectResponse(f"/orders/{quote(order.order_no)}", 303)

    async def _order(self, request: Request) -> Response:
        order = self.books.order(request.path_params["order_no"])
        if order is None:
            return PlainTextResponse("no such order", 404)
        shown = {"picture": _picture(order), "cashier_url": self.cashier_url(order), "ways": WAYS}
        return self._page("order.html", order=order, **shown)

    async def _timeline(self, request: Request) -> Response:
        order = self.books.order(request.path_params["order_no"])
        if order is None or not order.payment:
            return PlainTextResponse("no such order, or no payment yet", 404)
        try:
            told = await self.client.payments.timeline(order.payment)
        except CallFailed as error:
            return PlainTextResponse(f"The centre did not answer: {error}", 502)
        shown = {"entries": told.timeline, "why": told.explain.why, "next": told.explain.next}
        return self._page("timeline.html", order=order, **shown)

    def cashier_url(self, order: Order) -> str:
        """Where the sandbox lets a person pay what the code says."""
        return f"{self.sandbox_url}/cashier/{quote(order.credential.get('code_url', '').partition('pr=')[2])}"

    def _page(self, name: str, **values: object) -> Response:
        addresses = {"centre_url": self.centre_url, "sandbox_url": self.sandbox_url}
        policy = f"default-src 'none'; style-src 'unsafe-inline'; form-action 'self' {self.sandbox_url}"
        headers = {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"}
        return HTMLResponse(self._pages.get_template(name).render(**addresses, **values), headers=headers)


async def _form(request: Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs((await request.body()).decode("latin-1")).items()}


def _way(form: dict[str, str]) -> str:
    way = form.get("way", "wechat")
    return way if way in WAYS else "wechat"


def _picture(order: Order) -> str:
    """The code to scan, as SVG."""
    code_url = order.credential.get("code_url")
    if not code_url:
        return ""
    out = io.BytesIO()
    segno.make(code_url, error="m").save(out, kind="svg", scale=8, border=2, xmldecl=False, svgns=True)
    return out.getvalue().decode()


def _pages() -> jinja2.Environment:
    pages = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters["yuan"] = lambda fen: f"{'-' if fen < 0 else ''}{abs(fen) // 100}.{abs(fen) % 100:02d}"
    pages.filters["time"] = lambda ms: f"{datetime.fromtimestamp(ms / 1000, UTC):%H:%M:%S}.{ms % 1000:03d}"
    pages.filters["rest"] = _rest
    return pages


def _rest(entry: dict[str, Any]) -> str:
    """What belongs to an entry of the timeline, in one line."""
    shown = {
        name: value for name, value in entry.items() if name not in {"at_ms", "what"} and value not in (None, "", [])
    }
    return " · ".join(
        f"{name} {value if not isinstance(value, list) else ', '.join(value)}" for name, value in shown.items()
    )
