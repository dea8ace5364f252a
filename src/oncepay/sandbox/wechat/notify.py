"""Notifications: sealed, signed, delivered, and repeated on the vendor's own schedule.

A delivery is taken when it is answered with 200 or 204 within five seconds. Otherwise it comes
again, 15 times over 24 h 04 min: same id, same body byte for byte, a new signature each time.
"""

import base64
import hashlib
from itertools import accumulate
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from oncepay.sandbox import notices
from oncepay.sandbox.clock import rfc3339
from oncepay.sandbox.notices import Notice
from oncepay.sandbox.vendor import Ground
from oncepay.sandbox.wechat.books import Order
from oncepay.sandbox.wechat.books import Refund as RefundRecord
from oncepay.sandbox.wechat.keys import Ring, letters
from oncepay.sandbox.wechat.wire import SCHEME, probe

# Seconds between a failed delivery and the next. Source: WeChat Pay, 回调通知处理,
# "15s/15s/30s/3m/10m/20m/30m/30m/30m/60m/3h/3h/3h/6h/6h - 总计 24h4m".
GAPS_S: Final = (
    15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10800, 10800, 10800, 21600, 21600,
)  # fmt: skip
OFFSETS_S: Final = tuple(accumulate(GAPS_S, initial=0))
ANSWER_S: Final = 5.0
TAKEN: Final = frozenset((200, 204))
SUMMARIES: Final = {
    "TRANSACTION.SUCCESS": "支付成功",
    "REFUND.SUCCESS": "退款成功",
    "REFUND.ABNORMAL": "退款异常",
    "REFUND.CLOSED": "退款关闭",
}
_HEADERS: Final = {
    "Accept": "*/*",
    "Cache-Control": "no-cache",
    "Content-Type": "application/json",
    "Pragma": "no-cache",
    "User-Agent": "Mozilla/4.0",
}


class Notifier(notices.Notifier):
    """Seals and signs what is delivered."""

    def __init__(self, ring: Ring, ground: Ground) -> None:
        super().__init__("wechat.notice", GAPS_S, ANSWER_S, ground)
        self._ring = ring
        self._dice = ground.dice

    def payment(self, order: Order, content: dict[str, Any]) -> None:
        """Tell the merchant that an order was paid."""
        self._tell(order, "TRANSACTION.SUCCESS", order.notify_url, "transaction", content)

    def refund(self, order: Order, refund: RefundRecord, content: dict[str, Any]) -> None:
        """Tell the merchant how a refund ended, at the refund's own address; of a console refund in version 2."""
        if refund.notify_url:
            event = f"REFUND.{refund.status}"
            self._tell(order, event, refund.notify_url, "refund", content, two=refund.by_console)

    def compose(self, order: Order, event: str, url: str, kind: str, content: dict[str, Any]) -> Notice:
        """The notification's body: the content sealed with the merchant's APIv3 key."""
        now = self._clock.now()
        nonce = letters(self._dice, 12)
        plain = msgspec.json.encode(content)
        drawn = self._dice.randbytes(16).hex()
        notice_id = f"{drawn[:8]}-{drawn[8:12]}-4{drawn[13:16]}-a{drawn[17:20]}-{drawn[20:]}"
        body = {
            "id": notice_id,
            "create_time": rfc3339(now),
            "resource_type": "encrypt-resource",
            "event_type": event,
            "summary": SUMMARIES[event],
            "resource": {
                "original_type": kind,
                "algorithm": "AEAD_AES_256_GCM",
                "ciphertext": self._ring.seal(order.mchid, plain, nonce, kind),
                "associated_data": kind,
                "nonce": nonce,
            },
        }
        text = msgspec.json.encode(body).decode()
        return Notice(notice_id, order.mchid, order.number, event, url, text, due=now)

    def dress(self, notice: Notice, *, forged: bool) -> tuple[dict[str, str], bytes]:
        """Fresh timestamp, nonce and signature; version 2 XML carries none of them."""
        if notice.instead:
            return {**_HEADERS, "Content-Type": "text/xml"}, notice.instead.encode()
        ring, body = self._ring, notice.body.encode()
        timestamp, nonce = str(int(self._clock.now())), letters(self._dice, 32)
        public = self.switches.notify_key == "public_key" or not self.switches.platform_certificates
        if self._faults.strike("pubkey_mix", "notify", notice.number):
            public = not public
        signer_id = ring.file.public_key_id if public else ring.certificate_serial
        signature = ring.forge(timestamp, nonce, body) if forged else ring.sign(signer_id, timestamp, nonce, body)
        if self._faults.strike("signtest_notify", "notify", notice.number):
            signature = probe(signature)
        headers = {
            **_HEADERS,
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Serial": signer_id,
            "Wechatpay-Signature": signature,
            "Wechatpay-Signature-Type": SCHEME,
            "Wechatpay-Timestamp": timestamp,
        }
        return headers, body

    def took(self, status: int, _: bytes) -> bool:
        """The status alone says it."""
        return status in TAKEN

    def _tell(
        self, order: Order, event: str, url: str, kind: str, content: dict[str, Any], *, two: bool = False
    ) -> None:
        notice = self.compose(order, event, url, kind, content)
        if two or self._faults.strike("notify_xml", "notify", order.number):
            notice.instead = version_two(self._ring.merchants[order.mchid].apiv3_key, event, content)
        self.begin(notice)


def version_two(key: str, event: str, content: dict[str, Any]) -> str:
    """A notification in version 2 XML, as a console refund still sends it.

    A refund's content is AES-256-ECB under the hex MD5 of the merchant's key.
    """
    names = {"total": "total_fee", "refund": "refund_fee"}
    flat = {k: v for k, v in content.items() if isinstance(v, str)}
    flat |= {names[k]: str(v) for k, v in content["amount"].items() if k in names}
    if event.startswith("REFUND"):
        inner = "".join(f"<{k}><![CDATA[{v}]]></{k}>" for k, v in flat.items()).encode()
        pad = 16 - len(inner) % 16
        hashed = hashlib.md5(key.encode(), usedforsecurity=False).hexdigest().encode()
        cipher = Cipher(algorithms.AES(hashed), modes.ECB()).encryptor()  # noqa: S305 theirs
        sealed = cipher.update(inner + bytes([pad]) * pad) + cipher.finalize()
        flat = {"mch_id": content["mchid"], "req_info": base64.b64encode(sealed).decode()}
    rows = "".join(f"<{k}><![CDATA[{v}]]></{k}>" for k, v in flat.items())
    return f"<xml><return_code><![CDATA[SUCCESS]]></return_code>{rows}</xml>"
