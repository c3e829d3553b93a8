"""One person with several matricules in HR, and two people with the same digits in different sources."""

from __future__ import annotations

import pytest

from . import feeds
from .academy import Academy, prepared
from .feeds import MARESCHAL, MICHELIS, row
from .phones import KNOWN, verified
from .two_accounts import (
    AS_OF,
    CLAIRE,
    DAYS,
    IDA,
    LUC,
    WHY,
    aaf,
    both_feeds,
    doubled,
    epp,
    luc,
    merge,
    with_two_sources,
)


@pytest.fixture
def two(academy: Academy) -> Academy:
    """An academy with EPP and AAF, which numbers people in its own way."""
    return with_two_sources(academy)


@prepared
def duo(academy: Academy) -> Academy:
    """The same, in which Luc has two accounts."""
    doubled(with_two_sources(academy))
    return academy


def test_the_same_digits_of_two_namespaces_are_two_people(two: Academy) -> None:
    claire = row(date_naissance="1979-05-03")
    two.night(DAYS[0], epp(two, DAYS[0], claire), aaf(two, DAYS[0], luc()))
    assert {"1001": CLAIRE, "aaf:1001": LUC}.items() <= two.names().items()
    assert two.show("aaf:1001", DAYS[0])["uid"] == LUC
    assert two.show("hr:1001", DAYS[0])["uid"] == CLAIRE
    both = two.run("account", "show", "1001")
    assert (both.code, "NAMESPACE:MATRICULE" in both.err) == (1, True)
    assert two.show("77", DAYS[0])["matricules"] == ["aaf:77"]
    post = ("--function", "ENS", "--uai", MICHELIS, "--until", DAYS[-1], "--sponsor", CLAIRE)
    names = ("--family-name", "Alix", "--given-name", "Noé", "--matricule", "aaf:1001")
    assert "has the account luc.vasseur" in two.run("account", "create", *names, *post, *WHY, *AS_OF).err
    two.quiet_night(DAYS[1], epp(two, DAYS[1], claire), aaf(two, DAYS[1], luc()))
    # the feed of one source does not end the posts of the other, whose matricule it lacks
    for day in DAYS[2:6]:
        two.quiet_night(day, epp(two, day, claire))


def test_rekey_replaces_a_matricule_and_can_be_undone(two: Academy) -> None:
    two.night(DAYS[0], epp(two, DAYS[0], luc()))
    refused = two.run("account", "rekey", LUC, "--from", "1001", "--to", "1999", *WHY)
    assert (refused.code, "that of the account ida.roy" in refused.err) == (1, True)
    refused = two.run("account", "rekey", LUC, "--from", "1002", "--to", "1003", *WHY)
    assert (refused.code, "it has 1001" in refused.err) == (1, True)
    assert two.run("account", "rekey", LUC, "--from", "1001", "--to", "a b", *WHY).code == 2
    done = two.run("account", "rekey", LUC, "--from", "1001", "--to", "2001", *WHY, "--as-of", DAYS[0])
    assert done.code == 0, done.err
    again = two.run("account", "rekey", LUC, "--from", "1001", "--to", "2001", *WHY, "--as-of", DAYS[0])
    assert "unchanged" in again.out
    two.twice(DAYS[1], epp(two, DAYS[1], luc(matricule="2001")))
    assert two.names()["2001"] == LUC
    assert two.run("account", "show", "1001").code == 9
    undone = two.run("undo", "last", "--yes", "--reason", "erreur", "--as-of", DAYS[1])
    assert undone.code == 0, undone.err
    assert two.show("1001", DAYS[1])["matricules"] == ["1001"]


# ---- two accounts of one person


