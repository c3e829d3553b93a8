"""Two people for a dangerous plan, and every attempt to be both of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import ldap3
import pytest
from ldap3.core.exceptions import LDAPOperationResult

from piactl.cli.framework import writing_command
from piactl.clock import utc_now
from piactl.host.caller import Caller
from piactl.journal import origin_of_run as journal_actor
from tests.directory.test_acl_matrix import hold_lock

from .academy import Academy, Ran, prepared
from .feeds import crowd
from .test_second_person import journal, log_in

WHY = ("--reason", "vu avec la DRH")
MAKER, OTHER, THIRD = "anne", "bruno", "chloe"
DAY = "2026-03-02"
RULES = """
approvals:
  required:
    - {refused: any}
    - {kind: [update, revoke], more_than: 3}
  hours: 2
"""


@prepared
def schooled(academy: Academy) -> Academy:
    policy = academy.sandbox.folder / "policy.yaml"
    policy.write_text(policy.read_text(encoding="utf-8") + RULES, encoding="utf-8")
    academy.night("2026-03-01", academy.feed(*crowd(5, debut="2026-01-01"), day="2026-03-01"))
    return academy


@pytest.fixture
def people(schooled: Academy, monkeypatch: pytest.MonkeyPatch) -> Academy:
    """Five people; `dangerous` ends the posts of all of them."""
    log_in(monkeypatch, MAKER)
    return schooled


def ends(academy: Academy, last: str = "2026-03-31") -> Path:
    return academy.feed(
        *(f"{line.removesuffix(';')};{last}" for line in crowd(5, debut="2026-01-01")), day=DAY
    )


def dangerous(academy: Academy, feed: Path | None = None, name: str = "plan") -> Path:
    file = academy.folder / f"{name}.json"
    ran = academy.run("plan", feed or ends(academy), "--as-of", DAY, "--out", file)
    assert ran.code == 0, ran.err
    return file


def approve(academy: Academy, monkeypatch: pytest.MonkeyPatch, file: Path | str, by: str = OTHER) -> Ran:
    log_in(monkeypatch, by)
    ran = academy.run("approve", file, *WHY)
    log_in(monkeypatch, MAKER)
    return ran


def refused(academy: Academy, file: Path, words: str, *options: str, code: int = 4) -> None:
    with academy.nothing_written():
        ran = academy.run("apply", file, *options)
    assert (ran.code, words in ran.err) == (code, True), ran


def answers(academy: Academy) -> dict[str, Any]:
    entries = academy.sandbox.entries(folder(academy), "(objectClass=piactlRecord)")
    return {dn: json.loads(entry["piactlData"][0]) for dn, entry in entries.items()}


def folder(academy: Academy) -> str:
    return f"ou=approvals,{academy.sandbox.state}"


@contextmanager
def later(monkeypatch: pytest.MonkeyPatch, ahead: timedelta) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(writing_command, "utc_now", lambda: utc_now() + ahead)
        yield


def test_one_makes_and_another_approves(people: Academy, monkeypatch: pytest.MonkeyPatch) -> None:
    file = dangerous(people)
    refused(
        people,
        file,
        "1 other person has to approve this plan, which changes many accounts (revoke, update): 5",
    )
    ran = approve(people, monkeypatch, file)
    assert (ran.code, "approved by bruno for 2 hours" in ran.out) == (0, True), ran
    (record,) = answers(people).values()
    assert (record["by"], record["approved"], record["reason"]) == (OTHER, True, WHY[1])
    status = people.run("status", "-o", "json", "--as-of", DAY).json
    assert [approval["verdict"] for approval in status["approvals"]] == ["approved"]
    ran = people.run("apply", file)
    assert (ran.code, "approved by bruno" in ran.err) == (0, True), ran
    shown = people.run("runs", "show", "last", "-o", "json").json
    assert (shown["approved_by"], shown["author"]) == ([OTHER], MAKER)
    # the approval is used up, and the host knows the plan, although it was in her own file
    assert people.run("status", "-o", "json", "--as-of", DAY).json["approvals"] == []
    steps = people.run("why", "louise.vaubanaaa", "--run", "last", "-o", "json").json["steps"]
    assert [step["code"] for step in steps][2:] == ["differs", "changes", "within-limits", "applied"], steps
    (line,) = [journal_line for journal_line in journal(people) if journal_line.get("kinds") == ["approve"]]
    (run,) = [
        journal_line
        for journal_line in journal(people)
        if journal_line["type"] == "run" and journal_line["run"] == line["run"]
    ]
    assert run["login"] == OTHER
    assert people.run("journal", "verify").code == 0
    # a plan that needs nobody else asks for nobody
    people.night("2026-03-03")


def test_nobody_approves_a_plan_of_their_own(people: Academy, monkeypatch: pytest.MonkeyPatch) -> None:
    file = dangerous(people)
    ran = approve(people, monkeypatch, file, by=MAKER)
    assert (ran.code, "anne made this plan" in ran.err) == (4, True), ran
    # nor under her name in another case, as another host spells it
    ran = approve(people, monkeypatch, file, by="Anne")
    assert (ran.code, "Anne made this plan" in ran.err) == (4, True), ran
    # as another Unix user: the kernel still has her login, or does not know who she is
    monkeypatch.setattr(journal_actor, "caller", lambda: Caller(OTHER, other=True))
    ran = people.run("approve", file, *WHY)
    assert (ran.code, "you are anne for the kernel, bruno for sudo" in ran.err) == (1, True), ran
    monkeypatch.setattr(journal_actor, "caller", lambda: Caller("", other=False))
    ran = approve(people, monkeypatch, file, by="")
    assert (ran.code, "neither the kernel nor sudo" in ran.err) == (1, True), ran
    assert people.run("journal", "verify").code == 0  # the approver's heads are stored too
    # the approver cannot apply it either
    assert approve(people, monkeypatch, file).code == 0
    log_in(monkeypatch, OTHER)
    refused(people, file, "that of bruno: made or applies the plan")
    log_in(monkeypatch, "")
    refused(people, file, "neither the kernel nor sudo", code=1)
    # the maker is part of the plan
    document = json.loads(file.read_text(encoding="utf-8"))
    assert document["made_by"] == [MAKER]
    for changed in ({**document, "made_by": [THIRD]}, {k: v for k, v in document.items() if k != "made_by"}):
        other = people.folder / "edited.json"
        other.write_text(json.dumps(changed), encoding="utf-8")
        refused(people, other, "was edited since", code=1)
        ran = approve(people, monkeypatch, other, by=THIRD)
        assert (ran.code, "was edited since" in ran.err) == (1, True), ran
    log_in(monkeypatch, THIRD)
    assert people.run("apply", file).code == 0


def test_an_approval_is_for_one_plan_and_expires(people: Academy, monkeypatch: pytest.MonkeyPatch) -> None:
    feed, file = ends(people), people.folder / "plan.json"
    dangerous(people, feed)
    with later(monkeypatch, -timedelta(hours=2, minutes=1)):
        assert approve(people, monkeypatch, file).code == 0
    refused(people, file, "that of bruno: is older than 2 hours")
    # another plan
    other = dangerous(people, ends(people, "2026-04-30"), "other")
    assert approve(people, monkeypatch, other).code == 0
    refused(people, file, "is older than 2 hours")
    # the night makes a third plan, for which the earlier answers do not count
    with people.nothing_written():
        ran = people.run("nightly", feed, "--as-of", DAY)
    assert ran.code == 4, ran
    refused(people, other, "another plan was made since")


def test_an_undo_needs_approval_like_any_plan(people: Academy, monkeypatch: pytest.MonkeyPatch) -> None:
    file = dangerous(people)
    assert approve(people, monkeypatch, file).code == 0
    assert people.run("apply", file).code == 0
    ran = people.run("apply", file)
    assert (ran.code, "already" in ran.err) == (0, True), ran
    undo = people.folder / "undo.json"
    ran = people.run("undo", "last", "--as-of", DAY, *WHY, "--yes")
    assert (ran.code, "has to approve this plan" in ran.err) == (4, True), ran
    (plan_file,) = re.findall(r"piactl approve (\S+) --reason", ran.err)
    assert people.run("plan", "show", plan_file).code == 0
    ran = people.run("undo", "last", "--as-of", DAY, *WHY, "--out", undo)
    assert ran.code == 0, ran
    refused(people, undo, "has to approve this plan")
    assert approve(people, monkeypatch, undo, by=THIRD).code == 0
    assert people.run("apply", undo).code == 0


def test_undoing_a_change_of_a_protected_account_needs_approval(
    people: Academy, monkeypatch: pytest.MonkeyPatch
) -> None:
    uid = "louise.vaubanaaa"
    people.edit("policy.yaml", "    - {refused: any}\n", "    - {refused: any}\n    - {protected: true}\n")
    people.edit("policy.yaml", "protected: [admin.secours]", f"protected: [admin.secours, {uid}]")
    assert people.run("account", "lock", uid, "--as-of", DAY, *WHY).code == 0
    with people.nothing_written():
        ran = people.run("undo", "last", "--as-of", DAY, *WHY, "--yes")
    assert (ran.code, f"changes protected accounts: {uid}" in ran.err) == (4, True), ran
    file = people.folder / "undo.json"
    ran = people.run("undo", "last", "--as-of", DAY, *WHY, "--out", file)
    assert (ran.code, "It needs the approval of another person: piactl approve" in ran.err) == (0, True), ran
    assert approve(people, monkeypatch, file).code == 0
    assert people.run("apply", file).code == 0
    assert people.run("account", "show", uid, "-o", "json", "--as-of", DAY).json["locked"] is False


def test_the_night_waits_for_another_person(people: Academy, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = ends(people)
    log_in(monkeypatch, "")  # as a timer starts it
    with people.nothing_written():
        ran = people.run("nightly", feed, "--as-of", DAY)
    assert (ran.code, "As another person: piactl approve" in ran.err) == (4, True), ran
    plan_file = Path(ran.plan_file)
    assert people.run("runs", "list", "-o", "json").json[0]["note"].startswith("1 other person has")
    status = people.run("status", "--as-of", DAY).out
    assert re.search(
        rf"waiting +plan \w{{12}}: 1 other person has to .* piactl plan show {plan_file}", status
    ), status
    assert approve(people, monkeypatch, plan_file).code == 0
    log_in(monkeypatch, OTHER)
    with people.nothing_written():
        ran = people.run("nightly", feed, "--as-of", DAY)
    assert (ran.code, "made or applies the plan" in ran.err) == (4, True), ran
    log_in(monkeypatch, "")
    assert people.run("nightly", feed, "--as-of", DAY).code == 0


def test_a_broken_guard_needs_an_approval_and_allow(people: Academy, monkeypatch: pytest.MonkeyPatch) -> None:
    people.allow_up_to(2, "update")
    log_in(monkeypatch, "")
    ran = people.run("nightly", ends(people), "--as-of", DAY)
    assert (ran.code, "It needs the approval of another person: piactl approve" in ran.err) == (4, True), ran
    file = Path(ran.plan_file)
    log_in(monkeypatch, MAKER)
    refused(people, file, "1 guard is broken")
    refused(people, file, "--allow update=4: it is 5", "--allow", "update=4", *WHY)
    refused(people, file, "breaks guards: update", "--allow", "update=5", *WHY)
    assert approve(people, monkeypatch, file).code == 0
    refused(people, file, "1 guard is broken")
    assert people.run("apply", file, "--allow", "update=5", *WHY).code == 0


def test_a_rejected_feed_is_remembered(people: Academy, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = ends(people)
    file = dangerous(people, feed)
    log_in(monkeypatch, OTHER)
    ran = people.run("reject", file, "--reason", "fichier de test")
    assert (ran.code, "rejected by bruno" in ran.out) == (0, True), ran
    log_in(monkeypatch, MAKER)
    refused(people, file, "bruno rejected this plan at ")
    with people.nothing_written():
        ran = people.run("nightly", feed, "--as-of", DAY)
        assert (ran.code, "fichier de test" in ran.err) == (4, True), ran
        # another plan of that feed, which needs nobody else
        people.edit("policy.yaml", "more_than: 3", "more_than: 300")
        ran = people.run("nightly", feed, "--as-of", DAY)
        assert (ran.code, f"bruno rejected {feed.name} at " in ran.err) == (4, True), ran
        (way_out,) = re.findall(r"another person approves this one: piactl approve (\S+) --reason", ran.err)
        # a draft's plan would stop the next plan of its feeds as well
        log_in(monkeypatch, OTHER)
        ran = people.run("reject", file, *WHY)
        assert (ran.code, "made with another policy" in ran.err) == (1, True), ran
    assert approve(people, monkeypatch, way_out).code == 0
    people.night(DAY, feed)
    people.night("2026-03-03", ends(people, "2026-04-30"))


def test_a_rejection_does_not_stop_a_feed_that_is_applied(
    people: Academy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder still has the file of the night before beside the rejected one, then beside the corrected
    one."""
    before = people.folder / "hr-001.csv"
    file = people.folder / "plan.json"
    wrong = ends(people)
    assert people.run("plan", before, wrong, "--as-of", DAY, "--out", file).code == 0
    log_in(monkeypatch, OTHER)
    assert people.run("reject", file, *WHY).code == 0
    log_in(monkeypatch, MAKER)
    ran = people.run("nightly", before, wrong, "--as-of", DAY)
    assert (ran.code, "bruno rejected this plan" in ran.err) == (4, True), ran
    people.night(DAY, before, people.feed(*crowd(5, debut="2026-01-01"), day=DAY))


