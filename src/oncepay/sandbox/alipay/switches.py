"""What Alipay's documents leave open, each as a switch, in member ``alipay`` of the sandbox's switches."""

from typing import Literal

import msgspec


class AlipaySwitches(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Settings of the simulated Alipay. Times are on the sandbox's own clock."""

    # Which signing mode the apps are in. "either": a request with app_cert_sn is answered in certificate mode.
    mode: Literal["either", "key", "certificate"] = "either"
    # TRADE_CLOSED and TRADE_FINISHED are told of wap and app trades, or of none (as pages of 2026 have it), or of all.
    closed_notices: Literal["wap_app", "none", "all"] = "wap_app"
    # What close answers when the trade is not waiting for its buyer.
    unclosable_code: Literal["TRADE_STATUS_ERROR", "REASON_TRADE_STATUS_INVALID", "REASON_ILLEGAL_STATUS"] = (
        "TRADE_STATUS_ERROR"
    )
    # A close of a code not scanned yet answers TRADE_NOT_EXIST; whether a scan still works afterwards, sources differ.
    close_kills_code: bool = False
    refund_window_s: float = 365 * 86400.0  # then TRADE_FINISHED; older contracts: three months
    cancel_window_s: float = 86400.0  # after the payment; then TRADE_CANCEL_TIME_OUT
    timestamp_window_s: float | None = None  # how far a call's timestamp may be off; no figure is published
