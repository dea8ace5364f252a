"""What we say to WeChat Pay: first bodies, made once for a number and repeated byte for byte, and signed requests.

Signed is ``METHOD LF target LF timestamp LF nonce LF body LF``: path and query exactly as sent, without the host, so a
second host could take the same signature. A signature is good for five minutes only, so every call is signed anew.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

import msgspec

from oncepay.channels.rsa import sign
from oncepay.channels.texts import cut
from oncepay.channels.wechat import options as vendor
from oncepay.channels.wechat.accounts import Opened
from oncepay.channels.wechat.wire import time_text
from oncepay.domain.attempt import Attempt, Call
from oncepay.ports import Draft, Request

ORDERS: Final = "/v3/pay/transactions"
REFUNDS: Final = "/v3/refund/domestic/refunds"
CERTIFICATES: Final = "/v3/certificates"

# In bytes of UTF-8: the documentation says characters, the live service counts bytes.
DESCRIPTION_MAX: Final = 127
REASON_MAX: Final = 80
ATTACH_MAX: Final = 128

_JSON: Final = ("Content-Type", "application/json")


def draft_order(draft: Draft, opened: Opened) -> bytes:
    """The body of a prepay. Raises Invalid for options that ``check_start`` would have refused."""
    attempt, payer = draft.attempt, draft.payer
    wanted = vendor.read(draft.options)
    body: dict[str, Any] = {
        "appid": opened.appid,
        "mchid": opened.mchid,
        "description": cut(draft.subject, DESCRIPTION_MAX),
        "out_trade_no": attempt.no,
    }
    if attempt.expires_ms:
        body["time_expire"] = time_text(attempt.expires_ms)
    attach = f"{draft.app}:{draft.order_no}"
    if len(attach.encode()) <= ATTACH_MAX:
        body["attach"] = attach
    body["notify_url"] = draft.notify_url
    body["amount"] = {"total": attempt.minor, "currency": attempt.currency}
    if attempt.method == "jsapi":
        body["payer"] = {"openid": payer["openid"]}
    if wanted is not vendor.NONE:
        body |= {
            name: value
            for name in ("goods_tag", "support_fapiao", "detail")
            if (value := getattr(wanted, name)) is not None
        }
        if wanted.profit_sharing is not None:
            body["settle_info"] = {"profit_sharing": wanted.profit_sharing}
    if "client_ip" in payer:
        body["scene_info"] = _scene(draft, wanted)
    return msgspec.json.encode(body)


def _scene(draft: Draft, wanted: vendor.Options) -> dict[str, Any]:
    payer = draft.payer
    scene: dict[str, Any] = {"payer_client_ip": payer["client_ip"]}
    if wanted.device_id is not None:
        scene["device_id"] = wanted.device_id
    if wanted.store_info is not None:
        scene["store_info"] = wanted.store_info
    if draft.attempt.method == "h5":
        named = ("app_name", "app_url", "bundle_id", "package_name")
        scene["h5_info"] = {"type": payer.get("h5_type", "Wap")} | {n: payer[n] for n in named if n in payer}
    return scene


def draft_refund(draft: Draft) -> bytes:
    """The body of a refund. ``draft.paying`` is the attempt that it reverses."""
    attempt, paying = draft.attempt, draft.paying
    if paying is None:
        raise ValueError(f"refund {attempt.no} reverses nothing")
    body: dict[str, Any] = {"transaction_id": paying.trade_no} if paying.trade_no else {"out_trade_no": paying.no}
    body["out_refund_no"] = attempt.no
    if draft.note:
        body["reason"] = cut(draft.note, REASON_MAX)
    body["notify_url"] = draft.notify_url  # without it the console's address gets a v2 message in XML
    body["amount"] = {"refund": attempt.minor, "total": paying.minor, "currency": attempt.currency}
    return msgspec.json.encode(body)


def build(call: Call, attempt: Attempt, opened: Opened, *, body: bytes, now_ms: int, nonce: str, host: int) -> Request:
    """The signed request of a call."""
    no = attempt.no
    if not (no.isascii() and no.isalnum()):  # a number that was adopted from a message may hold anything
        no = quote(no, safe="")
    if call is Call.PREPAY:
        return signed(opened, "POST", f"{ORDERS}/{attempt.method}", body, now_ms=now_ms, nonce=nonce, host=host)
    if call is Call.QUERY:
        target = f"{ORDERS}/out-trade-no/{no}?mchid={opened.mchid}"
        return signed(opened, "GET", target, b"", now_ms=now_ms, nonce=nonce, host=host)
    if call is Call.CLOSE:
        target = f"{ORDERS}/out-trade-no/{no}/close"
        return signed(opened, "POST", target, opened.close_body, now_ms=now_ms, nonce=nonce, host=host)
    if call is Call.REFUND:
        return signed(opened, "POST", REFUNDS, body, now_ms=now_ms, nonce=nonce, host=host)
    return signed(opened, "GET", f"{REFUNDS}/{no}", b"", now_ms=now_ms, nonce=nonce, host=host)


def signed(opened: Opened, method: str, target: str, body: bytes, *, now_ms: int, nonce: str, host: int = 0) -> Request:
    """Sign one request. ``target``: path and query, percent-encoded."""
    stamp = str(now_ms // 1000)
    message = b"%b\n%b\n" % (f"{method}\n{target}\n{stamp}\n{nonce}".encode(), body)
    authorization = (
        f'{opened.authorization}{nonce}",signature="{sign(opened.signer, message)}'
        f'",timestamp="{stamp}{opened.authorization_end}'
    )
    headers = (("Authorization", authorization), *opened.headers)
    return Request(
        method=method,
        url=opened.base_urls[host % len(opened.base_urls)] + target,
        headers=(*headers, _JSON) if body else headers,
        body=body,
    )
