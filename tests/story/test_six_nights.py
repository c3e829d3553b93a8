"""Six nights of invented people on a real directory: each, with what earlier nights kept for it, has the plan
of the oracle, which evaluates everybody together in memory."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

import ldap3
import pytest

from tests.planning import oracle

from .academy import Academy
from .population import COLUMNS, Rows, crowd, feed_text, write_register

FIRST = date(2026, 10, 5)
WINTER = date(2027, 1, 18)
SIECLE = "urn:mace:ac-amiens.fr:service:siecle:0800009A"
WHY = ("--reason", "dit par la DRH")
AT = {name: place for place, name in enumerate(COLUMNS)}
WITH_GROUPS = """
groups:
  services: all
  per_establishment: [enseignant]
  extra:
    tous-enseignants: {label: Tous les enseignants, profile: [enseignant, enseignant1d]}
"""
UNIX = "  posix: {first: 70000, last: 170000, group: 500, home: '/home/{uid}', shell: /bin/bash}\n"

SEALS = {"fingerprint", "signature", "made_by"}
"""What differs between two plans by nature: who made them, and the seals over that and over all the rest."""
LASTING = {
    "plans", "sets", "rejects", "notices", "older.sha256", "holds.json", "hooks.json",
    "journal-head", "run.lock",
}  # fmt: skip
"""What is in the state folder and is no cache."""

Damage = Callable[[bytes, Random], bytes | None]
"""What a cache file contains after a damage; None: it is gone."""


def deleted(_content: bytes, _random: Random) -> None:
    return None


def cut(content: bytes, _random: Random) -> bytes:
    return content[: len(content) // 2]


def other_bytes(content: bytes, random: Random) -> bytes:
    return random.randbytes(len(content))


def one_block_of_other_bytes(content: bytes, random: Random) -> bytes:
    """As after a bad sector."""
    middle = len(content) // 2
    block = random.randbytes(min(512, len(content) - middle))
    return content[:middle] + block + content[middle + len(block) :]


DAMAGES: tuple[Damage, ...] = (deleted, cut, other_bytes, one_block_of_other_bytes)


def differences(made: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """In what two plans differ: for each part, where its text becomes another one. Rows have an order."""
    found = []
    for part in sorted((made.keys() | expected.keys()) - SEALS):
        left, right = made.get(part), expected.get(part)
        if left != right:
            texts = json.dumps(left, sort_keys=True), json.dumps(right, sort_keys=True)
            same = next(
                (n for n, (a, b) in enumerate(zip(*texts, strict=False)) if a != b), min(map(len, texts))
            )
            around = slice(max(same - 200, 0), same + 200)
            found.append(f"{part}: {texts[0][around]}\nnot {texts[1][around]}")
    return found


class Nights:
    """The nights. `posts`: the rows of HR of each person, by matricule. `seen` counts what the plans had."""

    def __init__(self, academy: Academy, people: int) -> None:
        self.academy, self.people, self.random = academy, people, Random(people)
        self.folder = academy.sandbox.folder
        write_register(self.folder / "establishments.csv", people)
        self.posts: dict[str, Rows] = {}
        for row in crowd(people, FIRST).copy():
            self.posts.setdefault(row[AT["matricule"]], []).append(row)
        self.uais = sorted(
            {row[AT["uai"]] for rows in self.posts.values() for row in rows if row[AT["uai"]][-1:].isupper()}
        )
        self.seen = Counter[str]()
        self.files = 0

    # What HR sends

    def feed(self, day: date, source: str = "hr", rows: Rows | None = None) -> Path:
        """A file of that day; of HR's posts unless other rows are given."""
        rows = [row for posts in self.posts.values() for row in posts] if rows is None else rows
        return self.academy.raw_feed(feed_text(rows, day).encode(), source=source)

    def some(self, share: float, most: int = 60, least: int = 2) -> list[str]:
        """Matricules of a share of the people, at least and at most so many."""
        number = min(max(int(self.people * share), least), most)
        return self.random.sample(sorted(self.posts), number)

    def hire(self, matricule: str, like: str, **values: str) -> None:
        """Adds a person with the values of another one's first row, except these."""
        row = [*self.posts[like][0]]
        for name, value in {"matricule": matricule, **values}.items():
            row[AT[name]] = value
        self.posts[matricule] = [row]

    def set(self, matricule: str, **values: str) -> None:
        for row in self.posts[matricule]:
            for name, value in values.items():
                row[AT[name]] = value

    # Plans

    def caches(self) -> dict[Path, bytes]:
        """The files that an earlier night kept for this one and that only save time."""
        state = self.folder / "state"
        files = (path for path in state.rglob("*") if path.is_file())
        return {path: path.read_bytes() for path in files if path.relative_to(state).parts[0] not in LASTING}

    @contextmanager
    def damaged(self, damage: Damage) -> Iterator[None]:
        """Inside, all cache files are damaged; then they are as before."""
        before = self.caches()
        self.damage(damage)
        yield
        for path in self.caches():
            path.unlink()
        for path, content in before.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def damage(self, damage: Damage) -> None:
        caches = self.caches()
        assert caches, "no night has kept anything for the next one"
        for path, content in caches.items():
            left = damage(content, self.random)
            path.unlink() if left is None else path.write_bytes(left)

    def planned(self, day: date, *feeds: Path, code: int = 0) -> Any:
        file = self.academy.folder / "plan.json"
        ran = self.academy.run("plan", *feeds, "--as-of", day.isoformat(), "--out", file)
        assert ran.code == code, f"{day}: exit {ran.code}: {ran.err}"
        return json.loads(file.read_bytes())

    def compare(self, day: date, *feeds: Path, code: int = 0, damages: tuple[Damage, ...] = ()) -> Any:
        """What `plan` shows, with the caches as they are and with each damage: the oracle's plan."""
        expected = oracle(self.academy.sandbox.config, feeds, day)
        plan = self.planned(day, *feeds, code=code)
        assert differences(plan, expected) == [], day
        for damage in damages:
            with self.damaged(damage):
                again = self.planned(day, *feeds, code=code)
            assert differences(again, expected) == [], f"{day}, {damage.__name__}"
        return plan

    def night(self, day: date, *feeds: Path, damage: Damage | None = None, refused: bool = False) -> Any:
        """A night, with its caches as they are or damaged. It must make the oracle's plan, and apply it or,
        if a guard is broken (`refused`), write nothing."""
        expected = oracle(self.academy.sandbox.config, feeds, day)
        if damage is not None:
            self.damage(damage)
        ran = self.academy.run("nightly", *feeds, "--as-of", day.isoformat(), "-o", "json")
        # 5: a case is undecided for long
        assert ran.code in ((4,) if refused else (0, 5)), f"{day}: exit {ran.code}: {ran.err}"
        if refused or ran.json["plan"] != expected["fingerprint"]:
            assert not (found := differences(self.kept(), expected)), "\n".join([str(day), *found])
        if not refused:
            assert {"applied"} >= set(ran.json["outcomes"]), day
        self._see(expected)
        return expected

    def kept(self) -> Any:
        """The plan that the last night has kept."""
        newest = max((self.folder / "state" / "plans").iterdir(), key=lambda path: path.stat().st_mtime_ns)
        return json.loads(newest.read_bytes())

    def approve(self, day: date, *feeds: Path) -> None:
        """Somebody applies the plan of that day with the exact numbers of its broken guards."""
        plan = self.planned(day, *feeds, code=4)
        totals = {refusal["kind"]: refusal["total"] for refusal in plan["refusals"]}
        allowed = [word for kind, total in totals.items() for word in ("--allow", f"{kind}={total}")]
        ran = self.academy.run("apply", self.academy.folder / "plan.json", *allowed, *WHY)
        assert ran.code == 0, ran.err

    def _see(self, plan: Any) -> None:
        self.seen.update(plan["summary"])
        parts = ("rejections", "absents", "disagreements", "contradictions", "refusals", "archivals", "cases")
        self.seen.update({part: len(plan.get(part, ())) for part in parts})
        self.seen.update(f"hold {hold['code']}" for hold in plan["holds"])
        self.seen.update(f"drift {drift['drift_class']}" for drift in plan["drift"])
        self.seen.update(f"refused {refusal['kind']}" for refusal in plan["refusals"])


