"""The cases of the bench, each with its references."""

from __future__ import annotations

import itertools
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from bench.contests import Contender, Contest, Goal, Say, hold, profile
from bench.measuring import measure
from bench.populations import FIRST, RENTREE, SOME_CHANGES, Population
from bench.prepared import prepare
from bench.requests import EVERYTHING, OWN_ACCOUNTS, Changes, changes_of_dump, changes_of_plan
from bench.servers import TOLD, Server, load_quickly
from piactl.sandbox.folder import ACCOUNTS

CASES = (
    "load",
    "quiet",
    "half",
    "rentree",
    "commands",
    "lists",
    "rehearsal",
    "set",
    "set-plan",
)
"""The cases, in the order in which they run."""

LARGE = 100_000
"""From this number of people on, slapadd makes the directory, and cases that restore it are left out."""

PIACTL = str(Path(sys.executable).with_name("piactl"))
REHEARSED = 20
_EACH_COMMAND = 5

QUIET = "piactl nightly"
DUMP = "ldapsearch, all attributes"
NARROW = "ldapsearch, three attributes"
VERSION = "piactl --version"
_NOTHING = "python -c pass"


@dataclass(slots=True)
class Bench:
    """One population on one directory, `runs` rounds of each case; `folder` is for files."""

    population: Population
    server: Server
    runs: int
    folder: Path
    say: Say
    profiled: bool = False
    goals_only: bool = False
    """Leaves out contenders that no goal needs."""
    _kept: set[str] = field(default_factory=set)

    @property
    def large(self) -> bool:
        return self.population.people >= LARGE

    def contest(self, case: str, reference: str, contenders: Sequence[Contender], rounds: int = 1) -> Contest:
        contest = Contest(case, TOLD[self.server.kind], self.population.people, reference)
        if self.goals_only:
            beside = {reference}.union(*(contender.goal.beside for contender in contenders if contender.goal))
            contenders = [contender for contender in contenders if contender.goal or contender.name in beside]
        hold(contest, contenders, self.runs * rounds, self.log, self.server, self.say)
        if self.profiled:
            profile(contest, contenders, PIACTL, self.log, self.server, self.say)
        return contest

    @property
    def log(self) -> Path:
        return self.folder / "output"

    # States of the directory to start from

    def empty(self) -> None:
        """No account."""
        self._state("empty", lambda: None)

    def loaded(self) -> None:
        """After the first load, which also leaves what the host knows of each account."""
        self._state("loaded", self._load)

    def settled(self) -> None:
        """After the first night that follows the load and has nothing to do: that night compares everything
        that the load wrote with the journal."""
        self._state("settled", self._settle)

    def ordinary(self) -> None:
        """`settled` and one more night with nothing to do."""
        self.settled()
        measure(_quiet_night(self), self.log, self.server)

    def keep_loaded(self) -> None:
        if "loaded" not in self._kept:
            self._kept.add("loaded")
            self.server.keep("loaded")

    def _state(self, name: str, make: Callable[[], None]) -> None:
        if name in self._kept:
            self.server.go_back(name)
            return
        make()
        self._kept.add(name)
        self.server.keep(name)

    def _load(self) -> None:
        if "empty" in self._kept:
            self.server.go_back("empty")
        self.say(f"  loading {self.population.people:,} people")
        measure(nightly(self.population.first, FIRST), self.log, self.server)

    def _settle(self) -> None:
        self.loaded()
        measure(_quiet_night(self), self.log, self.server)

    def fill(self) -> None:
        """Makes all accounts; for sizes at which nothing is put back."""
        if not self.large:
            self.loaded()
            return
        self.say(f"  making the entries of {self.population.people:,} people")
        ldif = self.folder / "prepared.ldif"
        prepare(self.server, self.population.first, FIRST, ldif)
        self.say(f"  slapadd of {self.population.people:,} people")
        load_quickly(self.server, ldif)
        ldif.unlink()


def nightly(feed: Path | None, day: object) -> list[str]:
    return [PIACTL, "nightly", *([str(feed)] if feed else []), "--as-of", str(day)]