def test_two_accounts_of_one_person_become_one(duo: Academy) -> None:
    before = duo.accounts()
    with duo.nothing_written():
        shown = merge(duo, "--dry-run")
        assert (
            "merged_into" in duo.run("account", "merge", f"{LUC}1", LUC, *WHY, "--dry-run", "-o", "json").out
        )
    assert f"merged into {LUC}" in shown.out
    merge(duo)
    view = duo.show(LUC, DAYS[0])
    assert view["matricules"] == ["1001", "aaf:42"]
    assert {a["uai"] for a in view["assignments"]} == {MICHELIS, MARESCHAL}
    assert view["aliases"] == [f"{LUC}1@ac-amiens.fr"]
    assert view["locked"]
    assert duo.show("aaf:42", DAYS[0])["uid"] == duo.show(f"{LUC}1@ac-amiens.fr", DAYS[0])["uid"] == LUC
    # the tombstone names the other account, and has no data of the person
    tombstone = duo.entry(f"{LUC}1")
    assert duo.show(f"{LUC}1", DAYS[0])["merged_into"] == LUC
    assert (
        not {
            "userPassword",
            "telephoneNumber",
            "mail",
            "supannEmpId",
            "piactlNumenDigest",
            "piactlIdentityDigest",
            "piactlBirthDigest",
        }
        & tombstone.keys()
    )
    assert duo.values(f"{LUC}1", "piactlIdentifier") == [f"{LUC}1"]
    assert duo.values(f"{LUC}1", "piactlState") == ["archived"]
    assert tombstone["piactlMatriculeDigest"] != before[duo.dn(f"{LUC}1")]["piactlMatriculeDigest"]
    # both feeds are about one person, and neither ends what the other one says
    duo.twice(DAYS[1], *both_feeds(duo, DAYS[1]))
    for day in DAYS[2:5]:
        duo.quiet_night(day, both_feeds(duo, day)[0])
    for day in DAYS[5:8]:
        duo.quiet_night(day, both_feeds(duo, day)[1])
    assert {a["uai"] for a in duo.show(LUC, DAYS[8])["assignments"]} == {MICHELIS, MARESCHAL}
    # a changed row under the second matricule is seen, whatever the cache has for the first one
    duo.twice(DAYS[9], *both_feeds(duo, DAYS[9]))
    ends = luc(matricule="42", uai=MARESCHAL, date_naissance="", prenom="LUC", fin="2026-10-31")
    duo.twice(DAYS[10], both_feeds(duo, DAYS[10])[0], aaf(duo, DAYS[10], ends))
    ends_by_uai = {a["uai"]: a["end"] for a in duo.show(LUC, DAYS[10])["assignments"]}
    assert ends_by_uai == {MICHELIS: None, MARESCHAL: "2026-10-31"}
    assert duo.run("forecast", "--until", DAYS[12], "--as-of", DAYS[10]).code == 0
    assert duo.run("account", "export", LUC, "-o", "json").json["matricules"] == ["1001", "aaf:42"]


def test_a_delta_updates_the_person_under_a_further_matricule(academy: Academy) -> None:
    academy.sources(epp="kind: full", aaf="kind: delta, namespace: aaf")
    academy.allow_up_to(9, "update", "deactivate", "grant", "revoke", "create", "rename", "identity")
    doubled(academy)
    academy.run("account", "unlock", f"{LUC}1", *WHY, *AS_OF)
    merge(academy)
    further_post = luc(matricule="42", uai=feeds.THUILLIER, date_naissance="", prenom="LUC")
    academy.twice(DAYS[1], academy.feed(further_post, day=DAYS[1], source="aaf"))
    posts = {a["uai"] for a in academy.show(LUC, DAYS[1])["assignments"]}
    assert posts == {MICHELIS, MARESCHAL, feeds.THUILLIER}
    broken = further_post.replace(";2026-09-01;", ";2026-13-01;")
    holds = academy.plan(academy.feed(broken, day=DAYS[2], source="aaf"), "--as-of", DAYS[2])["holds"]
    assert [hold["uid"] for hold in holds] == [LUC]


