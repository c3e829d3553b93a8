"""A plan is applied as it was shown, entry by entry, and only to entries that have not changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .academy import Academy, prepared
from .feeds import row

CLAIRE = row()
HUGO = row(matricule="1002", prenom="Hugo", nom_famille="Vasseur")
NOUR = row(matricule="1003", prenom="Nour", nom_famille="Caron")


@prepared
def planned(academy: Academy) -> Academy:
    """Three accounts, and a plan in plan.json that renames all of them."""
    academy.night("2026-09-05", academy.feed(CLAIRE, HUGO, NOUR, day="2026-09-05"))
    rows = (
        row(nom_usage="Aubry"),
        row(matricule="1002", prenom="Hugo", nom_famille="Vasseur", nom_usage="Aubin"),
        row(matricule="1003", prenom="Nour", nom_famille="Caron", nom_usage="Auclair"),
    )
    file = academy.folder / "plan.json"
    with academy.nothing_written():
        plan = academy.plan(academy.feed(*rows, day="2026-09-06"), "--as-of", "2026-09-06", "--out", file)
    assert plan["summary"]["rename"] == 3
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_text())["fingerprint"] == plan["fingerprint"]
    return academy


def applied(academy: Academy, file: Path | str, code: int, **stdin: str) -> Any:
    ran = academy.run("apply", file, "-o", "json", **stdin)
    assert ran.code == code, ran.err
    return ran


def mails(academy: Academy) -> list[str]:
    return sorted(entry["mail"][0].decode().partition("@")[0] for entry in academy.accounts().values())


def test_apply_makes_every_change_of_the_plan(planned: Academy) -> None:
    file = planned.folder / "plan.json"
    done = applied(planned, file, 0).json
    assert done["outcomes"] == {"applied": 3}
    assert mails(planned) == ["claire.aubry", "hugo.aubin", "nour.auclair"]


def test_a_plan_from_stdin(planned: Academy) -> None:
    text = (planned.folder / "plan.json").read_text()
    assert applied(planned, "-", 0, stdin=text).json["outcomes"] == {"applied": 3}


def test_an_entry_changed_since_is_a_conflict_and_the_rest_is_applied(planned: Academy) -> None:
    file = planned.folder / "plan.json"
    with planned.sandbox.connect("administrator") as connection:
        connection.modify(
            planned.dn("hugo.vasseur"), {"displayName": [("MODIFY_REPLACE", ["Hugo Vasseur (rectorat)"])]}
        )
    hugo = planned.stamps()[planned.dn("hugo.vasseur")]
    ran = applied(planned, file, 5)
    assert ran.json["outcomes"] == {"applied": 2, "conflict": 1}
    [problem] = ran.json["problems"]
    assert (problem["uid"], problem["outcome"]) == ("hugo.vasseur", "conflict")
    assert "displayName" in problem["message"]
    assert "cn=piactl-administrator" in problem["message"]
    assert "hugo.vasseur: conflict" in ran.err
    assert mails(planned) == ["claire.aubry", "hugo.vasseur", "nour.auclair"]
    assert planned.stamps()[planned.dn("hugo.vasseur")] == hugo


def test_drift_is_shown_beside_a_rename_of_the_same_account(academy: Academy) -> None:
    academy.night("2026-09-05", academy.feed(CLAIRE, HUGO, day="2026-09-05"))
    uid = academy.names()["1001"]
    academy.change(uid, pwdEndTime=["20300101000000Z"], description=["theirs"], piactlNextDue=["20300101"])
    feed = academy.feed(row(nom_usage="Aubry"), HUGO, day="2026-09-06")
    academy.change(uid, cn=["Somebody Else"])
    plan = academy.plan(feed, "--as-of", "2026-09-06")
    shown = {name: change for change in plan["changes"] for name in change["after"]}
    assert shown.keys() >= {"address", "class"}
    assert {change["uid"] for change in plan["changes"]} == {uid}
    academy.twice("2026-09-06", feed)
    assert academy.values(uid, "cn") == ["Claire Aubry"]


@pytest.mark.parametrize("attribute", ["cn", "displayName", "supannRessourceEtat"])
def test_drift_of_one_attribute_is_named_beside_a_change_by_hr(academy: Academy, attribute: str) -> None:
    academy.night("2026-09-05", academy.feed(CLAIRE, HUGO, day="2026-09-05"))
    uid = academy.names()["1001"]
    before = academy.values(uid, attribute)
    academy.change(uid, **{attribute: ["Somebody Else"] if attribute == "cn" else []})
    feed = academy.feed(row(civilite="M."), HUGO, day="2026-09-06")
    changes = academy.plan(feed, "--as-of", "2026-09-06")["changes"]
    (by_hr,) = [change for change in changes if "civilite" in change["after"]]
    (restored,) = [change for change in changes if "attributes" in change["after"]]
    assert by_hr["uid"] == restored["uid"] == uid
    assert restored["kind"] == "drift"
    assert restored["after"]["attributes"] == [attribute]
    assert "another program" in restored["reason"]
    academy.twice("2026-09-06", feed)
    assert academy.values(uid, attribute) == before


def test_a_plan_applied_twice_writes_nothing_the_second_time(planned: Academy) -> None:
    file = planned.folder / "plan.json"
    applied(planned, file, 0)
    with planned.nothing_written():
        ran = applied(planned, file, 0)
    assert ran.json["outcomes"] == {}
    assert "already applied by run" in ran.err


def test_a_plan_applied_again_after_a_conflict_makes_only_the_rest(planned: Academy) -> None:
    """What was done is found unchanged; what was in conflict still is."""
    file = planned.folder / "plan.json"
    planned.change("hugo.vasseur", displayName=["Hugo V."])
    applied(planned, file, 5)
    with planned.nothing_written():
        ran = applied(planned, file, 5)
    assert ran.json["outcomes"] == {"unchanged": 2, "conflict": 1}
    planned.change("hugo.vasseur", displayName=["Hugo Vasseur"])
    assert applied(planned, file, 0).json["outcomes"] == {"unchanged": 2, "applied": 1}
    assert mails(planned) == ["claire.aubry", "hugo.aubin", "nour.auclair"]


def test_the_next_night_makes_up_for_a_conflict(planned: Academy) -> None:
    file = planned.folder / "plan.json"
    planned.change("hugo.vasseur", displayName=["Hugo V."])
    applied(planned, file, 5)
    feed = planned.feed(
        row(nom_usage="Aubry"),
        row(matricule="1002", prenom="Hugo", nom_famille="Vasseur", nom_usage="Aubin"),
        row(matricule="1003", prenom="Nour", nom_famille="Caron", nom_usage="Auclair"),
        day="2026-09-06",
    )
    planned.twice("2026-09-06", feed)
    assert mails(planned) == ["claire.aubry", "hugo.aubin", "nour.auclair"]
    assert planned.values("hugo.vasseur", "displayName") == ["Hugo Aubin"]


def test_a_mistyped_password_in_between_is_no_conflict(planned: Academy) -> None:
    file = planned.folder / "plan.json"
    planned.change("hugo.vasseur", userPassword=["Correct-Horse-7"])
    before = planned.stamps()[planned.dn("hugo.vasseur")]
    for _ in range(3):
        assert not planned.sandbox.accepts(planned.dn("hugo.vasseur"), "wrong")
    assert planned.stamps()[planned.dn("hugo.vasseur")] != before
    assert applied(planned, file, 0).json["outcomes"] == {"applied": 3}


EDITS: tuple[Any, ...] = (
    lambda plan: plan["writes"].pop(),
    lambda plan: plan["writes"][0]["add"].update({"mail": ["someone.else@ac-amiens.fr"]}),
    lambda plan: plan["basis"].update({"policy": "0" * 64}),
    lambda plan: plan.update({"refusals": []}) or plan["remarks"].append("checked"),
    lambda plan: plan.update({"signature": "k1:" + "0" * 64}),
    lambda plan: plan.pop("fingerprint"),
)


def test_an_edited_plan_is_refused(planned: Academy) -> None:
    file = planned.folder / "plan.json"
    text = file.read_text()
    for edit in EDITS:
        plan = json.loads(text)
        edit(plan)
        file.write_text(json.dumps(plan))
        with planned.nothing_written():
            ran = applied(planned, file, 1)
        assert str(file) in ran.err
        assert "make the plan again" in ran.err or "is not a plan" in ran.err


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"fingerprint": 1, "signature": 2}', "\x00"])
def test_what_is_no_plan_is_refused(academy: Academy, content: str) -> None:
    file = academy.folder / "plan.json"
    file.write_text(content)
    assert str(file) in applied(academy, file, 1).err


def test_a_plan_is_stale_after_another_run(planned: Academy) -> None:
    file = planned.folder / "plan.json"
    planned.night("2026-09-06", planned.feed(CLAIRE, HUGO, NOUR, row(matricule="1004"), day="2026-09-06"))
    with planned.nothing_written():
        ran = applied(planned, file, 1)
    assert "another run" in ran.err


def test_a_plan_is_stale_after_the_policy_changed(planned: Academy) -> None:
    file = planned.folder / "plan.json"
    planned.edit("policy.yaml", "open_before: 15 ", "open_before: 16 ")
    with planned.nothing_written():
        ran = applied(planned, file, 1)
    assert "made with another policy" in ran.err


def test_a_plan_for_another_directory_is_refused(planned: Academy, make_academy: Any) -> None:
    """Two sandboxes have different keys, so the signature does not match."""
    other = make_academy(fresh=True)
    with other.nothing_written():
        assert "another key" in applied(other, planned.folder / "plan.json", 1).err


def test_plan_writes_nothing_at_all(academy: Academy) -> None:
    academy.night("2026-09-05", academy.feed(CLAIRE, day="2026-09-05"))
    before = academy.sandbox.entries("o=gouv,c=fr")
    feed = academy.feed(row(prenom="Clara"), HUGO, day="2026-09-06")
    plan = academy.plan(feed, "--as-of", "2026-09-06")
    assert {change["kind"] for change in plan["changes"]} == {"rename", "create", "update"}
    assert academy.sandbox.entries("o=gouv,c=fr") == before
