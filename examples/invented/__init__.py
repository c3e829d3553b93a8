"""Invented staff of an académie, for the demonstration, the tests and the measurements. No real person."""
