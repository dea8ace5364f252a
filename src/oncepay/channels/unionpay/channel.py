"""UnionPay as a channel: what it can do, and its parts behind the one seam."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from oncepay.channels.accounts import Accounts
from oncepay.channels.texts import CNY
from oncepay.channels.unionpay import answers, credentials, notifications, requests
from oncepay.channels.unionpay import options as vendor
from oncepay.channels.unionpay.accounts import check, open_account
from oncepay.domain.attempt import Attempt, Call
from oncepay.domain.capabilities import DAY, MIN, Capabilities, H, Method, S
from oncepay.domain.change import Credential
from oncepay.domain.errors import Invalid, MethodUnknown
from oncepay.ports import Account, Acknowledgement, Answer, Draft, Notice, Read, Refused, Request

EXPIRY_MAX_MS: Final = 15 * MIN

# Sources: comments in UnionPay's kits (timetables, payTimeout, refund window).
CAPABILITIES: Final = Capabilities(
    # Not renewable: that a second apply brings the same code again, UnionPay nowhere says; "duplicate" is more likely.
    methods={
        "front": Method(credential="form", credential_life_ms=EXPIRY_MAX_MS, made_by_call=False),
        "qr": Method(credential="qr", credential_life_ms=EXPIRY_MAX_MS, renewable=False),
        "app": Method(credential="tn", credential_life_ms=EXPIRY_MAX_MS, renewable=False),
    },
    currencies=frozenset({CNY}),
    # Nothing closes an attempt but its payTimeout. So that is never longer than UnionPay advises: for as long, a payer
    # who wants to pay in another way waits, or might pay twice.
    closes=False,
    close_final=False,
    expiry_min_ms=1 * MIN,
    expiry_max_ms=EXPIRY_MAX_MS,
    # UnionPay advises 5, 10, 30, 60 and 120 minutes from the start when no notification came. The early looks are this
    # centre's promise. Two follow, at the end of the time to pay and half a minute later; one more, five minutes after
    # it, settles what failed, and what is absent takes two instead, the last 22 minutes from the start. Then what is
    # over is asked again at about UnionPay's 30, 60 and 120 minutes, after 6 hours and a day. With the call that made
    # it: 16 for a payment that is never paid.
    query_at_ms=(10 * S, 20 * S, 30 * S, 1 * MIN, 2 * MIN, 5 * MIN, 10 * MIN),
    again_at_ms=(10 * MIN, 40 * MIN, 100 * MIN, 6 * H, 24 * H),
    # UnionPay: at most six times within a minute, then slowly, for as long as a refund may take (ten settlement days).
    refund_query_at_ms=(
        1 * S, 2 * S, 4 * S, 8 * S, 16 * S, 32 * S, *(n * H for n in range(1, 25)), *(n * DAY for n in range(2, 31)),
    ),
    refund_spacing_ms=1 * S,  # UnionPay names none, and they go one at a time in any case
    refund_count=50,  # nor this; as for the others, so that a payment stays small
    refund_absent_margin_ms=30 * MIN,  # 34 may be said within the first minutes
    refund_window_ms=333 * DAY,  # eleven months, of which the shortest have 334 days, with the day that has begun
)  # fmt: skip


class UnionPay:
    """A translator: no sockets, clocks or repeats inside. Keeps nothing but parsed keys and certificates."""

    name = "unionpay"
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
        opened = self._accounts.open(account)
        return requests.draft_order(draft, opened) if draft.attempt.incoming else requests.draft_refund(draft, opened)

    def credential(self, attempt: Attempt, account: Account, *, body: bytes) -> Credential:
        """The form of a front payment. Raises MethodUnknown for what a call makes."""
        if attempt.method != "front":
            raise MethodUnknown(f"{self.name} makes no credential for {attempt.method!r} by itself", field="method")
        return credentials.front(attempt, self._accounts.open(account), body=body)

    def build(
        self,
        call: Call,
        attempt: Attempt,
        account: Account,
        *,
        body: bytes,
        now_ms: int,  # noqa: ARG002 - the port's: nothing that is signed here has a time of its own
        nonce: str,  # noqa: ARG002
        host: int,
    ) -> Request:
        """One signed request; signing takes most of its time and lets other threads run."""
        return requests.build(call, attempt, self._accounts.open(account), body=body, host=host)

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
        opened, margin_ms = self._accounts.open(account), self.capabilities.absent_margin_ms
        asked = answers.Asked(call=call, attempt=attempt, opened=opened, now_ms=now_ms, margin_ms=margin_ms)
        return answers.read(answer, asked)

    def read_notification(
        self,
        headers: Mapping[str, str],  # noqa: ARG002 - the port's: UnionPay signs fields
        body: bytes,
        account: Account,
        *,
        now_ms: int,
    ) -> Notice | Refused:
        """Verified, then read. An account that cannot work believes nothing."""
        try:
            opened = self._accounts.open(account)
        except Invalid as error:
            return Refused(why=f"account {account.id} cannot verify: {error.detail}")
        return notifications.read(body, opened, now_ms=now_ms)

    def acknowledge(self, *, taken: bool) -> Acknowledgement:
        """Only the status counts. Anything but 200 makes UnionPay send it again, five times in all."""
        if taken:
            return Acknowledgement(status=200, body=b"ok", content_type="text/plain")
        return Acknowledgement(status=503, body=b"later", content_type="text/plain")

    def build_keys(self, account: Account, *, now_ms: int, nonce: str) -> Request | None:  # noqa: ARG002 - the port's
        """There is nothing to fetch: UnionPay's certificate comes inside each message."""
        return None

    def read_keys(self, answer: Answer, account: Account, *, now_ms: int) -> Mapping[str, Any] | None:  # noqa: ARG002
        """Nothing is believed that was not asked for."""
        return None
