"""One exchange over HTTP: what a verb is asked, what it replies, and how a table of verbs is declared and served.

The table is the truth: routing, who may call, strict reading, ``Allow``, and ``/openapi.json`` all come from it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Literal, NamedTuple, TypeVar

import msgspec
from starlette.types import Message, Receive, Scope, Send

from oncepay.domain.errors import OncepayError
from oncepay.engine.core import Engine
from oncepay.http.auth import NOBODY, Doorkeeper
from oncepay.http.problem import BodyTooLarge, MethodRefused
from oncepay.http.reading import Nothing, read_json, read_query, refuse_media
from oncepay.ports import App

BODY_MAX: Final = 256 * 1024  # bytes of a JSON body
REPLY: Final = "oncepay.reply"
VERB: Final = "oncepay.verb"
WHOLE: Final = "oncepay.whole"  # where our own server stands in the scope with a shorter way to answer: a Whole

JSON: Final = b"application/json"

B = TypeVar("B")
Q = TypeVar("Q")

Whole = Callable[[int, "list[tuple[bytes, bytes]]", bytes], bool]

encode: Final = msgspec.json.Encoder().encode


class ClientGone(Exception):
    """The client hung up before its request was whole: nobody is there to be answered."""


class Reply(NamedTuple):
    """An answer, whole. ``headers``: beyond those that every answer carries."""

    status: int
    body: bytes = b""
    media: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


REPLAYED: Final = ((b"oncepay-replayed", b"true"),)


def ok(answer: object, status: int = 200, *, replayed: bool = False) -> Reply:
    """A JSON answer; ``replayed`` says that the request had been made before."""
    return Reply(status, encode(answer), headers=REPLAYED if replayed else ())


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What all verbs share. ``max_wait_s``: how long a ``wait`` may take."""

    engine: Engine
    doorkeeper: Doorkeeper
    max_wait_s: float


class Ask(Generic[B, Q]):
    """A request, read and checked: who asks, what the path names, the query, the body."""

    __slots__ = ("app", "body", "context", "engine", "headers", "params", "query")

    def __init__(
        self,
        context: Context,
        app: App,
        *,
        params: Mapping[str, str],
        query: Q,
        body: B,
        headers: Mapping[bytes, bytes],
    ) -> None:
        self.context = context
        self.engine = context.engine
        self.app = app
        self.params = params
        self.query = query
        self.body = body
        self.headers = headers


class Answer(NamedTuple):
    """One way in which a verb answers, for ``/openapi.json``."""

    status: int
    what: str
    shape: Any = None  # a type, or None for no body
    media: str = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """What may be asked of a resource. ``auth`` has no default: every verb says who may call it."""

    run: Callable[[Ask[Any, Any]], Awaitable[Reply]]
    auth: Literal["key", "open"]
    summary: str
    answers: tuple[Answer, ...]
    body: type[msgspec.Struct] | None = None  # a type whose fields all have defaults may be left out whole
    raw_max: int = 0  # the body is taken as it is, up to so many bytes
    query: type[msgspec.Struct] | None = Nothing  # None: whatever stands there is not read
    errors: tuple[type[OncepayError], ...] = ()
    money: bool = False  # its problems say what became of the money: ``outcome``
    paths: Mapping[str, str] = field(default_factory=dict)  # where the core's fields stand in the body
    decoder: msgspec.json.Decoder[Any] = field(init=False)
    body_optional: bool = field(init=False)

    def __post_init__(self) -> None:
        optional = self.body is not None and not any(f.required for f in msgspec.structs.fields(self.body))
        object.__setattr__(self, "decoder", msgspec.json.Decoder(self.body or Any))
        object.__setattr__(self, "body_optional", optional)


class Resource:
    """A path and its verbs by method. GET answers HEAD too."""

    def __init__(self, path: str, tag: str, **verbs: Verb) -> None:
        self.path = path
        self.tag = tag
        self.verbs = verbs
        self.allow = ", ".join(sorted({*verbs, "HEAD"} if "GET" in verbs else verbs))


class Served:
    """A resource as an ASGI application. It leaves its reply in the scope; the door sends it."""

    def __init__(self, resource: Resource, context: Context) -> None:
        self._resource = resource
        self._context = context
        self._verbs = dict(resource.verbs)
        if "GET" in self._verbs:
            self._verbs["HEAD"] = self._verbs["GET"]

    async def __call__(self, scope: Scope, receive: Receive, _send: Send) -> None:
        verb = self._verbs.get(scope["method"])
        if verb is None:
            raise MethodRefused(allow=self._resource.allow)
        scope[VERB] = verb
        headers = dict(scope["headers"])
        app = NOBODY if verb.auth == "open" else self._context.doorkeeper.admit(headers)
        query = read_query(verb.query, scope["query_string"]) if verb.query is not None else Nothing()
        body: Any = None
        if verb.body is not None:
            raw = await read_body(receive, headers, BODY_MAX)
            if raw or not verb.body_optional:
                refuse_media(headers)
                body = read_json(verb.decoder, raw)
            else:
                body = verb.body()
        elif verb.raw_max:
            body = await read_body(receive, headers, verb.raw_max)
        ask: Ask[Any, Any] = Ask(
            self._context, app, params=scope["path_params"], query=query, body=body, headers=headers
        )
        scope[REPLY] = await verb.run(ask)


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], most: int) -> bytes:
    """The whole body. Raises BodyTooLarge as soon as it is known to be, ClientGone."""
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > most:
        raise BodyTooLarge(f"the body has {int(declared)} bytes, at most {most} are read", max_bytes=most)
    chunks: list[bytes] = []
    size = 0
    while True:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > most:
            raise BodyTooLarge(f"the body has more than {most} bytes", max_bytes=most)
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks) if len(chunks) > 1 else chunk
