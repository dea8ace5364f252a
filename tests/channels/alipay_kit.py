"""Alipay's side for the tests of its channel: keys from the vectors, and whatever it might say, properly signed."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote_plus

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key

from oncepay.channels.alipay import Alipay
from oncepay.domain.attempt import Attempt, Call, Direction
from oncepay.domain.change import Evidence
from oncepay.ports import Account, Answer, Answered, Channel, Notice, Read, Refused

VECTORS: Final[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "vectors" / "alipay.json").read_text())
KEYS: Final[dict[str, str]] = VECTORS["keys"]
CERTIFICATES: Final[dict[str, Any]] = VECTORS["certificates"]
APP_ID, SELLER_ID = "2021000000000001", "2088101122136241"
SERIAL: Final[str] = CERTIFICATES["alipay_cert_sn"]
NOW_MS: Final = 1_800_000_000_000  # 2027-01-15 16:00:00 in Beijing
NONCE: Final = "5f4dcc3b5aa765d61d8327deb882cf99"
NO, REFUND_NO, TRADE_NO = "PC202603010001", "RF202603020001", "2026030122001481071400000001"
GATEWAY: Final = "https://openapi.example.test/gateway.do"


def private_key(name: str) -> RSAPrivateKey:
    """One of the vectors' private keys."""
    key = load_der_private_key(base64.b64decode(KEYS[name]), None)
    assert isinstance(key, RSAPrivateKey)
    return key


ALIPAY_KEY: Final = private_key("alipay_private_key_pkcs8_der_base64")
APP_KEY: Final = private_key("app_private_key_pkcs8_der_base64")
ACCOUNT: Final = Account(
    id="ali-main",
    channel="alipay",
    identity={"app_id": APP_ID, "seller_id": SELLER_ID},
    settings={"alipay_public_key": KEYS["alipay_public_key_pem"], "base_urls": [GATEWAY]},
    secrets={"app_private_key": KEYS["app_private_key_pkcs8_der_base64"]},
)
CERTIFIED: Final = msgspec.structs.replace(
    ACCOUNT,
    id="ali-certified",
    settings={
        "app_cert": CERTIFICATES["app_cert_pem"],
        "alipay_cert": CERTIFICATES["alipay_cert_pem"] + CERTIFICATES["issuing_ca_pem"],
        "alipay_root_cert": CERTIFICATES["root_bundle_pem"],
        "base_urls": [GATEWAY],
    },
)
CHANNEL: Final[Channel] = Alipay()


def account(of: Account = ACCOUNT, *, drop: tuple[str, ...] = (), **fields: Any) -> Account:
    """An account with some settings changed or dropped."""
    settings = {k: v for k, v in {**of.settings, **fields}.items() if k not in drop}
    return msgspec.structs.replace(of, settings=settings)


def order(no: str = NO, method: str = "precreate", minor: int = 8888, **fields: Any) -> Attempt:
    """An attempt to take money in."""
    return Attempt(
        no=no,
        channel="alipay",
        account="ali-main",
        method=method,
        minor=minor,
        currency="CNY",
        created_ms=NOW_MS,
        expires_ms=NOW_MS + 1_800_000,
        **fields,
    )


def refund(no: str = REFUND_NO, of: str = NO, minor: int = 888) -> Attempt:
    """An attempt to give money back."""
    return Attempt(
        no=no,
        direction=Direction.OUT,
        channel="alipay",
        account="ali-main",
        minor=minor,
        currency="CNY",
        created_ms=NOW_MS,
        refund_no="r-1",
        of=of,
        calls=1,
    )


def signature(message: bytes, key: RSAPrivateKey = ALIPAY_KEY) -> str:
    return base64.b64encode(key.sign(message, PKCS1v15(), hashes.SHA256())).decode()


# -- answers ---------------------------------------------------------------------------------------------------------

ROOTS: Final = {
    Call.PREPAY: "alipay_trade_precreate_response",
    Call.QUERY: "alipay_trade_query_response",
    Call.CLOSE: "alipay_trade_close_response",
    Call.CANCEL: "alipay_trade_cancel_response",
    Call.REFUND: "alipay_trade_refund_response",
    Call.QUERY_REFUND: "alipay_trade_fastpay_refund_query_response",
}
OUT: Final = frozenset({Call.REFUND, Call.QUERY_REFUND})


def raw(body: bytes, *, status: int = 200) -> Answered:
    """An answer to the letter."""
    return Answered(status=status, headers={"content-type": "text/html;charset=utf-8"}, body=body)


def text_of(content: object) -> bytes:
    """As the gateway writes it: bytes as they are, anything else as JSON with escaped slashes."""
    if isinstance(content, bytes):
        return content
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("/", "\\/").encode()


