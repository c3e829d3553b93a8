"""`account timeline`: as text, as a picture, and as periods; with hostile names."""

from __future__ import annotations

import re
from xml.dom import minidom

from tests.story.academy import Academy, prepared
from tests.story.feeds import MICHELIS, THUILLIER, row

DAY = "2026-10-01"


@prepared
def moved(academy: Academy) -> Academy:
    """A head of school who moves on 1 November, and somebody who left long ago."""
    rows = [
        row(fonction="DIR", debut="2020-09-01", fin="2026-10-31"),
        row(fonction="DIR", uai=MICHELIS, debut="2026-11-01", fin="2027-03-31"),
    ]
    old = row(matricule="1002", prenom="Odile", nom_famille="Fayard", debut="2026-01-01", fin="2026-03-31")
    academy.night("2026-03-01", academy.feed(row(fonction="DIR", debut="2020-09-01"), old, day="2026-03-01"))
    academy.nights(DAY, academy.feed(*rows, old, day=DAY))
    return academy


def test_the_timeline_is_drawn_as_text(moved: Academy) -> None:
    ran = moved.run("account", "timeline", "claire.dubreuil", "--as-of", DAY)
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0] == "Claire Dubreuil (claire.dubreuil)"
    assert max(map(len, lines)) <= 100
    assert any(re.search(r"▼ 2026-10-01$", line) for line in lines)
    by_label = {line[2:23].strip(): line for line in lines if line.startswith("  ")}
    assert by_label[f"DIR {THUILLIER}"].endswith(" 2020-09-01..2026-10-31")
    assert by_label["active"].endswith(" 2020-09-01..2027-03-31")
    assert by_label["log in"].endswith("..2027-04-30")
    assert re.search(r"█+▒+ .*2020-09-01\.\.2026-11-15$", by_label[f"siecle {THUILLIER}"])
    assert by_label[f"siecle {MICHELIS}"].endswith(" 2026-11-02..2027-03-31")
    assert re.search(r"█▓█|██ +2020", by_label["iprof"])
    order = [line for line in lines if line and not line.startswith(" ") and "(" not in line]
    assert order[:4] == ["assignments", "states", "login", "services"]
    assert "▒ after a mutation, through the grace" in ran.out


def test_a_chosen_range_of_days_is_drawn(moved: Academy) -> None:
    ran = moved.run(
        "account", "timeline", "1001", "--as-of", DAY, "--from", "2026-10-25", "--until", "2026-11-08"
    )
    siecle = next(line for line in ran.out.splitlines() if f"siecle {MICHELIS}" in line)
    assert re.search(r" ░+█+ ", siecle), "one day of delay is seen"
    iprof = next(line for line in ran.out.splitlines() if line.startswith("  iprof"))
    assert re.search(r"█+▓+█+", iprof), "two days are kept"


def test_periods(moved: Academy) -> None:
    ran = moved.run("account", "timeline", "claire.dubreuil", "--as-of", DAY, "-o", "json")
    facts = ran.json
    groups = ["assignments", "states", "login", "locks", "services", "exceptions", "overrides"]
    assert list(facts) == [
        "uid",
        "matricule",
        "display_name",
        "as_of",
        "from",
        "until",
        *groups,
        "cases",
        "drift",
    ]
    services = {service["label"]: service for service in facts["services"]}
    assert services["iprof"]["note"] == "I-Prof"
    assert services["iprof"]["periods"] == [
        {"from": "2020-09-01", "to": "2026-10-31", "kind": "held"},
        {"from": "2026-11-01", "to": "2026-11-02", "kind": "kept"},
        {"from": "2026-11-03", "to": "2027-03-31", "kind": "held"},
    ]
    states = {state["label"]: state["periods"][0] for state in facts["states"]}
    assert states["grace"] == {"from": "2027-04-01", "to": "2027-04-30", "kind": "grace"}
    assert states["archived"]["to"] is None


