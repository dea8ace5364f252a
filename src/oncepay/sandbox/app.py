"""One application: the vendor's API on the fast road, pages and controls through starlette."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette

from oncepay.sandbox import cashier, control
from oncepay.sandbox.server import Reply, Request

if TYPE_CHECKING:
    from oncepay.sandbox.main import Sandbox

Message = MutableMapping[str, Any]


class App:
    """Everything the sandbox serves."""

    def __init__(self, sandbox: "Sandbox") -> None:
        self._wechat = sandbox.wechat
        self._control = control.Control(sandbox)
        self._pages = Starlette(
            routes=[*self._control.routes(), *cashier.Cashier(sandbox).routes()],
            exception_handlers={control.Refused: control.refused},
        )

    def is_quick(self, path: bytes) -> bool:
        """The vendor's API, and the script that pays: what load tests call all the time."""
        return path.startswith(b"/v3/") or path == b"/sandbox/pay"

    def reply(self, request: Request) -> Reply:
        """Answer a request of the fast road."""
        if request.path == "/sandbox/pay":
            return self._control.pay(request)
        return self._wechat.reply(request)

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Pages and controls, by ASGI."""
        if scope["type"] == "http":
            await self._pages(scope, receive, send)
