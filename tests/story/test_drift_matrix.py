"""Another program adds to, replaces or removes each managed attribute: the next night sees it, with and
without a feed, and puts it back, keeps it, or leaves it for a decision."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import ldap3
import pytest

from piactl.directory.store.base_digest import MANAGED, WITNESSED

from .academy import Academy, Entries, prepared
from .feeds import row

DAYS = ["2026-09-05", "2026-09-06", "2026-09-07"]
HOW = ("add", "replace", "delete")

THEIRS: dict[str, str] = {
    "uid": "autre.{n}",
    "cn": "Autre Nom",
    "sn": "Autre",
    "givenName": "Autre",
    "displayName": "Autre Nom",
    "personalTitle": "M.",
    "mail": "autre.{n}@ac-amiens.fr",
    "eduPersonPrincipalName": "autre.{n}@ac-amiens.fr",
    "eduPersonEntitlement": "urn:mace:ac-amiens.fr:service:siecle:0800009A",
    "supannEmpId": "47{n}",
    "piactlMatricule": "48{n}",
    "supannNomDeNaissance": "Autre",
    "supannMailPrive": "autre{n}@example.org",
    "supannEntiteAffectation": "0800010B",
    "supannEntiteAffectationPrincipale": "0800010B",
    "supannEmpCorps": "{{NCORPS}}999",
    "supannRessourceEtat": "{{COMPTE}}I:SupannInactif",
    "supannRessourceEtatDate": "{{COMPTE}}I:SupannInactif:20200101:",
    "pwdStartTime": "20200101000000Z",
    "pwdEndTime": "20400101000000Z",
    "piactlState": "deactivated",
    "piactlIdentifier": "autre.{n}@ac-amiens.fr",
    "piactlAlias": "autre.{n}@ac-amiens.fr",
    "piactlMatriculeDigest": "{{k1}}00{n}",
    "piactlMergedInto": "{{k1}}00 ida.roy",
    "piactlNumenDigest": "{{k1}}00",
    "piactlNumenVerifier": "{{k1}}00",
    "piactlIdentityDigest": "{{k1}}00",
    "piactlBirthDigest": "{{k1}}00$11",
    "piactlProofChanged": "numen 2026-09-04",
    "piactlNextDue": "20300101",
    "piactlProfile": "direction",
    "piactlAssignment": "0800010B$ENS$2026-01-01$$$$$$$manual$",
    "piactlLock": "2026-01-01$$x$y",
    "piactlException": "grant$iprof$$2026-01-01$2030-01-01$x$y",
    "piactlOverride": "close$2030-01-01$2026-01-01$x$y$$$$2026-01-02$$$$0",
    "piactlProtected": "TRUE",
    "supannCivilite": "M.",
    "supannEtablissement": "{{UAI}}0800010B",
    "supannEmpDateFin": "20300101000000Z",
    "eduPersonAffiliation": "student",
    "eduPersonUniqueId": "{n}@ac-amiens.fr",
    "uidNumber": "{n}",
    "gidNumber": "{n}",
    "homeDirectory": "/srv/{n}",
    "loginShell": "/bin/{n}",
}
"""The other program's value for each attribute; a new attribute fails until it has one. `n` is a number."""

GIVEN: dict[str, str] = {
    "piactlAlias": "alias.{n}@ac-amiens.fr",
    "piactlMatricule": "49{n}",
    "piactlMergedInto": "{{k1}}11 ida.roy",
    "piactlNumenVerifier": "{{k1}}11",
    "piactlProofChanged": "private_mail 2026-09-03",
    "piactlLock": "2026-01-01$$dupont$parti",
    "piactlException": "deny$iprof$$2026-09-01$2030-01-01$dupont$essai",
    "piactlOverride": "end$2030-01-01$2026-09-01$dupont$essai$0800009A$ENS$2026-09-01$2027-06-30$$$$0",
    "piactlProtected": "TRUE",
}
"""The values that piactl wrote for attributes that few accounts have."""

