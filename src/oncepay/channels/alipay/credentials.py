"""What the payer gets: a code to scan, a page of Alipay's to open, or an order that an app hands to Alipay's SDK.

=========  =======================================================================================================
page, wap  ``{"type": "url", "url": ...}``: the browser is led there
app        ``{"type": "order_string", "order_string": ...}``: handed to the SDK as it is
precreate  ``{"type": "qr", "code_url": ...}``
=========  =======================================================================================================

All but the last are made without any call: whoever holds one may bring it to Alipay until the trade is paid, closed or
expired. Its time is the attempt's own, so it is the same whenever it is made.
"""

from __future__ import annotations

from typing import Final

import msgspec

from oncepay.channels.alipay.opened import Opened
from oncepay.channels.alipay.requests import RETURNING, signed, stored
from oncepay.channels.forms import encoded
from oncepay.domain.attempt import Attempt
from oncepay.domain.capabilities import H
from oncepay.domain.change import Credential

QR_LIFE_MS: Final = 2 * H


def made(attempt: Attempt, opened: Opened, body: bytes) -> Credential:
    """Of page, wap and app. ``body``: the stored first body."""
    parameters = signed(opened, stored(body), at_ms=attempt.created_ms)
    if attempt.method in RETURNING:
        content = {"type": "url", "url": f"{opened.base_urls[0]}?{encoded(parameters)}"}
    else:
        signature = parameters.pop("sign")
        ordered = {name: parameters[name] for name in sorted(parameters)}
        content = {"type": "order_string", "order_string": encoded({**ordered, "sign": signature})}
    return Credential(body=msgspec.json.encode(content).decode(), until_ms=attempt.expires_ms)


def scanned(qr_code: str, attempt: Attempt, *, now_ms: int) -> Credential:
    """Of a precreate. Its life counts from when it was made."""
    content = msgspec.json.encode({"type": "qr", "code_url": qr_code})
    return Credential(
        body=content.decode(), until_ms=min(attempt.expires_ms or now_ms + QR_LIFE_MS, now_ms + QR_LIFE_MS)
    )
