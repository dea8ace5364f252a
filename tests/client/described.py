"""Every call that the client can describe, once with everything that may be said with it."""

from __future__ import annotations

from typing import Any, Final

from oncepay.client import Attempt, cases, deliveries, endpoints, events, payments, refunds
from oncepay.client.calls import Call

PAYMENT: Final = "pay_6EKQ91GVF3MJ3CPRTY1ZQMV3GM"
CASE: Final = "case_6EKQ91GVF3MJ3CPRTY1ZQMV3GM"
ATTEMPT: Final = Attempt(
    channel="wechat",
    method="jsapi",
    account="wx",
    payer={"openid": "oTEST"},
    options={"attach": "x"},
    expires_ms=1_795_000_000_000,
)

CALLS: Final[dict[str, Call[Any]]] = {
    "payments.create": payments.create(
        order_no="A-1",
        minor=8800,
        currency="CNY",
        subject="Tea",
        deadline_ms=1_795_000_000_000,
        return_url="https://shop.example/thanks",
        attempt=ATTEMPT,
    ),
    "payments.start_attempt": payments.start_attempt(PAYMENT, ATTEMPT),
    "payments.get": payments.get(PAYMENT),
    "payments.fresh": payments.fresh(PAYMENT),
    "payments.wait": payments.wait(PAYMENT, version=3, wait_s=20),
    "payments.list": payments.listed(
        status="paid", order_no="A-1", trade_no="42", since_ms=1, until_ms=2, after="x", limit=3
    ),
    "payments.of_order": payments.of_order("A-1"),
    "payments.of_trade": payments.of_trade("42"),
    "payments.close": payments.close(PAYMENT, if_paid="refund"),
    "payments.reopen": payments.reopen(PAYMENT, deadline_ms=1_795_000_000_000),
    "payments.amend": payments.amend(PAYMENT, minor=1, deadline_ms=1_795_000_000_000),
    "payments.timeline": payments.timeline(PAYMENT),
    "payments.events": payments.events(PAYMENT),
    "refunds.create": refunds.create(PAYMENT, refund_no="R-1", minor=1, note="cold"),
    "refunds.get": refunds.get("ref_6EKQ91GVF3MJ3CPRTY1ZQMV3GMABCDEF"),
    "refunds.of_number": refunds.of_number(PAYMENT, "R-1"),
    "refunds.list": refunds.listed(PAYMENT),
    "events.list": events.listed(after="x", limit=5, wait_s=20),
    "events.get": events.get("evt_6EKQ91GVF3MJ3CPRTY1ZQMV3GM_1"),
    "endpoints.create": endpoints.create(url="https://shop.example/hook"),
    "endpoints.get": endpoints.get("0123456789abcdef"),
    "endpoints.list": endpoints.listed(),
    "endpoints.rotate": endpoints.rotate("0123456789abcdef"),
    "endpoints.enable": endpoints.enable("0123456789abcdef"),
    "endpoints.remove": endpoints.remove("0123456789abcdef"),
    "deliveries.list": deliveries.listed(status="parked", payment=PAYMENT, after="x", limit=5),
    "deliveries.replay": deliveries.replay(status="done", endpoint="0123456789abcdef", payment=PAYMENT, limit=5),
    "deliveries.replay_one": deliveries.replay_one("dlv_6EKQ91GVF3MJ3CPRTY1ZQMV3GM_1_0123456789abcdef"),
    "cases.list": cases.listed(status="all", payment=PAYMENT, after="x", limit=5),
    "cases.get": cases.get(CASE),
    "cases.query": cases.query(CASE, reason="Look.", actor="Ann"),
    "cases.close": cases.close(CASE, reason="Not wanted.", actor="Ann", cancel=True),
    "cases.accept": cases.accept(CASE, reason="Seen.", actor="Ann", evidence="page 7", trade_no="42", minor=1),
    "cases.refund": cases.refund(CASE, reason="Not owed.", actor="Ann", minor=1),
    "cases.settle": cases.settle(CASE, reason="In cash.", actor="Ann", evidence="page 7", trade_no="42", minor=1),
    "cases.retry": cases.retry(CASE, reason="Mended.", actor="Ann"),
    "cases.note": cases.note(CASE, reason="Called them.", actor="Ann"),
    "cases.resolve": cases.resolve(CASE, reason="Done.", actor="Ann"),
}
