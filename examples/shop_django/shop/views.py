"""What the shop serves, and where."""

import secrets
import time
from typing import Any

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from oncepay.client import CallFailed, ChannelRefused, Conflict, EventRefused, verify
from shop.models import Order
from shop.payments import WAY, begin, client, guard, inbox, watch

PRICES = {"tea": 8800, "cup": 4200}  # in minor units, and ours: never the browser's


class Wish(forms.Form):
    """What the buyer sends."""

    buyer = forms.IntegerField()  # in earnest: from the session
    item = forms.ChoiceField(choices=[(item, item) for item in PRICES])
    quantity = forms.IntegerField(min_value=1, max_value=10)


@require_POST
def submit(request: HttpRequest) -> HttpResponse:
    """Take an order. Twice the same within ten minutes, by whatever road, is a double click: one order."""
    form = Wish(request.POST)
    if not form.is_valid():
        return JsonResponse(form.errors, status=422)
    wish, order_no = form.cleaned_data, f"D-{secrets.token_hex(8)}"

    def create(connection: Any) -> None:
        Order.objects.create(order_no=order_no, minor=PRICES[wish["item"]] * wish["quantity"], **wish)
        watch.register(connection, order_no)  # it comes to an end even if nobody ever pays

    return JsonResponse({"order_no": guard.once(wish, order_no, create).order_no})


@require_POST
def pay(_: HttpRequest, order_no: str) -> HttpResponse:
    """What the buyer scans. Safe to repeat: it is the same payment, and a code that works."""
    with begin() as connection:
        # Registered before it is read: if the watch is giving the order up at this moment, we wait for that here.
        watch.register(connection, order_no)
        order = get_object_or_404(Order, pk=order_no, status="open")
    try:  # outside the transaction: no lock is held while the network is waited for
        payment = client.payments.create(
            order_no=order_no, minor=order.minor, currency="CNY", subject=f"{order.quantity} {order.item}", attempt=WAY
        )
    except (ChannelRefused, Conflict) as error:  # another way has to be found, or it is paid or closed already
        return JsonResponse({"code": error.code}, status=409)
    except CallFailed:  # nobody knows yet, which is no failure: the buyer asks again
        return JsonResponse({"code": "one_moment"}, status=503)
    credential = payment.attempt.credential if payment.attempt else None
    return JsonResponse({"status": payment.status, "code_url": credential["code_url"] if credential else None})


def show(_: HttpRequest, order_no: str) -> HttpResponse:
    """How it stands."""
    return JsonResponse({"status": get_object_or_404(Order, pk=order_no).status})


@csrf_exempt  # it brings a signature instead
@require_POST
def webhook(request: HttpRequest) -> HttpResponse:
    """What the centre tells. Answered after the commit; whatever is raised is a 500, and the centre tells again."""
    try:
        event = verify(settings.WEBHOOK_SECRETS, request.headers, request.body, time.time())
    except EventRefused as error:
        return HttpResponse(str(error), status=400)
    inbox.take(event)
    return HttpResponse(status=204)


urlpatterns = [
    path("orders", submit),
    path("orders/<slug:order_no>", show),
    path("orders/<slug:order_no>/pay", pay),
    path("webhook", webhook),
]
