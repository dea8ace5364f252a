"""What the payer gets: a form that takes the browser to UnionPay, a code to scan, or a number for the app's control.

======  ==========================================================================================================
front   ``{"type": "form", "action": ..., "fields": {...}}``, to be posted by the payer's browser; made without a call
qr      ``{"type": "qr", "code_url": "https://qr.95516.com/..."}``
app     ``{"type": "tn", "tn": ...}``
======  ==========================================================================================================

All work until ``payTimeout``. None can be had twice by a call: a repeated one is answered with "duplicate".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from oncepay.channels.unionpay.accounts import Opened
from oncepay.channels.unionpay.requests import FRONT, read_body, signed
from oncepay.domain.attempt import Attempt
from oncepay.domain.change import Credential

_TN: Final = re.compile(r"[0-9A-Za-z]{1,64}", re.ASCII)
_CODE: Final = re.compile(r"[a-z]+://[!-~]{1,500}", re.ASCII)


def front(attempt: Attempt, opened: Opened, *, body: bytes) -> Credential:
    """Of the stored first body and the account's keys alone: the same whenever it is made."""
    fields = signed(read_body(body), opened)
    return _made({"type": "form", "action": opened.base_urls[0] + FRONT, "fields": fields}, attempt)


def answered(fields: Mapping[str, str], attempt: Attempt) -> Credential:
    """Of the answer to an apply. Raises ValueError when what the method needs is not there."""
    if attempt.method == "app":
        return _made({"type": "tn", "tn": _there(fields, "tn", _TN)}, attempt)
    return _made({"type": "qr", "code_url": _there(fields, "qrCode", _CODE)}, attempt)


def _made(body: dict[str, Any], attempt: Attempt) -> Credential:
    return Credential(body=msgspec.json.encode(body).decode(), until_ms=attempt.expires_ms)


def _there(fields: Mapping[str, str], name: str, pattern: re.Pattern[str]) -> str:
    text = fields.get(name, "")
    if not pattern.fullmatch(text):
        raise ValueError(f"{name} is missing or malformed")
    return text
