"""The rules of a refund: accepted first, ended later, told by notification.

``out_refund_no`` is the key: the same number with the same parameters answers the current state,
with other parameters it is refused. A refund that is not accepted leaves no record.
"""

from typing import Any, Final

import msgspec
from msgspec import UNSET

from oncepay.sandbox.clock import rfc3339
from oncepay.sandbox.vendor import Refused
from oncepay.sandbox.wechat import orders, shapes
from oncepay.sandbox.wechat.books import Order, Refund
from oncepay.sandbox.wechat.desk import Desk
from oncepay.sandbox.wechat.wire import Refusal, encode

REFUNDS_MAX: Final = 50  # of one order
AGE_MAX_S: Final = 365 * 86400  # after the payment
GAP_S: Final = 60.0  # between two of one order
TO_PAYER: Final = "支付用户零钱"
_REFUND: Final = msgspec.json.Decoder(shapes.Refund)
_ABNORMAL: Final = msgspec.json.Decoder(shapes.Abnormal)


def apply(desk: Desk, mchid: str, body: bytes) -> bytes:
    """Take a refund on, or answer how far the one of that number has come."""
    shape = shapes.read(body, _REFUND.decode)
    shapes.check_refund(shape)
    order = _order(desk, mchid, shape)
    asked = _canonical(shape, order)
    known = desk.books.refund(mchid, shape.out_refund_no)
    if known is not None:
        if known[1].asked != asked:
            text = "订单金额或退款金额与之前请求不一致，请核实后再试"
            raise Refusal(400, desk.switches.fee_mismatch_code, text)
        return encode(view(*known))
    _check(desk, order, shape)
    refund = _accept(desk, order, _taken_on(desk, order, shape, asked))
    return encode(view(order, refund))


def query(desk: Desk, mchid: str, number: str) -> bytes:
    """How far a refund has come."""
    known = desk.books.refund(mchid, number)
    if known is None:
        raise Refusal(404, "RESOURCE_NOT_EXISTS", "退款单不存在")
    return encode(view(*known))


def apply_abnormal(desk: Desk, mchid: str, refund_id: str, body: bytes, serial: str) -> bytes:
    """Send an abnormal refund to a bank card. ``serial`` names the key the fields are sealed to."""
    shape = shapes.read(body, _ABNORMAL.decode)
    known = desk.books.refund(mchid, shape.out_refund_no)
    if known is None or known[1].refund_id != refund_id:
        raise Refusal(404, "RESOURCE_NOT_EXISTS", "退款单不存在")
    if shape.type not in ("USER_BANK_CARD", "MERCHANT_BANK_CARD"):
        text = "输入源“/body/type”映射到字段“异常退款处理方式”枚举规则校验失败"
        raise Refusal(400, "PARAM_ERROR", text, {"location": "body", "value": shape.type})
    if shape.type == "USER_BANK_CARD":
        for field in ("bank_account", "real_name"):
            value = getattr(shape, field)
            if value is UNSET or desk.ring.open_field(serial, value) is None:
                text = f"输入源“/body/{field}”映射到字段解密失败，请检查Wechatpay-Serial与加密密钥"
                raise Refusal(400, "PARAM_ERROR", text, {"location": "body", "value": None})
    order, refund = known
    if refund.status != "ABNORMAL":
        raise Refusal(400, "INVALID_REQUEST", "退款单状态不是退款异常，不能发起异常退款")
    _once_more(desk, order, refund)
    return encode(view(order, refund))


def send_elsewhere(desk: Desk, number: str) -> Refund | None:
    """The same by a person in the console; None when there is no such refund."""
    for order in desk.books.orders():
        for refund in order.refunds:
            if refund.number == number:
                if refund.status != "ABNORMAL":
                    raise Refused(409, "not_stuck", "this refund does not wait for a person")
                _once_more(desk, order, refund)
                return refund
    return None


def _once_more(desk: Desk, order: Order, refund: Refund) -> None:
    refund.status, refund.outcome = "PROCESSING", "SUCCESS"
    _settle_later(desk, order, refund)


def _order(desk: Desk, mchid: str, shape: shapes.Refund) -> Order:
    """The order a refund speaks of, by transaction id first."""
    order = None
    if isinstance(shape.transaction_id, str):
        order = desk.books.transaction(mchid, shape.transaction_id)
    elif isinstance(shape.out_trade_no, str):
        order = desk.books.order(mchid, shape.out_trade_no)
    both = isinstance(shape.transaction_id, str) and isinstance(shape.out_trade_no, str)
    if order is None or (both and order.number != shape.out_trade_no):
        raise Refusal(404, "RESOURCE_NOT_EXISTS", "订单不存在")
    return order


def _canonical(shape: shapes.Refund, order: Order) -> str:
    """The parameters that must be the same when the number comes again."""
    content = msgspec.to_builtins(shape)
    content.pop("transaction_id", None)
    content["out_trade_no"] = order.number
    return encode(content).decode()


