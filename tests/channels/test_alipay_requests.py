"""What an app may ask for, the first bodies that come of it, what the payer gets, and where the requests go."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest

from oncepay.channels.alipay.accounts import open_account
from oncepay.channels.rsa import fits, read_signature
from oncepay.domain.attempt import Attempt, Call
from oncepay.domain.errors import AmountInvalid, Invalid, MethodUnknown, PayerInvalid
from oncepay.ports import Account, Draft, Request
from tests.channels.alipay_kit import (
    ACCOUNT,
    APP_ID,
    CERTIFICATES,
    CERTIFIED,
    CHANNEL,
    GATEWAY,
    KEYS,
    NO,
    NONCE,
    NOW_MS,
    REFUND_NO,
    account,
    order,
    refund,
)

GOODS = {"goods_id": "g", "goods_name": "茶杯", "quantity": 2, "price": "44.44"}
QUIT = {"quit_url": "https://shop.example/cart?a=b"}
METHODS = ["app", "page", "precreate", "wap"]


@pytest.mark.parametrize(
    ("method", "payer", "options"),
    [
        *((method, {}, {}) for method in METHODS),
        ("wap", QUIT, {}),
        *((method, {}, {"alipay": {}}) for method in METHODS),
        *((method, {}, {"alipay": {"goods_detail": [GOODS]}}) for method in METHODS),
        *((method, {}, {"alipay": {"enable_pay_channels": "balance,moneyFund"}}) for method in METHODS),
        *((method, {}, {"alipay": {"disable_pay_channels": "credit_group"}}) for method in METHODS),
        *((method, {}, {"alipay": {"store_id": "S1", "body": "b", "merchant_order_no": "7"}}) for method in METHODS),
        *((method, {}, {"alipay": {"extend_params": {"hb_fq_num": "3"}}}) for method in METHODS),
        *((method, {}, {"alipay": {"goods_type": "1", "promo_params": "{}"}}) for method in ("app", "page", "wap")),
        ("page", {}, {"alipay": {"qr_pay_mode": "4", "qrcode_width": 100, "integration_type": "PCWEB"}}),
        ("page", {}, {"alipay": {"request_from_url": "https://shop.example"}}),
        ("wap", {}, {"alipay": {"specified_channel": "pcredit"}}),
        ("app", {}, {"alipay": {"specified_channel": "pcredit"}}),
        ("precreate", {}, {"alipay": {"product_code": "QR_CODE_OFFLINE", "terminal_id": "T", "operator_id": "O"}}),
        ("precreate", {}, {"alipay": {"discountable_amount": "8.88", "undiscountable_amount": "80.00"}}),
        ("page", {}, {"alipay": {"goods_detail": [GOODS] * 150}}),
    ],
)
def test_what_a_method_takes(method: str, payer: dict[str, str], options: dict[str, Any]) -> None:
    CHANNEL.check_start(method, payer, options)


@pytest.mark.parametrize(
    ("method", "payer", "options", "error", "field"),
    [
        ("pay", {}, {}, MethodUnknown, "method"),
        ("native", {}, {}, MethodUnknown, "method"),
        ("", {}, {}, MethodUnknown, "method"),
        ("page", QUIT, {}, PayerInvalid, "payer.quit_url"),
        ("page", {"client_ip": "203.0.113.7"}, {}, PayerInvalid, "payer.client_ip"),
        ("wap", {"openid": "o"}, {}, PayerInvalid, "payer.openid"),
        ("wap", {"quit_url": ""}, {}, PayerInvalid, "payer.quit_url"),
        ("wap", {"quit_url": "shop.example"}, {}, PayerInvalid, "payer.quit_url"),
        ("wap", {"quit_url": "javascript:alert(1)"}, {}, PayerInvalid, "payer.quit_url"),
        ("wap", {"quit_url": "https://[x"}, {}, PayerInvalid, "payer.quit_url"),
        ("wap", {"quit_url": "https://x/\n"}, {}, PayerInvalid, "payer.quit_url"),
        ("wap", {"quit_url": "https://x/" + "x" * 391}, {}, PayerInvalid, "payer.quit_url"),
        ("page", {}, {"store_id": "s"}, Invalid, "options"),
        ("page", {}, {"wechat": {}}, Invalid, "options"),
        ("page", {}, {"alipay": {}, "wechat": {}}, Invalid, "options"),
        ("page", {}, {"alipay": "s"}, Invalid, "options.alipay"),
        ("page", {}, {"alipay": {"total_amount": "0.01"}}, Invalid, "options.alipay"),
        ("page", {}, {"alipay": {"out_trade_no": "x"}}, Invalid, "options.alipay"),
        ("page", {}, {"alipay": {"time_expire": "x"}}, Invalid, "options.alipay"),
        ("page", {}, {"alipay": {"seller_id": "2088000000000000"}}, Invalid, "options.alipay"),
        ("page", {}, {"alipay": {"royalty_info": {}}}, Invalid, "options.alipay"),
        ("page", {}, {"alipay": {"store_id": "x" * 33}}, Invalid, "options.alipay"),
        ("page", {}, {"alipay": {"store_id": ""}}, Invalid, "options.alipay"),
        ("page", {}, {"alipay": {"store_id": 1}}, Invalid, "options.alipay"),
        ("page", {}, {"alipay": {"qr_pay_mode": "5"}}, Invalid, "options.alipay"),
        ("page", {}, {"alipay": {"specified_channel": "pcredit"}}, Invalid, "options.alipay"),
        ("wap", {}, {"alipay": {"qr_pay_mode": "4"}}, Invalid, "options.alipay"),
        ("precreate", {}, {"alipay": {"goods_type": "0"}}, Invalid, "options.alipay"),
        ("precreate", {}, {"alipay": {"product_code": "FAST_INSTANT_TRADE_PAY"}}, Invalid, "options.alipay"),
        ("precreate", {}, {"alipay": {"discountable_amount": 8.88}}, Invalid, "options.alipay"),
        ("precreate", {}, {"alipay": {"discountable_amount": "8.8"}}, Invalid, "options.alipay"),
        ("precreate", {}, {"alipay": {"discountable_amount": "8.88\n"}}, Invalid, "options.alipay"),
        ("page", {}, {"alipay": {"goods_detail": []}}, Invalid, "options.alipay"),
        ("page", {}, {"alipay": {"goods_detail": [{}]}}, Invalid, "options.alipay"),
        ("page", {}, {"alipay": {"goods_detail": [GOODS | {"price": "-1.00"}]}}, Invalid, "options.alipay"),
        ("page", {}, {"alipay": {"goods_detail": [GOODS | {"quantity": 0}]}}, Invalid, "options.alipay"),
        ("page", {}, {"alipay": {"goods_detail": [GOODS | {"quantity": True}]}}, Invalid, "options.alipay"),
        ("page", {}, {"alipay": {"goods_detail": [GOODS] * 151}}, Invalid, "options.alipay"),
        ("page", {}, {"alipay": {"extend_params": {"x": "y"}}}, Invalid, "options.alipay"),
        (
            "page",
            {},
            {"alipay": {"enable_pay_channels": "a", "disable_pay_channels": "b"}},
            Invalid,
            "options.alipay.disable_pay_channels",
        ),
    ],
)
def test_what_a_method_does_not_take(
    method: str, payer: dict[str, str], options: dict[str, Any], error: type[Invalid], field: str
) -> None:
    with pytest.raises(error) as refused:
        CHANNEL.check_start(method, payer, options)
    assert type(refused.value) is error
    assert refused.value.fields["field"] == field


# -- first bodies ----------------------------------------------------------------------------------------------------

NOTIFY, RETURN = "https://pay.example/notify/alipay/ali-main", "https://pay.example/return/pay_1"


def draft(method: str = "page", **fields: Any) -> Draft:
    plain = Draft(
        attempt=order(method=method), subject="tea", app="pc", order_no="7", notify_url=NOTIFY, return_url=RETURN
    )
    return msgspec.structs.replace(plain, **fields)


def drafted(method: str = "page", **fields: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is stored, and the content in it."""
    stored: dict[str, Any] = json.loads(CHANNEL.draft(draft(method, **fields), ACCOUNT))
    content: dict[str, Any] = json.loads(stored.pop("biz_content"))
    return stored, content


