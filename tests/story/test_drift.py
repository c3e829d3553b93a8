"""What another program changes on an account: it is seen the next night, shown first, reverted, kept or left
for a decision."""

from __future__ import annotations

from typing import Any

from .academy import Academy, prepared
from .feeds import row

DAYS = [f"2026-09-{day:02}" for day in range(5, 25)]
CLAIRE, IDA = "claire.dubreuil", "ida.roy"
PEOPLE = (row(), row(matricule="1999", prenom="Ida", nom_famille="Roy", debut="2020-09-01"))
URN = "urn:mace:ac-amiens.fr:service:"


@prepared
def begun(academy: Academy) -> Academy:
    """Two accounts after a night."""
    academy.allow_up_to(5, "drift", "loosening", "revoke", "deactivate", "lock", "rename")
    academy.night(DAYS[0], academy.feed(*PEOPLE, day=DAYS[0]))
    return academy


def drift(plan: Any, uid: str = CLAIRE) -> list[tuple[str, str, str]]:
    drift_rows = [drift_row for drift_row in plan["drift"] if drift_row["uid"] == uid]
    return [(drift_row["attribute"], drift_row["drift_class"], drift_row["fate"]) for drift_row in drift_rows]


def test_what_gives_access_is_reverted_and_shown_first(begun: Academy) -> None:
    """One night without a feed finds a right, an exception and another name."""
    before = begun.managed()
    rights = begun.values(CLAIRE, "eduPersonEntitlement")
    begun.change(CLAIRE, eduPersonEntitlement=[*rights, f"{URN}siecle:0800009A"])
    exception = "grant$siecle$0800009A$2026-09-01$2030-01-01$x$y"
    begun.change(IDA, piactlException=[exception], displayName=["Prince Roy"])
    ran = begun.run("nightly", "--as-of", DAYS[1])
    assert ran.code == 0, ran.err
    head, _, rest = ran.out.partition("presentation by another program")
    assert "2  loosening by another program" in head
    assert f"{URN}siecle:0800009A" in head
    assert "cn=" in head or "last modified by" in head
    assert "displayName Ida Roy -> Prince Roy" in rest
    assert begun.managed() == before
    begun.quiet_night(DAYS[2])
    begun.quiet_night(DAYS[2], begun.feed(*PEOPLE, day=DAYS[2]))


def test_what_shuts_an_account_stands_and_a_removed_right_is_put_back(begun: Academy) -> None:
    """An earlier end may be an emergency stop: it stands until somebody decides, or HR ends the account
    before it."""
    before = begun.managed()
    rights = begun.values(CLAIRE, "eduPersonEntitlement")
    begun.change(CLAIRE, eduPersonEntitlement=rights[1:])
    begun.change(IDA, pwdEndTime=["20260907000000Z"])
    ran = begun.night(DAYS[1])
    assert ran.json["summary"] == {"drift": 1}
    assert begun.values(CLAIRE, "eduPersonEntitlement") == rights
    for day in (DAYS[2], DAYS[8]):
        plan = begun.plan(begun.feed(*PEOPLE, day=day), "--as-of", day)
        assert drift(plan, IDA) == [("pwdEndTime", "tightening", "waits for a decision")]
        begun.quiet_night(day)
        assert begun.values(IDA, "pwdEndTime") == ["20260907000000Z"]
    assert begun.run("drift", "revert", IDA, *WHY, "--as-of", DAYS[8]).code == 0
    assert begun.managed() == before
    begun.change(IDA, pwdEndTime=["20260930000000Z"])
    gone = PEOPLE[1].replace(";553;;", ";553;radiation;").removesuffix(";") + f";{DAYS[8]}"
    begun.night(DAYS[9], begun.feed(PEOPLE[0], gone, day=DAYS[9]))
    assert begun.values(IDA, "piactlState") == ["deactivated"]
    assert begun.values(IDA, "pwdEndTime") != ["20260930000000Z"]
    assert begun.plan("--as-of", DAYS[9])["drift"] == []


def test_drift_that_the_rules_also_want_is_accepted(begun: Academy) -> None:
    """The base is renewed without a message; later changes are ordinary ones."""
    later = (row(nom_usage="Aubry"), PEOPLE[1])
    begun.change(CLAIRE, sn=["Aubry"], cn=["Claire Aubry"], displayName=["Claire Aubry"])
    plan = begun.plan(begun.feed(*later, day=DAYS[1]), "--as-of", DAYS[1])
    assert {change["kind"] for change in plan["changes"]} <= {"rename", "update"}
    begun.twice(DAYS[1], begun.feed(*later, day=DAYS[1]))
    begun.twice(DAYS[2], begun.feed(*PEOPLE, day=DAYS[2]))
    assert begun.values(CLAIRE, "sn") == ["Dubreuil"]