def answered(
    call: Call, content: object, *, key: RSAPrivateKey = ALIPAY_KEY, serial: str = "", root: str = "", status: int = 200
) -> Answered:
    """A signed answer."""
    text = text_of(content)
    named = b',"alipay_cert_sn":"%b"' % serial.encode() if serial else b""
    body = b'{"%b":%b%b,"sign":"%b"}' % ((root or ROOTS[call]).encode(), text, named, signature(text, key).encode())
    return raw(body, status=status)


def done(call: Call, **fields: object) -> Answered:
    """A signed success."""
    return answered(call, {"code": "10000", "msg": "Success", **fields})


def failed(call: Call, sub_code: str, *, code: str = "40004", **fields: object) -> Answered:
    """A signed refusal."""
    content = {"code": code, "msg": "Business Failed", "sub_code": sub_code, "sub_msg": "为什么", **fields}
    return answered(call, content)


def unsigned(call: Call, content: object, *, root: str = "", tail: bytes = b"") -> Answered:
    """What the gateway says before it knows who asks."""
    return raw(b'{"%b":%b%b}' % ((root or ROOTS[call]).encode(), text_of(content), tail))


def read(call: Call, answer: Answer, attempt: Attempt | None = None, *, to: Account = ACCOUNT) -> Read:
    """What the channel makes of an answer."""
    if attempt is None:
        attempt = refund() if call in OUT else order()
    return CHANNEL.read(call, answer, attempt, to, now_ms=NOW_MS, nonce=NONCE)


def evidence(call: Call, answer: Answer, attempt: Attempt | None = None) -> Evidence:
    """As ``read``, what it says."""
    (found,) = read(call, answer, attempt).evidence
    return found


TRADE: Final = {
    "out_trade_no": NO,
    "trade_no": TRADE_NO,
    "trade_status": "TRADE_SUCCESS",
    "total_amount": "88.88",
    "send_pay_date": "2026-03-01 12:31:20",
}
REFUND: Final = {
    "out_trade_no": NO,
    "trade_no": TRADE_NO,
    "fund_change": "Y",
    "refund_fee": "8.88",
}
REFUND_QUERY: Final = {
    "out_trade_no": NO,
    "trade_no": TRADE_NO,
    "out_request_no": REFUND_NO,
    "refund_amount": "8.88",
    "total_amount": "88.88",
    "refund_status": "REFUND_SUCCESS",
    "gmt_refund_pay": "2026-03-02 10:05:12",
}

# -- notifications ---------------------------------------------------------------------------------------------------

PAID: Final = {
    "gmt_create": "2026-03-01 12:31:05",
    "charset": "utf-8",
    "subject": "咖啡 A+B 100%",
    "buyer_id": "2088102169481075",
    "notify_id": "2026030100222123120041071400000001",
    "notify_type": "trade_status_sync",
    "trade_status": "TRADE_SUCCESS",
    "app_id": APP_ID,
    "seller_id": SELLER_ID,
    "gmt_payment": "2026-03-01 12:31:20",
    "notify_time": "2026-03-01 12:31:21",
    "passback_params": "pc%3A7",
    "version": "1.0",
    "out_trade_no": NO,
    "total_amount": "88.88",
    "trade_no": TRADE_NO,
}
PARTLY_BACK: Final = PAID | {"gmt_refund": "2026-03-02 10:05:12.143", "refund_fee": "8.88", "out_biz_no": REFUND_NO}


def form(fields: Mapping[str, str], *, charset: str = "utf-8") -> bytes:
    return "&".join(f"{name}={quote_plus(value, encoding=charset)}" for name, value in fields.items()).encode()


def string_to_sign(fields: Mapping[str, str], *, charset: str = "utf-8") -> bytes:
    names = sorted(fields.keys() - {"sign", "sign_type"})
    return "&".join(f"{name}={fields[name]}" for name in names).encode(charset)


def notified(fields: Mapping[str, str], *, charset: str = "utf-8", key: RSAPrivateKey = ALIPAY_KEY) -> bytes:
    """The body of a notice, signed."""
    sign = signature(string_to_sign(fields, charset=charset), key)
    return form({**fields, "sign_type": "RSA2", "sign": sign}, charset=charset)


def heard(body: bytes, *, by: Account = ACCOUNT) -> Notice | Refused:
    """What the channel makes of a notification."""
    return CHANNEL.read_notification({}, body, by, now_ms=NOW_MS)


def notice(body: bytes, *, by: Account = ACCOUNT) -> Notice:
    """As ``heard``, believed."""
    found = heard(body, by=by)
    assert isinstance(found, Notice), found
    return found
