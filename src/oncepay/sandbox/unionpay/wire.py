"""The bytes of UnionPay 5.1.0: forms read strictly, what is signed, answers raw, notices as forms.

An answer is never URL-encoded: fields sorted, then the certificate with its CR LF, then the signature.
A notice is an ordinary form. Both are signed over the same text: the fields in byte order of their
names, the hex SHA-256 of that, and RSA over the 64 hex characters, which hashes once more.
"""

import codecs
import hashlib
from typing import Final
from urllib.parse import unquote_to_bytes, urlencode

Fields = dict[str, str]

CERTIFICATE: Final = "signPubKeyCert"
SIGNATURE: Final = "signature"
ENCODINGS: Final = {"UTF-8": "utf-8", "GBK": "gbk"}

# respCode -> (text, the seven digits in its brackets). Captured: 00, 04, 05, 11, 12, 34. The texts are
# the vendor's; digits that begin with 99001 are ours, since the vendor does not publish them.
TEXTS: Final = {
    "00": ("成功", "0000000"),
    "A6": ("有缺陷的成功", "99001A6"),
    "01": ("交易失败，详情请咨询您的发卡行", "9900101"),
    "03": ("交易通讯超时，请发起查询交易", "9900103"),
    "04": ("交易状态未明，请查询对账结果", "8090001"),
    "05": ("交易已受理，请稍后查询交易结果", "6154037"),
    "06": ("系统繁忙，请稍后再试", "9900106"),
    "10": ("报文格式错误", "9900110"),
    "11": ("验证签名失败", "9100004"),
    "12": ("重复交易", "2010002"),
    "13": ("报文交易要素缺失", "9900113"),
    "30": ("交易未通过，请尝试使用其他银联卡支付或联系95516", "9900130"),
    "32": ("无此交易权限", "9900132"),
    "34": ("查无此交易", "2600000"),
    "35": ("原交易不存在或状态不正确", "9900135"),
    "36": ("与原交易信息不符", "9900136"),
    "37": ("已超过最大查询次数或操作过于频繁", "9900137"),
    "42": ("扣款成功但交易超过规定支付时间", "9900142"),
    "43": ("无此业务权限", "9900143"),
    "45": ("原交易已被成功退货或已被成功撤销", "9900145"),
    "61": ("输入的卡号无效，请确认后输入", "9900161"),
    "64": ("卡上的余额不足", "9900164"),
    "69": ("您的输入超时，交易失败", "9900169"),
    "98": ("文件不存在", "9900198"),
}

PAID: Final = frozenset(("00", "A6"))  # what counts as success; everything else but 03, 04, 05 is failure
# What an answer repeats of its request, where it is there.
ECHOED: Final = (
    "accessType", "bizType", "encoding", "merId", "orderId", "signMethod", "txnSubType", "txnTime", "txnType",
    "version",
)  # fmt: skip


class Refusal(Exception):
    """A call that UnionPay turns down. ``about`` names the field, where one is to blame."""

    def __init__(self, code: str, about: str = "") -> None:
        super().__init__(f"{code} {about}".strip())
        self.code = code
        self.about = about

    @property
    def fields(self) -> Fields:
        return {"respCode": self.code, "respMsg": message(self.code, self.about)}


def message(code: str, about: str = "") -> str:
    """The text of a respCode, ended by its seven digits.

    >>> message("12")
    '重复交易[2010002]'
    """
    text, digits = TEXTS.get(code, (f"交易失败({code})", f"99001{code}"))
    return f"{text}{f'({about})' if about else ''}[{digits}]"


def outcome(code: str) -> Fields:
    """A call's own code and text."""
    return {"respCode": code, "respMsg": message(code)}


def original(code: str) -> Fields:
    """The code and text of the transaction that a query asks about; the query itself went well."""
    return {"origRespCode": code, "origRespMsg": message(code), **outcome("00")}


def echo(fields: Fields, *more: str) -> Fields:
    """The part of a request that its answer repeats."""
    return {name: fields[name] for name in (*ECHOED, *more) if name in fields}


def content(fields: Fields) -> Fields:
    """A request without what is made anew each time it is signed: the same request again has the same content."""
    return {name: value for name, value in fields.items() if name not in {"certId", SIGNATURE}}


def codec(fields: Fields) -> str:
    """How this message is to be encoded, as its ``encoding`` says; UTF-8 when that makes no sense."""
    return ENCODINGS.get(fields.get("encoding", "").upper(), "utf-8")


def read_form(body: bytes) -> Fields:
    """The fields of a form, without empty ones, decoded by the ``encoding`` that they name themselves.

    Refused as 10: a name twice, bytes that are not of that encoding, anything that is no form.
    """
    pairs: list[tuple[bytes, bytes]] = []
    for part in body.split(b"&") if body else ():
        name, is_there, value = part.replace(b"+", b" ").partition(b"=")
        if not is_there:
            raise Refusal("10")
        pairs.append((unquote_to_bytes(name), unquote_to_bytes(value)))
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise Refusal("10")
    encoding = dict(pairs).get(b"encoding", b"UTF-8").decode("latin-1").upper()
    if encoding not in ENCODINGS:
        raise Refusal("10", "encoding")
    try:
        decode = codecs.lookup(ENCODINGS[encoding]).decode
        return {decode(name)[0]: decode(value)[0] for name, value in pairs if value}
    except UnicodeDecodeError:
        raise Refusal("10") from None


def signed_text(fields: Fields) -> str:
    """What is signed: ``name=value`` in byte order of the names, joined by ``&``, values raw.

    >>> signed_text({"b": "2&", "a": "1", "signature": "x", "empty": ""})
    'a=1&b=2&'
    """
    return "&".join(f"{name}={fields[name]}" for name in sorted(fields) if name != SIGNATURE and fields[name])


def digest(fields: Fields) -> bytes:
    """The 64 lower-case hex characters that RSA signs."""
    return hashlib.sha256(signed_text(fields).encode(codec(fields))).hexdigest().encode()


def raw(fields: Fields) -> bytes:
    """An answer's body: as it stands, nothing escaped; certificate and signature last."""
    last = {CERTIFICATE, SIGNATURE}
    parts = [f"{name}={fields[name]}" for name in sorted(fields) if name not in last]
    parts += [f"{name}={fields[name]}" for name in (CERTIFICATE, SIGNATURE) if name in fields]
    return "&".join(parts).encode(codec(fields))


def form(fields: Fields) -> bytes:
    """A notice's body: an ordinary form in sorted order, the signature last."""
    names = sorted(fields.keys() - {SIGNATURE}) + [SIGNATURE] * (SIGNATURE in fields)
    return urlencode([(name, fields[name]) for name in names], encoding=codec(fields)).encode()
