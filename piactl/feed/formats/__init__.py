"""The formats of feeds. `registry` lists them: a new format is a module here and a line there."""
