"""Every target there is."""

from __future__ import annotations

from tests.fuzz import alipay, unionpay, wechat
from tests.fuzz.fuzzer import Target


def targets() -> list[Target]:
    """By name."""
    found = [*wechat.targets(), *alipay.targets(), *unionpay.targets()]
    return sorted(found, key=lambda target: target.name)
