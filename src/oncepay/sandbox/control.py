"""``/sandbox/...``: how scripts drive the sandbox. Unsigned: it is a simulator on loopback.

GET  /sandbox/books?number=&since=      every order and money movement, of all vendors
POST /sandbox/pay {"number": ...}       the payer pays; also code_url, and what else a vendor hands out
POST /sandbox/refund {"number", "minor"}  a refund made in the vendor's own console, without the merchant's program
POST /sandbox/elsewhere {"number"}      a person at the vendor's console sends a refund whose card is gone to another
GET  /sandbox/clock, POST {"advance_s"} the sandbox's own time
GET PUT POST DELETE /sandbox/faults     see oncepay.sandbox.faults; POST adds, PUT replaces
GET PUT /sandbox/switches               see oncepay.sandbox.switches
GET  /sandbox/notifications?number=     what was told, and how it was taken
POST /sandbox/notify {"number": ...}    one more delivery now: {"forged": true}, {"amount": 1}
POST /sandbox/rotate                    a new certificate of the vendor
POST /sandbox/merchants                 one more merchant; answers its keys

Where a number could be meant at two vendors, or none is named, ``"channel"`` says which; the last two mean WeChat Pay
when it is missing.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from oncepay.sandbox import server
from oncepay.sandbox.clock import rfc3339
from oncepay.sandbox.faults import MENU, FaultInvalid
from oncepay.sandbox.switches import Switches
from oncepay.sandbox.vendor import Refused

if TYPE_CHECKING:
    from oncepay.sandbox.main import Sandbox


class Control:
    """The handlers, bound to one sandbox."""

    def __init__(self, sandbox: "Sandbox") -> None:
        self._sandbox = sandbox

    def routes(self) -> list[Route]:
        return [
            Route("/sandbox/books", self.books, methods=["GET"]),
            Route("/sandbox/refund", self.refund, methods=["POST"]),
            Route("/sandbox/elsewhere", self.elsewhere, methods=["POST"]),
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
        rows = self._sandbox.books(number, None if since is None else moment(since))
        return reply({"now": rfc3339(self._sandbox.clock.now()), "orders": rows})

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
        return self._sandbox.pay_for(object_in(request.body))

    async def refund(self, request: Request) -> Response:
        wanted = await body_of(request)
        number, fen = wanted.get("number"), wanted.get("minor")
        if not isinstance(number, str) or not isinstance(fen, int) or isinstance(fen, bool):
            raise Refused(400, "refund_invalid", '{"number": ..., "minor": fen}')
        return reply(self._sandbox.refund(number, fen, wanted.get("channel")))

    async def elsewhere(self, request: Request) -> Response:
        wanted = await body_of(request)
        number = wanted.get("number")
        if not isinstance(number, str):
            raise Refused(400, "refund_invalid", '{"number": of a refund}')
        return reply(self._sandbox.send_elsewhere(number, wanted.get("channel")))

    async def clock(self, request: Request) -> Response:
        fired = 0
        if request.method == "POST":
            seconds = (await body_of(request)).get("advance_s")
            if not isinstance(seconds, int | float) or isinstance(seconds, bool) or seconds < 0:
                raise Refused(400, "advance_invalid", '{"advance_s": seconds}, zero or more')
            fired = self._sandbox.advance(seconds)
        clock = self._sandbox.clock
        now = clock.now()
        return reply(
            {"now": rfc3339(now), "now_s": now, "offset_s": clock.offset_s, "fired": fired, "waiting": clock.waiting}
        )

    async def faults(self, request: Request) -> Response:
        faults = self._sandbox.faults
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
        switches = self._sandbox.switches
        if request.method == "PUT":
            try:
                changed = msgspec.convert(merged(msgspec.to_builtins(switches), await body_of(request)), Switches)
            except msgspec.ValidationError as error:
                raise Refused(400, "switch_invalid", str(error)) from None
            for name in Switches.__struct_fields__:
                setattr(switches, name, getattr(changed, name))
        return reply(switches)

    async def notifications(self, request: Request) -> Response:
        number = request.query_params.get("number")
        told = [
            {"channel": vendor.name, **msgspec.structs.asdict(notice)}
            for vendor in self._sandbox.vendors.values()
            for notice in vendor.notices()
            if number in (None, notice.number)
        ]
        return reply({"notifications": told})

    async def notify(self, request: Request) -> Response:
        """Deliver a payment notification now, whatever the order's state: true, forged or wrong."""
        wanted = await body_of(request)
        for vendor in self._sandbox.asked(wanted.get("channel")):
            told = await vendor.notify(wanted)
            if told is not None:
                return reply(told)
        raise Refused(404, "order_absent", "no such order")

    async def rotate(self, request: Request) -> Response:
        wanted = await body_of(request) if await request.body() else {}
        [vendor] = self._sandbox.asked(wanted.get("channel", "wechat"))
        return reply(vendor.renew())

    async def merchants(self, request: Request) -> Response:
        wanted = await body_of(request) if await request.body() else {}
        [vendor] = self._sandbox.asked(wanted.get("channel", "wechat"))
        return reply(vendor.add_merchant(wanted.get("merchant", wanted.get("mchid"))))


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


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """``old`` with what ``new`` says instead, objects member by member."""
    both = {
        k: merged(old[k], new[k])
        for k in old.keys() & new.keys()
        if isinstance(old[k], dict) and isinstance(new[k], dict)
    }
    return {**old, **new, **both}


def moment(text: str) -> float:
    """Epoch seconds, or an RFC 3339 time, as epoch seconds."""
    try:
        return float(text)
    except ValueError:
        pass  # a time in words, or refused below
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
