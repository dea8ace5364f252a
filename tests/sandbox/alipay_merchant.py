"""A merchant of Alipay's for the sandbox's tests: signs, extracts and verifies with code of its own."""

import base64
import json
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote_plus, urlencode

import aiohttp
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from tests.sandbox.merchant import Delivery, rsa_key, verifies

BEIJING = timezone(timedelta(hours=8))


@dataclass
class AliReply:
    """An answer as it came: the raw body, its one member, and whether its signature holds."""

    status: int
    headers: Any
    raw: bytes
    root: str
    content: dict[str, Any]
    sign: str | None
    genuine: bool
    cert_sn: str | None

    @property
    def code(self) -> str:
        """``10000``, or the sub code."""
        return str(self.content.get("sub_code", self.content["code"]))

    def __getitem__(self, name: str) -> Any:
        return self.content[name]


def member_of(text: str, root: str) -> str:
    """The raw text of a JSON object's member, found by a scanner that knows strings and escapes."""
    start = text.index("{", text.index(f'"{root}"'))
    depth, at, quoted = 0, start, False
    while True:
        char = text[at]
        if quoted and char == "\\":
            at += 1
        elif char == '"':
            quoted = not quoted
        elif not quoted:
            depth += (char == "{") - (char == "}")
            if depth == 0:
                return text[start : at + 1]
        at += 1


@dataclass
class AliMerchant:
    """Calls the sandbox as a merchant's back end does."""

    block: dict[str, Any]
    session: aiohttp.ClientSession
    clock: Any = time.time
    certified: bool = False  # certificate mode
    charset: str = "utf-8"
    notify_url: str = ""
    return_url: str = ""
    common: dict[str, str] = field(default_factory=dict)  # replace what is sent by default; "" leaves out

    def params(self, method: str, content: Any, **more: str) -> dict[str, str]:
        """All parameters of a request, signed."""
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        at = datetime.fromtimestamp(self.clock(), BEIJING)
        params = {
            "app_id": self.block["app_id"],
            "method": method,
            "format": "JSON",
            "charset": self.charset,
            "sign_type": "RSA2",
            "timestamp": f"{at:%Y-%m-%d %H:%M:%S}",
            "version": "1.0",
            "biz_content": text,
        }
        if self.certified:
            params |= {name: self.block[name] for name in ("app_cert_sn", "alipay_root_cert_sn")}
        params |= self.common | more
        params = {name: value for name, value in params.items() if value}
        message = "&".join(f"{name}={params[name]}" for name in sorted(params))
        key = rsa_key(self.block["app_private_key_pem"])
        codec = "utf-8" if self.charset == "utf-8" else "gbk"
        sign = key.sign(message.encode(codec), padding.PKCS1v15(), hashes.SHA256())
        return params | {"sign": base64.b64encode(sign).decode()}

    async def call(self, method: str, content: Any, *, timeout_s: float = 5.0, **more: str) -> AliReply:
        """One signed call, laid out as the official SDKs do."""
        return await self.send(self.params(f"alipay.{method}", content, **more), timeout_s=timeout_s)

    async def send(self, params: dict[str, str], *, timeout_s: float = 5.0) -> AliReply:
        codec = "utf-8" if self.charset == "utf-8" else "gbk"
        query = urlencode({k: v for k, v in params.items() if k != "biz_content"}, encoding=codec)
        async with self.session.post(
            f"{self.block['gateway_url']}?{query}",
            data=b"biz_content=" + quote_plus(params.get("biz_content", ""), encoding=codec).encode(),
            headers={"Content-Type": f"application/x-www-form-urlencoded;charset={codec}"},
            timeout=aiohttp.ClientTimeout(total=timeout_s),
        ) as answer:
            raw = await answer.read()
            return self.judge(answer.status, answer.headers, raw)

    def judge(self, status: int, headers: Any, raw: bytes) -> AliReply:
        text = raw.decode("utf-8" if self.charset == "utf-8" else "gbk")
        told = json.loads(text)
        root = next(iter(told))
        sign = told.get("sign")
        signed = member_of(text, root).encode("utf-8" if self.charset == "utf-8" else "gbk")
        genuine = sign is not None and verifies(self.block["alipay_public_key_pem"], signed, sign)
        return AliReply(status, headers, raw, root, told[root], sign, genuine, told.get("alipay_cert_sn"))

    def order(self, number: str, amount: str = "12.34", **more: Any) -> dict[str, Any]:
        return {"out_trade_no": number, "total_amount": amount, "subject": "测试 商品"} | more

    def urls(self) -> dict[str, str]:
        return {"notify_url": self.notify_url, "return_url": self.return_url}

    async def precreate(self, number: str, amount: str = "12.34", **more: Any) -> AliReply:
        return await self.call("trade.precreate", self.order(number, amount, **more), notify_url=self.notify_url)

    def page(self, number: str, amount: str = "12.34", method: str = "page", **more: Any) -> str:
        """The address of a signed page, or an app's order string."""
        product = {"page": "FAST_INSTANT_TRADE_PAY", "wap": "QUICK_WAP_WAY", "app": "QUICK_MSECURITY_PAY"}[method]
        content = self.order(number, amount, product_code=product, **more)
        text = urlencode(self.params(f"alipay.trade.{method}.pay", content, **self.urls()), encoding=self.charset)
        return text if method == "app" else f"{self.block['gateway_url']}?{text}"

    async def query(self, number: str) -> AliReply:
        return await self.call("trade.query", {"out_trade_no": number})

    async def close(self, number: str) -> AliReply:
        return await self.call("trade.close", {"out_trade_no": number})

    async def cancel(self, number: str) -> AliReply:
        return await self.call("trade.cancel", {"out_trade_no": number})

    async def refund(self, number: str, request_no: str, amount: str, **more: Any) -> AliReply:
        content = {"out_trade_no": number, "refund_amount": amount, "out_request_no": request_no} | more
        return await self.call("trade.refund", {k: v for k, v in content.items() if v})

    async def query_refund(self, number: str, request_no: str, *options: str) -> AliReply:
        content = {"out_trade_no": number, "out_request_no": request_no, "query_options": list(options)}
        return await self.call("trade.fastpay.refund.query", content)

    def told(self, delivery: Delivery) -> dict[str, str]:
        """A notification's members; its signature must hold."""
        told, genuine = self.heard(delivery.body)
        assert genuine, told
        return told

    def heard(self, body: bytes) -> tuple[dict[str, str], bool]:
        """What a form (or a return address's query) says, and whether Alipay signed it."""
        charset = parse_qs(body.decode()).get("charset", ["utf-8"])[0]
        told = dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True, encoding=charset))
        signed = "&".join(f"{k}={told[k]}" for k in sorted(told) if k not in ("sign", "sign_type"))
        return told, verifies(self.block["alipay_public_key_pem"], signed.encode(charset), told["sign"])
