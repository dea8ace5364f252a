"""What stands in ``biz_content``, and how strictly Alipay reads it.

Unknown members are ignored, numbers are taken for the text they were written as, everything else that is wrong is
``40004 ACQ.INVALID_PARAMETER`` with the member's name.
"""

import json
import re
from typing import Any, Final

import msgspec

from oncepay.sandbox.alipay import wire
from oncepay.sandbox.alipay.wire import Refusal, failed
from oncepay.sandbox.clock import beijing

TRADE_NO: Final = re.compile(r"[0-9A-Za-z_]{1,64}")
AMOUNT: Final = re.compile(r"(\d{1,9})(?:\.(\d{1,2}))?", re.ASCII)
AMOUNT_MAX: Final = 10_000_000_000  # fen
LATER: Final = re.compile(r"([1-9]\d{0,4})([mhd])", re.ASCII)
UNIT_S: Final = {"m": 60, "h": 3600, "d": 86400}
LATER_MAX_S: Final = 15 * 86400
URL: Final = re.compile(r"https?://[^\s/?#]+[^\s]*", re.ASCII)
PRODUCTS: Final = {
    "page": ("FAST_INSTANT_TRADE_PAY",),
    "wap": ("QUICK_WAP_WAY", "QUICK_WAP_PAY"),
    "app": ("QUICK_MSECURITY_PAY",),
    "precreate": ("FACE_TO_FACE_PAYMENT", "QR_CODE_OFFLINE"),
}
GOODS_MAX: Final = 150
LENGTHS: Final = {"body": 128, "passback_params": 512, "quit_url": 400, "operator_id": 28, "store_id": 32}


class Pay(msgspec.Struct, kw_only=True):
    """What page, wap, app and precreate say alike. ``expires``: epoch seconds."""

    number: str
    total: int
    subject: str
    body: str
    passback: str
    expires: float
    code_until: float
    notify_url: str
    return_url: str


class Named(msgspec.Struct):
    """Which trade a request speaks of; ``trade_no`` wins."""

    number: str
    trade_no: str


class Refund(msgspec.Struct):
    """A refund. ``request_no`` is empty when none was sent."""

    named: Named
    fen: int
    request_no: str
    reason: str
    options: list[str]


def wrong(member: str, why: str) -> Refusal:
    return failed("INVALID_PARAMETER", f"参数无效：{member}{why}")


def content(call: wire.Call) -> dict[str, Any]:
    """The JSON object of ``biz_content``, its numbers as they are written."""
    text = call.get("biz_content")
    if not text:
        raise Refusal("40001", "isv.missing-biz-content", "缺少biz_content参数")
    try:
        found = json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
    except ValueError:
        raise Refusal("40002", "isv.illegal-json", "非法的JSON") from None
    except RecursionError:
        raise Refusal("40002", "isv.illegal-json", "非法的JSON") from None
    if not isinstance(found, dict):
        raise Refusal("40002", "isv.illegal-json", "非法的JSON")
    return found


def text(found: dict[str, Any], member: str, most: int, *, least: int = 0) -> str:
    """A text member of at most so many characters; empty when it is not there and may be missing."""
    value = found.get(member)
    if value is None:
        value = ""
    if not isinstance(value, str):
        raise wrong(member, "类型错误")
    if len(value) < least:
        raise wrong(member, "不能为空")
    if len(value) > most:
        raise wrong(member, "超长")
    return value


def fen(found: dict[str, Any], member: str) -> int:
    """An amount in yuan, as fen."""
    value = text(found, member, 13, least=1)
    matched = AMOUNT.fullmatch(value)
    if matched is None:
        raise wrong(member, "格式错误")
    amount = int(matched[1]) * 100 + int((matched[2] or "").ljust(2, "0"))
    if not 0 < amount <= AMOUNT_MAX:
        raise wrong(member, "超出范围")
    return amount


def number(found: dict[str, Any], *, least: int = 1) -> str:
    value = text(found, "out_trade_no", 64, least=least)
    if value and not TRADE_NO.fullmatch(value):
        raise wrong("out_trade_no", "只能包含字母、数字、下划线")
    return value