def test_a_replaced_numen_is_unknown_until_hr_states_it_again(begun: Academy) -> None:
    """A feed that does not state it makes it nobody's."""
    fed = (row(numen="20E1234567XYZ"), PEOPLE[1])
    begun.night(DAYS[1], begun.feed(*fed, day=DAYS[1]))
    before = begun.values(CLAIRE, "piactlNumenDigest")
    begun.change(CLAIRE, piactlNumenDigest=["{k1}00"])
    for day in (DAYS[2], DAYS[3]):
        feed = begun.feed(*PEOPLE, day=day)
        plan = begun.plan(feed, "--as-of", day)
        assert [hold["uid"] for hold in plan["holds"]] == [CLAIRE]
        assert drift(plan) == [("piactlNumenDigest", "loosening", "waits for the next feed")]
        begun.quiet_night(day, feed)
    begun.night(DAYS[4], begun.feed(*fed, day=DAYS[4]))
    assert begun.values(CLAIRE, "piactlNumenDigest") == before


def test_an_account_that_lost_a_value_still_loses_what_hr_ends(begun: Academy) -> None:
    """Another program removed an assignment, which nobody knows: rights stay until HR says what is over."""
    rights = begun.values(IDA, "eduPersonEntitlement")
    begun.change(IDA, piactlAssignment=[])
    begun.quiet_night(DAYS[1])
    assert begun.values(IDA, "eduPersonEntitlement") == rights
    gone = PEOPLE[1].replace(";553;;", ";553;radiation;").removesuffix(";") + f";{DAYS[1]}"
    feed = begun.feed(PEOPLE[0], gone, day=DAYS[2])
    (hold,) = begun.plan(feed, "--as-of", DAYS[2])["holds"]
    assert (hold["uid"], "piactlAssignment" in hold["why"]) == (IDA, True)
    begun.twice(DAYS[2], feed)
    assert begun.values(IDA, "piactlState") == ["deactivated"]
    assert begun.values(IDA, "eduPersonEntitlement") == []


def test_a_matricule_changed_by_another_program_moves_no_account(begun: Academy) -> None:
    begun.change(CLAIRE, supannEmpId=["4711"])
    other = row(matricule="4711", prenom="Zoé", nom_famille="Kern", date_naissance="1990-01-02")
    with begun.nothing_written():
        begun.night(DAYS[1], begun.feed(*PEOPLE, day=DAYS[1]))
    feed = begun.feed(*PEOPLE, other, day=DAYS[2])
    holds = begun.plan(feed, "--as-of", DAYS[2])["holds"]
    assert {(hold["uid"], hold["matricule"]) for hold in holds} == {(CLAIRE, None), (None, "1001")}
    assert begun.night(DAYS[2], feed).json["summary"] == {"create": 1}
    assert begun.values(CLAIRE, "sn") == ["Dubreuil"]


