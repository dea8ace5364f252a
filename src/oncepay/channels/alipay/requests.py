"""What we say to Alipay: first bodies, made once for a number and repeated to the letter, and signed requests.

Signed is every parameter that is sent but ``sign``, sorted by name, ``name=value`` joined by ``&``, values as they are
before they are URL-encoded. ``biz_content`` is one JSON text and is sent as it was signed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from oncepay.channels.alipay import options as vendor
from oncepay.channels.alipay.keys import SIGN_TYPE
from oncepay.channels.alipay.opened import Opened
from oncepay.channels.alipay.wire import time_text
from oncepay.channels.forms import encoded
from oncepay.channels.rsa import sign
from oncepay.channels.texts import CNY, cut
from oncepay.domain.attempt import Attempt, Call
from oncepay.domain.errors import AmountInvalid, MethodUnknown
from oncepay.domain.money import decimal_text
from oncepay.ports import Draft, Request

PRECREATE: Final = "alipay.trade.precreate"
REFUND: Final = "alipay.trade.refund"
# By the way to pay: the method, and the product that it is sold as. A precreate without one is FACE_TO_FACE_PAYMENT.
PAYING: Final = {
    "page": ("alipay.trade.page.pay", "FAST_INSTANT_TRADE_PAY"),
    "wap": ("alipay.trade.wap.pay", "QUICK_WAP_WAY"),
    "app": ("alipay.trade.app.pay", "QUICK_MSECURITY_PAY"),
    "precreate": (PRECREATE, ""),
}
METHODS: Final = {
    Call.PREPAY: PRECREATE,
    Call.QUERY: "alipay.trade.query",
    Call.CLOSE: "alipay.trade.close",
    Call.CANCEL: "alipay.trade.cancel",
    Call.REFUND: REFUND,
    Call.QUERY_REFUND: "alipay.trade.fastpay.refund.query",
}
RETURNING: Final = frozenset({"page", "wap"})  # where the payer's browser comes back

SUBJECT_MAX: Final = 256  # in bytes of UTF-8, so that it fits whatever the vendor counts
REASON_MAX: Final = 256
ECHO_MAX: Final = 512
TOTAL_MAX: Final = 100_000_000_00  # fen
# The vendor takes none of these in a subject; their full-width sisters say the same to a person.
_SUBJECT: Final = str.maketrans("/=&", "／＝＆")


class Stored(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A first body: all that is signed but what is said anew each time (keys, timestamp)."""

    method: str
    notify_url: str = ""
    return_url: str = ""
    biz_content: str


def draft_order(draft: Draft) -> bytes:
    """The first body of a payment. Raises AmountInvalid, and Invalid for options that ``check_start`` refuses."""
    attempt = draft.attempt
    if attempt.minor > TOTAL_MAX:
        raise AmountInvalid(f"minor is {attempt.minor}, alipay takes at most {TOTAL_MAX}", field="minor")
    method, product = PAYING[attempt.method]
    content: dict[str, Any] = {
        "out_trade_no": attempt.no,
        "total_amount": decimal_text(attempt.minor, CNY),
        "subject": cut(draft.subject.translate(_SUBJECT), SUBJECT_MAX),
    }
    if product:
        content["product_code"] = product
    if attempt.expires_ms:
        content["time_expire"] = time_text(attempt.expires_ms)
    echo = quote(f"{draft.app}:{draft.order_no}", safe="")
    if len(echo) <= ECHO_MAX:
        content["passback_params"] = echo
    if attempt.method == "wap" and (quit_url := draft.payer.get("quit_url") or draft.return_url):
        content["quit_url"] = quit_url
    content |= msgspec.to_builtins(vendor.read(attempt.method, draft.options))
    first = Stored(
        method=method,
        notify_url=draft.notify_url,
        return_url=draft.return_url if attempt.method in RETURNING else "",
        biz_content=msgspec.json.encode(content).decode(),
    )
    return msgspec.json.encode(first)


def draft_refund(draft: Draft) -> bytes:
    """The first body of a refund. It has no address of its own: notices go where those of the payment go."""
    attempt = draft.attempt
    if not attempt.of:
        raise ValueError(f"refund {attempt.no} reverses nothing")
    content = {
        "out_trade_no": attempt.of,
        "refund_amount": decimal_text(attempt.minor, CNY),
        "out_request_no": attempt.no,
    }
    if draft.note:
        content["refund_reason"] = cut(draft.note, REASON_MAX)
    return msgspec.json.encode(Stored(method=REFUND, biz_content=msgspec.json.encode(content).decode()))


def stored(body: bytes) -> Stored:
    """A first body, read again."""
    return msgspec.json.decode(body, type=Stored)


def build(call: Call, attempt: Attempt, opened: Opened, *, body: bytes, now_ms: int, host: int) -> Request:
    """The signed request of a call. Raises MethodUnknown for a prepay of what is made without a call."""
    if call is Call.PREPAY and attempt.method != "precreate":
        raise MethodUnknown(f"{attempt.method!r} is made without a call", field="method")
    if call in {Call.PREPAY, Call.REFUND}:
        return posted(opened, signed(opened, stored(body), at_ms=now_ms), host=host)
    if call is Call.QUERY_REFUND:
        content: dict[str, Any] = {
            "out_trade_no": attempt.of,
            "out_request_no": attempt.no,
            "query_options": ["gmt_refund_pay"],
        }
    else:
        content = {"out_trade_no": attempt.no}
    return call_of(opened, METHODS[call], content, now_ms=now_ms, host=host)


def call_of(opened: Opened, method: str, content: Mapping[str, Any], *, now_ms: int, host: int = 0) -> Request:
    """A signed request that is made anew each time."""
    anew = Stored(method=method, biz_content=msgspec.json.encode(content).decode())
    return posted(opened, signed(opened, anew, at_ms=now_ms), host=host)


def signed(opened: Opened, stored: Stored, *, at_ms: int) -> dict[str, str]:
    """All parameters of a request, signed."""
    parameters = {
        "app_id": opened.app_id,
        "method": stored.method,
        "format": "JSON",
        "charset": "utf-8",
        "sign_type": SIGN_TYPE,
        "timestamp": time_text(at_ms),
        "version": "1.0",
        "notify_url": stored.notify_url,
        "return_url": stored.return_url,
        **opened.serials,
        "biz_content": stored.biz_content,
    }
    return seal(opened.signer, parameters)


def seal(signer: RSAPrivateKey, parameters: Mapping[str, str]) -> dict[str, str]:
    """Sign parameters, in the charset that they name. What is empty is neither signed nor sent."""
    sent = {name: value for name, value in parameters.items() if value}
    text = "&".join(f"{name}={sent[name]}" for name in sorted(sent))
    content = sent.pop("biz_content")
    return {**sent, "sign": sign(signer, text.encode(sent["charset"])), "biz_content": content}


def posted(opened: Opened, parameters: Mapping[str, str], *, host: int = 0) -> Request:
    """The request: common parameters in the query, the content in the body."""
    charset = parameters["charset"]
    common = {name: value for name, value in parameters.items() if name != "biz_content"}
    form = ("Content-Type", f"application/x-www-form-urlencoded;charset={charset}")
    return Request(
        method="POST",
        url=f"{opened.base_urls[host % len(opened.base_urls)]}?{encoded(common, charset)}",
        headers=(("Accept", "application/json"), ("User-Agent", "oncepay"), form),
        body=encoded({"biz_content": parameters["biz_content"]}, charset).encode(),
    )
