"""How strictly Alipay reads: common parameters in the gateway's order, signatures, certificates, every member."""

import base64
import json
from decimal import Decimal
from typing import Any

import pytest
from cryptography import x509

from oncepay.sandbox.main import Sandbox
from oncepay.sandbox.vendor import Refused
from tests.sandbox.alipay_merchant import AliMerchant

NUMBER = "STRICT_1"


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"app_id": ""}, "isv.missing-app-id"),
        ({"app_id": "2021999999999999"}, "isv.invalid-app-id"),
        ({"sign_type": ""}, "isv.missing-signature-type"),
        ({"sign_type": "RSA"}, "isv.missing-signature-config"),
        ({"sign_type": "MD5"}, "isv.invalid-signature-type"),
        ({"charset": "utf-7"}, "isv.invalid-charset"),
        ({"charset": ""}, "isv.missing-charset"),
        ({"timestamp": ""}, "isv.missing-timestamp"),
        ({"timestamp": "2026-13-01 00:00:00"}, "isv.invalid-timestamp"),
        ({"timestamp": "2026-03-01T00:00:00"}, "isv.invalid-timestamp"),
        ({"version": ""}, "isv.missing-version"),
        ({"version": "2.0"}, "isv.invalid-version"),
        ({"format": "XML"}, "isv.invalid-format"),
        ({"encrypt_type": "AES"}, "isv.missing-encrypt-key"),
        ({"app_auth_token": "t"}, "aop.invalid-app-auth-token"),
        ({"app_cert_sn": "1"}, "isv.missing-alipay-root-cert-sn"),
        ({"alipay_root_cert_sn": "1"}, "isv.missing-app-cert-sn"),
        ({"app_cert_sn": "1", "alipay_root_cert_sn": "1"}, "isv.invalid-app-cert-sn"),
    ],
)
async def test_a_wrong_common_parameter_is_refused_without_a_signature(
    ali: AliMerchant, changes: dict[str, Any], wanted: str
) -> None:
    reply = await ali.call("trade.query", {"out_trade_no": NUMBER}, **changes)
    assert (reply.status, reply.code, reply.sign) == (200, wanted, None)
    assert reply.root == "alipay_trade_query_response"
    family = {"isv.missing-signature-config": "40003", "aop.invalid-app-auth-token": "20001"}
    assert reply["code"] == family.get(wanted, "40001" if ".missing-" in wanted else "40002")


@pytest.mark.parametrize("method", ["trade.nothing", ""])
async def test_an_unknown_method_has_no_root_of_its_own(ali: AliMerchant, method: str) -> None:
    reply = await ali.send(ali.params(f"alipay.{method}" if method else "", {}))
    assert (reply.root, reply.sign) == ("error_response", None)
    assert reply.code == ("isv.invalid-method" if method else "isv.missing-method")


async def test_the_app_is_looked_at_before_the_signature(ali: AliMerchant) -> None:
    params = ali.params("alipay.trade.query", {"out_trade_no": NUMBER})
    for changes, wanted in (
        ({"sign": "AAAA"}, "isv.invalid-signature"),
        ({"sign": "not base64"}, "isv.invalid-signature"),
        ({"sign": "AAAA", "app_id": "1"}, "isv.invalid-app-id"),
        ({"sign": "AAAA", "sign_type": "MD5"}, "isv.invalid-signature-type"),
        ({"sign": "AAAA", "timestamp": ""}, "isv.invalid-signature"),
    ):
        assert (await ali.send(params | changes)).code == wanted, changes
    del params["sign"]
    assert (await ali.send(params)).code == "isv.missing-signature"


async def test_a_parameter_named_twice_is_refused(ali: AliMerchant) -> None:
    """In query and form: nobody could say which of them was signed."""
    params = ali.params("alipay.trade.query", {"out_trade_no": NUMBER})
    async with ali.session.post(ali.block["gateway_url"], params=params, data={"app_id": "1"}) as answer:
        assert "isv.invalid-parameter" in await answer.text()


async def test_everything_may_stand_in_the_query_or_in_the_form(ali: AliMerchant) -> None:
    params = ali.params("alipay.trade.query", {"out_trade_no": NUMBER})
    async with ali.session.get(ali.block["gateway_url"], params=params) as answer:
        assert "ACQ.TRADE_NOT_EXIST" in await answer.text()
    async with ali.session.post(ali.block["gateway_url"], data=params) as answer:
        assert "ACQ.TRADE_NOT_EXIST" in await answer.text()


async def test_an_empty_parameter_is_not_signed(ali: AliMerchant) -> None:
    params = ali.params("alipay.trade.query", {"out_trade_no": NUMBER})
    assert (await ali.send(params | {"notify_url": ""})).code == "ACQ.TRADE_NOT_EXIST"


async def test_other_paths_and_verbs(ali: AliMerchant) -> None:
    async with ali.session.get(ali.block["gateway_url"] + "/more") as answer:
        assert answer.status == 404
    async with ali.session.put(ali.block["gateway_url"]) as answer:
        assert answer.status == 405
    async with ali.session.post(ali.block["gateway_url"]) as answer:
        assert json.loads(await answer.read())["error_response"]["sub_code"] == "isv.missing-app-id"


