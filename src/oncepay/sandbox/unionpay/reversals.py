"""What takes a payment back: refunds, the void of the same settlement day, money that came too late.

respCode 00 means accepted. The outcome comes later, and is told whether it is good or bad. A reversal
that is not accepted leaves no record.
"""

from typing import Final

from oncepay.sandbox.unionpay import shapes
from oncepay.sandbox.unionpay.books import Order, Reversal, fee, query_id, settle_day
from oncepay.sandbox.unionpay.desk import Desk
from oncepay.sandbox.unionpay.wire import PAID, Fields, Refusal, content, echo, original, outcome
from oncepay.sandbox.vendor import Refused

AGE_MAX_S: Final = 334 * 86400  # eleven months after the payment
OWN: Final = ("origQryId", "txnAmt")


def apply(desk: Desk, kind: str, fields: Fields) -> Fields:
    """Take a refund or a void on."""
    books, mer_id, number = desk.books, fields["merId"], fields["orderId"]
    if books.is_payment(mer_id, number) or books.is_reversal(mer_id, number):
        raise Refusal("12")
    shapes.near(fields, desk.clock.now(), desk.switches.unionpay.txn_time_window_s)
    order = books.transaction(mer_id, fields["origQryId"])
    if order is None or order.resp_code == "42":
        raise Refusal("35")
    if fields["bizType"] != order.fields["bizType"]:
        raise Refusal("36", "bizType")
    amount = int(fields["txnAmt"])
    if kind == "void":
        _check_void(desk, order, amount)
    else:
        _check_refund(desk, order, amount, number)
    reversal = _reversal(desk, order, kind, amount, fields)
    call = "refund" if kind == "refund" else "cancel"
    failing = desk.faults.strike("refund_closed", call, number, order.number)
    if failing is not None:
        reversal.outcome = failing.how or "01"
    late = desk.faults.strike("refund_late", call, number, order.number)
    _end_later(desk, order, reversal, desk.switches.refund_delay_s if late is None else late.seconds or 3600.0)
    return {**echo(fields, *OWN), "queryId": reversal.query_id, **outcome("00")}


def query(reversal: Reversal, fields: Fields) -> Fields:
    """The answer to a query of a refund or void, asked by its own orderId and txnTime."""
    code = "05" if reversal.state == "PROCESSING" else reversal.outcome
    answer = {**echo(fields), **_of_reversal(reversal), **original(code)}
    if reversal.state == "SUCCESS":
        return {**answer, **_settled(reversal)}
    return {**answer, "settleAmt": "0"}


def told(reversal: Reversal) -> Fields:
    """A refund or void as its notice tells it."""
    return {**echo(reversal.fields), **_of_reversal(reversal), **_settled(reversal), **outcome(reversal.outcome)}


def from_console(desk: Desk, order: Order, fen: int) -> Reversal:
    """A refund that the merchant makes in the console: no request asked for it, and no notice tells of it."""
    if order.paid is None or order.resp_code == "42":
        raise Refused(409, "not_paid", "this order is not paid")
    if not 0 < fen <= order.total - order.reserved:
        raise Refused(409, "refund_invalid", f"between 1 and {order.total - order.reserved} fen can go back")
    reversal = _reversal(desk, order, "console", fen, {})
    _end_later(desk, order, reversal, desk.switches.refund_delay_s)
    return reversal


def of_late_money(desk: Desk, order: Order) -> None:
    """UnionPay sends back by itself what an internet bank paid after payTimeout."""
    reversal = _reversal(desk, order, "late", order.total, {})
    _end_later(desk, order, reversal, desk.switches.unionpay.late_refund_s)


def wait_for_outcome(desk: Desk, order: Order, reversal: Reversal) -> None:
    """Let a reversal that is being worked on end when its time has come."""
    desk.clock.at(reversal.outcome_due, lambda: end(desk, order, reversal))


def end(desk: Desk, order: Order, reversal: Reversal) -> None:
    """The reversal ends, well or not, and whoever asked for it is told."""
    reversal.state = "SUCCESS" if reversal.outcome in PAID else "FAILED"
    reversal.done = desk.clock.now()
    if reversal.state == "FAILED":
        desk.books.moved(order.mer_id, reversal.amount - reversal.fee)
    desk.books.changed(order)
    if reversal.fields:
        desk.notifier.tell(order.number, reversal.fields["backUrl"], told(reversal))


def balance(desk: Desk, mer_id: str) -> int:
    """The merchant's balance, fen: what came in less fees, less what went back."""
    return desk.switches.balance_fen + desk.books.net(mer_id)


def _check_void(desk: Desk, order: Order, amount: int) -> None:
    """All of it, once, and before 23:00 of the payment's settlement day."""
    assert order.paid is not None
    if order.reserved:
        raise Refusal("45")
    if amount != order.total:
        raise Refusal("36", "txnAmt")
    if settle_day(desk.clock.now()) != settle_day(order.paid):
        raise Refusal("35")


def _check_refund(desk: Desk, order: Order, amount: int, number: str) -> None:
    """No more than is left, within eleven months, and the merchant must have it."""
    assert order.paid is not None
    now = desk.clock.now()
    if order.reserved >= order.total:
        raise Refusal("45")
    if order.reserved + amount > order.total:
        raise Refusal("36", "txnAmt")
    if now > order.paid + AGE_MAX_S:
        raise Refusal("35")
    last = max((reversal.created for reversal in order.reversals), default=None)
    if last is not None and now < last + (desk.switches.refund_gap_s or 0.0):
        raise Refusal("37")
    strike = desk.faults.strike("not_enough", "refund", number, order.number)
    if strike or balance(desk, order.mer_id) < amount:
        raise Refusal("64")


def _reversal(desk: Desk, order: Order, kind: str, amount: int, fields: Fields) -> Reversal:
    """A reversal as it begins. What no request asked for takes the payment's txnTime into its number."""
    trace_no = desk.books.next_trace()
    drawn = query_id(fields.get("txnTime", order.txn_time), trace_no)
    return Reversal(
        number=fields.get("orderId", f"{kind}{drawn}"),
        kind=kind,
        amount=amount,
        fields=content(fields),
        created=desk.clock.now(),
        trace_no=trace_no,
        query_id=drawn,
        fee=fee(amount),
    )


def _end_later(desk: Desk, order: Order, reversal: Reversal, seconds: float) -> None:
    reversal.outcome_due = reversal.created + seconds
    desk.books.add_reversal(order, reversal)
    wait_for_outcome(desk, order, reversal)


def _of_reversal(reversal: Reversal) -> Fields:
    own = ("bizType", "txnType", "txnSubType", "orderId", "txnTime", *OWN)
    return {**{name: reversal.fields[name] for name in own}, "currencyCode": "156", "queryId": reversal.query_id}


def _settled(reversal: Reversal) -> Fields:
    assert reversal.done is not None
    told = {
        "settleAmt": str(reversal.amount),
        "settleCurrencyCode": "156",
        "settleDate": f"{settle_day(reversal.done):%m%d}",
        "traceNo": reversal.trace_no,
        "traceTime": reversal.fields["txnTime"][4:],
    }
    if "reqReserved" in reversal.fields:
        told["reqReserved"] = reversal.fields["reqReserved"]
    return told