def named(found: dict[str, Any]) -> Named:
    """The trade a request names by one of its two numbers."""
    one = Named(number(found, least=0), text(found, "trade_no", 64))
    if not one.number and not one.trade_no:
        raise wrong("out_trade_no", "和trade_no不能同时为空")
    return one


def options(found: dict[str, Any]) -> list[str]:
    value = found.get("query_options", [])
    if not isinstance(value, list) or not all(isinstance(option, str) for option in value):
        raise wrong("query_options", "类型错误")
    return value


def later(word: str, member: str, now: float) -> float:
    """A relative time (``90m``, ``1c``) as epoch seconds."""
    if word == "1c":
        return beijing(now).replace(hour=23, minute=59, second=59, microsecond=0).timestamp()
    matched = LATER.fullmatch(word)
    seconds = int(matched[1]) * UNIT_S[matched[2]] if matched else 0
    if not 60 <= seconds <= LATER_MAX_S:
        raise wrong(member, "格式错误")
    return now + seconds


def url(call: wire.Call, name: str) -> str:
    value = call.get(name)
    if value and (len(value) > 256 or not URL.fullmatch(value)):
        raise wrong(name, "格式错误")
    return value


def pay(call: wire.Call, method: str, seller_id: str, now: float) -> Pay:
    """A request to be paid, checked member by member."""
    found = content(call)
    out_trade_no = number(found)
    total = fen(found, "total_amount")
    subject = text(found, "subject", 256, least=1)
    if any(mark in subject for mark in "/=&"):
        raise wrong("subject", "不能包含特殊字符")
    product = text(found, "product_code", 64, least=1 if method == "page" else 0)
    if product and product not in PRODUCTS[method]:
        raise wrong("product_code", "不支持")
    texts = {member: text(found, member, most) for member, most in LENGTHS.items()}
    if text(found, "seller_id", 28) not in ("", seller_id):
        raise failed("INVALID_RECEIVE_ACCOUNT", "收款账户不合法")
    if found.get("enable_pay_channels") and found.get("disable_pay_channels"):
        raise wrong("enable_pay_channels", "和disable_pay_channels不能同时传入")
    goods = found.get("goods_detail") or []
    if not isinstance(goods, list):
        raise wrong("goods_detail", "类型错误")
    if len(goods) > GOODS_MAX:
        raise failed("SUB_GOODS_SIZE_MAX_COUNT", "子商品明细超长")
    return Pay(
        number=out_trade_no,
        total=total,
        subject=subject,
        body=texts["body"],
        passback=texts["passback_params"],
        expires=_expiry(found, method, now),
        code_until=_code_life(found, method, now),
        notify_url=url(call, "notify_url"),
        return_url=url(call, "return_url") if method in ("page", "wap") else "",
    )


def _expiry(found: dict[str, Any], method: str, now: float) -> float:
    """When the trade can be paid last. The absolute time wins over the relative one."""
    absolute, relative = text(found, "time_expire", 32), text(found, "timeout_express", 6)
    if relative:
        until = later(relative, "timeout_express", now)
    else:
        until = now + (3 * 3600 if method == "precreate" else LATER_MAX_S)
    if absolute:
        if not wire.TIME.fullmatch(absolute):
            raise wrong("time_expire", "格式错误")
        try:
            return wire.moment(absolute)
        except ValueError:
            raise wrong("time_expire", "格式错误") from None
    return until


def _code_life(found: dict[str, Any], method: str, now: float) -> float:
    """How long a QR code can be scanned: two hours, or as asked, from its making."""
    if method != "precreate":
        return now + LATER_MAX_S
    asked = text(found, "qr_code_timeout_express", 6)
    return min(later(asked, "qr_code_timeout_express", now) if asked else now + 7200, now + 7200)


def refund(call: wire.Call) -> Refund:
    found = content(call)
    return Refund(
        named=named(found),
        fen=fen(found, "refund_amount"),
        request_no=text(found, "out_request_no", 64),
        reason=text(found, "refund_reason", 256),
        options=options(found),
    )