PLAIN = {
    "out_trade_no": NO,
    "total_amount": "88.88",
    "subject": "tea",
    "time_expire": "2027-01-15 16:30:00",
    "passback_params": "pc%3A7",
}


def test_the_body_of_each_method() -> None:
    assert drafted("page") == (
        {"method": "alipay.trade.page.pay", "notify_url": NOTIFY, "return_url": RETURN},
        PLAIN | {"product_code": "FAST_INSTANT_TRADE_PAY"},
    )
    assert drafted("wap") == (
        {"method": "alipay.trade.wap.pay", "notify_url": NOTIFY, "return_url": RETURN},
        PLAIN | {"product_code": "QUICK_WAP_WAY", "quit_url": RETURN},
    )
    assert drafted("wap", payer=QUIT)[1] == PLAIN | {"product_code": "QUICK_WAP_WAY"} | QUIT
    assert "quit_url" not in drafted("wap", return_url="")[1]
    assert drafted("app") == (
        {"method": "alipay.trade.app.pay", "notify_url": NOTIFY},
        PLAIN | {"product_code": "QUICK_MSECURITY_PAY"},
    )
    assert drafted("precreate") == ({"method": "alipay.trade.precreate", "notify_url": NOTIFY}, PLAIN)


def test_options_in_the_body() -> None:
    options = {
        "goods_detail": [GOODS | {"show_url": "https://x"}],
        "disable_pay_channels": "pcredit",
        "extend_params": {"hb_fq_num": "3", "hb_fq_seller_percent": "0"},
        "store_id": "S1",
        "qrcode_width": 100,
    }
    assert drafted(options={"alipay": options})[1] == PLAIN | {"product_code": "FAST_INSTANT_TRADE_PAY"} | options
    scanned = {"product_code": "QR_CODE_OFFLINE", "operator_id": "O"}
    assert drafted("precreate", options={"alipay": scanned})[1] == PLAIN | scanned


