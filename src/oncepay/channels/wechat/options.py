"""What an app may say of the payer, and which of the vendor's own options it may set, method by method.

========  =======================================================================================================
jsapi     payer: ``openid``, and ``client_ip`` if it likes
h5        payer: ``client_ip`` (the payer's own address); ``h5_type`` (Wap, iOS, Android; Wap), ``app_name``,
          ``app_url``, ``bundle_id``, ``package_name`` if it likes
native    payer: ``client_ip`` if it likes
app       payer: ``client_ip`` if it likes
========  =======================================================================================================

Options stand under ``wechat``: see ``Options``. What the vendor does not define it refuses, and so do we, earlier.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Any, Final

import msgspec

from oncepay.domain.errors import Invalid, MethodUnknown, PayerInvalid
from oncepay.domain.money import MINOR_MAX

NAMESPACE: Final = "wechat"
DETAIL_BYTES_MAX: Final = 6144

_TAKES: Final = {
    "native": frozenset({"client_ip"}),
    "app": frozenset({"client_ip"}),
    "jsapi": frozenset({"client_ip", "openid"}),
    "h5": frozenset({"client_ip", "h5_type", "app_name", "app_url", "bundle_id", "package_name"}),
}
_NEEDS: Final = {"jsapi": "openid", "h5": "client_ip"}
_OPENID: Final = re.compile(r"[0-9A-Za-z_-]{1,128}", re.ASCII)
_H5_TYPES: Final = frozenset({"Wap", "iOS", "Android"})
_LENGTHS: Final = {"app_name": 64, "app_url": 128, "bundle_id": 128, "package_name": 128}

# Lengths are in bytes, as the vendor counts them.
Text32 = Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
Text256 = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Text512 = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
Minor = Annotated[int, msgspec.Meta(ge=0, le=MINOR_MAX)]
Count = Annotated[int, msgspec.Meta(ge=1, le=MINOR_MAX)]


class Goods(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One line of what was bought. ``unit_price`` in fen."""

    merchant_goods_id: Text32
    wechatpay_goods_id: Text32 | None = None
    goods_name: Text256 | None = None
    quantity: Count
    unit_price: Minor


class Detail(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What was bought, for coupons on single goods. ``cost_price`` in fen."""

    cost_price: Minor | None = None
    invoice_id: Text32 | None = None
    goods_detail: list[Goods] | None = None


class StoreInfo(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where it was bought."""

    id: Text32
    name: Text256 | None = None
    area_code: Text32 | None = None
    address: Text512 | None = None


class Options(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The vendor's own options. ``store_info`` and ``device_id`` need the payer's ``client_ip``."""

    goods_tag: Text32 | None = None
    detail: Detail | None = None
    profit_sharing: bool | None = None
    store_info: StoreInfo | None = None
    support_fapiao: bool | None = None
    device_id: Text32 | None = None


NONE: Final = Options()


def check(method: str, payer: Mapping[str, str], options: Mapping[str, Any]) -> None:
    """Raises MethodUnknown, PayerInvalid, Invalid naming the field."""
    takes = _TAKES.get(method)
    if takes is None:
        raise MethodUnknown(f"wechat has no method {method!r}, only {', '.join(sorted(_TAKES))}", field="method")
    for name in payer:
        if name not in takes:
            raise PayerInvalid(f"{method} takes no {name!r}, only {', '.join(sorted(takes))}", field=f"payer.{name}")
    needed = _NEEDS.get(method)
    if needed and not payer.get(needed):
        raise PayerInvalid(f"{method} needs {needed}", field=f"payer.{needed}")
    _check_payer(payer)
    wanted = read(options)
    if (wanted.store_info or wanted.device_id) and "client_ip" not in payer:
        raise PayerInvalid("store_info and device_id need client_ip", field="payer.client_ip")


def _check_payer(payer: Mapping[str, str]) -> None:
    for name, value in payer.items():
        good = value != ""
        if good and name == "openid":
            good = _OPENID.fullmatch(value) is not None
        elif good and name == "client_ip":
            good = _is_address(value)
        elif good and name == "h5_type":
            good = value in _H5_TYPES
        elif good:
            good = len(value.encode()) <= _LENGTHS[name]
        if not good:
            raise PayerInvalid(f"{name} is not valid", field=f"payer.{name}")


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return len(text) <= 45


def _bytewise(given: Any) -> Any:
    """Its texts with one character for each byte: the vendor counts bytes, and our types count characters."""
    if isinstance(given, str):
        return given.encode().decode("latin-1")
    if isinstance(given, Mapping):
        return {name: _bytewise(value) for name, value in given.items()}
    return [_bytewise(value) for value in given] if isinstance(given, list) else given


def read(options: Mapping[str, Any]) -> Options:
    """Raises Invalid naming what is wrong."""
    if not options:
        return NONE
    for name in options:
        if name != NAMESPACE:
            raise Invalid(
                f"options.{name} is not for this channel; its own stand under options.wechat", field="options"
            )
    try:
        msgspec.convert(_bytewise(options.get(NAMESPACE)), Options)
        wanted = msgspec.convert(options.get(NAMESPACE), Options)
    except msgspec.ValidationError as error:
        raise Invalid(f"options.wechat: {error}", field="options.wechat") from None
    if wanted.detail is not None and len(msgspec.json.encode(wanted.detail)) > DETAIL_BYTES_MAX:
        raise Invalid(f"options.wechat.detail is longer than {DETAIL_BYTES_MAX} bytes", field="options.wechat.detail")
    return wanted
