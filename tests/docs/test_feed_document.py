"""docs/feed.md is true: its feeds are accepted, its codes and columns are those of the code."""

from __future__ import annotations

import re
from datetime import date, timedelta
from pathlib import Path

import pytest

from piactl.cli.framework.configuration import Configuration, open_configuration
from piactl.core.model.account import State
from piactl.core.plan.check_feed_limits import LIMIT_CODES
from piactl.core.rules.career import Career, career_of
from piactl.errors import FeedRefused
from piactl.feed.error_codes import REFUSALS, REJECTIONS
from piactl.feed.feed_result import Feed
from piactl.feed.header import COLUMNS, PERSON_COLUMNS, REQUIRED
from piactl.feed.read_feed import read_feed
from piactl.planning.merge_feeds import policy_rejections
from piactl.sandbox.folder import prepare_files

TOP = Path(__file__).resolve().parents[2]
DOCUMENT = (TOP / "docs" / "feed.md").read_text(encoding="utf-8")
MOVER, RETIRING = "0012346", "0012345"


def block(name: str) -> str:
    """The only fenced block with that name."""
    blocks = re.findall(rf"^```{name}\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1, name
    return str(blocks[0])


def cells(heading: str) -> list[list[str]]:
    """The rows of all tables below a heading."""
    section = DOCUMENT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (.*) \|$", section, re.MULTILINE)
    return [
        [cell.strip() for cell in row.split(" | ")]
        for row in rows
        if not row.startswith(("code ", "column "))
    ]


def codes(heading: str) -> list[str]:
    return [code for row in cells(heading) for code in re.findall(r"`([a-z-]+)`", row[0])]


def codes_of_names_and_policy() -> set[str]:
    """The codes with which the rule for names and the policy reject rows."""
    naming = TOP / "piactl" / "core" / "naming"
    names = "".join(
        (naming / f"{module}.py").read_text(encoding="utf-8") for module in ("names", "implausible_values")
    )
    policy = (TOP / "piactl" / "core" / "rules" / "desired_account.py").read_text(encoding="utf-8")
    rejection_codes = set(re.findall(r'"(name-[a-z-]+)"', names))
    rejection_codes |= set(re.findall(r'\(assignment, "[a-z]+", "([a-z-]+)", message\)', policy))
    assert len(rejection_codes) > 8
    return rejection_codes


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    """The configuration, policy and register of a sandbox, without a server."""
    prepare_files(tmp_path, tmp_path / "no-socket")
    return open_configuration(tmp_path / "piactl.yaml")


def read(configuration: Configuration, folder: Path, content: str) -> Feed:
    path = folder / "rh.csv"
    path.write_text(content, encoding="utf-8")
    return read_feed(path, configuration.settings.sources["hr"])


def rejected(configuration: Configuration, feed: Feed) -> list[str]:
    rejection_codes = [rejection.code for rejection in feed.rejections]
    for person in feed.people.values():
        rejection_codes += [
            r.code
            for r in policy_rejections(person, configuration.policy, configuration.register, feed.place)
        ]
    return rejection_codes


def life(configuration: Configuration, folder: Path, name: str, matricule: str) -> Career:
    """The career of a person by the rows of a block."""
    header = block("csv").splitlines()[0]
    feed = read(configuration, folder, f"{header}\n{block(name)}")
    assert rejected(configuration, feed) == []
    return career_of(feed.people[matricule].assignments, configuration.policy, configuration.register)


def test_the_example_is_accepted(configuration: Configuration, tmp_path: Path) -> None:
    assert len(block("csv").splitlines()) == 5
    feed = read(configuration, tmp_path, block("csv"))
    assert rejected(configuration, feed) == []
    assert feed.remarks == ()
    assert feed.facts.rows == 3
    assert feed.facts.date == date(2026, 9, 1)
    assert feed.facts.complete
    assert {m: len(person.assignments) for m, person in feed.people.items()} == {RETIRING: 1, MOVER: 2}
    assert all(a.uai in configuration.register for person in feed.people.values() for a in person.assignments)


@pytest.mark.parametrize(
    ("right", "wrong", "code"),
    [
        ("0800009A", "0800009B", "bad-uai"),
        ("01/09/2020", "31/09/2020", "bad-date"),
        ("31/08/2026", "31/08/2018", "end-before-start"),
        (";ENS;", ";ENSEIGNANT;", "profile-none"),
        (";activite;", ";en poste;", "position-unknown"),
        ("Claire", "Claire 2", "name-digit"),
        ("01E9501234ABC", "01E95", "bad-numen"),
        ("Dubreuil", "", "missing-value"),
    ],
)
def test_a_wrong_value_in_the_example_is_rejected_with_its_code(
    configuration: Configuration, tmp_path: Path, right: str, wrong: str, code: str
) -> None:
    assert right in block("csv")
    feed = read(configuration, tmp_path, block("csv").replace(right, wrong, 1))
    assert rejected(configuration, feed) == [code]


@pytest.mark.parametrize(
    ("right", "wrong", "code"),
    [
        ("rows=3", "rows=4", "wrong-count"),
        ("date=2026-09-01", "date=01/09/2026", "bad-trailer"),
        (";debut;", ";commence;", "missing-column"),
        (";corps;", ";debut;", "doubled-column"),
    ],
)
def test_a_wrong_header_or_trailer_refuses_the_example(
    configuration: Configuration, tmp_path: Path, right: str, wrong: str, code: str
) -> None:
    with pytest.raises(FeedRefused) as refused:
        read(configuration, tmp_path, block("csv").replace(right, wrong, 1))
    assert [refusal_code for refusal_code, _ in refused.value.refusals] == [code]


def test_the_columns_are_those_of_the_code() -> None:
    rows = cells("The columns")
    assert [row[0].strip("`") for row in rows] == list(COLUMNS)
    assert len(PERSON_COLUMNS) == 9
    assert {row[0].strip("`") for row in rows if row[1] == "yes"} == set(REQUIRED)
    known_codes = set(REJECTIONS) | codes_of_names_and_policy()
    documented = {code for row in rows for code in re.findall(r"`([a-z]+-[a-z-]+)`", row[4])}
    assert documented <= known_codes


def test_the_documented_codes_match_the_code() -> None:
    refusing = codes("What refuses the whole feed")
    assert sorted(refusing) == sorted([*REFUSALS, *LIMIT_CODES])
    rejecting = codes("What rejects a row")
    assert sorted(rejecting) == sorted({*REJECTIONS, *codes_of_names_and_policy()})


def test_the_example_of_a_mutation_is_one(configuration: Configuration, tmp_path: Path) -> None:
    old, new = life(configuration, tmp_path, "mutation", MOVER).posts
    assert new.follows
    assert old.followed
    far = block("mutation").replace("01/09/2026", "01/12/2026")
    header = block("csv").splitlines()[0]
    person = read(configuration, tmp_path, f"{header}\n{far}").people[MOVER]
    assert not any(
        post.follows
        for post in career_of(person.assignments, configuration.policy, configuration.register).posts
    )


def test_after_a_leave_the_post_goes_on(configuration: Configuration, tmp_path: Path) -> None:
    path = life(configuration, tmp_path, "leave", RETIRING)
    states = [path.state_on(day) for day in (date(2027, 1, 31), date(2027, 2, 1), date(2027, 6, 30))]
    assert states == [State.ACTIVE, State.ON_LEAVE, State.ON_LEAVE]
    assert path.state_on(date(2027, 7, 1)) is State.ACTIVE
    assert path.rights_on(date(2027, 7, 1)) == path.rights_on(date(2027, 1, 31))


def test_a_retirement_ends_the_open_post(configuration: Configuration, tmp_path: Path) -> None:
    path = life(configuration, tmp_path, "retirement", RETIRING)
    first = date(2026, 10, 1)
    assert path.state_on(first - timedelta(days=1)) is State.ACTIVE
    assert path.state_on(first) is State.GRACE
    assert path.state_on(date(2027, 12, 1)) is State.ARCHIVED
