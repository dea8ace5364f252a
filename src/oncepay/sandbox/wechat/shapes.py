"""The bodies merchants send, and how strictly WeChat Pay reads them.

Unknown fields, nulls, wrong types, lengths (counted in bytes) and patterns are all refused with
``400 PARAM_ERROR``, signed, in the shapes that captures show.
"""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from oncepay.sandbox.wechat.wire import Refusal

Fen = Annotated[int, Meta(ge=1, le=2**53 - 1)]
Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    """A body in which an unknown field is an error."""


class Amount(Strict):
    total: Fen
    currency: str | UnsetType = UNSET


class Payer(Strict):
    openid: str


class Goods(Strict):
    merchant_goods_id: str
    quantity: Count
    unit_price: Count
    wechatpay_goods_id: str | UnsetType = UNSET
    goods_name: str | UnsetType = UNSET


class Detail(Strict):
    cost_price: Count | UnsetType = UNSET
    invoice_id: str | UnsetType = UNSET
    goods_detail: list[Goods] | UnsetType = UNSET


class Store(Strict):
    id: str
    name: str | UnsetType = UNSET
    area_code: str | UnsetType = UNSET
    address: str | UnsetType = UNSET


class H5Info(Strict):
    type: str
    app_name: str | UnsetType = UNSET
    app_url: str | UnsetType = UNSET
    bundle_id: str | UnsetType = UNSET
    package_name: str | UnsetType = UNSET


class Scene(Strict):
    payer_client_ip: str
    device_id: str | UnsetType = UNSET
    store_info: Store | UnsetType = UNSET


class H5Scene(Scene, kw_only=True):
    h5_info: H5Info


class Settle(Strict):
    profit_sharing: bool | UnsetType = UNSET


class Prepay(Strict, kw_only=True):
    """What all four products have in common."""

    appid: str
    mchid: str
    description: str
    out_trade_no: str
    notify_url: str
    amount: Amount
    time_expire: str | UnsetType = UNSET
    attach: str | UnsetType = UNSET
    goods_tag: str | UnsetType = UNSET
    support_fapiao: bool | UnsetType = UNSET
    detail: Detail | UnsetType = UNSET
    settle_info: Settle | UnsetType = UNSET


class NativePrepay(Prepay, kw_only=True):
    scene_info: Scene | UnsetType = UNSET


class AppPrepay(Prepay, kw_only=True):
    scene_info: Scene | UnsetType = UNSET


class JsapiPrepay(Prepay, kw_only=True):
    payer: Payer
    scene_info: Scene | UnsetType = UNSET


class H5Prepay(Prepay, kw_only=True):
    scene_info: H5Scene


class Close(Strict):
    mchid: str


class RefundFrom(Strict):
    account: str
    amount: Count


class RefundAmount(Strict):
    refund: Fen
    total: Fen
    currency: str
    from_: list[RefundFrom] | UnsetType = msgspec.field(default=UNSET, name="from")


class RefundGoods(Strict):
    merchant_goods_id: str
    unit_price: Count
    refund_amount: Count
    refund_quantity: Count
    wechatpay_goods_id: str | UnsetType = UNSET
    goods_name: str | UnsetType = UNSET


class Refund(Strict, kw_only=True):
    out_refund_no: str
    amount: RefundAmount
    transaction_id: str | UnsetType = UNSET
    out_trade_no: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    notify_url: str | UnsetType = UNSET
    funds_account: str | UnsetType = UNSET
    goods_detail: list[RefundGoods] | UnsetType = UNSET


class Abnormal(Strict, kw_only=True):
    out_refund_no: str
    type: str
    bank_type: str | UnsetType = UNSET
    bank_account: str | UnsetType = UNSET
    real_name: str | UnsetType = UNSET


Shape = TypeVar("Shape", bound=Strict)