async def test_gbk_is_signed_sent_and_answered_in_gbk(sandbox: Sandbox, ali: AliMerchant) -> None:
    ali.charset = "gbk"
    reply = await ali.precreate(NUMBER, subject="面包")
    assert reply.genuine
    assert reply.headers["Content-Type"] == "text/html;charset=gbk"
    assert "面包" in str(sandbox.alipay.desk.books.offer(NUMBER))
    refused = await ali.precreate(NUMBER, subject="a=b")
    assert refused.genuine
    assert "参数无效" in refused["sub_msg"]


async def test_what_is_not_in_its_charset_is_refused(ali: AliMerchant) -> None:
    params = ali.params("alipay.trade.precreate", ali.order(NUMBER))
    query = "&".join(f"{k}={v}" for k, v in params.items() if k not in ("biz_content", "sign"))
    async with ali.session.post(f"{ali.block['gateway_url']}?{query}", data=b"biz_content=%C3%E6%B0") as answer:
        assert "isv.invalid-signature" in await answer.text()


async def test_a_timestamp_may_be_watched(sandbox: Sandbox, ali: AliMerchant) -> None:
    """No figure is published, so by default any time is taken; pages are signed long before they are opened."""
    sandbox.switches.alipay.timestamp_window_s = 300
    assert (await ali.query(NUMBER)).code == "ACQ.TRADE_NOT_EXIST"
    ali.common = {"timestamp": "2020-01-01 00:00:00"}
    assert (await ali.query(NUMBER)).code == "isv.invalid-timestamp"
    async with ali.session.get(ali.page(NUMBER), allow_redirects=False) as answer:
        assert answer.status == 302


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"out_trade_no": ""}, "out_trade_no"),
        ({"out_trade_no": "a-b"}, "out_trade_no"),
        ({"out_trade_no": "a" * 65}, "out_trade_no"),
        ({"out_trade_no": 5.5}, "out_trade_no"),
        ({"out_trade_no": ["1"]}, "out_trade_no"),
        ({"total_amount": ""}, "total_amount"),
        ({"total_amount": "0.00"}, "total_amount"),
        ({"total_amount": "-1.00"}, "total_amount"),
        ({"total_amount": "1.001"}, "total_amount"),
        ({"total_amount": "1e2"}, "total_amount"),
        ({"total_amount": "100000000.01"}, "total_amount"),
        ({"total_amount": "１.00"}, "total_amount"),
        ({"subject": ""}, "subject"),
        ({"subject": "a/b"}, "subject"),
        ({"subject": "a=b"}, "subject"),
        ({"subject": "a&b"}, "subject"),
        ({"subject": "x" * 257}, "subject"),
        ({"body": "x" * 129}, "body"),
        ({"passback_params": "x" * 513}, "passback_params"),
        ({"product_code": "FAST_INSTANT_TRADE_PAY"}, "product_code"),
        ({"timeout_express": "16d"}, "timeout_express"),
        ({"timeout_express": "1.5h"}, "timeout_express"),
        ({"timeout_express": "30s"}, "timeout_express"),
        ({"time_expire": "2099-02-30 00:00:00"}, "time_expire"),
        ({"time_expire": "tomorrow"}, "time_expire"),
        ({"qr_code_timeout_express": "x"}, "qr_code_timeout_express"),
        ({"enable_pay_channels": "a", "disable_pay_channels": "b"}, "enable_pay_channels"),
        ({"goods_detail": "x"}, "goods_detail"),
    ],
)
async def test_a_wrong_member_is_refused_by_name(ali: AliMerchant, changes: dict[str, Any], wanted: str) -> None:
    reply = await ali.call("trade.precreate", ali.order(NUMBER) | changes)
    assert reply.genuine
    assert (reply["code"], reply.code) == ("40004", "ACQ.INVALID_PARAMETER")
    assert wanted in reply["sub_msg"]


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("", "isv.missing-biz-content"),
        ("{", "isv.illegal-json"),
        ("[]", "isv.illegal-json"),
        ("[" * 20000, "isv.illegal-json"),
        (
            '{"out_trade_no":"1","seller_id":"2088000000000000","total_amount":"1","subject":"s"}',
            "ACQ.INVALID_RECEIVE_ACCOUNT",
        ),
        (
            json.dumps({"out_trade_no": "1", "total_amount": "1", "subject": "s", "goods_detail": [{}] * 151}),
            "ACQ.SUB_GOODS_SIZE_MAX_COUNT",
        ),
    ],
)
async def test_content_that_cannot_be_taken(ali: AliMerchant, content: str, wanted: str) -> None:
    reply = await ali.send(ali.params("alipay.trade.precreate", content))
    assert (reply.code, reply.genuine) == (wanted, True)


