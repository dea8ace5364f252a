"""What an app may say of the payer, and which of the vendor's own options it may set, way by way.

=========  =======================================================================================================
wap        payer: ``quit_url`` if it likes: where the browser goes when the payer gives up; else to us
the rest   nothing of the payer
=========  =======================================================================================================

Options stand under ``alipay``: see ``Paying`` and those below it. Amounts among them are in yuan, as the vendor writes
them. What the vendor does not define it refuses, and so do we, earlier.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import msgspec

from oncepay.domain.errors import Invalid, MethodUnknown, PayerInvalid
from oncepay.domain.money import MINOR_MAX

NAMESPACE: Final = "alipay"
GOODS_MAX: Final = 150  # rows; more is ACQ.SUB_GOODS_SIZE_MAX_COUNT
URL_MAX: Final = 400

_TAKES: Final[dict[str, frozenset[str]]] = {
    "page": frozenset(),
    "wap": frozenset({"quit_url"}),
    "app": frozenset(),
    "precreate": frozenset(),
}

Text5 = Annotated[str, msgspec.Meta(min_length=1, max_length=5)]
Text24 = Annotated[str, msgspec.Meta(min_length=1, max_length=24)]
Text32 = Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
Text64 = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Text128 = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Text256 = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Text400 = Annotated[str, msgspec.Meta(min_length=1, max_length=400)]
Text512 = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
Yuan = Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{1,9}\.[0-9]{2}\Z")]
Count = Annotated[int, msgspec.Meta(ge=1, le=MINOR_MAX)]


class Goods(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One line of what was bought. ``price`` of one, in yuan with two digits."""

    goods_id: Text64
    goods_name: Text256
    quantity: Count
    price: Yuan
    alipay_goods_id: Text32 | None = None
    goods_category: Text24 | None = None
    categories_tree: Text128 | None = None
    body: Text400 | None = None
    show_url: Text400 | None = None


class Extended(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Instalments (``hb_fq_num`` months, ``hb_fq_seller_percent`` 0 or 100), and who built the system."""

    sys_service_provider_id: Text64 | None = None
    hb_fq_num: Text5 | None = None
    hb_fq_seller_percent: Text5 | None = None
    industry_reflux_info: Text512 | None = None
    card_type: Text32 | None = None
    specified_seller_name: Text32 | None = None


class Paying(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Of every way to pay. Channels to pay by: those that are allowed, or those that are not, joined by commas."""

    body: Text128 | None = None
    goods_detail: Annotated[list[Goods], msgspec.Meta(min_length=1, max_length=GOODS_MAX)] | None = None
    enable_pay_channels: Text128 | None = None
    disable_pay_channels: Text128 | None = None
    store_id: Text32 | None = None
    merchant_order_no: Text32 | None = None
    extend_params: Extended | None = None


class Online(Paying, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Of page, wap and app. ``goods_type``: 0 virtual, 1 real."""

    goods_type: Literal["0", "1"] | None = None
    promo_params: Text512 | None = None


class Paged(Online, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Of page: how its code is shown (0, 1 and 3 in a frame of the shop's, 4 of a given width, 2 the whole page)."""

    qr_pay_mode: Literal["0", "1", "2", "3", "4"] | None = None
    qrcode_width: Annotated[int, msgspec.Meta(ge=1, le=9999)] | None = None
    integration_type: Literal["PCWEB", "ALIAPP"] | None = None
    request_from_url: Text256 | None = None


class Mobile(Online, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Of wap and app."""

    specified_channel: Text128 | None = None


class Scanned(Paying, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Of precreate. ``product_code``: what the merchant has signed for."""

    product_code: Literal["FACE_TO_FACE_PAYMENT", "QR_CODE_OFFLINE"] | None = None
    operator_id: Annotated[str, msgspec.Meta(min_length=1, max_length=28)] | None = None
    terminal_id: Text32 | None = None
    discountable_amount: Yuan | None = None
    undiscountable_amount: Yuan | None = None


_OPTIONS: Final[dict[str, type[Paying]]] = {"page": Paged, "wap": Mobile, "app": Mobile, "precreate": Scanned}


def check(method: str, payer: Mapping[str, str], options: Mapping[str, Any]) -> None:
    """Raises MethodUnknown, PayerInvalid, Invalid naming the field."""
    takes = _TAKES.get(method)
    if takes is None:
        raise MethodUnknown(f"alipay has no method {method!r}, only {', '.join(sorted(_TAKES))}", field="method")
    for name, value in payer.items():
        if name not in takes:
            only = f"only {', '.join(sorted(takes))}" if takes else "nothing of the payer"
            raise PayerInvalid(f"{method} takes no {name!r}, {only}", field=f"payer.{name}")
        if not _is_address(value):
            raise PayerInvalid(f"{name} is not valid", field=f"payer.{name}")
    read(method, options)


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return len(text) <= URL_MAX and parts.scheme in {"https", "http"} and bool(parts.hostname) and text.isprintable()


def read(method: str, options: Mapping[str, Any]) -> Paying:
    """The vendor's options of a way to pay. Raises Invalid naming what is wrong."""
    for name in options:
        if name != NAMESPACE:
            raise Invalid(
                f"options.{name} is not for this channel; its own stand under options.alipay", field="options"
            )
    try:
        wanted = msgspec.convert(options.get(NAMESPACE, {}), _OPTIONS[method])
    except msgspec.ValidationError as error:
        raise Invalid(f"options.alipay: {error}", field="options.alipay") from None
    if wanted.enable_pay_channels and wanted.disable_pay_channels:
        raise Invalid(
            "options.alipay: enable_pay_channels or disable_pay_channels, not both",
            field="options.alipay.disable_pay_channels",
        )
    return wanted
