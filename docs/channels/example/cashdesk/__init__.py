"""The cash desk, a vendor that is made up: the till of a shop, which is paid at the counter or by a printed slip."""

from cashdesk.channel import CashDesk

__all__ = ["CashDesk"]