@pytest.mark.parametrize(
    ("subject", "told"),
    [
        ("t" * 256, "t" * 256),
        ("t" * 257, "t" * 256),
        ("茶" * 86, "茶" * 85),
        ("🍵" * 65, "🍵" * 64),
        ("a/b=c&d", "a／b＝c＆d"),
        ("/" * 86, "／" * 85),
    ],
)
def test_a_subject_is_cut_by_bytes_and_freed_of_what_is_not_taken(subject: str, told: str) -> None:
    assert drafted(subject=subject)[1]["subject"] == told


def test_the_echo_is_left_out_when_it_does_not_fit() -> None:
    assert drafted(app="a" * 445, order_no="n" * 64)[1]["passback_params"] == "a" * 445 + "%3A" + "n" * 64
    assert "passback_params" not in drafted(app="a" * 446, order_no="n" * 64)[1]


def test_an_attempt_without_an_end_has_no_time() -> None:
    assert "time_expire" not in drafted(attempt=msgspec.structs.replace(order(method="page"), expires_ms=0))[1]


@pytest.mark.parametrize(
    ("minor", "told"),
    [(1, "0.01"), (10, "0.10"), (100, "1.00"), (123_456, "1234.56"), (10_000_000_000, "100000000.00")],
)
def test_amounts_are_in_yuan(minor: int, told: str) -> None:
    assert drafted(attempt=order(method="page", minor=minor))[1]["total_amount"] == told
    assert (
        json.loads(json.loads(CHANNEL.draft(draft(attempt=refund(minor=minor)), ACCOUNT))["biz_content"])[
            "refund_amount"
        ]
        == told
    )


