"""The life of a trade at Alipay: offered, begun by its buyer, paid once, closed, expired, called off."""

from urllib.parse import parse_qsl, urlsplit

import aiohttp
import pytest

from oncepay.sandbox.main import Sandbox
from oncepay.sandbox.vendor import Refused
from tests.sandbox.alipay_merchant import AliMerchant

NUMBER = "ALI_0001"


async def test_a_code_is_made_scanned_and_paid(sandbox: Sandbox, ali: AliMerchant) -> None:
    made = await ali.precreate(NUMBER)
    assert made.genuine
    assert (made.code, made["out_trade_no"]) == ("10000", NUMBER)
    assert made["qr_code"].startswith("https://qr.alipay.com/bax")
    assert rb"https:\/\/qr.alipay.com\/" in made.raw
    assert made.root == "alipay_trade_precreate_response"
    assert made.headers["Content-Type"] == "text/html;charset=utf-8"
    assert (await ali.query(NUMBER)).code == "ACQ.TRADE_NOT_EXIST"
    assert (await ali.close(NUMBER)).code == "ACQ.TRADE_NOT_EXIST"
    assert sandbox.books(NUMBER) == []  # nobody has scanned it
    told = sandbox.pay(made["qr_code"])
    assert (told["state"], told["amount"]) == ("TRADE_SUCCESS", 1234)
    found = await ali.query(NUMBER)
    assert found.genuine
    assert (found["trade_status"], found["total_amount"], found["buyer_pay_amount"]) == (
        "TRADE_SUCCESS",
        "12.34",
        "12.34",
    )
    assert found["trade_no"] == told["transaction_id"]
    assert (await ali.call("trade.query", {"trade_no": found["trade_no"]})).content == found.content
    [row] = sandbox.books(NUMBER)
    assert (row.channel, row.method, row.paid, row.merchant) == ("alipay", "precreate", 1234, ali.block["seller_id"])


async def test_the_same_code_again_until_it_is_paid(sandbox: Sandbox, ali: AliMerchant) -> None:
    first = (await ali.precreate(NUMBER))["qr_code"]
    assert (await ali.precreate(NUMBER))["qr_code"] == first
    assert (await ali.precreate(NUMBER, "12.35"))["qr_code"] != first  # nobody has scanned: nothing to contradict
    sandbox.pay(first)
    assert (await ali.precreate(NUMBER)).code == "ACQ.TRADE_HAS_SUCCESS"


@pytest.mark.parametrize("method", ["page", "wap"])
async def test_a_page_leads_to_the_cashier_and_back(sandbox: Sandbox, ali: AliMerchant, method: str) -> None:
    ali.return_url = "http://shop.test/back?order=1"
    url = ali.page(NUMBER, method=method)
    get, post = ali.session.get, ali.session.post
    async with get(url, allow_redirects=False) as answer:
        assert answer.status == 302
        place = answer.headers["Location"]
    assert place.startswith(f"{sandbox.base_url}/alipay/cashier/")
    async with get(url, allow_redirects=False) as answer:
        assert answer.headers["Location"] == place  # a reload is the same offer
    async with get(place) as answer:
        page = await answer.text()
        assert "form-action 'self' http://shop.test" in answer.headers["Content-Security-Policy"]
    assert "¥ 12.34" in page
    assert "Log in" in page
    assert (await ali.query(NUMBER)).code == "ACQ.TRADE_NOT_EXIST"  # shown, but nobody has come
    async with post(f"{place}/login", data={"account": "139@buyer.test"}) as answer:
        assert "Pay ¥ 12.34" in await answer.text()
    found = await ali.query(NUMBER)
    assert (found["trade_status"], found["buyer_logon_id"]) == ("WAIT_BUYER_PAY", "139****test")
    assert found["receipt_amount"] == "0.00"
    async with post(f"{place}/pay", allow_redirects=False) as answer:
        assert answer.status == 303
        back = answer.headers["Location"]
    assert back.startswith("http://shop.test/back?order=1&")
    told, genuine = ali.heard(urlsplit(back).query.partition("&")[2].encode())
    assert genuine
    assert (told["method"], told["out_trade_no"], told["total_amount"]) == (
        f"alipay.trade.{method}.pay.return",
        NUMBER,
        "12.34",
    )
    assert "trade_status" not in told
    async with post(f"{place}/pay") as answer:
        assert (answer.status, "ACQ.TRADE_HAS_SUCCESS" in await answer.text()) == (409, True)
    async with get(url) as answer:  # the page again: told to the buyer, in GBK
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html;charset=GBK")
        assert "ACQ.TRADE_HAS_SUCCESS" in (await answer.read()).decode("gbk")


