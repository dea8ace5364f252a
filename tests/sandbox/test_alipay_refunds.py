"""The rules of a refund at Alipay: one out_request_no one refund, sums that grow, the notice at the payment's address."""

import pytest

from oncepay.sandbox.main import Sandbox
from oncepay.sandbox.vendor import Refused
from tests.sandbox.alipay_merchant import AliMerchant
from tests.sandbox.merchant import Receiver


@pytest.fixture
async def paid(sandbox: Sandbox, ali: AliMerchant, receiver: Receiver) -> str:
    """A paid trade of 12.34, of which notices go to the receiver."""
    receiver.answer = "success"
    ali.notify_url = receiver.url
    sandbox.pay(ali.page("REFUND_1", method="wap"))
    await sandbox.settle()
    receiver.got.clear()
    return "REFUND_1"


async def test_a_refund_moves_money_once(sandbox: Sandbox, ali: AliMerchant, paid: str) -> None:
    first = await ali.refund(paid, "R1", "2.34", query_options=["refund_detail_item_list"])
    assert first.genuine
    assert (first.code, first["fund_change"], first["refund_fee"], first["send_back_fee"]) == (
        "10000",
        "Y",
        "2.34",
        "2.34",
    )
    again = await ali.refund(paid, "R1", "2.34")
    assert (again.code, again["fund_change"], again["refund_fee"]) == ("10000", "N", "2.34")
    second = await ali.refund(paid, "R2", "1.00")
    assert (second["fund_change"], second["refund_fee"]) == ("Y", "3.34")  # cumulative
    other = await ali.refund(paid, "R1", "2.35")
    assert other.code == "ACQ.DISCORDANT_REPEAT_REQUEST"
    [row] = sandbox.books(paid)
    assert (row.refunded, row.state) == (334, "TRADE_SUCCESS")
    assert (await ali.query(paid))["trade_status"] == "TRADE_SUCCESS"
    assert sandbox.books("R2") == [row]


async def test_a_full_refund_closes_the_trade(sandbox: Sandbox, ali: AliMerchant, paid: str) -> None:
    await ali.refund(paid, "R1", "2.34")
    assert (await ali.refund(paid, "R2", "10.01")).code == "ACQ.REASON_TRADE_REFUND_FEE_ERR"
    assert (await ali.refund(paid, "R2", "10.00"))["refund_fee"] == "12.34"
    found = await ali.query(paid)
    assert (found["trade_status"], "send_pay_date" in found.content) == ("TRADE_CLOSED", True)
    assert (await ali.refund(paid, "R2", "10.00"))["fund_change"] == "N"
    assert (await ali.refund(paid, "R3", "0.01")).code == "ACQ.REASON_TRADE_REFUND_FEE_ERR"


async def test_without_a_number_only_all_of_it_goes_back(sandbox: Sandbox, ali: AliMerchant, paid: str) -> None:
    assert (await ali.refund(paid, "", "2.34")).code == "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL"
    assert (await ali.refund(paid, "", "12.34"))["fund_change"] == "Y"
    assert (await ali.refund(paid, "", "12.34"))["fund_change"] == "N"
    trade_no = sandbox.books(paid)[0].transaction_id
    for number in (paid, str(trade_no)):  # asked by either of the trade's own numbers
        assert (await ali.query_refund(paid, number))["refund_status"] == "REFUND_SUCCESS"


async def test_only_what_is_paid_goes_back(sandbox: Sandbox, ali: AliMerchant) -> None:
    async with ali.session.get(ali.page("UNPAID_1")) as answer, ali.session.post(f"{answer.url}/login"):
        pass
    assert (await ali.refund("UNPAID_1", "R1", "1.00")).code == "ACQ.TRADE_STATUS_ERROR"
    await ali.close("UNPAID_1")
    assert (await ali.refund("UNPAID_1", "R1", "1.00")).code == "ACQ.TRADE_STATUS_ERROR"
    with pytest.raises(Refused) as refused:
        sandbox.refund("UNPAID_1", 1)
    assert refused.value.code == "not_paid"


async def test_a_refund_query_without_status_means_not_refunded(sandbox: Sandbox, ali: AliMerchant, paid: str) -> None:
    unknown = await ali.query_refund(paid, "R1")
    assert (unknown.code, "refund_status" in unknown.content) == ("10000", False)
    await ali.refund(paid, "R1", "2.34")
    known = await ali.query_refund(paid, "R1", "gmt_refund_pay")
    assert known.genuine
    assert (known["refund_status"], known["refund_amount"], known["total_amount"], known["out_request_no"]) == (
        "REFUND_SUCCESS",
        "2.34",
        "12.34",
        "R1",
    )
    assert "gmt_refund_pay" in known.content
    assert "gmt_refund_pay" not in (await ali.query_refund(paid, "R1")).content


