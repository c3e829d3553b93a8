"""A first migration by slapadd, from the feed to a server that answers: plan, LDIF, slapadd, start.

python -m bench.migration PIACTL HOME FEED DAY FOLDER
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from piactl.sandbox import start_sandbox, stop_sandbox
from piactl.sandbox.server import find_software
from piactl.sandbox.slapd_configuration_and_folder import SUFFIX


def main(piactl: str, home: str, feed: str, day: str, folder: str) -> None:
    plan, ldif = Path(folder) / "migration.json", Path(folder) / "migration.ldif"
    for file in (plan, ldif):
        file.unlink(missing_ok=True)
    subprocess.run([piactl, "plan", feed, "--as-of", day, "--out", str(plan)], check=True)
    subprocess.run([piactl, "apply", str(plan), "--ldif", str(ldif)], check=True)
    stop_sandbox(Path(home))
    conf = str(Path(home) / "slapd" / "slapd.conf")
    words = [str(find_software().slapadd), "-q", "-f", conf, "-b", SUFFIX, "-l", str(ldif)]
    subprocess.run(words, check=True)
    start_sandbox(Path(home))  # returns once the server answers


if __name__ == "__main__":
    main(*sys.argv[1:])
