"""The formats of feeds. `registry` has the table of them: a new one is a module here and a line there."""
