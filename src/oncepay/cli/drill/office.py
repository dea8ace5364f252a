"""The back office of the drill's shop: what it was answered is kept, to be held against the centre at the end. The shop
itself is the demonstration's, an example that people copy, run as a process that is killed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from oncepay.cli.demo.shop import Shop
from oncepay.client import Refund


class Office(Shop):
    """promised: by payment, the highest version that an answer showed. refunds_taken: payment and number of each."""

    def __init__(self, home: Path, port: int) -> None:
        super().__init__(home, port)
        self.promised: dict[str, int] = {}
        self.refunds_taken: set[tuple[str, str]] = set()

    async def refund(self, payment_id: str, refund_no: str, minor: int) -> Refund:
        """Give money back. Raises CallFailed."""
        told = await super().refund(payment_id, refund_no, minor)
        self.refunds_taken.add((payment_id, refund_no))
        return told

    async def ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """One call of the centre's API by hand. Raises Refused, ClientError."""
        told = await super().ask(method, path, body)
        if method == "POST":
            self.promised[told["id"]] = max(told["version"], self.promised.get(told["id"], 0))
        return told
