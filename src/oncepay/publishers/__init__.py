"""How events reach apps: one file a transport. Publishers know nothing of payments, only bytes and where they go."""
