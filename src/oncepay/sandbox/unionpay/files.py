"""The settlement file of a day: a zip in zlib in base64, its lines of fixed width, in GBK.

A settlement day runs from 23:00 to 23:00. Each field starts at the sum of the widths before it plus one
blank each. Amounts in fen; C and D are from the merchant's side.
"""

import base64
import copy
import datetime as dt
import io
import zipfile
import zlib
from typing import Final

from oncepay.sandbox.clock import beijing
from oncepay.sandbox.unionpay.books import Order, Reversal, settle_day
from oncepay.sandbox.unionpay.desk import Desk
from oncepay.sandbox.unionpay.wire import Fields, Refusal, echo, outcome

WIDTHS: Final = (
    3, 11, 11, 6, 10, 19, 12, 4, 2, 21, 2, 32, 2, 6, 10, 13, 13, 4, 15, 2, 2, 6, 2, 4, 32, 1, 21, 15, 1, 15, 32, 13, 13,
    8, 32, 13, 13, 12, 2, 1, 32, 98,
)  # fmt: skip
# The code of a transaction by its txnType. S22 and S30 are sure; that a void is S31 is the likely reading.
CODES: Final = {"01": "S22", "04": "S30", "31": "S31"}
CARD: Final = "622155******0000"
Happening = tuple[Order, Reversal | None]


def download(desk: Desk, fields: Fields) -> Fields:
    """The file of the day that ``settleDate`` (MMDD) means: the latest one that is over. 98 when there is none."""
    mer_id, now = fields["merId"], desk.clock.now()
    day = _day(fields["settleDate"], settle_day(now))
    if desk.faults.any(("bill_creating", "bill_none"), "bill"):
        raise Refusal("98")
    ready = dt.time(desk.switches.unionpay.file_ready_hour)
    if day is None or beijing(now) < dt.datetime.combine(day + dt.timedelta(days=1), ready, beijing(now).tzinfo):
        raise Refusal("98")
    found = _planted(desk, _happenings(desk, mer_id, day))
    if not found:
        raise Refusal("98")
    lines = [of_payment(order) if reversal is None else of_reversal(order, reversal) for order, reversal in found]
    name = f"{mer_id}_{day:%Y%m%d}.zip"
    text = "".join(f"{line}\r\n" for line in lines)
    packed = _zip({f"INN{day:%y%m%d}88ZM_{mer_id}": text, f"INN{day:%y%m%d}88ZME_{mer_id}": ""}, day)
    content = base64.b64encode(zlib.compress(packed)).decode()
    return {
        **echo(fields, "settleDate", "fileType"),
        "fileName": name,
        "fileContent": content,
        **outcome("00"),
    }


def line(cells: dict[int, str]) -> str:
    """A line of the file from its cells by number (from 1); what is not given is blank.

    Widths are bytes of GBK.
    """
    shown = []
    for number, width in enumerate(WIDTHS, start=1):
        cell = cells.get(number, "").encode("gbk")[:width]
        shown.append(cell.ljust(width).decode("gbk", "ignore"))
    return " ".join(shown)


def of_payment(order: Order) -> str:
    """The line of a payment."""
    return line(
        {
            **_common("01", order.fields, order.mer_id),
            4: order.trace_no,
            5: order.txn_time[4:],
            7: f"{order.total:012d}",
            10: order.query_id,
            12: order.number,
            16: f"D{order.fee:011d}",
            17: f"C{order.total - order.fee:011d}",
            33: f"C{order.total - order.fee:011d}",
            35: order.fields.get("reqReserved", ""),
        }
    )


def of_reversal(order: Order, reversal: Reversal) -> str:
    """The line of a refund or void."""
    back = reversal.amount - reversal.fee
    fields = reversal.fields or {**order.fields, "txnType": "04", "txnSubType": "00"}
    at = reversal.fields.get("txnTime", f"{beijing(reversal.created):%Y%m%d%H%M%S}")
    return line(
        {
            **_common(fields["txnType"], fields, order.mer_id),
            4: reversal.trace_no,
            5: at[4:],
            7: f"{reversal.amount:012d}",
            10: reversal.query_id,
            12: reversal.number[:32],
            14: order.trace_no,
            15: order.txn_time[4:],
            16: f"C{reversal.fee:011d}",
            17: f"D{back:011d}",
            27: order.query_id,
            33: f"D{back:011d}",
            35: reversal.fields.get("reqReserved", ""),
            41: order.number,
        }
    )


def _common(txn_type: str, fields: Fields, mer_id: str) -> dict[int, str]:
    return {
        1: CODES[txn_type],
        2: "0" * 11,
        3: "00010000000",
        6: CARD,
        8: "5411",
        9: fields.get("channelType", "07"),
        13: "01",
        18: "0001",
        20: txn_type,
        21: fields["txnSubType"],
        22: fields["bizType"],
        28: mer_id,
    }


def _happenings(desk: Desk, mer_id: str, day: dt.date) -> list[Happening]:
    """What was settled on a day."""
    found: list[Happening] = []
    for order in desk.books.orders(mer_id):
        if order.paid is not None and settle_day(order.paid) == day:
            found.append((order, None))
        ended = [reversal for reversal in order.reversals if reversal.state == "SUCCESS"]
        found += [(order, reversal) for reversal in ended if settle_day(reversal.done or 0) == day]
    return found


def _day(text: str, today: dt.date) -> dt.date | None:
    """The latest day of that MMDD that is over."""
    for year in (today.year, today.year - 1):
        try:
            day = dt.date(year, int(text[:2]), int(text[2:]))
        except ValueError:
            continue  # a 29th of February
        if day < today:
            return day
    return None


def _planted(desk: Desk, found: list[Happening]) -> list[Happening]:
    """Differences that faults plant, so that reconciliation has something to find."""

    def strike(fault: str) -> int | None:
        for index, (order, _) in enumerate(found):
            if desk.faults.strike(fault, "bill", order.number):
                return index
        return None

    missing = strike("bill_row_missing")
    if missing is not None:
        del found[missing]
    wrong = strike("bill_amount_wrong")
    if wrong is not None:
        order, reversal = copy.copy(found[wrong][0]), copy.copy(found[wrong][1])
        if reversal is None:
            order.total += 1
        else:
            reversal.amount += 1
        found[wrong] = (order, reversal)
    extra = strike("bill_row_extra")
    if extra is not None:
        unknown = copy.copy(found[extra][0])
        unknown.number = "UNKNOWN" + unknown.number[:20]
        unknown.query_id = unknown.query_id[:-7] + "9999998"
        found.append((unknown, None))
    return found


def _zip(texts: dict[str, str], day: dt.date) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in texts.items():
            packed.writestr(zipfile.ZipInfo(name, (day.year, day.month, day.day, 0, 0, 0)), text.encode("gbk"))
    return out.getvalue()
