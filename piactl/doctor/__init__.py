"""`doctor`: one table of checks (`checks.py`) that tell of lost data, wrong access, or a server that cannot
hold a promise."""
