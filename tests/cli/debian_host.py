"""Clean Debian hosts in one network, each with systemd as its first process, in namespaces.

Where systemd does not boot, because it gets no cgroup, a stand-in of `systemctl` starts programs by their
scripts in /etc/init.d, and the night by the settings of its unit."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .unix_host import Machine

NEEDED = ("mmdebstrap", "dpkg-deb", "unshare", "nsenter", "timeout", "chroot", "ip")
PACKAGES = "slapd slapd-contrib ldap-utils gettext-base openssl"
SECONDS = 3600
"""A host ends by itself then, even if the tests were killed."""

_DOWNLOAD = """
export DEBIAN_FRONTEND=noninteractive; unset TMPDIR
mount -t proc proc /proc
apt-get update
apt-get install -y --download-only /root/piactl_*.deb {packages}
printf 'APT::Get::Assume-Yes "true";\\nDpkg::Options {{"--force-confnew";}};\\n' > /etc/apt/apt.conf.d/answers
echo 'StrictHostKeyChecking accept-new' > /etc/ssh/ssh_config.d/answers.conf
mkdir -p -m 700 /root/.ssh
ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519
cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys
"""
_OWN = r"""
exec >"$folder/said" 2>&1
mkdir "$folder/root" "$folder/upper" "$folder/work" "$folder/cgroup"
mount -t overlay overlay -o "lowerdir=$debian,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
if mount -t cgroup2 cgroup2 "$folder/cgroup" && mkdir -p "$folder/cgroup/$cgroup"; then
    echo $$ > "$folder/cgroup/$cgroup/cgroup.procs"; umount "$folder/cgroup"
fi || true
exec unshare --mount --propagation private --pid --fork --kill-child --net --uts --ipc --cgroup \
    sh -euc "$init"
"""
_INIT = r"""
cd "$folder/root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount --bind proc/sys proc/sys; mount -o remount,bind,ro proc/sys
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do
    touch dev/$device; mount --bind /dev/$device dev/$device; done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
mount -t tmpfs tmpfs dev/shm
ln -s pts/ptmx dev/ptmx; ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin; ln -s fd/1 dev/stdout; ln -s fd/2 dev/stderr
[ "$first" != systemd ] || mount -t cgroup2 cgroup2 sys/fs/cgroup
hostname "$name"; echo "$name" > etc/hostname
mkdir .before; pivot_root . .before; umount -l .before; rmdir .before
[ "$first" != systemd ] || exec env -i container=tests PATH=/usr/sbin:/usr/bin /lib/systemd/systemd --system
ip link set lo up; mkdir /run/lock /run/sshd
exec perl -MIO::Socket::UNIX -e '$SIG{CHLD} = "IGNORE"; $| = 1; umask 0;
    my $syslog = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => "/dev/log") or die;
    print "$line\n" while defined recv($syslog, $line, 65536, 0)' >/var/log/syslog
