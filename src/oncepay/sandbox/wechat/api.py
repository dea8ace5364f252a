"""WeChat Pay's front door: route, check, act, answer; in the live host's order of checks."""

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qsl, unquote

import msgspec

from oncepay.sandbox.faults import AFTER, BEFORE, WIRE, Rule
from oncepay.sandbox.server import Reply, Request
from oncepay.sandbox.wechat import bills, certificates, orders, refunds
from oncepay.sandbox.wechat.desk import Desk
from oncepay.sandbox.wechat.keys import new_platform
from oncepay.sandbox.wechat.wire import (
    Answer,
    Refusal,
    Writer,
    authenticate,
    check_headers,
    encode,
)

PRODUCTS: Final = frozenset(("native", "jsapi", "h5", "app"))
GATEWAY_PAGE: Final = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
    b"<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n"
    b"</body>\r\n</html>\r\n"
)
# Published limits, requests a second and merchant; the others are not published.
LIMITS: Final = {"jsapi": 500, "refund": 150, "refund_query": 300, "certificates": 1000, "fund": 3}
_NUMBER: Final = re.compile(rb'"out_(?:trade|refund)_no"\s*:\s*"([^"]*)"')


class Route(msgspec.Struct):
    """Which call a request makes, with the part of the path that names something."""

    call: str
    act: Callable[["Api", Request, str], bytes | Answer]
    part: str = ""
    limit: str = ""


