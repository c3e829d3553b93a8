"""A release of the files of this checkout."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

TOP = Path(__file__).parents[1]


def done(*command: str | Path) -> str:
    """The output of a command, which has to succeed."""
    ran = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def release_of(checkout: Path) -> Path:
    """Makes a release in a copy without changes, and checks it; returns its Debian package."""
    files = done("git", "-C", TOP, "ls-files", "-coz", "--exclude-standard").split("\0")
    for name in filter(None, files):
        if (TOP / name).exists():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(TOP / name, checkout / name, follow_symlinks=False)
    git = ("git", "-C", checkout, "-c", "user.name=Ida Rollin", "-c", "user.email=ida@example.org")
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "A release")):
        done(*git, *words)
    done(checkout / "examples" / "release")
    dist = checkout / "dist"
    (sbom,) = dist.glob("*.cdx.json")
    named = {(part["name"], part["version"]) for part in json.loads(sbom.read_text())["components"]}
    locked = re.findall(r"(?m)^([\w.-]+)==(\S+)", (TOP / "requirements.lock").read_text())
    assert named == set(locked)
    assert len(list(dist.glob("*.whl"))) == 1
    done("env", "-C", dist, "sha256sum", "--strict", "-c", "SHA256SUMS")
    (checkout / "README.md").write_text("changed")
    refused = subprocess.run([checkout / "examples" / "release"], capture_output=True, text=True, check=False)
    assert (refused.returncode, "has changed" in refused.stderr) == (1, True)
    (package,) = dist.glob("*.deb")
    if shutil.which("lintian"):
        done("lintian", "--fail-on", "error,warning", package)
    return package