def test_a_device_of_another_program_is_listed_first_and_removed(begun: Academy) -> None:
    """Without a link it opens nothing; what becomes of a link is in test_witnessed_devices.py."""
    device = f"cn=autre,{begun.dn(CLAIRE)}"
    oath = {"oathTOTPParams": device, "oathSecret": b"12345678901234567890", "oathOTPLength": "6"}
    parameters = {"oathHMACAlgorithm": "1.2.840.113549.2.7", "oathTOTPTimeStepPeriod": "30"}
    classes = {"objectClass": ["piactlRecord", "oathTOTPToken", "oathTOTPParams"], "cn": "autre"}
    begun.sandbox.add(
        device, {**classes, **oath, **parameters, "piactlData": "{}", "oathTOTPTimeStepWindow": "1"}
    )
    for feeds in ([], [begun.feed(*PEOPLE, day=DAYS[1])]):
        plan = begun.plan(*feeds, "--as-of", DAYS[1])
        assert drift(plan) == [("device", "loosening", "waits for a decision")]
    begun.quiet_night(DAYS[1])
    begun.quiet_night(DAYS[2])
    day = ("--as-of", DAYS[2])
    (listed,) = begun.run("drift", "list", "-o", "json", *day).json
    assert (listed["uid"], listed["attribute"], listed["theirs"]) == (CLAIRE, "device", [device])
    of_account = {name: value for name, value in listed.items() if name != "uid"}
    assert begun.run("account", "show", CLAIRE, "-o", "json", *day).json["drift"] == [of_account]
    accounts = begun.run("account", "list", "--drift", "-o", "json", *day).json
    assert {listed_account["uid"]: listed_account["drift"] for listed_account in accounts} == {
        CLAIRE: [of_account]
    }
    notes = begun.run("why", CLAIRE, "login", "-o", "json", *day).json["answers"][0]["notes"]
    assert f"another program added a device: piactl drift show {CLAIRE}" in notes
    drawn = begun.run("account", "timeline", CLAIRE, *day)
    assert drawn.err.endswith(f"{CLAIRE}: another program added a device: piactl drift show {CLAIRE}\n")
    shown = begun.run("drift", "revert", CLAIRE, *WHY, "--dry-run", *day)
    assert device in shown.out
    ran = begun.run("drift", "revert", CLAIRE, *WHY, *day)
    assert ran.code == 0, ran.err
    assert begun.sandbox.entry(device) is None
    assert begun.run("drift", "list", "-o", "json", *day).json == []
    begun.quiet_night(DAYS[3])


WHY = ("--reason", "vu avec le secrétariat")


def test_drift_is_listed_shown_adopted_and_reverted_by_commands(begun: Academy) -> None:
    ours, theirs = f"{CLAIRE}@ac-amiens.fr", "leo.petit@ac-amiens.fr"
    begun.change(CLAIRE, mail=[theirs])
    end = begun.values(IDA, "pwdEndTime")
    begun.change(IDA, pwdEndTime=["20260901000000Z"], eduPersonEntitlement=[f"{URN}siecle"])
    day = ("--as-of", DAYS[1])
    rows = begun.run("drift", "list", "-o", "json", *day).json
    assert [(drift_row["uid"], drift_row["class"], drift_row["fate"]) for drift_row in rows] == [
        (IDA, "loosening", "reverted"),
        (IDA, "tightening", "waits for a decision"),
        (CLAIRE, "identity", "waits for a decision"),
    ]
    assert (rows[2]["ours"], rows[2]["theirs"]) == ([ours], [theirs])
    shown = begun.run("drift", "show", CLAIRE, "-o", "json", *day).json
    assert [drift_row["attribute"] for drift_row in shown] == ["mail"]
    for words in (["adopt", IDA], ["override", IDA, "--until", DAYS[9]]):
        ran = begun.run("drift", *words, *WHY, *day)
        assert ran.code == 1
        assert "piactl exception grant" in ran.err
    assert begun.run("drift", "adopt", CLAIRE, *WHY, *day).code == 0
    assert begun.values(CLAIRE, "mail") == [theirs]
    assert begun.values(CLAIRE, "piactlAlias") == [ours]
    assert {ours, theirs} <= set(begun.values(CLAIRE, "piactlIdentifier"))
    assert begun.run("drift", "revert", IDA, *WHY, *day).code == 0
    assert begun.values(IDA, "pwdEndTime") == end
    assert f"{URN}siecle" not in begun.values(IDA, "eduPersonEntitlement")
    assert begun.run("drift", "list", "-o", "json", *day).json == []
    assert "no other program" in begun.run("drift", "revert", IDA, *WHY, *day).out
    begun.quiet_night(DAYS[1], begun.feed(*PEOPLE, day=DAYS[1]))


def test_drift_kept_by_an_override_stays_until_its_day(begun: Academy) -> None:
    begun.change(IDA, displayName=["Ida Roy (rectorat)"], pwdEndTime=["20260901000000Z"])
    day = ("--as-of", DAYS[0])
    assert begun.run("drift", "override", IDA, "--until", DAYS[9], *WHY, *day).code == 0
    assert begun.values(IDA, "displayName") == ["Ida Roy (rectorat)"]
    begun.quiet_night(DAYS[9], begun.feed(*PEOPLE, day=DAYS[9]))
    ran = begun.night(DAYS[10], begun.feed(*PEOPLE, day=DAYS[10]))
    assert "drift" in ran.json["summary"]
    assert begun.values(IDA, "displayName") == ["Ida Roy"]
    begun.quiet_night(DAYS[11])
