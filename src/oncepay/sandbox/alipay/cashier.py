"""What a payer of Alipay sees: a cashier where a person logs in (then the trade exists), pays, and is led back."""

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from oncepay.sandbox.alipay import trades
from oncepay.sandbox.alipay.books import CLOSED, CODE_URL, FINISHED, PAID, WAITING, Offer, Trade
from oncepay.sandbox.alipay.wire import Refusal
from oncepay.sandbox.pages import Pages, picture
from oncepay.sandbox.vendor import Refused

if TYPE_CHECKING:
    from oncepay.sandbox.alipay.vendor import Alipay

WORDS: Final = {WAITING: "to pay", PAID: "paid", FINISHED: "finished", CLOSED: "closed"}


def word_of(trade: Trade | None) -> str:
    """A trade's state for people."""
    if trade is None:
        return "nobody yet"
    return "refunded" if trade.refunded else WORDS[trade.state]


def shade_of(trade: Trade | None) -> str:
    if trade is None or trade.state == WAITING:
        return ""
    if trade.refunded:
        return "refunded"
    return "closed" if trade.state == CLOSED else "paid"


class Cashier:
    """The pages, bound to one Alipay."""

    def __init__(self, alipay: "Alipay", pages: Pages) -> None:
        self._alipay = alipay
        self._pages = pages

    def routes(self) -> list[Route]:
        return [
            Route("/alipay/open", self.open, methods=["GET", "POST"]),
            Route("/alipay/cashier/{code}", self.show, methods=["GET"]),
            Route("/alipay/cashier/{code}/qr.{form}", self.picture, methods=["GET"]),
            Route("/alipay/cashier/{code}/login", self.log_in, methods=["POST"]),
            Route("/alipay/cashier/{code}/pay", self.pay, methods=["POST"]),
            Route("/alipay/cashier/{code}/cancel", self.cancel, methods=["POST"]),
        ]

    async def open(self, request: Request) -> Response:
        """A phone opens an app's order string, or anything else that was signed for a payer."""
        problem, status = "", 200
        if request.method == "POST":
            text = await member(request, "order_string")
            try:
                return RedirectResponse(f"/alipay/cashier/{self._alipay.opened(text).code}", 303)
            except Refusal as refusal:
                problem, status = f"{refusal.sub_code} {refusal.text}", 409
        return self._pages.page("alipay/pages/open.html", status, problem=problem)

    async def show(self, request: Request) -> Response:
        return self._cashier(self._offer(request))

    async def picture(self, request: Request) -> Response:
        """The QR code of the offer, as SVG or PNG."""
        shown = picture(self._payload(self._offer(request)), request.path_params["form"])
        if shown is None:
            raise Refused(404, "picture_absent", "qr.svg or qr.png")
        return shown

    async def log_in(self, request: Request) -> Response:
        offer = self._offer(request)
        account = await member(request, "account")
        try:
            trades.log_in(self._alipay.desk, offer, account)
        except Refusal as refusal:
            return self._cashier(offer, f"{refusal.sub_code} {refusal.text}", 409)
        return RedirectResponse(f"/alipay/cashier/{offer.code}", 303)

    async def pay(self, request: Request) -> Response:
        """The payer pays, and the browser goes back to the shop when that said where."""
        offer = self._offer(request)
        try:
            trade = trades.pay(self._alipay.desk, offer)
        except Refusal as refusal:
            return self._cashier(offer, f"{refusal.sub_code} {refusal.text}", 409)
        back = trades.returned(self._alipay.desk, trade, offer)
        return RedirectResponse(back or f"/alipay/cashier/{offer.code}", 303)

    async def cancel(self, request: Request) -> Response:
        """The payer leaves. At Alipay that changes nothing: the page can be followed again."""
        offer = self._offer(request)
        offer.left = True
        self._alipay.desk.books.offered(offer)
        return RedirectResponse(f"/alipay/cashier/{offer.code}", 303)

    def _offer(self, request: Request) -> Offer:
        offer = self._alipay.desk.books.offer(request.path_params["code"])
        if offer is None:
            raise Refused(404, "code_absent", "this code is not, or no longer, valid")
        return offer

    def _payload(self, offer: Offer) -> str:
        """What the QR code says: Alipay's own address, or for the other methods the cashier's."""
        code_url = f"{self._alipay.desk.base_url}/alipay/cashier/{offer.code}"
        return CODE_URL + offer.code if offer.method == "precreate" else code_url

    def _cashier(self, offer: Offer, problem: str = "", status: int = 200) -> Response:
        desk = self._alipay.desk
        trade = desk.books.of(offer)
        refusal = None
        try:
            trades.check(desk, offer)
        except Refusal as found:
            refusal = f"{found.sub_code} {found.text}"
        return self._pages.page(
            "alipay/pages/cashier.html",
            status,
            offer=offer,
            trade=trade,
            word=word_of(trade),
            shade=shade_of(trade),
            payable=refusal is None,
            problem=problem or ("" if trade is not None and trade.paid is not None else refusal or ""),
            payload=self._payload(offer),
            account=trades.BUYER_LOGON,
            back=trades.returned(desk, trade, offer) if trade is not None and trade.paid is not None else "",
            form_action=origin(offer.return_url),
        )


async def member(request: Request, name: str) -> str:
    """One member of the form that was posted."""
    found = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
    return found.get(name, "").strip()


def origin(url: str) -> str:
    """Scheme and host of an address, for the page that may lead there; empty when it has none to be trusted."""
    parts = urlsplit(url)
    plain = parts.netloc and all(c.isascii() and (c.isalnum() or c in ".:-[]") for c in parts.netloc)
    return f"{parts.scheme}://{parts.netloc}" if plain and parts.scheme in ("http", "https") else ""