def days(number: int) -> date:
    return FIRST + timedelta(days=number)


def french(day: date) -> str:
    return f"{day:%d/%m/%Y}"


def first_load(nights: Nights) -> None:
    plan = nights.night(days(0), nights.feed(days(0)))
    assert plan["summary"]["create"] > nights.people * 0.9


def quiet(nights: Nights) -> None:
    """The same people in another order, on the same day, so that no date makes a change either."""
    rows = [row for posts in reversed(nights.posts.values()) for row in posts]
    plan = nights.night(days(0), nights.feed(days(0), rows=rows), damage=deleted)
    assert plan["changes"] == []


def half_a_percent(nights: Nights) -> None:
    """Other posts, other names, ends and newcomers."""
    day = days(2)
    for number, matricule in enumerate(nights.some(0.005, most=180, least=5)):
        match number % 5:
            case 0:
                nights.set(matricule, quotite="70")
            case 1:
                row = [*nights.posts[matricule][0]]
                row[AT["uai"]], row[AT["debut"]], row[AT["fin"]] = nights.uais[number], french(day), ""
                nights.posts[matricule].append(row)
            case 2:
                nights.set(matricule, fin=french(day - timedelta(days=2)))
            case 3:
                traits = {"prenom": "Odilon", "numen": "", "courriel_prive": ""}
                nights.hire(f"77{number:05}", matricule, debut=french(day), **traits)
            case _:
                nights.set(matricule, position="conge_parental")
    feed = nights.feed(day)
    nights.compare(day, feed, damages=DAMAGES if nights.people > 300 else ())
    plan = nights.night(day, feed)
    assert {"create", "update"} <= plan["summary"].keys()
    # the comparison sees what one row changes
    nights.set(nights.some(0)[0], quotite="50")
    other = oracle(nights.academy.sandbox.config, [nights.feed(day)], day)
    assert differences(nights.planned(day, feed), other)


