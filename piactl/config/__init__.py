"""Reads what people write (configuration, policy, register) strictly, and reports all mistakes at once."""