class Api:
    """Answers requests. Returns the answer and, when the connection is to suffer, the fault."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.writer = Writer(desk.ring, desk.dice)
        self._nonces: dict[str, float] = {}
        self._second = 0
        self._counts: dict[tuple[str, str], int] = {}

    def reply(self, request: Request) -> Reply:
        """One request, to the last byte of its answer."""
        answer, fault = self.handle(request)
        if fault is not None and fault.fault not in WIRE:
            fault = None  # it has shaped the answer already
        if answer is None:
            return Reply(200, [], b"", fault)
        headers = self.writer.headers(answer, self.desk.clock.now())
        return Reply(answer.status, headers, answer.body, fault)

    def handle(self, request: Request) -> tuple[Answer | None, Rule | None]:
        """One request. No answer at all (None) when the connection is simply dropped."""
        route = find(request)
        if isinstance(route, int):
            return Answer(route, content_type=b"text/plain", request_id=False), None
        desk = self.desk
        rule: Rule | None = None
        numbers: tuple[str, ...] = ()
        try:
            check_headers(request)
            request.mchid, nonce = authenticate(request, desk.ring, desk.clock.now())
            if desk.switches.nonce_replay_check:
                self._never_again(nonce)
            if desk.switches.limits:
                self._count(route, request.mchid)
            if desk.faults.rules:
                numbers = _numbers(route, request)
                rule = desk.faults.any(BEFORE, route.call, *numbers)
                if rule is not None and rule.fault == "drop_before":
                    return None, rule
                if rule is not None:
                    return self._broken(rule, request), rule
                if desk.faults.strike("cert_rotate", route.call, *numbers):
                    self.rotate()
            done = route.act(self, request, route.part)
            answer = done if isinstance(done, Answer) else Answer(200 if done else 204, done)
            if answer.status < 300 and not isinstance(done, Answer):
                answer.signer_id = self.signer(request)
        except Refusal as refusal:
            answer = self._refused(refusal, request)
        if desk.faults.rules:
            answer, rule = self._spoil(answer, route, request, numbers)
        return answer, rule

    def rotate(self) -> str:
        """A new platform certificate from now on; its serial."""
        platform = new_platform(self.desk.clock.now())
        self.desk.ring.rotate(platform)
        self.desk.keys_changed()
        return platform.serial_no

    def signer(self, request: Request) -> str:
        """Whose key signs the answer: what the request names, else the newest certificate."""
        ring = self.desk.ring
        asked = request.header(b"wechatpay-serial")
        if asked in ring.signers:
            return asked
        if not self.desk.switches.platform_certificates:
            return ring.file.public_key_id
        return ring.certificate_serial

    def _refused(self, refusal: Refusal, request: Request) -> Answer:
        signed = refusal.signed and (refusal.status < 500 or self.desk.switches.sign_5xx)
        return Answer(
            refusal.status,
            refusal.body,
            signer_id=self.signer(request) if signed else None,
            number=refusal.number,
            request_id=refusal.request_id,
        )

    def _broken(self, rule: Rule, request: Request) -> Answer:
        """The answer of a fault that stands in for the real one."""
        fault = rule.fault.removesuffix("_after")
        if fault == "http_502":
            return Answer(502, GATEWAY_PAGE, content_type=b"text/html", request_id=False)
        refusal = {
            "refused_401": Refusal(401, "SIGN_ERROR", "签名错误", signed=False),
            "refused_403": Refusal(403, "NO_AUTH", "商户号该产品权限未开通"),
            "system_error": Refusal(500, "SYSTEM_ERROR", "系统异常，请稍后重试"),
            "http_500": Refusal(500, "SYSTEM_ERROR", "系统异常，请稍后重试"),
            "http_503": Refusal(503, "SERVICE_UNAVAILABLE", "服务不可用，请稍后重试"),
            "http_429": Refusal(429, self.desk.switches.limited_code, "频率超限"),
        }[fault]
        return self._refused(refusal, request)

    def _spoil(
        self, answer: Answer, route: Route, request: Request, numbers: tuple[str, ...]
    ) -> tuple[Answer, Rule | None]:
        """Let the faults that strike on the way out change the answer."""
        faults = self.desk.faults
        rule = faults.any(AFTER, route.call, *numbers)
        if rule is not None and rule.fault not in WIRE:
            return self._broken(rule, request), rule
        if answer.signer_id is not None and answer.status < 300:
            if faults.strike("signtest_response", route.call, *numbers):
                answer.probe = True
            if faults.strike("stale_200", route.call, *numbers):
                answer.age_s = 600
            forged = faults.strike("forged_200", route.call, *numbers)
            if forged is not None and forged.how == "other":
                answer.forged = True
            elif forged is not None:
                answer.signer_id = None
        return answer, rule

    def _never_again(self, nonce: str) -> None:
        now = self.desk.clock.now()
        if now - self._nonces.get(nonce, 0.0) < 600:
            raise Refusal(401, "SIGN_ERROR", "nonce_str重复使用", signed=False)
        self._nonces[nonce] = now

    def _count(self, route: Route, mchid: str) -> None:
        second = int(self.desk.clock.now())
        if second != self._second:
            self._second = second
            self._counts.clear()
        key = (mchid, route.limit)
        self._counts[key] = self._counts.get(key, 0) + 1
        if self._counts[key] > LIMITS.get(route.limit, 1 << 30):
            raise Refusal(429, self.desk.switches.limited_code, "频率超限")


def _numbers(route: Route, request: Request) -> tuple[str, ...]:
    """Every number a request names, for faults that are aimed at one."""
    found = [match.decode("utf-8", "replace") for match in _NUMBER.findall(request.body)]
    return (route.part, *found) if route.part else tuple(found)


def find(request: Request) -> Route | int:
    """The route of a request, or the status (404, 405) that says there is none."""
    path, method = request.path, request.method
    if path in _FIXED:
        wanted, route = _FIXED[path]
        return route if method == wanted else 405
    for prefix, suffix, wanted, route in _NAMED:
        if path.startswith(prefix) and path.endswith(suffix):
            part = path[len(prefix) : len(path) - len(suffix)]
            if part and "/" not in part:
                if method != wanted:
                    return 405
                return Route(route.call, route.act, unquote(part), route.limit)
    return 404


def _args(request: Request) -> dict[str, str]:
    return dict(parse_qsl(request.query, keep_blank_values=True))


def _prepay(product: str) -> Route:
    def act(api: Api, request: Request, _: str) -> bytes:
        _json(request)
        return orders.prepay(api.desk, product, request.mchid, request.body)

    return Route("prepay", act, limit=product)


def _json(request: Request) -> None:
    """A body must say that it is JSON."""
    if not request.header(b"content-type").lower().startswith("application/json"):
        raise Refusal(400, "INVALID_REQUEST", "Http头Content-Type必须为application/json")


def _query(api: Api, request: Request, number: str) -> bytes:
    order = api.desk.books.order(request.mchid, number)
    return orders.query(api.desk, request.mchid, _args(request).get("mchid"), order)


def _query_id(api: Api, request: Request, transaction_id: str) -> bytes:
    order = api.desk.books.transaction(request.mchid, transaction_id)
    return orders.query(api.desk, request.mchid, _args(request).get("mchid"), order)


def _close(api: Api, request: Request, number: str) -> bytes:
    _json(request)
    orders.close(api.desk, request.mchid, number, request.body)
    return b""


def _refund(api: Api, request: Request, _: str) -> bytes:
    _json(request)
    return refunds.apply(api.desk, request.mchid, request.body)


def _refund_query(api: Api, request: Request, number: str) -> bytes:
    return refunds.query(api.desk, request.mchid, number)


def _abnormal(api: Api, request: Request, refund_id: str) -> bytes:
    _json(request)
    serial = request.header(b"wechatpay-serial")
    return refunds.apply_abnormal(api.desk, request.mchid, refund_id, request.body, serial)


def _certificates(api: Api, request: Request, _: str) -> bytes:
    return certificates.download(api.desk, request.mchid, _args(request))


def _trade_bill(api: Api, request: Request, _: str) -> bytes:
    return encode(bills.trade_bill(api.desk, request.mchid, _args(request)))


def _fund_bill(api: Api, request: Request, _: str) -> bytes:
    return encode(bills.fund_bill(api.desk, request.mchid, _args(request)))


def _bill_file(api: Api, request: Request, _: str) -> Answer:
    body, kind = bills.download(api.desk, request.mchid, _args(request))
    return Answer(200, body, content_type=kind)


_TRADES: Final = "/v3/pay/transactions/"
_REFUNDS: Final = "/v3/refund/domestic/refunds"
_FIXED: Final[dict[str, tuple[str, Route]]] = {
    **{_TRADES + product: ("POST", _prepay(product)) for product in sorted(PRODUCTS)},
    _REFUNDS: ("POST", Route("refund", _refund, limit="refund")),
    "/v3/certificates": ("GET", Route("certificates", _certificates, limit="certificates")),
    "/v3/bill/tradebill": ("GET", Route("bill", _trade_bill)),
    "/v3/bill/fundflowbill": ("GET", Route("bill", _fund_bill, limit="fund")),
    "/v3/billdownload/file": ("GET", Route("bill_download", _bill_file)),
}
_NAMED: Final[tuple[tuple[str, str, str, Route], ...]] = (
    (_TRADES + "out-trade-no/", "/close", "POST", Route("close", _close)),
    (_TRADES + "out-trade-no/", "", "GET", Route("query", _query)),
    (_TRADES + "id/", "", "GET", Route("query", _query_id)),
    (_REFUNDS + "/", "/apply-abnormal-refund", "POST", Route("abnormal_refund", _abnormal)),
    (_REFUNDS + "/", "", "GET", Route("refund_query", _refund_query, limit="refund_query")),
)
