"""`accounts.posix`: Unix hosts see accounts; each has a number that belongs to one person for ever."""

from __future__ import annotations

import ldap3
import pytest
from ldap3.core.exceptions import LDAPConstraintViolationResult

from .academy import Academy
from .both_ways import one_by_one
from .feeds import crowd, row
from .test_adopt import entry, supann

CLAIRE, HUGO, IDA, JEAN, LEA = "claire.dubreuil", "hugo.caron", "ida.roy", "jean.roy", "lea.roy"
OF_CLAIRE, FOR_YEARS = row(), row(fin="2026-09-30")
OF_HUGO = row(matricule="1002", prenom="Hugo", nom_famille="Caron")
OF_IDA, OF_JEAN, OF_LEA = (
    row(matricule=str(1003 + n), prenom=name, nom_famille="Roy")
    for n, name in enumerate(("Ida", "Jean", "Léa"))
)
POSIX = "posix: {{first: 70000, last: {last}, group: 500, home: '/home/{{uid}}', shell: {shell}}}"
FULL = "no uidNumber is left from 70000 to 70002: raise accounts.posix.last of the policy"


def set_posix(academy: Academy, last: int = 70002, shell: str = "/bin/bash", old: str = "") -> str:
    """Puts the setting in the policy; returns its text."""
    text = POSIX.format(last=last, shell=shell)
    academy.edit("policy.yaml", old or "  retention: 30 ", text if old else f"  {text}\n  retention: 30 ")
    return text


def number(academy: Academy, uid: str) -> int | None:
    """The number of an account, which must be both on its entry and in its ledger."""
    [value] = academy.values(uid, "uidNumber") or [""]
    ledger = [n for n in academy.values(uid, "piactlIdentifier") if n.startswith("uidNumber=")]
    assert ledger == ([f"uidNumber={value}"] if value else [])
    assert ("posixAccount" in academy.values(uid, "objectClass")) == bool(value)
    return int(value) if value else None


def finding(academy: Academy) -> tuple[str, str]:
    [doctor_row] = [
        doctor_row for doctor_row in academy.run("doctor", "-o", "json").json if doctor_row["id"] == "D68"
    ]
    return doctor_row["result"], doctor_row["found"]


def other_entry(academy: Academy, uid_number: str) -> None:
    """Adds an entry of another program with this number."""
    values = {"uidNumber": uid_number, "gidNumber": "500", "homeDirectory": "/", "cn": "unix", "sn": "unix"}
    academy.sandbox.add(academy.dn("unix"), {"objectClass": ["inetOrgPerson", "posixAccount"], **values})


def with_number_of_its_own(academy: Academy, uid: str, uid_number: str) -> None:
    values = {"uidNumber": uid_number, "gidNumber": "7", "homeDirectory": "/h", "loginShell": "/bin/sh"}
    changes = {name: [(ldap3.MODIFY_ADD, [value])] for name, value in values.items()}
    with academy.sandbox.root() as root:
        root.modify(academy.dn(uid), {"objectClass": [(ldap3.MODIFY_ADD, ["posixAccount"])], **changes})


def test_numbers_are_given_once_and_for_ever(academy: Academy) -> None:
    academy.night("2026-09-05", academy.feed(FOR_YEARS, OF_HUGO, day="2026-09-05"))
    with_number_of_its_own(academy, HUGO, "1500")
    other_entry(academy, "70001")

    # existing accounts get one by a plan, which no guard counts; a number already on the entry stays
    posix = set_posix(academy)
    academy.edit("policy.yaml", "update:     {floor: 40, share: 0.05}", "update:     {max: 0, share: 0.0}")
    plan = academy.plan("--as-of", "2026-09-06")
    assert (plan["summary"], plan["refusals"]) == ({"update": 2}, [])
    assert {change["reason"] for change in plan["changes"]} == {
        "Unix hosts see the account as accounts.posix of the policy says"
    }
    academy.night("2026-09-06")
    of_claire = number(academy, CLAIRE)
    assert of_claire in (70000, 70002)
    assert [academy.values(CLAIRE, name)[0] for name in ("gidNumber", "homeDirectory", "loginShell")] == [
        "500", "/home/claire.dubreuil", "/bin/bash",
    ]  # fmt: skip
    assert number(academy, HUGO) == 1500
    assert academy.values(HUGO, "loginShell") == ["/bin/bash"]
    academy.quiet_night("2026-09-06")
    assert academy.show(f"uidNumber={of_claire}", "2026-09-06")["uid"] == CLAIRE

    # two newcomers and one number: the first by start and matricule gets it, the second is held
    everybody = (FOR_YEARS, OF_HUGO, OF_JEAN, OF_IDA)
    feed = academy.feed(*everybody, day="2026-09-07")
    plan = academy.plan(feed, "--as-of", "2026-09-07")
    assert plan["summary"] == {"create": 1}
    assert [(hold["matricule"], hold["code"], hold["why"]) for hold in plan["holds"]] == [
        ("1004", "number", FULL)
    ]
    academy.night("2026-09-07", feed)
    assert {number(academy, CLAIRE), number(academy, IDA)} == {70000, 70002}
    made = academy.run(
        "account", "create", "--family-name", "Roy", "--given-name", "Léa", "--uai", "0800009A",
        "--function", "ENS", "--until", "2026-12-01", "--sponsor", HUGO, "--reason", "essai", "-y",
        "--as-of", "2026-09-07",
    )  # fmt: skip
    assert (made.code, FULL in made.err) == (1, True)

    # archived, the account keeps its number in the ledger, and nobody else gets it
    academy.night("2026-12-05", academy.feed(*everybody, day="2026-12-05"))
    academy.nights("2026-12-08")
    assert academy.values(CLAIRE, "piactlState") == ["archived"]
    assert "posixAccount" not in academy.values(CLAIRE, "objectClass")
    assert not {"uidNumber", "gidNumber", "homeDirectory", "loginShell"} & academy.entry(CLAIRE).keys()
    assert JEAN not in academy.names().values()
    assert finding(academy) == ("error", "0 of 3 numbers are left")
    academy.change("unix", uidNumber=[str(of_claire)])
    shared = f"{of_claire} is of claire.dubreuil and {academy.dn('unix')}"
    assert finding(academy) == ("error", shared)
    academy.change("unix", uidNumber=["70001"])

    # a wider range; a return years later has the number again, and an undo takes it from nobody
    posix = set_posix(academy, last=70009, old=posix)
    back = academy.feed(row(debut="2029-09-01"), OF_HUGO, OF_JEAN, OF_IDA, day="2029-09-02")
    academy.twice("2029-09-02", back)
    assert number(academy, CLAIRE) == of_claire
    numbers = {number(academy, uid) for uid in (CLAIRE, HUGO, IDA, JEAN)}
    assert len(numbers) == 4
    assert 70001 not in numbers
    assert finding(academy) == ("ok", "6 of 10 numbers are left")

    # what another program changes is put back; the server gives nobody else a taken number
    academy.change(CLAIRE, uidNumber=["4711"], loginShell=["/bin/false"])
    assert academy.night("2029-09-03").json["summary"] == {"drift": 1}
    assert number(academy, CLAIRE) == of_claire
    assert academy.values(CLAIRE, "loginShell") == ["/bin/bash"]
    with pytest.raises(LDAPConstraintViolationResult):
        academy.change("unix", uidNumber=[str(of_claire)])


