"""What an app asks of a channel, whatever it says of the payer and the options; what an operator says of an account;
and the core, whatever a vendor's genuine message says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType
from typing import Any, Final

import msgspec

from oncepay.channels import accounts, forms, texts
from oncepay.channels.alipay import accounts as alipay_accounts
from oncepay.channels.alipay import credentials as alipay_credentials
from oncepay.channels.alipay import options as alipay_options
from oncepay.channels.alipay import requests as alipay_requests
from oncepay.channels.unionpay import accounts as unionpay_accounts
from oncepay.channels.unionpay import chain
from oncepay.channels.unionpay import credentials as unionpay_credentials
from oncepay.channels.unionpay import options as unionpay_options
from oncepay.channels.unionpay import requests as unionpay_requests
from oncepay.channels.wechat import accounts as wechat_accounts
from oncepay.channels.wechat import credentials as wechat_credentials
from oncepay.channels.wechat import options as wechat_options
from oncepay.channels.wechat import requests as wechat_requests
from oncepay.domain import adopt, decide, hear, plan, settle, vouch
from oncepay.domain.attempt import Attempt, Call, Direction, Fact, Reason, Road
from oncepay.domain.change import Evidence, Hear
from oncepay.domain.errors import OncepayError
from oncepay.domain.payment import PaymentStatus
from oncepay.http.bodies import NewPayment
from oncepay.http.reading import read_json
from oncepay.outbound.message import compose
from oncepay.ports import Account, Channel, Draft
from tests.channels import alipay_kit, unionpay_kit, wechat_kit
from tests.fuzz.channels_kit import check_evidence
from tests.fuzz.fuzzer import Target
from tests.unit.domain_kit import ID, NO, NO_2, Story

NONCE: Final = "5f4dcc3b5aa765d61d8327deb882cf99"
NEW: Final = msgspec.json.Decoder(NewPayment)

Kit = tuple[Channel, Account, Callable[..., Attempt], int]
KITS: Final[dict[str, Kit]] = {
    "wechat": (wechat_kit.CHANNEL, wechat_kit.ACCOUNT, wechat_kit.order, wechat_kit.NOW_MS),
    "alipay": (alipay_kit.CHANNEL, alipay_kit.CERTIFIED, alipay_kit.order, alipay_kit.NOW_MS),
    "unionpay": (unionpay_kit.CHANNEL, unionpay_kit.ACCOUNT, unionpay_kit.order, unionpay_kit.NOW_MS),
}
MODULES: Final[dict[str, tuple[ModuleType, ...]]] = {
    "wechat": (wechat_options, wechat_requests, wechat_credentials, wechat_accounts, accounts),
    "alipay": (alipay_options, alipay_requests, alipay_credentials, alipay_accounts, accounts),
    "unionpay": (unionpay_options, unionpay_requests, unionpay_credentials, unionpay_accounts, chain, accounts),
}

STARTS: Final[dict[str, tuple[tuple[str, dict[str, str], dict[str, Any]], ...]]] = {
    "wechat": (
        ("native", {"client_ip": "2001:db8::1"}, {"goods_tag": "t", "device_id": "d", "store_info": {"id": "1", "area_code": "440305"}}),
        ("jsapi", {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"}, {"detail": {"goods_detail": [{"merchant_goods_id": "1", "quantity": 1, "unit_price": 1}]}}),
        ("h5", {"client_ip": "10.0.0.1", "h5_type": "iOS", "app_name": "n", "app_url": "https://a.example", "bundle_id": "b"}, {"profit_sharing": True}),
        ("app", {}, {"support_fapiao": False}),
    ),
    "alipay": (
        ("page", {}, {"qr_pay_mode": "4", "qrcode_width": 100, "goods_type": "0", "extend_params": {"hb_fq_num": "3"}}),
        ("wap", {"quit_url": "https://shop.example/quit"}, {"goods_detail": [{"goods_id": "1", "goods_name": "n", "quantity": 1, "price": "1.00"}]}),
        ("app", {}, {"promo_params": "p"}), ("precreate", {}, {"operator_id": "o", "product_code": "FACE_TO_FACE_PAYMENT"}),
    ),
    "unionpay": (
        ("front", {"device": "mobile"}, {"riskRateInfo": {"commodityName": "茶"}, "orderDesc": "茶", "defaultPayType": "0001"}),
        ("app", {}, {}), ("qr", {}, {"termId": "01080209"}),
    ),
}  # fmt: skip


def asked(channel: str, method: str, payer: dict[str, str], options: dict[str, Any]) -> bytes:
    attempt = {"channel": channel, "method": method, "payer": payer, "options": {channel: options} if options else {}}
    body = {"order_no": "A-1", "amount": {"minor": 8800, "currency": "CNY"}, "subject": "Tea 茶", "attempt": attempt}
    return json.dumps(body, ensure_ascii=False).encode()


def start(name: str, data: bytes) -> None:
    """A body that the API lets through, then the request or the page that the channel makes of it."""
    channel, account, order, now_ms = KITS[name]
    try:
        new: NewPayment = read_json(NEW, data)
        if not isinstance(how := new.attempt, msgspec.Struct):
            return
        channel.check_start(how.method, how.payer, how.options)
    except OncepayError as error:
        msgspec.json.encode((error.detail, error.fields))
        return
    attempt = order(method=how.method)
    draft = Draft(
        attempt=attempt, subject=new.subject, app="shop", order_no=new.order_no, notify_url="https://pay.example/notify",
        return_url="https://pay.example/return", payer=how.payer, options=how.options,
    )  # fmt: skip
    body = channel.draft(draft, account)
    if channel.capabilities.by_call(how.method):
        request = channel.build(Call.PREPAY, attempt, account, body=body, now_ms=now_ms, nonce=NONCE, host=0)
        compose(request.method, request.url, request.headers, request.body)
    else:
        json.loads(channel.credential(attempt, account, body=body).body)


def settings(name: str, data: bytes) -> None:
    """An account, as an operator writes it."""
    channel, *_ = KITS[name]
    try:
        told = msgspec.json.decode(data, type=dict[str, dict[str, Any]])
        secrets = msgspec.convert(told.get("secrets", {}), dict[str, str])
        identity = msgspec.convert(told.get("identity", {}), dict[str, str])
    except (ValueError, RecursionError):
        return
    account = Account(id="fuzzed", channel=name, identity=identity, settings=told.get("settings", {}), secrets=secrets)
    try:
        channel.check_account(account)
    except OncepayError as error:
        msgspec.json.encode((error.detail, error.fields))
        for secret in secrets.values():
            assert len(secret) < 20 or secret not in error.detail, "a secret is quoted"


def _accounts(name: str) -> Iterator[bytes]:
    account = KITS[name][1]
    yield json.dumps({"identity": account.identity, "settings": account.settings, "secrets": account.secrets}).encode()


FACTS: Final = msgspec.json.Decoder(list[Evidence])


def core(data: bytes) -> None:
    """A list of evidence, taken in one by one where a payment is paid and some of it is on its way back. What no
    channel would say is left out; of the rest, the core raises for nothing, and each change is a change."""
    try:
        found = FACTS.decode(data)
        check_evidence(tuple(found))
    except (ValueError, RecursionError, AssertionError):
        return
    story = Story()
    story.shown()
    story.tick()
    for number, one in enumerate(found[:8]):
        if number == 3 and story.payment.status is PaymentStatus.OPEN:
            story.close()
        story.wait(1_000)
        story.take(Hear(evidence=(one,), channel="wx", account="wx"))
        story.tick()


def _stories() -> Iterator[bytes]:
    story = Story()
    back = msgspec.structs.replace(story.evidence(Fact.MOVED, f"{ID}RABCDE"), direction=Direction.OUT, of=NO)
    for found in (
        [story.evidence(Fact.MOVED, minor=100), back],
        [story.evidence(Fact.PENDING), story.evidence(Fact.OVER), story.evidence(Fact.MOVED, minor=90)],
        [story.evidence(Fact.SILENT), story.evidence(Fact.ABSENT), story.evidence(Fact.MOVED, NO_2, minor=100)],
    ):
        yield msgspec.json.encode(found)


def targets() -> Iterator[Target]:
    """All of them."""
    for name in KITS:
        seeds = tuple(asked(name, *one) for one in STARTS[name])
        words = tuple(word for seed in seeds for word in seed.replace(b"{", b" ").replace(b",", b" ").split())
        yield Target(
            name=f"{name}.start", run=partial(start, name), modules=(*MODULES[name], forms, texts), seeds=seeds, tokens=words,
            size_max=65_536,
        )  # fmt: skip
        yield Target(
            name=f"{name}.account", run=partial(settings, name), modules=MODULES[name], seeds=tuple(_accounts(name)),
            tokens=(b"-----BEGIN CERTIFICATE-----", b"base_urls", b"https://[", b'"platform"', b'"test_environment":true'),
        )  # fmt: skip
    yield Target(
        name="core.hear", run=core, modules=(decide, hear, settle, adopt, vouch, plan), seeds=tuple(_stories()), steps=100_000,
        steps_each_byte=300, tokens=(*(f'"{word.value}"'.encode() for word in (*Fact, *Road, *Reason, *Direction, *Call)),
        NO.encode(), NO_2.encode(), b'"minor":100', b'"returned_minor":100', b'"refunded":true', b'"wrong":"x"', b'"of":"'),
    )  # fmt: skip
