"""The rules of sudo on this host."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

SUDOERS = Path("/etc/sudoers")


@dataclass(frozen=True, slots=True)
class SudoRules:
    """The rules of sudo, as cvtsudoers prints them. `why` is why there are none to compare, "" if there are;
    `invalid`: sudo itself does not accept them."""

    why: str = ""
    invalid: bool = False
    rules: Mapping[str, Any] | None = None


@cache
def read_sudo_rules(sudoers: Path) -> SudoRules:
    """The rules of this host, as root reads them; asked for before root becomes the user of piactl."""
    checker, reader = shutil.which("visudo"), shutil.which("cvtsudoers")
    if os.geteuid() != 0:
        return SudoRules("only root can read the rules of sudo; run piactl doctor as root too")
    if checker is None or reader is None or not sudoers.exists():
        return SudoRules("sudo is not installed here")
    if _output([checker, "-c", "-f", str(sudoers)]) is None:
        return SudoRules(invalid=True)
    return SudoRules(rules=json.loads(_output([reader, "-e", "-f", "json", str(sudoers)]) or "{}"))


def _output(command: list[str]) -> str | None:
    """What a command prints; None if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return done.stdout if done.returncode == 0 else None
