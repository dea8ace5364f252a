"""The guards on Django's database, and what follows from a payment: the handlers of the inbox, each run once."""

from typing import Any

from django.conf import settings

from oncepay.client import Attempt, Client
from oncepay.client.guards import Inbox, Milestone, SubmissionGuard, Watch, transactions
from oncepay.client.queues import Consumer
from shop.models import Entry, Order

WAY = Attempt(channel="wechat", method="native")  # a code to scan

begin = transactions.django()
client = Client(settings.CENTRE_URL, settings.CENTRE_KEY)
guard = SubmissionGuard(begin)
inbox = Inbox(begin)


def enter(order_no: str, status: str, what: str, minor: int = 0) -> None:
    """Raises when we have no such order: then the news come again, and stand in ``inbox.poisoned()``."""
    order = Order.objects.get(pk=order_no)
    order.status = status
    order.save(update_fields=["status"])
    Entry.objects.create(order=order, what=what, minor=minor)


@inbox.on("paid")
def ship(_: Any, milestone: Milestone) -> None:
    enter(milestone.payment.order_no, "paid", "ship", milestone.payment.minor)


@inbox.on("closed")
def cancel(_: Any, milestone: Milestone) -> None:
    enter(milestone.payment.order_no, "closed", "cancel")


@inbox.on("refund.done", "refund.outside")
def book_refund(_: Any, milestone: Milestone) -> None:
    payment, refund = milestone.payment, milestone.refund
    assert refund is not None
    enter(payment.order_no, payment.status, f"refund {refund.refund_no}", -refund.minor)


inbox.ignore("refund.failed", "surplus.refunded")  # the money stayed with us; the money never was ours
inbox.check()


def never_asked(_: Any, order_no: str) -> None:
    """The centre has not heard of it in ten minutes: the buyer left before paying, or we died."""
    enter(order_no, "closed", "cancel")


watch = Watch(client, inbox, absent=never_asked)


def consumer() -> Consumer[Any]:
    return Consumer(settings.QUEUE_URL, settings.WEBHOOK_SECRETS, inbox)
