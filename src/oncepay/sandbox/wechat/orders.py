"""The rules of an order: prepay, query, close, and the payer's payment.

A closed number is burnt for ever, a paid one too; a repeated prepay with the same parameters gives
a fresh credential; closing is repeatable; paying and closing may race.
"""

import contextlib
from functools import partial
from typing import Any, Final

import msgspec
from msgspec import UNSET

from oncepay.sandbox.clock import rfc3339
from oncepay.sandbox.vendor import autopay
from oncepay.sandbox.wechat import shapes
from oncepay.sandbox.wechat.books import TRADE_TYPES, Order, expiry, prepay_id
from oncepay.sandbox.wechat.desk import Desk
from oncepay.sandbox.wechat.keys import letters
from oncepay.sandbox.wechat.wire import Refusal, encode

CODE_URL: Final = "weixin://wxpay/bizpayurl?pr="
PAYER: Final = "oTEST-0000000000000000000001"  # who scans, unless the request says
LIFE_S: Final = {"native": 7200, "jsapi": 7200, "app": 7200, "h5": 300}  # of a credential
FEE_BASIS_POINTS: Final = 60  # 0.60 %
DESCRIPTIONS: Final = {
    "NOTPAY": "订单未支付",
    "SUCCESS": "支付成功",
    "CLOSED": "订单已关闭",
    "REFUND": "订单发生过退款，退款详情请查询退款单",
}
DECODERS: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    "native": msgspec.json.Decoder(shapes.NativePrepay),
    "jsapi": msgspec.json.Decoder(shapes.JsapiPrepay),
    "h5": msgspec.json.Decoder(shapes.H5Prepay),
    "app": msgspec.json.Decoder(shapes.AppPrepay),
}
_CLOSE: Final = msgspec.json.Decoder(shapes.Close)


class CannotPay(Exception):
    """The payer cannot pay this order now; ``reason`` is a word for scripts."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def fee(amount: int) -> int:
    """The vendor's fee on an amount, fen, rounded half up."""
    return (amount * FEE_BASIS_POINTS + 5000) // 10000


def same_merchant(header: str, payload: str) -> None:
    """The merchant who signed must be the merchant who is named."""
    if header != payload:
        text = "http header中的mchid与post payload中的mchid不匹配"
        raise Refusal(400, "PARAM_ERROR", text)


def prepay(desk: Desk, product: str, mchid: str, body: bytes) -> bytes:
    """Make an order, or renew the credential of an unpaid one."""
    shape: shapes.Prepay = shapes.read(body, DECODERS[product].decode)
    shapes.check_prepay(shape)
    expire = shape.time_expire if isinstance(shape.time_expire, str) else None
    asked = None if expire is None else shapes.moment(expire)
    same_merchant(mchid, shape.mchid)
    if desk.ring.merchants[mchid].appid != shape.appid:
        raise Refusal(400, "APPID_MCHID_NOT_MATCH", "appid和mch_id不匹配，请检查后再试")
    order = desk.books.order(mchid, shape.out_trade_no)
    if order is not None:
        again(desk, order, product, body)
        desk.books.renew(order, *draw(desk))
    else:
        order = _new_order(desk, product, shape, body)
        order.expires = expiry(order.created, asked, desk.switches.expire_days_max)
        desk.books.add(order)
        autopay(desk.clock, desk.dice, desk.switches, partial(_pay_itself, desk, order))
    return encode(credential(desk, order))


def draw(desk: Desk) -> tuple[str, str]:
    """A fresh credential: (the code in the QR picture, the prepay_id)."""
    return letters(desk.dice, 9), prepay_id(desk.clock.now(), desk.dice.randbytes(12).hex())


