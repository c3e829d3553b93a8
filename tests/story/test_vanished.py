"""Another program deletes an entry or its mark of management: no second account is made."""

from __future__ import annotations

import ldap3

from .academy import Academy, prepared
from .feeds import row

DAYS = [f"2026-09-{day:02}" for day in range(5, 25)]
CLAIRE, IDA = "claire.dubreuil", "ida.roy"
PEOPLE = (row(), row(matricule="1999", prenom="Ida", nom_famille="Roy", date_naissance="1985-03-02"))
HOMONYM = row(matricule="2000", prenom="Ida", nom_famille="Roy", date_naissance="1990-07-08")
URN = "urn:mace:ac-amiens.fr:service:"
WHY = ("--reason", "supprimé par erreur")


@prepared
def begun(academy: Academy) -> Academy:
    """Two accounts after two nights."""
    academy.allow_up_to(5, "drift", "loosening", "revoke", "deactivate", "lock", "rename")
    for day in DAYS[:2]:
        academy.night(day, academy.feed(*PEOPLE, day=day))
    return academy


def delete(academy: Academy, uid: str) -> None:
    with academy.sandbox.root() as root:
        root.delete(academy.dn(uid))


def unmanage(academy: Academy, uid: str) -> None:
    """Acts as another program that removes the class piactlAccount and all that only this class allows."""
    entry = academy.entry(uid)
    gone = [name for name in entry if name.lower().startswith("piactl")]
    changes = {name: [(ldap3.MODIFY_REPLACE, [])] for name in gone}
    classes = [value for value in entry["objectClass"] if value.lower() != b"piactlaccount"]
    with academy.sandbox.root() as root:
        root.modify(academy.dn(uid), {**changes, "objectClass": [(ldap3.MODIFY_REPLACE, classes)]})


def drift(plan: object) -> list[tuple[str, str, str]]:
    return [(drift_row["uid"], drift_row["drift_class"], drift_row["fate"]) for drift_row in plan["drift"]]  # type: ignore[index]


def doctor(academy: Academy) -> dict[str, str]:
    """The findings of `doctor` that are not ok, by check."""
    rows = academy.run("doctor", "-o", "json").json
    return {row["id"]: row["found"] for row in rows if row["result"] not in ("ok", "skipped")}


def test_a_deleted_entry_is_listed_as_drift_until_it_is_rebuilt(begun: Academy) -> None:
    """Nobody gets its names, and it is listed every night, with and without a feed, on every host, until
    `drift revert`."""
    denied = ("exception", "deny", IDA, "--service", "iprof", "--until", DAYS[9], *WHY, "--as-of", DAYS[1])
    assert begun.run(*denied).code == 0
    before = begun.managed()[begun.dn(IDA)]
    address = begun.values(IDA, "mail")
    delete(begun, IDA)
    assert IDA in doctor(begun)["D56"], "before any night notices it"
    expected = [(IDA, "vanished", "waits for a decision")]
    for day, feeds in ((DAYS[2], False), (DAYS[3], True), (DAYS[4], True)):
        # another host does not have this
        (begun.sandbox.folder / "state" / "night.db").unlink(missing_ok=True)
        people = [begun.feed(*PEOPLE, HOMONYM, day=day)] if feeds else []
        plan = begun.plan(*people, "--as-of", day)
        assert drift(plan) == expected
        assert {change["uid"] for change in plan["changes"]} <= {"ida.roy1"}
        assert [(hold["matricule"], hold["uid"]) for hold in plan["holds"]] == [("1999", IDA)]
        assert f"piactl drift revert {IDA}" in plan["holds"][0]["why"]
        begun.night(day, *people)
        assert IDA not in begun.names().values()
        assert not feeds or begun.values("ida.roy1", "supannEmpId") == ["2000"]
    day = ("--as-of", DAYS[4])
    listed = begun.run("drift", "list", "-o", "json", *day).json
    assert [(drift_row["uid"], drift_row["class"], drift_row["since"]) for drift_row in listed] == [
        (IDA, "vanished", DAYS[2])
    ]
    assert begun.run("drift", "show", IDA, "-o", "json", *day).json == listed
    assert IDA in doctor(begun)["D56"]
    assert f"piactl drift show {IDA}" in begun.run("account", "show", IDA, *day).err
    for words in (["adopt", IDA], ["override", IDA, "--until", DAYS[9]]):
        ran = begun.run("drift", *words, *WHY, *day)
        assert ran.code == 1
        assert "piactl drift revert" in ran.err
    other = ("--family-name", "Roy", "--given-name", "Ida", "--uai", "0800009A", "--function", "ENS")
    options = ("--sponsor", CLAIRE, "--until", DAYS[19], *WHY, "--dry-run", "-o", "json", *day)
    assert "ida.roy2" in begun.run("account", "create", *other, *options).out
    shown = begun.run("drift", "revert", IDA, *WHY, "--dry-run", *day)
    assert "1 assignment, 1 exception. What was written before they begin is not known" in shown.out
    ran = begun.run("drift", "revert", IDA, *WHY, *day)
    assert ran.code == 0, ran.err
    # the names and data that HR repeats come from the feed, everything else is restored
    from_hr = {"piactlBirthDigest", "piactlIdentityDigest", "supannNomDeNaissance"}
    now = begun.managed()[begun.dn(IDA)]
    assert {n: v for n, v in now.items() if n not in from_hr} == {
        n: v for n, v in before.items() if n not in from_hr
    }
    assert begun.run("drift", "list", "-o", "json", *day).json == []
    begun.night(DAYS[5], begun.feed(*PEOPLE, HOMONYM, day=DAYS[5]))
    assert begun.values(IDA, "piactlState") == ["active"]
    assert begun.values(IDA, "mail") == address
    begun.quiet_night(DAYS[6], begun.feed(*PEOPLE, HOMONYM, day=DAYS[6]))