def test_a_merge_keeps_the_count_of_absences(duo: Academy) -> None:
    other = luc(matricule="42", uai=MARESCHAL, date_naissance="", prenom="LUC")
    soon = row(matricule="43", prenom="Zoé", nom_famille="Hars", debut="2026-12-01")
    with_soon, without = aaf(duo, DAYS[1], other, soon), aaf(duo, DAYS[2])
    duo.night(DAYS[1], with_soon)
    duo.night(DAYS[2], without)
    merge(duo, "--as-of", DAYS[2])
    duo.night(DAYS[3], aaf(duo, DAYS[3]))
    ends = {a["uai"]: a["end"] for a in duo.show(LUC, DAYS[3])["assignments"]}
    assert ends == {MICHELIS: None, MARESCHAL: DAYS[1]}


def test_a_merge_is_undone_and_made_again(duo: Academy) -> None:
    before = duo.managed()
    merge(duo)
    merged = duo.managed()
    # Luc's ledger gives up what goes to the other account, and only that
    undone = duo.run("undo", "last", "--yes", "--reason", "deux personnes", *AS_OF)
    assert undone.code == 0, undone.out + undone.err
    again = duo.managed()
    for uid, gone in ((LUC, {}), (f"{LUC}1", {"piactlDevice": [b"suspended"]})):
        entry = again[duo.dn(uid)]
        expected = {**before[duo.dn(uid)], **gone}
        expected["oathTOTPToken"] = entry.get("oathTOTPToken", [])
        assert {**entry, "oathTOTPToken": expected["oathTOTPToken"]} == expected
    assert duo.names()["aaf:42"] == f"{LUC}1"
    (run,) = [run for run in duo.run("runs", "list", "-o", "json").json if run.get("undoes")][:1]
    taken_back = duo.run("undo", run["run"], "--yes", "--reason", "si, la même", *AS_OF)
    assert taken_back.code == 0, taken_back.out + taken_back.err
    assert duo.managed() == merged
    duo.twice(DAYS[1], *both_feeds(duo, DAYS[1]))


def test_protected_accounts_and_foreign_marks_are_not_merged(duo: Academy) -> None:
    assert "same account" in duo.run("account", "merge", LUC, "1001", *WHY, *AS_OF).err
    duo.change(f"{LUC}1", piactlProtected=["TRUE"])
    with duo.nothing_written():
        assert "it is protected" in merge(duo, code=1).err
    duo.change(f"{LUC}1", piactlProtected=[], piactlMergedInto=[f"{{k1}}00 {LUC}"])
    # every command ignores the mark of another program
    ran = duo.night(DAYS[0])
    assert "piactl ignores the mark" in ran.err
    assert duo.show(f"{LUC}1", DAYS[0])["merged_into"] is None
    assert duo.values(f"{LUC}1", "piactlState") == ["active"]
    duo.change(f"{LUC}1", piactlProtected=["TRUE"])
    merge(duo, "--administrator")
    assert duo.show(f"{LUC}1", DAYS[0])["merged_into"] == LUC
    assert f"merged into {LUC}" in duo.run("account", "unlock", f"{LUC}1", *WHY, *AS_OF).err
    # nor does a mark copied from another account count
    mark = duo.values(f"{LUC}1", "piactlMergedInto")
    duo.change("ida.roy", piactlMergedInto=mark)
    assert "ida.roy: another program" in duo.night(DAYS[0]).err
    assert duo.show("ida.roy", DAYS[0])["state"] == "active"


# ---- one account of two people