async def test_refunds_are_told_at_the_payments_address(
    sandbox: Sandbox, ali: AliMerchant, receiver: Receiver, paid: str
) -> None:
    await ali.refund(paid, "R1", "2.34")
    await receiver.has(1)
    part = ali.told(receiver.got[0])
    assert (part["trade_status"], part["refund_fee"], part["out_biz_no"]) == ("TRADE_SUCCESS", "2.34", "R1")
    assert {"gmt_refund", "gmt_payment"} <= part.keys()
    assert {"gmt_close", "receipt_amount", "fund_bill_list"}.isdisjoint(part)
    await ali.refund(paid, "R2", "10.00")
    await receiver.has(2)
    full = ali.told(receiver.got[1])
    assert (full["trade_status"], full["refund_fee"], full["total_amount"]) == ("TRADE_CLOSED", "12.34", "12.34")
    assert {"gmt_close", "gmt_refund", "gmt_payment"} <= full.keys()
    assert full["notify_id"] != part["notify_id"]


async def test_a_refund_in_the_console_is_told_like_any_other(
    sandbox: Sandbox, ali: AliMerchant, receiver: Receiver, paid: str
) -> None:
    url = f"{sandbox.base_url}/sandbox/refund"
    async with ali.session.post(url, json={"number": paid, "minor": 1235}) as answer:
        assert (answer.status, (await answer.json())["error"]) == (409, "refund_invalid")
    async with ali.session.post(url, json={"number": paid, "minor": 1234}) as answer:
        number = (await answer.json())["refund"]
    await receiver.has(1)
    assert ali.told(receiver.got[0])["out_biz_no"] == number
    assert (await ali.query(paid))["trade_status"] == "TRADE_CLOSED"
    assert (await ali.query_refund(paid, number))["refund_amount"] == "12.34"


async def test_a_refund_may_take_its_time_or_never_happen(sandbox: Sandbox, ali: AliMerchant, paid: str) -> None:
    sandbox.faults.replace({"once": [{"fault": "refund_late", "seconds": 60}]})
    late = await ali.refund(paid, "R1", "2.34")
    assert (late.code, late["fund_change"], late["refund_fee"]) == ("10000", "N", "0.00")
    assert "refund_status" not in (await ali.query_refund(paid, "R1")).content
    assert (await ali.refund(paid, "R1", "2.34"))["fund_change"] == "N"
    assert (await ali.refund(paid, "R2", "10.01")).code == "ACQ.REASON_TRADE_REFUND_FEE_ERR"  # it is reserved
    sandbox.advance(60)
    assert (await ali.query_refund(paid, "R1"))["refund_status"] == "REFUND_SUCCESS"
    sandbox.faults.replace({"once": [{"fault": "refund_closed"}]})
    assert (await ali.refund(paid, "R2", "1.00"))["fund_change"] == "N"
    sandbox.advance(86400)
    assert "refund_status" not in (await ali.query_refund(paid, "R2")).content
    for moved in ("Y", "N"):  # the same number, again: once
        assert (await ali.refund(paid, "R2", "1.00"))["fund_change"] == moved
    assert sandbox.books(paid)[0].refunded == 334


async def test_an_empty_balance_and_refunds_too_close(sandbox: Sandbox, ali: AliMerchant, paid: str) -> None:
    sandbox.faults.replace({"once": ["not_enough"]})
    assert (await ali.refund(paid, "R1", "2.34")).code == "ACQ.SELLER_BALANCE_NOT_ENOUGH"
    assert "refund_status" not in (await ali.query_refund(paid, "R1")).content
    sandbox.switches.balance_fen = -1134  # what is left of the payment less its fee: 93 fen
    assert (await ali.refund(paid, "R1", "1.00")).code == "ACQ.SELLER_BALANCE_NOT_ENOUGH"
    assert (await ali.refund(paid, "R1", "0.93"))["fund_change"] == "Y"
    sandbox.switches.balance_fen = 0
    sandbox.switches.refund_gap_s = 3
    assert (await ali.refund(paid, "R2", "0.01")).code == "isv.method-call-limited"
    sandbox.advance(3)
    assert (await ali.refund(paid, "R2", "0.01"))["refund_fee"] == "0.94"


async def test_a_trade_number_names_the_trade_of_a_refund(sandbox: Sandbox, ali: AliMerchant, paid: str) -> None:
    """And it wins over an order number that says something else."""
    content = {
        "trade_no": sandbox.books(paid)[0].transaction_id,
        "out_trade_no": "OTHER",
        "refund_amount": "1.00",
        "out_request_no": "R",
    }
    assert (await ali.call("trade.refund", content))["out_trade_no"] == paid
