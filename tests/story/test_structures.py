"""Structures: the affectation of an account names an entry, which plans keep equal to the register."""

from __future__ import annotations

import ldap3

from tests.outside import STRUCTURES

from .academy import Academy
from .feeds import THUILLIER
from .test_groups import CLAIRE, DAY, NEXT, as_application, grouped
from .test_undo import fates, undo

LATER = "2026-09-12"
LEFT = f"supannCodeEntite={THUILLIER}"


def test_structures_follow_the_register(academy: Academy) -> None:
    grouped(academy)
    academy.edit("piactl.yaml", "  identities:", f"  structures: {STRUCTURES}\n  identities:")
    with academy.sandbox.root() as root:
        theirs = f"supannCodeEntite=RECTORAT,{STRUCTURES}"
        root.add(theirs, ["organizationalUnit", "supannEntite"], {"ou": "rectorat"})
    academy.twice(DAY, academy.feed(CLAIRE, day=DAY))
    with as_application(academy) as application:
        account, places = academy.dn("claire.dubreuil"), ["supannEntiteAffectation"]
        application.search(account, "(objectClass=piactlAccount)", "BASE", attributes=places)
        code = application.entries[0]["supannEntiteAffectation"].value
        attributes = ["description", "l", "ou"]
        application.search(STRUCTURES, f"(supannCodeEntite={code})", attributes=attributes)
        [entry] = application.entries
    assert (entry["description"].value, entry["ou"].value) == ("Lycée Louis Thuillier", THUILLIER)

    # another program changes one, and another one leaves the register
    with academy.sandbox.root() as root:
        root.modify(f"{LEFT},{STRUCTURES}", {"description": [(ldap3.MODIFY_REPLACE, ["X"])]})
    register = academy.sandbox.folder / "establishments.csv"
    lines = register.read_text(encoding="utf-8").splitlines(keepends=True)
    [gone] = [line for line in lines if line.startswith("0801616X")]
    register.write_text("".join(line for line in lines if line != gone), encoding="utf-8")
    plan = academy.plan("--as-of", NEXT)
    changes = {
        change["uid"]: change for change in plan["changes"] if change["uid"].startswith("supannCodeEntite")
    }
    assert {*changes} == {LEFT, "supannCodeEntite=0801616X"}
    assert changes["supannCodeEntite=0801616X"]["reason"] == "the register has no such establishment"
    assert "supannCodeEntite=0801616X: removed, " in academy.run("plan", "--as-of", NEXT, "--all").out
    academy.night(NEXT)
    assert academy.sandbox.entry(f"supannCodeEntite=0801616X,{STRUCTURES}") is None
    assert academy.sandbox.entry(theirs) is not None
    assert fates(undo(academy, day=NEXT))["supannCodeEntite=0801616X"] == "reversed"
    assert academy.sandbox.entry(f"supannCodeEntite=0801616X,{STRUCTURES}") is not None