def _check(desk: Desk, order: Order, shape: shapes.Refund) -> None:
    """Whether this refund can be taken on at all."""
    now, switches, amount = desk.clock.now(), desk.switches, shape.amount
    if order.paid is None:
        raise Refusal(403, "TRADE_ERROR", "订单状态错误，未支付的订单不能退款")
    if now > order.paid + AGE_MAX_S:
        raise Refusal(switches.overdue_status, "TRADE_OVERDUE", "订单已经超过可退款的最大期限")
    if amount.total != order.total:
        raise Refusal(400, "INVALID_REQUEST", "订单金额与原订单金额不一致")
    if order.refunded >= order.total:
        raise Refusal(400, "INVALID_REQUEST", "订单已全额退款")
    if order.refunded + amount.refund > order.total:
        raise Refusal(400, "INVALID_REQUEST", "退款金额大于订单可退金额")
    if isinstance(amount.from_, list) and sum(part.amount for part in amount.from_) != amount.refund:
        raise Refusal(400, "PARAM_ERROR", "退款出资金额之和与退款金额不一致")
    if len(order.refunds) >= REFUNDS_MAX:
        raise Refusal(400, "INVALID_REQUEST", "退款次数超过限制，一笔订单最多支持50次部分退款")
    last = max((refund.created for refund in order.refunds), default=None)
    gap_s = GAP_S if switches.refund_gap_s is None else switches.refund_gap_s
    if last is not None and now < last + gap_s:
        raise Refusal(400, "INVALID_REQUEST", "频率限制，同一笔订单的多次退款需间隔1分钟", number=268447840)
    strike = desk.faults.strike("not_enough", "refund", shape.out_refund_no, order.number)
    if strike or balance(desk, order.mchid) < amount.refund:
        raise Refusal(403, "NOT_ENOUGH", "基本账户余额不足，请充值后重新发起")


def balance(desk: Desk, mchid: str) -> int:
    """The merchant's balance, fen: what came in less fees, less what went back."""
    return desk.switches.balance_fen + desk.books.net(mchid)


def from_console(desk: Desk, order: Order, fen: int) -> Refund:
    """A refund that the merchant makes in the console; told in version 2, and only to the console's own address."""
    if order.paid is None:
        raise Refused(409, "not_paid", "this order is not paid")
    if not 0 < fen <= order.total - order.refunded:
        raise Refused(409, "refund_invalid", f"between 1 and {order.total - order.refunded} fen can go back")
    refund_id = desk.books.next_refund(order.mchid)
    return _accept(
        desk,
        order,
        Refund(
            number=f"console{refund_id}",
            refund_id=refund_id,
            amount=fen,
            created=desk.clock.now(),
            asked="",
            notify_url=desk.switches.console_notify_url,
            reason="",
            by_console=True,
        ),
    )


def _taken_on(desk: Desk, order: Order, shape: shapes.Refund, asked: str) -> Refund:
    return Refund(
        number=shape.out_refund_no,
        refund_id=desk.books.next_refund(order.mchid),
        amount=shape.amount.refund,
        created=desk.clock.now(),
        asked=asked,
        notify_url=shape.notify_url if isinstance(shape.notify_url, str) else "",
        reason=shape.reason if isinstance(shape.reason, str) else "",
    )


def _accept(desk: Desk, order: Order, refund: Refund) -> Refund:
    numbers = (refund.number, order.number)
    if desk.faults.strike("refund_abnormal", "refund", *numbers):
        refund.outcome = "ABNORMAL"
    elif desk.faults.strike("refund_closed", "refund", *numbers):
        refund.outcome = "CLOSED"
    refund.fee = orders.fee(refund.amount)
    order.state = "REFUND"
    desk.books.add_refund(order, refund)
    late = desk.faults.strike("refund_late", "refund", *numbers)
    _settle_later(desk, order, refund, 0.0 if late is None else late.seconds or 3600.0)
    return refund


def _settle_later(desk: Desk, order: Order, refund: Refund, late_s: float = 0.0) -> None:
    refund.outcome_due = desk.clock.now() + (late_s or desk.switches.refund_delay_s)
    desk.books.changed(order)
    wait_for_outcome(desk, order, refund)


def wait_for_outcome(desk: Desk, order: Order, refund: Refund) -> None:
    """Let a refund that is being worked on end when its time has come."""
    desk.clock.at(refund.outcome_due, lambda: settle(desk, order, refund))


def settle(desk: Desk, order: Order, refund: Refund) -> None:
    """The refund ends, and the merchant is told."""
    if refund.status != "PROCESSING":
        return
    refund.status = refund.outcome
    refund.done = desk.clock.now()
    if refund.status == "CLOSED":
        desk.books.moved(order.mchid, refund.amount - refund.fee)
    desk.books.changed(order)
    desk.notifier.refund(order, refund, told(order, refund))


def view(order: Order, refund: Refund) -> dict[str, Any]:
    """A refund as the API answers it."""
    answer: dict[str, Any] = {
        "amount": {
            "currency": "CNY",
            "discount_refund": 0,
            "from": [],
            "payer_refund": refund.amount,
            "payer_total": order.total,
            "refund": refund.amount,
            "refund_fee": refund.fee,
            "settlement_refund": refund.amount,
            "settlement_total": order.total,
            "total": order.total,
        },
        "channel": "ORIGINAL",
        "create_time": rfc3339(refund.created),
        "funds_account": "AVAILABLE",
        "out_refund_no": refund.number,
        "out_trade_no": order.number,
        "promotion_detail": [],
        "refund_id": refund.refund_id,
        "status": refund.status,
        "transaction_id": order.transaction_id,
        "user_received_account": TO_PAYER,
    }
    if refund.status == "SUCCESS":
        answer["success_time"] = rfc3339(refund.done or 0)
    return answer


def told(order: Order, refund: Refund) -> dict[str, Any]:
    """A refund as its notification tells it."""
    content: dict[str, Any] = {
        "mchid": order.mchid,
        "out_trade_no": order.number,
        "transaction_id": order.transaction_id,
        "out_refund_no": refund.number,
        "refund_id": refund.refund_id,
        "refund_status": refund.status,
    }
    if refund.status == "SUCCESS":
        content["success_time"] = rfc3339(refund.done or 0)
    content["amount"] = {
        "total": order.total,
        "refund": refund.amount,
        "payer_total": order.total,
        "payer_refund": refund.amount,
    }
    content["user_received_account"] = TO_PAYER
    return content
