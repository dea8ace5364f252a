"""What the rules of WeChat Pay work with: keys, books, clock, faults, switches, notifications."""

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from oncepay.sandbox.clock import Clock, Dice
from oncepay.sandbox.faults import ChannelFaults
from oncepay.sandbox.switches import Switches
from oncepay.sandbox.wechat.books import Books
from oncepay.sandbox.wechat.keys import Ring
from oncepay.sandbox.wechat.notify import Notifier


class BillFile(msgspec.Struct):
    """A bill waiting to be fetched with its token, until ``expires`` (epoch seconds)."""

    mchid: str
    body: bytes
    content_type: bytes
    expires: float


@dataclass(slots=True)
class Desk:
    """One simulated WeChat Pay. ``base_url`` is where payers and merchants reach it."""

    ring: Ring
    books: Books
    clock: Clock
    dice: Dice
    faults: ChannelFaults
    switches: Switches
    notifier: Notifier
    base_url: str
    keys_changed: Callable[[], None] = lambda: None  # called when keys.json must be written again
    bill_files: dict[str, BillFile] = field(default_factory=dict)  # by download token
