"""What WeChat Pay refuses, in its order of checks: route, headers, authentication, schema, rules."""

from typing import Any

import pytest

from oncepay.sandbox.main import Sandbox
from tests.sandbox.merchant import Merchant, dump

NATIVE = "/v3/pay/transactions/native"
CERTIFICATES = "/v3/certificates"


async def test_an_unknown_path_and_a_wrong_method_have_no_body(merchant: Merchant) -> None:
    for method, path, status in (
        ("GET", "/v3/pay/transactions/micropay", 404),
        ("GET", "/v3/nothing", 404),
        ("GET", NATIVE, 405),
        ("POST", CERTIFICATES, 405),
        ("POST", "/v3/pay/transactions/out-trade-no/STRICT01", 405),
        ("GET", "/v3/pay/transactions/out-trade-no/STRICT01/close", 405),
    ):
        reply = await merchant.call(method, path)
        assert (reply.status, reply.body, reply.signed) == (status, b"", False), path


@pytest.mark.parametrize("missing", ["User_Agent", "Accept"])
async def test_a_missing_header_is_seen_before_the_authorization(merchant: Merchant, missing: str) -> None:
    headers: dict[str, Any] = {missing: None}
    reply = await merchant.call("GET", CERTIFICATES, Authorization=None, **headers)
    assert (reply.status, reply.code, reply.signed) == (400, "INVALID_REQUEST", False)


@pytest.mark.parametrize(
    ("path", "authorization", "text", "request_id"),
    [
        (CERTIFICATES, None, "Authorization值格式错误", True),
        (NATIVE, None, "签名信息错误，验签失败", False),
        (CERTIFICATES, 'WECHATPAY2-SHA256-RSA2048 mchid="1"', "Authorization值格式错误", True),
        (CERTIFICATES, "Bearer abc", "认证类型不正确", True),
    ],
)
async def test_a_request_without_proper_authorization_is_refused(
    merchant: Merchant, path: str, authorization: str | None, text: str, request_id: bool
) -> None:
    method = "GET" if path == CERTIFICATES else "POST"
    content = None if method == "GET" else merchant.order("STRICT02")
    reply = await merchant.call(method, path, content, Authorization=authorization)
    assert (reply.status, reply.code, reply.signed) == (401, "SIGN_ERROR", False)
    assert text in reply.json["message"]
    assert ("Request-ID" in reply.headers) is request_id


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"timestamp": "1500000000", "signature": "bm8="}, "5分钟"),  # the window is looked at first
        ({"serial_no": "00" * 20}, "证书序列号有误"),
        ({"mchid": "1999999999"}, "证书序列号有误"),
        ({"signature": "bm8="}, "签名错误"),
        ({"signature": "not base64!"}, "签名错误"),
        ({"timestamp": "soon"}, "签名信息错误"),
    ],
)
async def test_what_is_wrong_with_a_signature_is_told(merchant: Merchant, changes: dict[str, str], text: str) -> None:
    body = dump(merchant.order("STRICT03"))
    authorization = merchant.authorization("POST", NATIVE, body, **changes)
    reply = await merchant.call("POST", NATIVE, body, Authorization=authorization)
    assert (reply.status, reply.code, reply.signed) == (401, "SIGN_ERROR", False)
    assert text in reply.json["message"]


async def test_the_attributes_may_come_in_any_order(merchant: Merchant) -> None:
    body = dump(merchant.order("STRICT04"))
    scheme, _, pairs = merchant.authorization("POST", NATIVE, body).partition(" ")
    reply = await merchant.call("POST", NATIVE, body, Authorization=f"{scheme} {','.join(pairs.split(',')[::-1])}")
    assert reply.status == 200


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("unknown field", {"sub_mchid": "1"}, "未在API文档中定义"),
    ("openid belongs to jsapi only", {"payer": {"openid": "o"}}, "未在API文档中定义"),
    ("null", {"attach": None}, "/body/attach"),
    ("number as text", {"amount": {"total": "1"}}, "/body/amount/total"),
    ("zero", {"amount": {"total": 0}}, "/body/amount/total"),
    ("a fraction", {"amount": {"total": 1.5}}, "/body/amount/total"),
    ("other currency", {"amount": {"total": 1, "currency": "USD"}}, "/body/amount/currency"),
    ("missing", {"description": ...}, "此字段为必填项"),
    ("number too short", {"out_trade_no": "A1"}, "小于最小值 6"),
    ("number too long", {"out_trade_no": "A" * 33}, "大于最大值 32"),
    ("number of other letters", {"out_trade_no": "A#12345"}, "格式不正确"),
    ("too long in bytes, not in characters", {"description": "茶" * 43}, "字节数 129"),
    ("address with a query string", {"notify_url": "https://a.b/c?d=e"}, "/body/notify_url"),
    ("address without scheme", {"notify_url": "a.b/c"}, "/body/notify_url"),
    ("no such time", {"time_expire": "2027-02-31T00:00:00+08:00"}, "/body/time_expire"),
    ("time without zone", {"time_expire": "2027-02-01T00:00:00"}, "/body/time_expire"),
    ("scene without address", {"scene_info": {"device_id": "1"}}, "payer_client_ip"),
    ("goods without number", {"detail": {"goods_detail": [{"quantity": 1}]}}, "/body/detail/goods_detail"),
    ("long device", {"scene_info": {"payer_client_ip": "1.1.1.1", "device_id": "d" * 33}}, "device_id"),
]


