"""What a payer sees: a front page with all orders, and a cashier page to scan and pay on.

Server-rendered, no scripts, no outside assets, everything escaped.
"""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import jinja2
import segno
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from oncepay.sandbox.clock import beijing
from oncepay.sandbox.control import Refused
from oncepay.sandbox.wechat import orders
from oncepay.sandbox.wechat.books import Order

if TYPE_CHECKING:
    from oncepay.sandbox.main import Sandbox

LISTED_MAX: Final = 200
WORDS: Final = {"NOTPAY": "to pay", "SUCCESS": "paid", "REFUND": "refunded", "CLOSED": "closed"}


class Cashier:
    """The pages, bound to one sandbox."""

    def __init__(self, sandbox: "Sandbox") -> None:
        self._sandbox = sandbox
        self._desk = sandbox.wechat.desk
        self._pages = jinja2.Environment(
            loader=jinja2.FileSystemLoader(Path(__file__).parent / "pages"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._pages.filters["yuan"] = lambda fen: f"{fen // 100}.{fen % 100:02d}"
        self._pages.filters["time"] = lambda at: f"{beijing(at):%Y-%m-%d %H:%M:%S}"

    def routes(self) -> list[Route]:
        return [
            Route("/", self.front, methods=["GET"]),
            Route("/cashier/{code}", self.show, methods=["GET"]),
            Route("/cashier/{code}/qr.{form}", self.picture, methods=["GET"]),
            Route("/cashier/{code}/pay", self.pay, methods=["POST"]),
            Route("/cashier/{code}/cancel", self.cancel, methods=["POST"]),
        ]

    async def front(self, _: Request) -> Response:
        listed = list(self._desk.books.orders())[-LISTED_MAX:]
        return self._page("front.html", orders=listed[::-1], words=WORDS, now=self._desk.clock.now())

    async def show(self, request: Request) -> Response:
        return self._cashier(request, self._order(request))

    async def picture(self, request: Request) -> Response:
        """The QR code of the order's code_url, as SVG or PNG."""
        order, form = self._order(request), request.path_params["form"]
        kinds = {"svg": "image/svg+xml", "png": "image/png"}
        if form not in kinds:
            raise Refused(404, "picture_absent", "qr.svg or qr.png")
        out = io.BytesIO()
        segno.make(payload(self._sandbox.base_url, order), error="m").save(out, kind=form, scale=8, border=2)
        return Response(out.getvalue(), media_type=kinds[form])

    async def pay(self, request: Request) -> Response:
        order = self._order(request)
        try:
            self._sandbox.pay(order.code)
        except Refused as error:
            return self._cashier(request, order, str(error), error.status)
        return self._back(request, order)

    async def cancel(self, request: Request) -> Response:
        """The payer leaves. At WeChat Pay that changes nothing: the order stays to be paid."""
        order = self._order(request)
        order.cancelled = True
        self._desk.books.changed(order)
        return self._back(request, order)

    def _order(self, request: Request) -> Order:
        order = self._desk.books.find(request.path_params["code"])
        if order is None:
            raise Refused(404, "code_absent", "this code is not, or no longer, valid")
        return order

    def _cashier(self, request: Request, order: Order, problem: str = "", status: int = 200) -> Response:
        now = self._desk.clock.now()
        life = order.code_made + orders.LIFE_S[order.product]
        back = request.query_params.get("redirect_url", "")
        return self._page(
            "cashier.html",
            status,
            order=order,
            word=WORDS[order.state],
            payable=order.state == "NOTPAY" and now < min(order.expires, life),
            problem=problem,
            payload=payload(self._sandbox.base_url, order),
            query=request.url.query,
            back=back if urlsplit(back).scheme in ("http", "https") else "",
        )

    def _back(self, request: Request, order: Order) -> Response:
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"/cashier/{order.code}{query}", 303)

    def _page(self, name: str, status: int = 200, /, **values: object) -> Response:
        page = self._pages.get_template(name).render(**values)
        policy = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; form-action 'self'"
        return HTMLResponse(page, status, {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"})


def payload(base_url: str, order: Order) -> str:
    """What the QR code says: the code_url, or for the other products the cashier's address."""
    return orders.CODE_URL + order.code if order.product == "native" else f"{base_url}/cashier/{order.code}"
