"""The plan of one night, for each case in the files of `plan/`.

What a case gives:

| key | value |
|---|---|
| `as_of` | the day of the night |
| `people`, `moves` | the rows of the full feed `hr` and of the delta `moves`; if both are missing, no feed |
| `dated` | the date of the feeds, if it is not `as_of` |
| `accounts` | by uid, the rows of each account in the directory, or `rows` with keys of ACCOUNT |
| `stood` | the day of the night that left the accounts; the eve if it is not given |
| `unmanaged` | the addresses of entries that piactl does not manage |
| `before` | nights that were applied before this one |
| `policy`, `new_policy` | changes of `policy.yaml`, for all nights or for this one; a null removes a key |

A row is `MATRICULE | given name | name | UAI function start..end column=value`. The name may be `Martel née
Dubreuil`. `3 x` before a row makes three rows: # is then 1, 2, 3 in the matricule and a, b, c elsewhere.

What a case expects, exactly: `changes` in their order, or `no_changes` with the reason; `refusals`, `holds`,
`rejections` and `absents`, which are empty if they are not given. A change names every value that it sets; a
change of WHOLE names some. In addition, the same night once more must change nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from piactl.cli.framework.configuration import Configuration, open_configuration
from piactl.core.model.account import Account, Lock, ServiceException
from piactl.core.model.overrides import MANUAL, Override, OverrideKind
from piactl.core.model.person import Assignment, Person
from piactl.core.plan.change import Change, Kind
from piactl.core.plan.plan import ReadyPlan
from piactl.core.plan.state_between_runs import LastRun
from piactl.core.plan.write import Write
from piactl.core.rules.desired_account import Subject, desired_account
from piactl.directory.simulated_writes import SimulatedWrites
from piactl.directory.store.account_entries import account_dn, account_write
from piactl.directory.store.record_entries import DATA, Places, record_write
from piactl.directory.store.typed_records import to_json
from piactl.feed.read_feed import read_feed
from piactl.planning.account_index import census_of
from tests.planning import EmptyDirectory, plan_night
from tests.story.feeds import COLUMNS, text

HERE = Path(__file__).parent
FILES = sorted((HERE / "plan").glob("*.yaml"))
Given = dict[str, Any]

NIGHT = {"as_of", "people", "moves", "dated"}
GIVEN = {*NIGHT, "accounts", "stood", "unmanaged", "before", "policy", "new_policy"}
EXPECTED = {"changes", "no_changes", "refusals", "holds", "rejections", "absents"}
ACCOUNT = {"manual", "lock", "exceptions", "overrides", "protected", "address", "aliases", "entry"}
"""Keys of an account beside its `rows`. `manual` are assignments by hand; `entry` are raw values that another
program has changed."""
WHOLE = {Kind.CREATE, Kind.DEACTIVATE, Kind.ARCHIVE}
"""Changes that show the whole account."""

CONFIGURATION = """\
version: 1
directory:
  servers: ["ldapi:///"]
  suffix: o=gouv,c=fr
  accounts: ou=personnels EN,o=gouv,c=fr
  state: ou=piactl,o=gouv,c=fr
  identities:
    reader: {external: true}
    nightly: {external: true}
    desk: {external: true}
    administrator: {external: true}
policy: policy.yaml
establishments: establishments.csv
keys: keys
journal: journal.jsonl
state_folder: state
sources:
  hr: {kind: full, files: ["hr-*.csv"]}
  moves: {kind: delta, files: ["moves-*.csv"]}
"""
ESTABLISHMENTS = """\
uai;nom;nature;degre;secteur;commune
0800009A;Lycée Louis Thuillier;300;2D;PU;Amiens
0800010B;Lycée Madeleine Michelis;300;2D;PU;Amiens
0801616X;Collège Guy Mareschal;340;2D;PU;Amiens
"""


class Strict(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """A YAML loader that refuses a key that occurs twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"a key stands twice{node.start_mark}"
        return super().construct_mapping(node, deep)


def read_cases() -> Iterator[Any]:
    for path in FILES:
        for case in yaml.load(path.read_text(encoding="utf-8"), Strict):
            yield pytest.param(case, id=f"{path.stem}: {case.get('case')}")


CASES = list(read_cases())


# What is given


def only(keys: set[str], section: Mapping[str, Any], where: str) -> None:
    assert section.keys() <= keys, f"{where}: unknown keys {sorted(section.keys() - keys)}"