def test_more_than_the_vendor_takes() -> None:
    with pytest.raises(AmountInvalid):
        drafted(attempt=order(method="page", minor=10_000_000_001))


def test_the_body_of_a_refund() -> None:
    plain = {"out_trade_no": NO, "refund_amount": "8.88", "out_request_no": REFUND_NO}
    assert drafted(attempt=refund(), paying=order()) == ({"method": "alipay.trade.refund"}, plain)
    assert drafted(attempt=refund(), note="茶" * 86)[1] == plain | {"refund_reason": "茶" * 85}
    with pytest.raises(ValueError, match="reverses nothing"):
        drafted(attempt=refund(of=""))


def test_nothing_in_a_body_depends_on_account_or_time() -> None:
    for method in METHODS:
        assert CHANNEL.draft(draft(method), ACCOUNT) == CHANNEL.draft(draft(method), CERTIFIED)


# -- what the payer gets ---------------------------------------------------------------------------------------------


def credential(method: str, to: Account = ACCOUNT, **fields: Any) -> tuple[dict[str, str], int]:
    attempt = msgspec.structs.replace(order(method=method), **fields)
    body = CHANNEL.draft(draft(attempt=attempt), to)
    made = CHANNEL.credential(attempt, to, body=body)
    content: dict[str, str] = json.loads(made.body)
    return content, made.until_ms


def verified(query: str, to: Account = ACCOUNT) -> dict[str, str]:
    """The parameters of a query, when their signature is the app's."""
    pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True)
    told = dict(pairs)
    assert len(told) == len(pairs)
    text = "&".join(f"{name}={told[name]}" for name in sorted(told) if name != "sign")
    assert all(told.values())
    assert fits(open_account(to).signer.public_key(), read_signature(told["sign"]), text.encode())
    return told


@pytest.mark.parametrize("to", [ACCOUNT, CERTIFIED])
@pytest.mark.parametrize("method", ["page", "wap", "app"])
def test_what_is_made_without_a_call(method: str, to: Account) -> None:
    content, until_ms = credential(method, to)
    assert until_ms == NOW_MS + 1_800_000
    if method == "app":
        assert content.keys() == {"type", "order_string"}
        assert content["type"] == "order_string"
        query = content["order_string"]
    else:
        assert content.keys() == {"type", "url"}
        assert content["type"] == "url"
        address, _, query = content["url"].partition("?")
        assert address == GATEWAY
    told = verified(query, to)
    assert json.loads(told["biz_content"])["out_trade_no"] == NO
    assert (told["method"], told["notify_url"]) == (f"alipay.trade.{method}.pay", NOTIFY)
    assert told.get("return_url") == (None if method == "app" else RETURN)
    assert (told["app_id"], told["charset"], told["format"]) == (APP_ID, "utf-8", "JSON")
    assert (told["sign_type"], told["version"], told["timestamp"]) == ("RSA2", "1.0", "2027-01-15 16:00:00")
    serials = (told.get("app_cert_sn"), told.get("alipay_root_cert_sn"))
    expected = (CERTIFICATES["app_cert_sn"], CERTIFICATES["alipay_root_cert_sn"])
    assert serials == (expected if to is CERTIFIED else (None, None))


def test_a_credential_is_the_same_whenever_it_is_made() -> None:
    assert credential("page") == credential("page")
    assert credential("page", created_ms=NOW_MS + 999) == credential("page")
    assert credential("page", created_ms=NOW_MS + 1_000) != credential("page")
    assert credential("page", shown_ms=NOW_MS, calls=3, status="sent") == credential("page")


@pytest.mark.parametrize("method", ["precreate", "native", ""])
def test_what_is_not_made_without_a_call(method: str) -> None:
    with pytest.raises(MethodUnknown):
        CHANNEL.credential(order(method=method), ACCOUNT, body=b"{}")


@pytest.mark.parametrize("method", ["page", "wap", "app", ""])
def test_there_is_no_call_that_makes_a_page(method: str) -> None:
    with pytest.raises(MethodUnknown):
        CHANNEL.build(Call.PREPAY, order(method=method), ACCOUNT, body=b"{}", now_ms=NOW_MS, nonce=NONCE, host=0)


