"""The merchant's bills of a day: trades and fund flow, byte for byte as WeChat Pay writes them.

UTF-8 with BOM, CRLF after every line; in data and summary rows each cell begins with a backtick.
Amounts in yuan with two decimals, fees with five. The hash is over the uncompressed bytes.
"""

import gzip
import hashlib
import re
from datetime import date, timedelta
from typing import Any, Final

from oncepay.sandbox.clock import beijing
from oncepay.sandbox.wechat.books import TRADE_TYPES, Order, Refund
from oncepay.sandbox.wechat.desk import BillFile, Desk
from oncepay.sandbox.wechat.keys import letters
from oncepay.sandbox.wechat.wire import Refusal

BOM: Final = "\ufeff"
DEPTH_DAYS: Final = 92  # how far back bills reach
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")
_HEAD: Final = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,"
    "付款银行,货币种类,应结订单金额,代金券金额"
)
_REFUND: Final = "微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态"
HEADS: Final = {
    "ALL": f"{_HEAD},{_REFUND},商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注",
    "SUCCESS": f"{_HEAD},商品名称,商户数据包,手续费,费率,订单金额,费率备注",
    "REFUND": f"{_HEAD},退款申请时间,退款成功时间,{_REFUND},商品名称,商户数据包,手续费,费率,订单金额,"
    "申请退款金额,费率备注",
}
SUMMARY: Final = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
SUMMARIES: Final = {
    "ALL": SUMMARY,
    "SUCCESS": "总交易单数,应结订单总金额,手续费总金额,订单总金额",
    "REFUND": SUMMARY,
}
FUND_HEAD: Final = (
    "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),"
    "资金变更提交申请人,备注,业务凭证号"
)
FUND_SUMMARY: Final = "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额"
REFUND_STATUS: Final = {
    "SUCCESS": "SUCCESS",
    "PROCESSING": "PROCESSING",
    "ABNORMAL": "CHANGE",
    "CLOSED": "FAIL",
}
Happening = tuple[float, Order, Refund | None]


def trade_bill(desk: Desk, mchid: str, args: dict[str, str]) -> dict[str, str]:
    """Make a trade bill ready and say where it is."""
    kind = _choice(args, "bill_type", "ALL", tuple(HEADS))
    day = _day(desk, args)
    wanted = {"ALL": (True, True), "SUCCESS": (True, False), "REFUND": (False, True)}[kind]
    found = [
        (moment, order, refund)
        for moment, order, refund in _happenings(desk, mchid)
        if beijing(moment).date() == day and wanted[refund is not None]
    ]
    found = _planted(desk, found)
    if not found:
        raise Refusal(400, "NO_STATEMENT_EXIST", "账单文件不存在")
    lines = [HEADS[kind]]
    lines += [_cells(_trade_row(desk, kind, *item)) for item in found]
    lines += [SUMMARIES[kind], _cells(_trade_summary(kind, found))]
    return _offer(desk, mchid, args, BOM + "\r\n".join(lines) + "\r\n")


def fund_bill(desk: Desk, mchid: str, args: dict[str, str]) -> dict[str, str]:
    """Make a fund-flow bill ready and say where it is."""
    account = _choice(args, "account_type", "BASIC", ("BASIC", "OPERATION", "FEES"))
    day = _day(desk, args)
    balance, rows = desk.switches.balance_fen, []
    sums = {"收入": [0, 0], "支出": [0, 0]}
    for moment, order, refund in _happenings(desk, mchid) if account == "BASIC" else ():
        for cells, fen in _fund_rows(order, refund):
            balance += fen
            if beijing(moment).date() == day:
                way = "收入" if fen > 0 else "支出"
                sums[way][0] += 1
                sums[way][1] += abs(fen)
                head = [_time(moment), *cells[:4], way, _yuan(abs(fen)), _yuan(balance)]
                rows.append(_cells([*head, *cells[4:]]))
    if not rows:
        raise Refusal(400, "NO_STATEMENT_EXIST", "账单文件不存在")
    counts = [str(len(rows))]
    for count, fen in sums.values():
        counts += [str(count), _yuan(fen)]
    text = "\r\n".join([FUND_HEAD, *rows, FUND_SUMMARY, _cells(counts)]) + "\r\n"
    return _offer(desk, mchid, args, (BOM if desk.switches.fundflow_bom else "") + text)