def _new_order(desk: Desk, product: str, shape: shapes.Prepay, body: bytes) -> Order:
    now = desk.clock.now()
    code, drawn = draw(desk)
    scene = getattr(shape, "scene_info", UNSET)
    return Order(
        number=shape.out_trade_no,
        mchid=shape.mchid,
        appid=shape.appid,
        product=product,
        description=shape.description,
        total=shape.amount.total,
        notify_url=shape.notify_url,
        created=now,
        expires=now,
        body=body.decode(),
        prepay_id=drawn,
        code=code,
        code_made=now,
        attach=None if shape.attach is UNSET else str(shape.attach),
        device_id="" if scene is UNSET or scene.device_id is UNSET else scene.device_id,
        openid=shape.payer.openid if isinstance(shape, shapes.JsapiPrepay) else "",
    )


def again(desk: Desk, order: Order, product: str, body: bytes) -> None:
    """A number that was used before: only the same parameters, unpaid, may come again."""
    switches = desk.switches
    if order.state == "CLOSED":
        raise Refusal(400, switches.closed_code, "该订单已关闭", number=268447914)
    if order.paid is not None:
        raise Refusal(switches.paid_status, switches.paid_code, "该订单已支付")
    if order.product == product and order.body == body.decode():
        return
    first, now = msgspec.json.decode(order.body), msgspec.json.decode(body)
    if switches.expire_may_change:
        first.pop("time_expire", None)
        now.pop("time_expire", None)
    if order.product != product or first != now:
        if switches.reuse == "documented":
            raise Refusal(403, "OUT_TRADE_NO_USED", "商户订单号重复")
        raise Refusal(400, "INVALID_REQUEST", "201 商户订单号重复", number=268498688)


def credential(desk: Desk, order: Order) -> dict[str, str]:
    """What the payer's side gets to pay with."""
    if order.product == "native":
        return {"code_url": CODE_URL + order.code}
    if order.product == "h5":
        package = int.from_bytes(desk.dice.randbytes(4), "big")
        query = f"prepay_id={order.prepay_id}&package={package}"
        return {"h5_url": f"{desk.base_url}/cashier/{order.code}?{query}"}
    return {"prepay_id": order.prepay_id}


def query(desk: Desk, mchid: str, named: str | None, order: Order | None) -> bytes:
    """What the merchant sees of an order. ``named`` is the query's mchid."""
    _named(mchid, named)
    if order is None:
        raise Refusal(404, "ORDER_NOT_EXIST", "订单不存在")
    return encode(trade(desk, order))


def _named(mchid: str, named: str | None) -> None:
    if named is None:
        text = "输入源“/query/mchid”映射到字段“直连商户号”必填性规则校验失败，此字段为必填项"
        raise Refusal(400, "PARAM_ERROR", text, {"location": "query", "value": ""})
    same_merchant(mchid, named)


def trade(desk: Desk, order: Order) -> dict[str, Any]:
    """The transaction as the query answers it."""
    state = shown_state(desk, order)
    if state in ("NOTPAY", "CLOSED"):
        return {
            "amount": {"payer_currency": "CNY", "total": order.total},
            "appid": order.appid,
            "mchid": order.mchid,
            "out_trade_no": order.number,
            "promotion_detail": [],
            "scene_info": {"device_id": order.device_id},
            "trade_state": state,
            "trade_state_desc": DESCRIPTIONS[state],
        }
    paid = paid_trade(order, order.total)
    paid["promotion_detail"] = []
    paid["trade_state"] = state
    paid["trade_state_desc"] = DESCRIPTIONS[state]
    if order.attach is None:
        del paid["attach"]
    if order.device_id:
        paid["scene_info"] = {"device_id": order.device_id}
    return paid


def paid_trade(order: Order, total: int) -> dict[str, Any]:
    """A paid transaction in the order of fields that notifications have."""
    return {
        "mchid": order.mchid,
        "appid": order.appid,
        "out_trade_no": order.number,
        "transaction_id": order.transaction_id,
        "trade_type": TRADE_TYPES[order.product],
        "trade_state": "SUCCESS",
        "trade_state_desc": DESCRIPTIONS["SUCCESS"],
        "bank_type": "OTHERS",
        "attach": order.attach or "",
        "success_time": rfc3339(order.paid or 0),
        "payer": {"openid": order.openid},
        "amount": {
            "total": total,
            "payer_total": total,
            "currency": "CNY",
            "payer_currency": "CNY",
        },
    }