@pytest.mark.parametrize("amount", [12.34, 12, "12.3", "0.01", "100000000"])
async def test_amounts_as_people_write_them(sandbox: Sandbox, ali: AliMerchant, amount: Any) -> None:
    """Numbers are read as the text they are, never as floats; what is not known is ignored."""
    reply = await ali.call("trade.precreate", ali.order(NUMBER) | {"total_amount": amount, "unknown": {"a": None}})
    assert reply.code == "10000"
    sandbox.pay(NUMBER)
    assert sandbox.books(NUMBER)[0].amount == Decimal(str(amount)) * 100


@pytest.mark.parametrize(
    "method", ["trade.query", "trade.close", "trade.cancel", "trade.refund", "trade.fastpay.refund.query"]
)
async def test_a_trade_must_be_named(ali: AliMerchant, method: str) -> None:
    content = {"refund_amount": "1.00", "out_request_no": "R"}
    assert (await ali.call(method, content)).code == "ACQ.INVALID_PARAMETER"
    known = "10000" if method == "trade.cancel" else "ACQ.TRADE_NOT_EXIST"
    for name in ({"out_trade_no": NUMBER}, {"trade_no": "2" * 28}):
        assert (await ali.call(method, content | name)).code == known


async def test_another_merchants_trade_is_not_there(sandbox: Sandbox, ali: AliMerchant) -> None:
    """Numbers are unique for each merchant; the same number of another is another trade."""
    other = AliMerchant(sandbox.add_merchant(channel="alipay"), ali.session, clock=ali.clock)
    await ali.precreate(NUMBER)
    trade_no = sandbox.pay(NUMBER)["transaction_id"]
    assert (await other.query(NUMBER)).code == "ACQ.TRADE_NOT_EXIST"
    assert (await other.call("trade.query", {"trade_no": trade_no})).code == "ACQ.TRADE_NOT_EXIST"
    assert (await other.precreate(NUMBER)).code == "10000"
    stolen = ali.params("alipay.trade.query", {"out_trade_no": NUMBER}, app_id=other.block["app_id"])
    assert (await ali.send(stolen)).code == "isv.invalid-signature"
    for app_id, wanted in (("12", "app_id_invalid"), (other.block["app_id"], "app_id_taken")):
        with pytest.raises(Refused) as refused:
            sandbox.add_merchant(app_id, channel="alipay")
        assert refused.value.code == wanted


async def test_certificate_mode(sandbox: Sandbox, ali: AliMerchant) -> None:
    assert (await ali.precreate(NUMBER)).cert_sn is None
    ali.certified = True
    reply = await ali.precreate(NUMBER)
    assert (reply.code, reply.genuine, reply.cert_sn) == ("10000", True, ali.block["alipay_cert_sn"])
    assert (await ali.query("NOBODY")).cert_sn == ali.block["alipay_cert_sn"]
    wrong = await ali.call("trade.query", {"out_trade_no": NUMBER}, alipay_root_cert_sn="1")
    assert (wrong.code, wrong.sign, wrong.cert_sn) == ("isv.invalid-alipay-root-cert-sn", None, None)
    sandbox.switches.alipay.mode = "certificate"
    ali.certified = False
    assert (await ali.query(NUMBER)).code == "isv.missing-app-cert-sn"
    sandbox.switches.alipay.mode = "key"
    ali.certified = True
    assert (await ali.query(NUMBER)).cert_sn is None
    sandbox.switches.alipay.mode = "either"
    sandbox.advance(40 * 365 * 86400)
    assert (await ali.query(NUMBER)).code == "isv.app-cert-expired"


async def test_a_new_certificate_is_named_and_can_be_fetched(session: Any) -> None:
    """Same key, new serial; what is fetched ends in the root bundle that a merchant already has."""
    async with Sandbox(seed=1) as sandbox:
        ali = AliMerchant(sandbox.config["alipay"], session, clock=sandbox.clock.now, certified=True)
        async with session.post(f"{sandbox.base_url}/sandbox/rotate", json={"channel": "alipay"}) as answer:
            serial = (await answer.json())["alipay_cert_sn"]
        reply = await ali.query(NUMBER)
        assert (reply.genuine, reply.cert_sn) == (True, serial)
        assert serial != ali.block["alipay_cert_sn"]
        sandbox.faults.replace({"once": ["cert_rotate"]})
        serial = (await ali.query(NUMBER)).cert_sn
        method = "open.app.alipaycert.download"
        assert (await ali.call(method, {"alipay_cert_sn": "1"})).code == "isv.invalid-alipay-cert-sn"
        pem = base64.b64decode((await ali.call(method, {"alipay_cert_sn": serial}))["alipay_cert_content"])
        alipay, issuing = x509.load_pem_x509_certificates(pem)
        roots = x509.load_pem_x509_certificates(ali.block["alipay_root_cert_pem"].encode())
        root = next(root for root in roots if root.subject == issuing.issuer)
        for cert, issuer in ((alipay, issuing), (issuing, root)):
            cert.verify_directly_issued_by(issuer)
        assert len(roots) == 2  # one of them signed by an elliptic curve: it does not count in the serial
        assert "_" not in ali.block["alipay_root_cert_sn"]