def test_without_the_setting_numbers_stay_and_newcomers_get_none(academy: Academy) -> None:
    posix = set_posix(academy)
    academy.twice("2026-09-05", academy.feed(OF_CLAIRE, day="2026-09-05"))
    of_claire = number(academy, CLAIRE)
    academy.edit("policy.yaml", f"  {posix}\n", "")
    academy.twice("2026-09-06", academy.feed(OF_CLAIRE, OF_HUGO, day="2026-09-06"))
    assert number(academy, CLAIRE) == of_claire
    assert number(academy, HUGO) is None
    assert academy.run("drift", "list", "-o", "json").json == []
    # archived without the setting, only the number in the ledger is left of Unix
    academy.night("2026-09-07", academy.feed(FOR_YEARS, OF_HUGO, day="2026-09-07"))
    academy.nights("2026-12-08")
    assert academy.values(CLAIRE, "piactlState") == ["archived"]
    assert "posixAccount" not in academy.values(CLAIRE, "objectClass")
    # with the setting again and changed, everybody has their own number, in chunks as well
    set_posix(academy, shell="/usr/bin/zsh")
    with one_by_one():
        academy.twice("2029-09-02", academy.feed(row(debut="2029-09-01"), OF_HUGO, day="2029-09-02"))
    assert number(academy, CLAIRE) == of_claire
    assert number(academy, HUGO) not in (None, of_claire)
    assert academy.values(CLAIRE, "loginShell") == ["/usr/bin/zsh"]


def test_adoption_and_merge_leave_a_person_one_number(academy: Academy) -> None:
    set_posix(academy, last=70009)
    unix = {"uidNumber": "4711", "gidNumber": "7", "homeDirectory": "/h"}
    old = supann("1001", mail="claire.dubreuil@ac-amiens.fr", **unix)
    entry(academy, "cdubreuil", **{**old, "objectClass": [*old["objectClass"], "posixAccount"]})
    entry(academy, "hcaron", **supann("1002", mail="hugo.caron@ac-amiens.fr"))
    plan_file = academy.folder / "adoption.json"
    feed = academy.feed(row(debut="2026-09-01"), OF_HUGO, day="2026-09-05")
    assert academy.run("adopt", feed, "--as-of", "2026-09-05", "--out", plan_file).code == 0
    assert academy.run("apply", plan_file).code == 0
    assert number(academy, "cdubreuil") == 4711
    assert academy.values("cdubreuil", "homeDirectory") == ["/home/cdubreuil"]
    academy.twice("2026-09-05", feed)
    of_hugo = number(academy, "hcaron")
    assert of_hugo in range(70000, 70010)
    names = ("cdubreuil", "hcaron", "--despite", "name")
    ran = academy.run("account", "merge", *names, "--reason", "x", "--as-of", "2026-09-05", "-y")
    assert ran.code == 0, ran.err
    assert number(academy, "hcaron") == of_hugo
    assert "posixAccount" not in academy.values("cdubreuil", "objectClass")
    assert "uidNumber=4711" in academy.values("cdubreuil", "piactlIdentifier")


def test_no_batch_gives_a_number_twice(academy: Academy) -> None:
    """Ten people and ten numbers; then one number less: the last newcomer by start and matricule is held."""
    academy.night("2026-09-05", academy.feed(*crowd(7), day="2026-09-05"))
    posix = set_posix(academy, last=70009)
    feed = academy.feed(*reversed(crowd(10)), day="2026-09-06")
    together = academy.plan(feed, "--as-of", "2026-09-06")
    with one_by_one():
        assert academy.plan(feed, "--as-of", "2026-09-06") == together
        set_posix(academy, last=70008, old=posix)
        academy.night("2026-09-06", feed)
    assert {number(academy, uid) for uid in academy.names().values()} == {*range(70000, 70009)}
    assert academy.names().keys() == {str(5000 + n) for n in range(9)}
