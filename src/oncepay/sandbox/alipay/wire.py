"""The bytes of ``/gateway.do``: reading a signed request, refusing it, answering signed.

Checks stand in the live gateway's order as far as it is known: the app first, then the kind of signature, then the
signature; what is refused up to there is answered without one. Answers are signed over the text of their one member
exactly as it goes out, slashes escaped, in the request's charset.
"""

import base64
import re
from datetime import datetime
from email.utils import formatdate
from typing import Any, Final, Literal
from urllib.parse import unquote_to_bytes

import msgspec

from oncepay.sandbox.alipay.keys import Ring
from oncepay.sandbox.alipay.switches import AlipaySwitches
from oncepay.sandbox.clock import beijing
from oncepay.sandbox.server import Request

MESSAGES: Final = {
    "10000": "Success",
    "20000": "Service Currently Unavailable",
    "20001": "Insufficient Token Permissions",
    "40001": "Missing Required Arguments",
    "40002": "Invalid Arguments",
    "40003": "Insufficient Conditions",
    "40004": "Business Failed",
    "40005": "Call Limited",
    "40006": "Insufficient Permissions",
}
TEXTS: Final = {
    "isv.invalid-app-id": "无效的AppID参数",
    "isv.invalid-signature": "无效签名",
    "isv.invalid-method": "不存在的方法名",
    "ACQ.TRADE_NOT_EXIST": "交易不存在",
    "ACQ.SYSTEM_ERROR": "系统错误",
    "ACQ.TRADE_HAS_SUCCESS": "交易已被支付",
    "ACQ.TRADE_HAS_CLOSE": "交易已经关闭",
    "ACQ.CONTEXT_INCONSISTENT": "交易信息被篡改",
    "ACQ.TRADE_STATUS_ERROR": "交易状态不合法",
    "ACQ.TRADE_HAS_FINISHED": "交易已完结",
    "ACQ.DISCORDANT_REPEAT_REQUEST": "不一致的请求",
    "ACQ.SELLER_BALANCE_NOT_ENOUGH": "卖家余额不足",
    "ACQ.INVALID_PARAMETER": "参数无效",
}
CODECS: Final = {"utf-8": "utf-8", "gbk": "gbk", "gb2312": "gbk"}
TIME: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.ASCII)
HTML: Final = b"text/html;charset="

Signed = Literal["right", "none", "stranger", "corrupt"]


class Refusal(Exception):
    """An error answer. ``signed`` is false for whatever is refused before the app is believed."""

    def __init__(
        self, code: str, sub_code: str, text: str = "", members: dict[str, Any] | None = None, *, signed: bool = True
    ) -> None:
        super().__init__(f"{code} {sub_code}")
        self.code = code
        self.sub_code = sub_code
        self.text = text or TEXTS.get(sub_code, sub_code)
        self.members = members or {}
        self.signed = signed


def failed(word: str, text: str = "", members: dict[str, Any] | None = None) -> Refusal:
    """A business failure: 40004 with ``ACQ.`` and this word."""
    return Refusal("40004", f"ACQ.{word}", text, members)


class Call(msgspec.Struct):
    """One request, read: its parameters as sent, decoded once in their charset."""

    params: dict[str, str]
    charset: str  # as the request wrote it
    codec: str

    def get(self, name: str) -> str:
        return self.params.get(name, "")


def read(request: Request) -> Call:
    """Merge query and form and decode them. Raises Refusal, unsigned."""
    pairs = _split(request.query.encode("latin-1"))
    if request.method == "POST":
        pairs += _split(request.body)
    return read_pairs(pairs)


def read_text(text: str) -> Call:
    """As ``read``, of an order string or of the query of a URL."""
    return read_pairs(_split(text.encode()))


def read_pairs(pairs: list[tuple[str, bytes]]) -> Call:
    raw = dict(pairs)
    charset = raw.get("charset", b"").decode("latin-1")
    codec = CODECS.get(charset.lower())
    if len(raw) != len(pairs):
        raise _refuse("40002", "isv.invalid-parameter", "参数重复")
    if codec is None:  # told apart from the rest only once the app is known; see authenticate
        return Call({name: value.decode("utf-8", "replace") for name, value in raw.items()}, charset, "")
    try:
        params = {name: value.decode(codec) for name, value in raw.items()}
    except UnicodeDecodeError:
        raise _refuse("40002", "isv.invalid-signature", "编码与charset不一致") from None
    return Call(params, charset, codec)


def _split(text: bytes) -> list[tuple[str, bytes]]:
    pairs = []
    for part in text.strip().split(b"&"):
        if part:
            name, _, value = part.partition(b"=")
            pairs.append((unquote_to_bytes(name).decode("latin-1"), unquote_to_bytes(value.replace(b"+", b" "))))
    return pairs


def signed_text(params: dict[str, str], *leave_out: str) -> str:
    """What is signed: all that is not empty, sorted by name, joined raw."""
    return "&".join([f"{k}={params[k]}" for k in sorted(params) if params[k] and k not in leave_out])


