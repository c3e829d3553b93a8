"""Nights of AAF beside HR: a supplement adds posts; it closes, renames and rewrites nothing."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from tests.aaf_sets import (
    Agent,
    deletion,
    delta,
    files,
    first_degree,
    folder,
    modification,
    person,
    zipped,
)

from . import feeds
from .academy import Academy
from .feeds import MICHELIS, MILLEVOYE

BIRTH = {"date_naissance": "14/07/1980"}
CLAIRE = Agent("500", ("4077$ENS$ENSEIGNANT$L0202$X", "4078$ENS$ENSEIGNANT$L0202$X", "4077$-$SANS"))
ELSEWHERE = (MICHELIS, "ENS", "2026-09-02")
ADDING = (
    'kind: full, files: ["{}-*.csv"]}}\n  aaf: {{format: aaf, role: supplement, namespace: aaf, '
    'drop_functions: ["-"], files: ["ENT2D*"]'
)
numbers = count()


@pytest.fixture
def both(academy: Academy) -> Academy:
    """HR knows Claire at one school; AAF is a supplement."""
    return with_aaf(academy)


def with_aaf(academy: Academy, further_settings: str = "") -> Academy:
    settings = ADDING.format("hr") + further_settings
    academy.edit("piactl.yaml", 'hr: {kind: full, files: ["*.csv"]', f"hr: {{{settings}")
    return academy


def hr(academy: Academy, day: str, **values: str) -> Path:
    ida = feeds.row(matricule="1999", prenom="Ida", nom_famille="Roy")
    return academy.feed(feeds.row(**BIRTH, **values), ida, day=day)


def aaf(academy: Academy, day: str, *agents: Agent, name: str = "ENT2DVA") -> Path:
    stem = academy.folder / f"ENT2D-{next(numbers)}"
    stem.mkdir()
    return zipped(stem / f"{name}_Complet_{day}.zip", files(agents or [CLAIRE], day, name=name))


def posts(academy: Academy, day: str, name: str = "claire.dubreuil") -> list[tuple[str, str, str]]:
    shown = academy.show(name, day)["assignments"]
    return [(a["uai"], a["function"], a["start"]) for a in shown]


def supplemented(academy: Academy) -> Academy:
    """An academy after a night of HR and one with both."""
    with_aaf(academy)
    academy.night("2026-09-01", hr(academy, "2026-09-01"))
    academy.night("2026-09-02", hr(academy, "2026-09-02"), aaf(academy, "20260902"))
    return academy


def test_aaf_adds_a_post_and_never_rewrites_its_start(both: Academy) -> None:
    both.night("2026-09-01", hr(both, "2026-09-01"))
    both.night("2026-09-02", hr(both, "2026-09-02"), aaf(both, "20260902"))
    own = ("0800009A", "ENS", "2026-09-01")
    assert posts(both, "2026-09-02") == [own, ELSEWHERE]
    assert both.show("claire.dubreuil", "2026-09-02")["matricules"] == ["1001", "aaf:500"]
    for number, day in enumerate(("03", "04", "05")):
        both.quiet_night(f"2026-09-{day}", hr(both, f"2026-09-{day}"), aaf(both, f"202609{day}"))
        assert posts(both, f"2026-09-{day}")[1] == ELSEWHERE, number
    both.quiet_night("2026-09-06", aaf(both, "20260906"))


def test_hr_takes_precedence_over_aaf_for_posts_and_names(both: Academy) -> None:
    leave = {"position": "conge_parental"}
    both.night("2026-09-01", hr(both, "2026-09-01", **leave))
    state = both.show("claire.dubreuil", "2026-09-01")["state"]
    only = replace(CLAIRE, functions=CLAIRE.functions[:1], sn="AUBRY", birth_name="DUBREUIL", given="CLAIRE")
    both.night("2026-09-02", hr(both, "2026-09-02", **leave), aaf(both, "20260902", only))
    shown = both.show("claire.dubreuil", "2026-09-02")
    assert (state, shown["state"], len(shown["assignments"])) == ("on-leave", "on-leave", 1)
    assert shown["address"] == "claire.dubreuil@ac-amiens.fr"


def test_aaf_does_not_keep_an_account_open_that_hr_closes(make_academy) -> None:
    academy = make_academy(after=supplemented)
    gone = hr(academy, "2026-09-03", fin="2026-09-10")
    academy.night("2026-09-03", gone, aaf(academy, "20260903"))
    ends = {a["end"] for a in academy.show("claire.dubreuil", "2026-09-03")["assignments"]}
    assert ends == {"2026-09-10"}
    late = hr(academy, "2026-09-12", fin="2026-09-10")
    academy.night("2026-09-12", late, aaf(academy, "20260912"))
    assert academy.show("claire.dubreuil", "2026-09-12")["state"] == "grace"
    assert len(posts(academy, "2026-09-12")) == 2


def test_absence_from_aaf_ends_only_the_posts_of_aaf(make_academy) -> None:
    academy = make_academy(after=supplemented)
    ida = Agent("501", ("4078$ENS",), sn="ROY", given="Ida", birth="")
    for day in ("03", "04"):
        academy.night(f"2026-09-{day}", hr(academy, f"2026-09-{day}"), aaf(academy, f"202609{day}", ida))
    shown = academy.show("claire.dubreuil", "2026-09-04")
    assert shown["state"] == "active"
    assert [a["end"] for a in shown["assignments"]] == [None, "2026-09-02"]


def test_a_set_of_one_establishment_ends_nothing_elsewhere(make_academy) -> None:
    academy = make_academy(after=supplemented)
    schools = {"4079": MILLEVOYE}
    ida = Agent("501", ("4079$ENS",), sn="ROY", given="Ida", birth="")
    for day in ("03", "04", "05"):
        stem = academy.folder / f"one-{day}"
        stem.mkdir()
        set_files = files([ida], f"202609{day}", name=f"ENT2D_{MILLEVOYE}", schools=schools)
        path = folder(stem / f"ENT2D_{MILLEVOYE}_Complet_202609{day}", set_files)
        academy.quiet_night(f"2026-09-{day}", path)
    assert posts(academy, "2026-09-05")[1] == ELSEWHERE


def test_people_only_in_aaf_get_accounts_only_with_creates_true(academy: Academy) -> None:
    with_aaf(academy)
    stranger = Agent("777", ("4078$ENS",), sn="SAINTMARC", given="Noé", birth="01/02/1990")
    idle = Agent("778", ("4078$-$SANS OBJET",), sn="CORBIE", given="Léa", birth="03/02/1990")
    everybody = (replace(CLAIRE, functions=("4078$-$SANS OBJET",)), stranger, idle)
    academy.night("2026-09-01", hr(academy, "2026-09-01"))
    two = hr(academy, "2026-09-02"), aaf(academy, "20260902", *everybody)
    ran = academy.run("plan", *two, "--as-of", "2026-09-02")
    assert "1 person without an account: aaf makes none" in ran.out
    academy.night("2026-09-02", *two)
    assert set(academy.names().values()) == {"claire.dubreuil", "ida.roy"}
    academy.edit("piactl.yaml", "role: supplement", "role: supplement, creates: true")
    academy.night("2026-09-03", hr(academy, "2026-09-03"), aaf(academy, "20260903", *everybody))
    assert academy.names()["aaf:777"] == "noe.saintmarc"
    assert posts(academy, "2026-09-03", "lea.corbie") == [(MICHELIS, "-", "2026-09-03")]
    assert academy.show("claire.dubreuil", "2026-09-03")["matricules"] == ["1001", "aaf:500"]
    assert posts(academy, "2026-09-03") == [("0800009A", "ENS", "2026-09-01")]
    assert posts(academy, "2026-09-03", "noe.saintmarc") == [(MICHELIS, "ENS", "2026-09-03")]


def change(academy: Academy, day: str, *requests: str) -> Path:
    stem = academy.folder / f"ENT2D-{next(numbers)}"
    stem.mkdir()
    return zipped(stem / f"ENT2DVA_Delta_{day}.zip", delta(requests, day))


def test_aaf_deltas_beside_hr_are_applied_in_order(make_academy) -> None:
    academy = make_academy(after=supplemented)
    moved = modification("500", ENTPersonFonctions=["4077$ENS", "4079$ENS"])
    third = change(academy, "20260903", moved)
    academy.night("2026-09-03", hr(academy, "2026-09-03"), third)
    new_post = (MILLEVOYE, "ENS", "2026-09-03")
    assert posts(academy, "2026-09-03")[1:] == [ELSEWHERE, new_post]
    # one delta is missing, and one is doubled
    with academy.nothing_written():
        ran = academy.night("2026-09-05", change(academy, "20260905", moved), code=6)
        assert "[missing-delta]" in ran.err
        ran = academy.night("2026-09-03", change(academy, "20260903", person(CLAIRE)), code=6)
        assert "[doubled-delta]" in ran.err
    # the second set without the post confirms that it is gone; the posts of a deleted person end at once
    fourth = change(academy, "20260904", person(Agent("501", ("4079$ENS",), sn="ROY", given="Ida", birth="")))
    checked = academy.run("feed", "check", fourth)
    assert "a delta on the set of 2026-09-03: 1 added, 0 modified, 0 deleted" in checked.out
    fifth = change(academy, "20260905", deletion("500"))
    academy.night("2026-09-05", fifth, hr(academy, "2026-09-05"), fourth)
    shown = academy.show("claire.dubreuil", "2026-09-05")
    ends = [(a["uai"], a["end"]) for a in shown["assignments"]]
    assert ends == [("0800009A", None), (MICHELIS, "2026-09-02"), (MILLEVOYE, "2026-09-04")]
    assert shown["state"] == "active"
    with academy.nothing_written():
        ran = academy.night("2026-09-05", third, code=6)
        assert "[older]" in ran.err
    words = ("account", "export", "claire.dubreuil", "-o", "json")
    sets = academy.run(*words).json["sets"]
    assert {kept_set["day"] for kept_set in sets} == {"2026-09-02", "2026-09-03", "2026-09-04"}
    assert all(kept_set["row"].startswith("500 | ") and "DUBREUIL" in kept_set["row"] for kept_set in sets)
    modes = [file.stat().st_mode & 0o777 for file in (academy.sandbox.folder / "state" / "sets").iterdir()]
    assert modes == [0o600] * 4
    # a host without the kept sets needs the next complete set
    for file in (academy.sandbox.folder / "state" / "sets").iterdir():
        file.unlink()
    ran = academy.spawn("plan", change(academy, "20260906", moved), "--as-of", "2026-09-06")
    assert (ran.code, "[no-complete-set]" in ran.err) == (6, True)


def test_deletions_of_an_authoritative_source_are_counted(academy: Academy) -> None:
    """They count also in one run with the set that they change, whatever the order of the arguments."""
    with_aaf(academy)
    academy.edit("piactl.yaml", "role: supplement, namespace: aaf", "role: authoritative")
    crowd = [Agent(str(600 + n), sn="GRÉVIN", given=name) for n, name in enumerate(("Léo", "Ada", "Ève"))]
    academy.night("2026-09-01", aaf(academy, "20260901", *crowd))
    sets = [
        change(academy, "20260904", deletion("600")),
        aaf(academy, "20260902", *crowd),
        change(academy, "20260903", modification("601", sn="NOËL")),
    ]
    academy.allow_up_to(0, "revoke")
    ran = academy.run("nightly", *sets, "--as-of", "2026-09-04")
    assert ran.code == 4
    assert "revoke" in ran.err
    assert academy.run("apply", ran.plan_file, "--allow", "revoke=1", "--reason", "HR").code == 0
    assert academy.show("600", "2026-09-04")["state"] == "grace"
    assert academy.show("600", "2026-09-04")["assignments"][0]["end"] == "2026-09-03"
    assert academy.show("601", "2026-09-04")["address"] == "ada.noel@ac-amiens.fr"
    # the next delta builds on what that run read
    academy.night("2026-09-05", change(academy, "20260905", deletion("601")), code=4)


def test_two_accounts_of_one_identity_get_no_posts_from_aaf(both: Academy) -> None:
    twin = feeds.row(matricule="1002", **BIRTH)
    both.night("2026-09-01", both.feed(feeds.row(**BIRTH), twin))
    again = both.feed(feeds.row(**BIRTH), twin, day="2026-09-02")
    ran = both.run("plan", again, aaf(both, "20260902"), "--as-of", "2026-09-02", "-o", "json")
    assert ran.code in (0, 5), ran.err
    assert "0800010B" not in str(ran.json["changes"])


def test_feed_check_says_what_it_understood(both: Academy) -> None:
    unknown = Agent("502", ("9999$ENS",), sn="NOYELLE")
    ran = both.run("feed", "check", aaf(both, "20260902", CLAIRE, unknown))
    assert ran.code == 5
    assert "posts by function at 2 structures: ENS 3" in ran.out
    assert "posts by structure: 0800009A 1, 0800010B 1" in ran.out
    assert "passed over: functions - (1): under drop_functions, beside another one" in ran.out
    understood = both.run("feed", "check", aaf(both, "20260902", CLAIRE, unknown), "-o", "json").json[
        "understood"
    ]
    assert (understood["posts"], understood["functions"]) == (3, {"ENS": 3})
    assert understood["structures"] == {"0800009A": 1, "0800010B": 1}
    assert understood["passed"][0]["number"] == 1
    assert "PersEducNat_0000.xml:" in ran.out
    assert "[structure-unknown]" in ran.out


def test_the_md5_file_of_a_set_is_verified_and_not_read_as_a_feed(both: Academy) -> None:
    feed, path = hr(both, "2026-09-01"), aaf(both, "20260901")
    beside = path.parent / f"{path.name}.md5"
    digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    beside.write_text(f"{'0' * 32}  {path.name}\n")
    with both.nothing_written():
        ran = both.night("2026-09-01", feed, path, beside, code=6)
    assert "[wrong-checksum]" in ran.err
    beside.write_text(f"{digest}  {path.name}\n")
    ran = both.night("2026-09-01", feed, path, beside)
    assert "not read" not in ran.err
    # a .md5 whose set is gone
    path.unlink()
    ran = both.night("2026-09-02", hr(both, "2026-09-02"), beside)
    assert f"{beside}: not read" in ran.err


def test_the_head_of_a_school_of_the_1er_degre_gets_onde(academy: Academy) -> None:
    """ENTEnsFonctionDir has the numbers of structures, and its date says since when."""
    school, schools = "0800881Y", {"7001": "0800881Y", "7002": "0600347B"}
    source = 'aaf1d: {format: aaf1d, role: supplement, namespace: aaf, files: ["ENT1D*"]}'
    whole = 'hr: {kind: full, files: ["*.csv"]'
    academy.edit("piactl.yaml", whole, f"{source}\n  {whole}")
    teacher = {"uai": school, "corps": "615", "debut": "2024-09-01"}
    agent = Agent("500", ("7001$ENS",), home="7001")
    academy.night("2026-09-01", hr(academy, "2026-09-01", **teacher))
    for day in ("02", "03"):
        contents = first_degree(files([agent], f"202609{day}", name="ENT1D", schools=schools))
        dated = "<value>7001$01/09/2025</value><value>7002$n.c.</value>"
        added = (
            '<attr name="ENTEnsFonctionDir"><value>7001</value><value>7002</value></attr>'
            f'<attr name="ENTEnsFonctionDirDate">{dated}</attr></attributes>'
        )
        name = next(name for name in contents if "PersEducNat" in name)
        contents[name] = contents[name].replace(b"</attributes>", added.encode())
        path = zipped(academy.folder / f"ENT1D_Complet_202609{day}.zip", contents)
        academy.night(f"2026-09-{day}", hr(academy, f"2026-09-{day}", **teacher), path)
    shown = academy.show("claire.dubreuil", "2026-09-03")
    assert [(a["uai"], a["function"], a["start"]) for a in shown["assignments"]] == [
        (school, "ENS", "2024-09-01"),
        (school, "DIR", "2025-09-01"),
        ("0600347B", "DIR", "2026-09-02"),
    ]
    onde = {right["uai"] for right in shown["entitlements"] if right["service"] == "onde"}
    assert onde == {school, "0600347B"}