def test_a_deleted_entry_can_be_decided_before_a_night_has_noted_it(begun: Academy) -> None:
    """The plan names `drift revert`, which answered that nobody has this uid."""
    delete(begun, IDA)
    day = ("--as-of", DAYS[2])
    assert f"piactl drift revert {IDA}" in begun.plan(*day)["holds"][0]["why"]
    (listed,) = begun.run("drift", "list", "-o", "json", *day).json
    assert (listed["uid"], listed["class"], listed["since"]) == (IDA, "vanished", DAYS[2])
    assert begun.run("drift", "show", IDA, "-o", "json", *day).json == [listed]
    shown = begun.run("account", "show", IDA, *day)
    assert (shown.code, f"piactl drift show {IDA}" in shown.err) == (9, True)
    ran = begun.run("drift", "revert", IDA, *WHY, *day)
    assert ran.code == 0, ran.err
    assert begun.run("drift", "list", "-o", "json", *day).json == []
    assert begun.plan(*day)["drift"] == []


def test_an_entry_without_its_mark_is_adopted_again(begun: Academy) -> None:
    """This is so on the host that knew the account and on one that did not."""
    unmanage(begun, IDA)
    for day in DAYS[2:4]:
        feed = begun.feed(*PEOPLE, day=day)
        plan = begun.plan(feed, "--as-of", day)
        assert plan["changes"] == []
        assert [(hold["matricule"], "piactl adopt" in hold["why"]) for hold in plan["holds"]] == [
            ("1999", True)
        ]
        with begun.nothing_written():
            begun.night(day, feed)
        (begun.sandbox.folder / "state" / "night.db").unlink(missing_ok=True)
    ran = begun.run("drift", "revert", IDA, *WHY, "--as-of", DAYS[3])
    assert ran.code == 1
    assert "piactl adopt" in ran.err
    feed = begun.feed(*PEOPLE, day=DAYS[4])
    assert "pwdStartTime limits its log in" in begun.run("adopt", feed, "--as-of", DAYS[4]).out
    begun.change(IDA, pwdStartTime=[])
    assert begun.run("adopt", feed, "--as-of", DAYS[4], "--apply", *WHY).code == 0
    adoption = begun.run("runs", "list", "-o", "json").json[0]["run"]
    begun.night(DAYS[4])
    # an entry that undo made unmanaged has not vanished
    assert begun.run("undo", adoption, *WHY, "--yes", "--as-of", DAYS[4]).code == 0
    plan = begun.plan(feed, "--as-of", DAYS[4])
    assert (plan["drift"], plan["changes"], len(plan["holds"])) == ([], [], 1)
    assert begun.run("adopt", feed, "--as-of", DAYS[4], "--apply", *WHY).code == 0
    begun.night(DAYS[5], begun.feed(*PEOPLE, day=DAYS[5]))
    assert begun.names()["1999"] == IDA
    assert len(begun.names()) == 2
    assert begun.plan("--as-of", DAYS[5])["drift"] == []


