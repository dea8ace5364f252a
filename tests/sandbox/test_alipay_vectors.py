"""The Alipay vectors, on the vendor's side: whom the sandbox believes, what it says and signs, byte for byte.

RSA PKCS#1 v1.5 is deterministic and the sandbox numbers trades and notices as the vectors do, so the story of the
vectors, played on an injected clock, must give the same bytes.
"""

import hashlib
import html
import json
import re
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from cryptography import x509

from oncepay.sandbox.alipay import keys, trades, wire
from oncepay.sandbox.alipay.keys import Ring
from oncepay.sandbox.alipay.notify import GAPS_S
from oncepay.sandbox.alipay.switches import AlipaySwitches
from oncepay.sandbox.alipay.wire import Answer, Refusal
from oncepay.sandbox.main import Sandbox
from oncepay.sandbox.rsakeys import load_private, sign_text, verify_text
from oncepay.sandbox.server import Request
from tests.sandbox.alipay_vectors import case, cases, vector_keys, vectors

V = vectors()
CERTS = V["certificates"]


def at(text: str) -> float:
    return datetime.fromisoformat(f"{text}+08:00").timestamp()


NOW = at("2026-03-01 12:30:45")


def named(kind: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases(kind), ids=lambda case: case["name"])


def request_of(case: dict[str, Any]) -> Request:
    """A request as the vector has it on the wire: a call, a page's address, or an order string opened."""
    if "http" in case:
        http = case["http"]
        return Request(http["method"], "/gateway.do", urlsplit(http["url"]).query, {}, http["body"].encode())
    query = case.get("order_string") or urlsplit(case["http_get_url"]).query
    return Request("GET", "/gateway.do", query, {}, b"")


def believed(case: dict[str, Any], request: Request) -> bool:
    call = wire.read(request)
    page = case["name"] in ("request_page_pay_key_mode", "request_app_pay_order_string")
    return wire.authenticate(call, Ring(vector_keys()), AlipaySwitches(), NOW, page=page)


@named("request")
def test_an_apps_request_is_believed(case: dict[str, Any]) -> None:
    call = wire.read(request_of(case))
    text = wire.signed_text(call.params, "sign")
    assert text == case["string_to_sign"]
    assert hashlib.sha256(text.encode(call.codec)).hexdigest() == case["string_to_sign_sha256"]
    assert {k: v for k, v in case["params_before_sign"].items() if v} | {"sign": case["sign"]} == call.params
    assert believed(case, request_of(case)) is ("app_cert_sn" in call.params)


@named("request")
def test_a_request_of_which_one_letter_is_changed_is_not(case: dict[str, Any]) -> None:
    request = request_of(case)
    request.query = request.query.replace("version=1.0", "version=1.1")
    with pytest.raises(Refusal) as refused:
        believed(case, request)
    assert (refused.value.sub_code, refused.value.signed) == ("isv.invalid-signature", False)


def test_the_auto_form_carries_the_same_request() -> None:
    """Action and hidden input as a browser would send them."""
    form = case("request_page_pay_key_mode")["auto_form_html"]
    action, content = re.search(r'action="([^"]*)"', form), re.search(r'name="biz_content" value="([^"]*)"', form)
    assert action is not None
    assert content is not None
    body = urlencode({"biz_content": html.unescape(content[1])}).encode()
    request = Request("POST", "/gateway.do", urlsplit(action[1]).query, {}, body)
    assert believed(case("request_page_pay_key_mode"), request) is False


@named("sync_response")
def test_a_response_is_signed_as_in_the_vector(case: dict[str, Any]) -> None:
    told = json.loads(case["raw_body"])
    root = next(iter(told))
    ring = Ring(vector_keys())
    assert told.get("alipay_cert_sn", ring.alipay_cert_sn) == ring.alipay_cert_sn
    if case["sign"]:
        assert ring.sign(case["signed_substring"].encode()) == case["sign"]
    content = told[root]
    answer = Answer(root, content, signed="right" if case["sign"] else "none", cert_sn=told.get("alipay_cert_sn", ""))
    body = answer.body(ring).decode()
    if list(content) == list(json.loads(wire.dump(content))):  # two vectors have members in another order
        assert body == case["raw_body"]
    assert list(json.loads(body)) == list(told)


