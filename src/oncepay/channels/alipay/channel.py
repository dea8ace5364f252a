"""Alipay as a channel: what it can do, and its parts behind the one seam."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from oncepay.channels.accounts import Accounts
from oncepay.channels.alipay import answers, certificates, credentials, notifications, requests
from oncepay.channels.alipay import options as vendor
from oncepay.channels.alipay.accounts import check, open_account
from oncepay.channels.alipay.keys import Doubt
from oncepay.channels.texts import CNY
from oncepay.domain.attempt import Attempt, Call
from oncepay.domain.capabilities import DAY, MIN, REFUND_QUERY_AT_MS, Capabilities, H, Method, S
from oncepay.domain.change import Credential
from oncepay.domain.errors import Invalid, MethodUnknown
from oncepay.ports import Account, Acknowledgement, Answer, Draft, Notice, Read, Refused, Request

REFUND_WINDOW_MS: Final = 365 * DAY  # of page pay and face to face today; older contracts say three months
# Sources: the pages of each method (timeout_express: 1m to 15d; the code of a precreate: 2 h), the advice on refunds
# (3 s between two of a trade, a query 10 s after one).
CAPABILITIES: Final = Capabilities(
    methods={
        "page": Method(credential="url", credential_life_ms=15 * DAY, made_by_call=False),
        "wap": Method(credential="url", credential_life_ms=15 * DAY, made_by_call=False),
        "app": Method(credential="order_string", credential_life_ms=15 * DAY, made_by_call=False),
        "precreate": Method(credential="qr", credential_life_ms=credentials.QR_LIFE_MS),
    },
    currencies=frozenset({CNY}),
    closes=True,
    close_final=True,
    cancels=True,
    absent_margin_ms=5 * MIN,
    expiry_min_ms=1 * MIN,
    expiry_max_ms=15 * DAY,
    # A page that is never opened is absent to the end, and so is a code that nobody scans. With the call that made it,
    # the look at the end, two that settle what is absent and one more later: 16 calls at most. The looks at an hour and
    # later are for payments whose notices were all lost: Alipay sends them for 25 hours.
    query_at_ms=(
        10 * S, 20 * S, 30 * S, 1 * MIN, 2 * MIN, 4 * MIN, 8 * MIN, 15 * MIN, 1 * H, 26 * H, 6 * DAY,
    ),
    again_at_ms=(1 * H,),  # nobody can pay after time_expire
    refund_query_at_ms=tuple(at_ms for at_ms in REFUND_QUERY_AT_MS if at_ms >= 10 * S),
    refund_spacing_ms=3 * S,
    refund_count=50,  # the vendor publishes none; each is a number in the payment
    refund_absent_margin_ms=1 * DAY,  # what has no refund_status may be running still; not for a day after a refusal
    refund_window_ms=REFUND_WINDOW_MS,
)  # fmt: skip


class Alipay:
    """A translator: no sockets, clocks or repeats inside. Keeps parsed keys, and which certificate an answer last named
    that an account does not hold: that is the one to fetch."""

    name = "alipay"
    capabilities = CAPABILITIES

    def __init__(self) -> None:
        self._accounts = Accounts(open_account)
        self._unheld: dict[str, str] = {}

    def check_account(self, account: Account) -> None:
        """Raises Invalid naming what is missing, does not parse, or would not be read."""
        check(account)

    def check_start(self, method: str, payer: Mapping[str, str], options: Mapping[str, Any]) -> None:
        """Raises MethodUnknown, PayerInvalid, Invalid."""
        vendor.check(method, payer, options)

    def draft(self, draft: Draft, account: Account) -> bytes:  # noqa: ARG002 - the port's
        """The first body for an attempt's number, in or out; nothing in it depends on the account."""
        if draft.attempt.incoming:
            return requests.draft_order(draft)
        return requests.draft_refund(draft)

    def credential(self, attempt: Attempt, account: Account, *, body: bytes) -> Credential:
        """Of page, wap and app: signed at the attempt's own time, so the same whenever it is made."""
        method = self.capabilities.methods.get(attempt.method)
        if method is None or method.made_by_call:
            raise MethodUnknown(f"{self.name} makes no credential for {attempt.method!r} by itself", field="method")
        return credentials.made(attempt, self._accounts.open(account), body)

    def build(
        self,
        call: Call,
        attempt: Attempt,
        account: Account,
        *,
        body: bytes,
        now_ms: int,
        nonce: str,  # noqa: ARG002 - requests of this vendor have none
        host: int,
    ) -> Request:
        """One signed request; signing takes most of its time and lets other threads run."""
        return requests.build(call, attempt, self._accounts.open(account), body=body, now_ms=now_ms, host=host)

    def read(
        self,
        call: Call,
        answer: Answer,
        attempt: Attempt,
        account: Account,
        *,
        now_ms: int,
        nonce: str,  # noqa: ARG002 - the port's
    ) -> Read:
        """What an answer tells us; whatever it cannot read is silence."""
        opened = self._accounts.open(account)
        asked = answers.Asked(call=call, attempt=attempt, opened=opened, now_ms=now_ms)
        told = answers.believe(answer, asked)
        if isinstance(told, Doubt) and told.unheld and opened.roots:
            self._unheld[account.id] = told.unheld
        return answers.read(told, asked)

    def read_notification(
        self,
        headers: Mapping[str, str],  # noqa: ARG002 - nothing of this vendor's stands there
        body: bytes,
        account: Account,
        *,
        now_ms: int,
    ) -> Notice | Refused:
        """Verified over the raw bytes, then read. An account that cannot work believes nothing. A certificate that only
        a notification names is not fetched: anybody can send one, and the next answer names it too."""
        try:
            opened = self._accounts.open(account)
        except Invalid as error:
            return Refused(why=f"account {account.id} cannot verify: {error.detail}")
        return notifications.read(body, opened, now_ms=now_ms)

    def acknowledge(self, *, taken: bool) -> Acknowledgement:
        """Taken is these seven letters and nothing else. Anything but them makes Alipay send it again, for a day."""
        if taken:
            return Acknowledgement(status=200, body=b"success", content_type="text/plain")
        return Acknowledgement(status=503, body=b"fail", content_type="text/plain")

    def build_keys(self, account: Account, *, now_ms: int, nonce: str) -> Request | None:  # noqa: ARG002 - the port's
        """The request for the certificate that an answer named last, else for the one we hold. None in key mode."""
        return certificates.build(self._accounts.open(account), self._unheld.get(account.id, ""), now_ms=now_ms)

    def read_keys(self, answer: Answer, account: Account, *, now_ms: int) -> Mapping[str, Any] | None:
        """The account's settings with the new certificate added, or None when the answer is not believed."""
        settings = certificates.read(answer, self._accounts.open(account), now_ms=now_ms)
        if settings is not None:
            self._unheld.pop(account.id, None)
        return settings
