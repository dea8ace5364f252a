"""Where the centre tells: every event is kept for the test to look at, and handed on to the app under test.

It stands around the centre's own application, below ``/testing/``, so that no further server is needed. A handler of
the app runs in the thread that waits for it: the test's own. So it sees the test's database transaction, and what it
raises is raised in the test.
"""

from __future__ import annotations

import asyncio
import inspect
import queue
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from oncepay.client import Event, EventRefused, verify

Handler = Callable[[dict[str, str], bytes], int | Awaitable[int]]

BELOW: Final = "/testing/"
TOLD: Final = "/testing/told"
FAILED: Final = 500  # what the centre is answered when a handler raises


class WrongThread(Exception):
    """A verb would wait for what it keeps from running itself."""


class Visit:
    """One delivery to a handler: made in one thread, waited for in another."""

    def __init__(
        self, handler: Handler, home: asyncio.AbstractEventLoop | None, message: tuple[dict[str, str], bytes]
    ) -> None:
        self._handler = handler
        self._home = home
        self._message = message
        self.status: Future[int] = Future()
        self.raised: BaseException | None = None

    def make(self) -> None:
        """Call the handler, here and now."""
        try:
            answered = self._handler(*self._message)
            status = _checked(self._awaited(answered) if inspect.isawaitable(answered) else answered)
        except BaseException as error:  # noqa: BLE001 - a test's failure is one; it is raised by the verb that waits
            self.raised = error
            status = FAILED
        self.status.set_result(status)

    def _awaited(self, status: Awaitable[int]) -> int:
        async def result() -> int:
            return await status

        if self._home is None or not self._home.is_running():
            return asyncio.run(result())
        if self._home is running():
            if inspect.iscoroutine(status):
                status.close()
            raise WrongThread(
                "the handler is a coroutine of this event loop, which this call blocks; "
                "write: await asyncio.to_thread(oncepay.pay, payment), and so with every verb"
            )
        return asyncio.run_coroutine_threadsafe(result(), self._home).result()


def running() -> asyncio.AbstractEventLoop | None:
    """The event loop that runs in this thread."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _checked(status: Any) -> int:
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise TypeError(f"a handler returns the status that the app answers, like 204, and not {status!r}")
    return status


class Receiver:
    """An ASGI application around the centre's. ``now``: seconds since 1970."""

    def __init__(self, app: ASGIApp, now: Callable[[], float]) -> None:
        self._app = app
        self._now = now
        self._handlers: dict[str, tuple[Handler, asyncio.AbstractEventLoop | None]] = {}
        self.visits: queue.SimpleQueue[Visit | Future[Any]] = queue.SimpleQueue()  # a future: a verb has ended
        self.secret = ""  # of its own endpoint
        self.events: list[Event] = []  # as they came, repetitions too

    def add(self, handler: Handler, home: asyncio.AbstractEventLoop | None) -> str:
        """The path at which this handler hears. ``home``: the loop that its coroutines are of."""
        path = f"{BELOW}app/{len(self._handlers) + 1}"
        self._handlers[path] = handler, home
        return path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI says."""
        if scope["type"] != "http" or not scope["path"].startswith(BELOW):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        status = await self._hear(request.url.path, dict(request.headers), await request.body())
        await Response(status_code=status)(scope, receive, send)

    async def _hear(self, path: str, headers: dict[str, str], body: bytes) -> int:
        if path == TOLD:
            try:
                self.events.append(verify(self.secret, headers, body, self._now()))
            except EventRefused:
                return 400
            return 204
        if path not in self._handlers:
            return 404
        handler, home = self._handlers[path]
        kept = {name: text for name, text in headers.items() if name.startswith("webhook-") or name == "content-type"}
        visit = Visit(handler, home, (kept, body))
        self.visits.put(visit)
        return await asyncio.wrap_future(visit.status)
