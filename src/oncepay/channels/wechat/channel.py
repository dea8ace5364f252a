"""WeChat Pay as a channel: what it can do, and its parts behind the one seam."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from oncepay.channels.accounts import Accounts
from oncepay.channels.texts import CNY
from oncepay.channels.wechat import answers, certificates, notifications, requests
from oncepay.channels.wechat import options as vendor
from oncepay.channels.wechat.accounts import check, open_account
from oncepay.domain.attempt import Attempt, Call
from oncepay.domain.capabilities import DAY, MIN, Capabilities, H, Method
from oncepay.domain.change import Credential
from oncepay.domain.errors import Invalid, MethodUnknown
from oncepay.ports import Account, Acknowledgement, Answer, Draft, Notice, Read, Refused, Request

# Sources: 基础支付常见问题 (life of credentials), 下单 (time_expire), 关闭订单, 退款申请 (count, spacing, window).
CAPABILITIES: Final = Capabilities(
    methods={
        "native": Method(credential="qr", credential_life_ms=2 * H),
        "jsapi": Method(credential="invoke", credential_life_ms=2 * H),
        "app": Method(credential="invoke", credential_life_ms=2 * H),
        "h5": Method(credential="url", credential_life_ms=5 * MIN),
    },
    currencies=frozenset({CNY}),
    closes=True,
    close_final=True,
    expiry_min_ms=1 * MIN,
    expiry_max_ms=7 * DAY,
    refund_spacing_ms=1 * MIN,
    refund_count=50,
    refund_absent_margin_ms=30 * MIN,
    refund_window_ms=365 * DAY,
)


class WechatPay:
    """A translator: no sockets, clocks or repeats inside. Keeps nothing but parsed keys."""

    name = "wechat"
    capabilities = CAPABILITIES

    def __init__(self) -> None:
        self._accounts = Accounts(open_account)

    def check_account(self, account: Account) -> None:
        """Raises Invalid naming what is missing, does not parse, or would not be read."""
        check(account)

    def check_start(self, method: str, payer: Mapping[str, str], options: Mapping[str, Any]) -> None:
        """Raises MethodUnknown, PayerInvalid, Invalid."""
        vendor.check(method, payer, options)

    def draft(self, draft: Draft, account: Account) -> bytes:
        """The first body for an attempt's number, in or out."""
        if draft.attempt.incoming:
            return requests.draft_order(draft, self._accounts.open(account))
        return requests.draft_refund(draft)

    def credential(self, attempt: Attempt, account: Account, *, body: bytes) -> Credential:  # noqa: ARG002 - the port's
        """Every method of WeChat Pay is made by a call."""
        raise MethodUnknown(f"{self.name} makes no credential for {attempt.method!r} by itself", field="method")

    def build(
        self, call: Call, attempt: Attempt, account: Account, *, body: bytes, now_ms: int, nonce: str, host: int
    ) -> Request:
        """One signed request; signing takes most of its time and lets other threads run."""
        opened = self._accounts.open(account)
        return requests.build(call, attempt, opened, body=body, now_ms=now_ms, nonce=nonce, host=host)

    def read(self, call: Call, answer: Answer, attempt: Attempt, account: Account, *, now_ms: int, nonce: str) -> Read:
        """What an answer tells us; whatever it cannot read is silence."""
        asked = answers.Asked(
            call=call,
            attempt=attempt,
            opened=self._accounts.open(account),
            method=self.capabilities.methods.get(attempt.method),
            now_ms=now_ms,
            nonce=nonce,
        )
        return answers.read(answer, asked)

    def read_notification(
        self, headers: Mapping[str, str], body: bytes, account: Account, *, now_ms: int
    ) -> Notice | Refused:
        """Verified over the raw bytes, then read. An account that cannot work believes nothing."""
        try:
            opened = self._accounts.open(account)
        except Invalid as error:
            return Refused(why=f"account {account.id} cannot verify: {error.detail}")
        return notifications.read(headers, body, opened, now_ms=now_ms)

    def acknowledge(self, *, taken: bool) -> Acknowledgement:
        """Only the status counts. Anything but 200 and 204 makes WeChat Pay send it again, for a day."""
        if taken:
            return Acknowledgement(status=204)
        return Acknowledgement(status=503, body='{"code":"FAIL","message":"失败"}'.encode())

    def build_keys(self, account: Account, *, now_ms: int, nonce: str) -> Request | None:
        """The request for the platform certificates."""
        return certificates.build(self._accounts.open(account), now_ms=now_ms, nonce=nonce)

    def read_keys(self, answer: Answer, account: Account, *, now_ms: int) -> Mapping[str, Any] | None:
        """The account's settings with new certificates added, or None when the answer is not believed."""
        return certificates.read(answer, self._accounts.open(account), now_ms=now_ms)
