"""What another program changed on an account is said where people look, and no command passes over it."""

from __future__ import annotations

import pytest

from .academy import Academy
from .feeds import row

DAYS = [f"2026-09-{day:02}" for day in range(5, 25)]
CLAIRE, IDA = "claire.dubreuil", "ida.roy"
PEOPLE = (
    row(courriel_prive="claire@example.org"),
    row(matricule="1999", prenom="Ida", nom_famille="Roy", date_naissance="1985-03-02", debut="2020-09-01"),
)
URN = "urn:mace:ac-amiens.fr:service:"
NONSENSE = "0800010B$ENS$2026-01-01$$$$$$$manual$"
DAY = ("--as-of", DAYS[1])


@pytest.fixture
def begun(academy: Academy) -> Academy:
    """Two accounts, after a night."""
    academy.allow_up_to(5, "drift", "loosening", "revoke", "deactivate", "lock", "rename")
    academy.night(DAYS[0], academy.feed(*PEOPLE, day=DAYS[0]))
    return academy


def services(view: object) -> set[str]:
    return {one["service"] for one in view["entitlements"]}  # type: ignore[index]


def test_accounts_say_it_where_people_look(begun: Academy) -> None:
    """A lost assignment, a right added and one removed, and a private address."""
    before = begun.show(CLAIRE, DAYS[1])
    assert (before["drift"], before["held"]) == ([], False)
    assert begun.run("account", "list", "--drift", "-o", "json", *DAY).json == []
    rights = begun.values(IDA, "eduPersonEntitlement")
    begun.change(CLAIRE, piactlAssignment=[NONSENSE])
    added = [*(right for right in rights if right != f"{URN}iprof"), f"{URN}siecle:0800009A"]
    begun.change(IDA, eduPersonEntitlement=added, supannMailPrive=["theft@example.org"])

    shown = begun.show(CLAIRE, DAYS[1])
    assert (shown["state"], shown["held"], services(shown)) == ("active", True, services(before))
    assert (shown["login_until"], shown["profiles"]) == (before["login_until"], before["profiles"])
    (one,) = shown["drift"]
    assert (one["attribute"], one["class"], one["ours"]) == ("piactlAssignment", "loosening", ["?"])
    assert (one["theirs"], one["fate"]) == ([NONSENSE], "waits for the next feed")
    assert "last modified by" in one["by"]
    text = begun.run("account", "show", CLAIRE, *DAY).out
    assert "CHANGED BY ANOTHER PROGRAM" in text
    assert f"piactl drift revert {CLAIRE}" in text

    rows = begun.run("account", "list", "-o", "json", *DAY).json
    assert [len(one["drift"]) for one in rows] == [1, 2]
    assert "theft@" not in str(rows)
    lines = begun.run("account", "list", "--drift", "-o", "tsv", *DAY).out.splitlines()
    assert [line.rsplit("\t", 1)[-1] for line in lines] == ["drift", "loosening", "loosening"]
    assert "loosening" in begun.run("account", "find", "ida", *DAY).out
