"""Alipay's front door: one path, the method in a parameter; read, believe, act, answer."""

import html
import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from oncepay.sandbox.alipay import refunds, shapes, trades, wire
from oncepay.sandbox.alipay.books import Method, Offer
from oncepay.sandbox.alipay.desk import Desk
from oncepay.sandbox.alipay.keys import Merchant
from oncepay.sandbox.alipay.wire import Answer, Call, Refusal, failed
from oncepay.sandbox.faults import AFTER, BEFORE, WIRE, Rule
from oncepay.sandbox.server import Reply, Request

PATH: Final = "/gateway.do"
STATUSES: Final = {"http_500": 500, "http_502": 502, "http_503": 503}
_NUMBER: Final = re.compile(r'"(?:out_trade_no|out_request_no|trade_no)"\s*:\s*"([^"]*)"')

Act = Callable[[Desk, Merchant, Call], dict[str, Any]]


class Operation(msgspec.Struct):
    """What a method does: for a server (``act``), or for a browser that opens a page (``page``)."""

    call: str
    act: Act | None = None
    page: Method | None = None


def _download(desk: Desk, _: Merchant, call: Call) -> dict[str, Any]:
    """``alipay.open.app.alipaycert.download``: a certificate by its serial, with the one that issued it."""
    serial = shapes.text(shapes.content(call), "alipay_cert_sn", 64, least=1)
    pem = desk.ring.certs.get(serial)
    if pem is None:
        raise Refusal("40002", "isv.invalid-alipay-cert-sn", "支付宝公钥证书SN不存在")
    return {"alipay_cert_content": wire.armoured(desk.ring.chained(pem))}


OPERATIONS: Final[dict[str, Operation]] = {
    "alipay.trade.page.pay": Operation("open", page="page"),
    "alipay.trade.wap.pay": Operation("open", page="wap"),
    "alipay.trade.app.pay": Operation("open", page="app"),
    "alipay.trade.precreate": Operation("prepay", trades.precreate),
    "alipay.trade.query": Operation("query", trades.query),
    "alipay.trade.close": Operation("close", trades.close),
    "alipay.trade.cancel": Operation("cancel", refunds.cancel),
    "alipay.trade.refund": Operation("refund", refunds.apply),
    "alipay.trade.fastpay.refund.query": Operation("refund_query", refunds.query),
    "alipay.open.app.alipaycert.download": Operation("certificates", _download),
}


def wanted(operation: Operation | None, call: Call) -> tuple[Act, str]:
    """What to do and what faults call it; refused when the gateway knows no such method."""
    if not call.get("method"):
        raise Refusal("40001", "isv.missing-method", "缺少method参数", signed=False)
    if operation is None or operation.act is None:
        raise Refusal("40002", "isv.invalid-method", signed=False)
    return operation.act, operation.call


