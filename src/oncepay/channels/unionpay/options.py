"""What an app may say of the payer, and which of UnionPay's own options it may set, method by method.

======  ===========================================================================================================
front   payer: ``device`` (``pc`` or ``mobile``; pc). Options: ``riskRateInfo``, ``orderDesc``, ``defaultPayType``
app     Options: ``riskRateInfo``, ``orderDesc``
qr      Options: ``termId``
======  ===========================================================================================================

Options stand under ``unionpay``: see ``Options``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec

from oncepay.domain.errors import Invalid, MethodUnknown, PayerInvalid

NAMESPACE: Final = "unionpay"
RISK_MAX: Final = 1024  # characters of riskRateInfo as it is sent
DEVICES: Final = {"pc": "07", "mobile": "08"}  # channelType

_OF: Final = {
    "front": frozenset({"riskRateInfo", "orderDesc", "defaultPayType"}),
    "app": frozenset({"riskRateInfo", "orderDesc"}),
    "qr": frozenset({"termId"}),
}

# Brackets, & and = would move the borders between fields.
Plain = r"\A[^&={}\[\]\"'\x00-\x1f\x7f]+\Z"
Name = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z][A-Za-z0-9]{0,31}\Z")]
Text32 = Annotated[str, msgspec.Meta(max_length=32, pattern=Plain)]
Text256 = Annotated[str, msgspec.Meta(max_length=256, pattern=Plain)]


class Options(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """``risk_rate_info``: {"commodityName": ...}, sent as ``{commodityName=...}``; ``order_desc``: shown to the payer;
    ``default_pay_type``: four digits; ``term_id``: eight letters and digits."""

    risk_rate_info: dict[Name, Text256] | None = None
    order_desc: Text32 | None = None
    default_pay_type: Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{4}\Z")] | None = None
    term_id: Annotated[str, msgspec.Meta(pattern=r"\A[0-9A-Za-z]{8}\Z")] | None = None


def check(method: str, payer: Mapping[str, str], options: Mapping[str, Any]) -> None:
    """Raises MethodUnknown, PayerInvalid, Invalid naming the field."""
    if method not in _OF:
        raise MethodUnknown(f"unionpay has no method {method!r}, only {', '.join(sorted(_OF))}", field="method")
    for name in payer:
        if method != "front" or name != "device":
            takes = "only device" if method == "front" else "nothing"
            raise PayerInvalid(f"{method} takes no {name!r}, {takes}", field=f"payer.{name}")
    if payer.get("device", "pc") not in DEVICES:
        raise PayerInvalid(f"device is not one of {', '.join(DEVICES)}", field="payer.device")
    for name in fields(options):
        if name not in _OF[method]:
            raise Invalid(f"{method} takes no options.unionpay.{name}", field=f"options.unionpay.{name}")


def fields(options: Mapping[str, Any]) -> dict[str, str]:
    """The options as fields of a request. Raises Invalid naming what is wrong."""
    for name in options:
        if name != NAMESPACE:
            raise Invalid(
                f"options.{name} is not for this channel; its own stand under options.{NAMESPACE}", field="options"
            )
    try:
        found: dict[str, Any] = msgspec.to_builtins(msgspec.convert(options.get(NAMESPACE, {}), Options))
    except msgspec.ValidationError as error:
        raise Invalid(f"options.{NAMESPACE}: {error}", field=f"options.{NAMESPACE}") from None
    risk = found.pop("riskRateInfo", None)
    if risk:
        found["riskRateInfo"] = "{" + "&".join(f"{name}={value}" for name, value in risk.items()) + "}"
        if len(found["riskRateInfo"]) > RISK_MAX:
            field = f"options.{NAMESPACE}.riskRateInfo"
            raise Invalid(f"{field} is longer than {RISK_MAX} characters", field=field)
    return found
