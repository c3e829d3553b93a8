"""A merge that needs two people: it is written as a plan, approved by another person, and only then made."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from .academy import Academy, Ran, prepared
from .test_second_person import log_in
from .two_accounts import AS_OF, LUC, WHY, doubled, merge, with_two_sources

MAKER, OTHER = "anne", "bruno"
NEEDED = (
    "1 other person has to approve this plan, which changes many accounts (archive, merge): 1, more than 0"
)


@prepared
def asked(academy: Academy) -> Academy:
    with_two_sources(academy)
    doubled(academy)
    policy = academy.sandbox.folder / "policy.yaml"
    rules = "\napprovals:\n  required:\n    - {kind: [archive, merge], more_than: 0}\n"
    policy.write_text(policy.read_text(encoding="utf-8") + rules, encoding="utf-8")
    return academy


@pytest.fixture
def two(asked: Academy, monkeypatch: pytest.MonkeyPatch) -> Academy:
    log_in(monkeypatch, MAKER)
    return asked


def written_plan(academy: Academy, name: str = "merge.json") -> Path:
    file = academy.folder / name
    with academy.nothing_written():
        merge(academy, "--out", str(file))
    return file


def printed(ran: Ran, beginning: str) -> list[str]:
    """The words of a command that a message prints."""
    (line,) = re.findall(rf"^piactl: {beginning}: piactl (?:--config \S+ )?(.+)$", ran.err, re.MULTILINE)
    return shlex.split(line)


def approve(academy: Academy, monkeypatch: pytest.MonkeyPatch, file: Path, by: str = OTHER) -> None:
    log_in(monkeypatch, by)
    ran = academy.run("approve", file, *WHY[:2])
    log_in(monkeypatch, MAKER)
    assert ran.code == (0 if by == OTHER else 4), ran.err


def test_a_merge_is_approved_by_another_person(two: Academy, monkeypatch: pytest.MonkeyPatch) -> None:
    with two.nothing_written():
        ran = merge(two, code=4)
    assert NEEDED in ran.err
    plan = printed(ran, "To write its plan")
    file = Path(plan[-1])
    assert (plan[-2], file.parent) == ("--out", two.sandbox.folder / "state" / "plans")
    assert printed(ran, "As another person")[:2] == ["approve", str(file)]
    assert printed(ran, "Then, as the one who made the plan") == ["apply", str(file)]

    # nobody approves their own plan
    with two.nothing_written():
        assert two.run(*plan).code == 0
    assert f"{LUC}1" in two.run("plan", "show", file).out
    approve(two, monkeypatch, file, by=MAKER)
    approve(two, monkeypatch, file)

    # the approval does not count for another reason, another person, or another pair of accounts
    other = ("account", "merge", f"{LUC}1", LUC, "--reason", "autre chose", "--yes", *AS_OF)
    turned = ("account", "merge", LUC, f"{LUC}1", *WHY, *AS_OF)
    for words, login in (
        (other, MAKER),
        (turned, MAKER),
        (("account", "merge", f"{LUC}1", LUC, *WHY, *AS_OF), OTHER),
    ):
        log_in(monkeypatch, login)
        with two.nothing_written():
            ran = two.run(*words)
        assert (ran.code, NEEDED in ran.err) == (4, True), ran
    log_in(monkeypatch, MAKER)

    # nor does it count for accounts that have changed since
    two.change(LUC, telephoneNumber=["0322000001"])
    denied = ("exception", "deny", LUC, "--service", "iprof", "--until", "2026-09-27")
    assert two.run(*denied, *WHY, *AS_OF).code == 0
    with two.nothing_written():
        assert NEEDED in merge(two, code=4).err
        ran = two.run("apply", file)
    assert (ran.code, f"account merge {LUC}1 {LUC} --reason" in ran.err) == (1, True), ran

    approve(two, monkeypatch, written_plan(two, "again.json"))
    ran = merge(two)
    assert "approved by bruno" in ran.err
    assert f"{LUC}1" not in set(two.names().values())
    shown = two.run("runs", "show", "last", "-o", "json").json
    assert shown["approved_by"] == [OTHER]
    assert json.loads(file.read_text(encoding="utf-8"))["made_by"] == [MAKER]


def test_a_merge_plan_is_applied_once_it_is_approved(two: Academy, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written_plan(two)
    with two.nothing_written():
        ran = two.run("apply", file)
    assert (ran.code, NEEDED in ran.err, f"piactl approve {file}" in ran.err) == (4, True, True), ran
    approve(two, monkeypatch, file)
    ran = two.run("apply", file, "-o", "json")
    assert (ran.code, ran.json["status"], ran.json["outcomes"]) == (0, "done", {"applied": 1}), ran
    assert "approved by bruno" in ran.err
    assert f"{LUC}1" not in set(two.names().values())
    assert two.run("runs", "show", "last", "-o", "json").json["approved_by"] == [OTHER]


def test_a_rejected_merge_is_made_only_with_break_glass(
    two: Academy, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written_plan(two)
    log_in(monkeypatch, OTHER)
    assert two.run("reject", file, *WHY[:2]).code == 0
    log_in(monkeypatch, MAKER)
    with two.nothing_written():
        assert "bruno rejected this plan" in merge(two, code=4).err
        assert "bruno rejected this plan" in two.run("apply", file).err
    ran = two.run("apply", file, "--break-glass", "--reason", "urgent")
    assert (ran.code, "ALARM" in ran.err, f"merged into {LUC}" in ran.out) == (0, True, True), ran
    assert two.run("runs", "show", "last", "-o", "json").json["break_glass"] == "urgent"
    assert "urgent" in two.run("status").out
