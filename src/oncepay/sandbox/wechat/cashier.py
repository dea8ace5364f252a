"""What a payer of WeChat Pay sees: a page to scan and pay on, for each order."""

from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from oncepay.sandbox.pages import Pages, picture
from oncepay.sandbox.vendor import Refused
from oncepay.sandbox.wechat import orders
from oncepay.sandbox.wechat.books import Order
from oncepay.sandbox.wechat.desk import Desk

WORDS: Final = {"NOTPAY": "to pay", "SUCCESS": "paid", "REFUND": "refunded", "CLOSED": "closed"}
SHADES: Final = {"NOTPAY": "", "SUCCESS": "paid", "REFUND": "refunded", "CLOSED": "closed"}


class Cashier:
    """The pages, bound to one WeChat Pay."""

    def __init__(self, desk: Desk, pages: Pages) -> None:
        self._desk = desk
        self._pages = pages

    def routes(self) -> list[Route]:
        return [
            Route("/cashier/{code}", self.show, methods=["GET"]),
            Route("/cashier/{code}/qr.{form}", self.picture, methods=["GET"]),
            Route("/cashier/{code}/pay", self.pay, methods=["POST"]),
            Route("/cashier/{code}/cancel", self.cancel, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        return self._cashier(request, self._order(request))

    async def picture(self, request: Request) -> Response:
        """The QR code of the order's code_url, as SVG or PNG."""
        shown = picture(payload(self._desk.base_url, self._order(request)), request.path_params["form"])
        if shown is None:
            raise Refused(404, "picture_absent", "qr.svg or qr.png")
        return shown

    async def pay(self, request: Request) -> Response:
        order = self._order(request)
        try:
            orders.pay(self._desk, order)
        except orders.CannotPay as error:
            return self._cashier(request, order, str(error), 409)
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
        return self._pages.page(
            "wechat/pages/cashier.html",
            status,
            order=order,
            word=WORDS[order.state],
            shade=SHADES[order.state],
            payable=order.state == "NOTPAY" and now < min(order.expires, life),
            problem=problem,
            payload=payload(self._desk.base_url, order),
            query=request.url.query,
            back=back if urlsplit(back).scheme in ("http", "https") else "",
        )

    def _back(self, request: Request, order: Order) -> Response:
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"/cashier/{order.code}{query}", 303)


def payload(base_url: str, order: Order) -> str:
    """What the QR code says: the code_url, or for the other products the cashier's address."""
    return orders.CODE_URL + order.code if order.product == "native" else f"{base_url}/cashier/{order.code}"
