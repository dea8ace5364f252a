"""Our own channels are held to what every channel is held to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from oncepay.channels import registry
from oncepay.testing import ChannelKit, exercise_channel
from oncepay.testing.conformance import RULES, answers, notifications
from oncepay.testing.conformance.subject import Subject
from tests.channels.conformance_kits import AlipayKit, UnionpayKit, WechatKit

Rule = Callable[[Subject], None]
KITS: Final[dict[str, ChannelKit]] = {"alipay": AlipayKit(), "unionpay": UnionpayKit(), "wechat": WechatKit()}
# What is known and not mended yet. Whoever mends it takes it out here.
BROKEN: Final[dict[tuple[str, Rule], str]] = {
    ("alipay", answers.nothing_makes_it_raise): "a signed trade_no may hold anything, also NUL",
    ("alipay", notifications.no_notification_makes_it_raise): "a signed trade_no may hold anything, also NUL",
}


def test_all_of_ours_are_here() -> None:
    assert KITS.keys() == registry.BUILT_IN.keys()


@pytest.mark.parametrize("name", sorted(KITS.keys() - {name for name, _ in BROKEN}))
def test_ours_are_channels(name: str) -> None:
    exercise_channel(lambda: registry.channel(name), KITS[name])


@pytest.mark.parametrize(("name", "rule"), [(name, r) for name in sorted({name for name, _ in BROKEN}) for r in RULES])
def test_ours_break_what_is_known_and_nothing_else(name: str, rule: Rule) -> None:
    subject = Subject(lambda: registry.channel(name), KITS[name])
    rule(subject)
    assert bool(subject.complaints) is ((name, rule) in BROKEN), subject.complaints[:3]
