"""The demonstration: a sandbox, a centre and a shop as they stand in the world, and stories of what goes wrong."""
