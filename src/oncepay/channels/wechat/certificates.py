"""The vendor's certificates: fetched, opened with the APIv3 key, added to the ones we hold. Old ones stay, since a
message that was signed with them may still come; each ends by its own date.

The first download cannot be verified with a key we hold, there is none. What opens with the APIv3 key was sealed by
someone who knows it, so the certificates themselves are believed; the answer must then verify with one of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from oncepay.channels.wechat.accounts import Opened, certificate
from oncepay.channels.wechat.keys import Doubt, Verifier, unseal, verify
from oncepay.channels.wechat.requests import CERTIFICATES as TARGET
from oncepay.channels.wechat.requests import signed
from oncepay.channels.wechat.wire import CERTIFICATES, decode
from oncepay.ports import Answer, Answered, Request

SETTING: Final = "platform_certificates"


def build(opened: Opened, *, now_ms: int, nonce: str) -> Request:
    """The request that fetches them."""
    return signed(opened, "GET", TARGET, b"", now_ms=now_ms, nonce=nonce)


def read(answer: Answer, opened: Opened, *, now_ms: int) -> Mapping[str, Any] | None:
    """The account's settings with new certificates added, or None when the answer is not believed. Never raises.
    A merchant that has only the public key gets 404 here: None."""
    if not isinstance(answer, Answered) or answer.status != 200:
        return None
    try:
        listed = decode(CERTIFICATES, answer.body).data
        found = {each.serial_no: unseal(opened.sealer, each.encrypt_certificate).decode() for each in listed}
        verifiers: dict[str, Verifier] = {serial_no: certificate(serial_no, pem) for serial_no, pem in found.items()}
    except ValueError:
        return None
    if isinstance(verify(answer.headers, answer.body, {**opened.verifiers, **verifiers}, now_ms=now_ms), Doubt):
        return None
    settings = opened.account.settings
    held = list(settings.get(SETTING, ()))
    known = {entry["serial_no"] for entry in held}
    new = [{"serial_no": serial_no, "pem": pem} for serial_no, pem in found.items() if serial_no not in known]
    return {**settings, SETTING: held + new} if new else settings
