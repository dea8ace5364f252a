"""UnionPay (中国银联) online gateway, message version 5.1.0 with certificates, direct merchant: front, qr and app.

Sources: UnionPay's own developer kits, and messages captured from its test environment.
"""

from oncepay.channels.unionpay.channel import UnionPay

__all__ = ["UnionPay"]
