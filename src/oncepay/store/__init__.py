"""The ledger: one guard, writes as data, shared commits; on SQLite or on PostgreSQL, behind one port.

``pump`` groups what waits, ``rows`` says what a change is in columns, ``migrations`` makes the tables; ``sqlite`` and
``postgres`` hold the connections; ``open`` picks one of them by URL.
"""