def test_an_account_of_two_people_is_split(duo: Academy) -> None:
    duo.run("account", "unlock", f"{LUC}1", *WHY, *AS_OF)
    merge(duo)
    duo.night(DAYS[1], *both_feeds(duo, DAYS[1]))
    verified(duo, LUC, *KNOWN)
    duo.change(LUC, userPassword=["quatre chats gris et lents"])
    refused = duo.run("account", "split", LUC, "--matricule", "1999", *WHY, "--as-of", DAYS[1])
    assert (refused.code, "it has 1001, aaf:42" in refused.err) == (1, True)
    only = duo.run("account", "split", "ida.roy", "--matricule", "1999", *WHY, "--as-of", DAYS[1])
    assert "its only known matricule" in only.err
    done = duo.run("account", "split", LUC, "--matricule", "aaf:42", *WHY, "--as-of", DAYS[1])
    assert done.code == 0, done.err
    new = duo.names()["aaf:42"]
    assert new == f"{LUC}2"  # luc.vasseur1 stays taken for ever
    for text in (f"{LUC} keeps its addresses", f"{LUC}1@ac-amiens.fr", new, "Contact both"):
        assert text in done.out
    views = duo.show(LUC, DAYS[1]), duo.show(new, DAYS[1])
    assert [{a["uai"] for a in view["assignments"]} for view in views] == [{MICHELIS}, {MARESCHAL}]
    assert [view["matricules"] for view in views] == [["1001"], ["aaf:42"]]
    assert "userPassword" not in duo.entry(LUC)
    assert duo.values(LUC, "piactlDevice") == duo.values(new, "piactlDevice") == []
    assert len(duo.sandbox.entries(duo.dn(LUC))) == 1
    duo.twice(DAYS[2], *both_feeds(duo, DAYS[2]))
    assert duo.names() == {"1001": LUC, "aaf:42": new, "1999": "ida.roy", "aaf:77": "ida.quint"}
    # a merge joins again what a split took apart
    assert duo.run("undo", "last", "--yes", "--reason", "erreur", "--as-of", DAYS[2]).code in (0, 5)
    back = duo.run("account", "merge", new, LUC, *WHY, "--as-of", DAYS[2])
    assert back.code == 0, back.err
    assert duo.show(LUC, DAYS[2])["matricules"] == ["1001", "aaf:42"]


def test_a_split_can_take_the_first_matricule(duo: Academy) -> None:
    duo.run("account", "unlock", f"{LUC}1", *WHY, *AS_OF)
    merge(duo)
    assert duo.run("account", "split", LUC, "--matricule", "1001", *WHY, *AS_OF).code == 0
    assert {"1001": f"{LUC}2", "aaf:42": LUC}.items() <= duo.names().items()
    assert {a["uai"] for a in duo.show(LUC, DAYS[0])["assignments"]} == {MARESCHAL}
    duo.twice(DAYS[1], *both_feeds(duo, DAYS[1]))
    assert {"1001": f"{LUC}2", "aaf:42": LUC}.items() <= duo.names().items()


# ---- several matricules over time


def test_somebody_comes_back_from_the_archive_under_either_matricule(duo: Academy) -> None:
    duo.run("account", "unlock", f"{LUC}1", *WHY, *AS_OF)
    merge(duo)
    ended = {"fin": "2026-09-10"}
    duo.night(
        "2026-09-09",
        epp(duo, "2026-09-09", luc(**ended)),
        aaf(duo, "2026-09-09", luc(matricule="42", uai=MARESCHAL, date_naissance="", **ended)),
    )
    duo.allow_up_to(9, "archive")
    duo.night("2026-12-30")
    duo.night("2026-12-31")
    assert duo.values(LUC, "piactlState") == ["archived"]
    assert len(duo.values(LUC, "piactlMatriculeDigest")) == 2
    assert duo.values(LUC, "piactlMatricule") == []
    back = {"debut": "2027-01-01"}
    duo.night("2027-01-02", aaf(duo, "2027-01-02", luc(matricule="42", date_naissance="", **back)))
    assert duo.names()["aaf:42"] == LUC
    # the other matricule was known only by its digest, and is known in clear again
    duo.twice(
        "2027-01-03",
        epp(duo, "2027-01-03", luc(uai=MARESCHAL, **back)),
        aaf(duo, "2027-01-03", luc(matricule="42", date_naissance="", **back)),
    )
    assert duo.show(LUC, "2027-01-03")["matricules"] == ["aaf:42", "1001"]
    assert len(duo.accounts()) == 4
    assert (
        duo.run("account", "rekey", LUC, "--from", "1001", "--to", "1003", *WHY, "--as-of", "2027-01-03").code
        == 0
    )
    assert duo.show("1003", "2027-01-03")["matricules"] == ["aaf:42", "1003"]