def download(desk: Desk, mchid: str, args: dict[str, str]) -> tuple[bytes, bytes]:
    """The bytes of a bill and their content type."""
    file = desk.bill_files.get(args.get("token", ""))
    if file is None or file.expires <= desk.clock.now():
        raise Refusal(400, "INVALID_REQUEST", "账单下载链接已失效，请重新获取")
    if file.mchid != mchid:
        raise Refusal(403, "NO_AUTH", "没有权限下载该账单")
    return file.body, file.content_type


def _happenings(desk: Desk, mchid: str) -> list[Happening]:
    """Everything that moved money, in order: payments, and refunds at the time they were asked."""
    found: list[Happening] = []
    for order in desk.books.orders(mchid):
        if order.paid is not None:
            found.append((order.paid, order, None))
            found += [(refund.created, order, refund) for refund in order.refunds]
    found.sort(key=lambda item: item[0])
    return found


def _day(desk: Desk, args: dict[str, str]) -> date:
    """The bill's day, once its bill is there."""
    text = args.get("bill_date", "")
    try:
        day = date.fromisoformat(text if _DAY.fullmatch(text) else "")
    except ValueError:
        message = "输入源“/query/bill_date”映射到字段“账单日期”格式校验失败"
        detail = {"location": "query", "value": text}
        raise Refusal(400, "PARAM_ERROR", message, detail) from None
    now = beijing(desk.clock.now())
    if not now.date() - timedelta(days=DEPTH_DAYS) <= day < now.date():
        raise Refusal(400, "INVALID_REQUEST", "账单日期只能是三个月内且早于今天的日期")
    early = now.hour < desk.switches.bill_ready_hour and day == now.date() - timedelta(days=1)
    if early or desk.faults.strike("bill_creating", "bill", text):
        raise Refusal(400, "STATEMENT_CREATING", "账单生成中，请在30分钟后再试")
    if desk.faults.strike("bill_none", "bill", text):
        raise Refusal(400, "NO_STATEMENT_EXIST", "账单文件不存在")
    return day


def _choice(args: dict[str, str], name: str, default: str, choices: tuple[str, ...]) -> str:
    value = args.get(name, default)
    if value not in choices:
        text = f"输入源“/query/{name}”映射到字段枚举规则校验失败"
        raise Refusal(400, "PARAM_ERROR", text, {"location": "query", "value": value})
    return value


def _offer(desk: Desk, mchid: str, args: dict[str, str], text: str) -> dict[str, str]:
    """Keep a bill under a fresh token for some minutes."""
    packed = _choice(args, "tar_type", "", ("", "GZIP")) == "GZIP"
    raw = text.encode()
    now, token = desk.clock.now(), letters(desk.dice, 40)
    hashed = hashlib.sha1(raw, usedforsecurity=False).hexdigest()
    if desk.faults.strike("bill_hash_wrong", "bill"):
        hashed = hashlib.sha1(raw + b"\n", usedforsecurity=False).hexdigest()
    for old in [key for key, file in desk.bill_files.items() if file.expires <= now]:
        del desk.bill_files[old]
    kind = b"application/x-gzip" if packed else b"text/plain"
    body = gzip.compress(raw, mtime=0) if packed else raw
    expires = now + desk.switches.bill_url_life_s
    desk.bill_files[token] = BillFile(mchid, body, kind, expires)
    url = f"{desk.base_url}/v3/billdownload/file?token={token}"
    return {
        "download_url": url + ("&tartype=gzip" if packed else ""),
        "hash_type": "SHA1",
        "hash_value": hashed,
    }


def _planted(desk: Desk, found: list[Happening]) -> list[Happening]:
    """Differences that faults plant, so that reconciliation has something to find."""

    def strike(fault: str) -> int | None:
        for index, (_, order, _refund) in enumerate(found):
            if desk.faults.strike(fault, "bill", order.number):
                return index
        return None

    missing = strike("bill_row_missing")
    if missing is not None:
        del found[missing]
    wrong = strike("bill_amount_wrong")
    if wrong is not None:
        moment, order, refund = found[wrong]
        found[wrong] = (moment, _copy(order, total=order.total + 1), refund)
    extra = strike("bill_row_extra")
    if extra is not None:
        moment, order, _ = found[extra]
        unknown = _copy(order, number="UNKNOWN" + order.number[:20])
        unknown.transaction_id = order.transaction_id[:-10] + "9999999999"
        found.append((moment, unknown, None))
    return found