def copies(template: str) -> list[tuple[str, int]]:
    """The template with the number of each copy, 0 if it does not begin with `3 x`."""
    match = re.fullmatch(r"(\d) x (.*)", template)
    return [(match[2], n) for n in range(1, int(match[1]) + 1)] if match else [(template, 0)]


def lettered(template: str, number: int) -> str:
    return template.replace("#", "abcdefghi"[number - 1]) if number else template


def feed_lines(rows: str | Sequence[str]) -> list[str]:
    """The rows as lines of a feed in the canonical layout."""
    return [line for row in ([rows] if isinstance(rows, str) else rows) for line in _feed_lines(row)]


def _feed_lines(row: str) -> Iterator[str]:
    for copy, number in copies(row):
        parts = [part.strip() for part in copy.split("|")]
        assert len(parts) == 4, f"not a row: {row}"
        matricule, given_name, name, post = parts
        usage, _, family = lettered(name, number).rpartition(" née ")
        uai, function, span, *options = post.split()
        start, _, end = span.partition("..")
        columns = dict(option.split("=", 1) for option in options)
        values = {
            "matricule": matricule.replace("#", str(number)),
            "prenom": lettered(given_name, number),
            "nom_usage": usage,
            "nom_famille": family,
            "uai": uai,
            "fonction": function,
            "debut": start,
            "fin": end,
        }
        only(set(COLUMNS) - set(values), columns, row)
        values |= columns
        yield ";".join(values.get(column, "") for column in COLUMNS)


