"""The drill: real processes under load, a monkey that kills them, then peace and the audit."""
