"""Nights of STS beside HR: posts of one school year at one establishment, and people entered by heads."""

from __future__ import annotations

from pathlib import Path

from tests.aaf_sets import individual, sts, zipped

from . import feeds
from .academy import Academy
from .feeds import MICHELIS, MILLEVOYE

SOURCE = 'sts: {format: sts, role: supplement, namespace: sts, files: ["sts_emp_*"]}'
LOCAL = individual("L1", "local", NOM_USAGE="ROYE", NOM_PATRONYMIQUE="", PRENOM="Ida", DATE_NAISSANCE="")


def file(academy: Academy, *people: str, uai: str = MICHELIS) -> Path:
    path = academy.folder / f"{len([*academy.folder.iterdir()])}"
    path.mkdir()
    return zipped(path / f"sts_emp_{uai}_2026.zip", sts(*people, uai=uai))


def posts(academy: Academy, day: str, name: str) -> list[tuple[str, str, str | None]]:
    shown = academy.show(name, day)["assignments"]
    return [(a["uai"], a["start"], a["end"]) for a in shown]


def test_sts_adds_posts_of_a_school_year_beside_hr(academy: Academy) -> None:
    academy.edit(
        "piactl.yaml", 'hr: {kind: full, files: ["*.csv"]', f'{SOURCE}\n  hr: {{kind: full, files: ["*.csv"]'
    )
    claire = feeds.row(date_naissance="14/07/1980")
    rows = claire, feeds.row(matricule="1999", prenom="Ida", nom_famille="Roy", uai=MILLEVOYE)
    academy.night("2026-09-01", academy.feed(*rows))
    hr = academy.feed(*rows, day="2026-09-02")
    school_file = file(academy, individual("7001"), LOCAL)
    elsewhere = file(academy, individual("7005", PRENOM="Zoé"), uai=MILLEVOYE)
    two = academy.run("nightly", hr, school_file, elsewhere, "--as-of", "2026-09-02")
    assert two.code == 0, two.err
    assert "1 person without an account: sts makes none" in two.out
    # the school year, but not longer than the posts of HR
    own, year = ("0800009A", "2026-09-01", None), (MICHELIS, "2026-09-01", "2027-08-31")
    assert posts(academy, "2026-09-02", "claire.dubreuil") == [own, year]
    # the same files again add nothing, in any order
    academy.quiet_night("2026-09-03", elsewhere, school_file)
    # a person entered by the head is a case and gets no account until somebody says who it is
    (case,) = academy.run("match", "list", "-o", "json").json
    assert (case["matricule"], case["name"], case["of"]) == ("sts:L1", "Ida ROYE", [])
    assert (
        "is known to a school alone"
        in academy.run("plan", school_file, "--as-of", "2026-09-03", "-o", "json").out
    )
    shown = academy.run("match", "show", case["case"])
    assert "with --account, the matricule sts:L1 joins that account" in shown.out
    same = ("match", "same", case["case"], "--reason", "seen")
    assert "add --account" in academy.run(*same).err
    assert academy.run(*same, "--account", "ida.nobody").code == 9
    assert academy.run(*same, "--account", "ida.roy", "--as-of", "2026-09-03", "--yes").code == 0
    academy.night("2026-09-04", school_file)
    assert posts(academy, "2026-09-04", "ida.roy")[-1] == year
    # a second person, who does not matter
    other = file(academy, individual("7001"), LOCAL, individual("L2", "local", PRENOM="", DATE_NAISSANCE=""))
    third = file(academy, individual("7001"), LOCAL, individual("L3", "local", PRENOM="Léa"))
    assert academy.run("nightly", other, "--as-of", "2026-09-05").code == 0
    academy.night("2026-09-06", third)
    (case,) = [
        case for case in academy.run("match", "list", "-o", "json").json if case["matricule"] == "sts:L3"
    ]
    assert academy.run("match", "different", case["case"], "--reason", "left").code == 0
    assert academy.night("2026-09-07", third).json["summary"] == {}
    assert not academy.run("plan", third, "--as-of", "2026-09-07", "-o", "json").json["holds"]
    assert set(academy.names().values()) == {"claire.dubreuil", "ida.roy"}
    # an absence concerns only this establishment, and closes no post of HR
    for day, people in (("08", [LOCAL]), ("09", [LOCAL, individual("7009", PRENOM="Léo")])):
        academy.night(
            f"2026-09-{day}",
            file(academy, *people),
            file(academy, individual("7006", PRENOM="Zoé"), uai=MILLEVOYE),
        )
    assert posts(academy, "2026-09-09", "claire.dubreuil")[0] == own
    assert posts(academy, "2026-09-09", "claire.dubreuil")[1][2] == "2026-09-07"
    assert academy.show("claire.dubreuil", "2026-09-09")["state"] == "active"
    # a file that was replaced is older, although it has no date; the order of two new ones is not known
    new = file(academy, individual("7010", PRENOM="Ugo")), file(academy, individual("7011", PRENOM="Guy"))
    dated = [academy.folder / f"sts_emp_{MICHELIS}_2026_{day}.zip" for day in ("20260909", "20260908")]
    for undated, path in zip(new, dated, strict=True):
        path.write_bytes(undated.read_bytes())
    with academy.nothing_written():
        assert (
            "before, and a later one of its establishments is newer"
            in academy.night("2026-09-09", school_file, code=6).err
        )
        both = academy.night("2026-09-09", *new, code=6).err
        assert both.count("[order-unknown]") == 2
        assert "remove the older one, or add the date of the export to both names" in both
    academy.night("2026-09-10", dated[0])
    older = academy.night("2026-09-10", dated[1], code=6).err
    assert "it is dated 2026-09-08, but one dated 2026-09-09 of the same establishments" in older


def test_a_source_of_sts_is_a_supplement(academy: Academy) -> None:
    academy.edit(
        "piactl.yaml",
        "hr: {kind: full",
        "sts: {format: sts, creates: true, delta_days: 3}\n  hr: {kind: full",
    )
    ran = academy.run("plan")
    assert ran.code == 10
    assert "the format sts makes no accounts; write `role: supplement`, without `creates: true`" in ran.err
    assert "sources.sts.delta_days: not a setting of the format sts; remove it" in ran.err
