"""Translators, one folder a vendor, and the one road to the network that they share."""