def test_a_rejected_plan_that_breaks_a_guard_is_said_to_be_rejected(
    people: Academy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the next night, and by the status; until it is approved and applied after all."""
    people.allow_up_to(2, "update")
    feed = ends(people)
    file = people.run("nightly", feed, "--as-of", DAY).plan_file
    log_in(monkeypatch, OTHER)
    ran = people.run("reject", file, "--reason", "fichier de test")
    assert "approve" in ran.out, "what comes next"
    log_in(monkeypatch, MAKER)
    ran = people.run("nightly", feed, "--as-of", DAY)
    assert (ran.code, "bruno rejected this plan at " in ran.err) == (4, True), ran
    status = people.run("status", "-o", "json", "--as-of", DAY).json
    assert [answer["verdict"] for answer in status["approvals"]] == ["rejected"]
    assert status["refused_plan"] is None, "it no longer waits for an answer"
    ran = people.run("nightly", feed, "--as-of", "2026-03-03")
    assert (ran.code, f"bruno rejected {feed.name} at " in ran.err) == (4, True), ran
    status = people.run("status", "--as-of", "2026-03-03").out
    assert re.search(rf"waiting +plan \w{{12}}: bruno rejected {feed.name} at ", status), status
    assert approve(people, monkeypatch, ran.plan_file).code == 0
    assert people.run("apply", ran.plan_file, "--allow", "update=5", *WHY).code == 0
    assert people.run("status", "-o", "json", "--as-of", "2026-03-03").json["approvals"] == []


def test_a_policy_can_require_two_approvers(people: Academy, monkeypatch: pytest.MonkeyPatch) -> None:
    people.edit("policy.yaml", "\n  hours: 2\n", "\n  hours: 2\n  count: 2\n")
    file = dangerous(people)
    for _ in range(2):
        assert approve(people, monkeypatch, file).code == 0
        refused(people, file, "2 other people have to approve this plan")
    assert approve(people, monkeypatch, file, by=THIRD).code == 0
    assert people.run("apply", file).code == 0


def test_break_glass_applies_a_plan_and_raises_an_alarm(people: Academy) -> None:
    file = dangerous(people)
    refused(people, file, "needs a reason", "--break-glass", code=2)
    ran = people.run("apply", file, "--break-glass", "--reason", "astreinte, personne d'autre")
    assert (ran.code, "ALARM" in ran.err) == (0, True), ran
    shown = people.run("runs", "show", "last", "-o", "json").json
    assert shown["break_glass"] == "astreinte, personne d'autre"
    rows = people.run("journal", "show", "--kind", "break-glass", "-o", "json").json
    assert [(row["run"], row["outcome"], row["login"]) for row in rows] == [(shown["run"], "applied", MAKER)]
    assert people.run("journal", "verify").code == 0
    # the alarm is raised until somebody has seen it
    (alarm,) = people.run("status", "-o", "json").json["break_glass"]
    assert alarm["run"] == shown["run"]
    assert "applied without another person" in people.run("status").out
    assert (
        "Applied without the approval of another person."
        in people.run("runs", "show", "last", "-o", "html").out
    )
    metrics = people.folder / "piactl.prom"
    people.edit("piactl.yaml", "\njournal: ", f"\nmetrics: {metrics}\njournal: ")
    people.night("2026-03-03")
    assert "piactl_break_glass_runs 1\n" in metrics.read_text(encoding="utf-8")


def test_doctor_checks_the_approvals_entry_and_the_approver(
    people: Academy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found() -> tuple[str, str]:
        (finding,) = [
            finding for finding in people.run("doctor", "-o", "json").json if finding["id"] == "D65"
        ]
        return finding["result"], finding["found"]

    assert approve(people, monkeypatch, dangerous(people)).code == 0
    assert found() == ("ok", "1 answer of another person is recorded")
    config = people.sandbox.folder / "piactl.yaml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("cn=piactl-approver", "cn=piactl-nightly"), encoding="utf-8")
    assert "approver and nightly are one identity" in found()[1]
    config.write_text(
        "".join(line for line in text.splitlines(True) if "piactl-approver" not in line), encoding="utf-8"
    )
    assert "approver has no dn" in found()[1]
    # a host of the help desk has the identity of neither
    lines = [line for line in text.splitlines(True) if not re.search("piactl-(approver|nightly)", line)]
    config.write_text("".join(lines), encoding="utf-8")
    assert found() == ("ok", "this host applies no plan")
    config.write_text("".join(line for line in text.splitlines(True) if "piactl-approver" not in line))
    ran = approve(people, monkeypatch, dangerous(people))
    assert (ran.code, "approver" in ran.err) == (10, True), ran
    config.write_text(text, encoding="utf-8")
    with people.sandbox.root() as root:
        for dn in answers(people):
            root.delete(dn)
        root.delete(folder(people))
    assert found()[0] == "error"


FORGED = ("reader", "nightly", "desk", "administrator")


@pytest.mark.parametrize("identity", FORGED)
def test_no_other_identity_writes_an_approval(
    people: Academy, monkeypatch: pytest.MonkeyPatch, identity: str
) -> None:
    """They try a real record of another plan, under another name, changed, moved and copied."""
    file = dangerous(people)
    assert approve(people, monkeypatch, file).code == 0
    ((dn, record),) = answers(people).items()
    state = people.sandbox.state
    values = {"objectClass": "piactlRecord", "piactlData": json.dumps(record)}
    writes: list[Callable[[ldap3.Connection], Any]] = [
        lambda c: c.add(f"cn=forged,{folder(people)}", attributes=values),
        lambda c: c.modify(dn, {"piactlData": [(ldap3.MODIFY_REPLACE, ["{}"])]}),
        lambda c: c.modify(dn, {"piactlData": [(ldap3.MODIFY_DELETE, [])]}),
        lambda c: c.modify_dn(dn, "cn=forged"),
        lambda c: c.modify_dn(dn, "cn=forged", new_superior=f"ou=runs,{state}"),
        lambda c: c.modify_dn(f"cn=mine,ou=waiting,{state}", "cn=mine", new_superior=folder(people)),
        lambda c: c.modify_dn(folder(people), "ou=gone"),
        lambda c: c.delete(folder(people)),
    ]
    people.sandbox.add(f"cn=mine,ou=waiting,{state}", values)
    with people.sandbox.root() as root:
        hold_lock(root, state)
    with people.sandbox.connect(identity) as connection:
        for number, write in enumerate(writes):
            with pytest.raises(LDAPOperationResult) as refusal:
                write(connection)
            assert refusal.value.result in (50, 66, 32), (number, refusal.value)
    assert answers(people) == {dn: record}


def test_approvals_forged_with_the_approver_password_do_not_count(
    people: Academy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the password of the approver but without the keys, these do not count: a copy under another name,
    a record for another plan, one in the name of somebody else."""
    file = dangerous(people)
    assert approve(people, monkeypatch, file, by=MAKER).code == 4
    other = dangerous(people, ends(people, "2026-04-30"), "other")
    assert approve(people, monkeypatch, other).code == 0
    ((dn, record),) = answers(people).items()
    fingerprint = json.loads(file.read_text(encoding="utf-8"))["fingerprint"]
    forged = {
        "copy": record,
        "plan": {**record, "plan": fingerprint},
        "by": {**record, "plan": fingerprint, "by": THIRD},
    }
    with people.sandbox.connect("approver") as connection:
        for name, content in forged.items():
            values = {"objectClass": "piactlRecord", "piactlData": json.dumps(content)}
            connection.add(f"cn={name},{folder(people)}", attributes=values)
        for write in (
            lambda: connection.modify(dn, {"piactlData": [(ldap3.MODIFY_REPLACE, ["{}"])]}),
            lambda: connection.delete(dn),
            lambda: connection.modify_dn(dn, "cn=renamed"),
            lambda: connection.add(
                f"cn=lock2,{people.sandbox.state}", attributes={"objectClass": "piactlRecord"}
            ),
            lambda: connection.modify(people.dn("louise.vaubanaaa"), {"cn": [(ldap3.MODIFY_REPLACE, ["X"])]}),
        ):
            with pytest.raises(LDAPOperationResult):
                write()
    refused(people, file, "1 other person has to approve this plan")
    ran = people.run("apply", file)
    assert ran.err.count("its seal is not of piactl's keys") == 3, ran.err
    assert people.run("apply", other).code == 0


def test_a_record_of_another_identity_does_not_count(
    people: Academy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if the rights of the server are not those that piactl ships: the directory says who wrote it."""
    file = dangerous(people)
    assert approve(people, monkeypatch, file).code == 0
    ((dn, record),) = answers(people).items()
    with people.sandbox.root() as root:
        root.delete(dn)
        root.add(dn, attributes={"objectClass": "piactlRecord", "piactlData": json.dumps(record)})
    refused(people, file, "1 other person has to approve this plan")


def test_without_the_approvals_entry_no_plan_can_be_approved(
    people: Academy, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = dangerous(people)
    with people.sandbox.root() as root:
        root.delete(folder(people))
    ran = approve(people, monkeypatch, file)
    assert (ran.code, "docs/upgrade-directory.md" in ran.err) == (1, True), ran
    refused(people, file, "1 other person has to approve this plan")
    people.edit("policy.yaml", "more_than: 3", "more_than: 300")
    refused(people, file, "made with another policy", code=1)
    small = people.folder / "small.json"
    people.run("plan", ends(people), "--as-of", DAY, "--out", small)
    assert people.run("apply", small).code == 0


def test_a_plan_that_needs_no_approval_cannot_be_approved(
    people: Academy, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.edit("policy.yaml", "more_than: 3", "more_than: 300")
    ran = approve(people, monkeypatch, dangerous(people))
    assert (ran.code, "needs no other person" in ran.err) == (1, True), ran
    assert answers(people) == {}
