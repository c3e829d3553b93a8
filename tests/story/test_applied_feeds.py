"""Feeds that a night has applied are moved out of the folder of feeds, by the shipped examples."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from tests.aaf_sets import Agent, files, folder, individual, sts, tarred, zipped
from tests.cli.streams import shared_forks
from tests.outside import civil_today

from .academy import Academy
from .feeds import row, text

CLAIRE = Agent("500", ("4077$ENS",))
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def setting(unit: str, name: str) -> str:
    """The only value of a setting of a unit file."""
    content = (EXAMPLES / "systemd" / unit).read_text(encoding="utf-8").replace("\\\n", " ")
    [value] = [line.partition("=")[2] for line in content.splitlines() if line.startswith(f"{name}=")]
    return value


def command_line(unit: str) -> list[str]:
    """The words that systemd starts, as it reads the line."""
    return shlex.split(setting(unit, "ExecStart").replace("$$", "$").replace("%%", "%"))


def cron_line() -> str:
    lines = (EXAMPLES / "cron" / "piactl").read_text(encoding="utf-8").splitlines()
    [line] = [line for line in lines if line[:1].isdigit()]
    *_, command = line.split(maxsplit=6)[5:]
    return command


class Host:
    """The folders of the examples below a folder of the test, and a `piactl` that uses the sandbox."""

    def __init__(self, academy: Academy, folder: Path) -> None:
        self.academy, self.folder = academy, folder
        self.feeds, self.applied = folder / "feeds", folder / "applied"
        for made in (self.feeds, self.applied, folder / "bin"):
            made.mkdir()
        state = academy.sandbox.folder / "state"
        self._places = {
            "/srv/piactl": str(folder),
            "/var/lib/piactl": str(state),
            "/usr/bin/piactl": "piactl",
        }
        shared_forks().program(folder / "bin" / "piactl")

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        for place, here in self._places.items():
            command = [word.replace(place, here) for word in command]
        path = f"{self.folder / 'bin'}:/usr/bin:/bin"
        return subprocess.run(
            command,
            env={**self.academy.environment(), "PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd="/",
        )

    def timer(self) -> int:
        """Runs the night like systemd."""
        night = self.run(command_line("piactl-nightly.service"))
        assert "Traceback" not in night.stderr, night.stderr
        return night.returncode

    def meanwhile(self, script: str) -> None:
        """A hook that runs this script in the folder of the feeds at the end of the night."""
        hook = self.academy.sandbox.folder / "hook"
        hook.write_text(f"#!/bin/sh\nset -e\ncd {shlex.quote(str(self.feeds))}\n{script}")
        hook.chmod(0o755)
        own = f"hooks: {{changes: [{{kinds: [create], run: [{hook}]}}]}}\n"
        self.academy.edit("piactl.yaml", "\njournal: ", f"\n{own}journal: ")

    def cron(self) -> int:
        return self.run(["/bin/sh", "-c", cron_line()]).returncode

    def deliver(self, name: str, *rows: str, day: str) -> Path:
        file = self.feeds / name
        file.write_text(text(rows or [row()], day), encoding="utf-8")
        return file


@pytest.fixture
def host(academy: Academy, tmp_path: Path) -> Host:
    academy.sources(hr="kind: full", more="kind: full")
    (tmp_path / "srv").mkdir()
    return Host(academy, tmp_path / "srv")


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))  # noqa: PTH208


DAYS = [(civil_today("Europe/Paris") + timedelta(days=ago)).isoformat() for ago in (-2, -1, 0)]
"""The days of the feeds: the commands of the examples give no date."""


@pytest.mark.parametrize("run", [Host.timer, Host.cron], ids=["timer", "cron"])
def test_what_a_good_night_applied_is_moved(host: Host, run: Callable[[Host], int]) -> None:
    content = host.deliver("hr-1.csv", day=DAYS[0]).read_bytes()
    host.deliver("more-of the day.csv", row(matricule="2001", prenom="Ida"), day=DAYS[0])
    (host.feeds / ".hr-2.csv").write_text("not yet whole")
    (host.applied / "hr-1.csv").write_text("of an earlier day")
    assert run(host) == 0
    assert names(host.feeds) == [".hr-2.csv"]
    assert names(host.applied) == ["hr-1.csv", "hr-1.csv.~1~", "more-of the day.csv"]
    assert (host.applied / "hr-1.csv").read_bytes() == content
    assert (host.applied / "hr-1.csv.~1~").read_text() == "of an earlier day"
    assert run(host) == 0  # a night without feeds
    assert len(names(host.applied)) == 3


def test_sets_of_several_files_move_as_a_whole(host: Host) -> None:
    """Folders, and archives with their .md5. A folder in which a file was changed or added since stays."""
    own = [f'  {form}: {{format: {form}, role: supplement, namespace: {form}, files: ["{files}"]}}\n'
           for form, files in (("aaf", "ENT*"), ("sts", "sts_emp_*"))]  # fmt: skip
    host.academy.edit("piactl.yaml", "\n  hr: {", "\n" + "".join(own) + "  hr: {")
    host.deliver("hr-1.csv", day=DAYS[1])
    day, school = DAYS[1].replace("-", ""), "0800009A"
    set_folder = folder(host.feeds / f"ENT2DVA_Complet_{day}", files([CLAIRE], day, pieces=3))
    part = files([CLAIRE], day, name=f"ENT_{school}", schools={"4077": school})
    archive = tarred(host.feeds / f"ENT_{school}_Complet_{day}.tgz", part)
    posts = zipped(host.feeds / f"sts_emp_{school}_2026.zip", sts(individual("7001")))
    for path in (archive, posts):
        digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        Path(f"{path}.md5").write_text(f"{digest}  {path.name}\n")
    pieces = names(set_folder)
    older = host.applied / set_folder.name
    older.mkdir()
    assert host.timer() == 0
    assert names(host.feeds) == []
    moved = [set_folder.name, f"{set_folder.name}.~1~", "hr-1.csv"]
    moved += [f"{path.name}{suffix}" for path in (archive, posts) for suffix in ("", ".md5")]
    assert names(host.applied) == sorted(moved)
    assert names(host.applied / set_folder.name) == pieces
    assert len(pieces) == 4
    next_day = DAYS[2].replace("-", "")
    following = [
        folder(host.feeds / f"ENT2DVA_Complet_{next_day}", files([CLAIRE], next_day)),
        folder(host.feeds / f"ENT_{school}_Complet_{next_day}", files(
            [CLAIRE], next_day, name=f"ENT_{school}", schools={"4077": school}
        )),
    ]  # fmt: skip
    host.meanwhile(f"echo '<x/>' >'{following[0]}/late.xml'\necho '<x/>' >'{next(following[1].iterdir())}'\n")
    newcomer = row(matricule="2001", prenom="Ida")
    host.deliver("hr-2.csv", row(), newcomer, day=DAYS[2])
    assert host.timer() == 0
    assert names(host.feeds) == [path.name for path in following]


def test_a_feed_that_adds_nothing_is_moved_too(host: Host) -> None:
    host.deliver("hr-1.csv", day=DAYS[0])
    assert host.timer() == 0
    host.deliver("hr-1\nagain.csv", day=DAYS[0])
    assert host.timer() == 0
    assert names(host.feeds) == []
    assert names(host.applied) == ["hr-1\nagain.csv", "hr-1.csv"]


def test_after_a_refused_night_all_feeds_stay(host: Host) -> None:
    """One that ends with 5 because somebody is newly held was applied."""
    host.deliver("hr-1.csv", day=DAYS[1])
    assert host.timer() == 0
    host.deliver("hr-2.csv", day=DAYS[0])
    assert host.timer() == 6
    assert names(host.feeds) == ["hr-2.csv"]
    host.academy.edit("piactl.yaml", "strict: false", "strict: true")
    wrong = row(matricule="1002", prenom="Hugo", nom_famille="Vasseur", debut="30/02/2026")
    host.deliver("hr-2.csv", row(), wrong, day=DAYS[2])
    assert host.timer() == 5
    assert names(host.feeds) == []
    assert names(host.applied) == ["hr-1.csv", "hr-2.csv"]


def test_what_was_applied_beside_a_refused_feed_is_moved(host: Host) -> None:
    """If it stayed there, later nights would refuse it as older."""
    host.academy.edit("piactl.yaml", "any_date: true", "continue: [hr]\nany_date: true")
    ida = row(matricule="2001", prenom="Ida")
    (host.feeds / "hr-1.csv").write_bytes(b"")
    host.deliver("more-1.csv", ida, day=DAYS[1])
    assert host.timer() == 6
    assert names(host.feeds) == ["hr-1.csv"]
    assert names(host.applied) == ["more-1.csv"]
    host.deliver("hr-1.csv", day=DAYS[2])
    host.deliver("more-2.csv", ida, day=DAYS[2])
    assert host.timer() == 0
    assert names(host.applied) == ["hr-1.csv", "more-1.csv", "more-2.csv"]


def test_what_arrived_meanwhile_stays(host: Host) -> None:
    """It stays under a new name, and under the name of an applied feed, whatever the times of the files."""
    applied = host.deliver("hr-1.csv", day=DAYS[0])
    host.deliver("more-1.csv", row(matricule="2001", prenom="Ida"), day=DAYS[0])
    host.meanwhile(
        "cp -p more-1.csv time; sed -i s/Ida/Ada/ more-1.csv; touch -r time more-1.csv; mv time more-2.csv\n"
    )
    assert host.timer() == 0
    assert names(host.feeds) == ["more-1.csv", "more-2.csv"]
    assert names(host.applied) == [applied.name]


def test_a_move_that_fails_is_a_failure(host: Host) -> None:
    host.deliver("hr-1.csv", day=DAYS[0])
    host.applied.rmdir()
    night = host.run(command_line("piactl-nightly.service"))
    assert (night.returncode, "was applied, and cannot be moved" in night.stderr) == (5, True), night
    assert names(host.feeds) == ["hr-1.csv"]


def test_timer_and_cron_run_the_same_command() -> None:
    _, _, script = command_line("piactl-nightly.service")
    night = " ".join(script.split()).replace("exec /usr/bin/piactl", "piactl")
    assert cron_line() == f"umask 077; {night}"
