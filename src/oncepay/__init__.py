"""A payment centre: no paid order is ever lost, and no order is ever paid twice and kept."""

__version__ = "0.1.0"
