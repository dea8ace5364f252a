"""The official alipay-sdk-python at work, run by test_alipay_sdk.py in a process of its own: JSON in, JSON out."""

import html
import json
import re
import socket
import sys
import urllib.request
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
from alipay.aop.api.util.SignatureUtils import get_sign_content, verify_with_rsa


def lead(gateway_url: str) -> str:
    """The gateway's address without its port, as the SDK wants it (it calls ports 80 and 443 alone); what it then opens
    leads to the port. The SDK's own code stays as it is, and so does what it sends."""
    place = urlsplit(gateway_url)
    there, connect = (place.hostname, place.port), socket.create_connection

    def led(address: Any, *rest: Any, **named: Any) -> socket.socket:
        return connect(there if address == (place.hostname, 80) else address, *rest, **named)

    socket.create_connection = led
    return f"http://{place.hostname}{place.path}"


class Shop:
    """One merchant with the official client."""

    def __init__(self, said: dict[str, Any]) -> None:
        self.said = said
        config = AlipayClientConfig()
        config.server_url = lead(said["block"]["gateway_url"])
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