def absences_and_faults(nights: Nights) -> None:
    """Absent people, rows that cannot be read, other names, a NUMEN of two people, and a newcomer with the
    identity of an account; the next day the same again, when an absence counts."""
    absent, broken, renamed = nights.some(0.01), nights.some(0.007, most=40), nights.some(0.012)
    before = {matricule: nights.posts[matricule] for matricule in absent}
    for matricule in absent:
        del nights.posts[matricule]
    for matricule in {*broken} - {*absent}:
        nights.set(matricule, debut="32/13/2020")
    for matricule in {*renamed} - {*absent}:
        nights.set(matricule, nom_usage="Zorglub")
    one, other, twin = nights.some(0, least=3)
    nights.set(one, numen=nights.posts[other][0][AT["numen"]] or "22E0000001ABC")
    nights.set(other, numen=nights.posts[one][0][AT["numen"]])
    nights.hire("0000123", twin, numen="")
    plan = nights.night(days(3), nights.feed(days(3)))
    assert plan["rejections"]
    assert plan["holds"]
    nights.night(days(4), nights.feed(days(4)), damage=cut)
    # some come back, and the rows can be read again
    nights.posts |= dict(list(before.items())[::2])
    for matricule in {*broken} - {*absent}:
        nights.set(matricule, debut="01/09/2020")
    nights.night(days(5), nights.feed(days(5)))