class Api:
    """Answers requests to the gateway."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._dates = wire.Dates()

    def reply(self, request: Request) -> Reply:
        """One request, to the last byte of its answer."""
        if request.path != PATH or request.method not in ("GET", "POST"):
            return self._text(404 if request.path != PATH else 405, b"", b"text/plain")
        try:
            call = wire.read(request)
        except Refusal as refusal:
            return self._send(self._refused(refusal, "error_response", Call({}, "utf-8", "utf-8")))
        operation = OPERATIONS.get(call.get("method"))
        if operation is not None and operation.page is not None:
            return self._page(call)
        return self._call(operation, call)

    def open(self, call: Call) -> Offer:
        """A payer follows a signed page or app request, by whatever road. Raises Refusal."""
        operation = OPERATIONS.get(call.get("method"))
        desk = self.desk
        wire.authenticate(call, desk.ring, desk.switches, desk.now, page=True)
        if operation is None or operation.page is None:
            raise Refusal("40002", "isv.invalid-method", signed=False)
        return trades.open_page(desk, desk.ring.merchants[call.get("app_id")], operation.page, call)

    def renew(self) -> str:
        """Alipay's certificate issued anew; its serial."""
        serial = self.desk.ring.renew(self.desk.now)
        self.desk.ground.keys_changed()
        return serial

    # --- calls of servers ---------------------------------------------------------------------

    def _call(self, operation: Operation | None, call: Call) -> Reply:
        """A call that is answered with one signed JSON member."""
        desk, root = self.desk, "error_response"
        rule: Rule | None = None
        numbers: tuple[str, ...] = ()
        certified = False
        if operation is not None:
            root = f"{call.get('method').replace('.', '_')}_response"
        try:
            certified = wire.authenticate(call, desk.ring, desk.switches, desk.now, page=False)
            act, name = wanted(operation, call)
            if desk.ground.faults.rules:
                numbers = tuple(_NUMBER.findall(call.get("biz_content")))
                rule = desk.ground.faults.any(BEFORE, name, *numbers)
                if rule is not None:
                    return self._broken(rule, root, call, certified=certified)
                if desk.ground.faults.strike("cert_rotate", name, *numbers):
                    self.renew()
            content = act(desk, desk.ring.merchants[call.get("app_id")], call)
            answer = Answer(root, {"code": "10000", "msg": "Success", **content}, call.codec)
        except Refusal as refusal:
            answer = self._refused(refusal, root, call)
        if certified and answer.signed != "none":
            answer.cert_sn = desk.ring.alipay_cert_sn
        if operation is not None and desk.ground.faults.rules:
            return self._spoil(answer, operation.call, call, numbers)
        return self._send(answer)

    def _refused(self, refusal: Refusal, root: str, call: Call) -> Answer:
        content = {
            "code": refusal.code,
            "msg": wire.MESSAGES[refusal.code],
            "sub_code": refusal.sub_code,
            "sub_msg": refusal.text,
            **refusal.members,
        }
        return Answer(root, content, call.codec or "utf-8", "right" if refusal.signed else "none")

    def _broken(self, rule: Rule, root: str, call: Call, *, certified: bool) -> Reply:
        """The answer of a fault that stands in for the real one."""
        fault = rule.fault.removesuffix("_after")
        if fault in STATUSES:
            status = STATUSES[fault]
            return self._text(status, f"<html><body><h1>{status}</h1></body></html>\n".encode(), b"text/html")
        if fault == "drop_before":
            return Reply(200, [], b"", rule)
        refusal = {
            "refused_401": Refusal("40002", "isv.invalid-signature", signed=False),
            "refused_403": Refusal("40006", "isv.insufficient-isv-permissions", "ISV权限不足"),
            "system_error": failed("SYSTEM_ERROR"),
            "http_429": Refusal("40005", "isv.app-call-limited", "应用调用次数超限"),
        }[fault]
        if fault == "system_error" and rule.how == "gateway":
            refusal = Refusal("20000", "aop.unknow-error", "系统繁忙")
        answer = self._refused(refusal, root, call)
        if certified and answer.signed != "none":
            answer.cert_sn = self.desk.ring.alipay_cert_sn
        return self._send(answer)

    def _spoil(self, answer: Answer, name: str, call: Call, numbers: tuple[str, ...]) -> Reply:
        """Let the faults that strike on the way out change the answer."""
        faults = self.desk.ground.faults
        rule = faults.any(AFTER, name, *numbers)
        if rule is not None and rule.fault not in WIRE:
            return self._broken(rule, answer.root, call, certified=bool(answer.cert_sn))
        if answer.signed == "right" and answer.content["code"] == "10000":
            forged = faults.strike("forged_200", name, *numbers)
            if forged is not None:
                answer.signed = "stranger" if forged.how == "other" else "none"
            if faults.strike("signtest_response", name, *numbers):
                answer.signed = "corrupt"
        reply = self._send(answer)
        reply.fault = rule
        return reply

    def _send(self, answer: Answer) -> Reply:
        return self._text(200, answer.body(self.desk.ring), wire.HTML + answer.codec.encode())

    # --- pages of payers ----------------------------------------------------------------------

    def _page(self, call: Call) -> Reply:
        """A browser brings a signed request: it is led to the cashier, or told why not."""
        faults, rule = self.desk.ground.faults, None
        try:
            if faults.rules:
                rule = faults.any(BEFORE, "open", *_NUMBER.findall(call.get("biz_content")))
                if rule is not None:
                    return self._broken_page(rule)
            offer = self.open(call)
        except Refusal as refusal:
            return self._error_page(refusal)
        reply = self._text(302, b"", b"text/html")
        reply.headers.append((b"Location", f"{self.desk.base_url}/alipay/cashier/{offer.code}".encode()))
        if faults.rules:
            rule = faults.any(AFTER, "open", offer.number)
            if rule is not None and rule.fault not in WIRE:
                return self._broken_page(rule)
            reply.fault = rule
        return reply

    def _broken_page(self, rule: Rule) -> Reply:
        fault = rule.fault.removesuffix("_after")
        if fault in STATUSES or fault == "drop_before":
            return self._broken(rule, "", Call({}, "utf-8", "utf-8"), certified=False)
        words = {"refused_401": "isv.invalid-signature", "refused_403": "isv.insufficient-isv-permissions"}
        return self._error_page(Refusal("40002", words.get(fault, "ACQ.SYSTEM_ERROR")))

    def _error_page(self, refusal: Refusal) -> Reply:
        """What the payer sees of an error: a page in GBK, with HTTP status 200."""
        text = (
            '<!doctype html><html><head><meta charset="gbk"><title>支付宝</title></head><body>'
            f"<h1>{html.escape(refusal.text)}</h1><p>错误代码 <code>{html.escape(refusal.sub_code)}</code></p>"
            "</body></html>\n"
        )
        return self._text(200, text.encode("gbk", "replace"), wire.HTML + b"GBK")

    def _text(self, status: int, body: bytes, content_type: bytes) -> Reply:
        headers = [
            (b"Server", b"spanner"),
            (b"Date", self._dates.at(self.desk.now)),
            (b"Content-Type", content_type),
            (b"Content-Length", str(len(body)).encode()),
            (b"Connection", b"keep-alive"),
        ]
        return Reply(status, headers, body)
