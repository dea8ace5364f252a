"""The verbs: load, decide, commit, and the one loop that does what is due."""
