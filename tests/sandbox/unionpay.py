"""A merchant of UnionPay for the sandbox's tests: signs, parses and verifies with code of its own."""

import base64
import functools
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import aiohttp
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from oncepay.sandbox.unionpay.keys import Holder, KeyFile, Merchant
from tests.sandbox.merchant import Receiver, rsa_key

PATH = Path(__file__).parents[1] / "vectors" / "unionpay.json"
BEIJING = timezone(timedelta(hours=8))
FRONT, APP, BACK, QUERY = "front_url", "app_url", "back_url", "query_url"


@functools.cache
def vectors() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(PATH.read_text("utf-8"))
    return found


def vector(name: str) -> Any:
    return next(v for v in vectors()["vectors"] if v["name"] == name)


@functools.cache
def pem(der_base64: str) -> str:
    key = serialization.load_der_private_key(base64.b64decode(der_base64), None, unsafe_skip_rsa_key_validation=True)
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def vector_keys(mer_id: str = "777290058110048") -> KeyFile:
    """The vectors' keys. They do not tell the private key of the middle certificate: nothing new can be issued."""
    keys, certificates = vectors()["keys"], vectors()["certificates"]
    return KeyFile(
        root_pem=certificates["root_pem"],
        middle=Holder("", certificates["middle_pem"]),
        signers=[Holder(pem(keys["unionpay_private_key_pkcs8_der_base64"]), certificates["unionpay_sign_cert_pem"])],
        foreign=Holder(pem(keys["foreign_private_key_pkcs8_der_base64"]), certificates["foreign_cert_pem"]),
        merchants=[
            Merchant(
                mer_id,
                keys["merchant_certId_decimal"],
                pem(keys["merchant_private_key_pkcs8_der_base64"]),
                certificates["merchant_cert_pem"],
            )
        ],
    )


def text_of(fields: dict[str, str]) -> str:
    return "&".join(f"{k}={v}" for k, v in sorted(fields.items()) if k != "signature" and v)


def sign(key_pem: str, fields: dict[str, str], encoding: str = "utf-8") -> str:
    digest = hashlib.sha256(text_of(fields).encode(encoding)).hexdigest().encode()
    return base64.b64encode(rsa_key(key_pem).sign(digest, padding.PKCS1v15(), hashes.SHA256())).decode()


def parsed(body: bytes, encoding: str = "utf-8") -> dict[str, str]:
    """A raw answer: never decoded as a form; a value in braces or brackets is one piece."""
    found = re.findall(r"(\w+)=((?:\{.*?\}|\[.*?\]|[^&{\[])*)(?:&|\Z)", body.decode(encoding), re.DOTALL)
    return dict(found)


