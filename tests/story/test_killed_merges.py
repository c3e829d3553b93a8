"""Merges, splits and their undo are killed between any two of their writes."""

from __future__ import annotations

from typing import Any

import ldap3
import pytest

from tests.conftest import Sandbox
from tests.programs import KILLER

from .academy import Academy
from .feeds import MARESCHAL
from .killed import killed_by
from .phones import KNOWN, verified
from .two_accounts import AS_OF, DAYS, LUC, WHY, aaf, both_feeds, doubled, epp, luc, merge, with_two_sources


@pytest.fixture
def two(academy: Academy) -> Academy:
    return with_two_sources(academy)


MERGE = 5
"""The number of writes: the mark, the device, the password, the remaining account, the tombstone."""


RELAX = "1.3.6.1.4.1.4203.666.5.12"
"""The control with which root gives an entry its former entryUUID."""


def below(academy: Academy, *uids: str, whole: bool = False) -> dict[str, dict[str, list[bytes]]]:
    """The accounts and their devices; `whole` in a form that can be added again, else without what is made of
    the entryUUID, which differs between two entries."""
    operational = ["pwdStartTime", "pwdEndTime"] + ["entryUUID"] * whole
    entries: dict[str, dict[str, list[bytes]]] = {}
    for uid in uids:
        if academy.sandbox.entry(academy.dn(uid)) is not None:
            entries |= academy.sandbox.entries(academy.dn(uid), attributes=("*", *operational))
    return {
        dn: {
            name: sorted(values)
            for name, values in entry.items()
            if values and (whole or name != "piactlDigest")
        }
        for dn, entry in entries.items()
    }


def put_back(sandbox: Sandbox, saved: dict[str, Any], now: dict[str, Any]) -> None:
    with sandbox.root() as root:
        for dn in sorted(now, key=len, reverse=True):
            root.delete(dn)
        for dn in sorted(saved, key=len):
            root.add(dn, attributes=saved[dn], controls=[(RELAX, True, None)])


def killed(academy: Academy, moment: str, number: int, *words: str) -> None:
    killed_by(KILLER, academy, moment, str(number), *words)


def test_a_merge_that_is_killed_is_finished_by_the_next_night_or_command(two: Academy) -> None:
    doubled(two)
    uids = (LUC, f"{LUC}1")
    saved = below(two, *uids, whole=True)
    merge(two)
    expected = below(two, *uids)
    for number in range(1, MERGE + 1):
        for moment in ("before", "after"):
            put_back(two.sandbox, saved, below(two, *uids))
            killed(two, moment, number, "account", "merge", f"{LUC}1", LUC, *WHY, *AS_OF)
            if (number, moment) == (1, "before"):
                assert below(two, *uids, whole=True) == saved
                merge(two)
            elif number % 2:
                feeds = both_feeds(two, DAYS[0]) if number == 3 else []
                holds = {hold["uid"]: hold["why"] for hold in two.plan(*feeds, "--as-of", DAYS[0])["holds"]}
                assert not feeds or "is not finished" in holds[f"{LUC}1"]
                two.night(DAYS[0])
            else:
                assert (
                    two.run("account", "lock", "ida.roy", "--reason", f"{moment} {number}", *AS_OF).code == 0
                )
            assert below(two, *uids) == expected, (moment, number)
    assert two.run("journal", "verify").code == 0


def test_a_split_that_is_killed_is_ended_by_the_same_command(two: Academy) -> None:
    """Device, password, new account and remaining account: at no time is a post without an account."""
    doubled(two)
    assert two.run("account", "unlock", f"{LUC}1", *WHY, *AS_OF).code == 0
    merge(two)
    two.night(DAYS[1], *both_feeds(two, DAYS[1]))
    verified(two, LUC, *KNOWN)
    two.change(LUC, userPassword=["quatre chats gris et lents"])
    words = ("account", "split", LUC, "--matricule", "aaf:42", *WHY, "--as-of", DAYS[1])
    uids = (LUC, f"{LUC}2")
    saved = below(two, *uids, whole=True)
    record = f"cn=accounts-00000,{two.sandbox.state}"
    listed = two.sandbox.entry(record)["piactlData"]
    assert two.run(*words).code == 0
    expected = below(two, *uids)
    for moment, number in (("before", 1), ("after", 1), ("before", 3), ("after", 4), ("before", 4)):
        put_back(two.sandbox, saved, below(two, *uids))
        with two.sandbox.root() as root:  # as it was before the new account was made
            root.modify(record, {"piactlData": [(ldap3.MODIFY_REPLACE, listed)]})
        killed(two, moment, number, *words)
        feeds = both_feeds(two, DAYS[1])
        if (moment, number) == ("before", 4):  # both have the matricule, so none counts as its account
            plan = two.plan(*feeds, "--as-of", DAYS[1])
            assert plan["changes"] == []
            assert {hold["matricule"] for hold in plan["holds"]} == {"1001", "aaf:42"}
            assert "the same command again ends it" in plan["holds"][0]["why"]
            two.night(DAYS[1], *feeds)
        ran = two.run(*words)
        assert ran.code == (1 if (moment, number) == ("after", 4) else 0), ran.err
        assert below(two, *uids) == expected, (moment, number)
    two.twice(DAYS[2], *both_feeds(two, DAYS[2]))
    assert two.run("journal", "verify").code == 0


def test_an_undone_merge_that_is_killed_leaves_no_name_free(two: Academy) -> None:
    """While the names are between the two accounts, nobody else gets them."""
    doubled(two)
    assert two.run("account", "unlock", f"{LUC}1", *WHY, *AS_OF).code == 0
    married = luc(matricule="42", uai=MARESCHAL, date_naissance="", prenom="LUC", nom_usage="Petit")
    two.night(DAYS[0], aaf(two, DAYS[0], married))
    (petit,) = two.values(f"{LUC}1", "mail")
    assert petit == "luc.petit@ac-amiens.fr"
    merge(two)
    run = two.run("runs", "list", "-o", "json").json[0]["run"]
    killed(two, "after", 1, "undo", run, "--yes", "--reason", "deux personnes", *AS_OF)
    names = [name for uid in (LUC, f"{LUC}1") for name in two.values(uid, "piactlIdentifier")]
    assert petit not in names
    other = luc(matricule="1007", nom_famille="Petit", date_naissance="1991-07-09")
    for day in DAYS[1:3]:
        two.night(day, epp(two, day, luc(numen="20E9512345XYZ"), other))
    assert two.names()["1007"] == "luc.petit1"
    assert two.run("undo", run, "--yes", "--reason", "deux personnes", "--as-of", DAYS[2]).code == 0
    assert two.values(f"{LUC}1", "mail") == [petit]
    assert petit in two.values(f"{LUC}1", "piactlIdentifier")
