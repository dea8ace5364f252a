"""Everything we refuse to do, as one tree. A class per thing a caller can act on; no codes in text.

* OncepayError
  x Invalid              fix the request                (caller's fault, do not repeat as is)
    - NumberInvalid      an order, refund or attempt number that no channel would take
    - AmountInvalid
    - MethodUnknown      no such channel or method, or not for this currency
    - DeadlineInvalid    too near, too far, or in the past
    - PayerInvalid       what the method needs to know of the payer is missing or wrong
  x Absent               no such thing, or not yours
    - PaymentAbsent, RefundAbsent, EventAbsent, EndpointAbsent, DeliveryAbsent, CaseAbsent
    - AppAbsent          said to an operator; an app that asks is there
    - AccountAbsent      also: several, and none was named; of another channel; retired
  x Unauthorized         no key, or not a key of ours
  x Conflict             it clashes with what is already there
    - KeyReused          same natural key, different content
    - PaymentPaid, PaymentClosed, PaymentClosing, PaymentUnpaid, PaymentOpen
    - AttemptLive        another attempt may still take money
    - AttemptsSpent      all 64 attempts of the payment are used
    - RefundTooLarge     more than what is kept
    - RefundsSpent       the channel takes no further refund of this attempt
    - RefundTooLate      the channel's window for refunds is over
    - VerbUnfit          what a person wants to do with a case makes no sense as things stand
  x Busy                 others work on the same thing, or there is too much to do; repeat soon
    - Overloaded         the queue of changes is full
    - AccountPaused      the channel refuses this use of the account for now
  x Unavailable          the store cannot answer; nothing was acknowledged
    - CommitUnknown      a commit was sent and its answer was lost; ask before doing anything
  x ChannelRefused       the channel said no, for good
  x ChannelSilent        we do not know; never report this as a failure to the payer

This floor knows nothing of HTTP or exit codes: ``http/problem.py`` and ``cli/exits.py`` map the families, once.
"""

from __future__ import annotations

from typing import ClassVar


class OncepayError(Exception):
    """``code`` is the stable word for programs, ``title`` one sentence for people, ``detail`` this very case.

    ``fields`` are more members for the answer (``field``, ``until_ms``, ``order_no`` ...), JSON types only.
    """

    code: ClassVar[str]
    title: ClassVar[str]
    retry: ClassVar[bool] = False  # repeating the very same request may succeed

    def __init__(self, detail: str = "", **fields: object) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.fields = fields


class Invalid(OncepayError):
    code, title = "invalid", "The request is not valid."


class NumberInvalid(Invalid):
    code, title = "number_invalid", "The number is not 1 to 64 letters, digits, hyphens or underscores."


class AmountInvalid(Invalid):
    code, title = "amount_invalid", "The amount is not valid."


class DeadlineInvalid(Invalid):
    code, title = "deadline_invalid", "The deadline is not valid."


class MethodUnknown(Invalid):
    code, title = "method_unknown", "There is no such way to pay."


class PayerInvalid(Invalid):
    code, title = "payer_invalid", "What this method must know of the payer is missing or wrong."


class Absent(OncepayError):
    """Only a family: whatever is not there has a name, and a code of its own."""


class PaymentAbsent(Absent):
    code, title = "payment_absent", "There is no such payment."


class RefundAbsent(Absent):
    code, title = "refund_absent", "The payment has no such refund."


class EventAbsent(Absent):
    code, title = "event_absent", "There is no such event."


class EndpointAbsent(Absent):
    code, title = "endpoint_absent", "There is no such endpoint."


class DeliveryAbsent(Absent):
    code, title = "delivery_absent", "There is no such delivery."


class CaseAbsent(Absent):
    code, title = "case_absent", "There is no such case."


class AppAbsent(Absent):
    code, title = "app_absent", "There is no such app."


class AccountAbsent(Absent):
    code, title = "account_absent", "There is no such account."


class Unauthorized(OncepayError):
    code, title = "unauthorized", "The request carries no valid key."


class Conflict(OncepayError):
    code, title = "conflict", "The request clashes with what is already there."


class KeyReused(Conflict):
    code, title = "key_reused", "This key was used for a different request."


class PaymentPaid(Conflict):
    code, title = "payment_paid", "The payment is already paid."


class PaymentClosed(Conflict):
    code, title = "payment_closed", "The payment is closed."


class PaymentClosing(Conflict):
    code, title = "payment_closing", "The payment is being closed."


class PaymentUnpaid(Conflict):
    code, title = "payment_unpaid", "The payment is not paid."


class PaymentOpen(Conflict):
    code, title = "payment_open", "The payment is open."


class AttemptLive(Conflict):
    code, title = "attempt_live", "Another attempt may still take money."


class AttemptsSpent(Conflict):
    code, title = "attempts_spent", "The payment has used all its attempts."


class RefundTooLarge(Conflict):
    code, title = "refund_too_large", "The refund is more than what is kept."


class RefundsSpent(Conflict):
    code, title = "refunds_spent", "The channel takes no further refund of this payment."


class RefundTooLate(Conflict):
    code, title = "refund_too_late", "The channel takes no refund of so old a payment."


class VerbUnfit(Conflict):
    code, title = "verb_unfit", "This cannot be done with the case as things stand."


class Busy(OncepayError):
    code, title, retry = "busy", "Others are working on the same payment; repeat the request.", True


class Overloaded(Busy):
    code, title = "overloaded", "There is too much to do at the moment; repeat the request."


class AccountPaused(Busy):
    code, title = "account_paused", "The channel refuses this use of the account for now."


class Unavailable(OncepayError):
    code, title, retry = "unavailable", "The store cannot answer; nothing was acknowledged.", True


class CommitUnknown(Unavailable):
    code, title = "commit_unknown", "It is not known yet whether this was stored; repeat the request."


class ChannelRefused(OncepayError):
    code, title = "channel_refused", "The channel refused."


class ChannelSilent(OncepayError):
    code, title, retry = "channel_silent", "The channel has not answered; the outcome is unknown.", True
