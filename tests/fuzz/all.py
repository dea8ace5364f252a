"""Every target there is."""

from __future__ import annotations

from tests.fuzz import alipay, away, doors, unionpay, wechat
from tests.fuzz.fuzzer import Target


def targets() -> list[Target]:
    """By name."""
    rooms = (wechat, alipay, unionpay, doors, away)
    return sorted((target for room in rooms for target in room.targets()), key=lambda target: target.name)