def merged(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The base with the changes; a null removes its key."""
    result = dict(base)
    for key, value in changes.items():
        inner = result.get(key)
        if value is None:
            del result[key]
        elif isinstance(inner, dict) and isinstance(value, dict):
            result[key] = merged(inner, value)
        else:
            # a copy: the loader shares values between anchors, and the policy allows no aliases
            result[key] = deepcopy(value)
    return result


POLICY: dict[str, Any] = yaml.load((HERE / "policy.yaml").read_text(encoding="utf-8"), Strict)


@dataclass
class World:
    """The files of one configuration, and a directory in memory."""

    folder: Path
    configuration: Configuration
    directory: SimulatedWrites

    @classmethod
    def make(cls, folder: Path, policy: Mapping[str, Any]) -> World:
        (folder / "state").mkdir(mode=0o700)
        keys = folder / "keys"
        keys.write_text("k1 " + "ab" * 32 + "\n")
        keys.chmod(0o600)
        (folder / "piactl.yaml").write_text(CONFIGURATION)
        (folder / "establishments.csv").write_text(ESTABLISHMENTS, encoding="utf-8")
        world = cls(folder, open_configuration(folder / "piactl.yaml"), SimulatedWrites(EmptyDirectory()))
        world.set_policy(policy)
        return world

    def set_policy(self, policy: Mapping[str, Any]) -> None:
        written = yaml.safe_dump(merged(POLICY, policy), allow_unicode=True, sort_keys=False)
        (self.folder / "policy.yaml").write_text(written, encoding="utf-8")
        self.site = open_configuration(self.folder / "piactl.yaml")

    def put(self, write: Write | None) -> None:
        assert write is not None
        list(self.directory.write([write]))

    def remember(self, last: LastRun) -> None:
        """Writes the record that a run leaves at its end."""
        dn = Places(self.site.settings.directory.state).last_run
        entry = self.directory.read(dn, [DATA])
        write = record_write(dn, entry.first(DATA) if entry else None, to_json(last))
        list(self.directory.write([write] if write else []))

    # Accounts

    def fill(self, accounts: Mapping[str, Any], unmanaged: Sequence[str], stood: date) -> None:
        """Puts the entries, and the record of the night of `stood`, into the directory."""
        configuration, settings = self.site, self.site.settings.directory
        stored_accounts: list[Account] = []
        for key, value in accounts.items():
            section = value if isinstance(value, dict) else {"rows": value}
            only({"rows", *ACCOUNT}, section, key)
            for number, person in enumerate(self._people(key, section["rows"]), 1):
                account = self._account(lettered(key, number), section, person, stood)
                stored_accounts.append(account)
                self.put(account_write(settings, configuration.encoding, None, account))
                changed = {name: (str(value).encode(),) for name, value in section.get("entry", {}).items()}
                dn = account_dn(settings, account.uid)
                self.put(Write("modify", dn, delete=dict.fromkeys(changed, ()), add=changed))
        for address in unmanaged:
            values = {"objectClass": (b"inetOrgPerson",), "mail": (address.encode(),)}
            self.put(Write("add", f"cn={address},{settings.suffix}", add=values))
        census = census_of(stored_accounts, stood)
        self.remember(
            LastRun("", stood, configuration.policy.digest, configuration.register_digest, "", True, census)
        )

    def _people(self, key: str, rows: str | Sequence[str]) -> list[Person]:
        path = self.folder / "accounts.csv"
        path.write_text(text(feed_lines(rows)), encoding="utf-8")
        feed = read_feed(path, self.site.settings.sources["hr"])
        assert not feed.rejections, f"{key}: {feed.rejections}"
        assert len(feed.people) == 1 or "#" in key, f"{key}: the rows of several people"
        return list(feed.people.values())

    def _account(self, uid: str, section: Given, person: Person, stood: date) -> Account:
        """The account after a night on its first start and another one on `stood`."""
        first = min(stood, min(a.start for a in person.assignments))
        new = desired_account(
            Subject(person.matricule, None, person, person.assignments), self.site.rules(first)
        )
        assert new is not None, f"{uid}: there is no account on {first}"
        address = section.get("address", f"{uid}@{self.site.policy.domain}")
        aliases = frozenset(section.get("aliases", ()))
        account = replace(
            new.account,
            uid=uid,
            address=address,
            aliases=aliases,
            identifiers=frozenset({uid, address, *aliases}),
            assignments=(*person.assignments, *map(read_manual, section.get("manual", ()))),
            lock=read_lock(section["lock"]) if "lock" in section else None,
            exceptions=tuple(map(read_exception, section.get("exceptions", ()))),
            overrides=tuple(map(read_override, section.get("overrides", ()))),
            protected=section.get("protected", False),
        )
        later = desired_account(
            Subject(account.matricule, account, None, account.assignments), self.site.rules(stood)
        )
        assert later is not None
        return later.account

    # Nights

    def plan(self, night: Given) -> ReadyPlan:
        feeds = []
        for source, key in (("hr", "people"), ("moves", "moves")):
            if key in night:
                day = night.get("dated", night["as_of"])
                path = self.folder / f"{source}-{night['as_of']}.csv"
                path.write_text(text(feed_lines(night[key]), str(day)), encoding="utf-8")
                feeds.append(str(path))
        return plan_night(self.directory, self.site, feeds, night["as_of"])

    def apply(self, ready: ReadyPlan) -> None:
        list(self.directory.write(ready.writes))
        list(self.directory.write(ready.records))
        assert ready.last is not None
        self.remember(ready.last)


def read_manual(post: str) -> Assignment:
    uai, function, span = post.split()
    start, _, end = span.partition("..")
    return Assignment(uai, function, date.fromisoformat(start), date.fromisoformat(end), source=MANUAL)


def read_lock(section: Given) -> Lock:
    only({"since", "until"}, section, "lock")
    return Lock(section["since"], section.get("until"), "dupond", "a reason")


def read_exception(section: Given) -> ServiceException:
    only({"grants", "denies", "uai", "first", "last"}, section, "exception")
    grants = "grants" in section
    service = section["grants" if grants else "denies"]
    return ServiceException(
        grants, service, section.get("uai", ""), section["first"], section["last"], "dupond", "a reason"
    )


def read_override(section: Given) -> Override:
    facts = {key: value for key, value in section.items() if key not in ("kind", "until")}
    return Override(
        OverrideKind(section["kind"]), section["until"], date(2026, 1, 1), "dupond", "a reason", **facts
    )


# What is expected


def plain(value: object) -> Any:
    """A value in the form of JSON."""
    if isinstance(value, date):
        return value.isoformat()
    return list(map(plain, value)) if isinstance(value, list | tuple) else value


def expected_changes(case: Given) -> list[tuple[Kind, str, Given]]:
    changes = []
    for written in case.get("changes", ()):
        kind = next(iter(written))
        facts = {key: plain(value) for key, value in written.items() if key != kind}
        changes += [(Kind(kind), lettered(uid, number), facts) for uid, number in copies(written[kind])]
    return changes


def check_change(change: Change, expected: Given) -> None:
    name = f"{change.kind.value} {change.uid}"
    after = {key: plain(value) for key, value in change.after.items()}
    facts = dict(expected)
    assert facts.pop("because", "") in change.reason, f"{name}: {change.reason}"
    assert facts.pop("line", change.line) == change.line, name
    assert facts.pop("effective", str(change.effective)) == str(change.effective), name
    only(set(after), facts, name)
    assert {key: after[key] for key in facts} == facts, name
    if change.kind not in WHOLE:
        implied = {"held", "locked", "uai" if after.get("uai") is None else ""}
        implied |= {"state"} if change.kind is Kind.SUSPEND else set()
        assert after.keys() - implied <= facts.keys(), f"{name} sets more: {after}"


def check_plan(case: Given, ready: ReadyPlan) -> None:
    plan = ready.plan
    changes, expected = list(plan.changes), expected_changes(case)
    listing = "\n".join(f"{c.kind.value} {c.uid} {dict(c.after)} because {c.reason}" for c in changes)
    assert [(c.kind, c.uid) for c in changes] == [(kind, uid) for kind, uid, _ in expected], listing
    for change, (_, _, facts) in zip(changes, expected, strict=True):
        check_change(change, facts)
    refusals = [{"guard": r.guard, "scope": r.scope, "found": r.found, "of": r.of} for r in plan.refusals]
    assert refusals == case.get("refusals", []), refusals
    holds = {hold.matricule or hold.uid or "": hold.why for hold in plan.holds}
    assert len(holds) == len(plan.holds)
    reasons = {str(name): reason for name, reason in case.get("holds", {}).items()}
    assert holds.keys() == reasons.keys(), holds
    assert all(reasons[name] in why for name, why in holds.items()), holds
    rejections = [f"line {r.line} {r.column} {r.code}" for r in plan.rejections]
    assert rejections == case.get("rejections", []), plan.rejections
    absents = [f"{a.matricule} {a.uai} {a.function} {a.start}: {a.seen} of {a.needed}" for a in plan.absents]
    assert absents == case.get("absents", []), absents


def check_form(case: Given) -> None:
    only({"case", "why", *GIVEN, *EXPECTED}, case, "case")
    assert len(case["why"].split()) > 3, "a case says why"
    assert ("changes" in case) is not ("no_changes" in case), "either changes, or why there are none"
    assert len(case.get("no_changes", "so is it changed").split()) > 3, "no_changes says why there are none"
    for key in EXPECTED:
        assert case.get(key, True), f"{key} is empty: leave it out"
    for night in case.get("before", ()):
        only(NIGHT, night, "before")


@pytest.mark.parametrize("case", CASES)
def test_plan(case: Given, tmp_path: Path) -> None:
    check_form(case)
    world = World.make(tmp_path, case.get("policy", {}))
    nights = case.get("before", [])
    first = nights[0] if nights else case
    eve = first["as_of"] - timedelta(days=1)
    world.fill(case.get("accounts", {}), case.get("unmanaged", ()), case.get("stood", eve))
    for night in nights:
        earlier = world.plan(night)
        assert not earlier.plan.refusals
        world.apply(earlier)
    if "new_policy" in case:
        world.set_policy(merged(case.get("policy", {}), case["new_policy"]))
    ready = world.plan(case)
    check_plan(case, ready)
    if ready.plan.refusals:
        return
    world.apply(ready)
    again = world.plan(case)
    assert not list(again.plan.changes), "the same night once more changes something"
    # a night without a feed looks only at what is due, and so may list fewer holds
    holds = [[(hold.matricule, hold.uid) for hold in plan.holds] for plan in (again.plan, ready.plan)]
    assert holds[0] == holds[1] or not case.keys() & {"people", "moves"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"expects": []},
        {"changes": []},
        {"changes": None, "no_changes": "so it is"},
        {"changes": None},
        {"no_changes": "there is no reason at all"},
        {"why": "because"},
        {"holds": {}},
        {"before": [{"as_of": date(2027, 8, 31), "feed": []}]},
    ],
    ids=lambda wrong: " ".join(wrong),
)
def test_a_malformed_case_is_refused(wrong: Given) -> None:
    good = {"case": "a case", "why": "there is a reason", "changes": [{"create": "claire.dubreuil"}]}
    check_form(good)
    with pytest.raises(AssertionError):
        check_form({key: value for key, value in {**good, **wrong}.items() if value is not None})


def test_every_case_has_a_unique_name() -> None:
    names = [case.values[0]["case"] for case in CASES]
    assert len(names) == len(set(names))
    assert len(names) >= 100