def foreign_changes(nights: Nights) -> None:
    """Another program changes accounts, one of them goes, and guards break: of these changes alone, then of
    what HR ends. An approval applies everything, and the nights after it go on."""
    academy = nights.academy
    held = [e for e in academy.accounts().values() if SIECLE.encode() in e.get("eduPersonEntitlement", ())]
    uids = sorted({*academy.names().values()} - {entry["uid"][0].decode() for entry in held})
    touched = nights.random.sample(uids, max(nights.people // 25, 20))
    with academy.sandbox.root() as root:
        for uid in touched:
            root.modify(academy.dn(uid), {"eduPersonEntitlement": [(ldap3.MODIFY_ADD, [SIECLE])]})
        others = [uid for uid in uids if uid not in {*touched}]
        for uid in others[:3]:
            root.modify(academy.dn(uid), {"displayName": [(ldap3.MODIFY_REPLACE, ["Autre Nom"])]})
        for uid in others[3:5]:
            root.modify(academy.dn(uid), {"mail": [(ldap3.MODIFY_REPLACE, [f"{uid}@ailleurs.example"])]})
        for uid in others[5:7]:
            root.modify(academy.dn(uid), {"eduPersonEntitlement": [(ldap3.MODIFY_REPLACE, [])]})
        root.delete(academy.dn(others[7]))
    # the drift waits, the rest is written
    day = days(6)
    nights.hire("7900001", nights.some(0)[0], numen="", courriel_prive="", prenom="Odilon")
    feed = nights.feed(day)
    nights.compare(day, feed, code=4)
    assert academy.night(day.isoformat(), feed, code=5).json["summary"]["create"] == 1
    # HR ends a tenth of the people
    day = days(7)
    for matricule in nights.some(0.1, most=nights.people):
        nights.set(matricule, fin=french(day - timedelta(days=1)), position="radiation")
    feed = nights.feed(day)
    plan = nights.night(day, feed, refused=True, damage=other_bytes)
    assert {"loosening", "deactivate"} <= {refusal["kind"] for refusal in plan["refusals"]}
    nights.approve(day, feed)
    nights.night(days(8), nights.feed(days(8)))
    # a night without a feed
    nights.night(days(9))


def several_sources(nights: Nights) -> None:
    """Contracts with their own numbers and a source of deltas beside HR, Unix numbers and groups. Matricules
    are linked, two accounts merged, and the grace and the retention of those who left are over."""
    academy = nights.academy
    academy.sources(hr="kind: full", contrats="kind: full, namespace: contrats", deltas="kind: delta")
    academy.allow_up_to(max(nights.people // 2, 300))
    groups = academy.sandbox.accounts.replace("ou=personnels EN", "ou=groupes")
    academy.edit("piactl.yaml", "  identities:", f"  groups: {groups}\n  identities:")
    academy.edit("policy.yaml", "  retention: 30 ", f"{UNIX}  retention: 30 ")
    policy = nights.folder / "policy.yaml"
    policy.write_text(policy.read_text(encoding="utf-8") + WITH_GROUPS, encoding="utf-8")
    chosen = [
        m for m in nights.some(0.1, most=200, least=12) if nights.posts[m][0][AT["fin"]] in ("", "31/12/9999")
    ]
    contracts: Rows = []
    for number, matricule in enumerate(chosen):
        row = [*nights.posts[matricule][0]]
        row[AT["matricule"]], row[AT["uai"]] = f"{number + 1:04}", nights.uais[number % len(nights.uais)]
        row[AT["debut"]], row[AT["fin"]] = french(WINTER), ""
        if number % 6 == 3 and number < 60:  # the identity alone says it, so somebody is asked
            row[AT["numen"]] = row[AT["courriel_prive"]] = ""
        if number % 3 == 1:  # nothing says that it is the same person
            row[AT["numen"]] = row[AT["date_naissance"]] = row[AT["courriel_prive"]] = ""
        if number % 3 == 2:
            row[AT["numen"]], row[AT["prenom"]], row[AT["courriel_prive"]] = (
                f"22E{number:07}ABC",
                "Hortense",
                "",
            )
        contracts.append(row)

    def feeds(day: date) -> list[Path]:
        return [nights.feed(day), nights.feed(day, "contrats", contracts)]

    def delta(day: date, number: int) -> Path:
        rows = [[*nights.posts[matricule][0]] for matricule in chosen[number::4]]
        for row in rows:
            row[AT["uai"]], row[AT["debut"]] = nights.uais[number], french(day)
            row[AT["fin"]] = french(day + timedelta(days=20))
        return nights.feed(day, "deltas", rows)

    nights.night(WINTER, *feeds(WINTER), delta(WINTER, 0))
    as_of = ("--as-of", WINTER.isoformat())
    cases = academy.run("match", "list", *as_of, "-o", "json").json
    linked = [case["case"] for case in cases if case["source"] == "contrats" and len(case["of"]) == 1][:3]
    assert linked
    for case in linked:
        ran = academy.run("match", "same", case, *WHY, *as_of)
        assert ran.code == 0, ran.err
    names = academy.names()
    ran = academy.run("account", "merge", names["contrats:0002"], names[chosen[1]], *WHY, "--yes", *as_of)
    assert ran.code == 0, ran.err
    for number in (1, 2):
        day = WINTER + timedelta(days=number)
        damage = one_block_of_other_bytes if number == 1 else None
        nights.night(day, *feeds(day), delta(day, number), damage=damage)
    nights.compare(day + timedelta(days=1))
    assert nights.seen["archive"]


SEEN = (
    "create", "update", "rename", "grant", "revoke", "suspend", "reopen", "deactivate", "archive", "group",
    "rejections", "absents", "refusals", "archivals", "cases",
)  # fmt: skip
"""What the plans must have had, so that the comparison is about something."""


def play(academy: Academy, people: int) -> None:
    nights = Nights(academy, people)
    for night in (first_load, quiet, half_a_percent, absences_and_faults, foreign_changes, several_sources):
        night(nights)
    assert [what for what in SEEN if not nights.seen[what]] == []


@pytest.mark.parametrize(
    "people", [180, *(pytest.param(n, marks=pytest.mark.long) for n in (300, 600, 36_000))]
)
def test_the_plans_are_those_of_the_oracle(academy: Academy, people: int) -> None:
    """Each kind of damage is met by a night; among more people by one and the same plan, too."""
    play(academy, people)
