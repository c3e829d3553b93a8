"""A host with real users, real sudo and piactl installed as docs/administration.md says, in namespaces: /etc,
/var and /usr/bin are copies that vanish with it, so nothing is left on the machine; it has an own network."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from piactl.cli.framework.configuration import open_configuration
from piactl.core.credentials.proofs import numen_verifier
from tests.story.academy import Academy

from .command_cases import CLAIRE, NUMEN, load

TOP = Path(__file__).parents[2]
EXAMPLES = TOP / "examples"
NEEDED = (
    "sudo",
    "visudo",
    "script",
    "unshare",
    "nsenter",
    "ip",
    "useradd",
    "systemd-sysusers",
    "systemd-tmpfiles",
)

_OWN = """
ip link set lo up
mkdir -p {layer}
mount -t tmpfs -o mode=755 tmpfs {layer}
over() {{ mkdir -p {layer}/$3-u {layer}/$3-w; chmod --reference="$1" {layer}/$3-u
    mount -t overlay overlay -o "lowerdir=$1,upperdir={layer}/$3-u,workdir={layer}/$3-w" "$2"; }}
over /etc /etc etc; over /var /var var; over /usr/bin /usr/bin bin
mkdir {layer}/opt {layer}/srv; mount --bind {layer}/opt /opt; mount --bind {layer}/srv /srv
mkdir /opt/piactl /opt/source /opt/packages
{open_base}over {base} /opt/piactl python
mount --bind {top} /opt/source; mount --bind {packages} /opt/packages
[ -e /opt/piactl/bin/python ] || ln -s {python} /opt/piactl/bin/python
# before the packages of that Python, which may be older
printf 'import sys; sys.path[:0] = ["/opt/source", "/opt/packages"]\\n' > /opt/piactl/{site}/of-the-tests.pth
install -m 755 {examples}/bin/piactl /usr/bin/piactl
install -D -m 644 {examples}/sysusers/piactl.conf /etc/sysusers.d/piactl.conf
 systemd-sysusers /etc/sysusers.d/piactl.conf
