"""The formats of feeds. `all_formats` lists them: a new format is a module here and a line there."""
