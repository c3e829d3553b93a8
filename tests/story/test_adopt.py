"""Entries that an academy already has become accounts, by the HR identifier on them."""

from __future__ import annotations

from typing import Any

import pytest

from .academy import Academy
from .feeds import MARESCHAL, row

DAY = "2026-09-02"
PASSWORD = "Vieux-Mot-De-Passe-1"
NUMEN = "20E9501234ABC"
PEOPLE = (
    row(matricule="1001", prenom="Claire", nom_famille="Dubreuil", civilite="MME"),
    row(matricule="1002", prenom="Paul", nom_famille="Vasseur", numen=NUMEN),
    row(matricule="1003", prenom="Anne", nom_famille="Lefort", uai=MARESCHAL),
)


def entry(academy: Academy, name: str, *, dn: str = "", **values: Any) -> str:
    """Adds an entry as in an old directory, with a password; returns its DN."""
    dn = dn or academy.dn(name)
    attributes = {
        "objectClass": ["inetOrgPerson"],
        "uid": name,
        "cn": f"{name} ANCIEN",
        "sn": "ANCIEN",
        "mail": f"{name}@ac-amiens.fr",
        "userPassword": PASSWORD,
        **values,
    }
    academy.sandbox.add(dn, {name: value for name, value in attributes.items() if value is not None})
    return dn


def supann(matricule: str, **attributes: Any) -> dict[str, Any]:
    return {"objectClass": ["inetOrgPerson", "supannPerson"], "supannEmpId": matricule, **attributes}


def adopt(academy: Academy, *words: Any, code: int = 0) -> Any:
    ran = academy.run("adopt", *words, "--as-of", DAY, "-o", "json")
    assert ran.code == code, ran.err
    return ran.json


def why(plan: Any, who: str) -> str:
    reasons = [hold["why"] for hold in plan["holds"] if hold["uid"] == who]
    assert len(reasons) == 1, plan["holds"]
    return str(reasons[0])


def test_adopted_entries_keep_their_values_and_the_night_leaves_them(academy: Academy) -> None:
    feed = academy.feed(*PEOPLE)
    entry(academy, "cdubreuil", **supann("1001", mail="claire.dubreuil@ac-amiens.fr", roomNumber="B12"))
    entry(academy, "p.vasseur", **supann("1002", mail="Paul.Vasseur@ac-amiens.fr", title="ENS"))
    plan_file = academy.folder / "adoption.json"
    ran = academy.run("adopt", feed, "--as-of", DAY, "--out", plan_file)
    assert ran.code == 0
    assert "2  adopt" in ran.out
    assert "cdubreuil: active, claire.dubreuil@ac-amiens.fr" in ran.out
    assert "sn ANCIEN -> Dubreuil" in ran.out
    assert "1 person of the feed without an entry to adopt: the next night with the feed makes" in ran.out
    assert f"piactl apply {plan_file}" in ran.err
    before = academy.sandbox.entries(academy.sandbox.accounts)
    assert academy.run("apply", plan_file).code == 0
    for uid, address in (
        ("cdubreuil", "claire.dubreuil@ac-amiens.fr"),
        ("p.vasseur", "Paul.Vasseur@ac-amiens.fr"),
    ):
        assert academy.values(uid, "mail") == [address]
        assert academy.values(uid, "piactlState") == ["active"]
        assert academy.values(uid, "piactlIdentifier") == sorted([uid, address])
        assert academy.sandbox.accepts(academy.dn(uid), PASSWORD)
        old = before[academy.dn(uid)]
        assert academy.entry(uid)["userPassword"] == old["userPassword"]
        assert academy.entry(uid)["entryUUID"] == old["entryUUID"]
    assert academy.values("cdubreuil", "roomNumber") == ["B12"]
    assert academy.values("cdubreuil", "sn") == ["Dubreuil"]
    assert academy.values("p.vasseur", "title") == ["ENS"]
    stamps = academy.stamps()
    plan = academy.plan(feed, "--as-of", DAY)
    assert [(c["kind"], c["matricule"]) for c in plan["changes"] if c["kind"] == "create"] == [
        ("create", "1003")
    ]
    assert {w["uid"] for w in plan["writes"]} == {"anne.lefort"}
    academy.night(DAY, feed)
    after = academy.stamps()
    assert {dn: after[dn] for dn in stamps} == stamps
    academy.quiet_night(DAY, feed)
    assert academy.run("journal", "verify").code == 0


