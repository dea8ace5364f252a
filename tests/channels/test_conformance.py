"""Our own channels are held to what every channel is held to."""

from __future__ import annotations

from typing import Final

import pytest

from oncepay.channels import registry
from oncepay.testing import ChannelKit, exercise_channel
from tests.channels.conformance_kits import AlipayKit, UnionpayKit, WechatKit

KITS: Final[dict[str, ChannelKit]] = {"alipay": AlipayKit(), "unionpay": UnionpayKit(), "wechat": WechatKit()}


def test_all_of_ours_are_here() -> None:
    assert KITS.keys() == registry.BUILT_IN.keys()


@pytest.mark.parametrize("name", sorted(KITS))
def test_ours_are_channels(name: str) -> None:
    exercise_channel(lambda: registry.channel(name), KITS[name])