def problem(block: dict[str, Any], fields: dict[str, str], now: float, encoding: str = "utf-8") -> str:
    """What is wrong with a message's signature or certificate; nothing when it is UnionPay's."""
    if "signPubKeyCert" not in fields or "signature" not in fields:
        return "unsigned"
    leaf = x509.load_pem_x509_certificate(fields["signPubKeyCert"].encode())
    key = leaf.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    digest = hashlib.sha256(text_of(fields).encode(encoding)).hexdigest().encode()
    try:
        key.verify(base64.b64decode(fields["signature"]), digest, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return "signature"
    chain = [leaf] + [
        x509.load_pem_x509_certificate(block[f"{name}_certificate_pem"].encode()) for name in ("middle", "root")
    ]
    for child, parent in zip(chain, [*chain[1:], chain[-1]], strict=True):
        issuer, algorithm = parent.public_key(), child.signature_hash_algorithm
        assert isinstance(issuer, rsa.RSAPublicKey)
        assert algorithm is not None
        try:
            issuer.verify(child.signature, child.tbs_certificate_bytes, padding.PKCS1v15(), algorithm)
        except InvalidSignature:
            return "chain"
        if not child.not_valid_before_utc.timestamp() <= now <= child.not_valid_after_utc.timestamp():
            return "dates"
    name = leaf.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
    return "" if str(name).split("@")[2] == block["company_name"] else "company"


@dataclass
class Answer:
    """An answer as it came: raw body, its fields, and what is wrong with its signature."""

    status: int
    body: bytes
    fields: dict[str, str]
    problem: str

    @property
    def code(self) -> str:
        return self.fields["respCode"]

    @property
    def original(self) -> str:
        return self.fields["origRespCode"]


@dataclass
class Shop:
    """Calls the sandbox as a merchant's back end does."""

    block: dict[str, Any]
    session: aiohttp.ClientSession
    clock: Callable[[], float]
    notify_url: str = "http://127.0.0.1:1/notify"

    def time(self, offset_s: float = 0) -> str:
        return f"{datetime.fromtimestamp(self.clock() + offset_s, BEIJING):%Y%m%d%H%M%S}"

    def fields(self, txn_type: str, sub_type: str, number: str, **more: str) -> dict[str, str]:
        """What every request has; ``more`` replaces, and an empty value leaves out."""
        base = {
            "version": "5.1.0",
            "encoding": "UTF-8",
            "signMethod": "01",
            "txnType": txn_type,
            "txnSubType": sub_type,
            "bizType": "000201",
            "accessType": "0",
            "channelType": "07",
            "merId": self.block["merId"],
            "orderId": number,
            "txnTime": self.time(),
            "certId": self.block["certId"],
        }
        return {name: value for name, value in {**base, **more}.items() if value}

    def payment(self, number: str, fen: int = 8888, **more: str) -> dict[str, str]:
        own = {
            "txnAmt": str(fen),
            "currencyCode": "156",
            "backUrl": self.notify_url,
            "payTimeout": self.time(900),
        }
        return self.fields("01", "01", number, **{**own, **more})

    def form(self, number: str, fen: int = 8888, **more: str) -> dict[str, Any]:
        """A front payment's form, as the shop's page would post it."""
        fields = self.payment(number, fen, **{"frontUrl": "http://127.0.0.1:1/back", **more})
        return {"action": self.block[FRONT], "fields": self.signed(fields)}

    def signed(self, fields: dict[str, str], encoding: str = "utf-8") -> dict[str, str]:
        return {**fields, "signature": sign(self.block["merchant_private_key_pem"], fields, encoding)}

    async def post(self, where: str, fields: dict[str, str], encoding: str = "utf-8") -> Answer:
        """Post a form as it is."""
        body = urlencode(fields, encoding=encoding).encode()
        return await self.send(where, body, encoding)

    async def send(self, where: str, body: bytes, encoding: str = "utf-8") -> Answer:
        headers = {"Content-Type": f"application/x-www-form-urlencoded;charset={encoding}"}
        async with self.session.post(self.block[where], data=body, headers=headers) as got:
            raw = await got.read()
            fields = parsed(raw, encoding) if got.status == 200 else {}
            return Answer(got.status, raw, fields, problem(self.block, fields, self.clock(), encoding))

    async def call(self, where: str, fields: dict[str, str]) -> Answer:
        return await self.post(where, self.signed(fields))

    async def open(self, form: dict[str, Any]) -> tuple[int, str, str]:
        """What a browser gets for a form: status, where it is sent, the page."""
        async with self.session.post(form["action"], data=form["fields"], allow_redirects=False) as got:
            return got.status, got.headers.get("Location", ""), await got.text()

    async def qr(self, number: str, fen: int = 8888, **more: str) -> Answer:
        own = {"txnSubType": "07", "bizType": "000000", "channelType": "08"}
        return await self.call(BACK, self.payment(number, fen, **{**own, **more}))

    async def app(self, number: str, fen: int = 8888, **more: str) -> Answer:
        return await self.call(APP, self.payment(number, fen, **{"channelType": "08", **more}))

    async def query(self, number: str, txn_time: str, **more: str) -> Answer:
        return await self.call(
            QUERY, self.fields("00", "00", number, **{"txnTime": txn_time, "bizType": "000000", **more})
        )

    def takes_back(self, txn_type: str, number: str, query_id: str, fen: int, **more: str) -> dict[str, str]:
        own = {"origQryId": query_id, "txnAmt": str(fen), "backUrl": self.notify_url}
        return self.fields(txn_type, "00", number, **{**own, **more})

    async def refund(self, number: str, query_id: str, fen: int, **more: str) -> Answer:
        return await self.call(BACK, self.takes_back("04", number, query_id, fen, **more))

    async def void(self, number: str, query_id: str, fen: int = 8888, **more: str) -> Answer:
        return await self.call(BACK, self.takes_back("31", number, query_id, fen, **more))


def told(receiver: Receiver) -> list[dict[str, str]]:
    """The notices that arrived, as forms."""
    return [dict(parse_qsl(got.body.decode(), keep_blank_values=True)) for got in receiver.got]
