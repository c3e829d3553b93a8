"""tests/audit.py distinguishes a safe package from one that no advisory service knows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

AUDIT = Path(__file__).parents[1] / "audit.py"
SOUND: dict[str, Any] = {"name": "typer", "version": "1.0", "vulns": []}
BAD = {
    "name": "pyasn1",
    "version": "0.4.8",
    "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["0.6.2"], "description": "x"}],
}
SKIPPED = {"name": "ldap3", "skip_reason": "Dependency not found on PyPI"}


@pytest.mark.parametrize(
    ("packages", "ends", "code", "message"),
    [
        ([SOUND], 0, 0, "no known vulnerability in 1 packages"),
        ([SOUND, SKIPPED], 0, 0, "no verdict on 1 of 2 packages: ldap3"),
        ([SOUND, SKIPPED, BAD], 1, 1, "pyasn1 0.4.8: PYSEC-2026-1; mended in 0.6.2"),
        (None, 1, 0, "no verdict: ConnectionError"),
    ],
)
def test_vulnerable_packages_fail_the_audit_and_unknown_ones_do_not(
    tmp_path: Path, packages: Any, ends: int, code: int, message: str
) -> None:
    answer = "" if packages is None else json.dumps({"dependencies": packages, "fixes": []})
    program = tmp_path / "pip-audit"
    program.write_text(f"#!/bin/sh\necho 'ConnectionError: x' >&2\ncat <<'END'\n{answer}\nEND\nexit {ends}\n")
    program.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, AUDIT],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": path},
        check=False,
    )
    assert (done.returncode, message in done.stdout) == (code, True), done
    assert ("no verdict" in done.stdout) is (packages is None or SKIPPED in packages)