def test_both_matricules_come_back_in_one_night(duo: Academy) -> None:
    duo.run("account", "unlock", f"{LUC}1", *WHY, *AS_OF)
    merge(duo)
    ended = {"fin": "2026-09-10"}
    duo.night(
        "2026-09-09",
        epp(duo, "2026-09-09", luc(**ended)),
        aaf(duo, "2026-09-09", luc(matricule="42", uai=MARESCHAL, date_naissance="", **ended)),
    )
    duo.allow_up_to(9, "archive")
    duo.nights("2026-12-31")
    back = {"debut": "2027-01-01"}
    duo.twice(
        "2027-01-02",
        epp(duo, "2027-01-02", luc(**back)),
        aaf(duo, "2027-01-02", luc(matricule="42", uai=MARESCHAL, date_naissance="", **back)),
    )
    assert duo.show(LUC, "2027-01-02")["matricules"] == ["1001", "aaf:42"]
    assert len(duo.accounts()) == 4


def test_digests_of_all_matricules_move_to_another_key(duo: Academy) -> None:
    merge(duo)
    assert duo.run("key", "add", *WHY[:2]).code == 0
    duo.night(DAYS[1], *both_feeds(duo, DAYS[1]))
    assert {digest[:4] for digest in duo.values(LUC, "piactlMatriculeDigest")} == {"{k2}"}
    assert duo.show("aaf:42", DAYS[1])["uid"] == LUC


def test_two_matricules_of_one_person_in_one_feed(academy: Academy) -> None:
    """HR gave another matricule, and lists the ended post under the former one with the same NUMEN."""
    academy.allow_up_to(9, "update", "deactivate", "grant", "revoke", "create", "rename", "identity")
    old, new = (
        luc(fin="2026-09-10"),
        luc(matricule="1002", uai=MARESCHAL, date_naissance="", nom_usage="Petit"),
    )
    academy.night(DAYS[0], academy.feed(old, new, IDA, day=DAYS[0]))
    assert academy.names()["1002"] == "luc.petit"
    assert academy.run("account", "merge", "luc.petit", LUC, *WHY, *AS_OF).code == 0
    numen = "20E9512345XYZ"
    ended, also = luc(fin="2026-09-10", numen=numen), luc(matricule="1002", uai=MARESCHAL, numen=numen)
    academy.twice(DAYS[1], academy.feed(ended, also, IDA, day=DAYS[1]))
    assert {a["uai"] for a in academy.show(LUC, DAYS[1])["assignments"]} == {MICHELIS, MARESCHAL}
    # the data of the latest post count; two statements about one post hold the person, and are named
    other = luc(matricule="1002", fin="2026-09-20", corps="551", numen=numen)
    plan = academy.plan(academy.feed(ended, other, IDA, day=DAYS[2]), "--as-of", DAYS[2])
    (hold,) = plan["holds"]
    assert hold["uid"] == LUC
    assert "matricules 1002 and 1001, disagree" in hold["why"]
    # HR no longer lists the former matricule: its post is absent like any other
    for day in DAYS[3:5]:
        academy.night(day, academy.feed(also, IDA, day=day))
    assert {a["uai"] for a in academy.show(LUC, DAYS[4])["assignments"] if not a["end"]} == {MARESCHAL}
    assert academy.show("1001", DAYS[4])["uid"] == LUC
