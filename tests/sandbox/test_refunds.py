"""The rules of a refund: one number one refund, never more than was paid, outcomes and bank cards."""

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from oncepay.sandbox.main import Sandbox
from tests.sandbox.merchant import Merchant, Receiver

REFUNDS = "/v3/refund/domestic/refunds"


@pytest.fixture
async def paid(sandbox: Sandbox, merchant: Merchant) -> str:
    """A paid order of 12.34."""
    sandbox.faults.replace({"on": {"notify_none": True}})
    await merchant.prepay("REFUND01")
    sandbox.pay("REFUND01")
    return "REFUND01"


async def test_the_same_refund_again_is_the_same_refund(sandbox: Sandbox, merchant: Merchant, paid: str) -> None:
    first = await merchant.refund(paid, "R1", 234)
    assert (await merchant.refund(paid, "R1", 234)).json == first.json
    sandbox.advance(10)
    assert (await merchant.refund(paid, "R1", 234)).json["status"] == "SUCCESS"
    assert len(sandbox.books(paid)[0].refunds) == 1


async def test_the_same_number_with_other_content_is_refused(sandbox: Sandbox, merchant: Merchant, paid: str) -> None:
    await merchant.refund(paid, "R1", 234)
    changed: list[tuple[int, dict[str, Any]]] = [(235, {}), (234, {"reason": "other"})]
    for refund, more in changed:
        reply = await merchant.refund(paid, "R1", refund, **more)
        assert (reply.status, reply.code) == (400, "INVALID_REQUEST")
        assert "与之前请求不一致" in reply.json["message"]


async def test_refunds_never_exceed_the_payment(sandbox: Sandbox, merchant: Merchant, paid: str) -> None:
    sandbox.switches.refund_gap_s = 0
    assert (await merchant.refund(paid, "R1", 1000)).status == 200
    assert (await merchant.refund(paid, "R2", 235)).code == "INVALID_REQUEST"
    assert (await merchant.refund(paid, "R2", 234)).status == 200
    over = await merchant.refund(paid, "R3", 1)
    assert (over.code, over.json["message"]) == ("INVALID_REQUEST", "订单已全额退款")
    assert sum(refund.amount for refund in sandbox.books(paid)[0].refunds) == 1234
    assert (await merchant.query_refund("R3")).code == "RESOURCE_NOT_EXISTS"


async def test_only_a_paid_order_of_that_total_is_refunded(sandbox: Sandbox, merchant: Merchant, paid: str) -> None:
    await merchant.prepay("REFUND02")
    assert (await merchant.refund("REFUND02", "R1", 1)).code == "TRADE_ERROR"
    assert (await merchant.refund("REFUND99", "R1", 1)).code == "RESOURCE_NOT_EXISTS"
    assert (await merchant.refund(paid, "R1", 1, 1233)).code == "INVALID_REQUEST"


async def test_a_refund_may_name_the_transaction(sandbox: Sandbox, merchant: Merchant, paid: str) -> None:
    transaction = sandbox.books(paid)[0].transaction_id
    amount = {"refund": 1, "total": 1234, "currency": "CNY"}
    content = {"transaction_id": transaction, "out_refund_no": "R1", "amount": amount}
    assert (await merchant.call("POST", REFUNDS, content)).json["out_trade_no"] == paid
    assert (await merchant.call("POST", REFUNDS, content | {"transaction_id": "4200"})).status == 404
    assert (await merchant.call("POST", REFUNDS, {"out_refund_no": "R2", "amount": amount})).code == "PARAM_ERROR"


async def test_fifty_refunds_and_not_one_more(sandbox: Sandbox, merchant: Merchant, paid: str) -> None:
    sandbox.switches.refund_gap_s = 0
    for count in range(50):
        assert (await merchant.refund(paid, f"R{count}", 1)).status == 200
    assert (await merchant.refund(paid, "R50", 1)).code == "INVALID_REQUEST"


async def test_refunds_of_one_order_lie_a_minute_apart(sandbox: Sandbox, merchant: Merchant, paid: str) -> None:
    assert (await merchant.refund(paid, "R1", 1)).status == 200
    early = await merchant.refund(paid, "R2", 1)
    assert (early.status, early.code) == (400, "INVALID_REQUEST")
    assert "频率限制" in early.json["message"]
    assert (await merchant.query_refund("R2")).status == 404
    sandbox.advance(60)
    assert (await merchant.refund(paid, "R2", 1)).status == 200


async def test_after_a_year_it_is_too_late(sandbox: Sandbox, merchant: Merchant, paid: str) -> None:
    sandbox.advance(365 * 86400 + 1)
    assert (await merchant.refund(paid, "R1", 1)).code == "TRADE_OVERDUE"


async def test_too_little_money_leaves_no_record(sandbox: Sandbox, merchant: Merchant, paid: str) -> None:
    sandbox.switches.refund_gap_s = 0
    sandbox.switches.balance_fen = -1000
    poor = await merchant.refund(paid, "R1", 1000)
    assert (poor.status, poor.code) == (403, "NOT_ENOUGH")
    assert (await merchant.query_refund("R1")).status == 404
    sandbox.switches.balance_fen = 0
    assert (await merchant.refund(paid, "R1", 1000)).status == 200
    sandbox.faults.add({"once": [{"fault": "not_enough"}]})
    assert (await merchant.refund(paid, "R2", 1)).code == "NOT_ENOUGH"
    assert (await merchant.refund(paid, "R2", 1)).status == 200


