"""UnionPay refuses what is missing (13), looks wrong (10), is not signed right (11) or is not sold (43)."""

import base64
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509 import load_pem_x509_certificate

from oncepay.sandbox.main import Sandbox
from oncepay.sandbox.vendor import Refused
from tests.sandbox.unionpay import APP, BACK, QUERY, Shop

NUMBER = "PC20260301000001"


@pytest.mark.parametrize("name", ["version", "encoding", "signMethod", "merId", "certId", "txnType", "txnSubType"])
async def test_the_envelope_is_needed(shop: Shop, name: str) -> None:
    answer = await shop.call(APP, shop.payment(NUMBER, 1, **{name: ""}))
    assert (answer.code, answer.problem) == ("13", "")


@pytest.mark.parametrize(
    "name", ["bizType", "accessType", "channelType", "orderId", "txnTime", "txnAmt", "currencyCode", "backUrl"]
)
async def test_a_payments_fields_are_needed(sandbox: Sandbox, shop: Shop, name: str) -> None:
    answer = await shop.call(APP, shop.payment(NUMBER, 1, **{name: ""}))
    assert (answer.code, f"({name})" in answer.fields["respMsg"], answer.problem) == ("13", True, "")
    assert sandbox.books() == []


async def test_a_form_says_where_the_browser_goes(shop: Shop) -> None:
    status, _, page = await shop.open(shop.form(NUMBER, frontUrl=""))
    assert (status, "frontUrl" in page) == (200, True)


async def test_an_unsigned_request_is_refused(shop: Shop) -> None:
    assert (await shop.post(APP, shop.payment(NUMBER))).code == "13"


@pytest.mark.parametrize(
    "wrong",
    [
        {"orderId": "PC-0301-00001"},
        {"orderId": "PC_030100001"},
        {"orderId": "SHORT01"},
        {"orderId": "A" * 33},
        {"txnAmt": "0"},
        {"txnAmt": "88.88"},
        {"txnAmt": "-1"},
        {"txnAmt": "0100"},
        {"currencyCode": "840"},
        {"txnTime": "20260231000000"},
        {"txnTime": "2026030112304"},
        {"payTimeout": "20200101000000"},
        {"payTimeout": "soon"},
        {"backUrl": "ftp://shop.test/"},
        {"backUrl": "/notify"},
        {"reqReserved": "x" * 1025},
        {"version": "5.0.0"},
        {"signMethod": "11"},
        {"encoding": "UTF-16"},
        {"accessType": "9"},
        {"merId": "777"},
    ],
    ids=lambda wrong: "-".join(*wrong.items()),
)
async def test_what_looks_wrong_is_refused(sandbox: Sandbox, shop: Shop, wrong: dict[str, str]) -> None:
    answer = await shop.call(APP, shop.payment(NUMBER, 1, **wrong))
    assert (answer.code, answer.problem) == ("10", "")
    assert sandbox.books() == []


@pytest.mark.parametrize("offset_s", [-3700, 3700])
async def test_a_txn_time_is_about_now(sandbox: Sandbox, shop: Shop, offset_s: float) -> None:
    fields = shop.payment(NUMBER, txnTime=shop.time(offset_s), payTimeout=shop.time(8000))
    answer = await shop.call(APP, fields)
    assert (answer.code, "txnTime" in answer.fields["respMsg"]) == ("10", True)
    sandbox.switches.unionpay.txn_time_window_s = 7200
    assert (await shop.call(APP, fields)).code == "00"


async def test_a_refund_far_from_its_txn_time_is_refused(sandbox: Sandbox, shop: Shop) -> None:
    query_id = sandbox.pay_for({"form": shop.form(NUMBER)})["transaction_id"]
    assert (await shop.refund("RF20260301000001", query_id, 1, txnTime=shop.time(-4000))).code == "10"
    assert (await shop.refund("RF20260301000001", "123", 1)).code == "10"
    assert (await shop.refund("RF20260301000001", query_id, 1, backUrl="")).code == "13"


