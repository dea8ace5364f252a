"""Every UnionPay vector, from the vendor's side: what the sandbox believes, says, tells and settles.

RSA PKCS#1 v1.5 is deterministic, so the story of the vectors, played on an injected clock with the
vectors' trace numbers, must give the same bytes.
"""

import base64
import hashlib
import io
import zipfile
import zlib
from datetime import datetime
from typing import Any

import pytest

from oncepay.sandbox.main import Sandbox
from oncepay.sandbox.rsakeys import load_private, sign_text, verify_text
from oncepay.sandbox.server import Reply, Request
from oncepay.sandbox.switches import Switches
from oncepay.sandbox.unionpay import files, keys, orders, reversals, wire
from oncepay.sandbox.unionpay.books import Order, Reversal, fee
from oncepay.sandbox.unionpay.wire import CERTIFICATE, SIGNATURE, Fields, Refusal
from tests.sandbox.unionpay import BEIJING, sign, vector, vector_keys, vectors
from tests.sandbox.vectors import vector_keys as wechat_keys

V = vectors()
ALL = V["vectors"]
NOT_OURS = "request_query_sign_method_11"  # a shared key instead of certificates: not offered here


def at(text: str) -> float:
    """A time of the vectors as epoch seconds."""
    return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=BEIJING).timestamp()


class Now:
    """A clock for the sandbox that the test sets."""

    def __init__(self) -> None:
        self.at = at("20260301123045")

    def __call__(self) -> float:
        return self.at


def kind(name: str) -> pytest.MarkDecorator:
    found = [v for v in ALL if v["kind"] == name and v["name"] != NOT_OURS]
    return pytest.mark.parametrize("case", found, ids=lambda case: case["name"])


def unsigned(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if name not in {CERTIFICATE, SIGNATURE}}


def ring(mer_id: str = "777290058110048") -> keys.Ring:
    return Sandbox(keys=wechat_keys(), unionpay_keys=vector_keys(mer_id)).unionpay.desk.ring


@kind("request")
def test_a_merchants_signature_is_believed(case: dict[str, Any]) -> None:
    given = {**case["fields_before_sign"], "certId": case["certId_added"]}
    sent = {name: value for name, value in given.items() if value}
    assert wire.signed_text(given) == case["string_to_sign"]
    assert hashlib.sha256(case["string_to_sign"].encode()).hexdigest() == case["sha256_hex"]
    signed = {**sent, SIGNATURE: case["signature"]}
    assert ring(sent["merId"]).believes(signed)
    assert not ring("777290058110049").believes(signed)  # the certificate is another merchant's
    if "http" in case:
        assert wire.read_form(case["http"]["body"].encode()) == signed
    else:
        assert case["form_fields"] == signed


@kind("request")
def test_what_was_signed_otherwise_is_not_believed(case: dict[str, Any]) -> None:
    key = vector_keys().merchants[0].private_key_pem
    sent = {n: v for n, v in {**case["fields_before_sign"], "certId": case["certId_added"]}.items() if v}
    text = case["string_to_sign"].encode()
    merchant = load_private(key)

    def over(message: bytes) -> Fields:
        return {**sent, SIGNATURE: sign_text(merchant, message)}

    assert ring(sent["merId"]).believes(over(hashlib.sha256(text).hexdigest().encode()))
    for wrong in (
        over(text),  # a single hash
        over(hashlib.sha256(text).hexdigest().upper().encode()),
        {**sent, SIGNATURE: case["signature"].replace("+", " ")},
        {**sent, SIGNATURE: case["signature"], "txnTime": "20260301123046"},
    ):
        assert not ring(sent["merId"]).believes(wrong)


@kind("sync_response")
def test_an_answer_has_the_vectors_bytes(case: dict[str, Any]) -> None:
    signed = ring().sign(unsigned(case["fields"]))
    assert signed == case["fields"]
    assert wire.signed_text(signed) == case["string_to_sign"]
    assert wire.raw(signed) == case["raw_body"].encode()


