"""Channels by name: ours first, other people's by entry point, nothing imported before it is asked for."""

from __future__ import annotations

import doctest
import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from oncepay.channels import registry, texts
from oncepay.channels.alipay import codes as alipay_codes
from oncepay.channels.alipay import wire as alipay_wire
from oncepay.channels.wechat import WechatPay
from oncepay.channels.wechat import codes as wechat_codes
from oncepay.channels.wechat import wire as wechat_wire
from oncepay.domain.errors import MethodUnknown
from oncepay.ports import Channel


class Theirs(WechatPay):
    """What somebody else's package brings."""

    name = "theirs"


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> None:
    points = EntryPoints(
        EntryPoint(name=name, value=f"{__name__}:Theirs", group=registry.GROUP) for name in ("theirs", "wechat")
    )
    monkeypatch.setattr(registry, "entry_points", points.select)


def test_a_channel_of_ours() -> None:
    made: Channel = registry.channel("wechat")
    assert isinstance(made, WechatPay)
    assert made.name == "wechat"
    assert registry.channel("wechat") is not made
    assert "wechat" in registry.known()


def test_a_channel_of_somebody_else(others: None) -> None:
    assert type(registry.channel("theirs")) is Theirs
    assert registry.known() == tuple(sorted({"theirs", *registry.BUILT_IN}))


def test_our_names_cannot_be_taken(others: None) -> None:
    assert type(registry.channel("wechat")) is WechatPay


def test_no_such_channel(others: None) -> None:
    with pytest.raises(MethodUnknown, match="no channel 'paypal', only alipay, theirs, unionpay, wechat"):
        registry.channel("paypal")


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    code = "import sys, oncepay.channels.registry as r; r.known(); print('oncepay.channels.wechat' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_examples_hold() -> None:
    for module in (texts, alipay_codes, alipay_wire, wechat_codes, wechat_wire):
        result = doctest.testmod(module)
        assert result.attempted > 0
        assert result.failed == 0


def test_what_alipay_can_do() -> None:
    capabilities = registry.channel("alipay").capabilities
    assert {name: (m.credential, m.made_by_call) for name, m in capabilities.methods.items()} == {
        "page": ("url", False),
        "wap": ("url", False),
        "app": ("order_string", False),
        "precreate": ("qr", True),
    }
    assert capabilities.methods["precreate"].credential_life_ms == 7_200_000
    assert capabilities.currencies == {"CNY"}
    assert (capabilities.closes, capabilities.close_final, capabilities.cancels) == (True, True, True)
    assert (capabilities.expiry_min_ms, capabilities.expiry_max_ms) == (60_000, 15 * 86_400_000)
    assert (capabilities.refund_spacing_ms, capabilities.refund_count) == (3_000, 50)
    assert capabilities.refund_query_at_ms[0] == 10_000
    assert capabilities.refund_window_ms == 365 * 86_400_000


def test_what_wechat_can_do() -> None:
    capabilities = registry.channel("wechat").capabilities
    assert {name: (m.credential, m.credential_life_ms) for name, m in capabilities.methods.items()} == {
        "native": ("qr", 7_200_000),
        "jsapi": ("invoke", 7_200_000),
        "app": ("invoke", 7_200_000),
        "h5": ("url", 300_000),
    }
    assert capabilities.currencies == {"CNY"}
    assert (capabilities.closes, capabilities.close_final) == (True, True)
    assert (capabilities.expiry_min_ms, capabilities.expiry_max_ms) == (60_000, 604_800_000)
    assert (capabilities.refund_spacing_ms, capabilities.refund_count) == (60_000, 50)
    assert capabilities.refund_window_ms == 365 * 86_400_000


def test_what_unionpay_can_do() -> None:
    capabilities = registry.channel("unionpay").capabilities
    assert {name: (m.credential, m.made_by_call, m.renewable) for name, m in capabilities.methods.items()} == {
        "front": ("form", False, True),
        "qr": ("qr", True, False),
        "app": ("tn", True, False),
    }
    assert capabilities.currencies == {"CNY"}
    assert (capabilities.closes, capabilities.close_final, capabilities.cancels) == (False, False, False)
    assert (capabilities.expiry_min_ms, capabilities.expiry_max_ms) == (60_000, 900_000)
    assert capabilities.refund_window_ms == 333 * 86_400_000
    assert capabilities.refund_query_at_ms[:7] == (1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 3_600_000)
