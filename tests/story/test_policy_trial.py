"""A policy is tried before it is live: compared over the same people, and tested with cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .academy import Academy, prepared
from .both_ways import one_by_one
from .feeds import MICHELIS, row

DAY, NEXT = "2026-03-01", "2026-03-02"
TEACHER = row(matricule="1", prenom="Nour", nom_famille="Caron", debut="2026-01-01")
CLERK = row(
    matricule="2", prenom="Hugo", nom_famille="Vasseur", fonction="ADM", uai="0809901C", debut="2026-01-01"
)
LEFT = row(matricule="3", prenom="Léo", nom_famille="Petit", debut="2026-01-01", fin="2026-02-20")
STRANGE = row(matricule="4", prenom="Ida", nom_famille="Roy", fonction="ZZZ", debut="2026-01-01")


@prepared
def staffed(academy: Academy) -> Academy:
    academy.night("2026-02-01", academy.feed(TEACHER, CLERK, LEFT, day="2026-02-01"))
    academy.night(DAY)
    return academy


def live(academy: Academy) -> Path:
    return academy.sandbox.folder / "policy.yaml"


def draft(academy: Academy, *edits: tuple[str, str]) -> Path:
    """A copy of the policy with these pieces replaced."""
    text, path = live(academy).read_text(encoding="utf-8"), academy.folder / "draft.yaml"
    for old, new in edits:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    return path


NO_ANNUAIRE = ("Annuaire académique, profiles: all", "Annuaire, profiles: [direction]")
SHORTER_GRACE = ("  - {days: 30}", "  - {days: 5}")


def compared(academy: Academy, *words: str | Path, code: int = 3) -> Any:
    with academy.nothing_written():
        ran = academy.run("policy", "diff", *words, "-o", "json")
    assert ran.code == code, ran.err
    return ran.json


def test_what_the_policy_alone_changes(staffed: Academy) -> None:
    """It shows each account before and after, with the line of the policy, without what is due anyway."""
    new = draft(staffed, NO_ANNUAIRE, SHORTER_GRACE)
    comparison = compared(staffed, live(staffed), new, "--as-of", NEXT)
    with one_by_one():
        assert compared(staffed, live(staffed), new, "--as-of", NEXT) == comparison
    line = 1 + [*new.read_text(encoding="utf-8").splitlines()].index(
        next(
            policy_line
            for policy_line in new.read_text(encoding="utf-8").splitlines()
            if policy_line.startswith("  annuaire:")
        )
    )
    revoked = {(c["uid"], c["rule"], c["reason"]) for c in comparison["changes"] if c["kind"] == "revoke"}
    assert {(uid, rule) for uid, rule, _ in revoked} == {
        ("nour.caron", f"draft.yaml:{line}"), ("hugo.vasseur", f"draft.yaml:{line}"),
    }  # fmt: skip
    assert all(why.startswith("the policy no longer gives it: profile") for _, _, why in revoked)
    (closed,) = [change for change in comparison["changes"] if change["kind"] == "deactivate"]
    assert (closed["uid"], closed["before"]["state"], closed["after"]["state"]) == (
        "leo.petit", "grace", "deactivated",
    )  # fmt: skip
    groups = {(group["by"], group["name"]): group["accounts"] for group in comparison["impact"]}
    assert groups["service", "annuaire"] == 2
    assert groups["uai", "0809901C"] == 1

    back = compared(staffed, new, live(staffed), "--as-of", NEXT)
    assert {(c["uid"], c["kind"]) for c in back["changes"]} >= {
        ("nour.caron", "grant"), ("hugo.vasseur", "grant"), ("leo.petit", "update"),
    }  # fmt: skip
    assert compared(staffed, live(staffed), live(staffed), "--as-of", NEXT, code=0)["changes"] == []


def test_the_text_names_both_policies_and_what_is_left_out(staffed: Academy) -> None:
    new = draft(staffed, NO_ANNUAIRE)
    ran = staffed.run("policy", "diff", live(staffed), new, "--as-of", "2026-03-23")
    assert ran.code == 3
    assert ran.out.startswith(f"Policy {live(staffed)} -> {new} as of 2026-03-23\n")
    assert "services: annuaire -2" in ran.out
    assert "1 account would change under" in ran.err, "the end of a grace is no difference of policies"
    assert "leo.petit" not in ran.out
    rows = staffed.run("policy", "diff", live(staffed), new, "--as-of", DAY, "--by", "profile", "-o", "tsv")
    assert [line.split("\t")[0] for line in rows.out.splitlines()] == ["name", "administratif", "enseignant"]


def test_rows_that_only_the_new_policy_can_read(staffed: Academy) -> None:
    """With a feed, people whom the old policy rejects get an account by the new one."""
    feed = staffed.feed(TEACHER, CLERK, LEFT, STRANGE, day=DAY)
    new = draft(
        staffed,
        ("enseignant:       {when: {fonction: [ENS, ", "enseignant:       {when: {fonction: [ZZZ, ENS, "),
    )
    comparison = compared(staffed, live(staffed), new, feed, "--as-of", DAY)
    with one_by_one():
        assert compared(staffed, live(staffed), new, feed, "--as-of", DAY) == comparison
    assert [(c["uid"], c["kind"]) for c in comparison["changes"]] == [("ida.roy", "create")]


CASES = f"""
cases:
  - case: a teacher of a lycée has the livret of the lycée
    posts: [{{fonction: ENS, uai: "0800009A", debut: "2026-09-01"}}]
    day: "2026-09-10"
    state: active
    profiles: [enseignant]
    has: ["livret:0800009A", iprof]
    lacks: [siecle]
  - case: the livret lasts a week at the former school
    posts:
      - {{fonction: ENS, uai: "0800009A", debut: "2025-09-01", fin: "2026-08-31"}}
      - {{fonction: ENS, uai: "{MICHELIS}", debut: "2026-09-01"}}
    day: "2026-09-07"
    has: ["livret:0800009A", "livret:{MICHELIS}"]
  - case: in the grace two services are left
    posts: [{{fonction: ENS, uai: "0800009A", debut: "2025-09-01", fin: "2026-08-31"}}]
    day: "2026-09-10"
    state: grace
    services: [messagerie, colibris]
