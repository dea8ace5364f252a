"""The whole road of an order over real HTTP: prepay, pay, notify, query, close, refund."""

from oncepay.sandbox.main import Sandbox
from tests.sandbox.merchant import Merchant, Receiver


async def test_a_native_order_is_paid_told_queried_and_refunded(
    sandbox: Sandbox, merchant: Merchant, receiver: Receiver
) -> None:
    made = await merchant.prepay("PATH0001", notify_url=receiver.url)
    assert (made.status, made.genuine) == (200, True)
    assert made.json["code_url"].startswith("weixin://wxpay/bizpayurl?pr=")
    assert (await merchant.query("PATH0001")).json["trade_state"] == "NOTPAY"

    paid = sandbox.pay(made.json["code_url"])
    await sandbox.settle()
    [told] = receiver.got
    assert merchant.judge(told.headers, told.body) == (True, True)
    assert told.json["event_type"] == "TRANSACTION.SUCCESS"
    content = merchant.open(told.body)
    assert content["transaction_id"] == paid["transaction_id"]
    assert content["amount"]["total"] == 1234

    found = await merchant.query("PATH0001")
    assert (found.json["trade_state"], found.json["amount"]["payer_total"]) == ("SUCCESS", 1234)
    target = f"/v3/pay/transactions/id/{paid['transaction_id']}?mchid={merchant.block['mchid']}"
    assert (await merchant.call("GET", target)).json == found.json
    refused = await merchant.close("PATH0001")
    assert (refused.status, refused.code, refused.genuine) == (400, "ORDERPAID", True)

    back = await merchant.refund("PATH0001", "PATH0001R1", 234, notify_url=receiver.url)
    assert (back.status, back.json["status"]) == (200, "PROCESSING")
    sandbox.advance(sandbox.switches.refund_delay_s)
    await sandbox.settle()
    assert merchant.open(receiver.got[1].body)["refund_status"] == "SUCCESS"
    assert (await merchant.query_refund("PATH0001R1")).json["status"] == "SUCCESS"
    assert (await merchant.query("PATH0001")).json["trade_state"] == "REFUND"
    [row] = sandbox.books("PATH0001")
    assert (row.state, row.amount, row.paid, row.refunded) == ("REFUND", 1234, 1234, 234)


async def test_a_closed_order_stays_closed(sandbox: Sandbox, merchant: Merchant) -> None:
    await merchant.prepay("PATH0002")
    for _ in range(2):
        closed = await merchant.close("PATH0002")
        assert (closed.status, closed.body, closed.genuine) == (204, b"", True)
    assert (await merchant.query("PATH0002")).json["trade_state"] == "CLOSED"
    again = await merchant.prepay("PATH0002")
    assert (again.status, again.code) == (400, "ORDER_CLOSED")
    assert (await merchant.close("PATH0404")).code == "ORDER_NOT_EXIST"