def test_aliases_stay_and_belong_to_nobody_else(academy: Academy) -> None:
    feed = academy.feed(*PEOPLE, row(matricule="1009", prenom="Claire", nom_famille="Ancienne"))
    academy.edit("piactl.yaml", "  identities:", "  taken_attributes: [uid, mail, labeledURI]\n  identities:")
    entry(
        academy,
        "cdubreuil",
        **supann(
            "1001",
            mail=["claire.dubreuil@ac-amiens.fr", "Claire.Ancienne@ac-amiens.fr"],
            labeledURI=["claire.ancienne@AC-amiens.fr", "claire@exemple.org"],
        ),
    )
    ran = academy.run("adopt", feed, "--as-of", DAY, "--apply", "--reason", "migration")
    assert ran.code == 0, ran.err
    assert academy.values("cdubreuil", "mail") == ["claire.dubreuil@ac-amiens.fr"]
    assert [a.lower() for a in academy.values("cdubreuil", "piactlAlias")] == ["claire.ancienne@ac-amiens.fr"]
    assert len(academy.values("cdubreuil", "piactlIdentifier")) == 3
    assert academy.values("cdubreuil", "labeledURI") == ["claire.ancienne@AC-amiens.fr", "claire@exemple.org"]
    academy.night(DAY, feed)
    assert academy.names()["1009"] == "claire.ancienne1"
    assert academy.show("claire.ancienne@ac-amiens.fr", DAY)["uid"] == "cdubreuil"


def test_entries_that_cannot_be_adopted_are_listed_with_the_reason(academy: Academy) -> None:
    feed = academy.feed(
        *PEOPLE,
        *(
            row(matricule=str(2000 + n), prenom="Louise", nom_famille=f"Vauban{chr(97 + n)}")
            for n in range(10)
        ),
        row(matricule="2020", prenom="Yves", nom_famille="Partide", debut="2020-09-01", fin="2021-08-31"),
        row(matricule="2021", prenom="", nom_famille="Sansprenom"),
    )
    entry(academy, "none")
    entry(academy, "unknown", **supann("9999"))
    entry(academy, "double1", **supann("1003"))
    entry(academy, "double2", **supann("1003"))
    entry(academy, "Bad_Uid", **supann("2000"))
    entry(academy, "outside", **supann("2001", mail="outside@exemple.org"))
    entry(academy, "nomail", **supann("2002", mail=None))
    entry(academy, "several", **supann("2003", mail=["a.b@ac-amiens.fr", "c.d@ac-amiens.fr"]))
    entry(academy, "twouids", dn=academy.dn("twouids"), **{**supann("2004"), "uid": ["twouids", "other"]})
    entry(academy, "moved", dn=f"cn=moved ANCIEN,{academy.sandbox.accounts}", **supann("2005"))
    entry(academy, "closed", **supann("2006", pwdEndTime="20200101000000Z"))
    entry(academy, "shared", **supann("2007", mail="shared@ac-amiens.fr"))
    entry(academy, "list", dn="uid=list,ou=ac-amiens,ou=education,o=gouv,c=fr", mail="shared@ac-amiens.fr")
    account = {"objectClass": ["account", "supannPerson"], "uid": "machine", "supannEmpId": "2008"}
    academy.sandbox.add(academy.dn("machine"), account)
    entry(academy, "gone", **supann("2020"))
    entry(academy, "held", **supann("2021"))
    with academy.nothing_written():
        plan = adopt(academy, feed)
    assert plan["writes"] == []
    expected = {
        "none": "it has no matricule",
        "unknown": "matricule 9999 is not in the feed",
        "double1": "several entries have matricule 1003: double1, double2",
        "double2": "several entries have matricule 1003: double1, double2",
        "Bad_Uid": "uid Bad_Uid has characters other than a-z, 0-9, dot and hyphen",
        "outside": "its address outside@exemple.org is not in the domain ac-amiens.fr",
        "nomail": "it has no address",
        "several": "it has several addresses, none of its uid or its name",
        "twouids": "it has 2 uids",
        "moved": "piactl renames no entry",
        "closed": "pwdEndTime limits its log in",
        "shared": "shared@ac-amiens.fr is also on another entry: uid=list,",
        "machine": "its structural class is account",
        "gone": "its person left so long ago",
        "held": "prenom is blank",
    }
    for uid, words in expected.items():
        assert words in why(plan, uid), uid
    assert {hold["uid"] for hold in plan["holds"]} == set(expected)


