"""UnionPay's front door: read the form, believe the signature, act, answer raw; a browser gets a page."""

import html
from email.utils import formatdate
from typing import Final

from oncepay.sandbox import faults
from oncepay.sandbox.faults import Rule
from oncepay.sandbox.server import Reply, Request
from oncepay.sandbox.unionpay import files, orders, reversals, shapes
from oncepay.sandbox.unionpay.books import Order
from oncepay.sandbox.unionpay.desk import Desk
from oncepay.sandbox.unionpay.notify import CERTIFICATES
from oncepay.sandbox.unionpay.wire import Fields, Refusal, echo, outcome, raw, read_form

API: Final = "/gateway/api/"
FILE: Final = "/filedownload/"
FRONT: Final = "frontTransReq.do"
HTML: Final = b"text/html;charset=UTF-8"  # of answers too; the vendor's documents do not say
# (path, txnType, txnSubType) -> what it asks for
OPERATIONS: Final = {
    (FRONT, "01", "01"): "front",
    ("appTransReq.do", "01", "01"): "app",
    ("backTransReq.do", "01", "07"): "qr",
    ("backTransReq.do", "04", "00"): "refund",
    ("backTransReq.do", "31", "00"): "void",
    ("backTransReq.do", "00", "00"): "query",
    ("queryTrans.do", "00", "00"): "query",
    ("", "76", "01"): "file",
}
PATHS: Final = {FILE if not path else API + path: path for path, _, _ in OPERATIONS}
# What faults call it. A query of a refund or void is a "refund_query".
CALLS: Final = {
    "front": "open", "app": "prepay", "qr": "prepay", "query": "query", "refund": "refund", "void": "cancel",
    "file": "bill",
}  # fmt: skip
UNCLEAR: Final = ("answer_03", "answer_04", "answer_05")
BEFORE: Final = (*faults.BEFORE, *UNCLEAR)
AFTER: Final = (*(f"{fault}_after" for fault in UNCLEAR), *faults.AFTER)
# The respCode of a fault that UnionPay says in its own words.
SAID: Final = {
    "refused_401": "11", "refused_403": "32", "system_error": "06", "http_429": "37",
    "answer_03": "03", "answer_04": "04", "answer_05": "05",
}  # fmt: skip
PAGES: Final = {
    "http_500": (500, "Internal Server Error"),
    "http_502": (502, "Bad Gateway"),
    "http_503": (503, "Service Temporarily Unavailable"),
}


