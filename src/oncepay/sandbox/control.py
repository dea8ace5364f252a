"""``/sandbox/...``: how scripts drive the sandbox. Unsigned: it is a simulator on loopback.

GET  /sandbox/books?number=&since=      every order and money movement
POST /sandbox/pay {"number": ...}       the payer pays; also code_url, h5_url, prepay_id
GET  /sandbox/clock, POST {"advance_s"} the sandbox's own time
GET PUT POST DELETE /sandbox/faults     see oncepay.sandbox.faults; POST adds, PUT replaces
GET PUT /sandbox/switches               see oncepay.sandbox.switches
GET  /sandbox/notifications?number=     what was told, and how it was taken
POST /sandbox/notify {"number": ...}    one more delivery now: {"forged": true}, {"amount": 1}
POST /sandbox/rotate                    a new platform certificate
POST /sandbox/merchants                 one more merchant; answers its keys
"""

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from oncepay.sandbox import server
from oncepay.sandbox.clock import rfc3339
from oncepay.sandbox.faults import MENU, FaultInvalid
from oncepay.sandbox.switches import Switches
from oncepay.sandbox.wechat import orders

if TYPE_CHECKING:
    from oncepay.sandbox.main import Sandbox


PAY_KEYS: Final = ("number", "code_url", "h5_url", "prepay_id")


class Refused(Exception):
    """A control request that makes no sense, or cannot be done now."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.code = code


class Control:
    """The handlers, bound to one sandbox."""

    def __init__(self, sandbox: "Sandbox") -> None:
        self._sandbox = sandbox
        self._desk = sandbox.wechat.desk

    def routes(self) -> list[Route]:
        return [
            Route("/sandbox/books", self.books, methods=["GET"]),
            Route("/sandbox/clock", self.clock, methods=["GET", "POST"]),
            Route("/sandbox/faults", self.faults, methods=["GET", "PUT", "POST", "DELETE"]),
            Route("/sandbox/switches", self.switches, methods=["GET", "PUT"]),
            Route("/sandbox/notifications", self.notifications, methods=["GET"]),
            Route("/sandbox/notify", self.notify, methods=["POST"]),
            Route("/sandbox/rotate", self.rotate, methods=["POST"]),
            Route("/sandbox/merchants", self.merchants, methods=["POST"]),
        ]

    async def books(self, request: Request) -> Response:
        since = request.query_params.get("since")
        number = request.query_params.get("number")
        rows = self._desk.books.rows(number, None if since is None else moment(since))
        return reply({"now": rfc3339(self._desk.clock.now()), "orders": list(rows)})

    def pay(self, request: server.Request) -> server.Reply:
        """``POST /sandbox/pay``, on the fast road."""
        try:
            status, told = 200, self._pay(request)
        except Refused as error:
            status, told = error.status, {"error": error.code, "message": str(error)}
        body = msgspec.json.encode(told)
        length = str(len(body)).encode()
        return server.Reply(status, [(b"Content-Type", b"application/json"), (b"Content-Length", length)], body)

    def _pay(self, request: server.Request) -> dict[str, Any]:
        if request.method != "POST":
            raise Refused(405, "method_invalid", "POST it")
        wanted = object_in(request.body)
        key = next((wanted[k] for k in PAY_KEYS if k in wanted), None)
        if not isinstance(key, str):
            raise Refused(400, "number_missing", f"say which order by one of {', '.join(PAY_KEYS)}")
        return self._sandbox.pay(key, wanted.get("openid"))

    async def clock(self, request: Request) -> Response:
        fired = 0
        if request.method == "POST":
            seconds = (await body_of(request)).get("advance_s")
            if not isinstance(seconds, int | float) or isinstance(seconds, bool) or seconds < 0:
                raise Refused(400, "advance_invalid", '{"advance_s": seconds}, zero or more')
            fired = self._sandbox.advance(seconds)
        clock = self._desk.clock
        now = clock.now()
        return reply(
            {"now": rfc3339(now), "now_s": now, "offset_s": clock.offset_s, "fired": fired, "waiting": clock.waiting}
        )

    async def faults(self, request: Request) -> Response:
        faults = self._desk.faults
        try:
            if request.method == "PUT":
                faults.replace(await body_of(request))
            elif request.method == "POST":
                faults.add(await body_of(request))
            elif request.method == "DELETE":
                faults.clear()
        except FaultInvalid as error:
            raise Refused(400, "fault_invalid", str(error)) from None
        menu = {name: f"{where}: {text}" for name, (where, text) in MENU.items()}
        return reply({**faults.shown(), "menu": menu})

    async def switches(self, request: Request) -> Response:
        switches = self._desk.switches
        if request.method == "PUT":
            try:
                changed = msgspec.convert({**msgspec.to_builtins(switches), **await body_of(request)}, Switches)
            except msgspec.ValidationError as error:
                raise Refused(400, "switch_invalid", str(error)) from None
            for name in Switches.__struct_fields__:
                setattr(switches, name, getattr(changed, name))
        return reply(switches)

    async def notifications(self, request: Request) -> Response:
        number = request.query_params.get("number")
        recent = self._desk.notifier.recent
        return reply({"notifications": [notice for notice in recent if number in (None, notice.number)]})

    async def notify(self, request: Request) -> Response:
        """Deliver a payment notification now, whatever the order's state: true, forged or wrong."""
        wanted = await body_of(request)
        order = self._desk.books.find(str(wanted.get("number", "")))
        if order is None:
            raise Refused(404, "order_absent", "no such order")
        told = orders.claimed(self._desk, order, wanted.get("amount", order.total))
        notifier = self._desk.notifier
        notice = notifier.compose(order, "TRANSACTION.SUCCESS", order.notify_url, "transaction", told)
        body = notice.body.encode()
        headers = notifier.headers(notice, body, forged=wanted.get("forged") is True)
        return reply({"id": notice.id, "status": await notifier.post(notice.url, headers, body)})

    async def rotate(self, _: Request) -> Response:
        return reply({"platform_serial_no": self._sandbox.wechat.rotate()})

    async def merchants(self, request: Request) -> Response:
        wanted = await body_of(request) if await request.body() else {}
        return reply(self._sandbox.add_merchant(wanted.get("mchid")))


async def body_of(request: Request) -> dict[str, Any]:
    """The JSON object a control request carries."""
    return object_in(await request.body())


def object_in(body: bytes) -> dict[str, Any]:
    """The JSON object in a body."""
    try:
        wanted = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise Refused(400, "json_invalid", f"the body is not JSON: {error}") from None
    if not isinstance(wanted, dict):
        raise Refused(400, "json_invalid", "the body must be a JSON object")
    return wanted


def moment(text: str) -> float:
    """Epoch seconds, or an RFC 3339 time, as epoch seconds."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise Refused(400, "since_invalid", "since is epoch seconds or an RFC 3339 time") from None


def reply(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


async def refused(_: Request, error: Exception) -> Response:
    """Refused, as JSON that names the reason."""
    assert isinstance(error, Refused)
    return reply({"error": error.code, "message": str(error)}, error.status)
