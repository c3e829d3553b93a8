"""Another program changes many accounts: its changes wait for an approval, and what HR and dates want is
written in the same night."""

from __future__ import annotations

import ldap3

from .academy import Academy
from .feeds import crowd
from .test_printed_commands import again

SIECLE = "urn:mace:ac-amiens.fr:service:siecle"
DAY, NEXT, LATER = "2026-03-01", "2026-03-02", "2026-03-03"


def given(academy: Academy, uids: list[str]) -> None:
    """Another program gives a right to these accounts."""
    with academy.sandbox.root() as root:
        for uid in uids:
            root.modify(academy.dn(uid), {"eduPersonEntitlement": [(ldap3.MODIFY_ADD, [SIECLE])]})


def has(academy: Academy) -> set[str]:
    accounts = academy.accounts().values()
    return {e["uid"][0].decode() for e in accounts if SIECLE.encode() in e.get("eduPersonEntitlement", [])}


def test_a_broken_guard_of_drift_holds_back_the_drift_alone(academy: Academy) -> None:
    rows = crowd(14, debut="2026-01-01")
    academy.night(DAY, academy.feed(*rows, day=DAY))
    uids = sorted(academy.names().values())
    changed = uids[:12]
    given(academy, changed)
    academy.change(uids[13], displayName=["Autre Nom"])
    # HR ends two accounts, one of those that were changed, and somebody is new
    gone = [line.removesuffix(";") + f";{NEXT}" for line in (rows[0], rows[12])]
    gone = [line.replace(";553;;", ";553;radiation;") for line in gone]
    then = [gone[0], *rows[1:12], gone[1], rows[13], *crowd(15, debut="2026-01-01")[14:]]
    plan = academy.plan(academy.feed(*then, day=NEXT), "--as-of", NEXT, code=4)
    assert {refusal["kind"] for refusal in plan["refusals"]} == {"drift", "loosening"}
    ran = academy.night(NEXT, academy.feed(*then, day=NEXT), code=5)
    assert "loosening" in ran.err
    assert "loosening (11, 10 are allowed)" in ran.err
    assert has(academy) == {*changed}
    assert academy.values(uids[13], "displayName") == ["Autre Nom"]
    assert len(academy.accounts()) == 15
    # again in the next night, without a feed
    ran = academy.night(LATER, code=5)
    assert has(academy) == {*changed}
    for uid in (uids[0], uids[12]):
        assert academy.values(uid, "piactlState") == ["deactivated"]
        assert "cn=suspended," in academy.values(uid, "oathTOTPToken")[0]
    # a plan with the drift waits for its approval, and takes it back
    ran = academy.run(*again(ran, "To take it back"))
    assert ran.code == 4
    apply = again(ran, "To apply it")
    assert apply[2:6] == ["--allow", "drift=13", "--allow", "loosening=12"]
    assert academy.run(*apply[:2]).code == 4
    ran = academy.run(*apply)
    assert ran.code == 0, ran.err
    assert has(academy) == set()
    assert academy.values(uids[13], "displayName") != ["Autre Nom"]
    academy.quiet_night(LATER, academy.feed(*then, day=LATER))


def test_a_night_that_breaks_another_guard_too_writes_nothing(academy: Academy) -> None:
    rows = crowd(14, debut="2026-01-01")
    academy.night(DAY, academy.feed(*rows, day=DAY))
    given(academy, sorted(academy.names().values())[:11])
    academy.edit("policy.yaml", "create:     {floor: 20, share: 0.02} ", "create:     {max: 0, share: 0.0} ")
    feed = academy.feed(*rows, *crowd(15, debut="2026-01-01")[14:], day=NEXT)
    with academy.nothing_written():
        ran = academy.night(NEXT, feed, code=4)
    assert "create" in ran.err


def test_each_of_many_changes_says_who_made_it(academy: Academy) -> None:
    rows = crowd(210, debut="2026-01-01")
    academy.night(DAY, academy.feed(*rows, day=DAY))
    given(academy, sorted(academy.names().values()))
    plan = academy.plan("--as-of", NEXT, code=4)
    reasons = [change["reason"] for change in plan["changes"] if change["kind"] == "drift"]
    assert len(reasons) == 210
    assert [
        reason for reason in reasons if "another program changed it, last modified by " not in reason
    ] == []
