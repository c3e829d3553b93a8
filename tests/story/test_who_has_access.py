"""Who has access to what, at one establishment: as a table, as a file, and by the name of the school."""

from __future__ import annotations

import csv

import pytest

from tests.cli.terminal import at_terminal

from .academy import Academy, prepared
from .feeds import MICHELIS, THUILLIER, row

DAY, UNTIL = "2026-09-05", "2026-12-31"
WHY = ("--reason", "appel du proviseur", "--as-of", DAY)


@prepared
def schools(academy: Academy) -> Academy:
    """Michelis: a head, a teacher. Thuillier: a head who teaches at Michelis, a teacher with a right at
    Michelis."""
    people = (
        {"prenom": "Bruno", "uai": MICHELIS, "fonction": "DIR"},
        {"prenom": "Carla", "uai": MICHELIS},
        {"prenom": "Denis", "uai": THUILLIER, "fonction": "DIR"},
        {"prenom": "Elsa", "uai": THUILLIER},
    )
    rows = [
        row(
            matricule=str(20 + n),
            nom_famille="Hugo",
            date_naissance=f"1970-01-{20 + n}",
            debut="2026-01-01",
            **who,
        )
        for n, who in enumerate(people)
    ]
    rows.append(row(matricule="22", nom_famille="Hugo", date_naissance="1970-01-22", debut="2026-01-01",
                    prenom="Denis", uai=MICHELIS))  # fmt: skip
    academy.night(DAY, academy.feed(*rows, day=DAY))
    grant = ("exception", "grant", "elsa.hugo", "--service", "siecle", "--uai", "madeleine michelis")
    assert academy.run(*grant, "--until", UNTIL, *WHY).code == 0
    return academy


def listed(academy: Academy, *words: str) -> dict[str, str]:
    ran = academy.run("account", "list", *words, "--as-of", DAY, "-o", "csv")
    assert ran.code == 0, ran.err
    return {row["uid"]: row.get("services", "") for row in csv.DictReader(ran.out.splitlines())}


def test_who_has_one_service_at_an_establishment(schools: Academy) -> None:
    """A right by an exception counts, and a right that somebody has at another school does not."""
    siecle = ("--service", "siecle")
    assert listed(schools, *siecle).keys() == {"bruno.hugo", "denis.hugo", "elsa.hugo"}
    assert listed(schools, *siecle, "--uai", MICHELIS).keys() == {"bruno.hugo", "elsa.hugo"}
    assert listed(schools, *siecle, "--uai", "Louis Thuillier").keys() == {"denis.hugo"}
    assert listed(schools, "--uai", MICHELIS).keys() == {"bruno.hugo", "carla.hugo", "denis.hugo"}


def test_what_everybody_may_use(schools: Academy) -> None:
    everywhere = listed(schools, "--services")
    assert f"siecle:{MICHELIS}" in everywhere["elsa.hugo"].split()
    there = listed(schools, "--services", "--uai", "michelis amiens")
    assert there.keys() == {"bruno.hugo", "carla.hugo", "denis.hugo", "elsa.hugo"}
    assert "siecle" in there["elsa.hugo"].split()
    assert "siecle" not in there["denis.hugo"].split()
    assert "messagerie" in there["carla.hugo"].split()
    head = schools.run("account", "list", "--services", "--uai", MICHELIS, "--as-of", DAY, "-o", "tsv").out
    assert head.splitlines()[0].split("\t") == [
        "uid", "display_name", "functions", "services", "post_ended", "until",
    ]  # fmt: skip
    json = schools.run("account", "list", "--columns", "uid,services", "--as-of", DAY, "-o", "json").json
    assert {row["uid"]: row["services"] for row in json}["carla.hugo"] == everywhere["carla.hugo"].split()


def test_who_has_left_keeps_access_for_some_days(schools: Academy) -> None:
    """Carla moves: the list of her former school says when her post there ended, and until when she may use
    what. So it does for a right without a post; an empty list says that it is empty."""
    end = ("assignment", "move", "carla.hugo", "--to", THUILLIER)
    assert schools.run(*end, *WHY[:2], "--until", UNTIL, "--as-of", DAY).code == 0
    there = ("account", "list", "--service", "livret", "--uai", MICHELIS, "--as-of", DAY)
    (carla,) = [row for row in schools.run(*there, "-o", "json").json if row["uid"] == "carla.hugo"]
    assert carla["post_ended"] == "2026-09-04"
    assert carla["until"] > DAY
    everything = ("account", "list", "--services", "--uai", MICHELIS, "--as-of", DAY)
    ends = {
        schools.run: f"(post ended on 2026-09-04; access until {carla['until']})",
        schools.run_in_french: "(poste fini le 04/09/2026 ; accès jusqu'au 11/09/2026)",
    }
    for run, words in ends.items():
        assert words in " ".join(run(*everything, "-o", "table").out.split())
    (elsa,) = [row for row in schools.run(*everything, "-o", "json").json if row["uid"] == "elsa.hugo"]
    assert (elsa["post_ended"], elsa["until"]) == (None, UNTIL)
    nobody = ("account", "list", "--service", "siecle", "--uai", "0801616X", "--as-of", DAY, "-o", "table")
    assert "no account fits what was asked for" in schools.run(*nobody).err


@pytest.mark.parametrize(("language", "words"), [("C.UTF-8", "services"), ("fr_FR.UTF-8", "services")])
def test_a_table_has_all_services_in_lines(schools: Academy, language: str, words: str) -> None:
    """At 80 columns no service is cut: a cell has more lines instead."""
    command = ("account", "list", "--services", "--uai", MICHELIS, "--as-of", DAY)
    code, text = at_terminal(schools, *command, columns=80, LC_ALL=language)
    assert (code, words in text.splitlines()[0], "…" in text) == (0, True, False), text
    assert max(map(len, text.splitlines())) <= 80
    there = listed(schools, "--services", "--uai", MICHELIS)["bruno.hugo"].split()
    assert all(service in text.split() for service in there), text


def test_an_establishment_is_found_and_named(schools: Academy) -> None:
    ran = schools.run("establishment", "list", "Mádeleine", "-o", "json")
    assert [place["uai"] for place in ran.json] == [MICHELIS]
    assert schools.run("establishment", "list", "amiens", "-o", "csv").out.count("\n") > 3
    none = schools.run("establishment", "list", "xyz", "-o", "json")
    assert (none.code, none.json["error"]["code"]) == (9, 9)
    several = schools.run("account", "list", "--uai", "lycee amiens")
    assert (several.code, f"{MICHELIS} (Lycée Madeleine Michelis)" in several.err) == (2, True), several
    wrong = schools.run_in_french("account", "list", "--uai", "lycee xyz")
    assert wrong.code == 2
    assert "n'est ni un UAI ni un nom du registre" in wrong.err
    letter = schools.run("account", "list", "--uai", "0800010C")
    assert "the key letter of UAI 0800010C is wrong" in letter.err
    person = ("--family-name", "Petit", "--given-name", "Jo", "--function", "ENS", "--until", UNTIL)
    create = ("account", "create", *person, "--uai", "Michelis", "--sponsor", "bruno.hugo", *WHY)
    assert schools.run(*create).code == 0
    assert schools.show("jo.petit", DAY)["assignments"][0]["uai"] == MICHELIS
