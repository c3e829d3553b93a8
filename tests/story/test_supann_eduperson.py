"""SUPANN and eduPerson are used as they are defined. For a directory that an earlier version wrote, one
reviewed plan gives its entries the form of this version and removes nothing."""

from __future__ import annotations

import json
from datetime import timedelta
from zoneinfo import ZoneInfo

import ldap3

from piactl.clock import utc_now
from piactl.directory.store.base_digest import FIRST_LAYOUT, MANAGED
from piactl.directory.store.record_entries import Places

from .academy import Academy
from .feeds import MICHELIS, row
from .test_undo import fates, undo

DAY, NEXT, LATER = "2026-11-10", "2026-11-11", "2026-11-12"
CLAIRE, HUGO, IDA = "claire.dubreuil", "hugo.caron", "ida.roy"
NEW = MANAGED[len(FIRST_LAYOUT) :]
OF_CLAIRE = row(civilite="MME", courriel_prive="claire@example.org", debut="2025-09-01")
SECOND = OF_CLAIRE.replace("0800009A", MICHELIS).replace("2025-09-01;", "2026-09-01;2027-08-31")
OF_HUGO = row(
    matricule="1002", prenom="Hugo", nom_famille="Caron", civilite="M.", fonction="DIR", debut="2025-09-01"
)
OF_IDA = row(matricule="1003", prenom="Ida", nom_famille="Roy", debut="2025-09-01", fin="2026-07-01")
DUE = ("2026-08-29", "2026-11-09")


def written_by_an_earlier_version(academy: Academy) -> None:
    """Gives every account what the first layout had, with its base, and the run the record of its version."""
    for uid in (CLAIRE, HUGO, IDA):
        entry = academy.entry(uid)
        former: dict[str, list[str]] = {name: [] for name in NEW if name in entry}
        for name in ("supannMailPrive", "supannRessourceEtat", "supannRessourceEtatDate"):
            values = [value.decode() for value in entry.get(name, [])]
            older = [
                value.removeprefix("{PERSO}").replace("SupannSupprDonnees", "SupannSupprCompte")
                for value in values
            ]
            former |= {name: older} if older != values else {}
        profiles = [value.decode() for value in entry.get("piactlProfile", [])]
        former |= {"piactlProfile": [name for name in profiles if not name[0].isdigit()]} if profiles else {}
        academy.recorded(uid, **former)
        academy.unsealed(uid, len(FIRST_LAYOUT))
    dn = Places(academy.sandbox.state).last_run
    [data] = (academy.sandbox.entry(dn) or {})["piactlData"]
    record = json.loads(data)
    del record["layout"]
    with academy.sandbox.root() as root:
        root.modify(dn, {"piactlData": [(ldap3.MODIFY_REPLACE, [json.dumps(record)])]})


def with_three_lives(academy: Academy) -> None:
    academy.edit(
        "policy.yaml",
        "{fonction: [DIR, DEC, DECPR, DSES]}}",
        "{fonction: [DIR]}, affiliations: [staff, member]}",
    )
    for day in ("2026-06-30", *DUE, DAY):
        academy.night(day, academy.feed(OF_CLAIRE, SECOND, OF_HUGO, OF_IDA, day=day))


def test_an_older_directory_is_brought_over_by_one_plan(academy: Academy) -> None:
    with_three_lives(academy)
    expected = academy.managed()
    claire, hugo, ida = (expected[academy.dn(uid)] for uid in (CLAIRE, HUGO, IDA))
    assert claire["supannMailPrive"] == [b"{PERSO}claire@example.org"]
    assert claire["supannCivilite"] == [b"Mme"]
    assert claire["supannEtablissement"] == [b"{UAI}0800009A", b"{UAI}0800010B"]
    assert claire["supannEmpDateFin"] == [b"20270831220000Z"]
    assert claire["eduPersonAffiliation"] == [b"employee", b"member"]
    assert hugo["eduPersonAffiliation"] == [b"member", b"staff"]
    assert ida["supannRessourceEtat"] == [b"{COMPTE}I:SupannSupprDonnees"]
    assert not {*NEW} & ida.keys()

    written_by_an_earlier_version(academy)
    assert academy.values(CLAIRE, "supannMailPrive") == ["claire@example.org"]

    # a limit of 0 on every kind: no guard counts a change of form
    academy.edit("policy.yaml", "update:     {floor: 40, share: 0.05}", "update:     {max: 0, share: 0.0}")
    plan = academy.plan("--as-of", NEXT)
    assert plan["summary"] == {"update": 3}
    assert plan["refusals"] == []
    changes = {change["uid"]: change for change in plan["changes"]}
    assert {change["kind"] for change in changes.values()} == {"update"}
    assert "an earlier version wrote the entry" in changes[IDA]["reason"]
    assert changes[IDA]["after"] == {"layout": ["supannRessourceEtat", "supannRessourceEtatDate"]}
    assert {*changes[CLAIRE]["after"]["layout"]} == {"supannMailPrive", "piactlProfile", *NEW[:4]}
    text = academy.run("plan", "--as-of", NEXT, "--all").out
    assert (
        f"{IDA}: supannRessourceEtat and supannRessourceEtatDate; an earlier version wrote the entry" in text
    )
    run = academy.night(NEXT).json["run"]
    assert academy.managed() == expected
    academy.quiet_night(LATER)

    result = undo(academy, "--allow", "update=3", run=run, day=LATER)
    assert set(fates(result).values()) == {"reversed"}
    assert academy.values(CLAIRE, "supannMailPrive") == ["claire@example.org"]


def test_the_federation_identifier_is_written_the_day_after_creation(academy: Academy) -> None:
    academy.edit("policy.yaml", "  retention: 30 ", "  unique_id: true\n  retention: 30 ")
    # no guard counts it
    academy.edit("policy.yaml", "update:     {floor: 40, share: 0.05}", "update:     {max: 0, share: 0.0}")
    today = utc_now().astimezone(ZoneInfo("Europe/Paris")).date()  # the policy's day
    tomorrow, after = (str(today + timedelta(days=days)) for days in (1, 2))
    feed = academy.feed(OF_CLAIRE, day=str(today))
    academy.twice(str(today), feed)
    assert "eduPersonUniqueId" not in academy.entry(CLAIRE)
    # with or without a feed
    assert academy.night(tomorrow).json["summary"] == {"update": 1}
    with academy.sandbox.root() as root:
        root.search(academy.dn(CLAIRE), "(objectClass=*)", attributes=["entryUUID"])
        uuid = str(root.entries[0]["entryUUID"].value).strip("{}").replace("-", "")
    assert academy.values(CLAIRE, "eduPersonUniqueId") == [f"{uuid}@ac-amiens.fr"]
    academy.quiet_night(after, academy.feed(OF_CLAIRE, day=after))
    academy.change(CLAIRE, eduPersonUniqueId=["0123@ac-amiens.fr"])
    academy.night(after)
    assert academy.values(CLAIRE, "eduPersonUniqueId") == [f"{uuid}@ac-amiens.fr"]