def test_members_stand_by_name_after_code_and_message() -> None:
    """So that the test above does compare bytes for all but two."""
    skipped = [
        c["name"]
        for c in cases("sync_response")
        for told in [next(iter(json.loads(c["raw_body"]).values()))]
        if list(told) != list(json.loads(wire.dump(told)))
    ]
    assert len(cases("sync_response")) == 8
    assert skipped == ["response_brace_inside_string", "response_query_success_cert_mode"]


def test_serials_are_computed_as_in_the_vectors() -> None:
    for name in ("app_cert", "alipay_cert"):
        pem = CERTS[f"{name}_pem"]
        assert keys.sn_input(x509.load_pem_x509_certificate(pem.encode())) == CERTS["sn_md5_inputs"][name]
        assert keys.cert_sn(pem) == CERTS[f"{name}_sn"]
    assert keys.root_sn(CERTS["root_bundle_pem"]) == CERTS["alipay_root_cert_sn"]
    ring = Ring(vector_keys())
    assert ring.alipay_public_key_pem.strip() == V["keys"]["alipay_public_key_pem"].strip()


@named("notification")
def test_a_notification_is_signed_as_in_the_vector(case: dict[str, Any]) -> None:
    told = dict(parse_qsl(case["raw_body"], strict_parsing=True))
    assert told == case["decoded_params"]
    text = wire.signed_text(told, "sign", "sign_type")
    assert text == case["string_to_sign"]
    assert Ring(vector_keys()).sign(text.encode()) == case["sign"]


def test_what_must_not_verify_does_not() -> None:
    key = load_private(vector_keys().alipay_private_key_pem).public_key()
    negative = {case["name"]: case for case in V["negative_vectors"]}
    paid = case("notify_payment_success")
    told = dict(parse_qsl(negative["notify_amount_tampered"]["raw_body"]))
    twice = dict(parse_qsl("&".join(f"{k}={v}" for k, v in paid["decoded_params"].items())))
    precreate = case("response_precreate_escaped_slash")
    wrong = {
        "notify_amount_tampered": (wire.signed_text(told, "sign", "sign_type"), told["sign"]),
        "notify_decoded_twice": (wire.signed_text(twice, "sign", "sign_type"), paid["sign"]),
        "notify_with_sign_type_included": (wire.signed_text(paid["decoded_params"], "sign"), paid["sign"]),
        "response_redumped": (precreate["signed_substring"].replace("\\/", "/"), precreate["sign"]),
    }
    assert wrong.keys() == negative.keys()
    for name, (text, sign) in wrong.items():
        assert not verify_text(key, text.encode(), sign), name
    assert verify_text(key, paid["string_to_sign"].encode(), paid["sign"])


def test_the_retry_schedule_is_the_vendors() -> None:
    assert len(GAPS_S) == 7  # eight sends
    assert sum(GAPS_S) == 24 * 3600 + 24 * 60


class Story:
    """The vectors' story: opened 12:30:45, a buyer 12:31:05, paid 12:31:20, refunded on the next two days."""

    def __init__(self) -> None:
        self.at = NOW
        self.sandbox = Sandbox(alipay_keys=vector_keys(), clock=lambda: self.at, seed=3)
        self.sandbox.switches.alipay.closed_notices = "all"
        self.sandbox.faults.replace({"on": {"notify_none": True}})
        self.desk = self.sandbox.alipay.desk

    def ask(self, case: dict[str, Any]) -> bytes:
        return self.sandbox.alipay.reply(request_of(case)).body

    def call(self, method: str, content: dict[str, str]) -> Any:
        """A call signed with the vectors' key."""
        params = case("request_trade_query_key_mode")["params_before_sign"] | {
            "method": f"alipay.trade.{method}",
            "biz_content": json.dumps(content),
        }
        key = load_private(vector_keys().merchants[0].private_key_pem)
        params["sign"] = sign_text(key, wire.signed_text(params).encode())
        reply = self.sandbox.alipay.reply(Request("POST", "/gateway.do", "", {}, urlencode(params).encode()))
        return next(iter(json.loads(reply.body).values()))

    def told(self, notify_time: str) -> bytes:
        """The last notification, as delivered at that time."""
        self.at = at(notify_time)
        _, body = self.desk.notifier.dress(self.desk.notifier.recent[-1], forged=False)
        return body