class Api:
    """Answers requests."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def reply(self, request: Request) -> Reply:
        """One request, to the last byte of its answer."""
        path = PATHS.get(request.path)
        if path is None or request.method != "POST":
            return self._reply(404 if path is None else 405, b"text/plain", b"")
        rules = self.desk.faults
        fields: Fields = {}
        call, numbers = "", tuple[str, ...]()
        try:
            fields = read_form(request.body)
            operation = self.admit(path, fields)
            call, numbers = self._aimed(operation, fields)
            rule = rules.any(BEFORE, call, *numbers)
            if rule is not None:
                return self._broken(path, rule, fields)
            if rules.strike("cert_rotate", call, *numbers):
                self.rotate()
            done = self.act(operation, fields)
        except Refusal as refusal:
            done = {**echo(fields, *reversals.OWN), **refusal.fields}
        rule = rules.any(AFTER, call, *numbers)
        if rule is not None and rule.fault not in faults.WIRE:
            return self._broken(path, rule, fields)
        reply = self._answer(path, done, call, numbers)
        reply.fault = rule
        return reply

    def admit(self, path: str, fields: Fields) -> str:
        """Whose request it is, and what it asks for. Refused as 10, 11, 13 or 43."""
        shapes.check_envelope(fields)
        if not self.desk.ring.believes(fields):
            raise Refusal("11")
        operation = OPERATIONS.get((path, fields.get("txnType", ""), fields.get("txnSubType", "")))
        if operation is None:
            raise Refusal("43" if "txnType" in fields and "txnSubType" in fields else "13", "txnType")
        return operation

    def act(self, operation: str, fields: Fields) -> Fields | Order:
        """Carry out one request; the answer's fields, or the payment whose page the browser is to see."""
        shapes.check(fields, operation)
        desk = self.desk
        if operation == "front":
            return orders.open_(desk, "front", fields)
        if operation in {"app", "qr"}:
            return orders.credential(orders.open_(desk, operation, fields), fields)
        if operation == "query":
            return self._query(fields)
        if operation == "file":
            return files.download(desk, fields)
        return reversals.apply(desk, operation, fields)

    def rotate(self) -> None:
        """A new signing certificate from now on."""
        self.desk.ring.rotate()
        self.desk.keys_changed()

    def _query(self, fields: Fields) -> Fields:
        books, now = self.desk.books, self.desk.clock.now()
        identity = fields["merId"], fields["orderId"], fields["txnTime"]
        order, taken_back = books.order(*identity), books.reversal(*identity)
        known = taken_back[1] if taken_back is not None else order
        if known is None:
            raise Refusal("34")
        if now < known.asked + self.desk.switches.unionpay.query_gap_s:
            raise Refusal("37")
        known.asked = now
        if isinstance(known, Order):
            return orders.query(self.desk, known, fields)
        return reversals.query(known, fields)

    def _aimed(self, operation: str, fields: Fields) -> tuple[str, tuple[str, ...]]:
        """What faults call a request, and the numbers that they may be aimed at: its own, and the payment's."""
        books, mer_id, number = self.desk.books, fields["merId"], fields.get("orderId", "")
        if operation == "query" and books.is_reversal(mer_id, number):
            return "refund_query", (number,)
        paid = books.transaction(mer_id, fields.get("origQryId", ""))
        return CALLS[operation], (number,) if paid is None else (number, paid.number)

    def _broken(self, path: str, rule: Rule, fields: Fields) -> Reply:
        """The answer of a fault that stands in for the real one."""
        fault = rule.fault.removesuffix("_after")
        if fault == "drop_before":
            return Reply(200, [], b"", rule)
        if fault in PAGES:
            status, title = PAGES[fault]
            page = f"<html>\r\n<head><title>{status} {title}</title></head>\r\n<body></body>\r\n</html>\r\n"
            return self._reply(status, b"text/html", page.encode())
        said = {**echo(fields, *reversals.OWN), **outcome(SAID[fault])}
        return self._page(said) if path == FRONT else self._raw(self.desk.ring.sign(said))

    def _answer(self, path: str, done: Fields | Order, call: str, numbers: tuple[str, ...]) -> Reply:
        """What was done, as it goes out: for a browser a page, else the raw text, signed unless a fault says how."""
        if isinstance(done, Order):
            reply = self._reply(302, HTML, b"")
            reply.headers.append((b"Location", f"{self.desk.base_url}/unionpay/cashier/{done.code}".encode()))
            return reply
        if path == FRONT:
            return self._page(done)
        rules, signer = self.desk.faults, "unionpay"
        if not rules.rules:
            return self._raw(self.desk.ring.sign(done))
        for fault, named in CERTIFICATES.items():
            if rules.strike(fault, call, *numbers):
                signer = named
        forged = rules.strike("forged_200", call, *numbers)
        if forged is not None and forged.how != "other":
            return self._raw(done)
        line_feeds = rules.strike("cert_lf", call, *numbers) is not None
        return self._raw(self.desk.ring.sign(done, signer if forged is None else "foreign", line_feeds=line_feeds))

    def _page(self, done: Fields) -> Reply:
        """What a browser sees when its form opens nothing."""
        text = html.escape(done["respMsg"])
        page = f"<!doctype html>\n<meta charset=utf-8>\n<title>UnionPay</title>\n<p>{text}</p>\n"
        return self._reply(200, HTML, page.encode())

    def _raw(self, fields: Fields) -> Reply:
        return self._reply(200, HTML, raw(fields))

    def _reply(self, status: int, content_type: bytes, body: bytes) -> Reply:
        headers = [
            (b"Server", b"nginx"),
            (b"Date", formatdate(self.desk.clock.now(), usegmt=True).encode()),
            (b"Content-Type", content_type),
            (b"Content-Length", str(len(body)).encode()),
            (b"Connection", b"keep-alive"),
        ]
        return Reply(status, headers, body)