async def test_an_app_hands_its_order_string_over(sandbox: Sandbox, ali: AliMerchant) -> None:
    order_string = ali.page(NUMBER, method="app")
    async with ali.session.post(f"{sandbox.base_url}/alipay/open", data={"order_string": order_string}) as answer:
        page = await answer.text()
    assert "Log in" in page
    async with ali.session.post(f"{sandbox.base_url}/alipay/open", data={"order_string": "app_id=1"}) as answer:
        assert (answer.status, "isv.invalid-app-id" in await answer.text()) == (409, True)
    async with ali.session.get(f"{sandbox.base_url}/alipay/open") as answer:
        assert answer.status == 200
    status, told = await pay(sandbox, ali.session, {"order_string": order_string})
    assert (status, told["state"]) == (200, "TRADE_SUCCESS")
    assert sandbox.books(NUMBER)[0].method == "app"


async def pay(sandbox: Sandbox, session: aiohttp.ClientSession, content: object) -> tuple[int, dict[str, str]]:
    async with session.post(f"{sandbox.base_url}/sandbox/pay", json=content) as answer:
        return answer.status, await answer.json()


async def test_a_script_opens_and_pays_in_one_call(sandbox: Sandbox, ali: AliMerchant) -> None:
    assert await pay(sandbox, ali.session, {"number": NUMBER}) == (
        404,
        {"error": "order_absent", "message": f"no order '{NUMBER}'"},
    )
    url = ali.page(NUMBER)
    status, told = await pay(sandbox, ali.session, {"url": url})
    assert (status, told["number"], told["state"]) == (200, NUMBER, "TRADE_SUCCESS")
    assert (await pay(sandbox, ali.session, {"url": url}))[1]["error"] == "already_paid"
    assert (await pay(sandbox, ali.session, {"number": NUMBER}))[1]["error"] == "already_paid"
    # the auto-submitting form: the common parameters in its action, biz_content beside
    params = dict(parse_qsl(urlsplit(ali.page("ALI_0002")).query))
    form = {"biz_content": params.pop("biz_content")}
    action = ali.session._build_url(ali.block["gateway_url"]).with_query(params)
    status, told = await pay(sandbox, ali.session, {"url": str(action), "form": form, "payer": "2088000011112222"})
    assert (status, told["number"]) == (200, "ALI_0002")
    assert (await ali.query("ALI_0002"))["buyer_user_id"] == "2088000011112222"
    forged = ali.page("ALI_0003").replace("12.34", "00.01")
    assert (await pay(sandbox, ali.session, {"url": forged}))[1]["error"] == "isv.invalid-signature"


async def test_a_form_that_is_posted_opens_the_page(ali: AliMerchant) -> None:
    params = dict(parse_qsl(urlsplit(ali.page(NUMBER)).query))
    content = params.pop("biz_content")
    async with ali.session.post(
        ali.block["gateway_url"], params=params, data={"biz_content": content}, allow_redirects=False
    ) as answer:
        assert answer.status == 302


async def test_two_pages_of_one_number_are_one_trade(sandbox: Sandbox, ali: AliMerchant) -> None:
    one, two = ali.page(NUMBER), ali.page(NUMBER, body="a second tab")
    async with ali.session.get(one) as first, ali.session.get(two) as second:
        places = [str(first.url), str(second.url)]
    for place in places:
        async with ali.session.post(f"{place}/login") as answer:
            assert answer.status == 200
    async with ali.session.post(f"{places[1]}/login", data={"account": "someone else"}) as answer:
        assert "ACQ.TRADE_BUYER_NOT_MATCH" in await answer.text()
    async with ali.session.post(f"{places[0]}/pay") as answer:
        assert answer.status == 200
    async with ali.session.post(f"{places[1]}/pay") as answer:
        assert "ACQ.TRADE_HAS_SUCCESS" in await answer.text()
    assert len(sandbox.books(NUMBER)) == 1