def test_an_entry_of_a_person_with_an_account_is_not_adopted(academy: Academy) -> None:
    feed = academy.feed(*PEOPLE)
    academy.night(DAY, feed)
    entry(academy, "cdubreuil", **supann("1001", mail="c.dubreuil@ac-amiens.fr"))
    assert "already has the account claire.dubreuil" in why(adopt(academy, feed), "cdubreuil")


def test_an_entry_with_an_identifier_of_an_account_is_not_adopted(academy: Academy) -> None:
    academy.night("2026-09-01", academy.feed(PEOPLE[0]))
    entry(academy, "pv", **supann("1002", mail="pv@ac-amiens.fr"))
    academy.change(
        "claire.dubreuil",
        piactlIdentifier=["claire.dubreuil", "claire.dubreuil@ac-amiens.fr", "pv@ac-amiens.fr"],
    )
    plan = adopt(academy, academy.feed(*PEOPLE, day=DAY))
    assert "an account (perhaps archived) has or had pv@ac-amiens.fr" in why(plan, "pv")


def test_entries_are_matched_by_numen_only_on_request(academy: Academy) -> None:
    feed = academy.feed(*PEOPLE)
    entry(academy, "pv", employeeNumber=NUMEN, mail="paul.vasseur@ac-amiens.fr")
    assert "it has no matricule" in why(adopt(academy, feed), "pv")
    ran = academy.run("adopt", feed, "--numen-attribute", "employeeNumber", "--as-of", DAY, "-o", "json")
    plan = ran.json
    assert plan["summary"] == {"adopt": 1}
    assert plan["changes"][0]["reason"].startswith("adopted by its NUMEN")
    assert any("1 entry with a NUMEN in clear" in remark for remark in plan["remarks"])
    apply = ["--numen-attribute", "employeeNumber", "--as-of", DAY, "--apply", "--reason", "migration"]
    assert academy.run("adopt", feed, *apply).code == 0
    assert academy.names() == {"1002": "pv"}
    assert academy.values("pv", "employeeNumber") == [NUMEN]
    academy.night(DAY, feed)
    academy.quiet_night(DAY, feed)
    assert not any(NUMEN in output for output in academy.said)
    for file in academy.sandbox.folder.rglob("*.json*"):
        assert NUMEN not in file.read_text(), file


def test_a_numen_stored_as_a_matricule_appears_in_no_output_or_plan(academy: Academy) -> None:
    feed = academy.feed(*PEOPLE)
    entry(academy, "pv", **supann(NUMEN, mail="paul.vasseur@ac-amiens.fr"))
    assert "20E**********" in why(adopt(academy, feed), "pv")
    words = ["--numen-attribute", "supannEmpId", "--as-of", DAY, "--apply", "--reason", "migration"]
    ran = academy.run("adopt", feed, *words)
    assert ran.code == 0, ran.err
    assert academy.values("pv", "supannEmpId") == ["1002"]
    academy.night(DAY, feed)
    academy.quiet_night(DAY, feed)
    assert not any(NUMEN in output for output in academy.said)
    for file in [*academy.sandbox.folder.rglob("*.json*")]:
        assert NUMEN not in file.read_text(), file
    for data in academy.sandbox.entries(academy.sandbox.state).values():
        assert NUMEN.encode() not in b"".join(data.get("piactlData", []))


def test_an_option_names_the_attribute_of_the_matricule(academy: Academy) -> None:
    feed = academy.feed(*PEOPLE)
    entry(academy, "cd", departmentNumber="1001", mail="claire.dubreuil@ac-amiens.fr")
    plan = adopt(academy, feed)
    assert any("no entry has the attribute supannEmpId" in remark for remark in plan["remarks"])
    plan = adopt(academy, feed, "--matricule-attribute", "departmentnumber")
    assert plan["summary"] == {"adopt": 1}
    wrong = academy.run("adopt", feed, "--matricule-attribute", "no name)")
    assert wrong.code == 2
    assert "not the name of an attribute" in wrong.err


