"""What the rules of UnionPay work with: keys, books, clock, faults, switches, notifications."""

from collections.abc import Callable
from dataclasses import dataclass

from oncepay.sandbox.clock import Clock, Dice
from oncepay.sandbox.faults import ChannelFaults
from oncepay.sandbox.switches import Switches
from oncepay.sandbox.unionpay.books import Books
from oncepay.sandbox.unionpay.keys import Ring
from oncepay.sandbox.unionpay.notify import Notifier


@dataclass(slots=True)
class Desk:
    """One simulated UnionPay. ``base_url`` is where payers and merchants reach it."""

    ring: Ring
    books: Books
    clock: Clock
    dice: Dice
    faults: ChannelFaults
    switches: Switches
    notifier: Notifier
    base_url: str
    keys_changed: Callable[[], None] = lambda: None  # called when keys.json must be written again
