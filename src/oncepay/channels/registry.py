"""Channels by name: our own, and other people's through the entry point group ``oncepay.channels``.

An entry point names something that is called without arguments and returns a ``Channel``. Our own names cannot be
taken by others. Nothing is imported before it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import Final, cast

from oncepay.domain.errors import MethodUnknown
from oncepay.ports import Channel

GROUP: Final = "oncepay.channels"
BUILT_IN: Final = {
    "alipay": ("oncepay.channels.alipay", "Alipay"),
    "unionpay": ("oncepay.channels.unionpay", "UnionPay"),
    "wechat": ("oncepay.channels.wechat", "WechatPay"),
}


def known() -> tuple[str, ...]:
    """All names, sorted."""
    return tuple(sorted(BUILT_IN.keys() | entry_points(group=GROUP).names))


def channel(name: str) -> Channel:
    """A new translator of that name. Raises MethodUnknown naming the ones there are."""
    built_in = BUILT_IN.get(name)
    if built_in is not None:
        module, made_by = built_in
        return cast("Channel", getattr(import_module(module), made_by)())
    for entry in entry_points(group=GROUP, name=name):
        make = cast("Callable[[], Channel]", entry.load())
        return make()
    raise MethodUnknown(f"there is no channel {name!r}, only {', '.join(known())}", field="channel")
