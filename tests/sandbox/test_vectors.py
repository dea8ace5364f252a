"""Every WeChat Pay vector, from the vendor's side: what the sandbox believes, says, seals and bills.

RSA PKCS#1 v1.5 is deterministic and the sandbox numbers transactions as the vectors do, so the
story of the vectors, played on an injected clock, must give the same bytes.
"""

import base64
import gzip
import hashlib
import json
from typing import Any

import pytest

from oncepay.sandbox.main import Sandbox
from oncepay.sandbox.rsakeys import load_private, sign_text, verify_text
from oncepay.sandbox.server import Request
from oncepay.sandbox.switches import Switches
from oncepay.sandbox.wechat import wire
from oncepay.sandbox.wechat.api import Api
from oncepay.sandbox.wechat.keys import Ring
from oncepay.sandbox.wechat.notify import OFFSETS_S
from oncepay.sandbox.wechat.wire import Answer, Refusal
from tests.sandbox.vectors import vector_keys, vectors

V = vectors()
START = 1_800_000_000


def cases(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", V[name], ids=lambda case: case["name"])


class Now:
    """A clock for the sandbox that the test sets."""

    def __init__(self) -> None:
        self.at = float(START)

    def __call__(self) -> float:
        return self.at


def request_of(case: dict[str, Any], body: str | None = None, authorization: str | None = None) -> Request:
    path, _, query = case["url"].partition("?")
    sent = case["body"] if body is None else body
    headers = {
        b"authorization": (authorization or case["authorization"]).encode(),
        b"accept": b"application/json",
        b"user-agent": b"vectors",
        b"content-type": b"application/json",
    }
    return Request(case["method"], path, query, headers, sent.encode())


@cases("request_signing")
def test_a_merchants_signature_is_believed(case: dict[str, Any]) -> None:
    ring = Ring(vector_keys())
    mchid, nonce = wire.authenticate(request_of(case), ring, int(case["timestamp"]))
    assert (mchid, nonce) == (V["keys"]["mchid"], case["nonce_str"])
    assert hashlib.sha256(case["body"].encode()).hexdigest() == case["body_utf8_hex_sha256"]


@cases("request_signing")
@pytest.mark.parametrize("off_s", [-301, 301])
def test_a_stale_signature_is_refused_before_it_is_verified(case: dict[str, Any], off_s: int) -> None:
    with pytest.raises(Refusal) as refused:
        wire.authenticate(request_of(case), Ring(vector_keys()), int(case["timestamp"]) + off_s)
    assert refused.value.status == 401
    assert "5分钟" in str(refused.value)


@cases("request_signing_negative")
def test_a_signature_over_other_bytes_is_refused(case: dict[str, Any]) -> None:
    """Signed: a message without query string, without the last LF, or over other body bytes."""
    base = next(c for c in V["request_signing"] if c["name"] == case["base"])
    key = load_private(vector_keys().merchants[0].private_key_pem)
    signature = sign_text(key, case["message"].encode())
    assert (signature, signature == base["signature"]) == (case["signature"], False)
    authorization = base["authorization"].replace(base["signature"], signature)
    with pytest.raises(Refusal) as refused:
        wire.authenticate(request_of(base, authorization=authorization), Ring(vector_keys()), int(base["timestamp"]))
    assert (refused.value.status, refused.value.signed) == (401, False)
    assert json.loads(refused.value.body) == {"code": "SIGN_ERROR", "message": "签名错误"}


@cases("responses")
def test_a_response_is_signed_as_in_the_vector(case: dict[str, Any]) -> None:
    wanted = case["headers"]
    api = Sandbox(keys=vector_keys()).wechat
    answer = Answer(case["status"], case["body"].encode(), signer_id=wanted["Wechatpay-Serial"])
    signed = api.writer.signature(answer, wanted["Wechatpay-Timestamp"], wanted["Wechatpay-Nonce"])
    for name, value in signed:
        assert value.decode() == wanted[name.decode()]
    sent = dict(api.writer.headers(answer, START))
    assert set(wanted) <= {name.decode() for name in sent}
    for text in ("Content-Type", "Content-Length", "Content-Language"):
        assert sent[text.encode()].decode() == wanted[text]


def public_key(serial: str) -> Any:
    return Ring(vector_keys()).signers[serial].public_key()


def signed_text(case: dict[str, Any]) -> bytes:
    headers = case["headers"]
    return f"{headers['Wechatpay-Timestamp']}\n{headers['Wechatpay-Nonce']}\n{case['body']}\n".encode()


@pytest.mark.parametrize("case", V["responses_negative"] + V["notifications_negative"], ids=lambda case: case["name"])
def test_what_must_not_verify_does_not(case: dict[str, Any]) -> None:
    headers = case["headers"]
    if "Wechatpay-Signature" not in headers:
        assert not any(name.startswith("Wechatpay-") for name in headers)  # forged, or a 401
        return
    key = public_key(headers["Wechatpay-Serial"])
    assert not verify_text(key, signed_text(case), headers["Wechatpay-Signature"])


def test_a_probe_has_the_vendors_prefix_and_does_not_verify() -> None:
    api = Sandbox(keys=vector_keys()).wechat
    serial = V["keys"]["platform_certificate_serial_no"]
    answer = Answer(200, b"{}", signer_id=serial, probe=True)
    headers = dict(api.writer.signature(answer, str(START), "n"))
    signature = headers[b"Wechatpay-Signature"].decode()
    assert signature.startswith("WECHATPAY/SIGNTEST/")
    assert not verify_text(public_key(serial), f"{START}\nn\n{{}}\n".encode(), signature)


@cases("notifications")
def test_a_notification_is_sealed_and_signed_as_in_the_vector(case: dict[str, Any]) -> None:
    ring, headers = Ring(vector_keys()), case["headers"]
    signature = ring.sign(
        headers["Wechatpay-Serial"],
        headers["Wechatpay-Timestamp"],
        headers["Wechatpay-Nonce"],
        case["body"].encode(),
    )
    assert signature == headers["Wechatpay-Signature"]
    resource = json.loads(case["body"])["resource"]
    sealed = ring.seal(V["keys"]["mchid"], case["plaintext"].encode(), resource["nonce"], resource["associated_data"])
    assert sealed == resource["ciphertext"]


def test_the_retry_schedule_is_the_vendors() -> None:
    assert list(OFFSETS_S) == V["notification_retry_offsets_seconds"]
    assert OFFSETS_S[-1] == 24 * 3600 + 4 * 60


def test_a_sensitive_field_opens() -> None:
    ring, case = Ring(vector_keys()), V["sensitive_field"]
    serial = V["keys"]["platform_certificate_serial_no"]
    assert ring.open_field(serial, case["uplink_ciphertext_for_platform_certificate"]) == case["uplink_plaintext"]
    assert ring.open_field(serial, case["downlink_ciphertext_for_merchant_certificate"]) is None


class Story:
    """The vectors' story: prepaid at 16:00, paid at 16:05, 2.34 refunded at 17:00:01, done 17:00:20."""

    def __init__(self) -> None:
        self.now = Now()
        switches = Switches(balance_fen=10000, refund_delay_s=19)
        self.sandbox = Sandbox(keys=vector_keys(), clock=self.now, seed=3, switches=switches)
        self.sandbox.faults.replace({"on": {"notify_none": True}})
        self.told: list[tuple[str, str]] = []

    @property
    def api(self) -> Api:
        return self.sandbox.wechat

    def call(self, name: str) -> Answer:
        """The vector's request of that name, at its own time on the wire."""
        case = next(c for c in V["request_signing"] if c["name"] == name)
        back, self.now.at = self.now.at, float(case["timestamp"])
        request = request_of(case)
        wire.authenticate(request, self.api.desk.ring, self.now.at)
        self.now.at = back
        request.mchid = V["keys"]["mchid"]
        from oncepay.sandbox.wechat import api

        route = api.find(request)
        assert isinstance(route, api.Route)
        done = route.act(self.api, request, route.part)
        return done if isinstance(done, Answer) else Answer(200 if done else 204, done)


@pytest.fixture
async def story() -> Story:
    return Story()


def body_of(name: str) -> str:
    return str(next(c for c in V["responses"] if c["name"] == name)["body"])


def plaintext_of(name: str) -> Any:
    return json.loads(next(c for c in V["notifications"] if c["name"] == name)["plaintext"])


async def test_the_vectors_story_gives_the_vectors_bytes(story: Story) -> None:
    from oncepay.sandbox.wechat import orders, refunds

    made = json.loads(story.call("native_prepay_utf8_compact").body)
    assert made["code_url"].startswith("weixin://wxpay/bizpayurl?pr=")
    assert len(made["code_url"]) == len(json.loads(body_of("native_200"))["code_url"])
    again = json.loads(story.call("native_prepay_ascii_spaced_same_object").body)
    assert again["code_url"] != made["code_url"]  # same object in other bytes: the same order
    assert len(json.loads(story.call("jsapi_prepay").body)["prepay_id"]) == 36
    assert story.call("query_by_out_trade_no").body.decode() == body_of("query_NOTPAY_200")

    desk = story.api.desk
    story.now.at = START + 300
    order = desk.books.find("PC20270115160000000001")
    assert order is not None
    orders.pay(desk, order)
    assert story.call("query_by_out_trade_no").body.decode() == body_of("query_SUCCESS_200")
    assert story.call("query_by_transaction_id").body.decode() == body_of("query_SUCCESS_200")
    assert orders.paid_trade(order, order.total) == plaintext_of("payment_success")
    assert list(orders.paid_trade(order, order.total)) == list(plaintext_of("payment_success"))
    assert story.call("close").status == 204

    story.now.at = START + 3601
    assert story.call("refund_create").body.decode() == body_of("refund_200_PROCESSING")
    assert story.call("refund_query").body.decode() == body_of("refund_200_PROCESSING")
    story.now.at = START + 3620
    story.sandbox.advance(0)
    refund = order.refunds[0]
    assert refunds.told(order, refund) == plaintext_of("refund_success")
    refund.status = "ABNORMAL"
    assert refunds.told(order, refund) == plaintext_of("refund_abnormal")
    refund.status = "SUCCESS"
    check_bills(story)


def check_bills(story: Story) -> None:
    """Fetched the next day after ten: the same bytes and the same hash as the vectors' files."""
    from oncepay.sandbox.wechat import bills

    story.now.at = START + 86400
    desk, mchid = story.api.desk, V["keys"]["mchid"]
    for case in V["bills"]:
        kind, _, flavour = case["name"].partition("_")
        args = {"bill_date": "2027-01-15", "tar_type": "GZIP"}
        if kind == "tradebill":
            offered = bills.trade_bill(desk, mchid, args | {"bill_type": flavour})
        else:
            offered = bills.fund_bill(desk, mchid, args | {"account_type": flavour})
        assert offered["hash_value"] == case["sha1"]
        token = offered["download_url"].partition("token=")[2].partition("&")[0]
        packed, kind_of = bills.download(desk, mchid, {"token": token})
        assert (gzip.decompress(packed), kind_of) == (base64.b64decode(case["raw_base64"]), b"application/x-gzip")
        assert len(base64.b64decode(case["raw_base64"])) == case["bytes"]
        assert set(offered) == set(json.loads(body_of("tradebill_200")))


def test_certificates_are_sealed_as_in_the_vector() -> None:
    from oncepay.sandbox.wechat import certificates

    sandbox = Sandbox(keys=vector_keys())
    [ours] = json.loads(certificates.download(sandbox.wechat.desk, V["keys"]["mchid"], {}))["data"]
    [theirs] = json.loads(body_of("certificates_200"))["data"]
    plain = V["keys"]["platform_certificate_pem"].encode()
    sealed = theirs["encrypt_certificate"]
    assert (
        sandbox.wechat.desk.ring.seal(V["keys"]["mchid"], plain, sealed["nonce"], "certificate") == sealed["ciphertext"]
    )
    for changing in (ours, theirs):
        changing["encrypt_certificate"].pop("nonce")
        changing["encrypt_certificate"].pop("ciphertext")
    assert ours == theirs


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        ("query_404", Refusal(404, "ORDER_NOT_EXIST", "订单不存在")),
        ("refund_403_NOT_ENOUGH", Refusal(403, "NOT_ENOUGH", "基本账户余额不足，请充值后重新发起")),
    ],
)
def test_refusals_have_the_vectors_bytes(name: str, refusal: Refusal) -> None:
    assert refusal.body.decode() == body_of(name)


def test_a_number_too_short_is_refused_in_the_vectors_words() -> None:
    from oncepay.sandbox.wechat import shapes

    class Short:
        out_trade_no = "1"

    with pytest.raises(Refusal) as refused:
        shapes.measure(Short(), (("out_trade_no", 6, 32),))
    assert refused.value.body.decode() == body_of("prepay_400_PARAM_ERROR")


def test_client_invoke_signatures_verify_with_the_merchants_key() -> None:
    """What the payer's client carries is signed by the merchant; the vendor can check it."""
    ring, merchant = Ring(vector_keys()), vector_keys().merchants[0]
    for case, name in ((V["client_invoke"]["jsapi"], "paySign"), (V["client_invoke"]["app"], "sign")):
        signature = case["params"][name]
        assert ring.believes(merchant.mchid, merchant.serial_no, case["message"].encode(), signature)
