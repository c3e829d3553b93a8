"""How fast piactl is beside the directory that it writes to. tests/bench/run is the way in."""
