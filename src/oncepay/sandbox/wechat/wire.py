"""The bytes of WeChat Pay APIv3: reading an ``Authorization``, refusing, answering signed.

Order of checks and texts of refusals follow the live host as far as it was probed: a request that
is not authenticated is answered without any ``Wechatpay-*`` header, and tells nothing more.
"""

import re
from email.utils import formatdate
from typing import Any, Final

import msgspec

from oncepay.sandbox.clock import Dice
from oncepay.sandbox.server import Request
from oncepay.sandbox.wechat.keys import Ring

SCHEME: Final = "WECHATPAY2-SHA256-RSA2048"
WINDOW_S: Final = 300  # how far a timestamp may be from our clock, either way
JSON: Final = b"application/json; charset=utf-8"
PROBE: Final = "WECHATPAY/SIGNTEST/"

# The number at the end of a Request-ID: 0, or the vendor's numeric error code.
NUMBERS: Final = {
    "PARAM_ERROR": 268435461,
    "ORDER_NOT_EXIST": 268512771,
    "ORDERPAID": 268449538,
    "ORDER_PAID": 268449538,
    "ORDER_CLOSED": 268447914,
    "OUT_TRADE_NO_USED": 268498688,
    "SIGN_ERROR": 268443699,
    "APPID_MCHID_NOT_MATCH": 268445527,
    "FREQUENCY_LIMITED": 268447840,
    "NO_AUTH": 268443715,
    "NOT_ENOUGH": 268892709,
}
UNNUMBERED: Final = 268435461

_PAIR: Final = r'(\w+)="([^"]*)"'
_PAIRS: Final = re.compile(_PAIR)
_LIST: Final = re.compile(rf"{_PAIR}(?:,{_PAIR}){{4}}")
_ATTRIBUTES: Final = frozenset(("mchid", "nonce_str", "signature", "timestamp", "serial_no"))


