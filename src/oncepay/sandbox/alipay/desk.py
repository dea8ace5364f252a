"""What the rules of Alipay work with: keys, books, clock, faults, switches, notifications."""

from dataclasses import dataclass

from oncepay.sandbox.alipay.books import Books
from oncepay.sandbox.alipay.keys import Ring
from oncepay.sandbox.alipay.notify import Notifier
from oncepay.sandbox.alipay.switches import AlipaySwitches
from oncepay.sandbox.vendor import Ground


@dataclass(slots=True)
class Desk:
    """One simulated Alipay. ``base_url`` is where payers and merchants reach it."""

    ground: Ground
    ring: Ring
    books: Books
    notifier: Notifier
    base_url: str = ""

    @property
    def now(self) -> float:
        return self.ground.clock.now()

    @property
    def switches(self) -> AlipaySwitches:
        return self.ground.switches.alipay