def load(bench: Bench) -> Contest:
    """From a feed to a directory that had nobody, and a finished journal."""
    changes: list[Changes] = []

    def loaded() -> None:
        if not changes:
            changes.append(changes_of_dump(bench.server, bench.folder / "load"))
            bench.keep_loaded()

    goal = Goal(1.35) if bench.server.kind == "accesslog" else None
    mine = Contender(
        "piactl nightly", lambda: nightly(bench.population.first, FIRST), bench.empty, loaded, goal
    )
    reference = _tool(bench, "ldapadd", lambda: changes[0], bench.empty)
    return bench.contest("first load", "ldapadd", [mine, reference])


def quiet(bench: Bench) -> Contest:
    """HR says the same about everybody as last night."""
    bench.fill()
    narrow = Contender(NARROW, lambda: bench.server.tool("ldapsearch", *_everything(*_STAMP)))
    dump = Contender(DUMP, lambda: bench.server.tool("ldapsearch", *_everything()))
    loaded = Contender("piactl nightly, first after the load", lambda: _quiet_night(bench), bench.loaded)
    unknown = Contender(
        "piactl nightly, without night.db", lambda: _quiet_night(bench), lambda: _forget(bench.server)
    )
    after = Contender(
        QUIET,
        lambda: _quiet_night(bench),
        lambda: _night_before(bench) if bench.large else bench.ordinary(),
        goal=Goal(3.5, "cpu beyond", quiet=True, beside=(NARROW,)),
    )
    # a large directory is not restored to the state after the load
    nights = [unknown, after] if bench.large else [loaded, unknown, after]
    return bench.contest("nothing to do", NARROW, [narrow, dump, *nights])


def half(bench: Bench) -> Contest:
    """An ordinary night: 0.5 % of the people changed, and what the date makes due."""
    calm = Contender(f"{QUIET}, nothing to do", lambda: _quiet_night(bench), bench.ordinary)
    feed = bench.population.some_changes
    changes = _planned(bench, feed, SOME_CHANGES, "half")
    goal = Goal(1, "beyond", beside=(calm.name, "ldapmodify"))
    mine = Contender(QUIET, lambda: nightly(feed, SOME_CHANGES), bench.ordinary, goal=goal)
    modify = _tool(bench, "ldapmodify", lambda: changes, bench.ordinary)
    return bench.contest("0.5 % changes", calm.name, [calm, mine, modify])


def rentree(bench: Bench) -> Contest:
    """1 September: moves, arrivals, ends."""
    feed = bench.population.rentree
    changes = _planned(bench, feed, RENTREE, "rentree")
    goal = Goal(1.3)
    mine = Contender(QUIET, lambda: nightly(feed, RENTREE), bench.settled, goal=goal)
    modify = _tool(bench, "ldapmodify", lambda: changes, bench.settled)
    return bench.contest("1 September", "ldapmodify", [mine, modify])


def commands(bench: Bench) -> Contest:
    """What somebody at a terminal waits for."""
    if not bench.large:
        bench.loaded()
    everybody = bench.server.ask(ACCOUNTS, OWN_ACCOUNTS, "uid")
    uid = sorted(line.split()[1] for line in itertools.islice(everybody, 400) if line.startswith("uid:"))[0]
    arguments = ["-LLL", "-b", f"uid={uid},{ACCOUNTS}", "-s", "base", "(objectClass=*)", *EVERYTHING]

    def contender(name: str, limit: float | None, words: Sequence[str]) -> Contender:
        return Contender(name, lambda: words, goal=Goal(limit, what="cpu") if limit else None)

    contenders = [
        contender(_NOTHING, None, [sys.executable, "-c", "pass"]),
        contender("ldapsearch of one entry", None, bench.server.tool("ldapsearch", *arguments)),
        contender(VERSION, None, [PIACTL, "--version"]),
        contender("piactl --help", None, [PIACTL, "--help"]),
        contender("completion of a word", None, [PIACTL, "--complete", "account", "sh"]),
        contender("piactl account show", 0.400, [PIACTL, "account", "show", uid]),
        contender("piactl why ACCOUNT", 0.400, [PIACTL, "why", uid]),
        contender("piactl why ACCOUNT iprof", 0.400, [PIACTL, "why", uid, "iprof"]),
    ]
    return bench.contest("commands", _NOTHING, contenders, _EACH_COMMAND)


