"""The rules of a payment: opened by a form, a tn or a QR code, tried by the payer until payTimeout, asked about.

There is no close. A failed try is told to nobody; until payTimeout another card may still pay.
"""

import contextlib
import copy
import re
from functools import partial
from typing import Any, Final

from oncepay.sandbox.unionpay import reversals, shapes
from oncepay.sandbox.unionpay.books import Order, fee, query_id, settle_day
from oncepay.sandbox.unionpay.desk import Desk
from oncepay.sandbox.unionpay.wire import PAID, Fields, Refusal, content, echo, message, original, outcome
from oncepay.sandbox.vendor import autopay

DEFAULT_LIFE_S: Final = 86400  # without payTimeout; the vendor does not say how long
QR_CODE: Final = "https://qr.95516.com/00010000/"
CARD: Final = "6221********0000"
_NAME: Final = re.compile(r"commodityName=([^&}]+)")


class CannotPay(Exception):
    """The payer cannot pay this order now; ``reason`` is a word for scripts."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def open_(desk: Desk, product: str, fields: Fields) -> Order:
    """The payment a form, an app or a QR request speaks of: a new one, or the one it opened before."""
    books, switches = desk.books, desk.switches.unionpay
    mer_id, number = fields["merId"], fields["orderId"]
    known = books.order(mer_id, number, fields["txnTime"])
    if known is not None:
        return _again(desk, known, product, fields)
    if books.is_reversal(mer_id, number):
        raise Refusal("12")
    if books.is_payment(mer_id, number) and switches.other_time == "duplicate":
        raise Refusal("12")
    shapes.near(fields, desk.clock.now(), switches.txn_time_window_s)
    order = _new_order(desk, product, fields)
    if desk.clock.now() >= order.expires:
        raise Refusal("30", "payTimeout")
    books.add(order)
    autopay(desk.clock, desk.dice, desk.switches, partial(_pay_itself, desk, order))
    return order


def _again(desk: Desk, known: Order, product: str, fields: Fields) -> Order:
    """A payment that was opened before. A browser may see its page whatever became of it; others get no new answer
    for what is paid or too late."""
    if known.product != product or known.fields != content(fields):
        raise Refusal("12")
    if product == "qr" and desk.switches.unionpay.qr_again == "duplicate":
        raise Refusal("12")
    if product != "front" and known.paid is not None:
        raise Refusal("12")
    if product != "front" and desk.clock.now() >= known.expires:
        raise Refusal("30", "payTimeout")
    return known


def _new_order(desk: Desk, product: str, fields: Fields) -> Order:
    now = desk.clock.now()
    order = Order(
        number=fields["orderId"],
        txn_time=fields["txnTime"],
        mer_id=fields["merId"],
        product=product,
        total=int(fields["txnAmt"]),
        fields=content(fields),
        created=now,
        expires=shapes.moment(fields, "payTimeout") if "payTimeout" in fields else now + DEFAULT_LIFE_S,
        code=desk.dice.randbytes(12).hex(),
    )
    if product == "app":
        order.tn = "8" + digits(desk, 20)
    elif product == "qr":
        order.qr_code = f"{QR_CODE}62{digits(desk, 30)}"
    return order


def digits(desk: Desk, count: int) -> str:
    """``count`` random digits."""
    return "".join([str(byte % 10) for byte in desk.dice.randbytes(count)])


def credential(order: Order, fields: Fields) -> Fields:
    """The answer to an app or QR request: accepted, not paid."""
    return {**echo(fields), **outcome("00")} | ({"tn": order.tn} if order.tn else {"qrCode": order.qr_code})


def query(desk: Desk, order: Order, fields: Fields) -> Fields:
    """The answer to a query: ``respCode`` is the query's own, ``origRespCode`` the payment's."""
    code = shown_code(desk, order)
    if code == "34":
        raise Refusal("34")
    answer = {**echo(fields), **_of_payment(order), **original(code)}
    if code in PAID or code == "42":
        return {**answer, **settled(order)}
    return {**answer, "settleAmt": "0"}


def shown_code(desk: Desk, order: Order) -> str:
    """What a query says of a payment now; of a lagging one still 05."""
    switches = desk.switches.unionpay
    if order.hidden_queries > 0:
        order.hidden_queries -= 1
        desk.books.changed(order)
        return "05"
    if order.resp_code != "05":
        return order.resp_code
    return switches.expired_shows if desk.clock.now() >= order.expires else switches.unpaid_shows


def _of_payment(order: Order) -> Fields:
    own = {name: order.fields[name] for name in ("bizType", "txnType", "txnSubType", "currencyCode")}
    return {**own, "orderId": order.number, "txnTime": order.txn_time, "txnAmt": str(order.total)}


def settled(order: Order) -> Fields:
    """What is said only of a payment for which money moved."""
    assert order.paid is not None
    told = {
        "queryId": order.query_id,
        "settleAmt": str(order.total),
        "settleCurrencyCode": "156",
        "settleDate": f"{settle_day(order.paid):%m%d}",
        "traceNo": order.trace_no,
        "traceTime": order.txn_time[4:],
    }
    if "reqReserved" in order.fields:
        told["reqReserved"] = order.fields["reqReserved"]
    return told


def told(order: Order, total: int) -> Fields:
    """A payment as its notice tells it, and as the browser brings it to frontUrl."""
    return {
        **echo(order.fields),
        **_of_payment(order),
        **settled(order),
        **outcome(order.resp_code),
        "accNo": CARD,
        "txnAmt": str(total),
        "settleAmt": str(total),
    }


def claimed(desk: Desk, order: Order, total: int) -> Fields:
    """A payment as somebody might claim it, for an order that may not be paid at all."""
    if order.paid is None:
        order = copy.copy(order)
        order.paid, order.resp_code, order.trace_no = desk.clock.now(), "00", "000000"
        order.query_id = query_id(order.txn_time, order.trace_no)
    return told(order, total)


def brought_back(desk: Desk, order: Order) -> dict[str, Any] | None:
    """What the payer's browser posts to the shop after a front payment: url and fields. None when there is nothing."""
    if order.product != "front" or order.resp_code not in PAID:
        return None
    return {"url": order.fields["frontUrl"], "fields": desk.ring.sign(told(order, order.total))}