# -- requests --------------------------------------------------------------------------------------------------------


def built(
    call: Call, attempt: Attempt | None = None, *, to: Account = ACCOUNT, host: int = 0, at_ms: int = NOW_MS
) -> Request:
    if attempt is None:
        attempt = refund() if call in {Call.REFUND, Call.QUERY_REFUND} else order()
    body = CHANNEL.draft(draft(attempt=attempt), to) if call in {Call.PREPAY, Call.REFUND} else b""
    return CHANNEL.build(call, attempt, to, body=body, now_ms=at_ms, nonce=NONCE, host=host)


def told(request: Request, to: Account = ACCOUNT) -> tuple[str, dict[str, Any]]:
    """Method and content, when the request is signed."""
    assert (request.method, request.url.partition("?")[0]) == ("POST", GATEWAY)
    parameters = verified(f"{urlsplit(request.url).query}&{request.body.decode()}", to)
    assert parameters["timestamp"] == "2027-01-15 16:00:00"
    content: dict[str, Any] = json.loads(parameters["biz_content"])
    return parameters["method"], content


@pytest.mark.parametrize("to", [ACCOUNT, CERTIFIED])
def test_the_calls(to: Account) -> None:
    assert told(built(Call.PREPAY, to=to), to) == ("alipay.trade.precreate", PLAIN)
    assert told(built(Call.QUERY, to=to), to) == ("alipay.trade.query", {"out_trade_no": NO})
    assert told(built(Call.CLOSE, to=to), to) == ("alipay.trade.close", {"out_trade_no": NO})
    assert told(built(Call.CANCEL, to=to), to) == ("alipay.trade.cancel", {"out_trade_no": NO})
    assert told(built(Call.REFUND, to=to), to) == (
        "alipay.trade.refund",
        {"out_trade_no": NO, "refund_amount": "8.88", "out_request_no": REFUND_NO},
    )
    assert told(built(Call.QUERY_REFUND, to=to), to) == (
        "alipay.trade.fastpay.refund.query",
        {"out_trade_no": NO, "out_request_no": REFUND_NO, "query_options": ["gmt_refund_pay"]},
    )


@pytest.mark.parametrize("call", list(Call))
def test_a_call_is_signed_anew_with_the_same_content(call: Call) -> None:
    first, later = built(call), built(call, at_ms=NOW_MS + 86_400_000)
    assert first.body == later.body
    assert first.url != later.url
    assert "timestamp=2027-01-16+16%3A00%3A00" in later.url


@pytest.mark.parametrize("method", ["page", "wap", "app"])
@pytest.mark.parametrize("call", [Call.QUERY, Call.CLOSE, Call.CANCEL])
def test_what_was_made_without_a_call_is_asked_about_like_the_rest(method: str, call: Call) -> None:
    assert told(built(call, order(method=method))) == told(built(call))


def test_the_hosts_take_turns() -> None:
    to = account(base_urls=["https://a.example", "https://b.example/gateway.do"])
    urls = [built(Call.QUERY, to=to, host=host).url.partition("?")[0] for host in range(3)]
    assert urls == ["https://a.example/gateway.do", "https://b.example/gateway.do", "https://a.example/gateway.do"]


def test_a_strange_number_is_escaped() -> None:
    request = built(Call.QUERY, order('A|B*C@/?&"'))
    assert told(request) == ("alipay.trade.query", {"out_trade_no": 'A|B*C@/?&"'})


def test_the_other_headers() -> None:
    headers = dict(built(Call.QUERY).headers)
    assert headers["Content-Type"] == "application/x-www-form-urlencoded;charset=utf-8"
    assert headers["User-Agent"]


def test_the_key_of_the_merchant_is_not_in_what_is_built() -> None:
    """A secret leaks by being printed: the record that is logged holds none."""
    assert KEYS["app_private_key_pkcs8_der_base64"][40:80] not in repr(built(Call.QUERY))
