"""A project whose app is of Django: the webhook is a view, and it is called by Django's own test client."""

from __future__ import annotations

from typing import Any

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from oncepay.client import Attempt, verify
from oncepay.testing import Oncepay

heard: list[str] = []
secrets: list[str] = []
times: list[Any] = []


def hook(request: HttpRequest) -> HttpResponse:
    event = verify(secrets, request.headers, request.body, times[0]())
    heard.append(event.payment.status)
    return HttpResponse(status=204)


urlpatterns = [path("hook", hook)]
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x", USE_TZ=True)
django.setup()


def test_a_view_is_told(oncepay: Oncepay) -> None:
    client = Client()

    def app(headers: dict[str, str], body: bytes) -> int:
        return int(client.post("/hook", body, "application/json", headers=headers).status_code)

    secrets.append(oncepay.forward(app))
    times.append(oncepay.now)
    attempt = Attempt(channel="alipay", method="wap")
    oncepay.client().payments.create(order_no="A-1", minor=8800, currency="CNY", subject="Tea", attempt=attempt)
    oncepay.pay("A-1")
    assert heard == ["paid"]
