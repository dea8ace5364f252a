"""Notifications: sealed, signed, delivered, and repeated on the vendor's own schedule.

A delivery is taken when it is answered with 200 or 204 within five seconds. Otherwise it comes
again, 15 times over 24 h 04 min: same id, same body byte for byte, a new signature each time.
"""

import asyncio
import base64
import hashlib
import logging
from collections import deque
from itertools import accumulate
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from oncepay.sandbox.clock import Clock, Dice, rfc3339
from oncepay.sandbox.faults import Faults, Rule
from oncepay.sandbox.journal import Journal
from oncepay.sandbox.post import Poster
from oncepay.sandbox.switches import Switches
from oncepay.sandbox.wechat.books import Order
from oncepay.sandbox.wechat.books import Refund as RefundRecord
from oncepay.sandbox.wechat.keys import Ring, letters
from oncepay.sandbox.wechat.wire import SCHEME, probe

log = logging.getLogger(__name__)

# Seconds between a failed delivery and the next. Source: WeChat Pay, 回调通知处理,
# "15s/15s/30s/3m/10m/20m/30m/30m/30m/60m/3h/3h/3h/6h/6h - 总计 24h4m".
GAPS_S: Final = (
    15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10800, 10800, 10800, 21600, 21600,
)  # fmt: skip
OFFSETS_S: Final = tuple(accumulate(GAPS_S, initial=0))
ANSWER_S: Final = 5.0
TAKEN: Final = frozenset((200, 204))
RECENT_MAX: Final = 2000
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


class Notice(msgspec.Struct):
    """One notification and how far its delivery has come. Times in epoch seconds."""

    id: str
    mchid: str
    number: str  # the order's
    event: str
    url: str
    body: str
    due: float
    tries: int = 0
    taken: bool = False
    last_status: int | None = None  # None: no answer, or not tried yet
    xml: str = ""  # the version 2 form, when that fault struck


class Notifier:
    """Delivers notifications over pooled keep-alive connections."""

    def __init__(
        self,
        ring: Ring,
        *,
        clock: Clock,
        dice: Dice,
        faults: Faults,
        switches: Switches,
        journal: Journal,
    ) -> None:
        self._ring = ring
        self._clock = clock
        self._dice = dice
        self._faults = faults
        self.switches = switches
        self._journal = journal
        self._poster = Poster()
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: dict[str, list[Notice]] = {}
        self.recent: deque[Notice] = deque(maxlen=RECENT_MAX)

    def restore(self, kept: dict[str, bytes]) -> None:
        """Take up the deliveries that an earlier process did not finish."""
        for raw in kept.values():
            self._schedule(msgspec.json.decode(raw, type=Notice))

    def payment(self, order: Order, content: dict[str, Any]) -> None:
        """Tell the merchant that an order was paid."""
        self._begin(order, "TRANSACTION.SUCCESS", order.notify_url, "transaction", content)

    def refund(self, order: Order, refund: RefundRecord, content: dict[str, Any]) -> None:
        """Tell the merchant how a refund ended, at the refund's own address."""
        if refund.notify_url:
            self._begin(order, f"REFUND.{refund.status}", refund.notify_url, "refund", content)

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

    def headers(self, notice: Notice, body: bytes, *, forged: bool = False) -> dict[str, str]:
        """A delivery's headers: fresh timestamp, nonce and signature, which a stranger may make."""
        ring, numbers = self._ring, (notice.number,)
        timestamp, nonce = str(int(self._clock.now())), letters(self._dice, 32)
        public = self.switches.notify_key == "public_key" or not self.switches.platform_certificates
        if self._faults.strike("pubkey_mix", "notify", *numbers):
            public = not public
        signer_id = ring.file.public_key_id if public else ring.certificate_serial
        if forged or self._faults.strike("notify_forged", "notify", *numbers):
            signature = ring.forge(timestamp, nonce, body)
        else:
            signature = ring.sign(signer_id, timestamp, nonce, body)
        if self._faults.strike("signtest_notify", "notify", *numbers):
            signature = probe(signature)
        return {
            **_HEADERS,
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Serial": signer_id,
            "Wechatpay-Signature": signature,
            "Wechatpay-Signature-Type": SCHEME,
            "Wechatpay-Timestamp": timestamp,
        }

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> int | None:
        """Deliver once; the status answered, or None when there was no answer in time."""
        return await self._poster.post(url, headers, body, ANSWER_S)

    async def settle(self) -> None:
        """Wait for the deliveries that are under way now."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._poster.close()

    def _begin(self, order: Order, event: str, url: str, kind: str, content: dict[str, Any]) -> None:
        notice = self.compose(order, event, url, kind, content)
        faults, number = self._faults, order.number
        delay_s = self.switches.notify_delay_s
        self.recent.append(notice)
        if faults.strike("notify_none", "notify", number):
            return
        if faults.strike("notify_xml", "notify", number):
            notice.xml = version_two(self._ring.merchants[order.mchid].apiv3_key, event, content)
        late = faults.strike("notify_late", "notify", number)
        if late is not None:
            delay_s += 60.0 if late.seconds is None else late.seconds
        notice.due += delay_s
        self._note(notice)
        held = faults.strike("notify_reordered", "notify", number)
        if held is not None:
            self._hold(notice, held)
        else:
            self._schedule(notice)

    def _hold(self, notice: Notice, rule: Rule) -> None:
        """Keep a notification back until the next one of its order, or for some time."""
        waiting = self._held.setdefault(notice.number, [])
        waiting.append(notice)

        def release() -> None:
            if notice in waiting:
                waiting.remove(notice)
                self._schedule(notice)

        seconds = 60.0 if rule.seconds is None else rule.seconds
        self._clock.at(self._clock.now() + seconds, release)

    def _schedule(self, notice: Notice) -> None:
        if notice.due <= self._clock.now():
            self._start(notice)
        else:
            self._clock.at(notice.due, lambda: self._start(notice))

    def _start(self, notice: Notice) -> None:
        task = asyncio.get_running_loop().create_task(self._deliver(notice))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, notice: Notice) -> None:
        body = (notice.xml or notice.body).encode()
        headers = self.headers(notice, body)
        if notice.xml:
            headers = {**_HEADERS, "Content-Type": "text/xml"}
        notice.tries += 1
        notice.last_status = None
        if not self._faults.strike("notify_lost", "notify", notice.number):
            notice.last_status = await self.post(notice.url, headers, body)
        if self._faults.strike("notify_duplicate", "notify", notice.number):
            await self.post(notice.url, self.headers(notice, body), body)
        if notice.last_status in TAKEN:
            notice.taken = True
            self._journal.note("wechat.notice", notice.id, None)
        elif notice.tries <= len(GAPS_S):
            notice.due = self._clock.now() + GAPS_S[notice.tries - 1]
            self._note(notice)
            self._schedule(notice)
        else:
            log.info("notice.given_up id=%s number=%s", notice.id, notice.number)
            self._journal.note("wechat.notice", notice.id, None)
        waiting = self._held.pop(notice.number, [])
        while waiting:  # emptied, so that the release by time finds nothing
            self._schedule(waiting.pop(0))

    def _note(self, notice: Notice) -> None:
        self._journal.note("wechat.notice", notice.id, notice)


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
