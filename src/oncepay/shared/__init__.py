"""What processes share beside the ledger, in a Redis or Valkey: wake-ups and limits. Needs the extra ``redis``.

Nothing is kept there that would be missed: wiped, stopped or slow, it only makes processes slower to hear of each
other, and each keeps its limits alone.
"""
