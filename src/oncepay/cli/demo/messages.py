"""Standard Webhooks, read as a shop reads it from the public specification: the signature covers ``id.timestamp.body``.

Written apart from the centre's own signing on purpose: two readings of one specification.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

TOLERANCE_S: Final = 300


class Forged(Exception):
    """The message is not believed."""


def verify(secret: str, headers: Mapping[str, str], body: bytes, now_s: float) -> None:
    """Raises Forged. ``secret``: ``whsec_`` and base64. ``headers``: names in lower case."""
    message_id, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not message_id or not stamp.isdecimal():
        raise Forged("no id or no timestamp")
    if abs(now_s - int(stamp)) > TOLERANCE_S:
        raise Forged("signed at another time")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    wanted = hmac.digest(key, f"{message_id}.{stamp}.".encode() + body, hashlib.sha256)
    for signature in headers.get("webhook-signature", "").split():
        version, _, text = signature.partition(",")
        try:
            given = base64.b64decode(text, validate=True)
        except binascii.Error:
            continue
        if version == "v1" and hmac.compare_digest(given, wanted):
            return
    raise Forged("no signature fits")
