"""One ASGI application: the vendor's API on the fast road, pages and controls through starlette."""

from typing import TYPE_CHECKING

from starlette.applications import Starlette

from oncepay.sandbox import cashier, control, server
from oncepay.sandbox.wechat.wire import Answer, Request

if TYPE_CHECKING:
    from oncepay.sandbox.main import Sandbox


class App:
    """Everything the sandbox serves."""

    def __init__(self, sandbox: "Sandbox") -> None:
        self._wechat = sandbox.wechat
        self._clock = sandbox.clock
        self._pages = Starlette(
            routes=[*control.Control(sandbox).routes(), *cashier.Cashier(sandbox).routes()],
            exception_handlers={control.Refused: control.refused},
        )

    async def __call__(self, scope: server.Scope, receive: server.Receive, send: server.Send) -> None:
        if scope["type"] != "http":
            return
        if not scope["path"].startswith("/v3/"):
            await self._pages(scope, receive, send)
            return
        body = await server.read_body(receive)
        if body is None:
            await server.drop(scope, receive)
            return
        request = Request(
            method=scope["method"],
            path=scope["raw_path"].decode("latin-1"),
            query=scope["query_string"].decode("latin-1"),
            headers=dict(scope["headers"]),
            body=body,
        )
        answer, fault = self._wechat.handle(request)
        if answer is None:
            await server.drop(scope, receive)
            return
        reply = self._reply(answer)
        if fault is not None:
            await server.suffer(fault, scope, receive, send, reply)
        else:
            await server.answer(send, *reply)

    def _reply(self, answer: Answer) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        headers = self._wechat.writer.headers(answer, self._clock.now())
        return answer.status, headers, answer.body