install -D -m 644 {examples}/tmpfiles/piactl.conf /etc/tmpfiles.d/piactl.conf
systemd-tmpfiles --create /etc/tmpfiles.d/piactl.conf
groupadd careless; mkdir /srv/home
person() {{ useradd -m -b /srv/home -G "$2" "$1"; }}
person ope piactl-desk; person eva piactl-desk; person idle piactl-desk,careless
person boss piactl-admin,piactl-approver; person anne piactl-admin; person vera piactl-approver
person portal piactl-portal; person stranger ""
install -d -m 1777 /srv/shared; install -d -o root -g piactl -m 2770 /srv/piactl/feeds
rm -f /etc/sudoers.d/*; install -m 440 {examples}/sudoers/piactl /etc/sudoers.d/piactl
cat > /etc/sudoers.d/tests <<END
# a rule as nobody should write it: with the environment of the caller
%careless ALL = (piactl) NOPASSWD:SETENV: /usr/bin/piactl
END
chmod 440 /etc/sudoers.d/tests; visudo -c
"""


_NO_LOGIN = 2**32 - 1


def load_with_matching_key(academy: Academy) -> None:
    """Loads the academy with two keys for NUMENs, of which the help desk gets one, and the slow verifier that
    Claire gets on the night of her turn."""
    secret = academy.sandbox.folder / "secrets" / "matching"
    secret.write_text("5" * 64, encoding="ascii")
    secret.chmod(0o600)
    academy.edit(
        "piactl.yaml", "state_folder: state\n", "state_folder: state\nmatching_key: secrets/matching\n"
    )
    load(academy)
    keys = open_configuration(academy.sandbox.config).keys
    [salt] = academy.values(CLAIRE, "piactlMatriculeDigest")
    academy.recorded(CLAIRE, piactlNumenVerifier=[numen_verifier(keys, NUMEN, salt)])


def _login(uid: str) -> list[str]:
    """The words before a command that give it a login record, if the kernel allows it."""
    return ["sh", "-c", f'{{ echo {uid} > /proc/self/loginuid; }} 2>/dev/null; exec "$@"', "sh"]


def lacking() -> str:
    """What this machine lacks for such a host; "" if nothing."""
    if os.geteuid() != 0:
        return "only root makes users"
    missing = [name for name in NEEDED if shutil.which(name) is None]
    return f"not installed: {', '.join(missing)}" if missing else ""


@dataclass(frozen=True)
class Machine:
    """`pid` is a process in the namespaces of a host, which a command enters for at most so many seconds.
    People type in `folder`."""

    pid: int
    namespaces: tuple[str, ...] = ("mount", "net")
    seconds: float = 60
    folder: str = "/srv/shared"

    def root(self, script: str, **environment: str) -> str:
        """Runs a script as root on this host; returns its output."""
        done = self.tries(script, **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def tries(self, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs a script as root, which may fail."""
        return self._enter(["bash", "-euc", script], environment)

    def types(
        self,
        caller: str,
        *words: str,
        stdin: str = "",
        environment: Mapping[str, str] = {},
        terminal: bool = False,
        forged_login: str = "",
        out: str = "",
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command as `caller`, as they type it, with `environment` in their shell, on a `terminal` or
        not; its output goes to the file `out`, which they make with mode 0600.

        The caller is logged in as themselves. With `forged_login` they are not logged in, and write the login
        record of a colleague."""
        variables = [f"{name}={value}" for name, value in environment.items()]
        command = [
            *_login(str(_NO_LOGIN) if forged_login else f"$(id -u {caller})"),
            *("runuser", "-u", caller, "--", "env", "-C", self.folder, *variables),
            *(_login(f"$(id -u {forged_login})") if forged_login else ()),
        ]
        typed = list(words)
        if out:
            typed = ["sh", "-c", 'umask 077; file=$1; shift; exec "$@" >"$file"', "sh", out, *typed]
        if terminal:
            piped = f"printf %s {shlex.quote(stdin)} | " if stdin else ""
            shell = piped + shlex.join(typed)
            typed = ["script", "--quiet", "--return", "--command", shell, "/dev/null"]
            stdin = ""
        return self._enter([*command, *typed], {}, stdin)

    def as_root(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs a command as root, without a login record."""
        return self._enter([*_login(str(_NO_LOGIN)), *words], {})

    def service(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs a command as a timer does: as user piactl, without a login record."""
        return self.as_root("runuser", "-u", "piactl", "--", *words)

    def _enter(
        self, command: list[str], environment: Mapping[str, str], stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["nsenter", f"--target={self.pid}", *(f"--{name}" for name in self.namespaces), "--", *command],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=self.seconds,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", **environment},
            check=False,
        )

    def secrets(self) -> dict[str, str]:
        """The files of passwords and keys of this host, with their content."""
        names = self.root("find /etc/piactl/secrets -type f").split()
        return {name: self.root(f"cat {name}") for name in sorted(names)}


@dataclass(frozen=True, kw_only=True)
class Host(Machine):
    """`academy` is the directory that this host administers."""

    academy: Academy


@contextmanager
def unix_host(academy: Academy) -> Iterator[Host]:
    """A host for this academy. Skips the test if this machine cannot have one."""
    why = lacking()
    if why:
        pytest.skip(why)
    process = subprocess.Popen(
        ["unshare", "--mount", "--net", "--propagation", "private", "sh", "-c", "echo ready; exec sleep 600"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            pytest.skip("this machine gives no mount namespace")
        host = Host(process.pid, academy=academy)
        host.root(_script(academy.sandbox.folder / "layer"))
        _configure(host)
        yield host
    finally:
        process.kill()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()
        shutil.rmtree(academy.sandbox.folder / "layer", ignore_errors=True)


def _script(layer: Path) -> str:
    base = Path(sys.base_prefix).resolve()
    return _OWN.format(
        layer=layer,
        base=base,
        open_base=_opened(base),
        top=TOP,
        packages=sysconfig.get_path("purelib"),
        python=Path(os.path.realpath(sys.executable)).name,
        site=_site(base),
        examples=EXAMPLES,
    )


def _opened(base: Path) -> str:
    """The commands that let every user read the library of a Python in a closed home; "" for another."""
    shut = [str(path) for path in base.parents if not path.stat().st_mode & 0o001]
    home = Path(*base.parts[:2])
    return f"over {home} {home} home; chmod o+x {' '.join(shut)}\n" if shut else ""


def _site(base: Path) -> str:
    """The site-packages folder of the Python below /opt/piactl."""
    name = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    return name if (base / name).is_dir() else "lib/python3/dist-packages"


def _configure(host: Host) -> None:
    """Installs the sandbox's configuration, as docs/administration.md says."""
    folder = host.academy.sandbox.folder
    for path in (folder, folder / "slapd"):
        path.chmod(0o711)  # every user of the host uses its socket
    text = (folder / "piactl.yaml").read_text("utf-8")
    text = text.replace("journal: journal/piactl.jsonl", "journal: /var/log/piactl/journal.jsonl")
    text = text.replace("state_folder: state", "state_folder: /var/lib/piactl")
    host.root(f"cat > /etc/piactl/piactl.yaml <<'END'\n{text}\nEND")
    host.root(
        f"""
        cp {folder}/policy.yaml {folder}/establishments.csv /etc/piactl/
        chgrp piactl /etc/piactl/*.*; chmod 640 /etc/piactl/*.*
        for name in reader nightly desk administrator approver keys matching; do
            [ ! -e {folder}/secrets/$name ] ||
                install -o piactl -g piactl -m 600 {folder}/secrets/$name /etc/piactl/secrets/; done
        cp {host.academy.folder}/hr.csv /srv/piactl/feeds/; chmod 644 /srv/piactl/feeds/hr.csv
        """
    )