def authenticate(call: Call, ring: Ring, switches: AlipaySwitches, now: float, *, page: bool) -> bool:
    """Check app, kind of signature, signature, and the rest of the common parameters; in that order.

    Returns whether the request is in certificate mode. ``page``: a browser brings it, at any time.
    """
    _believe(call, ring)
    timestamp = _need(call, "timestamp", "timestamp")
    window_s = None if page else switches.timestamp_window_s
    if not _is_time(timestamp) or (window_s is not None and abs(moment(timestamp) - now) > window_s):
        raise _refuse("40002", "isv.invalid-timestamp", "非法的时间戳参数")
    if _need(call, "version", "version") != "1.0":
        raise _refuse("40002", "isv.invalid-version", "无效的版本号")
    if call.get("format") not in ("", "JSON", "json"):
        raise _refuse("40002", "isv.invalid-format", "无效的数据格式")
    if call.get("encrypt_type"):
        raise _refuse("40001", "isv.missing-encrypt-key", "应用未配置加密算法的密钥")
    if call.get("app_auth_token"):
        raise _refuse("20001", "aop.invalid-app-auth-token", "无效的应用授权令牌")
    return _certified(call, ring, switches, now)


def _believe(call: Call, ring: Ring) -> None:
    """Whether the app that is named signed this."""
    app_id = _need(call, "app_id", "app-id")
    if app_id not in ring.merchants:
        raise _refuse("40002", "isv.invalid-app-id")
    sign_type = _need(call, "sign_type", "signature-type")
    if sign_type == "RSA":
        raise _refuse("40003", "isv.missing-signature-config", "应用未配置对应签名算法的公钥")
    if sign_type != "RSA2":
        raise _refuse("40002", "isv.invalid-signature-type", "无效的签名类型")
    sign = _need(call, "sign", "signature")
    _need(call, "charset", "charset")
    if not call.codec:
        raise _refuse("40002", "isv.invalid-charset", "字符集错误")
    if not ring.believes(app_id, signed_text(call.params, "sign").encode(call.codec), sign):
        raise _refuse("40002", "isv.invalid-signature", "验签出错，建议检查签名字符串或签名私钥与应用公钥是否匹配")


def _refuse(code: str, sub_code: str, text: str = "") -> Refusal:
    return Refusal(code, sub_code, text, signed=False)


def _need(call: Call, name: str, word: str) -> str:
    if not call.get(name):
        raise _refuse("40001", f"isv.missing-{word}", f"缺少{name}参数")
    return call.get(name)


def _certified(call: Call, ring: Ring, switches: AlipaySwitches, now: float) -> bool:
    """Whether the request is in certificate mode, with the right serials."""
    named = {name: call.get(name) for name in ("app_cert_sn", "alipay_root_cert_sn")}
    wanted = switches.mode == "certificate" or (switches.mode == "either" and any(named.values()))
    if not wanted:
        return False
    for name in named:
        _need(call, name, name.replace("_", "-"))
    serial, end = ring.app_certs[call.get("app_id")]
    if named["app_cert_sn"] != serial:
        raise _refuse("40002", "isv.invalid-app-cert-sn", "应用公钥证书SN不匹配")
    if now >= end:
        raise _refuse("40002", "isv.app-cert-expired", "应用公钥证书已过期")
    if named["alipay_root_cert_sn"] != ring.root_cert_sn:
        raise _refuse("40002", "isv.invalid-alipay-root-cert-sn", "支付宝根证书SN不匹配")
    return True


def _is_time(text: str) -> bool:
    if not TIME.fullmatch(text):
        return False
    try:
        moment(text)
    except ValueError:
        return False
    return True


def moment(text: str) -> float:
    """``yyyy-MM-dd HH:mm:ss`` in Beijing as epoch seconds. Raises ValueError."""
    return datetime.fromisoformat(f"{text}+08:00").timestamp()


def shown(at: float) -> str:
    """Epoch seconds as Alipay writes them.

    >>> shown(1800000000)
    '2027-01-15 16:00:00'
    """
    return f"{beijing(at):%Y-%m-%d %H:%M:%S}"


def yuan(fen: int) -> str:
    """An amount as Alipay writes it.

    >>> yuan(8888), yuan(1)
    ('88.88', '0.01')
    """
    return f"{fen // 100}.{fen % 100:02d}"


class Answer(msgspec.Struct):
    """What goes back: the one member, and who signs it. ``cert_sn`` is named in certificate mode."""

    root: str
    content: dict[str, Any]
    codec: str = "utf-8"
    signed: Signed = "right"
    cert_sn: str = ""

    def body(self, ring: Ring) -> bytes:
        """The answer's bytes; the signature is over the member's own bytes."""
        text = dump(self.content).encode(self.codec, "replace")
        parts = [b'{"', self.root.encode(), b'":', text]
        if self.cert_sn:
            parts += (b',"alipay_cert_sn":"', self.cert_sn.encode(), b'"')
        if self.signed != "none":
            sign = ring.forge(text) if self.signed == "stranger" else ring.sign(text)
            if self.signed == "corrupt":
                sign = sign[:40] + ("A" if sign[40] != "A" else "B") + sign[41:]
            parts += (b',"sign":"', sign.encode(), b'"')
        parts.append(b"}")
        return b"".join(parts)


def dump(content: dict[str, Any]) -> str:
    """Compact JSON as the gateway writes it: what code and message are first, the rest by name, slashes escaped."""
    head = {k: content[k] for k in ("code", "msg", "sub_code", "sub_msg") if k in content}
    rest = {k: content[k] for k in sorted(content) if k not in head}
    return msgspec.json.encode(head | rest).decode().replace("/", "\\/")


def armoured(pem: str) -> str:
    """A certificate file as an answer carries it."""
    return base64.b64encode(pem.encode()).decode()


class Dates:
    """The Date header, made once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._text = b""

    def at(self, now: float) -> bytes:
        if int(now) != self._second:
            self._second = int(now)
            self._text = formatdate(self._second, usegmt=True).encode()
        return self._text
