"""Things by the names in a path. A name of the wrong shape, an unknown one and another app's are the same: absent.

Every look-up here carries the app that asks; verbs have no other way to reach what is stored.
"""

from __future__ import annotations

import re
from typing import Any, Final

from oncepay.domain.errors import CaseAbsent, DeliveryAbsent, EventAbsent, PaymentAbsent, RefundAbsent
from oncepay.domain.ids import ID_LENGTH, is_id, refund_id
from oncepay.domain.payment import Payment, Refund
from oncepay.domain.snapshot import visible
from oncepay.engine.core import Engine
from oncepay.http.exchange import Ask
from oncepay.ports import App, CaseRow

VERSION_DIGITS_MAX: Final = 9

_VERSION = re.compile(rf"[1-9][0-9]{{0,{VERSION_DIGITS_MAX - 1}}}", re.ASCII)


def payment_id(name: str) -> str:
    """The id in ``pay_...``. Raises PaymentAbsent."""
    head, id_ = name[:4], name[4:]
    if head != "pay_" or not is_id(id_):
        raise PaymentAbsent
    return id_


async def payment_of(engine: Engine, app: App, name: str) -> Payment:
    """This app's payment of that name. Raises PaymentAbsent."""
    payment = await engine.load(payment_id(name))
    if payment.app != app.id:
        raise PaymentAbsent
    return payment


async def payment(ask: Ask[Any, Any]) -> Payment:
    """The payment that the path names. Raises PaymentAbsent."""
    return await payment_of(ask.engine, ask.app, ask.params["payment"])


async def refund(ask: Ask[Any, Any]) -> tuple[Payment, Refund]:
    """The refund that the path names by ``ref_...``. Raises RefundAbsent."""
    name = ask.params["refund"]
    id_ = name[4 : 4 + ID_LENGTH]
    if name[:4] != "ref_" or not is_id(id_):
        raise RefundAbsent
    stored = await ask.engine.find(id_)
    if stored is None or stored.app != ask.app.id:
        raise RefundAbsent
    for known in stored.refunds:
        if visible(known) and refund_id(stored.id, known.refund_no) == name[4:]:
            return stored, known
    raise RefundAbsent


def version_of(name: str, prefix: str) -> tuple[str, int] | None:
    """Payment id and version in ``<prefix><payment id>_<version>``, or None."""
    id_, _, version = name.removeprefix(prefix).partition("_")
    if not name.startswith(prefix) or not is_id(id_) or not _VERSION.fullmatch(version):
        return None
    return id_, int(version)


def event(ask: Ask[Any, Any]) -> tuple[str, int]:
    """Payment id and version of the event that the path names. Raises EventAbsent."""
    found = version_of(ask.params["event"], "evt_")
    if found is None:
        raise EventAbsent
    return found


def delivery(ask: Ask[Any, Any]) -> tuple[str, int, str]:
    """Payment id, version and endpoint of the delivery that the path names. Raises DeliveryAbsent."""
    head, _, endpoint = ask.params["delivery"].rpartition("_")
    found = version_of(head, "dlv_")
    if found is None or not endpoint.isascii() or not endpoint.isalnum():
        raise DeliveryAbsent
    return (*found, endpoint)


async def case(ask: Ask[Any, Any]) -> CaseRow:
    """The case that the path names, if it is about a payment of the app. Raises CaseAbsent."""
    name = ask.params["case"]
    if not name.startswith("case_") or not is_id(name[5:]):
        raise CaseAbsent
    row = await ask.engine.ledger.case(name[5:])
    if row is None or not row.app or row.app != ask.app.id:
        raise CaseAbsent
    return row
