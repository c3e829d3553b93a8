"""Looks for known vulnerabilities in what piactl needs: `python tests/audit.py [LOCK]`.

The exit code is 1 for a known vulnerability. If no advisory service answers, for one package or for all, it
says "no verdict" and exits with 0: pip-audit itself calls that "no known vulnerabilities".
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

PIP_AUDIT = "pip-audit==2.10.1"


def main(lock: str = "requirements.lock") -> int:
    with tempfile.TemporaryDirectory() as folder:
        program = shutil.which("pip-audit") or _installed(folder)
        if program is None:
            print(f"no verdict: {PIP_AUDIT} is not here and cannot be installed")
            return 0
        words = [
            "--disable-pip",
            "--require-hashes",
            "--progress-spinner",
            "off",
            "--format",
            "json",
            "-r",
            lock,
        ]
        done = subprocess.run([program, *words], capture_output=True, text=True, check=False)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        print(f"no verdict: {(done.stderr.strip() or 'pip-audit says nothing').splitlines()[-1]}")
        return 0
    unknown = sorted(package["name"] for package in packages if "skip_reason" in package)
    bad = [(package, vulnerability) for package in packages for vulnerability in package.get("vulns", ())]
    for package, vulnerability in bad:
        fixed = ", ".join(vulnerability["fix_versions"]) or "none yet"
        print(f"{package['name']} {package['version']}: {vulnerability['id']}; mended in {fixed}")
    if unknown:
        print(f"no verdict on {len(unknown)} of {len(packages)} packages: {', '.join(unknown)}")
    elif not bad:
        print(f"no known vulnerability in {len(packages)} packages")
    return 1 if bad else 0


def _installed(folder: str) -> str | None:
    """pip-audit, installed beside the environment of the checkout; None if it cannot be installed."""
    try:
        venv.create(folder, with_pip=True)
        install = [f"{folder}/bin/python", "-m", "pip", "install", "--quiet", PIP_AUDIT]
        subprocess.run(install, check=True, capture_output=True, timeout=300)
    except (OSError, subprocess.SubprocessError):
        return None
    return str(Path(folder) / "bin" / "pip-audit")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