async def test_another_amount_under_a_live_number_is_shown_to_the_buyer(sandbox: Sandbox, ali: AliMerchant) -> None:
    async with ali.session.get(ali.page(NUMBER)) as answer, ali.session.post(f"{answer.url}/login"):
        pass
    for other in ({"amount": "12.35"}, {"subject": "other"}):
        async with ali.session.get(ali.page(NUMBER, **other)) as answer:
            assert "ACQ.CONTEXT_INCONSISTENT" in (await answer.read()).decode("gbk")
    with pytest.raises(Refused) as refused:
        sandbox.pay(ali.page(NUMBER, "99.00"))
    assert refused.value.code == "ACQ.CONTEXT_INCONSISTENT"
    assert (await ali.precreate(NUMBER, "12.35")).code == "ACQ.CONTEXT_INCONSISTENT"
    assert (await ali.query(NUMBER))["trade_status"] == "WAIT_BUYER_PAY"  # the first is alive
    sandbox.pay(NUMBER)


async def test_a_trade_is_closed_while_it_waits_and_never_again(sandbox: Sandbox, ali: AliMerchant) -> None:
    async with ali.session.get(ali.page(NUMBER)) as answer, ali.session.post(f"{answer.url}/login"):
        pass
    closed = await ali.close(NUMBER)
    assert (closed.code, closed["out_trade_no"], len(closed["trade_no"])) == ("10000", NUMBER, 28)
    assert (await ali.query(NUMBER))["trade_status"] == "TRADE_CLOSED"
    assert (await ali.close(NUMBER)).code == "ACQ.TRADE_STATUS_ERROR"
    with pytest.raises(Refused) as refused:
        sandbox.pay(NUMBER)
    assert refused.value.code == "closed"
    assert (await ali.precreate(NUMBER)).code == "ACQ.TRADE_HAS_CLOSE"
    sandbox.switches.alipay.unclosable_code = "REASON_ILLEGAL_STATUS"
    await ali.precreate("ALI_0002")
    sandbox.pay("ALI_0002")
    assert (await ali.close("ALI_0002")).code == "ACQ.REASON_ILLEGAL_STATUS"


async def test_a_close_before_the_scan_closes_nothing(sandbox: Sandbox, ali: AliMerchant) -> None:
    """The code is in the buyer's hand; the switch plays the reports of a scan that failed afterwards."""
    await ali.precreate(NUMBER)
    assert (await ali.close(NUMBER)).code == "ACQ.TRADE_NOT_EXIST"
    sandbox.pay(NUMBER)
    sandbox.switches.alipay.close_kills_code = True
    await ali.precreate("ALI_0002")
    assert (await ali.close("ALI_0002")).code == "ACQ.TRADE_NOT_EXIST"
    with pytest.raises(Refused) as refused:
        sandbox.pay("ALI_0002")
    assert refused.value.code == "credential_expired"


@pytest.mark.parametrize(
    ("asked", "last_s"),
    [
        ({"timeout_express": "30m"}, 1800),
        ({"timeout_express": "2h"}, 7200),
        ({"timeout_express": "1d"}, 86400),
        ({}, 15 * 86400),
    ],
)
async def test_a_trade_expires(sandbox: Sandbox, ali: AliMerchant, asked: dict[str, str], last_s: int) -> None:
    url = ali.page(NUMBER, **asked)
    async with ali.session.get(url) as answer, ali.session.post(f"{answer.url}/login"):
        pass
    async with ali.session.get(ali.page("ALI_0002", **asked)):
        pass
    sandbox.advance(last_s - 5)
    assert (await ali.query(NUMBER))["trade_status"] == "WAIT_BUYER_PAY"
    sandbox.advance(6)
    assert (await ali.query(NUMBER))["trade_status"] == "TRADE_CLOSED"
    assert (await ali.query("ALI_0002")).code == "ACQ.TRADE_NOT_EXIST"  # what never was a trade leaves nothing
    for number, wanted in ((NUMBER, "closed"), ("ALI_0002", "expired")):
        with pytest.raises(Refused) as refused:
            sandbox.pay(number)
        assert refused.value.code == wanted


