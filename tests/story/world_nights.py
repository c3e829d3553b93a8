"""The nights of an invented académie, the administrator who answers its cases, and what the record says about
the directory after each night."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from tests.aaf_sets import Agent, files, zipped

from .academy import Academy, Ran
from .population import write_register
from .worlds import AAF, DELTAS, FIRST, UNREADABLE, Human, Listed, World, csv_text

REASON = ("--reason", "HR was asked")
SERVICE = "urn:mace:ac-amiens.fr:service:"
OPEN = "{COMPTE}A:SupannActif"
HEADS, TEACHERS = {"DIR"}, {"ENS", "DOC"}
FUNCTIONS = {
    "siecle": HEADS | {"EDU"},
    "sts": HEADS,
    "onde": HEADS,
    "livret": HEADS | TEACHERS,
    "viescolaire": HEADS | TEACHERS | {"EDU", "AED"},
}
"""Which function at an establishment gives a service there, as the shipped policy says."""
EXPECTED = {"ENS": "livret", "AED": "viescolaire"}
"""A service that everybody with the function has at their establishment."""
HANDOVER, GRACE = 15, 60
LONGEST_CASE = 6
"""How many nights a person may wait for a case: the administrator answers after two to four."""


@dataclass(frozen=True)
class Entry:
    """An account as it is in the directory."""

    uuid: str
    uid: str
    human: Human
    numbers: frozenset[tuple[str, str]]
    state: str
    posts: tuple[tuple[str, str, str, str], ...]
    rights: frozenset[tuple[str, str]]
    names: frozenset[str]


@dataclass
class Figures:
    """What came of the nights."""

    people: int = 0
    nights: int = 0
    cases: Counter[str] = field(default_factory=Counter)
    """By doubt; `mirrored`, `asked again` and `NUMEN and identity equal` are among them."""
    answers: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    """Refused nights: by a guard or as a feed, rightly or not."""
    faults: list[tuple[str, str]] = field(default_factory=list)
    """What must not be: its kind, and what was seen."""
    excused: Counter[str] = field(default_factory=Counter)
    """What is documented: such as two accounts of a person whom no data show to be one."""
    late: Counter[str] = field(default_factory=Counter)
    """Rows that came late: applied, or refused because their source has said something later."""
    asked: int = 0

    @property
    def per_thousand(self) -> float:
        return self.asked * 1000 / self.people

    @property
    def kinds(self) -> Counter[str]:
        return Counter(kind for kind, _ in self.faults)

    def text(self) -> str:
        lines = [
            f"{self.people} people, {self.nights} nights",
            f"cases: {self.asked}, {self.per_thousand:.1f} per 1,000 people: {dict(self.cases)}",
            f"answers: {dict(self.answers)}",
            f"refused: {dict(self.refused)}",
            f"late rows: {dict(self.late)}",
            f"excused: {dict(self.excused)}",
            f"faults: {dict(self.kinds)}",
            *(f"  {kind}: {seen}" for kind, seen in self.faults),
        ]
        return "\n".join(lines)


class Nights:
    """An academy that lives through the nights of a world. `every`: the days between two nights after the
    first `nightly` days."""

    def __init__(self, academy: Academy, world: World, seed: int) -> None:
        self.academy, self.world, self.random = academy, world, Random(f"nights {seed}")
        self.figures = Figures(world.people)
        self.whose: dict[str, Human] = {}
        """The human of each account (entryUUID), for ever."""
        self.uids: dict[str, Human] = {}
        self.addresses: dict[str, Human] = {}
        self.opened: dict[tuple[str, str], dict[str, Any]] = {}
        """The cases, by id and day."""
        self.pairs: dict[frozenset[str], str] = {}
        """The open cases of two newcomers, by their numbers."""
        self.answered: set[tuple[object, ...]] = set()
        self.told: set[tuple[object, ...]] = set()
        self.shown: list[dict[str, Any]] = []
        self.listed: list[dict[str, Any]] = []
        """The cases of `match list`, and those of them that are open."""
        self.entries: list[Entry] = []
        self.waits: Counter[tuple[str, Human]] = Counter()
        """For how many nights somebody has lacked something."""
        self.served: set[tuple[Human, tuple[str, ...]]] = set()
        """The people and their posts that had what belongs to them in the last night."""
        self.digests: dict[str, tuple[str, str]] = {}
        self.digested: set[tuple[str, str]] = set()
        self.step = 1
        """The days between two nights."""
        self.heard: dict[Human, date] = {}
        """The first night whose files list somebody as gone."""
        self.last_files: dict[str, date] = {}
        """The day of the last file of each source that was read."""
        self.tries: Counter[tuple[str, str]] = Counter()
        self.sets = count()
        self.wrong_row = "wrong-row" in academy.run("match", "--help").out
        write_register(academy.sandbox.folder / "establishments.csv", world.people)
        limits = (
            "limits: {periods: {rentree: {from: 08-20, to: 09-30, "
            "known_share: 0.6, size_share: 0.5, column_share: 0.5}}}"
        )
        sources = {
            source.name: f"kind: full, trailer: true, {limits}"
            + (
                ""
                if world.namespaces[source.name] == "hr"
                else f", namespace: {world.namespaces[source.name]}"
            )
            for source in world.sources
        }
        sources[DELTAS] = "kind: delta, trailer: true"
        academy.sources(**sources)
        aaf = f'sources:\n  {AAF}: {{format: aaf, role: supplement, namespace: {AAF}, files: ["ENT2D*"]}}'
        academy.edit("piactl.yaml", "sources:", aaf)

    def live(self, days: int, *, nightly: int = 10**6, every: int = 1, calm: int = 16) -> Figures:
        """Every night for the first days, then a night every so many days; then the calm nights at the end,
        in which HR has corrected its slips and the administrator answers what is open."""
        day = FIRST
        while (day - FIRST).days < days:
            self.world.live(day)
            self.night(day)
            self.step = 1 if (day - FIRST).days < nightly else every
            day += timedelta(days=self.step)
        for human in self.world.humans:
            human.slips = [slip for slip in human.slips if slip.files > 1000]
        self.world.whole_files.clear()
        self.world.agenda = []
        for _ in range(calm):  # the ends of the last weeks came by the rhythm before
            self.world.live(day)
            self.night(day)
            day += timedelta(days=1)
        self._end(day)
        return self.figures

    def fault(self, kind: str, seen: str) -> None:
        self.figures.faults.append((kind, f"{self.world.day}: {seen}"))
        print(f"  {kind}: {seen}")

    # A night

    def night(self, day: date) -> None:
        self.figures.nights += 1
        written: dict[Path, tuple[str, list[Listed], str]] = {}
        first = day == FIRST
        for source in self.world.sources:
            damage = "" if first else self.world.damage(source.name, self.step)
            if damage == "silent" or (not first and self.random.random() < 0.04):
                continue
            rows = self.world.rows(source.name, day)
            written[self._csv(source.name, rows, day, damage)] = source.name, rows, damage
        if day.weekday() == 0 and not first:
            agents = self.world.annuaire(day)
            written[self._set(dict(agents), day)] = AAF, [listed for _, listed in agents], ""
        remaining = list(written)
        self.random.shuffle(remaining)
        self._run(day, remaining, written, ())
        self._late_rows(day)
        listed = self.academy.run("match", "list", "--as-of", day.isoformat(), "-o", "json").json
        self._note(listed)
        self.entries = list(self.read())
        self.check()
        self.decide()
        counts = f"{len(self.listed)} open, {self.figures.asked} asked, {dict(self.figures.kinds)}"
        print(f"{day}: {len(self.entries)} accounts, {counts}")

    def _run(
        self,
        day: date,
        paths: list[Path],
        written: dict[Path, tuple[str, list[Listed], str]],
        options: Sequence[str],
    ) -> None:
        """Runs the night as an administrator does: a wrong file is left out, and a right one is accepted."""
        ran = self.academy.run("nightly", *paths, "--as-of", day.isoformat(), *options)
        if ran.code in (4, 6):
            wrong = [path for path in paths if written[path][2]]
            what = "guard" if ran.code == 4 else "feed"
            self.figures.refused[f"{what}, {'rightly' if wrong else 'a right night'}"] += 1
            print(f"  refused, exit {ran.code}: {[path.name for path in wrong]}: {ran.err[:1500]}")
            if wrong:
                self._run(day, [path for path in paths if path not in wrong], written, options)
                return
            if ran.code == 6 and (accepted := re.search(r"--accept-feed (\w+)", ran.err)):
                self._run(
                    day,
                    paths,
                    written,
                    (*options, *accepted.group().split(), *REASON[: 2 * ("--reason" not in options)]),
                )
                return
            ran = self._allow(day, ran)
        if ran.code not in (0, 5):
            self.fault("night failed", f"exit {ran.code}: {ran.err[-1500:]}")
            return
        for path in paths:
            source, rows, damage = written[path]
            if damage:
                self.figures.refused["wrong file, not refused"] += 1
            self.world.read(source, rows)
            self.last_files[source] = day

    def _late_rows(self, day: date) -> None:
        """Feeds the rows that come late: one is refused if its source has said something later, otherwise it
        is applied, whatever the other sources have said since."""
        for late in [late for late in self.world.late if late.comes <= day]:
            self.world.late.remove(late)
            listed, source = late.listed, late.listed.source
            text = csv_text([listed.row], late.written, rejects=True)
            feed = self.academy.raw_feed(text.encode(), source=source)
            ran = self.academy.run("nightly", feed, "--as-of", day.isoformat())
            if late.written < self.last_files.get(source, FIRST):
                if ran.code != 6 or f"it is dated {late.written}" not in ran.err:
                    self.fault("late row", f"not refused, exit {ran.code}: {ran.err}")
                self.figures.late["refused"] += 1
            elif ran.code not in (0, 5):
                self.fault("late row", f"refused, exit {ran.code}: {ran.err}")
            else:
                self.world.note([listed])
                if source == DELTAS:  # corrected rows of a full source do not replace its last file
                    self.last_files[source] = late.written
                self.figures.late["applied"] += 1

    def _allow(self, day: date, ran: Ran) -> Ran:
        """Runs the command that the message of a refused night prints."""
        command = re.search(r"piactl (apply .* --allow .*)", ran.out + ran.err)
        if command is None:
            return ran
        words = shlex.split(command.group(1).replace('"..."', '"looked at"'))
        return self.academy.run(*words)

    def _csv(self, source: str, rows: list[Listed], day: date, damage: str) -> Path:
        stated = [listed.row for listed in rows]
        if damage == "zeros":
            stated = [{**row, "matricule": row["matricule"].lstrip("0")} for row in stated]
        text = csv_text(stated, day)
        if damage == "cut":
            text = text[: len(text) * 2 // 3]
        return self.academy.raw_feed(text.encode(), source=source)

    def _set(self, agents: dict[Agent, Listed], day: date) -> Path:
        folder = self.academy.folder / f"set-{next(self.sets)}"
        folder.mkdir()
        contents = files(list(agents), f"{day:%Y%m%d}", schools=self.world.structures)
        return zipped(folder / f"ENT2DVA_Complet_{day:%Y%m%d}.zip", contents)

    # Cases

    def _note(self, listed: list[dict[str, Any]]) -> None:
        """Counts the cases that are new tonight."""
        self.shown = listed
        self.listed = [case for case in listed if case["decision"] is None]
        open_pairs = {}
        for case in self.listed:
            names = frozenset([case["matricule"], *case["of"]])
            key = case["case"], case["since"]
            if key not in self.opened:
                self.opened[key] = case
                self.figures.asked += 1
                self.figures.cases[case["doubt"]] += 1
                who = ", ".join(map(str, self._people_of(case)))
                named = [case[word] for word in ("case", "doubt", "source", "matricule", "of")]
                print(f"  case {named}: {who}")
                if names in open_pairs or names in self.pairs:
                    self.figures.cases["mirrored"] += 1
                evidence = [
                    {"same NUMEN", "same identity"} <= {*side["evidence"]}
                    for shown in self._shown(case)
                    for side in shown["sides"]
                ]
                if any(evidence):
                    self.figures.cases["NUMEN and identity equal"] += 1
                if self._facts(case) in self.answered:
                    self.figures.cases["asked again"] += 1
            open_pairs[names] = case["case"]
        self.pairs = open_pairs

    def _shown(self, case: dict[str, Any]) -> list[Any]:
        ran = self.academy.run("match", "show", case["case"], "-o", "json")
        if ran.code:
            self.fault("case not shown", ran.err)
            return []
        return ran.json if isinstance(ran.json, list) else [ran.json]

    def _facts(self, case: dict[str, Any]) -> tuple[object, ...]:
        """Whom a case is about, whichever number it is listed under, and what the row states of them."""
        listed = self.meant(case)
        if listed is None:
            return (case["case"], case["since"])
        row = listed.row
        people = {listed.human, *filter(None, map(self.human_of, case["of"]))}
        stated = (row.get("date_naissance"), row.get("nom_famille"), row.get("prenom"))
        return case["doubt"], frozenset(people), stated

    def decide(self) -> None:
        """Answers each case some days after it was opened, by the record."""
        for case in self.listed:
            waited = self.world.day - date.fromisoformat(case["since"])
            tries = self.tries[case["case"], case["since"]]
            # an answer that was refused is tried again from week to week
            if waited.days >= 2 + int(case["case"], 16) % 3 + 7 * tries:
                self.tries[case["case"], case["since"]] += 1
                self._answer(case)

    def _answer(self, case: dict[str, Any]) -> None:
        listed = self.meant(case)
        if listed is None:  # its row is in no file any more: there is nothing to answer
            self.once("case of no row", str(case), case["case"])
            return
        human = listed.human
        self.answered.add(self._facts(case))
        rows = [name for name in (case["matricule"], *case["of"]) if name not in self.uids]
        if typed := [name for name in rows if self.key_of(name) in self.world.typed]:
            if self.wrong_row:
                self._say(case, "wrong-row", *(["--matricule", typed[0]] if len(rows) > 1 else []))
            return
        same = [name for name in case["of"] if self.human_of(name) is human]
        if not same:
            self._say(case, "different")
            return
        ran = self._say(case, "same", *(["--account", same[0]] if len(case["of"]) > 1 else []))
        if ran.code and (merge := re.search(r"piactl (account merge \S+ \S+)", ran.err)):
            self._merge(case, merge.group(1).split())

    def _say(self, case: dict[str, Any], answer: str, *options: str) -> Ran:
        print(f"  answer {case['case']}: {answer} {' '.join(options)}")
        words = ("match", answer, case["case"], *options, *REASON, "--as-of", self.world.day.isoformat())
        ran = self.academy.run(*words)
        self.figures.answers[answer if ran.code == 0 else f"{answer}, refused"] += 1
        if ran.code and "account merge" not in ran.err:
            self.once("answer refused", f"{case}: {answer}: {ran.err}", case["case"])
        return ran

    def _merge(self, case: dict[str, Any], words: Sequence[str]) -> None:
        ending = (*REASON, "--yes", "--as-of", self.world.day.isoformat())
        ran = self.academy.run(*words, *ending)
        if ran.code and (further := re.search(r"--(?!reason|yes|as-of|dry-run)[a-z-]+", ran.err)):
            ran = self.academy.run(*words, further.group(), *ending)
        self.figures.answers["merge" if ran.code == 0 else "merge, refused"] += 1
        if ran.code:
            self.once("answer refused", f"{case}: {words}: {ran.err}", case["case"])

    def meant(self, case: dict[str, Any]) -> Listed | None:
        """The row that a case is about, in the last file of its source."""
        namespace, number = self.key_of(case["matricule"])
        rows = [
            listed
            for source, space in self.world.namespaces.items()
            if space == namespace
            for listed in self.world.delivered.get(source, ())
            if listed.row["matricule"] == number
        ]
        own = [listed for listed in rows if listed.source == case["source"]] or rows
        if own and own[0].source == AAF:
            return own[0]
        named = [
            listed
            for listed in own
            if listed.row["nom_famille"] in case["name"] and listed.row["prenom"] in case["name"]
        ]
        return next(iter(named or own), None)

    def key_of(self, name: str) -> tuple[str, str]:
        namespace, _, number = name.rpartition(":")
        return namespace or "hr", number

    def human_of(self, name: str) -> Human | None:
        """The human of an account, or of a newcomer's number, in a case."""
        if name in self.uids:
            return self.uids[name]
        key = self.key_of(name)
        if key in self.world.stated:
            return self.world.stated[key].human
        return next(iter(self.world.owners_of(*key)), None)

    # What the directory has

    def read(self) -> Iterator[Entry]:
        """The accounts, each with its human. The first night with an account decides whose it is."""
        for key in (self.world.owners.keys() | self.world.typed) - self.digested:
            self.digested.add(key)
            namespace, number = key
            name = number if namespace == "hr" else f"{namespace}:{number}"
            for digest in self.academy.digests(name):
                self.digests.setdefault(digest, key)
        for raw in self.academy.accounts().values():
            texts = {name: [v.decode("utf-8", "replace") for v in raw[name]] for name in raw}
            if texts.get("piactlMergedInto"):
                continue
            numbers = {self.digests.get(d, ("?", d)) for d in texts.get("piactlMatriculeDigest", ())}
            uuid, uid = texts["entryUUID"][0], texts["uid"][0]
            human = self.whose.get(uuid) or self._first_owner(uid, numbers, texts)
            if human is None:
                self.fault("account of nobody", f"{uid}: {numbers}")
                continue
            self.whose[uuid] = self.uids[uid] = human
            self.uids |= dict.fromkeys(texts["uid"], human)
            rights = {
                (service, uai)
                for urn in texts.get("eduPersonEntitlement", ())
                for service, _, uai in [urn.removeprefix(SERVICE).partition(":")]
            }
            names = {v for name in ("mail", "piactlAlias", "piactlIdentifier") for v in texts.get(name, ())}
            posts = tuple(self._post(text) for text in texts.get("piactlAssignment", ()))
            state = texts["supannRessourceEtat"][0]
            yield Entry(
                uuid, uid, human, frozenset(numbers), state, posts, frozenset(rights), frozenset(names)
            )

    @staticmethod
    def _post(text: str) -> tuple[str, str, str, str]:
        uai, function, start, *rest = text.split("$")
        return rest[6], uai, function, f"{start[:4]}-{start[4:6]}-{start[6:8]}" if start.isdigit() else start

    def _first_owner(
        self, uid: str, numbers: set[tuple[str, str]], texts: dict[str, list[str]]
    ) -> Human | None:
        """The human of a new account. If HR has given its number to two people, the row that the account was
        made of decides."""
        owners = {human for key in numbers for human in self.world.owners_of(*key)}
        stated = {self.world.stated[key].human for key in numbers if key in self.world.stated}
        return next(iter(owners if len(owners) == 1 else stated or owners), None)

    # What the record says about it

    def check(self) -> None:
        """Compares the directory with the record. `entries` is what is there."""
        by_human: dict[Human, list[Entry]] = {}
        for entry in self.entries:
            by_human.setdefault(entry.human, []).append(entry)
            self._check_own(entry)
        self._check_one(by_human)
        self._check_served(by_human)

    def _check_own(self, entry: Entry) -> None:
        """No number, post, right or address of another person."""
        human, said = entry.human, self.world.said.get(entry.human, set())
        for key in entry.numbers:
            if human not in self.world.owners_of(*key):
                self.once("number of another person", f"{entry.uid} of {human} has {key}", key, human)
        for post in entry.posts:
            known = {p[:3] for p in said} if post[0] == AAF else said
            if (post[:3] if post[0] == AAF else post) not in known:
                self.once("post of another person", f"{entry.uid} of {human} has {post}", post, human)
        for service, uai in entry.rights:
            if uai and not any(p[1] == uai and p[2] in FUNCTIONS[service] for p in said):
                self.once("right of another person", f"{entry.uid} of {human}: {service} {uai}", uai, human)
        for name in entry.names:
            local = name.partition("@")[0]
            if self.addresses.setdefault(local, human) is not human:
                seen = f"{name} of {human} was that of {self.addresses[local]}"
                self.once("address given twice", seen, name, human)

    def once(self, kind: str, seen: str, *key: object) -> None:
        if (kind, *key) not in self.told:
            self.told.add((kind, *key))
            self.fault(kind, seen)

    def _check_one(self, by_human: dict[Human, list[Entry]]) -> None:
        """No person has two accounts, unless nothing in the files shows it; once it shows, a case asks."""
        for human, entries in by_human.items():
            waited = ("doubled", human)
            if len(entries) < 2:
                del self.waits[waited]
            elif self.world.one_by_files(human):
                new = waited not in self.waits
                self.waits[waited] += 1
                # two cases, one after the other: the birth date has changed, and now two accounts are alike
                if new or self.waits[waited] > 2 * LONGEST_CASE:
                    seen = f"{human} has {[(e.uid, sorted(e.numbers)) for e in entries]}"
                    self.once("person with two accounts", seen, human)
            else:
                if waited not in self.waits:
                    self.figures.excused["two accounts that no data show to be one"] += 1
                self.waits[waited] = 0

    def _check_served(self, by_human: dict[Human, list[Entry]]) -> None:
        """Who works, and whom HR lists, has an account, log in, and the rights of the post; who had them does
        not lose them. Who has gone loses them, and who is suspended is locked."""
        day = self.world.day
        listed: dict[Human, list[Listed]] = {}
        for source, rows in self.world.delivered.items():
            for row in rows if source != AAF else ():
                listed.setdefault(row.human, []).append(row)
        last = {
            human: max((row.row["fin"] or "9999" for row in rows), default="")
            for human, rows in listed.items()
        }
        people_under: dict[tuple[str, str], set[Human]] = {}
        for rows in listed.values():
            for r in rows:
                people_under.setdefault((r.source, r.row["matricule"]), set()).add(r.human)
        served: set[tuple[Human, tuple[str, ...]]] = set()
        for human, rows in listed.items():
            entries = by_human.get(human, [])
            rights = {right for entry in entries for right in entry.rights}
            is_open = any(entry.state == OPEN for entry in entries)
            suspended = [r.row["debut"] for r in rows if r.row["position"] and r.row["debut"] <= f"{day}"]
            if suspended:
                self._waits("suspended and open", human, 1, bad=is_open and min(suspended) < f"{day}")
                continue
            working = [r for r in rows if self._counts(r, day)]
            lacks = {r.post: self._lacks(r, entries, rights) for r in working}
            lacking = next((lack for lack in lacks.values() if lack), "")
            for post, lack in lacks.items():
                if not lack:
                    served.add((human, post))
                elif (human, post) in self.served:
                    self.once("loses", f"{human} lacks {lack}; {self.states(entries)}", human, post)
            kind = f"works without {lacking.partition(':')[0] or 'account'}"
            held = any(self._rejected(r, people_under) for r in rows)
            self._waits(kind, human, LONGEST_CASE + 2, bad=bool(lacking) and not held)
            if not lacking:
                for key in [key for key in self.waits if key[1] is human and key[0].startswith("works")]:
                    del self.waits[key]
        self.served = served
        for human, entries in by_human.items():
            self._check_gone(human, entries, last.get(human, ""))

    def _rejected(self, listed: Listed, people_under: dict[tuple[str, str], set[Human]]) -> bool:
        """Whether a row cannot be read, or is beside that of somebody else under one number: both are held,
        and the night lists the rows."""
        row = listed.row
        unreadable = row["uai"] == UNREADABLE or "?" in row["nom_famille"] or "31/02" in row["debut"]
        return unreadable or len(people_under[listed.source, row["matricule"]]) > 1

    def _lacks(self, listed: Listed, entries: list[Entry], rights: set[tuple[str, str]]) -> str:
        """What somebody lacks for a post: an account, log in, or the service of the function there."""
        if not any(entry.state == OPEN for entry in entries):
            return "log in" if entries else "account"
        service = EXPECTED.get(listed.row["fonction"])
        right = service and (service, listed.row["uai"])
        return "" if right is None or right in rights else f"{service}:{listed.row['uai']}"

    def states(self, entries: list[Entry]) -> list[tuple[str, str]]:
        return [(entry.uid, entry.state.partition("}")[2]) for entry in entries]

    def _counts(self, listed: Listed, day: date) -> bool:
        row = listed.row
        try:
            start = date.fromisoformat(row["debut"])
        except ValueError:
            return False
        return start + timedelta(days=3) <= day and (not row["fin"] or row["fin"] >= f"{day}")

    def _waits(self, kind: str, human: Human, longest: int, *, bad: bool) -> None:
        key = (kind, human)
        if not bad:
            del self.waits[key]
            return
        self.waits[key] += 1
        if self.waits[key] <= longest or (kind, human) in self.told:
            return
        cases = [case for case in self.shown if human in self._people_of(case)]
        if any(case["decision"] for case in cases):
            self.figures.excused["waits for HR, and is listed"] += self.waits[key] == longest + 1
            return
        self.told.add((kind, human))
        self.fault(kind, f"{human} for {self.waits[key]} nights; {[case['case'] for case in cases]}")

    def _people_of(self, case: dict[str, Any]) -> set[Human | None]:
        meant = self.meant(case)
        return {meant.human if meant else None, *map(self.human_of, [case["matricule"], *case["of"]])}

    def _check_gone(self, human: Human, entries: list[Entry], last: str) -> None:
        """The end that HR stated, and the grace and handover after it, from the first night whose files say
        so. `last`: the last end that the files have. Where a row has gone, two files show it, and one may be
        missing."""
        day, slack = self.world.day, 5 if self.step == 1 else 3 * self.step + 2
        ends = [p.stated_end(day) for p in human.posts if p.known <= day]
        if any(end is None for end in ends) or not ends or last >= f"{day}":
            self.heard.pop(human, None)
            return
        gone = (day - max(self.heard.setdefault(human, day), *(end for end in ends if end))).days
        for entry in entries:
            if gone > GRACE + slack and entry.state.startswith("{COMPTE}A"):
                why = self.academy.run("why", entry.uid, "--as-of", f"{self.world.day}").out
                self.once("keeps log in", f"{human}, {gone} days after the end: {why}", human)
            if gone > HANDOVER + slack and any(uai for _, uai in entry.rights):
                self.once("keeps rights", f"{human}, {gone} days after the end: {entry.rights}", human)

    def _end(self, day: date) -> None:
        """At the end HR is right and all is answered: nothing is open, and nobody has two accounts."""
        for case in self.listed:
            self.fault("case that stays open", str(case))
        having = Counter(entry.human for entry in self.entries)
        for human in self.world.humans:
            if having[human] > 1 and human in self.said_numbers():
                self.fault("person with two accounts at the end", f"{human}")

    def said_numbers(self) -> set[Human]:
        return {human for human in self.world.humans if self.world.one_by_files(human)}


def with_swapped_people(nights: Nights) -> Nights:
    """The nights with a wrong record: the numbers and posts of two people are each other's."""
    said = nights.world.said
    left, *others = [entry.human for entry in nights.entries if entry.posts]
    right = next(human for human in others if said[human].isdisjoint(said[left]))
    said[left], said[right] = said[right], said[left]
    for owners in nights.world.owners.values():
        owners[:] = [right if human is left else left if human is right else human for human in owners]
    return nights


def with_joined_people(nights: Nights) -> Nights:
    """The nights with a wrong record: two people are one, and their rows show it."""
    left, right = [entry for entry in nights.entries if entry.posts][:2]
    nights.whose[right.uuid] = left.human
    for key, listed in nights.world.stated.items():
        if listed.human in (left.human, right.human) and key[0] != AAF:
            row = {**listed.row, "numen": left.human.numen}
            nights.world.stated[key] = Listed(row, left.human, listed.source)
    nights.entries = list(nights.read())
    return nights
