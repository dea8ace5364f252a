"""The API over HTTP: what business apps and channels call."""