@pytest.mark.parametrize("case", BAD, ids=[case[0] for case in BAD])
async def test_a_bad_prepay_is_refused_signed(
    sandbox: Sandbox, merchant: Merchant, case: tuple[str, dict[str, Any], str]
) -> None:
    _, changes, text = case
    content = merchant.order("STRICT05") | changes
    content = {key: value for key, value in content.items() if value is not ...}
    reply = await merchant.call("POST", NATIVE, content)
    assert (reply.status, reply.code, reply.genuine) == (400, "PARAM_ERROR", True)
    assert text in reply.json["message"] + str(reply.json.get("detail"))
    assert sandbox.books() == []


async def test_a_body_that_is_not_json_is_refused(merchant: Merchant) -> None:
    for body in (b"{", b"[]", b"\xff\xfe", b'"x"'):
        reply = await merchant.call("POST", NATIVE, body)
        assert (reply.status, reply.code, reply.genuine) == (400, "PARAM_ERROR", True)


async def test_a_body_must_say_that_it_is_json(merchant: Merchant) -> None:
    reply = await merchant.call("POST", NATIVE, merchant.order("STRICT06"), Content_Type="text/plain")
    assert (reply.status, reply.code) == (400, "INVALID_REQUEST")


async def test_the_merchant_must_be_the_one_who_signed(sandbox: Sandbox, merchant: Merchant) -> None:
    other = sandbox.add_merchant("1922222222")
    reply = await merchant.prepay("STRICT07", mchid=other["mchid"], appid=other["appid"])
    assert (reply.status, reply.code) == (400, "PARAM_ERROR")
    assert "http header中的mchid" in reply.json["message"]
    reply = await merchant.prepay("STRICT07", appid="wx9999999999999999")
    assert (reply.status, reply.code) == (400, "APPID_MCHID_NOT_MATCH")
    await merchant.prepay("STRICT07")
    target = f"/v3/pay/transactions/out-trade-no/STRICT07?mchid={other['mchid']}"
    assert (await merchant.call("GET", target)).code == "PARAM_ERROR"
    assert (await merchant.call("GET", target.partition("?")[0])).code == "PARAM_ERROR"
    assert (await merchant.call("POST", target.partition("?")[0] + "/close", {"mchid": "1"})).code == "PARAM_ERROR"


async def test_an_order_is_its_merchants_own(sandbox: Sandbox, merchant: Merchant) -> None:
    other = Merchant(sandbox.add_merchant(), merchant.session, clock=merchant.clock)
    await merchant.prepay("STRICT08")
    assert (await other.query("STRICT08")).code == "ORDER_NOT_EXIST"
    assert (await other.prepay("STRICT08", 99)).status == 200
    assert (await merchant.query("STRICT08")).json["amount"]["total"] == 1234


@pytest.mark.parametrize("mode", ["certificate", "public_key"])
async def test_the_answer_is_signed_with_the_key_that_is_asked_for(merchant: Merchant, mode: str) -> None:
    wanted = merchant.block["platform_serial_no" if mode == "certificate" else "public_key_id"]
    merchant.serial = wanted
    for reply in (await merchant.query("STRICT09"), await merchant.prepay("STRICT09")):
        assert (reply.genuine, reply.headers["Wechatpay-Serial"]) == (True, wanted)


async def test_answers_look_like_the_vendors_on_the_wire(merchant: Merchant) -> None:
    found = await merchant.query("STRICT10")
    assert list(found.headers) == [
        "Server", "Date", "Content-Type", "Content-Length", "Connection", "Keep-Alive", "Cache-Control",
        "X-Content-Type-Options", "Request-ID", "Content-Language", "Wechatpay-Nonce", "Wechatpay-Signature",
        "Wechatpay-Timestamp", "Wechatpay-Serial", "Wechatpay-Signature-Type",
    ]  # fmt: skip
    assert found.headers["Request-ID"].endswith("-268512771")
    assert (await merchant.prepay("STRICT10")).headers["Request-ID"].endswith("-0")


async def test_new_merchants_have_only_the_public_key(sandbox: Sandbox, merchant: Merchant) -> None:
    sandbox.switches.platform_certificates = False
    reply = await merchant.call("GET", CERTIFICATES)
    assert (reply.status, reply.code) == (404, "RESOURCE_NOT_EXISTS")
    assert (reply.genuine, reply.headers["Wechatpay-Serial"]) == (True, merchant.block["public_key_id"])


async def test_a_nonce_may_be_checked_for_replay(sandbox: Sandbox, merchant: Merchant) -> None:
    authorization = merchant.authorization("GET", CERTIFICATES, b"")
    for status in (200, 200):
        assert (await merchant.call("GET", CERTIFICATES, Authorization=authorization)).status == status
    sandbox.switches.nonce_replay_check = True
    for status in (200, 401):
        assert (await merchant.call("GET", CERTIFICATES, Authorization=authorization)).status == status


async def test_published_limits_may_be_enforced(sandbox: Sandbox, merchant: Merchant) -> None:
    sandbox.switches.limits = True
    frozen = sandbox.clock.now()
    sandbox.clock.now = lambda: frozen  # type: ignore[method-assign]
    target = "/v3/bill/fundflowbill?bill_date=2020-01-01"
    codes = [(await merchant.call("GET", target)).status for _ in range(4)]
    assert codes == [400, 400, 400, 429]