TRADE_NO: Final = re.compile(r"[0-9A-Za-z_\-|*]{6,32}")
REFUND_NO: Final = re.compile(r"[0-9A-Za-z_\-|*@]{1,64}")
NOTIFY_URL: Final = re.compile(r"https?://([^\s/?#\[\]@]+@)?([^\s/?#@:]+)(?::\d{2,5})?([^\s?#\[\]]*)", re.ASCII)
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_AT: Final = re.compile(r" - at `\$(?P<path>[^`]*)`$")
_FIELD: Final = re.compile(r"field `(?P<name>[^`]+)`")

# (path, least, most) in bytes.
PREPAY_LENGTHS: Final = (
    ("appid", 1, 32),
    ("mchid", 1, 32),
    ("description", 1, 127),
    ("out_trade_no", 6, 32),
    ("notify_url", 1, 255),
    ("attach", 0, 128),
    ("goods_tag", 0, 32),
    ("time_expire", 1, 64),
)
PREPAY_DEEP_LENGTHS: Final = (
    ("detail.invoice_id", 0, 32),
    ("scene_info.payer_client_ip", 1, 45),
    ("scene_info.device_id", 0, 32),
    ("scene_info.store_info.id", 1, 32),
    ("scene_info.store_info.name", 0, 256),
    ("scene_info.store_info.area_code", 0, 32),
    ("scene_info.store_info.address", 0, 512),
    ("scene_info.h5_info.type", 1, 32),
    ("scene_info.h5_info.app_name", 0, 64),
    ("scene_info.h5_info.app_url", 0, 128),
    ("scene_info.h5_info.bundle_id", 0, 128),
    ("scene_info.h5_info.package_name", 0, 128),
)
REFUND_LENGTHS: Final = (
    ("out_refund_no", 1, 64),
    ("out_trade_no", 6, 32),
    ("transaction_id", 1, 32),
    ("reason", 0, 80),
    ("notify_url", 1, 256),
    ("funds_account", 1, 32),
)
GOODS_LENGTHS: Final = (
    ("merchant_goods_id", 1, 32),
    ("wechatpay_goods_id", 0, 32),
    ("goods_name", 0, 256),
)
LABELS: Final = {
    "appid": "公众账号ID",
    "mchid": "直连商户号",
    "description": "商品描述",
    "out_trade_no": "商户订单号",
    "notify_url": "通知地址",
    "attach": "附加数据",
    "goods_tag": "订单优惠标记",
    "time_expire": "交易结束时间",
    "openid": "用户标识",
    "out_refund_no": "商户退款单号",
    "transaction_id": "微信支付订单号",
    "reason": "退款原因",
}
DETAIL_BYTES: Final = 6144


