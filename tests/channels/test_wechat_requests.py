"""What we say to WeChat Pay: payers and options that it takes, bodies, hosts, certificates."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from oncepay.domain.attempt import Call
from oncepay.domain.errors import Invalid, MethodUnknown, PayerInvalid
from oncepay.ports import Account, Answered, Draft, NotSent, Unknown
from tests.channels.wechat_kit import (
    ACCOUNT,
    CERTIFICATE,
    CHANNEL,
    KEY_ID,
    KEYS,
    MERCHANT_PEM,
    NONCE,
    NOW_MS,
    PUBLIC_KEY,
    SERIAL,
    account,
    answered,
    headers,
    order,
    refund,
    unsigned,
)

# -- payers and options ----------------------------------------------------------------------------------------------

OPENID = {"openid": KEYS["openid"]}
IP = {"client_ip": "203.0.113.7"}
GOODS = {"merchant_goods_id": "g1", "quantity": 2, "unit_price": 617}
LONG = {"goods_name": "茶" * 86}


@pytest.mark.parametrize(
    ("method", "payer", "options"),
    [
        ("native", {}, {}),
        ("native", IP, {}),
        ("app", {}, {}),
        ("jsapi", OPENID, {}),
        ("jsapi", OPENID | IP, {}),
        ("h5", IP, {}),
        ("h5", {"client_ip": "2001:db8::1", "h5_type": "iOS", "app_name": "茶", "bundle_id": "a.b"}, {}),
        ("native", {}, {"wechat": {}}),
        ("native", {}, {"wechat": {"goods_tag": "t", "profit_sharing": False, "support_fapiao": True}}),
        ("native", {}, {"wechat": {"detail": {"cost_price": 1234, "goods_detail": [GOODS]}}}),
        ("native", IP, {"wechat": {"device_id": "d", "store_info": {"id": "s", "name": "茶馆"}}}),
        ("native", IP, {"wechat": {"store_info": {"id": "s", "name": "茶" * 85 + "x", "address": "茶" * 170}}}),
        ("h5", IP | {"app_name": "茶" * 21}, {}),
    ],
)
def test_what_a_method_takes(method: str, payer: dict[str, str], options: dict[str, Any]) -> None:
    CHANNEL.check_start(method, payer, options)


@pytest.mark.parametrize(
    ("method", "payer", "options", "error", "field"),
    [
        ("micropay", {}, {}, MethodUnknown, "method"),
        ("", {}, {}, MethodUnknown, "method"),
        ("jsapi", {}, {}, PayerInvalid, "payer.openid"),
        ("jsapi", {"openid": ""}, {}, PayerInvalid, "payer.openid"),
        ("jsapi", {"openid": 'o"'}, {}, PayerInvalid, "payer.openid"),
        ("jsapi", {"openid": "o" * 129}, {}, PayerInvalid, "payer.openid"),
        ("native", OPENID, {}, PayerInvalid, "payer.openid"),
        ("h5", {}, {}, PayerInvalid, "payer.client_ip"),
        ("h5", {"client_ip": "localhost"}, {}, PayerInvalid, "payer.client_ip"),
        ("h5", IP | {"h5_type": "Web"}, {}, PayerInvalid, "payer.h5_type"),
        ("h5", IP | {"app_name": "x" * 65}, {}, PayerInvalid, "payer.app_name"),
        ("h5", IP | {"app_name": "茶" * 22}, {}, PayerInvalid, "payer.app_name"),
        ("h5", IP | {"app_name": ""}, {}, PayerInvalid, "payer.app_name"),
        ("native", {"name": "x"}, {}, PayerInvalid, "payer.name"),
        ("native", {}, {"wechat": {"device_id": "d"}}, PayerInvalid, "payer.client_ip"),
        ("native", {}, {"wechat": {"store_info": {"id": "s"}}}, PayerInvalid, "payer.client_ip"),
        ("native", {}, {"goods_tag": "t"}, Invalid, "options"),
        ("native", {}, {"alipay": {}}, Invalid, "options"),
        ("native", {}, {"wechat": "t"}, Invalid, "options.wechat"),
        ("native", {}, {"wechat": {"total": 1}}, Invalid, "options.wechat"),
        ("native", {}, {"wechat": {"goods_tag": "x" * 33}}, Invalid, "options.wechat"),
        ("native", {}, {"wechat": {"goods_tag": "茶" * 11}}, Invalid, "options.wechat"),
        ("native", IP, {"wechat": {"store_info": {"id": "s", "name": "茶" * 86}}}, Invalid, "options.wechat"),
        ("native", {}, {"wechat": {"detail": {"goods_detail": [GOODS | LONG]}}}, Invalid, "options.wechat"),
        ("native", {}, {"wechat": {"profit_sharing": "Y"}}, Invalid, "options.wechat"),
        ("native", {}, {"wechat": {"support_fapiao": 1}}, Invalid, "options.wechat"),
        ("native", {}, {"wechat": {"detail": {"goods_detail": [GOODS | {"quantity": 0}]}}}, Invalid, "options.wechat"),
        ("native", {}, {"wechat": {"detail": {"goods_detail": [{}]}}}, Invalid, "options.wechat"),
        ("native", {}, {"wechat": {"detail": {"goods_detail": [GOODS] * 120}}}, Invalid, "options.wechat.detail"),
    ],
)
def test_what_a_method_does_not_take(
    method: str, payer: dict[str, str], options: dict[str, Any], error: type[Invalid], field: str
) -> None:
    with pytest.raises(error) as refused:
        CHANNEL.check_start(method, payer, options)
    assert refused.value.fields["field"] == field


# -- first bodies ----------------------------------------------------------------------------------------------------


def drafted(method: str = "native", **fields: Any) -> dict[str, Any]:
    draft = Draft(attempt=order(method=method), subject="tea", app="pc", order_no="7", notify_url="https://x.example/n")
    body: dict[str, Any] = json.loads(CHANNEL.draft(msgspec.structs.replace(draft, **fields), ACCOUNT))
    return body


PLAIN = {
    "appid": "wx00000000deadbeef",
    "mchid": "1900009999",
    "description": "tea",
    "out_trade_no": "PC20270115160000000001",
    "time_expire": "2027-01-15T16:30:00+08:00",
    "attach": "pc:7",
    "notify_url": "https://x.example/n",
    "amount": {"total": 1234, "currency": "CNY"},
}


def test_the_body_of_each_method() -> None:
    assert drafted("native") == PLAIN
    assert drafted("app") == PLAIN
    assert drafted("jsapi", payer=OPENID) == PLAIN | {"payer": OPENID}
    scene = {"payer_client_ip": "203.0.113.7", "h5_info": {"type": "Wap"}}
    assert drafted("h5", payer=IP) == PLAIN | {"scene_info": scene}
    named = IP | {"h5_type": "iOS", "app_name": "茶", "bundle_id": "a.b"}
    scene = scene | {"h5_info": {"type": "iOS", "app_name": "茶", "bundle_id": "a.b"}}
    assert drafted("h5", payer=named) == PLAIN | {"scene_info": scene}
    assert drafted("native", payer=IP) == PLAIN | {"scene_info": {"payer_client_ip": "203.0.113.7"}}


def test_options_in_the_body() -> None:
    wechat = {
        "goods_tag": "t",
        "support_fapiao": False,
        "profit_sharing": True,
        "detail": {"goods_detail": [GOODS]},
        "store_info": {"id": "s"},
        "device_id": "d",
    }
    assert drafted("native", payer=IP, options={"wechat": wechat}) == PLAIN | {
        "goods_tag": "t",
        "support_fapiao": False,
        "detail": {"goods_detail": [GOODS]},
        "settle_info": {"profit_sharing": True},
        "scene_info": {"payer_client_ip": "203.0.113.7", "device_id": "d", "store_info": {"id": "s"}},
    }


@pytest.mark.parametrize(
    ("subject", "description"),
    [
        ("t" * 127, "t" * 127),
        ("t" * 128, "t" * 127),
        ("茶" * 42, "茶" * 42),
        ("茶" * 43, "茶" * 42),
        ("🍵" * 40, "🍵" * 31),
    ],
)
def test_a_subject_is_cut_by_bytes_at_a_whole_character(subject: str, description: str) -> None:
    assert drafted(subject=subject)["description"] == description


def test_the_echo_is_left_out_when_it_does_not_fit() -> None:
    assert drafted(app="a" * 63, order_no="n" * 64)["attach"] == "a" * 63 + ":" + "n" * 64
    assert "attach" not in drafted(app="a" * 64, order_no="n" * 64)


def test_an_attempt_without_an_end_has_no_time() -> None:
    assert "time_expire" not in drafted(attempt=msgspec.structs.replace(order(), expires_ms=0))


def refund_drafted(**fields: Any) -> dict[str, Any]:
    return drafted(attempt=refund(), **{"paying": order(), **fields})


def test_the_body_of_a_refund() -> None:
    plain = {
        "out_refund_no": "RF20270115170000000001",
        "notify_url": "https://x.example/n",
        "amount": {"refund": 234, "total": 1234, "currency": "CNY"},
    }
    assert refund_drafted() == {"out_trade_no": "PC20270115160000000001"} | plain
    paying = msgspec.structs.replace(order(), trade_no="4200009999")
    assert refund_drafted(paying=paying) == {"transaction_id": "4200009999"} | plain
    assert refund_drafted(note="茶" * 30)["reason"] == "茶" * 26
    with pytest.raises(ValueError, match="reverses nothing"):
        refund_drafted(paying=None)


# -- requests --------------------------------------------------------------------------------------------------------


def built(call: Call, *, to: Account = ACCOUNT, host: int = 0, no: str = "") -> tuple[str, str, dict[str, str]]:
    attempt = order(no) if no else order()
    request = CHANNEL.build(call, attempt, to, body=b"{}", now_ms=NOW_MS, nonce=NONCE, host=host)
    return request.method, request.url, dict(request.headers)


@pytest.mark.parametrize(
    ("host", "base"),
    [(0, "https://api.mch.weixin.qq.com"), (1, "https://api2.mch.weixin.qq.com"), (2, "https://api.mch.weixin.qq.com")],
)
def test_the_hosts_take_turns(host: int, base: str) -> None:
    _, url, _ = built(Call.PREPAY, host=host)
    assert url == f"{base}/v3/pay/transactions/native"


def test_an_accounts_own_hosts() -> None:
    to = account(base_urls=["http://127.0.0.1:9100"])
    assert built(Call.QUERY, to=to, host=5)[1].startswith("http://127.0.0.1:9100/v3/pay/transactions/out-trade-no/")


def test_which_key_the_vendor_shall_sign_with() -> None:
    assert built(Call.QUERY)[2]["Wechatpay-Serial"] == KEY_ID
    assert "Wechatpay-Serial" not in built(Call.QUERY, to=account(use="platform"))[2]
    assert "Wechatpay-Serial" not in built(Call.QUERY, to=account(drop=("public_key_id", "public_key_pem")))[2]


def test_the_other_headers() -> None:
    prepay, query = built(Call.PREPAY)[2], built(Call.QUERY)[2]
    assert (prepay["Accept"], prepay["Content-Type"]) == ("application/json", "application/json")
    assert prepay["User-Agent"]
    assert "Content-Type" not in query


def test_a_strange_number_is_escaped_in_the_path() -> None:
    _, url, _ = built(Call.QUERY, no="A|B*C@/?")
    assert url.endswith("/out-trade-no/A%7CB%2AC%40%2F%3F?mchid=1900009999")


# -- certificates ----------------------------------------------------------------------------------------------------


def sealed(pem_text: str, serial_no: str, *, key: str = KEYS["apiv3_key"]) -> dict[str, Any]:
    import base64

    ciphertext = AESGCM(key.encode()).encrypt(b"a1b2c3d4e5f6", pem_text.encode(), b"certificate")
    return {
        "effective_time": "2026-01-01T08:00:00+08:00",
        "encrypt_certificate": {
            "algorithm": "AEAD_AES_256_GCM",
            "associated_data": "certificate",
            "ciphertext": base64.b64encode(ciphertext).decode(),
            "nonce": "a1b2c3d4e5f6",
        },
        "expire_time": "2031-01-01T08:00:00+08:00",
        "serial_no": serial_no,
    }


OURS = sealed(CERTIFICATE["pem"], SERIAL)
MERCHANTS = sealed(KEYS["merchant_certificate_pem"], KEYS["merchant_certificate_serial_no"])  # plays a second one
NONE_YET = account(drop=("platform_certificates", "public_key_id", "public_key_pem"))


def serials(settings: Any) -> list[str]:
    return [entry["serial_no"] for entry in settings["platform_certificates"]]


def test_old_certificates_stay_and_new_ones_come_after() -> None:
    settings = CHANNEL.read_keys(answered(200, {"data": [MERCHANTS, OURS]}), ACCOUNT, now_ms=NOW_MS)
    assert serials(settings) == [SERIAL, KEYS["merchant_certificate_serial_no"]]
    only_new = answered(200, {"data": [MERCHANTS]})
    assert serials(CHANNEL.read_keys(only_new, ACCOUNT, now_ms=NOW_MS)) == serials(settings)
    assert settings is not None
    assert {k: v for k, v in settings.items() if k != "platform_certificates"} == {
        k: v for k, v in ACCOUNT.settings.items() if k != "platform_certificates"
    }


def test_nothing_new_changes_nothing() -> None:
    assert CHANNEL.read_keys(answered(200, {"data": [OURS]}), ACCOUNT, now_ms=NOW_MS) == ACCOUNT.settings
    assert CHANNEL.read_keys(answered(200, {"data": []}), ACCOUNT, now_ms=NOW_MS) == ACCOUNT.settings


def test_certificates_in_public_key_mode_are_signed_by_the_public_key() -> None:
    answer = answered(200, {"data": [OURS]}, key=PUBLIC_KEY, serial=KEY_ID)
    assert serials(CHANNEL.read_keys(answer, account(drop=("platform_certificates",)), now_ms=NOW_MS)) == [SERIAL]


@pytest.mark.parametrize(
    "answer",
    [
        NotSent(why="refused"),
        Unknown(why="timed out"),
        unsigned(200, json.dumps({"data": [OURS]}).encode()),
        answered(200, {"data": [OURS]}, key=PUBLIC_KEY),
        answered(200, {"data": [OURS]}, at_ms=NOW_MS - 400_000),
        answered(200, {"data": [MERCHANTS]}),  # signed by one that is neither held nor among them
        answered(200, {"data": [sealed(CERTIFICATE["pem"], SERIAL, key="b" * 32)]}),
        answered(200, {"data": [sealed(CERTIFICATE["pem"], "AB" * 20)]}),
        answered(200, {"data": [sealed("nonsense", SERIAL)]}),
        answered(200, {"data": [{**OURS, "encrypt_certificate": {**OURS["encrypt_certificate"], "nonce": "short"}}]}),
        answered(200, b"not json"),
        answered(200, b'{"x":' + b"[" * 200_000),
        answered(200, {}),
        answered(404, {"code": "RESOURCE_NOT_EXISTS", "message": "无可用的平台证书"}),
        Answered(status=200, headers=headers(b""), body=b""),
    ],
)
def test_certificates_that_are_not_believed(answer: Any) -> None:
    assert CHANNEL.read_keys(answer, NONE_YET, now_ms=NOW_MS) is None


def test_the_key_of_the_merchant_is_not_in_what_is_built() -> None:
    """A secret leaks by being printed: the record that is logged holds none."""
    request = CHANNEL.build(Call.QUERY, order(), ACCOUNT, body=b"", now_ms=NOW_MS, nonce=NONCE, host=0)
    assert MERCHANT_PEM.splitlines()[1] not in repr(request)
    assert KEYS["apiv3_key"] not in repr(request)
