"""Regression tests for accounts."""

from __future__ import annotations

import pytest

from . import feeds
from .academy import Academy
from .feeds import MICHELIS, crowd

DAY = "2026-03-01"
IDA = feeds.row(matricule="1999", prenom="Ida", nom_famille="Roy", debut="2020-09-01")


def row(**values: str) -> str:
    """A row of somebody whose post began before the first day of these stories."""
    return feeds.row(**{"debut": "2026-01-01", **values})


def test_a_photo_on_a_leavers_entry_does_not_stop_the_night(academy: Academy) -> None:
    academy.night(DAY, academy.feed(row(fin="2026-03-31"), day=DAY))
    foreign = {
        "jpegPhoto": [("MODIFY_ADD", [b"\xff\xd8\xff"])],
        "eduPersonEntitlement": [("MODIFY_ADD", ["urn:mace:other:app:right"])],
        "description": [("MODIFY_ADD", ["congés du 3 au 9, épouse joignable"])],
        "homePhone": [("MODIFY_ADD", ["+33 3 22 00 00 00"])],
    }
    with academy.sandbox.root() as root:
        root.modify(academy.dn("claire.dubreuil"), foreign)
    academy.nights("2027-01-01")
    entry = academy.entry("claire.dubreuil")
    assert entry["piactlState"] == [b"archived"]
    assert foreign.keys().isdisjoint(entry)


def test_names_of_two_accounts_with_one_matricule_stay_taken(academy: Academy) -> None:
    """Two entries have the same matricule; no newcomer may get the names of either."""
    academy.night(DAY, academy.feed(row(), IDA, day=DAY))
    attributes = ("objectClass", "cn", "sn", "supannEmpId", "supannRessourceEtat")
    entry = academy.entry("claire.dubreuil")
    double = {
        name: values for name, values in entry.items() if name.startswith("piactl") or name in attributes
    }
    double["piactlIdentifier"] = [b"claire.double", b"claire.autre@ac-amiens.fr"]
    # it is made under another uid: the names that it has or had are taken
    academy.sandbox.add(academy.dn("x.claire"), double)
    assert academy.plan("--as-of", DAY, academy.feed(row(), IDA, day=DAY))["holds"]
    newcomers = [
        row(matricule="1003", prenom="Claire", nom_famille="Double"),
        row(matricule="1004", prenom="Claire", nom_famille="Autre"),
    ]
    academy.night("2026-03-02", academy.feed(row(), IDA, *newcomers, day="2026-03-02"))
    names = academy.names()
    assert (names["1003"], names["1004"]) == ("claire.double1", "claire.autre1")


@pytest.mark.parametrize("night", ["with a feed", "without", "under another policy"])
def test_a_lock_is_removed_from_the_entry_when_it_ends(academy: Academy, night: str) -> None:
    rows = (row(), IDA)
    academy.night(DAY, academy.feed(*rows, day=DAY))
    academy.recorded("claire.dubreuil", piactlLock=["2026-03-02$2026-03-08$admin$compte compromis"])
    academy.night("2026-03-02", academy.feed(*rows, day="2026-03-02"))
    assert academy.show("claire.dubreuil", "2026-03-08")["locked"]
    if night == "under another policy":
        academy.edit("policy.yaml", "open_before: 15 ", "open_before: 16 ")
    academy.night("2026-03-09", *([academy.feed(*rows, day="2026-03-09")] if night == "with a feed" else []))
    assert academy.values("claire.dubreuil", "piactlLock") == []
    assert academy.values("claire.dubreuil", "pwdEndTime") == []
    academy.quiet_night("2026-03-09")


def test_a_tombstone_keeps_no_lock_whose_end_has_passed(academy: Academy) -> None:
    academy.night(DAY, academy.feed(row(fin=DAY), IDA, day=DAY))
    academy.recorded("claire.dubreuil", piactlLock=["2026-03-01$2026-06-30$admin$compte compromis"])
    academy.nights("2026-07-01")
    assert academy.values("claire.dubreuil", "piactlState") == ["archived"]
    assert academy.values("claire.dubreuil", "piactlLock") == []


def test_a_start_cancelled_long_after_a_closure_does_not_archive_at_once(academy: Academy) -> None:
    ended, coming = row(fin=DAY), row(debut="2026-12-01", uai=MICHELIS)
    academy.night(DAY, academy.feed(ended, coming, IDA, day=DAY))
    academy.night("2026-11-16")
    assert academy.values("claire.dubreuil", "piactlState") == ["anticipated"]
    for day in ("2026-11-17", "2026-11-18"):
        academy.night(day, academy.feed(ended, IDA, day=day))
    assert academy.values("claire.dubreuil", "piactlState") == ["deactivated"]
    # closed on the 18th, it stays for the whole retention again, and not longer
    academy.quiet_night("2026-12-17")
    academy.quiet_night("2026-12-17", academy.feed(ended, IDA, day="2026-12-17"))
    academy.nights("2026-12-19")
    assert academy.values("claire.dubreuil", "piactlState") == ["archived"]


def test_a_feed_that_would_reopen_and_unlock_everybody_is_refused(academy: Academy) -> None:
    """The policy has no guard for `unlock`: the built-in one counts."""
    people = crowd(201, debut="2026-01-01", position="suspension")
    academy.night(DAY, academy.feed(*people, day=DAY))
    back = academy.feed(*crowd(201, debut="2026-01-01", position="activite"), day="2026-03-02")
    with academy.nothing_written():
        ran = academy.night("2026-03-02", back, code=6)
        assert "column position: activite in 201 of 201 rows (100.0%), 0.0% in the last feed" in ran.err
        digest = ran.err.partition("--accept-feed ")[2].split()[0]
        words = ["--as-of", "2026-03-02", "--accept-feed", digest, "--reason", "toutes levées"]
        ran = academy.run("nightly", back, *words)
    assert ran.code == 4
    assert "reopen: 201 of 201 accounts, 100.0% (all accounts); 10 are allowed" in ran.err
    assert "unlock: 201 of 201 accounts, 100.0% (all accounts); 10 are allowed" in ran.err
