"""One invented population as HR's CSV, as AAF and as both; and a year of nights of AAF beside HR. Both in a
directory in memory, and on a real slapd by the command of the night.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from zlib import crc32

import pytest

from piactl.cli.framework.configuration import Configuration, open_configuration
from piactl.cli.framework.open_directory import reading
from piactl.core.model.account import Account
from piactl.core.model.person import Assignment
from piactl.directory.interfaces import Reader
from piactl.directory.store.account_entries import Entry, read_accounts
from piactl.feed.read_feed import read_feed
from piactl.planning.merge_feeds import SourcedFeed
from tests.planning import managed_accounts, plan_at_once

from .academy import Academy
from .population import TOP, Night, write_feeds
from .rehearsal import Rehearsal
from .test_ordinary_year import nights as ordinary_nights

from invented.national import jointure, write_set  # type: ignore[import-not-found]  # isort: skip

FIRST, RENTREE = date(2026, 8, 20), date(2026, 9, 2)
LIMITS = "limits: {known_floor: 200, known_share: 0.8}"
SUPPLEMENT = f"  aaf: {{format: aaf, role: supplement, namespace: aaf, {LIMITS}}}\n"
"""AAF knows only the people with a post that HR lacks: they are few, so a share means nothing, and on 31
August more than a tenth of these posts end together."""
ALONE = "  aaf: {format: aaf}\n"


def by_matricule(reader: Reader, site: Configuration) -> dict[str, Account]:
    """The accounts by the matricule of HR or AAF."""
    accounts = (
        entry.account for entry in read_accounts(*managed_accounts(reader, site)) if isinstance(entry, Entry)
    )
    return {account.matricule: account for account in accounts if account.matricule is not None}


class Fed(Rehearsal):
    """A rehearsal whose sources are HR, AAF or both."""

    def __init__(self, folder: Path, register: Path, aaf: str = "", *, hr: bool = True) -> None:
        folder.mkdir()
        super().__init__(folder, register)
        file = folder / "piactl.yaml"
        before, sources, own = file.read_text(encoding="utf-8").partition("sources:\n")
        file.write_text(before + sources + (own if hr else "") + aaf, encoding="utf-8")
        self.site = open_configuration(file)

    def night(self, feeds: Sequence[Path], day: date) -> dict[str, Account]:
        """Runs a night; returns the accounts after it."""
        sourced = []
        for path in feeds:
            source = self.site.settings.sources["aaf" if path.name.startswith("ENT") else "rh"]
            sourced.append(SourcedFeed(read_feed(path, source), source, path))
        self.make(plan_at_once(self.directory, self.site, sourced, day), day)
        return by_matricule(self.directory, self.site)


class Served:
    """The same on a server, with guards that few people cannot break."""

    def __init__(self, academy: Academy, register: Path, aaf: str = "", *, hr: bool = True) -> None:
        self.academy = academy
        shutil.copy(register, academy.sandbox.folder / "establishments.csv")
        own = '  rh: {kind: full, files: ["rh-*.csv"]}\n' if hr else ""
        academy.edit("piactl.yaml", '  hr: {kind: full, files: ["*.csv"]}\n', own + aaf)
        shutil.copy(TOP / "examples" / "policy.yaml", academy.sandbox.folder)
        academy.allow_up_to(1000)
        self.site = open_configuration(academy.sandbox.config)

    def night(self, feeds: Sequence[Path], day: date) -> dict[str, Account]:
        named = [f"{'aaf' if path.name.startswith('ENT') else 'rh'}={path}" for path in feeds]
        self.academy.night(day.isoformat(), *named)
        with reading(self.site) as reader:
            return by_matricule(reader, self.site)


Way = Callable[..., "Fed | Served"]
"""Makes a directory from a name, a register and the settings of AAF."""


@pytest.fixture
def ways(request: pytest.FixtureRequest, tmp_path: Path) -> Way:
    """A way to make directories: on a server if the test asks for `server`, otherwise in memory."""

    def served(name: str, *settings: object, **options: bool) -> Served:
        academy = request.getfixturevalue("make_academy")()
        academy.folder = tmp_path / name
        academy.folder.mkdir()
        return Served(academy, *settings, **options)

    def fed(name: str, *settings: object, **options: bool) -> Fed:
        return Fed(tmp_path / name, *settings, **options)

    return served if "server" in request.node.callspec.id else fed


def on(account: Account, day: date, places: frozenset[str]) -> frozenset[tuple[str, str]]:
    return frozenset((a.uai, a.function) for a in account.assignments if a.covers(day) and a.uai in places)


def of_second_degree(register: Path) -> frozenset[str]:
    with register.open(encoding="utf-8", newline="") as file:
        return frozenset(row["uai"] for row in csv.DictReader(file, delimiter=";") if row["degre"] == "2D")


@pytest.mark.parametrize(
    "people", [pytest.param(150, id="memory", marks=pytest.mark.long), pytest.param(40, id="server")]
)
def test_csv_aaf_and_both_make_equal_accounts_of_a_population(tmp_path: Path, ways: Way, people: int) -> None:
    nights = [
        Night(1, FIRST, FIRST, "first"),
        Night(2, RENTREE, RENTREE - timedelta(days=1), "rentree", 0.095, 0.025),
        # two nights, so that the ends of the rentrée are confirmed
        *(Night(n, RENTREE + timedelta(days=n), RENTREE, "ordinary", 0.0, 0.0) for n in (3, 4)),
    ]
    feeds = write_feeds(tmp_path / "feeds", people, 1, nights, None)
    register = tmp_path / "feeds" / "establishments.csv"
    places = of_second_degree(register)
    sets = [write_set("aaf", feed.path, tmp_path / "aaf", feed.night.day, register) for feed in feeds]
    directories = {
        "csv": ways("csv", register),
        "aaf": ways("only", register, ALONE, hr=False),
        "both": ways("both", register, SUPPLEMENT),
    }
    ends = {}
    for feed, path in zip(feeds, sets, strict=True):
        paths = {"csv": [feed.path], "aaf": [path], "both": [feed.path, path]}
        ends = {way: fed.night(paths[way], feed.night.day) for way, fed in directories.items()}
    day = nights[-1].day
    by_csv = {
        jointure(matricule): (account, on(account, day, places))
        for matricule, account in ends["csv"].items()
        if on(account, day, places)
    }
    assert len(by_csv) > people // 3
    # AAF knows the day on which it first lists a post, but neither leave, corps nor NUMEN
    by_aaf = {
        matricule: (a, on(a, day, places)) for matricule, a in ends["aaf"].items() if on(a, day, places)
    }
    assert {m: posts for m, (_, posts) in by_aaf.items()} == {m: posts for m, (_, posts) in by_csv.items()}
    for matricule, (account, _) in by_csv.items():
        other = by_aaf[matricule][0]
        for name in ("family_name", "usage_name", "given_name"):
            assert getattr(account, name) == getattr(other, name), matricule
        assert account.uid.rstrip("0123456789") == other.uid.rstrip("0123456789")
        assert other.state.value == "active"
    # beside HR it adds only its numbers
    joined = 0
    for matricule, account in ends["both"].items():
        joined += bool(account.further_matricules)
        alone = ends["csv"][matricule]
        same = {
            "further_matricules": alone.further_matricules,
            "matricule_digests": alone.matricule_digests,
        }
        assert replace(account, **same) == alone
    assert joined > people // 3
    assert ends["both"].keys() == ends["csv"].keys()


def supplemented(feed: Path, target: Path, places: Sequence[str], day: date, last: date) -> Path:
    """Writes the feed with posts that HR does not know, for one in ten people; half of these posts end."""
    target.mkdir(exist_ok=True)
    with feed.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter=";") if row["matricule"] != "#FIN"]
    made = {}
    for row in rows:
        number = crc32(row["matricule"].encode())
        # not all on the same day: the limits of the source would refuse that
        until = last + timedelta(days=number // 20 % 120)
        if number % 10 == 0 and (number % 20 or day < until):
            uai = places[number // 20 % len(places)]
            made[row["matricule"]] = {
                **row,
                "uai": uai,
                "fonction": "ENS",
                "modalite": "secondaire",
                "fin": "",
            }
    with (target / feed.name).open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, rows[0], delimiter=";")
        writer.writeheader()
        for matricule in dict.fromkeys(row["matricule"] for row in rows):
            own = [row for row in rows if row["matricule"] == matricule]
            writer.writerows([*own, *([made[matricule]] if matricule in made else [])])
    return target / feed.name


def of_aaf(accounts: dict[str, Account]) -> dict[tuple[str, str, str], Assignment]:
    """The posts of AAF that have not ended, by person, UAI and function."""
    return {
        (matricule, a.uai, a.function): a
        for matricule, account in accounts.items()
        for a in account.assignments
        if a.source == "aaf" and a.end is None
    }


@pytest.mark.parametrize(
    ("people", "every"),
    [
        pytest.param(70, 40, id="70-some"),
        pytest.param(100, 40, id="100-some", marks=pytest.mark.long),
        pytest.param(450, 3, id="450-twice-a-week", marks=pytest.mark.long),
        pytest.param(5_000, 12, id="5000-fortnightly", marks=pytest.mark.long),
        pytest.param(100, 12, id="server-fortnightly", marks=pytest.mark.long),
    ],
)
def test_a_year_of_aaf_beside_hr_closes_no_account_and_moves_no_start(
    tmp_path: Path, ways: Way, people: int, every: int
) -> None:
    """AAF closes no account and rewrites no start, and absences count only within the perimeter of a set."""
    days = date(2026, 10, 12), date(2027, 10, 16)
    feeds = write_feeds(tmp_path / "feeds", people, 1, [*ordinary_nights(every, *days)], None)
    register = tmp_path / "feeds" / "establishments.csv"
    places = sorted(of_second_degree(register))
    alone, both = ways("alone", register), ways("both", register, SUPPLEMENT)
    before: dict[tuple[str, str, str], Assignment] = {}
    most = ended = 0
    for number, feed in enumerate(feeds):
        day = feed.night.day
        richer = supplemented(feed.path, tmp_path / "richer", places, day, days[0] + timedelta(days=200))
        # now and then the set of one establishment
        only = {places[number % len(places)]} if number % 4 == 3 else set()
        path = write_set("aaf", richer, tmp_path / "aaf", day, register, only)
        expected, actual = alone.night([feed.path], day), both.night([feed.path, path], day)
        assert actual.keys() == expected.keys()
        for matricule, account in actual.items():
            assert account.state is expected[matricule].state, (day, matricule)
            own = tuple(a for a in account.assignments if a.source != "aaf")
            assert own == expected[matricule].assignments, (day, matricule)
            assert account.login_until == expected[matricule].login_until
        posts = of_aaf(actual)
        for key, post in before.items():
            if key in posts:
                assert posts[key].start == post.start, (day, key)
            elif only and key[1] not in only:
                # no post at another establishment ends, unless the posts of HR end or HR has this post now
                rest = actual[key[0]].assignments
                by_hr = [a for a in rest if a.source != "aaf" and a.end is None]
                assert not by_hr or any((a.uai, a.function) == key[1:] for a in by_hr), (day, key)
            else:
                ended += 1
        before, most = posts, max(most, len(posts))
    assert most > people // 50
    assert ended > 0