def lists(bench: Bench) -> Contest:
    """All accounts as data for other programs; and `doctor`, just after the load."""
    if not bench.large:
        bench.loaded()
    dump = Contender(DUMP, lambda: bench.server.tool("ldapsearch", *_everything()))
    words = [PIACTL, "account", "list", "-o", "ndjson"]
    listing = Contender("piactl account list -o ndjson", lambda: words, goal=Goal(3.5))
    # it exits with 1 if something is wrong, which is so in every sandbox
    examined = ["sh", "-c", '"$0" doctor || [ $? = 1 ]', PIACTL]
    doctor = Contender("piactl doctor", lambda: examined, goal=Goal(3, "cpu", memory=150))
    return bench.contest("lists", DUMP, [dump, listing, doctor])


def rehearsal(bench: Bench) -> Contest:
    """The first load and REHEARSED nights after it on a private slapd, beside the first load alone."""
    feeds = bench.folder / "rehearsed-feeds"
    last = bench.population.nights(REHEARSED, feeds)

    def contender(name: str, until: date, goal: Goal | None = None) -> Contender:
        out = bench.folder / "rehearsed"
        words = [PIACTL, "rehearse", "--approve", "--feeds", str(feeds), "--out", str(out), "-o", "ndjson"]
        words += ["--days", f"{FIRST}..{until}"]
        return Contender(name, lambda: words, after=lambda: shutil.rmtree(out), goal=goal)

    first = contender("rehearse, the first load", FIRST)
    nights = contender(f"rehearse, {REHEARSED} more nights", last, Goal(2.0, "all", memory=1024))
    contest = bench.contest("rehearsal", first.name, [first, nights])
    shutil.rmtree(feeds)
    return contest


def national(bench: Bench) -> Contest:
    """A set of AAF, read beside the same people as CSV."""
    return _beside_csv(bench, "a set, read", "feed", "check")


def national_plan(bench: Bench) -> Contest:
    """The plan of the first night with a set, beside the plan with the same people as CSV."""
    return _beside_csv(bench, "a set, planned", "plan", "--as-of", str(FIRST))


def _beside_csv(bench: Bench, case: str, *command: str) -> Contest:
    bench.empty()
    feed, files = bench.population.same_as_csv_and_aaf()
    before, _, after = (bench.server.home / "piactl.yaml").read_text(encoding="utf-8").partition("  hr: {")
    sources = '  rh: {kind: full, files: ["same-*"]}\n  aaf: {format: aaf, files: ["ENT*"]}\n'
    config = bench.server.home / "national.yaml"
    config.write_text(before + sources + after.partition("\n")[2], encoding="utf-8")

    def contender(name: str, path: Path, goal: Goal | None = None) -> Contender:
        # two invented people may have the same number: they are held (5)
        words = ["sh", "-c", '"$0" "$@" || [ $? = 5 ]', PIACTL, "--config", str(config), *command, str(path)]
        return Contender(name, lambda: words, goal=goal)

    goal = Goal(3.0, "all", memory=1024)
    return bench.contest(case, "CSV", [contender("CSV", feed), contender("AAF", files, goal)])


RUN = {
    "set": national,
    "set-plan": national_plan,
    "load": load,
    "lists": lists,
    "rehearsal": rehearsal,
    "quiet": quiet,
    "half": half,
    "rentree": rentree,
    "commands": commands,
}


def _tool(bench: Bench, tool: str, changes: Callable[[], Changes], before: Callable[[], None]) -> Contender:
    """The same changes by a tool of OpenLDAP, with the rights of the run lock."""

    def locked() -> None:
        before()
        bench.server.hold_lock()

    return Contender(tool, lambda: bench.server.tool(tool, "-f", str(changes().ldif)), locked)


def _planned(bench: Bench, feed: Path, day: object, name: str) -> Changes:
    """What a plan of that night would write."""
    bench.settled()
    plan = bench.folder / f"{name}.json"
    words = [PIACTL, "plan", str(feed), "--as-of", str(day), "--out", str(plan)]
    measure(words, bench.log, bench.server)
    return changes_of_plan(plan, bench.folder / name)


def _quiet_night(bench: Bench) -> list[str]:
    return nightly(bench.population.again(), FIRST)


_STAMP = ("uid", "supannEmpId", "entryCSN")


def _everything(*attributes: str) -> list[str]:
    return ["-LLL", "-o", "ldif-wrap=no", "-b", ACCOUNTS, OWN_ACCOUNTS, *(attributes or EVERYTHING)]


def _night_before(bench: Bench) -> None:
    measure(_quiet_night(bench), bench.log, bench.server)


def _forget(server: Server) -> None:
    (server.home / "state" / "night.db").unlink(missing_ok=True)
