"""WeChat Pay (微信支付) APIv3, direct merchant: native, jsapi, h5 and app.

Sources: the official documentation at pay.weixin.qq.com/doc/v3/merchant, and the vendor's own SDKs.
"""

from oncepay.channels.wechat.channel import WechatPay

__all__ = ["WechatPay"]
