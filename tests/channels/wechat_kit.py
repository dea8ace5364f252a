"""WeChat Pay's side for the tests of its channel: keys from the vectors, and whatever it might say, properly signed."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key

from oncepay.channels.wechat import WechatPay
from oncepay.domain.attempt import Attempt, Call, Direction
from oncepay.ports import Account, Answer, Answered, Channel, Read

VECTORS: Final[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "vectors" / "wechat_pay.json").read_text())
KEYS: Final[dict[str, str]] = VECTORS["keys"]
MCHID, APPID = KEYS["mchid"], KEYS["appid"]
SERIAL, KEY_ID = KEYS["platform_certificate_serial_no"], KEYS["wechatpay_public_key_id"]
NOW_MS: Final = 1_800_000_000_000
NONCE: Final = "5f4dcc3b5aa765d61d8327deb882cf99"
NO, REFUND_NO = "PC20270115160000000001", "RF20270115170000000001"


def private_key(name: str) -> RSAPrivateKey:
    """One of the vectors' private keys."""
    key = load_der_private_key(base64.b64decode(KEYS[name]), None)
    assert isinstance(key, RSAPrivateKey)
    return key


PLATFORM_KEY: Final = private_key("platform_private_key_pkcs8_der_base64")
PUBLIC_KEY: Final = private_key("wechatpay_public_key_private_for_the_simulator_pkcs8_der_base64")
MERCHANT_PEM: Final = (
    private_key("merchant_private_key_pkcs8_der_base64")
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode()
)
CERTIFICATE: Final = {"serial_no": SERIAL, "pem": KEYS["platform_certificate_pem"]}
SETTINGS: Final[dict[str, Any]] = {
    "merchant_serial_no": KEYS["merchant_certificate_serial_no"],
    "public_key_id": KEY_ID,
    "public_key_pem": KEYS["wechatpay_public_key_pem"],
    "platform_certificates": [CERTIFICATE],
}
ACCOUNT: Final = Account(
    id="wx-main",
    channel="wechat",
    identity={"mchid": MCHID, "appid": APPID},
    settings=SETTINGS,
    secrets={"merchant_private_key_pem": MERCHANT_PEM, "apiv3_key": KEYS["apiv3_key"]},
)
CHANNEL: Final[Channel] = WechatPay()


def account(*, drop: tuple[str, ...] = (), **fields: Any) -> Account:
    """The account with some settings changed or dropped."""
    settings = {k: v for k, v in (SETTINGS | fields).items() if k not in drop}
    return msgspec.structs.replace(ACCOUNT, settings=settings)


def order(no: str = NO, method: str = "native", minor: int = 1234) -> Attempt:
    """An attempt to take money in."""
    return Attempt(
        no=no,
        channel="wechat",
        account="wx-main",
        method=method,
        minor=minor,
        currency="CNY",
        created_ms=NOW_MS,
        expires_ms=NOW_MS + 1_800_000,
    )


def refund(no: str = REFUND_NO, of: str = NO, minor: int = 234) -> Attempt:
    """An attempt to give money back."""
    return Attempt(
        no=no,
        direction=Direction.OUT,
        channel="wechat",
        account="wx-main",
        minor=minor,
        currency="CNY",
        created_ms=NOW_MS,
        refund_no="r-1",
        of=of,
    )


def lower(headers: Mapping[str, str]) -> dict[str, str]:
    """Names as the ports have them."""
    return {name.lower(): value for name, value in headers.items()}


def signature(message: bytes, key: RSAPrivateKey = PLATFORM_KEY) -> str:
    return base64.b64encode(key.sign(message, PKCS1v15(), hashes.SHA256())).decode()


def headers(
    body: bytes, *, at_ms: int = NOW_MS, key: RSAPrivateKey = PLATFORM_KEY, serial: str = SERIAL, nonce: str = NONCE
) -> dict[str, str]:
    """What is sent beside a signed body."""
    stamp = str(at_ms // 1000)
    return {
        "content-type": "application/json",
        "wechatpay-nonce": nonce,
        "wechatpay-signature": signature(f"{stamp}\n{nonce}\n".encode() + body + b"\n", key),
        "wechatpay-timestamp": stamp,
        "wechatpay-serial": serial,
        "wechatpay-signature-type": "WECHATPAY2-SHA256-RSA2048",
    }


def answered(status: int, body: object = b"", **how: Any) -> Answered:
    """A signed answer. ``body``: bytes as they are, anything else as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    return Answered(status=status, headers=headers(raw, **how), body=raw)


def unsigned(status: int, body: bytes = b"") -> Answered:
    return Answered(status=status, headers={"content-type": "text/html"}, body=body)


def read(call: Call, answer: Answer, attempt: Attempt | None = None, *, to: Account = ACCOUNT) -> Read:
    """What the channel makes of an answer."""
    if attempt is None:
        attempt = refund() if call in {Call.REFUND, Call.QUERY_REFUND} else order()
    return CHANNEL.read(call, answer, attempt, to, now_ms=NOW_MS, nonce=NONCE)


def trade(state: str, **fields: Any) -> dict[str, Any]:
    """What the query says of an order."""
    told: dict[str, Any] = {
        "amount": {"currency": "CNY", "payer_currency": "CNY", "payer_total": 1234, "total": 1234},
        "appid": APPID,
        "attach": "pc:7",
        "mchid": MCHID,
        "out_trade_no": NO,
        "success_time": "2027-01-15T16:05:00+08:00",
        "trade_state": state,
        "transaction_id": "4200009999202701150000000001",
    }
    return told | fields


def refund_told(status: str, **fields: Any) -> dict[str, Any]:
    """What the refund call and its query say."""
    told: dict[str, Any] = {
        "amount": {"currency": "CNY", "from": [], "refund": 234, "total": 1234},
        "out_refund_no": REFUND_NO,
        "out_trade_no": NO,
        "refund_id": "50300009992027011500000000001",
        "status": status,
        "transaction_id": "4200009999202701150000000001",
    }
    return told | fields


def notified(
    plain: bytes | dict[str, Any],
    *,
    event: str = "TRANSACTION.SUCCESS",
    original: str = "transaction",
    resource: Mapping[str, Any] | None = None,
    nonce: str = "Ab3dEf6hIj9k",
) -> bytes:
    """The body of a notification. ``resource``: members changed after sealing."""
    raw = plain if isinstance(plain, bytes) else json.dumps(plain, ensure_ascii=False).encode()
    sealed = AESGCM(KEYS["apiv3_key"].encode()).encrypt(nonce.encode(), raw, original.encode())
    told = {
        "original_type": original,
        "algorithm": "AEAD_AES_256_GCM",
        "ciphertext": base64.b64encode(sealed).decode(),
        "associated_data": original,
        "nonce": nonce,
    }
    return json.dumps(
        {
            "id": "11111111-2222-5333-8444-555555555555",
            "event_type": event,
            "resource_type": "encrypt-resource",
            "resource": told | dict(resource or {}),
        },
        separators=(",", ":"),
    ).encode()
