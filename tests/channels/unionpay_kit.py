"""UnionPay's side for the tests of its channel: keys from the vectors, and whatever it might say, properly signed."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key

from oncepay.channels.unionpay import UnionPay
from oncepay.domain.attempt import Attempt, Call, Direction
from oncepay.ports import Account, Answer, Answered, Channel, Notice, Read, Refused

VECTORS: Final[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "vectors" / "unionpay.json").read_text())
KEYS: Final[dict[str, str]] = VECTORS["keys"]
CERTIFICATES: Final[dict[str, str]] = VECTORS["certificates"]
MER_ID: Final = "777290058110048"
NO, REFUND_NO = "PC20260301000001", "RF20260302000001"
START_MS: Final = 1_772_339_445_000  # 2026-03-01 12:30:45 in Beijing
REFUND_START_MS: Final = 1_772_417_110_000  # 2026-03-02 10:05:10
NOW_MS: Final = START_MS + 60_000
NOTIFY_URL: Final = "https://pay.example.test/n/unionpay"
RETURN_URL: Final = "https://pay.example.test/r/unionpay"
QUERY_ID: Final = "312603011230451001238"


def private_key(name: str) -> RSAPrivateKey:
    """One of the vectors' private keys."""
    key = load_der_private_key(base64.b64decode(KEYS[f"{name}_private_key_pkcs8_der_base64"]), None)
    assert isinstance(key, RSAPrivateKey)
    return key


def key_pem(key: RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


UNIONPAY_KEY: Final = private_key("unionpay")
FOREIGN_KEY: Final = private_key("foreign")
MERCHANT_KEY: Final = private_key("merchant")


def wired(pem: str) -> str:
    """A certificate as it stands in a message: lines ended by CR LF, none after the last."""
    return pem.strip().replace("\n", "\r\n")


UNIONPAY_CERTIFICATE: Final = wired(CERTIFICATES["unionpay_sign_cert_pem"])
SETTINGS: Final[dict[str, Any]] = {
    "merchant_certificate_pem": CERTIFICATES["merchant_cert_pem"],
    "middle_certificate_pem": CERTIFICATES["middle_pem"],
    "root_certificate_pem": CERTIFICATES["root_pem"],
    "base_urls": ["https://gateway.example.test"],
}
ACCOUNT: Final = Account(
    id="up-main",
    channel="unionpay",
    identity={"merId": MER_ID},
    settings=SETTINGS,
    secrets={"merchant_private_key_pem": key_pem(MERCHANT_KEY)},
)
CHANNEL: Final[Channel] = UnionPay()


def account(*, drop: tuple[str, ...] = (), **fields: Any) -> Account:
    """The account with some settings changed or dropped."""
    settings = {k: v for k, v in (SETTINGS | fields).items() if k not in drop}
    return msgspec.structs.replace(ACCOUNT, settings=settings)


def order(no: str = NO, method: str = "front", minor: int = 8888, **fields: Any) -> Attempt:
    """An attempt to take money in."""
    told: dict[str, Any] = {"created_ms": START_MS, "expires_ms": START_MS + 900_000}
    return Attempt(
        no=no, channel="unionpay", account="up-main", method=method, minor=minor, currency="CNY", **(told | fields)
    )


def refund(no: str = REFUND_NO, of: str = NO, minor: int = 888, **fields: Any) -> Attempt:
    """An attempt to give money back."""
    told: dict[str, Any] = {"created_ms": REFUND_START_MS, "refund_no": "r-1"}
    return Attempt(
        no=no,
        direction=Direction.OUT,
        channel="unionpay",
        account="up-main",
        minor=minor,
        currency="CNY",
        of=of,
        **(told | fields),
    )


def attempt_for(call: Call) -> Attempt:
    if call is Call.PREPAY:
        return order(method="qr")
    return refund() if call in {Call.REFUND, Call.QUERY_REFUND} else order()


def to_sign(fields: Mapping[str, str]) -> str:
    return "&".join(f"{k}={v}" for k, v in sorted(fields.items()) if k != "signature")


def signature(fields: Mapping[str, str], key: RSAPrivateKey = UNIONPAY_KEY) -> str:
    """Written down here once more, so that a slip in the channel's own cannot agree with itself."""
    digest = sha256(to_sign(fields).encode()).hexdigest()
    return base64.b64encode(key.sign(digest.encode(), PKCS1v15(), hashes.SHA256())).decode()


def signed(
    fields: Mapping[str, str], *, key: RSAPrivateKey = UNIONPAY_KEY, certificate: str = UNIONPAY_CERTIFICATE
) -> dict[str, str]:
    """The fields as UnionPay sends them, signature last. ``certificate``: "" leaves it out."""
    told = dict(sorted(fields.items()))
    if certificate:
        told["signPubKeyCert"] = certificate
    return told | {"signature": signature(told, key)}


def plain(fields: Mapping[str, str]) -> bytes:
    return "&".join(f"{k}={v}" for k, v in fields.items()).encode()


def answered(fields: Mapping[str, str], *, status: int = 200, **how: Any) -> Answered:
    """A signed answer."""
    return Answered(status=status, headers={}, body=plain(signed(fields, **how)))


def unsigned(status: int, body: bytes = b"") -> Answered:
    return Answered(status=status, headers={"content-type": "text/html"}, body=body)


def read(
    call: Call, answer: Answer, attempt: Attempt | None = None, *, to: Account = ACCOUNT, now_ms: int = NOW_MS
) -> Read:
    """What the channel makes of an answer."""
    return CHANNEL.read(call, answer, attempt or attempt_for(call), to, now_ms=now_ms, nonce="n" * 32)


def noticed(fields: Mapping[str, str], *, to: Account = ACCOUNT, now_ms: int = NOW_MS, **how: Any) -> Notice | Refused:
    """What the channel makes of a notification."""
    return CHANNEL.read_notification({}, urlencode(signed(fields, **how)).encode(), to, now_ms=now_ms)


HEAD: Final = {
    "accessType": "0",
    "bizType": "000201",
    "encoding": "UTF-8",
    "merId": MER_ID,
    "signMethod": "01",
    "version": "5.1.0",
}


def told(attempt: Attempt, code: str = "00", **fields: str) -> dict[str, str]:
    """What the answer to a call says. ``fields``: "" leaves one out."""
    time = "20260301123045" if attempt.incoming else "20260302100510"
    kind = ("01", "01") if attempt.incoming else ("04", "00")
    found = HEAD | {
        "orderId": attempt.no,
        "txnTime": time,
        "txnType": kind[0],
        "txnSubType": kind[1],
        "respCode": code,
        "respMsg": f"为什么[{code}]",
    }
    return {name: value for name, value in (found | fields).items() if value}


def transaction(attempt: Attempt, code: str = "00", **fields: str) -> dict[str, str]:
    """What the query says of a transaction. ``code``: its origRespCode."""
    found = {
        "origRespCode": code,
        "origRespMsg": f"为什么[{code}]",
        "currencyCode": "156",
        "txnAmt": str(attempt.minor),
        "queryId": QUERY_ID if attempt.incoming else "312603021005101005678",
        "settleDate": "0301" if attempt.incoming else "0302",
        "traceTime": "0301123045" if attempt.incoming else "0302100510",
    }
    return told(attempt, **(found | fields))


def notice(attempt: Attempt, code: str = "00", **fields: str) -> dict[str, str]:
    """What a notification says of a transaction."""
    found = transaction(attempt)
    del found["origRespCode"], found["origRespMsg"]
    return {name: value for name, value in (found | {"respCode": code} | fields).items() if value}
