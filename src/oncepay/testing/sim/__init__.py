"""The deterministic simulation: app, centre, channels, broker, clock and network in one loop, from one seed.

python -m oncepay.testing.sim --seeds 0:500
"""
