"""Notices: forms, signed, delivered five times at most, until one is answered with 200.

The same bytes each time. A payment is told only when it succeeded, a refund or void however it ended.
"""

from typing import Final

from oncepay.sandbox import notices
from oncepay.sandbox.notices import Notice
from oncepay.sandbox.unionpay.keys import Ring
from oncepay.sandbox.unionpay.wire import CERTIFICATE, SIGNATURE, Fields, codec, form, read_form
from oncepay.sandbox.vendor import Ground

# Seconds between a failed delivery and the next; five deliveries in all. Source: the vendor's QR kits,
# "1, 2, 4, 5 minutes". Its older kits say 0, 1, 2, 4.
GAPS_S: Final = (60, 120, 240, 300)
ANSWER_S: Final = 10.0
# Faults of a notice's certificate, and who signs then.
CERTIFICATES: Final = {
    "cert_foreign": "foreign",
    "cert_expired": "expired",
    "cert_stranger": "stranger",
    "cert_sha1": "sha1",
}


class Notifier(notices.Notifier):
    """Signs what is delivered."""

    def __init__(self, ring: Ring, ground: Ground) -> None:
        super().__init__("unionpay.notice", GAPS_S, ANSWER_S, ground)
        self._ring = ring
        self._dice = ground.dice

    def tell(self, number: str, url: str, fields: Fields) -> None:
        """Send the merchant what happened. ``number`` is the payment's."""
        self.begin(self.compose(number, url, fields))

    def compose(self, number: str, url: str, fields: Fields) -> Notice:
        body = form(self._ring.sign(fields)).decode()
        event = f"{fields['txnType']}.{fields['respCode']}"
        drawn = self._dice.randbytes(12).hex()
        return Notice(drawn, fields["merId"], number, event, url, body, due=self._clock.now())

    def dress(self, notice: Notice, *, forged: bool) -> tuple[dict[str, str], bytes]:
        """The notice as it was composed, unless a fault puts another certificate in."""
        body = notice.body.encode()
        signed = read_form(body)
        headers = {
            "Content-Type": f"application/x-www-form-urlencoded; charset={codec(signed)}",
            "User-Agent": "Mozilla/4.0",
        }
        line_feeds = self._faults.strike("cert_lf", "notify", notice.number) is not None
        signer = "foreign" if forged else self.signer(notice.number)
        if line_feeds or signer != "unionpay":
            fields = {name: value for name, value in signed.items() if name not in {CERTIFICATE, SIGNATURE}}
            body = form(self._ring.sign(fields, signer, line_feeds=line_feeds))
        return headers, body

    def signer(self, number: str) -> str:
        for fault, signer in CERTIFICATES.items():
            if self._faults.strike(fault, "notify", number):
                return signer
        return "unionpay"

    def took(self, status: int, _: bytes) -> bool:
        return status == 200