class Refusal(Exception):
    """An error answer. ``signed`` is false for whatever is refused before authentication."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        detail: dict[str, Any] | None = None,
        *,
        number: int | None = None,
        signed: bool = True,
        request_id: bool = True,
    ) -> None:
        super().__init__(f"{status} {code} {message}")
        self.status = status
        self.body = encode(
            {"code": code, "message": message}
            if detail is None
            else {"code": code, "detail": detail, "message": message}
        )
        self.number = NUMBERS.get(code, UNNUMBERED) if number is None else number
        self.signed = signed
        self.request_id = request_id


def encode(value: Any) -> bytes:
    """Compact UTF-8 JSON with keys in alphabetical order, as API responses have it."""
    return msgspec.json.encode(value, order="sorted")


def unauthorised(message: str, *, request_id: bool = True) -> Refusal:
    """A 401: refused before anything was looked at; configuration or clock, never business."""
    return Refusal(401, "SIGN_ERROR", message, signed=False, request_id=request_id)


def check_headers(request: Request) -> None:
    """Refuse a request without User-Agent or Accept, before its Authorization is looked at."""
    missing = not request.headers.get(b"user-agent")
    if request.path.startswith("/v3/pay/"):
        if missing:
            raise unauthorised("签名信息错误，验签失败", request_id=False)
    elif missing or not request.headers.get(b"accept"):
        text = "Http头缺少Accept或User-Agent"
        raise Refusal(400, "INVALID_REQUEST", text, signed=False)


def authenticate(request: Request, ring: Ring, now: float) -> tuple[str, str]:
    """Check scheme, attributes, timestamp, serial and signature, in the live host's order.

    Returns the merchant and the nonce; raises an unsigned 401 otherwise.
    """
    pay = request.path.startswith("/v3/pay/")
    id_sent = not pay  # the 401 of /v3/pay/transactions carries no Request-ID
    scheme, _, rest = request.header(b"authorization").partition(" ")
    if scheme and scheme != SCHEME:
        raise unauthorised("HTTP头Authorization认证类型不正确", request_id=id_sent)
    pairs = dict(_PAIRS.findall(rest)) if _LIST.fullmatch(rest) else {}
    if pairs.keys() != _ATTRIBUTES or not pairs["timestamp"].isdecimal():
        text = "Http头Authorization值格式错误，请参考《微信支付商户REST API签名规则》"
        raise unauthorised("签名信息错误，验签失败" if pay else text, request_id=id_sent)
    timestamp = pairs["timestamp"]
    if abs(now - int(timestamp[:15])) > WINDOW_S:
        text = "Http头Authorization中的timestamp与发起请求的时间不得超过5分钟"
        raise unauthorised(text, request_id=id_sent)
    nonce = pairs["nonce_str"]
    head = f"{request.method}\n{request.target}\n{timestamp}\n{nonce}\n"
    message = head.encode("latin-1") + request.body + b"\n"
    believed = ring.believes(pairs["mchid"], pairs["serial_no"], message, pairs["signature"])
    if believed is None:
        text = "商户证书序列号有误。请使用签名私钥匹配的证书序列号"
        raise unauthorised(text, request_id=id_sent)
    if not believed:
        raise unauthorised("签名错误", request_id=id_sent)
    return pairs["mchid"], nonce


class Answer(msgspec.Struct):
    """What goes back: ``signer_id`` names the key to sign with, None for an unsigned answer."""

    status: int
    body: bytes = b""
    signer_id: str | None = None
    number: int = 0
    content_type: bytes = JSON
    request_id: bool = True
    age_s: int = 0  # how old the timestamp pretends to be (fault stale_200)
    forged: bool = False  # signed by a stranger (fault forged_200)
    probe: bool = False  # a signature that must not verify (fault signtest_response)


class Writer:
    """Turns an Answer into status, headers and body, signing where the vendor signs."""

    def __init__(self, ring: Ring, dice: Dice) -> None:
        self._ring = ring
        self._dice = dice
        self._date_second = 0
        self._date = b""

    def headers(self, answer: Answer, now: float) -> list[tuple[bytes, bytes]]:
        """The headers in the order captures show."""
        second = int(now)
        if second != self._date_second:
            self._date_second = second
            self._date = formatdate(second, usegmt=True).encode()
        headers = [
            (b"Server", b"nginx"),
            (b"Date", self._date),
            (b"Content-Type", answer.content_type),
            (b"Content-Length", str(len(answer.body)).encode()),
            (b"Connection", b"keep-alive"),
            (b"Keep-Alive", b"timeout=8"),
            (b"Cache-Control", b"no-cache, must-revalidate"),
            (b"X-Content-Type-Options", b"nosniff"),
        ]
        if answer.request_id:
            drawn = self._dice.randbytes(16).hex().upper()
            headers.append((b"Request-ID", f"08{drawn}-{answer.number or 0}".encode()))
        headers.append((b"Content-Language", b"zh-CN"))
        if answer.signer_id is not None:
            timestamp = str(second - answer.age_s)
            nonce = self._dice.randbytes(16).hex()
            headers += self.signature(answer, timestamp, nonce)
        return headers

    def signature(self, answer: Answer, timestamp: str, nonce: str) -> list[tuple[bytes, bytes]]:
        """The five ``Wechatpay-*`` headers over the exact body; a 204 is signed over nothing."""
        signer_id = answer.signer_id or ""
        if answer.forged:
            signature = self._ring.forge(timestamp, nonce, answer.body)
        else:
            signature = self._ring.sign(signer_id, timestamp, nonce, answer.body)
        if answer.probe:
            signature = probe(signature)
        return [
            (b"Wechatpay-Nonce", nonce.encode()),
            (b"Wechatpay-Signature", signature.encode()),
            (b"Wechatpay-Timestamp", timestamp.encode()),
            (b"Wechatpay-Serial", signer_id.encode()),
            (b"Wechatpay-Signature-Type", SCHEME.encode()),
        ]


def probe(signature: str) -> str:
    """A signature as WeChat Pay's probe traffic carries it: it must fail to verify."""
    return PROBE + signature[len(PROBE) :]
