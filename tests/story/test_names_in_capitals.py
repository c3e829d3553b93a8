"""Names in capitals are shown as people write them, and nobody gets another address because of that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .academy import Academy
from .feeds import MICHELIS, THUILLIER, row

DAYS = ("2026-09-05", "2026-09-06", "2026-09-07", "2026-09-08")
AHMED = {"prenom": "AHMED", "nom_famille": "DE LA TOUR D'AUVERGNE", "nom_usage": ""}
IRIS = {"matricule": "1002", "prenom": "IRIS", "nom_usage": "LE GOFF", "nom_famille": "Roy"}


def names(academy: Academy, uid: str) -> list[str]:
    values = [academy.values(uid, name) for name in ("givenName", "sn", "cn", "displayName")]
    return [value for (value,) in values]


@pytest.mark.parametrize(
    ("case", "given_name", "family_name"),
    [("proper", "Ahmed", "de La Tour d'Auvergne"), ("NOM", "Ahmed", "DE LA TOUR D'AUVERGNE")],
)
def test_a_new_case_updates_names_and_renames_nobody(
    academy: Academy, case: str, given_name: str, family_name: str
) -> None:
    rows = [row(**AHMED), row(**IRIS)]
    academy.night(DAYS[0], academy.feed(*rows, day=DAYS[0]))
    ahmed, iris = "ahmed.de-la-tour-dauvergne", "iris.le-goff"
    assert names(academy, ahmed) == ["AHMED", "DE LA TOUR D'AUVERGNE", *["AHMED DE LA TOUR D'AUVERGNE"] * 2]
    mails = [academy.values(uid, "mail") for uid in (ahmed, iris)]
    academy.edit("policy.yaml", "name_case: as-written", f"name_case: {case}")
    ran = academy.night(DAYS[1], academy.feed(*rows, day=DAYS[1]))
    assert ran.json["summary"] == {"update": 2}
    assert names(academy, ahmed) == [given_name, family_name, *[f"{given_name} {family_name}"] * 2]
    assert names(academy, iris)[2] == ("Iris Le Goff" if case == "proper" else "Iris LE GOFF")
    assert [academy.values(uid, "mail") for uid in (ahmed, iris)] == mails
    academy.quiet_night(DAYS[2], academy.feed(*rows, day=DAYS[2]))
    # HR begins to write small letters: a name that only changes its case
    small = [row(**{**AHMED, "prenom": "Ahmed"}), row(**IRIS)]
    academy.quiet_night(DAYS[3], academy.feed(*small, day=DAYS[3]))


def test_alternating_sources_in_capitals_change_nothing(academy: Academy) -> None:
    """Neither source deviates from what the account shows, so nothing is remembered or changed."""
    academy.sources(agape="kind: full", epp="kind: full")
    academy.edit("policy.yaml", "name_case: as-written", "name_case: proper")

    def feed(source: str, day: str) -> Path:
        ahmed = row(**AHMED, uai=MICHELIS if source == "epp" else THUILLIER)
        return academy.feed(ahmed, row(**IRIS), day=day, source=source)

    academy.night(DAYS[0], feed("agape", DAYS[0]), feed("epp", DAYS[0]))
    assert names(academy, "ahmed.de-la-tour-dauvergne")[0] == "Ahmed"
    for number, source in enumerate(["epp", "agape", "epp"], 1):
        plan = academy.plan(feed(source, DAYS[number]), "--as-of", DAYS[number])
        assert (plan["summary"], plan["disagreements"]) == ({}, [])
        academy.quiet_night(DAYS[number], feed(source, DAYS[number]))
        for name in ("agape", "epp"):
            record = academy.sandbox.entry(f"cn={name},ou=sources,{academy.sandbox.state}")
            assert record is not None
            assert "deviations" not in json.loads(record["piactlData"][0])


def test_an_unknown_case_is_refused(academy: Academy) -> None:
    academy.edit("policy.yaml", "name_case: as-written", "name_case: upper")
    ran = academy.run("plan", "--as-of", DAYS[0])
    assert ran.code == 10
    assert "accounts.name_case: upper is not valid" in ran.err
