"""What a payer of UnionPay sees: a page to pay on, to fail and try again, or to leave.

After a front payment the browser posts signed fields to the shop's frontUrl, which proves nothing that
the notice does not prove better.
"""

import base64
import hashlib
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from oncepay.sandbox.pages import Pages, picture
from oncepay.sandbox.unionpay import orders
from oncepay.sandbox.unionpay.books import Order
from oncepay.sandbox.unionpay.desk import Desk
from oncepay.sandbox.vendor import Refused

WORDS: Final = {
    "NOTPAY": "to pay", "FAILED": "failed, to pay", "CLOSED": "too late", "SUCCESS": "paid", "REFUND": "refunded",
    "VOIDED": "voided",
}  # fmt: skip
SHADES: Final = {
    "NOTPAY": "", "FAILED": "", "CLOSED": "closed", "SUCCESS": "paid", "REFUND": "refunded", "VOIDED": "refunded",
}  # fmt: skip
# The one script: it sends the browser on, as UnionPay's own page does. Allowed by its hash.
SUBMIT: Final = "document.forms[0].submit()"
SUBMIT_HASH: Final = base64.b64encode(hashlib.sha256(SUBMIT.encode()).digest()).decode()


class Cashier:
    """The pages, bound to one UnionPay."""

    def __init__(self, desk: Desk, pages: Pages) -> None:
        self._desk = desk
        self._pages = pages

    def routes(self) -> list[Route]:
        return [
            Route("/unionpay/cashier/{code}", self.show, methods=["GET"]),
            Route("/unionpay/cashier/{code}/qr.{form}", self.picture, methods=["GET"]),
            Route("/unionpay/cashier/{code}/pay", self.pay, methods=["POST"]),
            Route("/unionpay/cashier/{code}/fail", self.fail, methods=["POST"]),
            Route("/unionpay/cashier/{code}/leave", self.leave, methods=["POST"]),
            Route("/unionpay/cashier/{code}/return", self.go_back, methods=["GET"]),
        ]

    async def show(self, request: Request) -> Response:
        return self._cashier(self._order(request))

    async def picture(self, request: Request) -> Response:
        """The qrCode, or for the other products the cashier's address, as SVG or PNG."""
        shown = picture(self._payload(self._order(request)), request.path_params["form"])
        if shown is None:
            raise Refused(404, "picture_absent", "qr.svg or qr.png")
        return shown

    async def pay(self, request: Request) -> Response:
        return self._try(request, orders.pay)

    async def fail(self, request: Request) -> Response:
        return self._try(request, orders.fail)

    async def leave(self, request: Request) -> Response:
        order = self._order(request)
        orders.leave(self._desk, order)
        return self._to(order)

    async def go_back(self, request: Request) -> Response:
        """The page that posts a paid front payment to the shop, by itself or by its button."""
        order = self._order(request)
        brought = orders.brought_back(self._desk, order)
        if brought is None:
            return self._to(order)
        page = self._pages.page("unionpay/pages/return.html", order=order, brought=brought, script=SUBMIT)
        # Where the shop sends the browser on to is the shop's affair: no form-action.
        page.headers["Content-Security-Policy"] = (
            f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{SUBMIT_HASH}'"
        )
        return page

    def _try(self, request: Request, attempt: Callable[[Desk, Order], None]) -> Response:
        order = self._order(request)
        try:
            attempt(self._desk, order)
        except orders.CannotPay as error:
            return self._cashier(order, str(error), 409)
        return self._to(order, "/return" if orders.brought_back(self._desk, order) else "")

    def _order(self, request: Request) -> Order:
        order = self._desk.books.find(request.path_params["code"])
        if order is None:
            raise Refused(404, "code_absent", "there is no such payment")
        return order

    def _cashier(self, order: Order, problem: str = "", status: int = 200) -> Response:
        state = order.state(self._desk.clock.now())
        return self._pages.page(
            "unionpay/pages/cashier.html",
            status,
            order=order,
            subject=orders.subject(order),
            word=WORDS[state],
            shade=SHADES[state],
            payable=state in {"NOTPAY", "FAILED"},
            late=state == "CLOSED",
            problem=problem or orders.problem(order),
            payload=self._payload(order),
            returns=orders.brought_back(self._desk, order) is not None,
            shop=urlsplit(order.fields.get("frontUrl", "")).netloc,
        )

    def _payload(self, order: Order) -> str:
        return order.qr_code or f"{self._desk.base_url}/unionpay/cashier/{order.code}"

    def _to(self, order: Order, part: str = "") -> Response:
        return RedirectResponse(f"/unionpay/cashier/{order.code}{part}", 303)