async def test_an_absolute_expiry_wins(sandbox: Sandbox, ali: AliMerchant) -> None:
    url = ali.page(NUMBER, time_expire="2001-01-01 00:00:00", timeout_express="1d")
    async with ali.session.get(url) as answer:
        assert "ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR" in (await answer.read()).decode("gbk")
    url = ali.page(NUMBER, time_expire="2099-01-01 00:00:00", timeout_express="1m")
    async with ali.session.get(url):
        pass
    sandbox.advance(120)
    sandbox.pay(NUMBER)
    assert sandbox.books(NUMBER)[0].expires == "2099-01-01T00:00:00+08:00"


async def test_a_code_that_can_no_longer_be_paid_is_not_handed_out_again(sandbox: Sandbox, ali: AliMerchant) -> None:
    first = (await ali.precreate(NUMBER, timeout_express="5m"))["qr_code"]
    sandbox.advance(301)
    second = (await ali.precreate(NUMBER, timeout_express="5m"))["qr_code"]
    assert second != first
    sandbox.switches.alipay.close_kills_code = True
    await ali.close(NUMBER)
    third = (await ali.precreate(NUMBER, timeout_express="5m"))["qr_code"]
    assert third != second
    assert sandbox.pay(third)["state"] == "TRADE_SUCCESS"


async def test_a_code_lives_two_hours(sandbox: Sandbox, ali: AliMerchant) -> None:
    old = (await ali.precreate(NUMBER))["qr_code"]
    await ali.precreate("ALI_0002", qr_code_timeout_express="5m")
    sandbox.advance(301)
    with pytest.raises(Refused) as refused:
        sandbox.pay("ALI_0002")
    assert refused.value.code == "credential_expired"
    sandbox.advance(7200)
    with pytest.raises(Refused):
        sandbox.pay(old)
    assert (await ali.precreate(NUMBER))["qr_code"] != old
    sandbox.pay(NUMBER)


async def test_a_cancel_closes_or_gives_all_back(sandbox: Sandbox, ali: AliMerchant) -> None:
    nothing = await ali.cancel(NUMBER)
    assert (nothing.code, nothing["retry_flag"], "action" in nothing.content) == ("10000", "N", False)
    async with ali.session.get(ali.page(NUMBER)) as answer, ali.session.post(f"{answer.url}/login"):
        pass
    for _ in range(2):
        assert (await ali.cancel(NUMBER))["action"] == "close"
    await ali.precreate("ALI_0002")
    sandbox.pay("ALI_0002")
    await ali.refund("ALI_0002", "R1", "2.34")
    for _ in range(2):
        assert (await ali.cancel("ALI_0002"))["action"] == "refund"
    assert sandbox.books("ALI_0002")[0].refunded == 1234
    await ali.precreate("ALI_0003")
    sandbox.pay("ALI_0003")
    sandbox.advance(86401)
    assert (await ali.cancel("ALI_0003")).code == "ACQ.TRADE_CANCEL_TIME_OUT"


async def test_a_trade_finishes_after_its_refund_window(sandbox: Sandbox, ali: AliMerchant) -> None:
    await ali.precreate(NUMBER)
    sandbox.pay(NUMBER)
    sandbox.advance(366 * 86400)
    assert (await ali.query(NUMBER))["trade_status"] == "TRADE_FINISHED"
    assert (await ali.refund(NUMBER, "R1", "1.00")).code == "ACQ.TRADE_HAS_FINISHED"
    assert (await ali.cancel(NUMBER)).code == "ACQ.TRADE_HAS_FINISHED"


async def test_one_number_may_stand_at_two_vendors(sandbox: Sandbox, ali: AliMerchant, merchant: object) -> None:
    from tests.sandbox.merchant import Merchant

    assert isinstance(merchant, Merchant)
    await merchant.prepay("TWICE_01")
    await ali.precreate("TWICE_01")
    assert sandbox.pay("TWICE_01", channel="alipay")["state"] == "TRADE_SUCCESS"
    assert sandbox.pay("TWICE_01")["state"] == "SUCCESS"
    assert [row.channel for row in sandbox.books("TWICE_01")] == ["wechat", "alipay"]
    with pytest.raises(Refused, match="no channel"):
        sandbox.pay("TWICE_01", channel="cash")