def read(body: bytes, decode: Callable[[bytes], Shape]) -> Shape:
    """Decode a body or refuse it the way WeChat Pay does.

    ``decode`` is the bound method of a ``msgspec.json.Decoder``.
    """
    try:
        return decode(body)
    except msgspec.ValidationError as error:
        raise invalid(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = "请求体不是合法的JSON"
        raise Refusal(400, "PARAM_ERROR", text, {"location": "body", "value": None}) from None


def invalid(text: str) -> Refusal:
    """A msgspec complaint in WeChat Pay's words."""
    at = _AT.search(text)
    path = "/body" + (at["path"] if at else "").replace(".", "/")
    named = _FIELD.search(text)
    if "unknown field" in text and named:
        detail = {"location": None, "value": [f"{path}/{named['name']}"]}
        message = "请求中含有未在API文档中定义的参数"
        return Refusal(400, "PARAM_ERROR", message, detail, number=270924358)
    if "missing required" in text and named:
        label = LABELS.get(named["name"], named["name"])
        message = f"输入源“{path}/{named['name']}”映射到字段“{label}”必填性规则校验失败，此字段为必填项"
        return Refusal(400, "PARAM_ERROR", message, {"location": "body", "value": ""})
    message = f"输入源“{path}”映射到值字段规则校验失败：{text.partition(' - at')[0]}"
    return Refusal(400, "PARAM_ERROR", message, {"location": "body", "value": None})


def measure(shape: Any, lengths: tuple[tuple[str, int, int], ...], where: str = "/body") -> None:
    """Refuse a string that is too short or too long, in bytes."""
    for path, least, most in lengths:
        value = shape
        for step in path.split("."):
            value = getattr(value, step, UNSET)
        if isinstance(value, str):
            size = len(value) if value.isascii() else len(value.encode())
            if not least <= size <= most:
                source = f"{where}/{path.replace('.', '/')}"
                bound = f"小于最小值 {least}" if size < least else f"大于最大值 {most}"
                label = LABELS.get(path.rpartition(".")[2], path)
                text = f"输入源“{source}”映射到值字段“{label}”字符串规则校验失败，字节数 {size}，{bound}"
                raise Refusal(400, "PARAM_ERROR", text, {"location": "body", "value": size})


def matches(pattern: re.Pattern[str], value: str | UnsetType, field: str, where: str) -> None:
    """Refuse a string of the wrong form."""
    if isinstance(value, str) and not pattern.fullmatch(value):
        source = "/body/" if where == "body" else "/uri_template/"
        text = f"输入源“{source}{field}”映射到值字段“{LABELS[field]}”字符串规则校验失败，格式不正确"
        raise Refusal(400, "PARAM_ERROR", text, {"location": where, "value": value})


def moment(text: str) -> float:
    """An RFC 3339 time as epoch seconds; refused when it is anything else."""
    if _MOMENT.fullmatch(text):
        try:
            return datetime.fromisoformat(text).timestamp()
        except ValueError:
            pass  # a 31st of February: refused below
    message = "输入源“/body/time_expire”映射到字段“交易结束时间”时间格式校验失败"
    raise Refusal(400, "PARAM_ERROR", message, {"location": "body", "value": text})


def currency(value: str | UnsetType) -> None:
    """Only CNY is taken."""
    if isinstance(value, str) and value != "CNY":
        text = "输入源“/body/amount/currency”映射到字段“货币类型”枚举规则校验失败"
        raise Refusal(400, "PARAM_ERROR", text, {"location": "body", "value": value})


def check_prepay(shape: Prepay) -> None:
    """Lengths and patterns of a prepay."""
    measure(shape, PREPAY_LENGTHS)
    if shape.detail is not UNSET or getattr(shape, "scene_info", UNSET) is not UNSET:
        measure(shape, PREPAY_DEEP_LENGTHS)
    if isinstance(shape, JsapiPrepay):
        measure(shape.payer, (("openid", 1, 128),), "/body/payer")
    matches(TRADE_NO, shape.out_trade_no, "out_trade_no", "body")
    matches(NOTIFY_URL, shape.notify_url, "notify_url", "body")
    currency(shape.amount.currency)
    if not isinstance(shape.detail, UnsetType):
        if not isinstance(shape.detail.goods_detail, UnsetType):
            for index, goods in enumerate(shape.detail.goods_detail):
                measure(goods, GOODS_LENGTHS, f"/body/detail/goods_detail/{index}")
        if len(msgspec.json.encode(shape.detail)) > DETAIL_BYTES:
            text = "输入源“/body/detail”映射到字段“优惠功能”长度大于最大值 6144"
            raise Refusal(400, "PARAM_ERROR", text, {"location": "body", "value": None})


def check_refund(shape: Refund) -> None:
    """Lengths and patterns of a refund, and that it names one order."""
    measure(shape, REFUND_LENGTHS)
    matches(REFUND_NO, shape.out_refund_no, "out_refund_no", "body")
    matches(TRADE_NO, shape.out_trade_no, "out_trade_no", "body")
    matches(NOTIFY_URL, shape.notify_url, "notify_url", "body")
    currency(shape.amount.currency)
    if shape.transaction_id is UNSET and shape.out_trade_no is UNSET:
        text = "transaction_id和out_trade_no必须二选一"
        raise Refusal(400, "PARAM_ERROR", text, {"location": "body", "value": ""})
    if not isinstance(shape.goods_detail, UnsetType):
        for index, goods in enumerate(shape.goods_detail):
            measure(goods, GOODS_LENGTHS, f"/body/goods_detail/{index}")
