"""Alipay (支付宝) open platform, ``gateway.do`` with RSA2, direct merchant: page, wap, app and precreate.

Sources: the official SDKs and documents of the vendor, and messages that were captured from it.
"""

from oncepay.channels.alipay.channel import Alipay

__all__ = ["Alipay"]
