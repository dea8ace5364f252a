"""A client of the API for tests: it speaks ASGI to the application in this very loop, or HTTP to a server."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

from oncepay.engine import admin
from oncepay.engine.core import Engine
from oncepay.http import answers, openapi
from oncepay.http.app import RESOURCES, about
from oncepay.http.problem import Problem
from oncepay.ports import App
from tests.sandbox.vectors import vector_keys
from tests.spec.centre import Town, open_town

TEA = {"order_no": "A-1", "amount": {"minor": 8800, "currency": "CNY"}, "subject": "Tea"}
NATIVE = {"channel": "wechat", "method": "native"}


@dataclass(frozen=True)
class Said:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def check_declared(method: str, path: str, said: Said) -> None:
    """Every answer is one that ``/openapi.json`` declares, field by field."""
    verb = verb_of(method, path)
    if verb is None:
        assert said.status in {404, 405}
        if method != "HEAD":
            msgspec.json.decode(said.body, type=Problem)
        return
    operation = DOCUMENT["paths"][verb]["head" if method == "HEAD" else method.lower()]
    declared = operation["responses"].get(str(said.status))
    assert declared is not None, f"{method} {path} answers {said.status}: {said.body!r}"
    media = said.headers.get("content-type", "").partition(";")[0]
    assert media in declared["content"] or "*/*" in declared["content"] or (not media and not said.body)
    if method == "HEAD":
        assert said.body == b""
    elif media == "application/problem+json":
        assert msgspec.json.decode(said.body, type=Problem).code in declared["description"]
    elif media == "application/json" and said.body and "$ref" in declared["content"].get(media, {}).get("schema", {}):
        name = declared["content"][media]["schema"]["$ref"].rpartition("/")[2]
        told = said.json
        rebuilt = msgspec.to_builtins(msgspec.json.decode(said.body, type=getattr(answers, name)))
        if name == "Timeline":  # its entries have members of their own
            told["timeline"] = rebuilt["timeline"]
        assert told == rebuilt


def verb_of(method: str, path: str) -> str | None:
    """The path template that serves this, if any."""
    for template, operations in DOCUMENT["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            return template if ("get" if method == "HEAD" else method.lower()) in operations else None
    return None


def _with_head(document: dict[str, Any]) -> dict[str, Any]:
    for operations in document["paths"].values():
        if "get" in operations:
            operations["head"] = operations["get"]
    return document


DOCUMENT = _with_head(openapi.document((*RESOURCES, *about())))


class Caller:
    """Calls with the key of one app, or without one."""

    def __init__(self, asgi: Any, key: str | None) -> None:
        self._asgi = asgi
        self.key = key

    async def call(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        raw: bytes | None = None,
        headers: dict[str, str] | None = None,
        chunks: int = 1,
    ) -> Said:
        """``body``: sent as JSON; ``raw``: as it is; ``headers``: more of them, or other values ("" leaves it out)."""
        content = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        sent = {"host": "test"}
        if self.key is not None:
            sent["authorization"] = f"Bearer {self.key}"
        if content:
            sent["content-type"] = "application/json"
        sent |= headers or {}
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in sent.items() if value],
            "server": ("test", 80),
            "client": ("test", 1),
        }
        step = -(-len(content) // chunks) or 1
        parts = [content[at : at + step] for at in range(0, len(content), step)] or [b""]
        said: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if not parts:
                return {"type": "http.disconnect"}
            part = parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(parts)}

        async def send(message: dict[str, Any]) -> None:
            said.append(message)

        await self._asgi(scope, receive, send)
        assert [message["type"] for message in said] == ["http.response.start", "http.response.body"]
        answered = {name.decode(): value.decode("latin-1") for name, value in said[0]["headers"]}
        assert len(answered) == len(said[0]["headers"]), "a header twice"
        assert answered["oncepay-request-id"].startswith("req_")
        answer = Said(said[0]["status"], answered, said[1]["body"])
        check_declared(method, path, answer)
        return answer

    async def get(self, target: str) -> Said:
        return await self.call("GET", target)

    async def post(self, target: str, body: Any = None) -> Said:
        return await self.call("POST", target, body)


class Api:
    """A town whose centre is called in two names."""

    def __init__(self, town: Town, other: App, other_key: str) -> None:
        self.town = town
        self.engine: Engine = town.engine
        asgi = town.centre.app
        self.shop = Caller(asgi, town.key)
        self.other = Caller(asgi, other_key)
        self.nobody = Caller(asgi, None)
        self.other_app = other

    async def paid(self, order_no: str = "A-1") -> Any:
        """A payment that is paid, as the API shows it."""
        said = await self.shop.post("/v1/payments", {**TEA, "order_no": order_no, "attempt": NATIVE})
        assert said.status == 201, said.body
        self.town.sandbox.pay(said.json["attempt"]["id"].removeprefix("att_"))
        await self.town.quiet()
        return (await self.shop.get(f"/v1/payments/{said.json['id']}")).json


@asynccontextmanager
async def open_api() -> AsyncIterator[Api]:
    """The real thing on SQLite in memory, with a sandbox, a shop, and a second app."""
    async with open_town("sqlite://:memory:", vector_keys()) as town:
        other, key = await admin.create_app(town.engine, "other", "Another app")
        yield Api(town, other, key)
