"""A merchant for the sandbox's tests: signs, verifies and decrypts with code of its own."""

import asyncio
import base64
import functools
import json
import time
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp
from aiohttp import web
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SCHEME = "WECHATPAY2-SHA256-RSA2048"


@functools.cache
def rsa_key(pem: str) -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key(pem.encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def verifies(pem: str, message: bytes, signature: str) -> bool:
    """Whether a public key or certificate in PEM stands behind a signature."""
    if "CERTIFICATE" in pem:
        key: Any = x509.load_pem_x509_certificate(pem.encode()).public_key()
    else:
        key = serialization.load_pem_public_key(pem.encode())
    try:
        key.verify(base64.b64decode(signature), message, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


@dataclass
class Reply:
    """An answer as it came: raw body, headers, and whether its signature holds."""

    status: int
    headers: Any
    body: bytes
    signed: bool
    genuine: bool

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["code"])


@dataclass
class Merchant:
    """Calls the sandbox as a merchant's back end does."""

    block: dict[str, Any]
    session: aiohttp.ClientSession
    clock: Any = time.time
    serial: str | None = None  # what to send as Wechatpay-Serial
    count: int = 0

    def authorization(self, method: str, target: str, body: bytes, **changes: str) -> str:
        self.count += 1
        timestamp = changes.get("timestamp", str(int(self.clock())))
        nonce = changes.get("nonce_str", f"{self.count:032d}")
        message = f"{method}\n{target}\n{timestamp}\n{nonce}\n".encode() + body + b"\n"
        key = rsa_key(self.block["merchant_private_key_pem"])
        signature = base64.b64encode(key.sign(message, padding.PKCS1v15(), hashes.SHA256())).decode()
        pairs = {
            "mchid": self.block["mchid"],
            "nonce_str": nonce,
            "signature": signature,
            "timestamp": timestamp,
            "serial_no": self.block["merchant_serial_no"],
        } | changes
        return f"{SCHEME} " + ",".join(f'{k}="{v}"' for k, v in pairs.items())

    async def call(
        self, method: str, target: str, content: Any = None, *, timeout_s: float = 5.0, **headers: Any
    ) -> Reply:
        """One signed call; ``headers`` replace (None: leave out) what is sent by default."""
        body = b"" if content is None else content if isinstance(content, bytes) else dump(content)
        sent: dict[str, str | None] = {
            "Accept": "application/json",
            "User-Agent": "tests",
            "Authorization": self.authorization(method, target, body),
        }
        if body:
            sent["Content-Type"] = "application/json"
        if self.serial:
            sent["Wechatpay-Serial"] = self.serial
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(
            method,
            self.block["base_url"] + target,
            data=body or None,
            headers={k: v for k, v in sent.items() if v is not None},
            skip_auto_headers=[k for k, v in sent.items() if v is None] + ["Accept-Encoding"],
            timeout=aiohttp.ClientTimeout(total=timeout_s),
        ) as answer:
            raw = await answer.read()
            return Reply(answer.status, answer.headers, raw, *self.judge(answer.headers, raw))

    def judge(self, headers: Any, body: bytes) -> tuple[bool, bool]:
        """(carries a signature, and it is the right one)."""
        if "Wechatpay-Signature" not in headers:
            return False, False
        names = {
            self.block["platform_serial_no"]: self.block["platform_certificate_pem"],
            self.block["public_key_id"]: self.block["public_key_pem"],
        }
        pem = names.get(headers["Wechatpay-Serial"])
        message = f"{headers['Wechatpay-Timestamp']}\n{headers['Wechatpay-Nonce']}\n".encode() + body + b"\n"
        return True, pem is not None and verifies(pem, message, headers["Wechatpay-Signature"])

    def order(self, number: str, total: int = 1234, **more: Any) -> dict[str, Any]:
        """A prepay body."""
        return {
            "appid": self.block["appid"],
            "mchid": self.block["mchid"],
            "description": "测试商品",
            "out_trade_no": number,
            "notify_url": "http://127.0.0.1:1/notify",
            "amount": {"total": total, "currency": "CNY"},
        } | more

    async def prepay(self, number: str, total: int = 1234, product: str = "native", **more: Any) -> Reply:
        return await self.call("POST", f"/v3/pay/transactions/{product}", self.order(number, total, **more))

    async def query(self, number: str) -> Reply:
        return await self.call("GET", f"/v3/pay/transactions/out-trade-no/{number}?mchid={self.block['mchid']}")

    async def close(self, number: str) -> Reply:
        target = f"/v3/pay/transactions/out-trade-no/{number}/close"
        return await self.call("POST", target, {"mchid": self.block["mchid"]})

    async def refund(self, number: str, refund_no: str, refund: int, total: int = 1234, **more: Any) -> Reply:
        content = {
            "out_trade_no": number,
            "out_refund_no": refund_no,
            "amount": {"refund": refund, "total": total, "currency": "CNY"},
        } | more
        return await self.call("POST", "/v3/refund/domestic/refunds", content)

    async def query_refund(self, refund_no: str) -> Reply:
        return await self.call("GET", f"/v3/refund/domestic/refunds/{refund_no}")

    def open(self, body: bytes) -> Any:
        """What a notification's resource says."""
        resource = json.loads(body)["resource"]
        cipher = AESGCM(self.block["apiv3_key"].encode())
        sealed = base64.b64decode(resource["ciphertext"])
        plain = cipher.decrypt(resource["nonce"].encode(), sealed, resource["associated_data"].encode())
        return json.loads(plain)


def dump(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass
class Delivery:
    """A notification as it arrived."""

    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """The merchant's notify address. ``status`` and ``answer`` are what it answers."""

    status: int = 200
    answer: str = ""
    got: list[Delivery] = field(default_factory=list)
    url: str = ""
    _runner: web.AppRunner | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/{tail:.*}", self._take)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/notify"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def has(self, count: int) -> None:
        """Wait until so many have arrived."""
        async with asyncio.timeout(10):
            while len(self.got) < count:
                self._news.clear()
                await self._news.wait()

    async def _take(self, request: web.Request) -> web.Response:
        self.got.append(Delivery(request.headers, await request.read()))
        self._news.set()
        return web.Response(status=self.status, text=self.answer)
