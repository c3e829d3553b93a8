"""A year of three invented sources, compared with an independent record of who is who: no account passes to
another person, no person has two, every doubt is a case, and clean data cause no case."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from random import Random
from typing import Any

import pytest

from .academy import Academy
from .feeds import HEADER, row
from .three_sources import DELTAS, NAMESPACES, Human, World

FIRST = date(2026, 9, 1)
DECIDED_AFTER = 4
"""The days until somebody decides a case: HR corrects some of its errors earlier, some later."""


class Year:
    """The nights, and what the record says about the directory after each."""

    def __init__(self, academy: Academy, seed: int, people: int, *, slips: bool) -> None:
        self.academy, self.random = academy, Random(seed)
        self.world = World(Random(seed + 1), FIRST, slips=slips)
        self.cases: dict[str, dict[str, Any]] = {}
        self.whose: dict[str, Human] = {}
        self.uids: dict[str, Human] = {}
        self.answers: Counter[str] = Counter()
        self.last_dates: dict[str, date] = {}
        """The day of the last feed of each source that was applied."""
        self.late: Counter[str] = Counter()
        academy.sources(
            epp="kind: full",
            agape="kind: full",
            contrats="kind: full, namespace: contrats",
            **{DELTAS: "kind: delta"},
        )
        academy.edit(
            "piactl.yaml", "any_date: true", "any_date: true\nmatching: {automatic: [numen+identity]}"
        )
        # much happens to few people: otherwise guards would have to be approved now and then
        academy.allow_up_to(people)
        for _ in range(people):
            self.world.arrive()
        self.night([*NAMESPACES])

    def day(self) -> None:
        self.world.live()
        sources = [source for source in NAMESPACES if self.random.random() < 0.7]
        self.random.shuffle(sources)
        self.night(sources)
        self.deltas()
        self.decide()

    def night(self, sources: list[str]) -> None:
        day = self.world.day.isoformat()
        feeds = [self.academy.feed(*self.world.rows(s), day=day, source=s) for s in sources]
        ran = self.academy.run("nightly", *feeds, "--as-of", day, "-o", "json")
        assert ran.code in (0, 5), f"{day}: exit {ran.code}: {ran.out[-2000:]}{ran.err}"
        self.last_dates |= dict.fromkeys(sources, self.world.day)
        self.look(day)

    def deltas(self) -> None:
        """Feeds late deltas: one is refused if its source has one of a later day, otherwise it is applied,
        whatever the other sources have said since."""
        day = self.world.day.isoformat()
        for late in [late for late in self.world.late if late.comes == self.world.day]:
            lines = [f"{HEADER};rejet", f"{row(**late.stated)};", f"#FIN;rows=1;date={late.written}", ""]
            feed = self.academy.raw_feed("\n".join(lines).encode(), source=late.source)
            ran = self.academy.run("nightly", feed, "--as-of", day, "-o", "json")
            if late.written < self.last_dates.get(late.source, FIRST):
                assert ran.code == 6, f"{day}: exit {ran.code}: {ran.err}"
                assert f"it is dated {late.written}" in ran.err
                self.late["refused"] += 1
            else:
                assert ran.code in (0, 5), f"{day}: exit {ran.code}: {ran.out[-2000:]}{ran.err}"
                if late.source == DELTAS:  # corrected rows of a full feed do not replace the feed
                    self.last_dates[late.source] = late.written
                self.late["applied"] += 1
            self.look(day)

    def look(self, day: str) -> None:
        """Looks at the open cases, and checks that everybody has their own account."""
        self.listed = self.academy.run("match", "list", "--as-of", day, "-o", "json").json
        for case in self.listed:
            self.cases[case["case"]] = case
        self.check(day)

    def check(self, day: str) -> None:
        """Checks that each account belongs to one human for ever, and that no human has two."""
        by_digest = {
            digest: human
            for (namespace, matricule), human in self.world.owners.items()
            for digest in self.academy.digests(matricule if namespace == "hr" else f"{namespace}:{matricule}")
        }
        self.having = having = Counter[int]()
        for entry in self.academy.accounts().values():
            uuid, uid = entry["entryUUID"][0].decode(), entry["uid"][0].decode()
            humans = {
                by_digest[d.decode()].number: by_digest[d.decode()]
                for d in entry.get("piactlMatriculeDigest", [])
            }
            assert len(humans) <= 1, f"{day}: {uid} is the account of {list(humans.values())}"
            for human in humans.values():
                before = self.whose.setdefault(uuid, human)
                assert before is human, f"{day}: {uid} was the account of {before}, and is that of {human}"
                having[human.number] += 1
                self.uids[uid] = human
        twice = [number for number, count in having.items() if count > 1]
        assert not twice, f"{day}: {[self.world.humans[n] for n in twice]} have two accounts"

    def decide(self) -> None:
        """Decides cases as somebody who asks HR: by the record."""
        day = self.world.day
        for case in self.listed:
            if case["decision"]:  # it waits for HR
                continue
            if date.fromisoformat(case["since"]) + timedelta(days=DECIDED_AFTER) > day:
                continue
            human = self.meant(case)
            same = [name for name in case["of"] if self.human_of(name) is human]
            words = ["match", "same" if same else "different", case["case"], "--reason", "HR was asked"]
            which = ["--account", same[0]] if same and len(case["of"]) > 1 else []
            ran = self.academy.run(*words, *which, "--as-of", day.isoformat())
            assert ran.code == 0, f"{day} {case}: {ran.err}"
            self.answers[words[1]] += 1

    def meant(self, case: dict[str, Any]) -> Human:
        """The human whom the source means by the matricule of a case: the one of its row, or of a row under
        another matricule of the same account."""
        rows = [
            (self.world.stated(human, job), human)
            for human in self.world.humans
            for job in human.jobs
            if job.source == case["source"]
        ]
        rows += [(late.stated, late.human) for late in self.world.late if late.source == case["source"]]
        matricule = case["matricule"].rpartition(":")[2]
        under = [(row, human) for row, human in rows if row["matricule"] == matricule]
        named = [
            human
            for row, human in under or rows
            if row["prenom"] in case["name"] and row["nom_famille"] in case["name"]
        ]
        assert named, f"{case} is about nobody"
        owner = self.human_of(case["matricule"])
        return owner if owner in named else named[-1]

    def human_of(self, name: str) -> Human | None:
        """The human who owns the account with a uid, or a matricule of the record."""
        if name in self.uids:
            return self.uids[name]
        namespace, _, matricule = name.rpartition(":")
        return self.world.owners.get((namespace or "hr", matricule))


def live(academy: Academy, seed: int, people: int, days: int, *, slips: bool) -> Year:
    year = Year(academy, seed, people, slips=slips)
    for _ in range(days):
        year.day()
    # HR has corrected its errors, and all cases have been decided
    for _ in range(15):
        year.world.day += timedelta(days=1)
        year.night([*NAMESPACES])
        year.deltas()
        year.decide()
    working = {human.number for human in year.world.working() if human.jobs[-1].start <= year.world.day}
    assert working <= set(year.having), f"{working - set(year.having)} have no account"
    assert not year.listed
    assert year.late["applied"] > 1
    assert year.late["refused"] > 1
    assert academy.run("journal", "verify").code == 0
    return year


def test_errors_of_hr_over_weeks_mix_up_no_accounts(academy: Academy) -> None:
    year = live(academy, 7, 40, 20, slips=True)
    assert year.answers["same"]
    assert year.answers["different"]


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
def test_errors_of_hr_over_a_year_mix_up_no_accounts(academy: Academy, seed: int) -> None:
    year = live(academy, seed, 300, 365, slips=True)
    assert year.answers["same"]
    assert year.answers["different"]
    assert {"number", "namesake", "birth", "titularise", "marry", "twin"} <= set(year.world.happened)


def test_clean_weeks_make_no_case(academy: Academy) -> None:
    assert live(academy, 11, 40, 15, slips=False).cases == {}


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2))
def test_a_clean_year_makes_no_case(academy: Academy, seed: int) -> None:
    year = live(academy, seed, 300, 365, slips=False)
    assert year.cases == {}
    assert {"titularise", "return", "homonym", "twin", "marry"} <= set(year.world.happened)
