"""The application: all resources behind one door, which names each request, sends each reply, and turns whatever is
raised into a problem."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from typing import Final

import msgspec
from prometheus_client import Counter
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from oncepay.domain.errors import OncepayError
from oncepay.engine.core import Engine, log
from oncepay.http import cases, deliveries, endpoints, events, health, notify, openapi, payments, refunds
from oncepay.http.auth import Doorkeeper
from oncepay.http.bodies import WAIT_MAX_S
from oncepay.http.exchange import (
    REPLY,
    VERB,
    WHOLE,
    Answer,
    Ask,
    ClientGone,
    Context,
    Reply,
    Resource,
    Served,
    Verb,
    Whole,
)
from oncepay.http.page import CSP, render
from oncepay.http.problem import MEDIA, Internal, RouteAbsent, problem
from oncepay.http.reading import Nothing

# The busiest first: routes are tried in this order.
RESOURCES: Final = (
    *notify.RESOURCES,
    *payments.RESOURCES,
    *refunds.RESOURCES,
    *events.RESOURCES,
    *endpoints.RESOURCES,
    *deliveries.RESOURCES,
    *cases.RESOURCES,
    *health.RESOURCES,
)
REQUESTS: Final = Counter("oncepay_requests", "Requests answered.", ("method", "path", "status"))

_ALWAYS: Final = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


def make_app(engine: Engine, *, max_wait_s: float = WAIT_MAX_S) -> Starlette:
    """The ASGI application of an engine. ``max_wait_s``: how long a request may wait for news."""
    context = Context(engine=engine, doorkeeper=Doorkeeper(engine), max_wait_s=max_wait_s)
    resources = (*RESOURCES, *about())
    routes = [Route(resource.path, Served(resource, context)) for resource in resources]
    return Api(routes, Door(engine, engine.dice.token()[:6]))


class Api(Starlette):
    """Starlette's routes behind our own door: its two layers of exception handling would cost more than our verbs."""

    def __init__(self, routes: list[Route], door: Door) -> None:
        super().__init__(routes=routes)
        self.router.redirect_slashes = False
        self.router.default = _nothing_here
        self._door = door

    def build_middleware_stack(self) -> ASGIApp:
        """The door, then the routes."""
        self._door.inner = self.router
        return self._door


async def _nothing_here(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise RouteAbsent


class Door:
    """Names every request, sends every reply. ``prefix``: makes the names of this process its own."""

    inner: ASGIApp

    def __init__(self, engine: Engine, prefix: str) -> None:
        self._engine = engine
        self._prefix = prefix
        self._count = 0
        self._counters: dict[tuple[str, str, int], Callable[[], None]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.inner(scope, receive, send)
            return
        self._count += 1
        request_id = f"req_{self._prefix}_{self._count:x}"
        try:
            await self.inner(scope, receive, send)
            reply: Reply | None = scope.get(REPLY)
        except ClientGone:
            return
        except OncepayError as error:
            reply = self._refusal(scope, request_id, error)
        except Exception:  # noqa: BLE001 - whatever is raised, the caller gets an answer and we a line in the log
            log.exception("request.failed request=%s method=%s path=%s", request_id, scope["method"], scope["path"])
            reply = self._refusal(scope, request_id, Internal())
        if reply is not None:
            self._note(scope, reply.status)
            await _send(scope, send, reply, request_id)

    def _refusal(self, scope: Scope, request_id: str, error: OncepayError) -> Reply:
        verb: Verb | None = scope.get(VERB)
        status, body, headers = problem(
            error,
            request_id=request_id,
            money=verb is not None and verb.money,
            paths=verb.paths if verb is not None and verb.body is not None else None,
            now_ms=self._engine.clock.now_ms(),
        )
        if status >= 500 and not isinstance(error, Internal):
            log.warning("request.refused request=%s code=%s why=%s", request_id, error.code, error.detail)
        return Reply(status, body, MEDIA, headers)

    def _note(self, scope: Scope, status: int) -> None:
        route = scope.get("route")
        key = (scope["method"] if route else "", route.path if route else "", status)
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = REQUESTS.labels(key[0], key[1], str(status)).inc
        counter()


async def _send(scope: Scope, send: Send, reply: Reply, request_id: str) -> None:
    headers = [(b"oncepay-request-id", request_id.encode()), *_ALWAYS, *reply.headers]
    if reply.body:
        headers.append((b"content-type", reply.media))
    if reply.status not in {204, 304}:
        headers.append((b"content-length", b"%d" % len(reply.body)))
    body = b"" if scope["method"] == "HEAD" else reply.body
    whole: Whole | None = scope.get(WHOLE)
    if whole is None or not whole(reply.status, headers, body):
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@cache
def about() -> tuple[Resource, ...]:
    """The API's description of itself, itself included. It is the same in every application of a process, and takes
    half of the time in which one starts."""
    made: dict[str, bytes] = {}

    def serving(name: str, media: bytes, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Awaited:
        async def run(_ask: Ask[None, Nothing]) -> Reply:
            return Reply(200, made[name], media, headers)

        run.__name__, run.__doc__ = name, _DESCRIBED[name]
        return run

    resources = (
        Resource(
            "/openapi.json",
            "about",
            GET=Verb(
                run=serving("openapi", b"application/json"),
                auth="open",
                summary="This API, for programs",
                answers=(Answer(200, "OpenAPI 3.1.", dict),),
            ),
        ),
        Resource(
            "/docs",
            "about",
            GET=Verb(
                run=serving("docs", b"text/html; charset=utf-8", ((b"content-security-policy", CSP),)),
                auth="open",
                summary="This API, for people",
                answers=(Answer(200, "One page, without anything from elsewhere.", str, "text/html"),),
            ),
        ),
        Resource(
            "/",
            "about",
            GET=Verb(run=_to_docs, auth="open", summary="To the docs", answers=(Answer(303, "To /docs."),)),
        ),
    )
    document = openapi.document((*RESOURCES, *resources))
    made["openapi"] = msgspec.json.encode(document)
    made["docs"] = render(document)
    return resources


Awaited = Callable[[Ask[None, Nothing]], Awaitable[Reply]]

_DESCRIBED: Final = {
    "openapi": "This document.",
    "docs": "The same as a page to read.",
}


async def _to_docs(_ask: Ask[None, Nothing]) -> Reply:
    """Whoever opens the address in a browser wants to read."""
    return Reply(303, headers=((b"location", b"/docs"),))
