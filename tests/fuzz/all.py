"""Every target there is."""

from __future__ import annotations

from tests.fuzz import alipay, away, doors, starts, unionpay, wechat
from tests.fuzz.fuzzer import Target


def targets() -> list[Target]:
    """By name."""
    rooms = (wechat, alipay, unionpay, starts, doors, away)
    return sorted((target for room in rooms for target in room.targets()), key=lambda target: target.name)