async def test_the_order_says_refund_from_accepted_or_from_success(
    sandbox: Sandbox, merchant: Merchant, paid: str
) -> None:
    await merchant.refund(paid, "R1", 1)
    assert (await merchant.query(paid)).json["trade_state"] == "REFUND"
    sandbox.switches.refund_state_from = "success"
    assert (await merchant.query(paid)).json["trade_state"] == "SUCCESS"
    sandbox.advance(10)
    assert (await merchant.query(paid)).json["trade_state"] == "REFUND"


async def test_a_closed_refund_gives_its_part_free_for_a_new_number(
    sandbox: Sandbox, merchant: Merchant, receiver: Receiver, paid: str
) -> None:
    sandbox.switches.refund_gap_s = 0
    sandbox.faults.replace({"once": [{"fault": "refund_closed"}], "on": {}})
    await merchant.refund(paid, "R1", 1234, notify_url=receiver.url)
    assert (await merchant.refund(paid, "R2", 1)).code == "INVALID_REQUEST"
    sandbox.advance(10)
    await sandbox.settle()
    content = merchant.open(receiver.got[0].body)
    assert (content["refund_status"], "success_time" in content) == ("CLOSED", False)
    assert (await merchant.refund(paid, "R1", 1234, notify_url=receiver.url)).json["status"] == "CLOSED"
    assert (await merchant.refund(paid, "R2", 1234)).status == 200


def sealed(block: dict[str, str], text: str) -> str:
    key = x509.load_pem_x509_certificate(block["platform_certificate_pem"].encode()).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA1()), algorithm=hashes.SHA1(), label=None)
    return base64.b64encode(key.encrypt(text.encode(), oaep)).decode()


async def test_an_abnormal_refund_goes_to_a_bank_card(sandbox: Sandbox, merchant: Merchant, paid: str) -> None:
    sandbox.faults.add({"once": [{"fault": "refund_abnormal", "number": "R1"}]})
    refund_id = (await merchant.refund(paid, "R1", 234)).json["refund_id"]
    sandbox.advance(10)
    assert (await merchant.query_refund("R1")).json["status"] == "ABNORMAL"
    target = f"{REFUNDS}/{refund_id}/apply-abnormal-refund"
    fields = {name: sealed(merchant.block, "张三") for name in ("bank_account", "real_name")}
    content = {"out_refund_no": "R1", "type": "USER_BANK_CARD", "bank_type": "ICBC_DEBIT"} | fields

    assert (await merchant.call("POST", target, content)).code == "PARAM_ERROR"  # sealed to whom?
    merchant.serial = merchant.block["platform_serial_no"]
    assert (await merchant.call("POST", target, content | {"real_name": "张三"})).code == "PARAM_ERROR"
    assert (await merchant.call("POST", target, content | {"type": "CASH"})).code == "PARAM_ERROR"
    assert (await merchant.call("POST", target.replace("50", "51"), content)).status == 404
    assert (await merchant.call("POST", target, content)).json["status"] == "PROCESSING"
    sandbox.advance(10)
    assert (await merchant.query_refund("R1")).json["status"] == "SUCCESS"
    assert (await merchant.call("POST", target, content)).code == "INVALID_REQUEST"


async def test_a_person_sends_an_abnormal_refund_elsewhere(sandbox: Sandbox, merchant: Merchant, paid: str) -> None:
    url = f"{sandbox.base_url}/sandbox/elsewhere"
    sandbox.faults.add({"once": [{"fault": "refund_abnormal", "number": "R1"}]})
    await merchant.refund(paid, "R1", 234)
    sandbox.advance(10)
    assert sandbox.books(paid)[0].refunds[0].status == "ABNORMAL"
    for wanted, status in (
        ({"number": "R2"}, 404),
        ({"number": 1}, 400),
        ({"number": "R1", "channel": "alipay"}, 404),
        ({"number": "R1"}, 200),
        ({"number": "R1"}, 409),  # it is on its way
    ):
        async with merchant.session.post(url, json=wanted) as answer:
            assert answer.status == status, wanted
    sandbox.advance(10)
    assert (await merchant.query_refund("R1")).json["status"] == "SUCCESS"


async def test_a_refund_may_take_days(sandbox: Sandbox, merchant: Merchant, paid: str) -> None:
    sandbox.faults.add({"once": [{"fault": "refund_late", "seconds": 3 * 86400}]})
    await merchant.refund(paid, "R1", 1)
    sandbox.advance(3 * 86400 - 60)
    assert (await merchant.query_refund("R1")).json["status"] == "PROCESSING"
    sandbox.advance(61)
    assert (await merchant.query_refund("R1")).json["status"] == "SUCCESS"


async def test_a_refund_in_the_console_is_told_in_version_two(
    sandbox: Sandbox, merchant: Merchant, receiver: Receiver, paid: str
) -> None:
    """At the console's address when it has one, never at the payment's; the query and the books know of it anyway."""
    sandbox.faults.clear()
    url = f"{sandbox.base_url}/sandbox/refund"
    for wrong, status in (
        ({"number": paid, "minor": 1235}, 409),
        ({"number": "NO"}, 400),
        ({"number": "NO", "minor": 1}, 404),
    ):
        async with merchant.session.post(url, json=wrong) as answer:
            assert answer.status == status, wrong
    for address, told in (("", 0), (receiver.url, 1)):
        sandbox.switches.console_notify_url = address
        async with merchant.session.post(url, json={"number": paid, "minor": 100}) as answer:
            number = (await answer.json())["refund"]
        sandbox.advance(5)
        await sandbox.settle()
        assert len(receiver.got) == told
        assert (await merchant.query_refund(number)).json["status"] == "SUCCESS"
    assert receiver.got[0].body.startswith(b"<xml>")
    assert sandbox.books(paid)[0].refunded == 200
    assert (await merchant.query(paid)).json["trade_state"] == "REFUND"
