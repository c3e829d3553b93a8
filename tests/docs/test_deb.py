"""A release is made by one command; its Debian package is installed on a clean Debian, and its steps set up a
new directory there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from piactl.doctor.checks import CHECKS

TOP = Path(__file__).parents[2]
NEEDED = ("dpkg-deb", "mmdebstrap", "unshare", "chroot")
MOUNTED = "unset TMPDIR; mount -t proc proc /proc; mount -t tmpfs tmpfs /run\n"
INSTALLED = """
export DEBIAN_FRONTEND=noninteractive
# no systemd runs here
printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d
cat >/usr/local/bin/systemctl <<'END'
#!/bin/sh
[ "$*" != "restart slapd" ] || slapd -h ldapi:/// -u openldap -g openldap
END
chmod +x /usr/sbin/policy-rc.d /usr/local/bin/systemctl
apt-get update
apt-get install -y --no-install-recommends /tmp/*.deb slapd slapd-contrib ldap-utils gettext-base openssl sudo
"""
STEPS = """
install -d -o openldap /run/slapd
/usr/share/piactl/new-directory ou=ac-amiens,ou=education,o=gouv,c=fr
piactl doctor -o tsv || [ $? = 1 ]
runuser -u piactl -- piactl nightly
visudo -c
"""


COMPLETIONS = (
    "bash-completion/completions/piactl",
    "zsh/vendor-completions/_piactl",
    "fish/vendor_completions.d/piactl.fish",
)


def release_of(checkout: Path, done: Callable[..., str]) -> Path:
    """Makes a release of the files of this checkout in a copy without changes; returns its folder."""
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
    return dist


def test_the_package_has_what_the_page_loads_for_applications() -> None:
    page = (TOP / "docs" / "consumers.md").read_text("utf-8")
    build = (TOP / "examples" / "deb" / "build").read_text("utf-8")
    (copied,) = re.findall(r"cp -r examples/\{(.*)\} ", build)
    assert {*re.findall(r"-f examples/(\w+)/", page)} == {"consumers"} <= {*copied.split(",")}


@pytest.mark.long
def test_the_package_installs_and_works_on_a_clean_debian(tmp_path: Path) -> None:
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"needs root, and {' '.join(NEEDED)}")

    def done(*command: str | Path, seconds: int = 1800) -> str:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    dist = release_of(tmp_path / "checkout", done)
    (deb,) = dist.glob("*.deb")
    if shutil.which("lintian"):
        done("lintian", "--fail-on", "error", deb)
    release = re.findall(r"VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text())[0]
    root = tmp_path / "root"
    done("mmdebstrap", "--variant=minbase", "--include=systemd", release, root)
    shutil.copy(deb, root / "tmp")
    inside = ("unshare", "--mount", "--pid", "--fork", "chroot", root, "bash", "-euc")
    done(*inside, MOUNTED + INSTALLED)
    completions = tuple(f"usr/share/{name}" for name in COMPLETIONS)
    for name in ("usr/bin/piactl", "usr/share/man/man1/piactl.1.gz", "etc/logrotate.d/piactl", *completions):
        assert (root / name).is_file(), name
    units = root / "usr" / "lib" / "systemd" / "system"
    assert {unit.name for unit in (TOP / "examples" / "systemd").iterdir()} <= {
        unit.name for unit in units.iterdir()
    }
    assert not list((root / "etc" / "systemd" / "system").rglob("piactl*")), (
        "the timer waits for its configuration"
    )
    output = done(*inside, MOUNTED + STEPS)
    findings = [line.split("\t") for line in output.splitlines() if re.match(r"D\d\d\t", line)]
    assert {line[0] for line in findings} == CHECKS.keys()
    errors = {line[0] for line in findings if "error" in line[:4]}
    assert errors == {"D50"}, "there is no syslog"