def test_what_changed_since_the_plan_is_a_conflict(academy: Academy) -> None:
    feed = academy.feed(*PEOPLE)
    entry(academy, "cd", **supann("1001", mail="claire.dubreuil@ac-amiens.fr"))
    entry(academy, "pv", **supann("1002", mail="paul.vasseur@ac-amiens.fr"))
    plan_file = academy.folder / "adoption.json"
    academy.run("adopt", feed, "--as-of", DAY, "--out", plan_file)
    academy.change("cd", mail=["c.d@ac-amiens.fr"])
    ran = academy.run("apply", plan_file, "-o", "json")
    assert ran.code == 5
    assert ran.json["outcomes"] == {"applied": 1, "conflict": 1}
    assert set(academy.names().values()) == {"pv"}
    assert academy.values("cd", "mail") == ["c.d@ac-amiens.fr"]


def test_guards_limit_adoptions_even_without_any_accounts(academy: Academy) -> None:
    academy.edit(
        "policy.yaml",
        "  lock:       {floor: 5, share: 0.001}",
        "  lock:       {floor: 5, share: 0.001}\n  adopt: {max: 1, share: 0.1}",
    )
    feed = academy.feed(*PEOPLE)
    entry(academy, "cd", **supann("1001", mail="claire.dubreuil@ac-amiens.fr"))
    entry(academy, "pv", **supann("1002", mail="paul.vasseur@ac-amiens.fr"))
    words = ["adopt", feed, "--as-of", DAY, "--apply", "--reason", "migration"]
    with academy.nothing_written():
        refused = academy.run(*words)
        assert refused.code == 4
        assert "--allow adopt=2" in refused.err
        assert academy.run("adopt", feed, "--as-of", DAY).code == 4
    assert academy.run(*words, "--allow", "adopt=2").code == 0
    assert academy.run("adopt", feed, "--apply").code == 2


def test_adopt_plans_the_deactivation_and_lost_rights_of_entries(academy: Academy) -> None:
    feed = academy.feed(row(matricule="1001", debut="2025-09-01", fin="2026-07-20"), *PEOPLE[1:])
    right = "urn:mace:ac-amiens.fr:service:siecle:0800009A"
    entry(
        academy,
        "cd",
        **{**supann("1001"), "objectClass": ["inetOrgPerson", "supannPerson", "eduPerson"]},
    )
    entry(
        academy,
        "pv",
        **{**supann("1002"), "objectClass": ["inetOrgPerson", "supannPerson", "eduPerson"]},
        eduPersonEntitlement=[right, "urn:mace:autre:service"],
    )
    plan = adopt(academy, feed)
    kinds = {(c["uid"], c["kind"]) for c in plan["changes"]}
    assert {("cd", "adopt"), ("cd", "deactivate"), ("pv", "adopt"), ("pv", "revoke")} <= kinds
    ran = academy.run("adopt", feed, "--as-of", DAY, "--apply", "--reason", "migration")
    assert ran.code == 0, ran.err
    assert not academy.sandbox.accepts(academy.dn("cd"), PASSWORD)
    assert "urn:mace:autre:service" in academy.values("pv", "eduPersonEntitlement")
    assert right not in academy.values("pv", "eduPersonEntitlement")


def test_undo_restores_adopted_entries_which_can_be_adopted_again(academy: Academy) -> None:
    feed = academy.feed(*PEOPLE)
    entry(academy, "cd", **supann("1001", mail="claire.dubreuil@ac-amiens.fr"))
    operational = {"entryCSN", "modifyTimestamp", "modifiersName", "objectClass"}
    before = {name: values for name, values in academy.entry("cd").items() if name not in operational}
    assert academy.run("adopt", feed, "--as-of", DAY, "--apply", "--reason", "x").code == 0
    undone = academy.run("undo", "last", "--reason", "x", "--as-of", DAY)
    assert undone.code == 0, undone.err
    assert {k: v for k, v in academy.entry("cd").items() if k not in operational} == before
    assert academy.accounts() == {}
    assert academy.run("adopt", feed, "--as-of", DAY, "--apply", "--reason", "x").code == 0
    academy.night(DAY, feed)
    assert academy.names()["1001"] == "cd"


@pytest.mark.parametrize("words", [[], ["nowhere.csv"]])
def test_adopt_without_a_readable_feed_fails(academy: Academy, words: list[str]) -> None:
    ran = academy.run("adopt", *words)
    assert ran.code in (2, 6)
    assert ran.err.strip()
