"""The rest of a plan whose run was killed is applied; what was not in that plan needs approval."""

from __future__ import annotations

from pathlib import Path

import pytest

from .academy import Academy
from .feeds import crowd, row
from .killed import killed_at_calls_of, killed_by

DAY = "2026-09-05"
MANY = 120


def killed(academy: Academy, *words: str | Path) -> None:
    """kill -9 of a command that has made a third of its writes."""
    killer = killed_at_calls_of("write_ahead.Settlement")
    killed_by(killer, academy, str(MANY // 3), "--config", str(academy.sandbox.config), *map(str, words))


def test_a_first_load_that_was_killed_goes_on(academy: Academy) -> None:
    feed = academy.feed(*crowd(MANY), day=DAY)
    killed(academy, "nightly", feed, "--as-of", DAY)
    made = len(academy.accounts())
    assert 0 < made < MANY
    # people who were not in that plan, as many as are left, need approval
    others = academy.feed(*crowd(made), *strangers(MANY - made), day=DAY)
    with academy.nothing_written():
        refused = academy.night(DAY, others, code=4)
    assert "create" in refused.err
    ran = academy.night(DAY, feed)
    assert "goes on with the rest of run" in ran.err
    assert len(academy.accounts()) == MANY
    academy.quiet_night(DAY, feed)
    record = academy.run("runs", "list", "-o", "json").json
    assert [run["status"] for run in record] == ["done", "done", "refused", "interrupted"]


def strangers(number: int, **values: str) -> list[str]:
    return [line.replace("5", "7", 1).replace("Vauban", "Turgot") for line in crowd(number, **values)]


def test_the_rest_of_a_first_load_goes_on_the_next_day(academy: Academy) -> None:
    feed = academy.feed(*crowd(MANY), day=DAY)
    killed(academy, "nightly", feed, "--as-of", DAY)
    academy.night("2026-09-06", feed)
    assert len(academy.accounts()) == MANY


@pytest.fixture
def refused(academy: Academy) -> Path:
    """A plan that closes everybody except one person, which a guard refuses."""
    academy.night(DAY, academy.feed(row(), *crowd(MANY, fin="2027-08-31"), day=DAY))
    gone = academy.feed(row(), *crowd(MANY, fin="2026-09-06"), day="2027-03-01")
    return Path(academy.night("2027-03-01", gone, code=4).plan_file)


def test_an_approved_plan_that_was_killed_goes_on(academy: Academy, refused: Path) -> None:
    count = academy.run("plan", "show", refused, "-o", "json").json["summary"]
    allow = [word for kind, number in count.items() for word in ("--allow", f"{kind}={number}")]
    killed(academy, "apply", refused, *allow, "--reason", "they left")
    again = academy.run("apply", refused)
    assert again.code == 0, again.err
    assert "goes on with the rest of run" in again.err
    assert "already applied by run" in academy.run("apply", refused).err
    open_ = [e for e in academy.accounts().values() if e["piactlState"] == [b"active"]]
    assert len(open_) == 1


def test_a_plan_that_nobody_approved_does_not_go_on(academy: Academy, refused: Path) -> None:
    with academy.nothing_written():
        assert academy.run("apply", refused).code == 4
        assert academy.run("apply", refused).code == 4


def test_people_held_do_not_stop_a_continued_first_load(academy: Academy) -> None:
    """In a first load, no guard counts the people held; in its rest, one does."""
    policy = (academy.sandbox.folder / "policy.yaml").read_text("utf-8")
    (line,) = (line for line in policy.splitlines() if line.lstrip().startswith("disponibilite:"))
    academy.edit("policy.yaml", f"{line}\n", "")
    academy.edit("policy.yaml", "held:       {floor: 25, share: 0.05}", "held: {max: 5, share: 0.01}")
    strange = strangers(12, position="disponibilite")
    feed = academy.feed(*crowd(MANY), *strange, day=DAY)
    killed(academy, "nightly", feed, "--as-of", DAY)
    assert len(academy.accounts()) < MANY
    ran = academy.night(DAY, feed)
    assert "held=12" in ran.err
    assert len(academy.accounts()) == MANY
