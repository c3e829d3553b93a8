"""Without a decision no sequence of feeds changes the owner of an account, whatever HR has wrong."""

from __future__ import annotations

from datetime import date, timedelta
from random import Random
from typing import Any

import pytest

from piactl.core.model.account import Account
from piactl.core.model.keyed_digests import DigestKeys
from piactl.core.model.person import Person
from piactl.core.model.settings import MatchingSettings
from piactl.core.rules.matching import (
    Births,
    birth_digests,
    doubt_about,
    family_agrees,
    given_agrees,
    same_birth,
)

from .academy import Academy
from .feeds import row

HUMANS = tuple(
    {
        "matricule": f"C{number}", "prenom": given_name, "nom_famille": family_name,
        "numen": f"01E95012{number:02}ABC", "date_naissance": f"19{60 + number}-03-0{number}", "uai": uai,
        "debut": "2025-09-01",
    }
    for number, (given_name, family_name, uai) in enumerate(
        [("Paul", "Nouveau", "0800009A"), ("Autre", "Tout", "0800010B"), ("Zoé", "Lefèvre", "0801616X"),
         ("Jean-Luc", "Le Goff", "0800002T"), ("Marie", "d'Orsay", "0809901C")], start=1
    )
)  # fmt: skip
SOURCES = ("epp", "agape", "contrats")


def stated(random: Random, human: dict[str, str]) -> dict[str, str]:
    """A row of somebody with errors of HR: at most one wrong name, and a birth date that nobody has."""
    values = dict(human)
    wrong_name = random.choice(["prenom", "nom_famille"])
    for name, share in {wrong_name: 0.5, "numen": 0.2, "matricule": 0.3}.items():
        if random.random() < share:
            values[name] = random.choice(HUMANS)[name]
    if random.random() < 0.6:
        values["date_naissance"] = random.choice(
            ["", "", str(date(1900, 1, 1) + timedelta(random.randrange(20_000)))]
        )
    if random.random() < 0.2:
        values["numen"] = ""
    return values


def names_of(values: dict[str, str]) -> Person:
    return Person(values["matricule"], values["nom_famille"], values["prenom"])


def is_of(shown: Any, human: dict[str, str]) -> bool:
    return family_agrees(shown, names_of(human)) or given_agrees(shown, names_of(human))


def test_random_rows_never_change_the_owner_under_the_rules() -> None:
    """Thousands of rows under one matricule change an account as the rules allow."""
    keys, settings = DigestKeys("k", {"k": b"\0" * 32}), MatchingSettings()
    for seed in range(300):
        random, owner = Random(seed), HUMANS[0]
        births: Births = (None, None)
        if seed % 2:
            births = birth_digests(births, person_of(owner), keys, settings)
        account = Account(
            uid="paul.nouveau", matricule="C1", matricule_digests=(), family_name="Nouveau", given_name="Paul"
        )
        for _ in range(30):
            human = random.choice(HUMANS)
            person = person_of({**stated(random, human), "matricule": "C1"})
            born = same_birth(person, *births, keys)
            if human is not owner and not births[1] and person.birth_date and is_of(person, owner):
                continue  # a first birth date is accepted if a name agrees
            if doubt_about(person, account, born) is None:
                births = birth_digests(births, person, keys, settings)
                account = Account(
                    uid=account.uid, matricule="C1", matricule_digests=(),
                    family_name=person.family_name, given_name=person.given_name,
                )  # fmt: skip
            assert is_of(account, owner), f"seed {seed}: {account.display_name}"


def person_of(values: dict[str, str]) -> Person:
    birth = date.fromisoformat(values["date_naissance"]) if values["date_naissance"] else None
    return Person(values["matricule"], values["nom_famille"], values["prenom"], birth_date=birth)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
def test_random_feeds_of_three_sources_never_change_an_owner(academy: Academy, seed: int) -> None:
    random, day = Random(seed), date(2026, 9, 1)
    academy.sources(epp="kind: full", agape="kind: full", contrats="kind: full")
    academy.allow_up_to(99, "rename", "identity", "revoke", "deactivate", "update", "create")
    first = [academy.feed(*[row(**h) for h in HUMANS], day=day.isoformat(), source=s) for s in SOURCES]
    academy.night(day.isoformat(), *first)
    digests_by_uid = {uid: entry["piactlMatriculeDigest"] for uid, entry in entries(academy).items()}
    whose = {uid: next(h for h in HUMANS if h["matricule"] == m) for m, uid in academy.names().items()}
    assert len(digests_by_uid) == len(HUMANS)
    applied = 0
    for _ in range(14):
        day += timedelta(days=1)
        some = random.sample(SOURCES, random.randint(1, 3))
        rows = {s: [stated(random, human) for human in HUMANS] for s in some}
        feeds = [
            academy.feed(*{row(**v) for v in source_rows}, day=day.isoformat(), source=s)
            for s, source_rows in rows.items()
        ]
        ran = academy.run("nightly", *feeds, "--as-of", day.isoformat())
        applied += ran.code == 0
        after = entries(academy)
        for uid, digests in digests_by_uid.items():
            entry = after[uid]
            assert entry["piactlMatriculeDigest"] == digests
            shown = Person("", entry["supannNomDeNaissance"][0].decode(), entry["givenName"][0].decode())
            assert is_of(shown, whose[uid]), f"{day}: {uid} shows {shown.given_name} {shown.family_name}"
    assert applied > 4


def entries(academy: Academy) -> dict[str, dict[str, list[bytes]]]:
    return {entry["uid"][0].decode(): entry for entry in academy.accounts().values()}