@kind("notification")
def test_a_notice_has_the_vectors_bytes(case: dict[str, Any]) -> None:
    signer = "foreign" if case["signed_with"] == "foreign_private_key" else "unionpay"
    signed = ring().sign(unsigned(case["fields"]), signer)
    assert signed == case["fields"]
    assert wire.form(signed) == case["raw_body"].encode()
    assert wire.read_form(case["raw_body"].encode()) == signed


def verifies(fields: Fields, text: str) -> bool:
    key = load_private(vector_keys().signers[0].private_key_pem).public_key()
    return verify_text(key, hashlib.sha256(text.encode()).hexdigest().encode(), fields[SIGNATURE])


def test_what_must_not_verify_does_not() -> None:
    """The negative vectors that an answer or notice of ours could be taken for."""
    fields = ring().sign(unsigned(vector("notify_consume_success")["fields"]))
    assert verifies(fields, wire.signed_text(fields))
    line_feeds = ring().sign(unsigned(fields), line_feeds=True)
    assert "\r" not in line_feeds[CERTIFICATE]
    assert not verifies(line_feeds, wire.signed_text(line_feeds))
    tampered = next(v for v in V["negative_vectors"] if v["name"] == "notify_amount_tampered")["raw_body"]
    read = wire.read_form(tampered.encode())
    assert not verifies(read, wire.signed_text(read))
    assert not verifies(fields, wire.signed_text({**fields, "a": "b"}))


class Story:
    """Opened and paid at 12:30:45, 8.88 refunded the next day at 10:05:10."""

    def __init__(self) -> None:
        self.now = Now()
        self.sandbox = Sandbox(
            keys=wechat_keys(), unionpay_keys=vector_keys(), clock=self.now, seed=3, switches=Switches(refund_delay_s=0)
        )
        self.sandbox.faults.replace({"on": {"notify_none": True}})
        self.desk = self.sandbox.unionpay.desk

    def call(self, name: str) -> Reply:
        """The vector's request of that name, at its own time on the wire."""
        case = vector(name)
        self.now.at = max(self.now.at + 1, at(case["fields_before_sign"]["txnTime"]))
        path = "/gateway/" + case["url"].partition("/gateway/")[2]
        body = case["http"]["body"].encode() if "http" in case else wire.form(case["form_fields"])
        return self.sandbox.unionpay.reply(Request("POST", path, "", {}, body))

    def order(self) -> Order:
        found = self.desk.books.find("PC20260301000001")
        assert found is not None
        return found

    def told(self) -> str:
        return list(self.desk.notifier.recent)[-1].body


@pytest.fixture
async def story() -> Story:
    return Story()


def body_of(name: str) -> bytes:
    return str(vector(name)["raw_body"]).encode()


async def test_the_vectors_story_gives_the_vectors_bytes(story: Story) -> None:
    assert story.call("request_front_consume").status == 302
    assert story.call("request_query").body == body_of("response_query_in_progress")
    story.desk.books._trace = 100122
    orders.pay(story.desk, story.order())
    assert story.told() == vector("notify_consume_success")["raw_body"]
    assert story.call("request_query").body == body_of("response_query_success")
    brought = orders.brought_back(story.desk, story.order())
    assert brought is not None
    assert brought["fields"] == vector("notify_consume_success")["fields"]

    story.desk.books._trace = 100566
    assert story.call("request_refund").body == body_of("response_refund_accepted")
    story.sandbox.advance(0)
    assert story.told() == vector("notify_refund_success")["raw_body"]
    assert story.call("request_refund").body == body_of("response_refund_duplicate_order")


async def test_a_void_of_the_same_settlement_day(story: Story) -> None:
    story.call("request_front_consume")
    story.desk.books._trace = 100122
    orders.pay(story.desk, story.order())
    answer = story.call("request_void").body.decode()
    assert "&respCode=00&" in answer
    story.sandbox.advance(0)
    assert story.sandbox.books()[0].state == "VOIDED"


