"""What the payer gets: a code to scan, an address to open, or parameters with which a page or an app calls WeChat.

======  ==========================================================================================================
native  ``{"type": "qr", "code_url": ...}``
h5      ``{"type": "url", "h5_url": ...}``; the front end may append ``&redirect_url=``
jsapi   ``{"type": "invoke", "appId", "timeStamp", "nonceStr", "package", "signType", "paySign"}``
app     ``{"type": "invoke", "appid", "partnerid", "prepayid", "package", "noncestr", "timestamp", "sign"}``
======  ==========================================================================================================

Parameters are signed with the merchant's key over four lines: app, timestamp, nonce, prepay id (for a page the whole
``package``). Source: the pages 调起支付 of both products.
"""

from __future__ import annotations

import msgspec

from oncepay.channels.rsa import sign
from oncepay.channels.wechat.accounts import Opened
from oncepay.channels.wechat.wire import Prepaid
from oncepay.domain.attempt import Attempt
from oncepay.domain.capabilities import Method
from oncepay.domain.change import Credential


def credential(
    prepaid: Prepaid, attempt: Attempt, method: Method, opened: Opened, *, now_ms: int, nonce: str
) -> Credential:
    """Its own life does not end with the time to pay, but what it is good for does. Raises ValueError when what the
    method needs is not in the answer."""
    name, until_ms = attempt.method, now_ms + method.credential_life_ms
    if name == "native":
        body = {"type": "qr", "code_url": _there(prepaid.code_url)}
    elif name == "h5":
        body = {"type": "url", "h5_url": _there(prepaid.h5_url)}
    elif name == "jsapi":
        body = page_parameters(_there(prepaid.prepay_id), opened, now_ms=now_ms, nonce=nonce)
    else:
        body = app_parameters(_there(prepaid.prepay_id), opened, now_ms=now_ms, nonce=nonce)
    return Credential(body=msgspec.json.encode(body).decode(), until_ms=min(attempt.expires_ms or until_ms, until_ms))


def _there(text: str) -> str:
    if not text:
        raise ValueError("the credential is missing")
    return text


def page_parameters(prepay_id: str, opened: Opened, *, now_ms: int, nonce: str) -> dict[str, str]:
    """For a page inside WeChat, and for a mini program (which leaves ``appId`` out)."""
    stamp, package = str(now_ms // 1000), f"prepay_id={prepay_id}"
    message = f"{opened.appid}\n{stamp}\n{nonce}\n{package}\n"
    return {
        "type": "invoke",
        "appId": opened.appid,
        "timeStamp": stamp,
        "nonceStr": nonce,
        "package": package,
        "signType": "RSA",
        "paySign": sign(opened.signer, message.encode()),
    }


def app_parameters(prepay_id: str, opened: Opened, *, now_ms: int, nonce: str) -> dict[str, str]:
    """For a native app."""
    stamp = str(now_ms // 1000)
    message = f"{opened.appid}\n{stamp}\n{nonce}\n{prepay_id}\n"
    return {
        "type": "invoke",
        "appid": opened.appid,
        "partnerid": opened.mchid,
        "prepayid": prepay_id,
        "package": "Sign=WXPay",
        "noncestr": nonce,
        "timestamp": stamp,
        "sign": sign(opened.signer, message.encode()),
    }
