"""The cash desk on loopback: orders, refunds, a payer who comes to the counter, and notifications."""

from __future__ import annotations

import time
from typing import Any, Self

import aiohttp
from aiohttp import web
from desk_kit import merchant, sealed

SHOP = "shop-1"


class Desk:
    """Its books are ``orders`` and ``backs``, by number, each as the desk tells them."""

    def __init__(self) -> None:
        self.url = ""
        self.orders: dict[str, dict[str, Any]] = {}
        self.backs: dict[str, dict[str, Any]] = {}
        self._notify: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/orders", self._order)
        app.router.add_get("/orders/{number}", self._tell)
        app.router.add_post("/orders/{number}/close", self._close)
        app.router.add_post("/refunds", self._refund)
        app.router.add_get("/refunds/{number}", self._tell)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def pay(self, number: str) -> int:
        """The payer pays; what our notification is answered with."""
        self.orders[number] |= {"state": "paid", "receipt": f"R-{number}", "paid_ms": time.time_ns() // 1_000_000}
        body = web.json_response(self.orders[number]).body
        assert isinstance(body, bytes)
        headers = sealed(merchant(SHOP), "notice", body, int(time.time()))
        async with aiohttp.request("POST", self._notify[number], data=body, headers=headers) as answer:
            return answer.status

    async def _order(self, request: web.Request) -> web.Response:
        body = await self._genuine(request)
        self._notify[body["number"]] = body["notify_url"]
        told = {name: body[name] for name in ("merchant", "number", "minor", "currency")}
        self.orders.setdefault(body["number"], {**told, "state": "open", "code": f"{len(self.orders):04}"})
        return self._said(self.orders[body["number"]])

    async def _close(self, request: web.Request) -> web.Response:
        await self._genuine(request)
        order = self.orders[request.match_info["number"]]
        if order["state"] == "open":
            order["state"] = "closed"
        return self._said(order)

    async def _refund(self, request: web.Request) -> web.Response:
        body = await self._genuine(request)
        told = {name: body[name] for name in ("merchant", "number", "order", "minor", "currency")}
        self.backs.setdefault(body["number"], {**told, "state": "done"})
        return self._said({**self.backs[body["number"]], "state": "taken"})

    async def _tell(self, request: web.Request) -> web.Response:
        await self._genuine(request)
        number = request.match_info["number"]
        refund = request.path.startswith("/refunds/")
        known = (self.backs if refund else self.orders).get(number)
        if known is None:
            return self._said({"error": "no_such_refund" if refund else "no_such_order", "number": number}, 404)
        return self._said(known)

    async def _genuine(self, request: web.Request) -> dict[str, Any]:
        raw = await request.read()
        should = sealed(merchant(SHOP), f"{request.method} {request.path}", raw, int(request.headers["desk-time"]))
        if request.headers["desk-signature"] != should["desk-signature"]:
            raise web.HTTPUnauthorized
        return dict(await request.json()) if raw else {}

    def _said(self, told: dict[str, Any], status: int = 200) -> web.Response:
        response = web.json_response(told, status=status)
        assert isinstance(response.body, bytes)
        response.headers.update(sealed(merchant(SHOP), str(status), response.body, int(time.time())))
        return response