def test_ascii_is_used_if_the_encoding_has_no_block_characters(moved: Academy) -> None:
    ran = moved.spawn("account", "timeline", "claire.dubreuil", "--as-of", DAY, PYTHONIOENCODING="latin-1")
    assert ran.code == 0
    assert ran.out.isascii()
    assert re.search(r"siecle 0800009A +#+\++", ran.out)
    assert "v 2026-10-01" in ran.out
    bare_locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    bare = moved.spawn("account", "timeline", "claire.dubreuil", "--as-of", DAY, **bare_locale)
    assert (bare.code, bare.out.isascii()) == (0, True)


def test_the_svg_picture_is_valid_accessible_and_safe(moved: Academy) -> None:
    moved.recorded("claire.dubreuil", sn=['<script>x</script>"&\x1b[31m‮'], givenName=["Cl<b>aire"])
    file = moved.folder / "claire.svg"
    ran = moved.run("account", "timeline", "claire.dubreuil", "--as-of", DAY, "--svg", file)
    assert (ran.code, ran.out) == (0, "")
    assert f"drawn: {file}" in ran.err
    words = ("account", "timeline", "claire.dubreuil", "--as-of", DAY, "--svg", file)
    assert [moved.run(*words).code, moved.run(*words, "--force").code] == [1, 0]
    text = file.read_text(encoding="utf-8")
    svg = minidom.parseString(text).documentElement
    assert svg is not None
    assert svg.getAttribute("role") == "img"
    named = {node.getAttribute("id") for node in svg.childNodes if node.nodeName in ("title", "desc")}
    assert set(svg.getAttribute("aria-labelledby").split()) == named == {"title", "desc"}
    assert not svg.getElementsByTagName("script")
    assert not re.search(r"\son\w+=|href|<image|@import|url\((?!#)", text)
    assert "\x1b" not in text
    assert "‮" not in text
    assert "&lt;script&gt;" in text
    assert r"\x1b[31m\u202e" in text
    assert "prefers-color-scheme:dark" in text
    titles = [node.firstChild.data for node in svg.getElementsByTagName("title")]
    assert "iprof: kept, from 2026-11-01 to 2026-11-02. I-Prof" in titles
    classes = set(re.findall(r'class="bar (\w+)"', text))
    style = text.partition("<style>")[2].partition("</style>")[0]
    assert classes >= {"post", "active", "grace", "held", "kept", "handover", "faint"}
    assert all(f".{name}{{" in style or f".{name}," in style or f",.{name}{{" in style for name in classes)
    same = moved.run("account", "timeline", "claire.dubreuil", "--as-of", DAY, "--svg", "-")
    assert same.out == text


def test_an_archived_account_has_nothing_to_draw(moved: Academy) -> None:
    ran = moved.run("account", "timeline", "odile.fayard", "--as-of", DAY)
    assert ran.code == 0
    assert ran.out.startswith("(archived) (odile.fayard)\n")
    assert "nothing to draw" in ran.err
    assert moved.run("account", "timeline", "odile.fayard", "-o", "json").json["display_name"] is None


def test_wrong_arguments_are_refused(moved: Academy) -> None:
    assert moved.run("account", "timeline", "nobody").code == 9
    ran = moved.run("account", "timeline", "1001", "--from", "2026-12-01", "--until", "2026-11-01")
    assert (ran.code, "is before --from" in ran.err) == (2, True)
    assert moved.run("account", "timeline", "1001", "--from", "spring").code == 2
    folder = moved.folder / "no" / "such"
    ran = moved.run("account", "timeline", "1001", "--svg", folder / "a.svg")
    assert (ran.code, ran.out) == (1, "")
    assert "cannot be written (No such file or directory)" in ran.err
    assert not folder.exists()
    long_ago = moved.run(
        "account", "timeline", "1001", "--from", "1950-01-01", "--until", "2100-12-31", "--svg", "-"
    )
    assert long_ago.code == 0
    assert minidom.parseString(long_ago.out)
