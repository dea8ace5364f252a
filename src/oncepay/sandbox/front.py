"""The front page: the orders of all vendors, newest first, each leading to its cashier."""

from typing import TYPE_CHECKING, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from oncepay.sandbox.pages import Pages

if TYPE_CHECKING:
    from oncepay.sandbox.main import Sandbox

LISTED_MAX: Final = 200


class Front:
    """The page, bound to one sandbox."""

    def __init__(self, sandbox: "Sandbox", pages: Pages) -> None:
        self._sandbox = sandbox
        self._pages = pages

    def routes(self) -> list[Route]:
        return [Route("/", self.show, methods=["GET"])]

    async def show(self, _: Request) -> Response:
        lines = [line for vendor in self._sandbox.vendors.values() for line in list(vendor.lines())[-LISTED_MAX:]]
        lines.sort(key=lambda line: line.created, reverse=True)
        return self._pages.page("pages/front.html", lines=lines[:LISTED_MAX], now=self._sandbox.clock.now())