EXPECTED: dict[str, str] = {
    "uid": "W--",
    "cn": "RR-",
    "sn": "Rh-",
    "givenName": "Rhh",
    "displayName": "-RR",
    "personalTitle": "Rhh",
    "mail": "WWR",
    "eduPersonPrincipalName": "-RR",
    "eduPersonEntitlement": "RRR",
    "supannEmpId": "HHH",
    "supannNomDeNaissance": "-hh",
    "supannMailPrive": "Rhh",
    "supannEntiteAffectation": "RRR",
    "supannEntiteAffectationPrincipale": "-RR",
    "supannEmpCorps": "RRR",
    "supannRessourceEtat": "WWR",
    "supannRessourceEtatDate": "WWR",
    "pwdStartTime": "-RR",
    "pwdEndTime": "-RR",
    "piactlState": "-W-",
    "piactlIdentifier": "BB-",
    "piactlAlias": "WWR",
    "piactlMatriculeDigest": "RR-",
    "piactlNumenDigest": "-hh",
    "piactlNumenVerifier": "RNN",
    "piactlProofChanged": "WPP",
    "piactlNextDue": "-RR",
    "piactlProfile": "RRR",
    "piactlAssignment": "Rth",
    "piactlLock": "WLL",
    "piactlException": "RTH",
    "piactlOverride": "WHH",
    "piactlProtected": "W-W",
    "piactlMatricule": "RHH",
    "piactlMergedInto": "WHH",
    "piactlIdentityDigest": "-hh",
    "piactlBirthDigest": "-hh",
    "supannCivilite": "-RR",
    "supannEtablissement": "RRR",
    "supannEmpDateFin": "RRR",
    "eduPersonAffiliation": "RRR",
    "eduPersonUniqueId": "R--",
    "uidNumber": "-R-",
    "gidNumber": "-R-",
    "homeDirectory": "-R-",
    "loginShell": "-RR",
}
"""What becomes of an added, replaced and deleted value. R: put back. W (waits for a decision), H (held): as
the other program left it. T (held): what gave access is taken back. h and t (held): likewise until the next
feed, which puts it back. B: it has the values of both. L: locked, with another text. P: the proofs of
identity count as changed today. N: none, until its day. "-": the server refuses it."""
SEEN = {"R": "reverted", "L": "reverted", "W": "waits for a decision", "B": "waits for a decision"}


