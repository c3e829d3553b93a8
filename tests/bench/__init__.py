"""How fast piactl is, compared with the directory that it writes to. tests/bench/run starts it."""
