"""The official alipay-sdk-python at work, run by test_alipay_sdk.py in a process of its own: JSON in, JSON out."""

import html
import json
import re
import sys
import urllib.request
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from alipay.aop.api.AlipayClientConfig import AlipayClientConfig
from alipay.aop.api.DefaultAlipayClient import DefaultAlipayClient
from alipay.aop.api.request.AlipayTradeAppPayRequest import AlipayTradeAppPayRequest
from alipay.aop.api.request.AlipayTradeCloseRequest import AlipayTradeCloseRequest
from alipay.aop.api.request.AlipayTradeFastpayRefundQueryRequest import AlipayTradeFastpayRefundQueryRequest
from alipay.aop.api.request.AlipayTradePagePayRequest import AlipayTradePagePayRequest
from alipay.aop.api.request.AlipayTradePrecreateRequest import AlipayTradePrecreateRequest
from alipay.aop.api.request.AlipayTradeQueryRequest import AlipayTradeQueryRequest
from alipay.aop.api.request.AlipayTradeRefundRequest import AlipayTradeRefundRequest
from alipay.aop.api.util import WebUtils
from alipay.aop.api.util.SignatureUtils import get_sign_content, verify_with_rsa


def connection(url: str, query: str, timeout: float) -> tuple[str, HTTPConnection]:
    """As the SDK's own, which knows no ports but 80 and 443."""
    place = urlsplit(url)
    return f"{place.path}?{query}", HTTPConnection(str(place.hostname), place.port, timeout=timeout)


WebUtils.get_http_connection = connection


class Shop:
    """One merchant with the official client."""

    def __init__(self, said: dict[str, Any]) -> None:
        self.said = said
        config = AlipayClientConfig()
        config.server_url = said["block"]["gateway_url"]
        config.app_id = said["block"]["app_id"]
        config.app_private_key = said["private_key"]
        config.alipay_public_key = said["public_key"]
        self.client = DefaultAlipayClient(config)

    def request(self, kind: Any, content: dict[str, str]) -> Any:
        made = kind()
        made.biz_content = content
        made.notify_url = self.said["notify_url"]
        return made

    def ask(self, kind: Any, content: dict[str, str]) -> Any:
        """A call; the client raises when the answer's signature does not hold."""
        return json.loads(self.client.execute(self.request(kind, content)))

    def paid(self, content: dict[str, Any]) -> None:
        data = json.dumps(content).encode()
        urllib.request.urlopen(f"{self.said['base_url']}/sandbox/pay", data).close()

    def live(self) -> dict[str, Any]:
        one = {"out_trade_no": "OFFICIAL1"}
        order = {"total_amount": "12.34", "subject": "a}b{ 商品"}
        code = self.ask(AlipayTradePrecreateRequest, one | order)
        told = {"absent": self.ask(AlipayTradeQueryRequest, one)}
        self.paid({"code_url": code["qr_code"]})
        told["query"] = self.ask(AlipayTradeQueryRequest, one)
        refund = one | {"refund_amount": "2.34", "out_request_no": "R1"}
        told["refund"] = self.ask(AlipayTradeRefundRequest, refund)
        told["refund_query"] = self.ask(AlipayTradeFastpayRefundQueryRequest, one | {"out_request_no": "R1"})
        told["close"] = self.ask(AlipayTradeCloseRequest, one)
        page = order | {"out_trade_no": "OFFICIAL2", "product_code": "FAST_INSTANT_TRADE_PAY"}
        self.paid({"url": self.client.page_execute(self.request(AlipayTradePagePayRequest, page), http_method="GET")})
        app = order | {"out_trade_no": "OFFICIAL3", "product_code": "QUICK_MSECURITY_PAY"}
        self.paid({"order_string": self.client.sdk_execute(self.request(AlipayTradeAppPayRequest, app))})
        page["out_trade_no"] = "OFFICIAL4"
        form = self.client.page_execute(self.request(AlipayTradePagePayRequest, page))
        [action] = re.findall(r'action="([^"]*)"', form)
        [content] = re.findall(r'name="biz_content" value="([^"]*)"', form)
        self.paid({"url": action, "form": {"biz_content": html.unescape(content)}})
        return told

    def genuine(self, told: dict[str, str]) -> bool:
        sign = told.pop("sign")
        told.pop("sign_type")
        try:
            return bool(verify_with_rsa(self.said["public_key"], get_sign_content(told).encode(), sign))
        except Exception:  # noqa: BLE001 it says no by raising
            return False


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    shop = Shop(asked)
    result = {"genuine": [shop.genuine(told) for told in asked["notices"]]} if "notices" in asked else shop.live()
    json.dump(result, sys.stdout)