async def test_the_vectors_story_gives_the_vectors_bytes() -> None:
    story = Story()
    opened = story.sandbox.alipay.reply(request_of(case("request_page_pay_key_mode")))
    assert opened.status == 302
    offer = story.desk.books.latest("2088101122136241", "PC202603010001")
    assert offer is not None
    assert offer.expires == NOW + 1800
    absent = json.loads(story.ask(case("request_trade_query_key_mode")))["alipay_trade_query_response"]
    wanted = json.loads(case("response_query_trade_not_exist")["raw_body"])["alipay_trade_query_response"]
    assert absent == wanted | {"out_trade_no": "PC202603010001"}
    story.at = at("2026-03-01 12:31:05")
    trade = trades.log_in(story.desk, offer)
    story.at = at("2026-03-01 12:31:20")
    trades.pay(story.desk, offer)
    assert trade.trade_no == "2026030122001481071400000001"
    assert (
        story.ask(case("request_trade_query_key_mode")).decode() == case("response_query_success_key_mode")["raw_body"]
    )
    assert story.told("2026-03-01 12:31:21").decode() == case("notify_payment_success")["raw_body"]
    story.at = at("2026-03-02 10:05:12") + 0.143
    refunded = json.loads(story.ask(case("request_refund_cert_mode")))
    assert refunded["alipay_cert_sn"] == CERTS["alipay_cert_sn"]
    content = refunded["alipay_trade_refund_response"]
    assert (content["fund_change"], content["refund_fee"]) == ("Y", "8.88")
    assert story.told("2026-03-02 10:05:13").decode() == case("notify_partial_refund")["raw_body"]
    story.at = at("2026-03-03 11:00:00") + 0.512
    rest = {"out_trade_no": "PC202603010001", "refund_amount": "80.00", "out_request_no": "RF202603030002"}
    assert story.call("refund", rest)["refund_fee"] == "88.88"
    assert story.told("2026-03-03 11:00:01").decode() == case("notify_full_refund_closed")["raw_body"]
    made = json.loads(story.sandbox.alipay.reply(request_of(case("request_precreate_gbk"))).body.decode("gbk"))
    assert made["alipay_trade_precreate_response"]["out_trade_no"] == "PC202603010003"
    gbk = story.desk.books.latest("2088101122136241", "PC202603010003")
    assert gbk is not None
    assert (gbk.subject, gbk.total) == ("面包", 100)


async def test_a_trade_that_nobody_paid_closes_as_in_the_vector() -> None:
    """The same story up to the buyer, then half an hour of nothing; the members stand in another order there."""
    story, wanted = Story(), case("notify_timeout_closed")["decoded_params"]
    for number in ("PC202603010001", "PC202603010002"):
        story.at = at("2026-03-01 12:31:05")
        asked = {"out_trade_no": number, "total_amount": "88.88", "subject": "咖啡 A+B 100%", "timeout_express": "30m"}
        assert story.call("precreate", asked)["code"] == "10000"
        offer = story.desk.books.latest("2088101122136241", number)
        assert offer is not None
        offer.notify_url = "http://127.0.0.1:1/"
        trades.log_in(story.desk, offer)
    story.at = at("2026-03-01 13:01:05")
    story.desk.notifier._counted = 2
    story.sandbox.advance(0)
    told = dict(parse_qsl(story.told("2026-03-01 13:01:06").decode()))
    assert told == wanted
    story.sandbox.clock.stop()