def _copy(order: Order, **changes: Any) -> Order:
    fields = {name: getattr(order, name) for name in order.__struct_fields__}
    return Order(**(fields | changes))


def _trade_row(desk: Desk, kind: str, moment: float, order: Order, refund: Refund | None) -> list[str]:
    trade_type = TRADE_TYPES[order.product]
    shown_type = desk.switches.h5_bill_type if trade_type == "MWEB" else trade_type
    state = "SUCCESS" if refund is None else "REFUND"
    paid = _yuan(order.total if refund is None else 0)
    cells = [_time(moment), order.appid, order.mchid, "0", order.device_id, order.transaction_id]
    cells += [order.number, order.openid, shown_type, state, "OTHERS", "CNY", paid, "0.00"]
    if kind == "REFUND" and refund is not None:
        ended = _time(refund.done) if refund.status == "SUCCESS" and refund.done else ""
        cells += [_time(refund.created), ended]
    if kind != "SUCCESS":
        cells += (
            ["0", "0", "0.00", "0.00", "", ""]
            if refund is None
            else [
                refund.refund_id,
                refund.number,
                _yuan(refund.amount),
                "0.00",
                "ORIGINAL",
                REFUND_STATUS[refund.status],
            ]
        )
    fee = order.fee if refund is None else -refund.fee
    cells += [_text(order.description), _text(order.attach or ""), _fee(fee), "0.60%", paid]
    if kind != "SUCCESS":
        cells.append(_yuan(0 if refund is None else refund.amount))
    return [*cells, ""]


def _trade_summary(kind: str, found: list[Happening]) -> list[str]:
    paid = sum(order.total for _, order, refund in found if refund is None)
    back = sum(refund.amount for _, _, refund in found if refund is not None)
    fees = sum(order.fee if refund is None else -refund.fee for _, order, refund in found)
    if kind == "SUCCESS":
        return [str(len(found)), _yuan(paid), _fee(fees), _yuan(paid)]
    return [str(len(found)), _yuan(paid), _yuan(back), "0.00", _fee(fees), _yuan(paid), _yuan(back)]


def _fund_rows(order: Order, refund: Refund | None) -> list[tuple[list[str], int]]:
    """What a payment or refund does to the balance: (cells without time and sums, fen)."""
    if refund is None:
        ids = [order.transaction_id, order.transaction_id, "交易"]
        total, cost = _yuan(order.total), _yuan(order.fee)
        note = f"结算总金额 {total} 元;含手续费 {cost} 元"
        rows = [([*ids, "交易", "system", note, order.number], order.total)]
        if order.fee:
            rows.append(([*ids, "扣除交易手续费", "system", "", order.number], -order.fee))
        return rows
    ids = [refund.refund_id, order.transaction_id, "退款", "退款", f"{order.mchid}API"]
    note = f"退款总金额{_yuan(refund.amount)}元;含手续费{_yuan(refund.fee)}元"
    rows = [([*ids, note, refund.number], refund.fee - refund.amount)]
    if refund.status == "CLOSED":
        rows.append(([*ids, "退款关闭退回", refund.number], refund.amount - refund.fee))
    return rows


def _cells(cells: list[str]) -> str:
    return ",".join(["`" + cell for cell in cells])


def _text(text: str) -> str:
    """Free text as bills carry it: no comma, no line end."""
    return text.replace(",", "\\ ").replace("\r\n", "\\n").replace("\n", "\\n")


def _time(moment: float) -> str:
    return f"{beijing(moment):%Y-%m-%d %H:%M:%S}"


def _yuan(fen: int) -> str:
    sign = "-" if fen < 0 else ""
    return f"{sign}{abs(fen) // 100}.{abs(fen) % 100:02d}"


def _fee(fen: int) -> str:
    """A fee in yuan with five decimals.

    >>> _fee(-1)
    '-0.01000'
    """
    return _yuan(fen) + "000"
