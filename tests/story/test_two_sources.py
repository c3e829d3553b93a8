"""One person whom two sources describe differently: nothing goes back and forth between their nights."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Sandbox

from . import feeds
from .academy import Academy, prepared
from .both_ways import same
from .feeds import MARESCHAL, MICHELIS

DAYS = [f"2026-09-{day:02}" for day in range(5, 20)]
IDA = feeds.row(matricule="1999", prenom="Ida", nom_famille="Roy")
BOTH = {"civilite": "MME", "courriel_prive": "claire@example.org"}


@pytest.fixture
def two(academy: Academy) -> Academy:
    """An academy with two full sources."""
    academy.sources(agape="kind: full", epp="kind: full")
    return academy


def agape(academy: Academy, day: str, **values: str) -> Path:
    return academy.feed(feeds.row(**{**BOTH, **values}), IDA, day=day, source="agape")


def epp(academy: Academy, day: str, **values: str) -> Path:
    ida = IDA.replace("0800009A", MARESCHAL)
    return academy.feed(feeds.row(**{"uai": MICHELIS, **BOTH, **values}), ida, day=day, source="epp")


def together(academy: Academy) -> None:
    academy.night(DAYS[0], agape(academy, DAYS[0]), epp(academy, DAYS[0]))


@prepared
def both(academy: Academy) -> Academy:
    """The same after a night with a feed of each source."""
    academy.sources(agape="kind: full", epp="kind: full")
    together(academy)
    return academy


def differing(plan: Any) -> list[tuple[str, list[str]]]:
    return [(disagreement["uid"], disagreement["columns"]) for disagreement in plan["disagreements"]]


CHANGED = {
    "nom_usage": "Aubry",
    "prenom": "Clara",
    "nom_famille": "Dubreuille",
    "civilite": "M",
    "courriel_prive": "c.d@example.org",
}
KINDS = {"nom_usage": "rename", "prenom": "rename", "nom_famille": "rename", "civilite": "update"}
PEOPLE = {column: f"Claire{chr(97 + n)}" for n, column in enumerate(CHANGED)}
"""One person for each column, by given name."""


def of_each(academy: Academy, source: str, day: str, *, changed: bool) -> Path:
    """What a source says about these people, before one column of each changed or after it."""
    rows = []
    for number, (column, name) in enumerate(PEOPLE.items()):
        values = {**BOTH, "prenom": name, "courriel_prive": f"c{number}@example.org"}
        values |= {"matricule": str(3000 + number), "nom_famille": f"Dubreuil{chr(97 + number)}"}
        values |= {"uai": MICHELIS} if source == "epp" else {}
        values |= {column: CHANGED[column]} if changed else {}
        rows.append(feeds.row(**values))
    return academy.feed(*rows, day=day, source=source)


def of_each_together(academy: Academy) -> None:
    academy.allow_up_to(9)
    first = [of_each(academy, source, DAYS[0], changed=False) for source in ("agape", "epp")]
    academy.night(DAYS[0], *first)


def test_a_change_by_the_first_source_is_not_reverted_by_the_second(two: Academy) -> None:
    of_each_together(two)
    feed = of_each(two, "agape", DAYS[1], changed=True)
    plan = two.plan(feed, "--as-of", DAYS[1])
    uids = dict(zip(PEOPLE, (two.names()[str(3000 + n)] for n in range(5)), strict=True))
    for line, column in enumerate(PEOPLE, start=2):
        kind = KINDS.get(column, "identity")
        own = [c for c in plan["changes"] if (c["uid"], c["kind"]) == (uids[column], kind)]
        assert {f"{c['feed']}:{c['line']}" for c in own} == {f"{feed.name}:{line}"}, column
    # the other source now states another value: it is reported once
    listed = [(uids[column], [column]) for column in PEOPLE if column != "nom_usage"]
    assert sorted(differing(plan)) == sorted(listed)
    two.night(DAYS[1], feed)
    for day in (2, 4):
        old = of_each(two, "epp", DAYS[day], changed=False)
        assert differing(two.plan(old, "--as-of", DAYS[day])) == []
        two.quiet_night(DAYS[day], old)
        two.quiet_night(DAYS[day + 1], of_each(two, "agape", DAYS[day + 1], changed=True))
    follows = of_each(two, "epp", DAYS[6], changed=True)
    two.quiet_night(DAYS[6], follows)
    assert differing(two.plan(follows, "--as-of", DAYS[6])) == []
    # a blank is not a statement
    back = two.night(DAYS[7], of_each(two, "agape", DAYS[7], changed=False)).json["summary"]
    assert {kind: back.get(kind) for kind in ("rename", "identity")} == {"rename": 2, "identity": 1}
    assert two.values(uids["civilite"], "personalTitle") == ["MME"]
    assert two.values(uids["nom_usage"], "sn") == ["Aubry"]


def test_what_the_other_source_says_otherwise_is_listed_once(two: Academy) -> None:
    """A blank of the first source is not a statement: then the other one counts."""
    of_each_together(two)
    uids = dict(zip(PEOPLE, (two.names()[str(3000 + n)] for n in range(5)), strict=True))
    feed = of_each(two, "epp", DAYS[1], changed=True)
    plan = two.plan(feed, "--as-of", DAYS[1])
    changes = [(c["uid"], c["kind"]) for c in plan["changes"]]
    assert changes == [(uids["nom_usage"], "rename"), (uids["nom_usage"], "update")]
    listed = [(uids[column], [column]) for column in PEOPLE if column != "nom_usage"]
    assert sorted(differing(plan)) == sorted(listed)
    two.night(DAYS[1], feed)
    again = of_each(two, "epp", DAYS[2], changed=True)
    assert differing(two.plan(again, "--as-of", DAYS[2])) == []
    two.quiet_night(DAYS[2], again)
    two.quiet_night(DAYS[3], of_each(two, "agape", DAYS[3], changed=False))


def test_ranks_let_another_source_come_first_for_names(two: Academy) -> None:
    two.edit("piactl.yaml", "sources:", "ranks: {names: epp}\nsources:")
    together(two)
    changed = {"prenom": "Clara", "courriel_prive": "c.d@example.org"}
    two.night(DAYS[1], epp(two, DAYS[1], **changed))
    assert two.values("claire.dubreuil", "givenName") == ["Clara"]
    assert two.values("claire.dubreuil", "supannMailPrive") == ["{PERSO}claire@example.org"]
    two.quiet_night(DAYS[2], agape(two, DAYS[2]))


def test_the_summary_reports_a_disagreement_once(both: Academy) -> None:
    feed = epp(both, DAYS[1], prenom="Clara")
    out = both.run("nightly", feed, "--as-of", DAYS[1]).out
    assert out.count("claire.dubreuil") == 1
    assert f"claire.dubreuil: {feed.name}:2 differs from agape in prenom" in out


def test_in_one_run_names_come_from_one_source_and_posts_from_both(both: Academy) -> None:
    one, other = agape(both, DAYS[1], prenom="Clara", fin="2026-10-31"), epp(both, DAYS[1])
    plan = both.plan(other, one, "--as-of", DAYS[1])
    assert plan["holds"] == []
    (disagreement,) = plan["disagreements"]
    assert (disagreement["matricule"], disagreement["uid"], disagreement["columns"]) == (
        "1001",
        "claire.dubreuil",
        ["prenom"],
    )
    for file in (one, other):
        assert f"{file.name}:2" in disagreement["why"]
    both.twice(DAYS[1], other, one)
    assert both.values("claire.dubreuil", "givenName") == ["Clara"]
    ends = {a["uai"]: a["end"] for a in both.show("claire.dubreuil", DAYS[1])["assignments"]}
    assert ends == {"0800009A": "2026-10-31", MICHELIS: None}
    both.quiet_night(DAYS[2], epp(both, DAYS[2]))
    both.quiet_night(DAYS[3], agape(both, DAYS[3], prenom="Clara", fin="2026-10-31"))


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in (1, 2))])
def test_shuffled_nights_end_in_the_same_state(
    make_sandbox: Callable[..., Sandbox], tmp_path: Path, seed: int
) -> None:
    """The last statement of each source counts, in any order and in one run or several."""
    nights = [
        ("agape", {"prenom": "Clara", "nom_usage": "Aubry"}),
        ("epp", {"prenom": "Claire-Marie", "courriel_prive": "c.d@example.org"}),
        ("agape", {"prenom": "Clara", "nom_usage": "Aubry"}),
        ("epp", {"prenom": "Claire-Marie", "courriel_prive": "c.d@example.org", "nom_usage": "Roy"}),
    ]
    ends = []
    for order in (nights, random.Random(seed).sample(nights, 4)):
        academy = Academy(make_sandbox(), tmp_path)
        academy.sources(agape="kind: full", epp="kind: full")
        together(academy)
        for number, (source, values) in enumerate(order, start=1):
            feed = {"agape": agape, "epp": epp}[source](academy, DAYS[number], **values)
            academy.twice(DAYS[number], feed)
        last = dict(nights)
        for number, source in enumerate(random.Random(seed).sample(["agape", "epp"], 2), start=6):
            feed = {"agape": agape, "epp": epp}[source](academy, DAYS[number], **last[source])
            academy.twice(DAYS[number], feed)
        names = ("givenName", "sn", "supannNomDeNaissance", "personalTitle", "supannMailPrive", "mail", "uid")
        ends.append({name: academy.values("claire.dubreuil", name) for name in names})
    assert ends[0] == ends[1]
    assert ends[0]["givenName"] == ["Clara"]
    assert ends[0]["supannMailPrive"] == ["{PERSO}claire@example.org"]


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in (1, 2))])
def test_repeated_statements_change_accounts_at_most_once(both: Academy, seed: int) -> None:
    """Two sources repeat their statements, one at a time or both: each changes accounts at most once."""
    words = [
        lambda day: [agape(both, day, prenom="Clara", nom_usage="Aubry")],
        lambda day: [epp(both, day, prenom="Claire-Marie", courriel_prive="")],
        lambda day: [
            agape(both, day, prenom="Clara", nom_usage="Aubry"),
            epp(both, day, prenom="Claire-Marie", courriel_prive=""),
        ],
    ]
    order = list(product(range(3), repeat=3))[seed::9]
    quiet_nights: set[int] = set()
    for number, night in enumerate([seed, *(n for nights in order for n in nights)]):
        day = f"2026-10-{number + 1:02}"
        if night in quiet_nights:
            both.quiet_night(day, *words[night](day))
        both.night(day, *words[night](day))
        quiet_nights |= {0, 1, 2} if night == 2 else {night}
        quiet_nights |= {2} if {0, 1} <= quiet_nights else set()


def test_a_source_that_is_new_to_a_person_does_not_rename(two: Academy) -> None:
    two.night(DAYS[0], agape(two, DAYS[0]))
    feed = epp(two, DAYS[1], prenom="Clara", civilite="", courriel_prive="")
    plan = two.plan(feed, "--as-of", DAYS[1])
    assert differing(plan) == [("claire.dubreuil", ["prenom"])]
    two.twice(DAYS[1], feed)
    assert len(two.values("claire.dubreuil", "piactlAssignment")) == 2
    assert two.values("claire.dubreuil", "displayName") == ["Claire Dubreuil"]
    assert two.values("claire.dubreuil", "supannMailPrive") == ["{PERSO}claire@example.org"]
    two.quiet_night(DAYS[2], agape(two, DAYS[2]))


def test_the_second_source_fills_a_value_that_the_first_leaves_blank(two: Academy) -> None:
    two.night(DAYS[0], agape(two, DAYS[0], courriel_prive=""))
    two.twice(DAYS[1], epp(two, DAYS[1]))
    assert two.values("claire.dubreuil", "supannMailPrive") == ["{PERSO}claire@example.org"]
    two.quiet_night(DAYS[2], agape(two, DAYS[2], courriel_prive=""))
    two.quiet_night(DAYS[3], agape(two, DAYS[3], courriel_prive=""), epp(two, DAYS[3]))
    two.night(DAYS[4], epp(two, DAYS[4], courriel_prive=""))
    assert "supannMailPrive" not in two.entry("claire.dubreuil")


def test_spelling_is_no_difference(two: Academy) -> None:
    names = {"prenom": "Héloïse", "nom_famille": "Lefèvre"}
    capitals = {"prenom": "HELOISE", "nom_famille": "LEFEVRE"}
    two.night(DAYS[0], agape(two, DAYS[0], **names))
    two.night(DAYS[1], epp(two, DAYS[1], **capitals))
    for day in (2, 4):
        two.quiet_night(DAYS[day], agape(two, DAYS[day], **names))
        two.quiet_night(DAYS[day + 1], epp(two, DAYS[day + 1], **capitals))
    feed = epp(two, DAYS[6], **capitals)
    assert differing(two.plan(feed, "--as-of", DAYS[6])) == []
    assert two.values("heloise.lefevre", "displayName") == ["Héloïse Lefèvre"]


def test_a_source_whose_post_has_ended_does_not_count_beside_another(both: Academy) -> None:
    over = epp(both, DAYS[2], prenom="Clara", fin=DAYS[1])
    both.night(DAYS[2], over)
    assert both.values("claire.dubreuil", "givenName") == ["Claire"]
    both.night(DAYS[3], agape(both, DAYS[3], prenom="Klara"))
    assert both.values("claire.dubreuil", "givenName") == ["Klara"]
    both.quiet_night(DAYS[4], epp(both, DAYS[4], prenom="Clara", fin=DAYS[1]))
    both.quiet_night(DAYS[5], agape(both, DAYS[5], prenom="Klara"))


def test_the_new_source_counts_once_the_old_post_has_ended(two: Academy) -> None:
    two.night(DAYS[0], agape(two, DAYS[0], fin=DAYS[2]))
    two.night(DAYS[1], epp(two, DAYS[1], prenom="Clara"))
    assert two.values("claire.dubreuil", "givenName") == ["Claire"]
    two.night(DAYS[3], epp(two, DAYS[3], prenom="Clara"))
    assert two.values("claire.dubreuil", "givenName") == ["Clara"]
    two.quiet_night(DAYS[4], agape(two, DAYS[4], fin=DAYS[2]))


def test_both_sources_leave_a_name_given_by_hand_until_its_end(both: Academy) -> None:
    words = ["--usage-name", "Aubry", "--until", DAYS[3], "--reason", "mariage", "--as-of", DAYS[0]]
    assert both.run("account", "rename", "claire.dubreuil", *words).code == 0
    both.quiet_night(DAYS[1], agape(both, DAYS[1]))
    both.quiet_night(DAYS[2], epp(both, DAYS[2]))
    both.night(DAYS[4], agape(both, DAYS[4]))
    assert both.values("claire.dubreuil", "mail") == ["claire.dubreuil@ac-amiens.fr"]


def test_an_undone_change_is_applied_when_sent_again(both: Academy) -> None:
    run = both.night(DAYS[1], agape(both, DAYS[1], prenom="Clara")).json["run"]
    assert both.run("undo", run, "--reason", "essai", "--as-of", DAYS[1]).code == 0
    both.quiet_night(DAYS[2], epp(both, DAYS[2]))
    both.night(DAYS[3], agape(both, DAYS[3], prenom="Clara", discipline="L0202"))
    assert both.values("claire.dubreuil", "givenName") == ["Clara"]
    both.quiet_night(DAYS[4], epp(both, DAYS[4]))


def sources(academy: Academy) -> str:
    entries = academy.sandbox.entries(f"ou=sources,{academy.sandbox.state}", "(objectClass=piactlRecord)")
    return " ".join(entry["piactlData"][0].decode() for entry in entries.values())


def test_remembered_statements_hold_no_names_and_end_at_archival(both: Academy) -> None:
    both.night(DAYS[1], agape(both, DAYS[1], prenom="Clara", courriel_prive="c.d@example.org"))
    both.night(DAYS[2], epp(both, DAYS[2]))
    assert "1001" in sources(both)
    for word in ("Claire", "Clara", "example.org"):
        assert word not in sources(both)
    ends = {"fin": DAYS[3]}
    clara = {"prenom": "Clara", "courriel_prive": "c.d@example.org"}
    both.night(DAYS[4], agape(both, DAYS[4], **clara, **ends), epp(both, DAYS[4], **ends))
    both.nights("2027-03-01")
    assert both.values("claire.dubreuil", "piactlState") == ["archived"]
    assert "1001" not in sources(both)


def test_a_new_digest_key_makes_no_statement_count_as_new(both: Academy) -> None:
    both.night(DAYS[1], agape(both, DAYS[1], prenom="Clara"))
    assert both.run("key", "add", "--reason", "annuel").code == 0
    both.night(DAYS[2], epp(both, DAYS[2]))
    assert both.values("claire.dubreuil", "givenName") == ["Clara"]
    both.night(DAYS[3], epp(both, DAYS[3]))
    assert both.values("claire.dubreuil", "givenName") == ["Clara"]


def test_disagreements_are_the_same_with_marks_and_in_batches(both: Academy) -> None:
    one, other = agape(both, DAYS[1], prenom="Clara"), epp(both, DAYS[1])
    assert differing(same(both, DAYS[1], one, other)) == [("claire.dubreuil", ["prenom"])]
    both.night(DAYS[1], one, other)
    one, other = agape(both, DAYS[2], prenom="Clara"), epp(both, DAYS[2], prenom="Klara")
    assert differing(same(both, DAYS[2], one, other)) == [("claire.dubreuil", ["prenom"])]
    alone = agape(both, DAYS[2], prenom="Klara")
    assert {c["kind"] for c in same(both, DAYS[2], alone)["changes"]} >= {"rename"}


def test_a_newcomer_whom_two_sources_describe_differently(two: Academy) -> None:
    """The statement of the first source counts, the other one is listed; another person is held."""
    new = {"matricule": "1500", "prenom": "Nour", "nom_famille": "Lambert", "date_naissance": "1980-02-03"}
    usual = {"uai": MICHELIS, "courriel_prive": "n@example.org"}
    stranger = {**new, "matricule": "1501", "prenom": "Luc", "date_naissance": ""}
    rows = [feeds.row(**new, nom_usage="Aubry"), feeds.row(**stranger), IDA]
    others = [feeds.row(**{**new, **usual}, nom_usage="Aubin"), feeds.row(**{**stranger, "prenom": "Eve",
              "nom_famille": "Petit"}), IDA.replace("0800009A", MARESCHAL)]  # fmt: skip
    files = [two.feed(*others, day=DAYS[0], source="epp"), two.feed(*rows, day=DAYS[0], source="agape")]
    plan = same(two, DAYS[0], *files)
    (listed,) = plan["disagreements"]
    assert (listed["matricule"], listed["uid"], listed["columns"]) == ("1500", None, ["nom_usage"])
    for word in (f"{files[0].name}:2", f"{files[1].name}:2", "agape counts"):
        assert word in listed["why"]
    assert "1500: " in two.run("plan", *files, "--as-of", DAYS[0]).out
    assert [hold["matricule"] for hold in plan["holds"]] == ["1501"]
    two.night(DAYS[0], *files)
    assert two.names()["1500"] == "nour.aubry"
    assert two.values("nour.aubry", "supannMailPrive") == ["{PERSO}n@example.org"]
    later = [two.feed(*others, day=DAYS[1], source="epp"), two.feed(*rows, day=DAYS[1], source="agape")]
    two.quiet_night(DAYS[1], *later)
