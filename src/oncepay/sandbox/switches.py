"""What the vendors' documents leave open, each as a switch, and how long things take.

The defaults are the more likely reading. What concerns one vendor alone stands in a member of its name, WeChat Pay's at
the top. ``PUT /sandbox/switches`` changes any of them.
"""

from typing import Literal

import msgspec

from oncepay.sandbox.alipay.switches import AlipaySwitches
from oncepay.sandbox.unionpay.switches import UnionPaySwitches


class Switches(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Settings of the simulated vendors. Times are on the sandbox's own clock."""

    # of all vendors: how long things take, and what the payer does
    notify_delay_s: float = 0.0  # from the payment to its first notification
    refund_delay_s: float = 2.0  # from accepted to its outcome
    autopay_s: float | None = None  # every order is paid by itself after so long
    autopay_rate: float = 1.0  # of that, the share that really pays
    balance_fen: int = 100_000_000  # opening balance of each merchant
    # demand this long between two refunds of one order; None: WeChat Pay a minute, nobody else (Alipay advises 3 s)
    refund_gap_s: float | None = None

    # of WeChat Pay: where sources disagree or are silent
    paid_code: Literal["ORDERPAID", "ORDER_PAID"] = "ORDERPAID"
    paid_status: int = 400
    reuse: Literal["live", "documented"] = "live"  # 400 INVALID_REQUEST 201, or 403
    closed_code: Literal["ORDER_CLOSED", "INVALID_REQUEST"] = "ORDER_CLOSED"
    expired_shows: Literal["NOTPAY", "CLOSED"] = "NOTPAY"
    expire_days_max: int = 7
    expire_may_change: bool = False  # may a repeated prepay bring another time_expire
    close_min_age_s: float = 0.0
    refund_state_from: Literal["accepted", "success"] = "accepted"
    limits: bool = False  # answer 429 above the published rates
    limited_code: str = "FREQUENCY_LIMITED"
    sign_5xx: bool = False
    nonce_replay_check: bool = False
    overdue_status: int = 400
    fee_mismatch_code: Literal["INVALID_REQUEST", "REFUND_FEE_MISMATCH"] = "INVALID_REQUEST"
    bill_url_life_s: float = 300.0
    bill_ready_hour: int = 10
    fundflow_bom: bool = True
    h5_bill_type: str = "MWEB"
    console_notify_url: str = ""  # where the merchant console tells of refunds made in it
    platform_certificates: bool = True  # false: a new merchant, who has only the public key
    notify_key: Literal["certificate", "public_key"] = "certificate"

    alipay: AlipaySwitches = msgspec.field(default_factory=AlipaySwitches)
    unionpay: UnionPaySwitches = msgspec.field(default_factory=UnionPaySwitches)