def person(n: int) -> str:
    letters = chr(97 + n // 26) + chr(97 + n % 26)
    return row(
        matricule=str(5000 + n),
        numen=f"20E95{n:05}XYZ",
        civilite="MME",
        nom_famille=f"Vauban{letters}",
        nom_usage=f"Aubry{letters}",
        courriel_prive=f"c{n}@example.org",
        date_naissance=str(date(1970, 1, 1) + timedelta(days=7 * n)),
        fin="2027-08-31",
    )


def test_every_managed_attribute_has_a_row() -> None:
    assert {*THEIRS} == {*EXPECTED} == {*MANAGED} - WITNESSED


CASES = {
    str(5000 + n): case
    for n, case in enumerate((name, modification) for name in THEIRS for modification in HOW)
}
PEOPLE = [person(n) for n in range(len(CASES))]


@prepared
def settled(academy: Academy) -> dict[str, str]:
    """One person for each case, with the values that few accounts have; `left` are their names."""
    academy.allow_up_to(1000)
    settings = "unique_id: true\n  posix: {first: 70000, last: 99999, group: 500}"
    academy.edit("policy.yaml", "  retention: 30 ", f"  {settings}\n  retention: 30 ")
    # the clock of the server is ahead: from the second day on accounts are due on the day after
    for day in ("2026-09-04", DAYS[0]):
        academy.night(day, academy.feed(*PEOPLE, day=day))
    uids = academy.names()
    for matricule, (name, modification) in CASES.items():
        if name in GIVEN and modification != "add":
            academy.recorded(uids[matricule], **{name: [GIVEN[name].format(n=matricule)]})
    academy.night(DAYS[0])
    return uids


@pytest.mark.parametrize("fed", [False, True], ids=["dates alone", "feed"])
def test_drift_of_each_managed_attribute_is_handled_as_expected(settled: Academy, fed: bool) -> None:
    academy, uids = settled, settled.left
    before = academy.accounts()
    refused = {m for m, case in CASES.items() if not written(academy, uids[m], before, m, *case)}
    theirs = academy.accounts()
    feeds = [academy.feed(*PEOPLE, day=DAYS[1])] if fed else []
    plan = academy.plan(*feeds, "--as-of", DAYS[1])
    academy.night(DAYS[1], *feeds)
    after = academy.accounts()
    fates = {(drift["uid"], drift["attribute"]): drift["fate"] for drift in plan["drift"]}
    held_uids = {hold["uid"] or uids[hold["matricule"]] for hold in plan["holds"]}
    journal = {row["uid"]: row for row in academy.run("journal", "show", "--run", "last", "-o", "json").json}
    for matricule, (name, modification) in CASES.items():
        uid, dn, which = uids[matricule], academy.dn(uids[matricule]), (name, modification)
        values_before, values_after = values_of(before[dn], name), values_of(after[dn], name)
        their_values = values_of(theirs[dn], name)
        letter = EXPECTED[name][HOW.index(modification)]
        fate = {"h": "R", "t": "R"}.get(letter, letter) if fed else letter.upper()
        assert (fate == "-") == (matricule in refused), which
        if fate == "L":
            assert b"whose words are lost" in values_after[0], which
        elif fate == "P":
            today = {f"{proof} {DAYS[1]}".encode() for proof in ("numen", "private_mail")}
            assert today <= {*values_after}, which
        elif fate != "-":
            expected = {
                "R": values_before,
                "B": sorted({*values_before, *their_values}),
                "N": [],
                "T": [],
            }.get(fate, their_values)
            assert values_after == expected, which
        if fate in SEEN:
            assert fates[uid, name] == SEEN[fate], which
        # a night may not set the mark of protection
        holds = fate in "HT" or (letter in "ht" and not fed) or which == ("piactlProtected", "delete")
        assert (uid in held_uids) == holds, which
        if fate in "RL":
            assert "drift" in journal[uid]["kinds"], which
            assert name in journal[uid]["attributes"], which
        # nothing else on the account changes, except the names that it reserves and the effect of a lock or
        # closure
        if name not in ("piactlLock", "piactlOverride"):
            others = {*MANAGED} - {name, "piactlIdentifier"}
            changed = {
                other for other in others if values_of(before[dn], other) != values_of(after[dn], other)
            }
            assert not changed, which
    academy.quiet_night(DAYS[2], *[academy.feed(*PEOPLE, day=DAYS[2]) for _ in feeds])
    standing = {(drift["uid"], drift["attribute"]) for drift in academy.plan("--as-of", DAYS[2])["drift"]}
    assert standing == {key for key, fate in fates.items() if fate != "reverted"}


def written(
    academy: Academy, uid: str, before: Entries, matricule: str, name: str, modification: str
) -> bool:
    """Writes the attribute as another program; returns whether the server took it."""
    dn = academy.dn(uid)
    new = [] if modification == "delete" else [THEIRS[name].format(n=matricule, dn=dn)]
    changes: dict[str, Any] = {
        name: [(ldap3.MODIFY_ADD if modification == "add" else ldap3.MODIFY_REPLACE, new)]
    }
    if modification != "add" and name not in before[dn]:
        return False
    with academy.sandbox.root() as root:
        try:
            root.modify(dn, changes)
        except ldap3.core.exceptions.LDAPOperationResult:
            return False
    return values_of(academy.entry(uid), name) != values_of(before[dn], name)


def values_of(entry: dict[str, list[bytes]], name: str) -> list[bytes]:
    """The values of an attribute; assignments without their HR row."""
    values = entry.get(name, [])
    return sorted(value.rpartition(b"$")[0] if name == "piactlAssignment" else value for value in values)
