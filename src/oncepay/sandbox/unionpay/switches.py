"""What UnionPay's documents leave open, each as a switch. The defaults are the more likely reading."""

from typing import Literal

import msgspec


class UnionPaySwitches(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Settings of the simulated UnionPay. Times are on the sandbox's own clock."""

    txn_time_window_s: float = 3600.0  # how far from now a txnTime may be, either way
    query_gap_s: float = 1.0  # a transaction asked about sooner again answers 37
    other_time: Literal["another", "duplicate"] = "another"  # a payment's orderId again with another txnTime
    qr_again: Literal["duplicate", "same"] = "duplicate"  # a second QR request of one orderId and txnTime
    unpaid_shows: Literal["05", "34"] = "05"  # a payment nobody has tried yet
    expired_shows: Literal["69", "34", "05"] = "69"  # one that nobody tried until payTimeout
    late_refund_s: float = 5 * 86400.0  # until what an internet bank paid too late goes back
    file_ready_hour: int = 9  # of the next day, Beijing