async def test_a_signature_must_be_the_merchants(sandbox: Sandbox, shop: Shop) -> None:
    right = shop.signed(shop.payment(NUMBER))
    other = Shop(sandbox.add_merchant(channel="unionpay"), shop.session, shop.clock)
    cases: list[dict[str, Any]] = [
        {**right, "txnAmt": "1"},
        {**right, "extra": "1"},
        {**right, "signature": "AAAA"},
        {**right, "signature": "not base64!"},
        shop.signed({**shop.payment(NUMBER), "certId": "123"}),
        shop.signed({**shop.payment(NUMBER), "certId": other.block["certId"]}),
        shop.signed({**shop.payment(NUMBER), "merId": other.block["merId"]}),
    ]
    for fields in cases:
        answer = await shop.post(APP, fields)
        assert (answer.code, answer.fields["respMsg"], answer.problem) == ("11", "验证签名失败[9100004]", "")
    assert sandbox.books() == []
    assert (await shop.post(APP, right)).code == "00"


async def test_empty_fields_are_not_there(shop: Shop) -> None:
    fields = {**shop.signed(shop.payment(NUMBER)), "customerInfo": ""}
    assert (await shop.post(APP, fields)).code == "00"
    missing = {**shop.signed(shop.payment(NUMBER, 1, orderId="")), "orderId": ""}
    assert (await shop.post(APP, missing)).code == "13"


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"=", b"orderId=A&orderId=A", b"orderId=%FF&encoding=UTF-8", b"\x00=\xff"]
)
async def test_what_is_no_form_is_refused(shop: Shop, body: bytes) -> None:
    answer = await shop.send(APP, body)
    assert (answer.code in {"10", "13"}, answer.problem) == (True, "")


async def test_a_name_twice_is_refused(sandbox: Sandbox, shop: Shop) -> None:
    body = urlencode(shop.signed(shop.payment(NUMBER))).encode()
    assert (await shop.send(APP, body + b"&txnAmt=1")).code == "10"
    assert sandbox.books() == []


@pytest.mark.parametrize(
    ("where", "txn_type", "sub_type"), [(APP, "01", "07"), (BACK, "01", "06"), (BACK, "99", "01"), (QUERY, "04", "00")]
)
async def test_what_is_not_sold_there_is_refused(shop: Shop, where: str, txn_type: str, sub_type: str) -> None:
    answer = await shop.call(where, shop.payment(NUMBER, txnType=txn_type, txnSubType=sub_type))
    assert (answer.code, answer.problem) == ("43", "")


async def test_answers_are_raw_with_the_certificate_behind(shop: Shop) -> None:
    answer = await shop.app(NUMBER)
    text = answer.body.decode()
    names = [part.partition("=")[0] for part in text.split("&") if "=" in part]
    assert names[-2:] == ["signPubKeyCert", "signature"]
    assert names[:-2] == sorted(names[:-2])
    assert "respMsg=成功[0000000]" in text
    certificate = answer.fields["signPubKeyCert"]
    assert certificate.startswith("-----BEGIN CERTIFICATE-----\r\n")
    assert certificate.endswith("\r\n-----END CERTIFICATE-----")
    assert max(len(line) for line in certificate.split("\r\n")) == 64
    assert (
        load_pem_x509_certificate(certificate.encode())
        .subject.rfc4514_string()
        .startswith("CN=041@8310000000083040@中国银联股份有限公司@00016495")
    )


async def test_the_settings_of_a_merchant_fit_together(sandbox: Sandbox, shop: Shop) -> None:
    for block in (shop.block, sandbox.add_merchant("777000000000001", "unionpay")):
        certificate = load_pem_x509_certificate(block["merchant_certificate_pem"].encode())
        assert str(certificate.serial_number) == block["certId"]
        packed = base64.b64decode(block["merchant_p12_base64"])
        key, same, _ = pkcs12.load_key_and_certificates(packed, block["merchant_p12_password"].encode())
        assert key is not None
        assert same == certificate
    other = Shop(block, shop.session, shop.clock)
    assert (await other.app(NUMBER)).code == "00"
    for merchant in ("777000000000001", "7"):
        with pytest.raises(Refused):
            sandbox.add_merchant(merchant, "unionpay")