def subject(order: Order) -> str:
    """What a payer reads: the goods' name, where the request says it."""
    named = _NAME.search(order.fields.get("riskRateInfo", ""))
    return order.fields.get("orderDesc", "") or (named[1] if named else "UnionPay payment")


def problem(order: Order) -> str:
    """Why the payer's last try came to nothing."""
    return message(order.resp_code) if order.paid is None and order.resp_code != "05" else ""


def pay(desk: Desk, order: Order) -> None:
    """The payer pays. Raises CannotPay when UnionPay would not let them."""
    _may_try(order)
    if desk.clock.now() < order.expires:
        code = "A6" if desk.faults.strike("paid_a6", "pay", order.number) else "00"
        settle(desk, order, code)
    elif desk.faults.strike("late_bank", "pay", order.number):
        _settle_late(desk, order)
    elif desk.faults.strike("pay_after_close", "pay", order.number):
        settle(desk, order, "00")
    else:
        raise CannotPay("expired", "the order's payTimeout has passed")


def fail(desk: Desk, order: Order, code: str = "64") -> None:
    """The payer tries a card that is declined; another try may follow. Raises CannotPay."""
    _may_try(order)
    if desk.clock.now() >= order.expires:
        raise CannotPay("expired", "the order's payTimeout has passed")
    order.resp_code = code
    desk.books.changed(order)


def leave(desk: Desk, order: Order) -> None:
    """The payer leaves. At UnionPay that changes nothing: the order stays to be paid."""
    order.cancelled = True
    desk.books.changed(order)


def _may_try(order: Order) -> None:
    if order.paid is not None:
        raise CannotPay("already_paid", "this order is paid")


def settle(desk: Desk, order: Order, code: str) -> None:
    """The money moves, and the merchant is told."""
    _take_money(desk, order, code)
    late = desk.faults.strike("late_pay", "pay", order.number)
    if late is not None:
        order.hidden_queries = 3 if late.queries is None else late.queries
        desk.books.changed(order)
    total = order.total
    wrong = desk.faults.strike("notify_wrong_amount", "notify", order.number)
    if wrong is not None:
        total = order.total + 1 if wrong.amount is None else wrong.amount
    desk.notifier.tell(order.number, order.fields["backUrl"], told(order, total))


def _settle_late(desk: Desk, order: Order) -> None:
    """An internet bank took the money after payTimeout: not a success, told to nobody, and it goes back by itself."""
    _take_money(desk, order, "42")
    reversals.of_late_money(desk, order)


def _take_money(desk: Desk, order: Order, code: str) -> None:
    order.paid = desk.clock.now()
    order.resp_code = code
    order.trace_no = desk.books.next_trace()
    order.query_id = query_id(order.txn_time, order.trace_no)
    order.fee = fee(order.total)
    desk.books.paid(order)


def _pay_itself(desk: Desk, order: Order) -> None:
    if order.paid is None and not order.cancelled:
        with contextlib.suppress(CannotPay):  # expired meanwhile: an abandoned order, as in life
            pay(desk, order)
