"""The shop's own tables."""

from django.db import models


class Order(models.Model):
    """What somebody wants. ``status``: open, paid or closed, as its payment."""

    order_no = models.CharField(primary_key=True, max_length=64)
    buyer = models.BigIntegerField()
    item = models.CharField(max_length=20)
    quantity = models.PositiveIntegerField()
    minor = models.BigIntegerField()
    status = models.CharField(max_length=10, default="open")


class Entry(models.Model):
    """What followed from a payment, once each. The packers ship what stands here, the accountants add up ``minor``."""

    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="journal")
    what = models.CharField(max_length=100)
    minor = models.BigIntegerField()
