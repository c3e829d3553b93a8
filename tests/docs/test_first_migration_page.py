"""The commands of docs/first-migration.md, in their order, with a real slapd."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from piactl.clock import civil_today
from tests.conftest import Sandbox
from tests.story.feeds import crowd, text

TOP = Path(__file__).resolve().parents[2]
PAGE = (TOP / "docs" / "first-migration.md").read_text(encoding="utf-8")
STUBS = """
piactl() { "$PYTHON" -m piactl --config "$BOX/piactl.yaml" "$@"; }
systemctl() { "$PYTHON" -m piactl sandbox "$1" --dir "$BOX"; }
chown() { :; }
slapadd() { command slapadd -f "$BOX/slapd/slapd.conf" "$@"; }
"""
"""Replaces what only a whole host has: the service manager, users and folders."""


def commands() -> list[str]:
    """Each block of commands of the page."""
    blocks = re.findall(r"^   ```\n(.*?)^   ```$", PAGE, re.DOTALL | re.MULTILINE)
    return [re.sub(r"^   ", "", block, flags=re.MULTILINE) for block in blocks]


def test_the_commands_of_the_page_load_a_first_migration(sandbox: Sandbox, tmp_path: Path) -> None:
    blocks = commands()
    assert len(blocks) == 5
    (tmp_path / "hr.csv").write_text(text(crowd(12), str(civil_today("Europe/Paris"))), encoding="utf-8")
    outputs = []
    for block in blocks:
        script = block.replace(" -F /etc/ldap/slapd.d", "")
        script = script.replace("/var/lib/ldap", str(sandbox.folder / "slapd" / "data"))
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{STUBS}\n{script}"],
            cwd=tmp_path,
            env={
                "PATH": f"{os.environ['PATH']}:/usr/sbin",
                "PYTHON": sys.executable,
                "PYTHONPATH": str(TOP),
                "BOX": str(sandbox.folder),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        outputs.append(done.stdout + done.stderr)
    assert "Nothing is loaded yet" in outputs[1]
    assert "its LDIF was loaded: 12 accounts" in outputs[3]
    assert "nothing to do" in outputs[3]
    assert len(sandbox.entries(sandbox.accounts, "(objectClass=piactlAccount)")) == 12
    assert not (tmp_path / "accounts.ldif").exists()
    assert not (sandbox.folder / "slapd" / "data.before").exists()