"""
_BY_HAND = r"""#!/bin/bash
# started as the units say, as far as it goes without systemd
case "$*" in
*piactl-nightly*) ;;
"stop "* | "start "* | "restart "*) exec "/etc/init.d/$2" "$1" ;;
edit*) install -D -m 0644 /dev/stdin "/etc/systemd/system/${!#}.d/override.conf" ;;
esac
case "$*" in
"enable --now piactl-nightly.timer" | "start piactl-nightly.service" | "restart piactl-nightly.timer")
    unit=$(sed -e ':a' -e '/\\$/{N;s/\\\n//;ta' -e '}' /usr/lib/systemd/system/piactl-nightly.service)
    value() { sed -n "s/^$1=//p" <<<"$unit"; }
    touch /run/hidden; chmod 0 /run/hidden
    hide=$(for path in $(value InaccessiblePaths); do
        [ ! -e "${path#-}" ] || echo "mount --bind /run/hidden ${path#-}"; done)
    command=$(value ExecStart); said=0
    unshare --mount --propagation private bash -euc "$hide
        umask $(value UMask)
        exec runuser -u $(value User) -- ${command//\$\$/\$}" >/run/night 2>&1 || said=$?
    echo $said >/run/night.code
    [ $said = 0 ] || logger -p user.alert -t piactl "piactl-nightly.service failed" ;;
esac
"""


def lacking() -> str:
    """What this machine lacks for such hosts; "" if nothing."""
    if os.geteuid() != 0:
        return "only root boots a host"
    missing = [name for name in NEEDED if shutil.which(name) is None]
    return f"not installed: {', '.join(missing)}" if missing else ""


def debian(folder: Path, package: Path) -> Path:
    """A clean Debian of the release of this machine, with the archives that the set-up installs, so that it
    needs no network, and the package in /root."""
    release = re.findall(r"VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text("utf-8"))[0]
    root = folder / "debian"
    _run("mmdebstrap", "--include=ca-certificates,openssh-server", release, root)
    shutil.copy(package, root / "root")
    script = _DOWNLOAD.format(packages=PACKAGES)
    _run("unshare", "--mount", "--pid", "--fork", "chroot", root, "bash", "-euc", script)
    return root


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@dataclass(frozen=True, kw_only=True)
class DebianHost(Machine):
    """`booted` says if systemd is its first process."""

    booted: bool

    def night(
        self, started: str = "systemctl restart piactl-nightly.timer"
    ) -> subprocess.CompletedProcess[str]:
        """The night that the timer catches up once it is started, because the host was off when it was due:
        what it ended with, and wrote into the journal of the system."""
        if not self.booted:
            self.root(started)
            said, code = self.root("cat /run/night"), int(self.root("cat /run/night.code"))
            return subprocess.CompletedProcess(started, code, said, "")
        show = "systemctl show --value piactl-nightly.service"
        before = self.root(f"{show} -p InvocationID")
        stamp = "/var/lib/systemd/timers/stamp-piactl-nightly.timer"
        self.root(f"mkdir -p /var/lib/systemd/timers; touch -d '3 days ago' {stamp}; {started}")
        until = time.monotonic() + self.seconds
        while True:
            state = self.root(f"{show} -p InvocationID -p ActiveState").split()
            if len(state) == 2 and state[1] + "\n" != before and state[0] in ("inactive", "failed"):
                break
            assert time.monotonic() < until, state
            time.sleep(0.1)
        code = int(self.root(f"{show} -p ExecMainStatus"))
        said = self.root(f"journalctl --sync; journalctl -q -o cat _SYSTEMD_INVOCATION_ID={state[1]}")
        return subprocess.CompletedProcess(started, code, said, "")


class Network:
    """The hosts of one test. The first one has the address 192.0.2.5, the others follow."""

    def __init__(self, folder: Path, debian: Path) -> None:
        self.folder, self._debian = folder, debian
        self.hosts: list[DebianHost] = []
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []
        self._systemd = True

    def host(self, name: str) -> DebianHost:
        """Boots a host of this name."""
        host = self._boot(name) if self._systemd else None
        if host is None:
            self._systemd = False
            host = self._boot(name)
        assert host is not None
        number = len(self.hosts) - 1
        if number == 0:
            host.root("ip link add lan type bridge")
        else:
            first = self.hosts[0]
            pair = f"ip link add lan netns {host.pid} type veth peer name lan{number} netns {first.pid}"
            _run("sh", "-c", pair)
            first.root(f"ip link set lan{number} master lan up")
        host.root(
            f"ip address add 192.0.2.{5 + number}/24 dev lan; ip link set lan up; "
            f"echo 127.0.0.1 localhost {name} >/etc/hosts; "
            "echo 192.0.2.5 ldap1.example.org nights.example.org >>/etc/hosts"
        )
        return host

    def _boot(self, name: str) -> DebianHost | None:
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        cgroup = f"piactl-tests-{os.getpid()}-{name}"
        environment = {"folder": str(folder), "debian": str(self._debian), "name": name, "cgroup": cgroup}
        environment |= {"init": _INIT, "first": "systemd" if self._systemd else "sh"}
        limit = ("timeout", "--signal=KILL", str(SECONDS))
        command = ("unshare", "--mount", "--propagation", "private", "sh", "-euc", _OWN)
        process = subprocess.Popen([*limit, *command], env={**os.environ, **environment})
        until = time.monotonic() + 60
        host = None
        while host is None and process.poll() is None and time.monotonic() < until:
            time.sleep(0.1)
            [child, *_] = _children(process.pid) or [0]
            [first, *_] = _children(child) or [0]
            if first:
                every = ("mount", "net", "pid", "uts", "ipc", "cgroup")
                host = DebianHost(first, every, 900, "/", booted=self._systemd)
                host = host if _is_up(host) else None
        if host is None:
            _end(process, folder, cgroup)
            assert self._systemd, (folder / "said").read_text("utf-8")
            return None
        self.hosts.append(host)
        self._running.append((cgroup, process))
        if not host.booted:
            host.root(
                f"cat >/usr/bin/systemctl <<'END'\n{_BY_HAND}END\nchmod 755 /usr/bin/systemctl; "
                "/etc/init.d/ssh start"
            )
        return host

    def end(self) -> None:
        for cgroup, process in reversed(self._running):
            _end(process, self.folder, cgroup)


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]
    except OSError:
        return []


def _is_up(host: DebianHost) -> bool:
    """systemd is degraded without modules of the kernel, which a host in namespaces cannot load."""
    if not host.booted:
        return host.tries("[ -S /dev/log ] && [ ! -e /.before ]").returncode == 0
    return host.tries("systemctl is-system-running --wait").stdout.strip() in ("running", "degraded")


def _end(process: subprocess.Popen[bytes], folder: Path, cgroup: str) -> None:
    """Kills what a host started: with its first process the kernel ends all others."""
    for child in _children(process.pid):
        os.kill(child, signal.SIGKILL)
    process.wait(30)
    # an empty cgroup goes with those below it
    place = folder / "cgroup"
    place.mkdir(exist_ok=True)
    emptied = (
        f"mount -t cgroup2 cgroup2 {place}; cd {place}; find {cgroup} -depth -type d -exec rmdir {{}} +; "
        f"[ ! -e {cgroup} ]"
    )
    for _ in range(50):
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", emptied],
            stderr=subprocess.DEVNULL,
            check=False,
            timeout=30,
        )
        if done.returncode == 0:
            return
        time.sleep(0.1)


@contextmanager
def network(folder: Path, package: Path) -> Iterator[Network]:
    """A network without hosts, for this package of piactl; its hosts end with it."""
    hosts = Network(folder, debian(folder, package))
    try:
        yield hosts
    finally:
        hosts.end()
