"""The Debian package is built and installed on a clean Debian, and its steps set up a new directory there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
NEEDED = ("dpkg-deb", "mmdebstrap", "unshare", "chroot")
MOUNTED = "mount -t proc proc /proc; mount -t tmpfs tmpfs /run\n"
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


@pytest.mark.long
def test_the_package_installs_and_works_on_a_clean_debian(tmp_path: Path) -> None:
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"needs root, and {' '.join(NEEDED)}")

    def done(*command: str | Path, seconds: int = 1800) -> str:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    built = done(TOP / "examples" / "deb" / "build")
    deb = TOP / "dist" / re.findall(r"dist/(\S+\.deb)", built)[0]
    release = re.findall(r"VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text())[0]
    root = tmp_path / "root"
    done("mmdebstrap", "--variant=minbase", "--include=systemd", release, root)
    shutil.copy(deb, root / "tmp")
    inside = ("unshare", "--mount", "--pid", "--fork", "chroot", root, "bash", "-euc")
    done(*inside, MOUNTED + INSTALLED)
    for name in ("usr/bin/piactl", "usr/share/man/man1/piactl.1.gz", "etc/logrotate.d/piactl"):
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
    assert len(findings) > 50
    errors = {line[0] for line in findings if "error" in line[:4]}
    assert errors == {"D50"}, "there is no syslog"
