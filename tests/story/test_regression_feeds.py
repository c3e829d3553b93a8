"""Regression tests for what feeds say and do not say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from . import feeds
from .academy import Academy
from .feeds import COLUMNS, DEFAULTS, MICHELIS, crowd

DAY = "2026-09-10"


def row(**values: str) -> str:
    """A row of somebody whose post began a year ago."""
    return feeds.row(**{"debut": "2025-09-01", **values})


CLAIRE = row()
HUGO = row(matricule="1002", prenom="Hugo", nom_famille="Vasseur")
IDA = row(matricule="1999", prenom="Ida", nom_famille="Roy", debut="2020-09-01")


def ends(academy: Academy, uid: str, day: str) -> list[str | None]:
    return [a["end"] for a in academy.show(uid, day)["assignments"]]


def without_usage_name(academy: Academy, day: str, **values: str) -> Path:
    """A feed of a source that has no column for the usage name."""
    columns = [name for name in COLUMNS if name != "nom_usage"]
    cells = {**DEFAULTS, "debut": "2025-09-01", "uai": MICHELIS, **values}
    lines = (
        ";".join(columns),
        ";".join(cells.get(name, "") for name in columns),
        f"#FIN;rows=1;date={day}",
    )
    return academy.raw_feed("".join(f"{line}\n" for line in lines).encode(), source="assed")


# A column that a source does not have


def test_a_source_without_a_usage_name_column_removes_no_usage_name(academy: Academy) -> None:
    academy.sources(epp="kind: full", assed="kind: full")
    epp = academy.feed(row(nom_usage="Aubry"), day=DAY, source="epp")
    academy.night(DAY, epp, without_usage_name(academy, DAY))
    for day in ("2026-09-11", "2026-09-12"):
        academy.quiet_night(day, without_usage_name(academy, day))
        academy.quiet_night(day, epp)
    assert academy.values("claire.aubry", "mail") == ["claire.aubry@ac-amiens.fr"]


def test_a_usage_name_ends_despite_a_source_without_that_column(
    academy: Academy,
) -> None:
    academy.sources(epp="kind: full", assed="kind: full")
    married = academy.feed(row(nom_usage="Aubry"), day=DAY, source="epp")
    academy.night(DAY, married, without_usage_name(academy, DAY))
    again = academy.feed(CLAIRE, day="2026-09-11", source="epp")
    academy.night("2026-09-11", again, without_usage_name(academy, "2026-09-11"))
    assert academy.values("claire.aubry", "mail") == ["claire.dubreuil@ac-amiens.fr"]


# A file that was fed before


def dated(academy: Academy, content: bytes, day: str) -> Path:
    """Writes the feed of that day; only the name of its file has the date."""
    return academy.raw_feed(content, mark=f"{day}-")


def test_last_weeks_file_without_a_date_is_not_applied_a_second_time(academy: Academy) -> None:
    old, new = (feeds.text([CLAIRE, second_row]).encode() for second_row in (HUGO, IDA))
    academy.night(DAY, academy.raw_feed(old))
    academy.night("2026-09-11", academy.raw_feed(new))
    with academy.nothing_written():
        ran = academy.night("2026-09-12", academy.raw_feed(old), code=6)
    assert "this file was applied before, and later ones after it" in ran.err


def test_hr_can_send_earlier_rows_again_under_a_later_date(academy: Academy) -> None:
    old, new = (feeds.text([CLAIRE, second_row]).encode() for second_row in (HUGO, f"{HUGO}31/12/2026"))
    academy.night(DAY, dated(academy, old, DAY))
    academy.night("2026-09-11", dated(academy, new, "2026-09-11"))
    assert ends(academy, "hugo.vasseur", "2026-09-11") == ["2026-12-31"]
    academy.night("2026-09-12", dated(academy, old, "2026-09-12"))
    assert ends(academy, "hugo.vasseur", "2026-09-12") == [None]


# Absences


def test_an_absence_confirmed_while_protected_ends_the_post_later(
    academy: Academy,
) -> None:
    academy.night(DAY, academy.feed(CLAIRE, HUGO, day=DAY))
    academy.quiet_night("2026-09-11", academy.feed(CLAIRE, day="2026-09-11"))
    academy.change("hugo.vasseur", piactlProtected=["TRUE"])
    academy.quiet_night("2026-09-12", academy.feed(CLAIRE, day="2026-09-12"))
    academy.change("hugo.vasseur", piactlProtected=[])
    academy.twice("2026-09-13", academy.feed(CLAIRE, day="2026-09-13"))
    assert ends(academy, "hugo.vasseur", "2026-09-13") == ["2026-09-10"]


def test_an_absence_whose_write_was_a_conflict_ends_the_post_later(academy: Academy) -> None:
    academy.night(DAY, academy.feed(CLAIRE, HUGO, day=DAY))
    academy.night("2026-09-11", academy.feed(CLAIRE, day="2026-09-11"))
    plan = academy.folder / "plan.json"
    academy.plan(academy.feed(CLAIRE, day="2026-09-12"), "--as-of", "2026-09-12", "--out", plan)
    assignment = academy.values("hugo.vasseur", "piactlAssignment")[0]
    academy.change("hugo.vasseur", piactlAssignment=[assignment.replace("ENS", "DOC")])
    assert academy.run("apply", plan).code == 5
    academy.change("hugo.vasseur", piactlAssignment=[assignment])
    assert ends(academy, "hugo.vasseur", "2026-09-12") == [None]
    academy.twice("2026-09-13", academy.feed(CLAIRE, day="2026-09-13"))
    assert ends(academy, "hugo.vasseur", "2026-09-13") == ["2026-09-10"]


def test_a_feed_dated_ahead_ends_no_post_in_the_future(academy: Academy) -> None:
    academy.night(DAY, academy.feed(CLAIRE, HUGO, day=DAY))
    academy.night("2026-09-11", academy.feed(CLAIRE, day="2026-10-30"))
    academy.night("2026-09-12", academy.feed(CLAIRE, day="2026-10-31"))
    assert ends(academy, "hugo.vasseur", "2026-09-12") == ["2026-09-10"]
    # the feed of the next day is not older than one that was dated ahead either
    academy.quiet_night("2026-09-13", academy.feed(CLAIRE, day="2026-09-13"))


def test_archival_waits_for_an_unconfirmed_absence_without_a_feed_too(academy: Academy) -> None:
    retired = (row(debut="2020-09-01"), row(debut="2026-03-01", position="retraite"))
    academy.night("2026-02-01", academy.feed(*retired, IDA, day="2026-02-01"))
    academy.night("2026-04-28")
    academy.night("2026-04-29", academy.feed(IDA, day="2026-04-29"))
    plan = academy.plan("--as-of", "2026-05-10")
    assert [(h["uid"], h["why"]) for h in plan["holds"]] == [
        ("claire.dubreuil", "its archival waits until the absence of an assignment is confirmed")
    ]
    academy.quiet_night("2026-05-10")
    assert academy.values("claire.dubreuil", "piactlState") == ["deactivated"]
    academy.night("2026-05-11", academy.feed(IDA, day="2026-05-11"))
    academy.night("2026-05-12")
    assert academy.values("claire.dubreuil", "piactlState") == ["archived"]


# Codes


def test_a_code_renamed_by_hr_refuses_the_whole_feed(academy: Academy) -> None:
    academy.night(DAY, academy.feed(*crowd(30, debut="2025-09-01"), day=DAY))
    renamed = academy.feed(*crowd(30, debut="2025-09-01", fonction="ENSEIG"), day="2026-09-11")
    with academy.nothing_written():
        ran = academy.night("2026-09-11", renamed, code=6)
    assert "30 of 30 values of column fonction are wrong" in ran.err


def test_accept_feed_with_the_digest_of_no_feed_is_an_error(academy: Academy) -> None:
    feed = academy.feed(CLAIRE, day=DAY)
    words = ["--as-of", DAY, "--accept-feed", "0" * 64, "--reason", "vu avec la DRH"]
    with academy.nothing_written():
        for command in ("nightly", "plan"):
            ran = academy.run(command, feed, *words)
            assert ran.code == 2, ran.err
            assert f"--accept-feed {'0' * 64}: no feed of this run has this digest" in ran.err


@pytest.mark.parametrize("gone", ["function", "position"])
def test_a_code_that_the_policy_forgot_holds_nobody_whose_post_is_over(academy: Academy, gone: str) -> None:
    codes: dict[str, Any] = {
        "function": {"fonction": "COLTER"},
        "position": {"position": "mise_a_disposition"},
    }
    lines = {
        "function": "  collectivite:     {when: {fonction: [COLTER]}}\n",
        "position": "  mise_a_disposition: {keeps: [messagerie, annuaire, colibris, iprof, magistere]}\n",
    }
    academy.night("2026-03-01", academy.feed(row(fin="2026-03-05", **codes[gone]), IDA, day="2026-03-01"))
    academy.edit("policy.yaml", lines[gone], "")
    academy.night("2026-03-06")
    plan = academy.plan("--as-of", "2026-05-01")
    assert plan["holds"] == []
    academy.night("2026-05-01")
    assert academy.values("claire.dubreuil", "piactlState") == ["deactivated"]


# A delta


def test_a_delta_for_a_held_person_is_applied_later(academy: Academy) -> None:
    academy.sources(epp="kind: full", moves="kind: delta")
    claire, hugo = feeds.row(), feeds.row(matricule="1002", prenom="Hugo")
    mission = feeds.row(debut="2026-02-01", uai="0801616X")
    academy.night("2026-03-01", academy.feed(claire, day="2026-03-01", source="epp"))
    academy.night("2026-03-02", academy.feed(mission, day="2026-03-02", source="moves"))
    ended = feeds.row(debut="2026-02-01", uai="0801616X", fin="2026-03-31")
    wrong = academy.feed(feeds.row(uai="0800009B"), hugo, day="2026-03-03", source="epp")
    academy.night("2026-03-03", wrong, academy.feed(ended, day="2026-03-03", source="moves"))
    academy.night("2026-03-04", academy.feed(claire, hugo, day="2026-03-04", source="epp"))
    ends_by_uai = {a["uai"]: a["end"] for a in academy.show("claire.dubreuil", "2026-03-04")["assignments"]}
    assert ends_by_uai == {"0800009A": None, "0801616X": "2026-03-31"}