@pytest.mark.parametrize(
    ("asked", "answered", "name"), [("app_consume", "app_tn", "tn"), ("qr_apply", "qr_apply", "qrCode")]
)
async def test_credentials_have_the_vectors_bytes(story: Story, asked: str, answered: str, name: str) -> None:
    wanted = vector(f"response_{answered}")["fields"]
    number = vector(f"request_{asked}")["fields_before_sign"]["orderId"]
    given = story.call(f"request_{asked}").body.decode()
    order = story.desk.books.find(number)
    assert order is not None
    drawn = order.tn or order.qr_code
    assert len(drawn) == len(wanted[name])
    order.tn, order.qr_code = (wanted[name], "") if name == "tn" else ("", wanted[name])
    again = orders.credential(order, vector(f"request_{asked}")["fields_before_sign"])
    assert wire.raw(story.desk.ring.sign(again)) == body_of(f"response_{answered}")
    assert unsigned(wire.read_form(given.replace("+", "%2B").encode())) == {**unsigned(wanted), name: drawn}


async def test_a_query_for_nothing_has_the_vectors_bytes(story: Story) -> None:
    fields = {**vector("request_query")["fields_before_sign"], "orderId": "PC20260301009999"}
    fields["certId"] = V["keys"]["merchant_certId_decimal"]
    fields[SIGNATURE] = sign(vector_keys().merchants[0].private_key_pem, fields)
    reply = story.sandbox.unionpay.reply(Request("POST", "/gateway/api/queryTrans.do", "", {}, wire.form(fields)))
    assert reply.body == body_of("response_query_not_found")


def test_a_shared_key_is_not_taken() -> None:
    case = vector(NOT_OURS)
    fields = {**case["fields_before_sign"], "certId": "1", SIGNATURE: case["signature"]}
    with pytest.raises(Refusal, match="10 signMethod"):
        Sandbox(keys=wechat_keys(), unionpay_keys=vector_keys()).unionpay.admit("queryTrans.do", fields)


def lines() -> tuple[Order, Reversal]:
    """The two transactions of the vectors' settlement file."""
    order = Order(
        number="PC20260301000001",
        txn_time="20260301123045",
        mer_id="777290058110048",
        product="front",
        total=8888,
        fields=vector("request_front_consume")["form_fields"],
        created=0,
        expires=0,
        code="",
        trace_no="100123",
        query_id="312603011230451001238",
        fee=fee(8888),
    )
    asked = {**vector("request_refund")["fields_before_sign"], "txnTime": "20260301150000"}
    reversal = Reversal(
        number="RF20260301000009",
        kind="refund",
        amount=888,
        fields=asked,
        created=0,
        trace_no="100456",
        query_id="312603011500001005678",
        fee=fee(888),
    )
    return order, reversal


def test_lines_of_the_settlement_file_are_the_vectors() -> None:
    order, reversal = lines()
    wanted = V["settlement_file"]
    assert list(files.WIDTHS) == wanted["field_widths"]
    assert [files.of_payment(order), files.of_reversal(order, reversal)] == [
        found.removesuffix("\r\n") for found in wanted["lines_decoded"]
    ]
    assert len(files.of_payment(order).encode("gbk")) == wanted["line_length_bytes_without_crlf"]


def test_the_file_is_packed_as_in_the_vector() -> None:
    fields = vector("response_file_download")["fields"]
    day = datetime(2026, 3, 1, tzinfo=BEIJING).date()
    text = "".join(f"{found}\r\n" for found in (files.of_payment(lines()[0]), files.of_reversal(*lines())))
    packed = files._zip({V["settlement_file"]["inner_name"]: text}, day)
    theirs = zlib.decompress(base64.b64decode(fields["fileContent"]))
    assert contents(packed) == contents(theirs)


def contents(packed: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(packed)) as found:
        return {name: found.read(name) for name in found.namelist()}


def test_refused_reversals_repeat_what_the_vectors_repeat() -> None:
    fields = vector("request_refund")["fields_before_sign"]
    answer = {**wire.echo(fields, *reversals.OWN), **Refusal("12").fields}
    assert answer == unsigned(vector("response_refund_duplicate_order")["fields"])
