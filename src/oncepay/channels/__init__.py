"""Translators, one folder a vendor, and what they share."""
