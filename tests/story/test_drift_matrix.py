"""Each managed attribute that another program adds to, replaces or removes is seen the next night."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ldap3
import pytest

from piactl.directory.store.base_digest import MANAGED
from piactl.directory.store.drift import CLASSES

from .academy import Academy
from .feeds import row

DAY, NEXT = "2026-09-05", "2026-09-06"
CLAIRE, IDA = "claire.dubreuil", "ida.roy"
PERSON = row(
    numen="20E9512345XYZ", civilite="MME", nom_usage="Aubry", courriel_prive="c@example.org", fin="2027-08-31"
)
PEOPLE = (PERSON, row(matricule="1999", prenom="Ida", nom_famille="Roy", debut="2020-09-01"))
UID = "claire.aubry"

THEIRS: dict[str, str] = {
    "uid": "autre.uid",
    "cn": "Autre Nom",
    "sn": "Autre",
    "givenName": "Autre",
    "displayName": "Autre Nom",
    "personalTitle": "M.",
    "mail": "autre.nom@ac-amiens.fr",
    "eduPersonPrincipalName": "autre@ac-amiens.fr",
    "eduPersonEntitlement": "urn:mace:ac-amiens.fr:service:siecle:0800009A",
    "supannEmpId": "4711",
    "piactlMatricule": "4712",
    "supannNomDeNaissance": "Autre",
    "supannMailPrive": "autre@example.org",
    "supannEntiteAffectation": "0800010B",
    "supannEntiteAffectationPrincipale": "0800010B",
    "supannEmpCorps": "{NCORPS}999",
    "supannRessourceEtat": "{COMPTE}I:SupannInactif",
    "supannRessourceEtatDate": "{COMPTE}I:SupannInactif:20200101:",
    "pwdStartTime": "20200101000000Z",
    "pwdEndTime": "20400101000000Z",
    "piactlState": "deactivated",
    "piactlIdentifier": "autre.nom@ac-amiens.fr",
    "piactlAlias": "autre.nom@ac-amiens.fr",
    "piactlMatriculeDigest": "{k1}00",
    "piactlMergedInto": "ida.roy {k1}00",
    "piactlNumenDigest": "{k1}00",
    "piactlNumenVerifier": "{k1}00",
    "piactlIdentityDigest": "{k1}00",
    "piactlBirthDigest": "{k1}00",
    "piactlProofChanged": "numen 2026-09-04",
    "piactlNextDue": "20300101",
    "piactlProfile": "direction",
    "piactlAssignment": "0800010B$ENS$2026-01-01$$$$$$$manual$",
    "piactlLock": "2026-01-01$$x$y",
    "piactlException": "grant$iprof$$2026-01-01$2030-01-01$x$y",
    "piactlOverride": "close$2030-01-01$2026-01-01$x$y$$$$2026-01-02$$$$0",
    "piactlProtected": "TRUE",
    "piactlDevice": "autre",
    "oathTOTPToken": "cn=autre",
}
"""A value of another program for each attribute; a new attribute fails until it has one."""

Modify = Callable[[list[bytes], str], list[Any]]
HANDS: dict[str, Modify] = {
    "add": lambda _old, new: [(ldap3.MODIFY_ADD, [new])],
    "replace": lambda _old, new: [(ldap3.MODIFY_REPLACE, [new])],
    "delete": lambda _old, _new: [(ldap3.MODIFY_REPLACE, [])],
}


def test_every_managed_attribute_has_a_class_and_a_row() -> None:
    assert [*CLASSES] == [*dict.fromkeys(CLASSES)]
    assert {*CLASSES} == {*MANAGED} == {*THEIRS}


@pytest.mark.parametrize("attribute", MANAGED)
def test_it_is_seen(academy: Academy, attribute: str) -> None:
    academy.night(DAY, academy.feed(*PEOPLE, day=DAY))
    dn, before = academy.dn(UID), academy.entry(UID)
    new = THEIRS[attribute] + (f",{dn}" if attribute == "oathTOTPToken" else "")
    for hand, modify in HANDS.items():
        if hand == "delete" and attribute not in before:
            continue
        changes: dict[str, Any] = {attribute: modify(before.get(attribute, []), new)}
        if attribute == "oathTOTPToken" and "oathTOTPUser" not in academy.values(UID, "objectClass"):
            changes["objectClass"] = [(ldap3.MODIFY_ADD, ["oathTOTPUser"])]
        with academy.sandbox.root() as root:
            try:
                root.modify(dn, changes)
            except ldap3.core.exceptions.LDAPOperationResult:
                continue  # the schema of the server refuses it
        for feeds in ([], [academy.feed(*PEOPLE, day=NEXT)]):
            plan = academy.plan(*feeds, "--as-of", NEXT)
            seen = [one["attribute"] for one in plan["drift"] if one["uid"] == UID]
            held = [hold["why"] for hold in plan["holds"]]
            assert attribute in seen or any(attribute in why for why in held), (hand, bool(feeds))
            assert not any(change["kind"] == "create" for change in plan["changes"])
        with academy.sandbox.root() as root:
            back = {name: before.get(name, []) for name in changes}
            root.modify(dn, {name: [(ldap3.MODIFY_REPLACE, found)] for name, found in back.items()})
        assert academy.plan("--as-of", NEXT)["drift"] == []
