"""Every state that the core of a payment can come into, in small worlds: ``python -m oncepay.testing.explore --all``.

A world is one payment with up to three attempts, a channel that keeps books, and a list of what may happen once: a
payer pays, an answer is lost, a process dies or stalls, the app closes. ``decide`` and ``plan`` are the real ones. All
orders of all these are walked. Every state is judged by the channel's books, every change by what the app would be
told, and from every state the world must still end right: by itself, as soon as nothing more goes wrong.

What is not looked at: clocks that differ, rows that were lost in a restore, accounts that are turned away, amounts of
several currencies, and what a person vouches for; the storms and the tests of the core do. Time jumps to whatever is
due next, and things happen at those moments only.

- ``world``: what a state is                   - ``core``: the real core, each question asked once
- ``channel``: what the channel does and says  - ``moves``: what may happen next in a state
- ``judge``: the promises                      - ``walk``: all states, and whether they can end
- ``story``: a failure in plain words          - ``worlds``: the small worlds, by name
- ``planted``: rules taken out, to be noticed  - ``diagrams``: the tables, drawn for the documentation
"""

from oncepay.testing.explore.walk import Failure, Found, explore
from oncepay.testing.explore.world import Small
from oncepay.testing.explore.worlds import WORLDS

__all__ = ["WORLDS", "Failure", "Found", "Small", "explore"]