def test_doctor_counts_drift_and_names_missing_in_the_ledger(begun: Academy) -> None:
    assert not {"D55", "D56", "D57"} & {*doctor(begun)}
    begun.change(CLAIRE, mail=["leo.petit@ac-amiens.fr"], eduPersonEntitlement=[f"{URN}siecle"])
    findings = doctor(begun)
    assert findings["D55"] == "1 account with loosening; 1 account with identity"
    assert findings["D57"] == f"{CLAIRE} has leo.petit@ac-amiens.fr, which its ledger of names lacks"
    matricule = begun.values(CLAIRE, "supannEmpId")
    begun.change(IDA, supannEmpId=matricule)
    assert doctor(begun)["D57"]


def test_a_deletion_is_noticed_from_the_first_night_of_an_account(academy: Academy) -> None:
    """So are its names: the first night lists everybody, later ones those who came or were renamed."""
    academy.allow_up_to(5, "drift", "loosening", "rename")
    academy.night(DAYS[0], academy.feed(PEOPLE[0], day=DAYS[0]))
    record = f"cn=accounts-00000,{academy.sandbox.state}"
    with academy.sandbox.root() as root:
        root.modify(record, {"piactlData": [(ldap3.MODIFY_REPLACE, ['{"x": [5]}'])]})
    ran = academy.night(DAYS[1], academy.feed(*PEOPLE, day=DAYS[1]))
    assert f"skipped {record}" in ran.err
    why = ("--usage-name", "Alix", "--until", DAYS[9], *WHY, "--as-of", DAYS[1])
    assert academy.run("account", "rename", IDA, *why).code == 0
    academy.night(DAYS[2])
    address = academy.values(IDA, "mail")[0]
    assert address == "ida.alix@ac-amiens.fr"
    delete(academy, IDA)
    namesake = row(matricule="2001", prenom="Ida", nom_famille="Alix", date_naissance="1992-04-05")
    academy.night(DAYS[3], academy.feed(*PEOPLE, namesake, day=DAYS[3]))
    assert academy.names()["2001"] == "ida.alix1"
    assert drift(academy.plan("--as-of", DAYS[3])) == [(IDA, "vanished", "waits for a decision")]


def test_a_deletion_right_after_a_command_made_the_account_is_noticed(begun: Academy) -> None:
    """So is one that got another matricule: if it is deleted before the next night, it is missed all the
    same; nobody gets its names or a second account."""
    day = ("--as-of", DAYS[1])
    made = ("--family-name", "Morin", "--given-name", "Zoé", "--uai", "0800009A", "--function", "ENS")
    options = ("--matricule", "3100", "--sponsor", CLAIRE, "--until", DAYS[19], *WHY, "--yes", *day)
    assert begun.run("account", "create", *made, *options).code == 0
    rekeyed = ("account", "rekey", IDA, "--from", "1999", "--to", "3000", *WHY, *day)
    assert begun.run(*rekeyed).code == 0
    for uid in ("zoe.morin", IDA):
        delete(begun, uid)
    people = (
        PEOPLE[0],
        row(matricule="3000", prenom="Ida", nom_famille="Roy", date_naissance="1985-03-02"),
        row(matricule="3100", prenom="Zoé", nom_famille="Morin", date_naissance="1991-05-06"),
        row(matricule="3200", prenom="Zoé", nom_famille="Morin", date_naissance="1970-01-31"),
    )
    feed = begun.feed(*people, day=DAYS[2])
    plan = begun.plan(feed, "--as-of", DAYS[2])
    assert {drift_row[:2] for drift_row in drift(plan)} == {(IDA, "vanished"), ("zoe.morin", "vanished")}
    assert {hold["matricule"] for hold in plan["holds"]} == {"3000", "3100"}
    begun.night(DAYS[2], feed)
    assert begun.names() == {"1001": CLAIRE, "3200": "zoe.morin1"}
    ran = begun.run("drift", "revert", "zoe.morin", *WHY, "--as-of", DAYS[2])
    assert ran.code == 0, ran.err
    assert begun.values("zoe.morin", "supannEmpId") == ["3100"]


def test_a_rekeyed_account_does_not_count_as_vanished(begun: Academy) -> None:
    day = ("--as-of", DAYS[1])
    matricule = begun.values(IDA, "supannEmpId")[0]
    ran = begun.run("account", "rekey", IDA, "--from", matricule, "--to", "3000", *WHY, *day)
    assert ran.code == 0, ran.err
    people = (PEOPLE[0], row(matricule="3000", prenom="Ida", nom_famille="Roy", date_naissance="1985-03-02"))
    plan = begun.plan(begun.feed(*people, day=DAYS[2]), "--as-of", DAYS[2])
    assert plan["drift"] == []
    assert plan["holds"] == []
