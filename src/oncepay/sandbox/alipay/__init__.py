"""Alipay's open platform (gateway.do, RSA2), played from the vendor's side."""
