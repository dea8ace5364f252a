"""Webhook signatures, as the Standard Webhooks specification has them (v1: HMAC-SHA256 with a shared secret).

What is signed is ``<webhook-id>.<webhook-timestamp>.<body>``. While a secret is rotated, a message carries one
signature per secret, so that a receiver that knows either of them is content.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hmac
from functools import lru_cache
from typing import Final

PREFIX: Final = "whsec_"
KEY_BYTES_MIN: Final = 24  # the specification: between 24 bytes (192 bits) and 64 bytes (512 bits)
KEY_BYTES_MAX: Final = 64


class SecretInvalid(ValueError):
    """The secret is not ``whsec_`` and the base64 of 24 to 64 bytes. The message never quotes it."""


def key_of(secret: str) -> bytes:
    """The key behind a secret. Raises SecretInvalid."""
    if not secret.startswith(PREFIX):
        raise SecretInvalid(f"a webhook secret starts with {PREFIX}")
    text = secret.removeprefix(PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)  # padding may be left out
    except (binascii.Error, ValueError) as error:
        raise SecretInvalid(f"after {PREFIX} a webhook secret is base64") from error
    if not KEY_BYTES_MIN <= len(key) <= KEY_BYTES_MAX:
        raise SecretInvalid(f"a webhook secret has {KEY_BYTES_MIN} to {KEY_BYTES_MAX} bytes, not {len(key)}")
    return key


@lru_cache(maxsize=1024)
def _keyed(secrets: tuple[str, ...]) -> tuple[hmac.HMAC, ...]:
    """For each secret an HMAC that has taken its key in, to be copied for each message."""
    if not secrets:
        raise SecretInvalid("an endpoint needs a secret")
    return tuple(hmac.new(key_of(secret), digestmod="sha256") for secret in secrets)


def sign(secrets: tuple[str, ...], message_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """The three headers of a message: one signature for each secret, in their order (newest first).

    ``message_id`` must not hold a full stop, or two messages could share what is signed. Raises SecretInvalid.
    """
    if "." in message_id:
        raise ValueError(f"a message id holds no full stop: {message_id}")
    signed = b"%b.%d.%b" % (message_id.encode(), timestamp_s, body)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join([_v1(keyed, signed) for keyed in _keyed(secrets)]),
    }


def _v1(keyed: hmac.HMAC, signed: bytes) -> str:
    mac = keyed.copy()
    mac.update(signed)
    return "v1," + binascii.b2a_base64(mac.digest(), newline=False).decode()
