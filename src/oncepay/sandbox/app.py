"""One application: the vendors' APIs on the fast road, pages and controls through starlette."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette

from oncepay.sandbox import control
from oncepay.sandbox.front import Front
from oncepay.sandbox.pages import Pages
from oncepay.sandbox.server import Reply, Request
from oncepay.sandbox.vendor import Refused

if TYPE_CHECKING:
    from oncepay.sandbox.main import Sandbox

Message = MutableMapping[str, Any]


class App:
    """Everything the sandbox serves."""

    def __init__(self, sandbox: "Sandbox") -> None:
        vendors = sandbox.vendors.values()
        self._by_prefix = [(prefix, vendor) for vendor in vendors for prefix in vendor.prefixes]
        self._quick = (b"/sandbox/pay", *(prefix for prefix, _ in self._by_prefix))
        self._control = control.Control(sandbox)
        pages = Pages()
        self._pages = Starlette(
            routes=[
                *self._control.routes(),
                *Front(sandbox, pages).routes(),
                *(route for vendor in vendors for route in vendor.routes(pages)),
            ],
            exception_handlers={Refused: control.refused},
        )

    def is_quick(self, path: bytes) -> bool:
        """The vendors' APIs, and the script that pays: what load tests call all the time."""
        return path.startswith(self._quick)

    def reply(self, request: Request) -> Reply:
        """Answer a request of the fast road."""
        path = request.path.encode("latin-1")
        for prefix, vendor in self._by_prefix:
            if path.startswith(prefix):
                return vendor.reply(request)
        return self._control.pay(request)

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Pages and controls, by ASGI."""
        if scope["type"] == "http":
            await self._pages(scope, receive, send)