def claimed(desk: Desk, order: Order, total: int) -> dict[str, Any]:
    """A payment as somebody might claim it, for an order that may not be paid at all."""
    told = paid_trade(order, total)
    told["transaction_id"] = order.transaction_id or f"4200{0:024d}"
    told["success_time"] = rfc3339(desk.clock.now() if order.paid is None else order.paid)
    told["payer"] = {"openid": order.openid or PAYER}
    return told


def shown_state(desk: Desk, order: Order) -> str:
    """The state a query shows now; a lagging one still says NOTPAY."""
    if order.hidden_queries > 0:
        order.hidden_queries -= 1
        desk.books.changed(order)
        return "NOTPAY"
    expired = desk.clock.now() >= order.expires
    if order.state == "NOTPAY" and expired and desk.switches.expired_shows == "CLOSED":
        return "CLOSED"
    if desk.switches.refund_state_from == "success" and order.state == "REFUND":
        done = any(refund.status == "SUCCESS" for refund in order.refunds)
        return "REFUND" if done else "SUCCESS"
    return order.state


def close(desk: Desk, mchid: str, number: str, body: bytes) -> None:
    """Close an unpaid order; again and again if one likes."""
    shape = shapes.read(body, _CLOSE.decode)
    same_merchant(mchid, shape.mchid)
    order = desk.books.order(mchid, number)
    if order is None:
        raise Refusal(404, "ORDER_NOT_EXIST", "订单不存在")
    if order.state == "NOTPAY" and desk.faults.strike("paid_during_close", "close", number):
        settle(desk, order)
    if order.paid is not None:
        raise Refusal(desk.switches.paid_status, desk.switches.paid_code, "该订单已支付")
    now = desk.clock.now()
    if now < order.created + desk.switches.close_min_age_s:
        raise Refusal(400, "INVALID_REQUEST", "订单生成后不能马上调用关单接口，请稍后再试")
    if order.state != "CLOSED":
        order.state, order.closed = "CLOSED", now
        desk.books.changed(order)


def pay(desk: Desk, order: Order, openid: str | None = None) -> None:
    """The payer scans and pays. Raises CannotPay when WeChat Pay would not let them."""
    if order.paid is not None:
        raise CannotPay("already_paid", "this order is paid")
    now = desk.clock.now()
    reason = None
    if order.state == "CLOSED":
        reason = CannotPay("closed", "this order is closed")
    elif now >= order.expires:
        reason = CannotPay("expired", "the order's time_expire has passed")
    elif now >= order.code_made + LIFE_S[order.product]:
        reason = CannotPay("credential_expired", "the code is too old; prepay again for a new one")
    if reason is not None and not desk.faults.strike("pay_after_close", "pay", order.number):
        raise reason
    settle(desk, order, openid)


def settle(desk: Desk, order: Order, openid: str | None = None) -> None:
    """The money moves, and the merchant is told."""
    order.state = "SUCCESS"
    order.paid = desk.clock.now()
    order.openid = order.openid or openid or PAYER
    order.fee = fee(order.total)
    order.transaction_id = desk.books.next_transaction(order.mchid)
    late = desk.faults.strike("late_pay", "pay", order.number)
    if late is not None:
        order.hidden_queries = 3 if late.queries is None else late.queries
    desk.books.paid(order)
    wrong = desk.faults.strike("notify_wrong_amount", "notify", order.number)
    total = order.total
    if wrong is not None:
        total = order.total + 1 if wrong.amount is None else wrong.amount
    desk.notifier.payment(order, paid_trade(order, total))


def _pay_itself(desk: Desk, order: Order) -> None:
    current = desk.books.order(order.mchid, order.number)
    if current is not None and current.state == "NOTPAY" and not current.cancelled:
        with contextlib.suppress(CannotPay):  # expired meanwhile: an abandoned order, as in life
            pay(desk, current)
