"""The channels' other side: vendors played on loopback, exact on the wire, with books of their own.

Useful by itself to any team that integrates a payment vendor. It imports nothing else of oncepay,
so that the channels and the sandbox are two independent readings of the vendors' rules.
How to start it, in process or as a process: see ``oncepay.sandbox.main``.
"""