"""


def test_cases_that_hold(staffed: Academy) -> None:
    file = staffed.folder / "policy-cases.yaml"
    file.write_text(CASES, encoding="utf-8")
    ran = staffed.run("policy", "test", file, "-o", "json")
    assert ran.code == 0, ran.out
    assert [row["ok"] for row in ran.json] == [True, True, True]
    assert "3 cases: 0 not as expected" in ran.err
    # in the pipeline of a repository there is neither a directory nor a configuration
    files = [staffed.sandbox.folder / name for name in ("policy.yaml", "establishments.csv")]
    options = ("--policy", files[0], "--establishments", files[1])
    ran = staffed.spawn("policy", "test", file, *options, PIACTL_CONFIG="/nowhere/piactl.yaml")
    assert (ran.code, "3 cases: 0 not as expected" in ran.err) == (0, True), ran


def test_cases_that_a_draft_breaks(staffed: Academy) -> None:
    file = staffed.folder / "policy-cases.yaml"
    further_cases = """
  - case: nobody has the annuaire
    posts: [{fonction: DIR, uai: "0800009A", debut: "2026-09-01"}]
    day: "2026-09-10"
    lacks: [annuaire]
  - case: a function that no profile fits
    posts: [{fonction: ZZZ, uai: "0800009A", debut: "2026-09-01"}]
    day: "2026-09-10"
    state: active
"""
    file.write_text(CASES + further_cases, encoding="utf-8")
    new = draft(staffed, ("profiles: all, in_grace: true, otp", "profiles: all, otp"), SHORTER_GRACE)
    ran = staffed.run("policy", "test", file, "--policy", new, "-o", "json")
    assert ran.code == 1
    problems = {row["case"]: row["problems"] for row in ran.json if not row["ok"]}
    assert [*problems] == [
        "in the grace two services are left", "nobody has the annuaire", "a function that no profile fits",
    ]  # fmt: skip
    state, *missing = problems["in the grace two services are left"]
    assert state.startswith("state: deactivated, not grace; the last assignment, ENS at 0800009A")
    assert state.endswith("(draft.yaml:17)")
    assert [problem.partition(":")[0] for problem in missing] == ["colibris", "messagerie"]
    (unwanted,) = problems["nobody has the annuaire"]
    assert unwanted.startswith("annuaire: not expected; profile direction: DIR at 0800009A")
    assert "draft.yaml:60" in unwanted
    assert problems["a function that no profile fits"][0].startswith("the feed row would be rejected")
    assert "3 not as expected" in ran.err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("    has: [iprofs]", "has: the policy has no iprofs"),
        ("    state: gone", "valid values: active, anticipated"),
        ('    day: "2026-02-30"', "not a valid date"),
        ('    posts: [{fonction: ENS, uai: "0800009B", debut: "2026-09-01"}]', "uai"),
    ],
)
def test_a_file_of_cases_with_a_mistake(staffed: Academy, line: str, message: str) -> None:
    file = staffed.folder / "policy-cases.yaml"
    usual = {
        "posts": '    posts: [{fonction: ENS, uai: "0800009A", debut: "2026-09-01"}]',
        "day": '    day: "2026-09-10"',
    }
    key = line.split(":")[0].strip()
    lines = ["cases:", "  - case: one", *(text for name, text in usual.items() if name != key), line]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    ran = staffed.run("policy", "test", file)
    assert ran.code == 10, ran.err
    assert message in ran.err
    assert "policy-cases.yaml:" in ran.err
