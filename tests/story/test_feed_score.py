"""How good a feed is over the nights: what became of its rows, and the parts of its score."""

from __future__ import annotations

import csv
import io
from typing import Any

from tests.docs.test_schemas import wrong

from .academy import Academy
from .feeds import MARESCHAL, MICHELIS, MILLEVOYE, crowd, row

FATES = ("applied", "unchanged", "rejected", "held", "ignored")
FIRST = crowd(6, debut="2026-01-01")


def person(number: int, **values: str) -> str:
    defaults = {
        "nom_famille": "Roy",
        "prenom": ("Ida", "Ben", "Zoe", "Lou", "Max")[number],
        "debut": "2026-01-01",
    }
    return row(matricule=str(2000 + number), **{**defaults, **values})


def score(academy: Academy, *words: str) -> Any:
    ran = academy.run("feed", "score", "--as-of", "2026-10-20", *words, "-o", "json")
    assert ran.code == 0, ran.err
    return ran.json


def three_nights(academy: Academy) -> None:
    ida, ben, zoe, lou = (person(n, uai=u) for n, u in enumerate((MICHELIS, MARESCHAL, MILLEVOYE, MILLEVOYE)))
    past = person(4, fin="2026-02-01")
    academy.night("2026-10-01", academy.feed(*FIRST, ida, ben, zoe, past, day="2026-10-01"))
    # Ida's row cannot be read, Ben and his school are missing, a row comes twice, Lou has been there since
    # 21 September, Zoe's rows contradict each other
    academy.night(
        "2026-10-02",
        academy.feed(
            *FIRST, FIRST[0], person(0, uai="0800010Z"), zoe, person(2, uai=MICHELIS, civilite="MME"),
            person(3, uai=MILLEVOYE, debut="2026-09-21"), past, day="2026-10-02",
        ),
    )  # fmt: skip
    academy.night(
        "2026-10-03", academy.feed(*FIRST, ida, ben, zoe, lou.replace("01-01", "09-21"), day="2026-10-03")
    )


def test_what_became_of_the_rows_of_each_night(academy: Academy) -> None:
    three_nights(academy)
    scores = score(academy)
    assert wrong("feed-score", scores) == []
    assert wrong("feed-score", {**scores, "sources": [{}]}) != []
    nights = scores["nights"]
    assert [(night["date"], night["rows"]) for night in nights] == [
        ("2026-10-01", 10), ("2026-10-02", 12), ("2026-10-03", 10),
    ]  # fmt: skip
    assert [[night[fate] for fate in FATES] for night in nights] == [
        [9, 0, 0, 0, 1],
        [1, 6, 3, 0, 2],
        [0, 10, 0, 0, 0],
    ]
    assert all(night["rows"] == sum(night[fate] for fate in FATES) for night in nights)
    second, third = nights[1:]
    assert (second["doubled"], second["posts"], second["late"], second["median_days_late"]) == (3, 1, 1, 11)
    assert (second["establishments"], second["missing"], third["missing"]) == (3, 1, 0)
    assert (second["back"], third["back"]) == (0, 1)
    (source,) = scores["sources"]
    assert (source["source"], source["nights"], source["rows"], source["late"]) == ("hr", 3, 32, 1)
    assert source["validity"] == round(1 - 3 / 32, 4)
    assert source["uniqueness"] == round(1 - 3 / 32, 4)
    assert (source["timeliness"], source["stability"]) == (0.0, round(1 - 1 / 32, 4))
    parts = [source[name] for name in ("validity", "completeness", "uniqueness", "timeliness", "stability")]
    assert source["score"] == round(100 * sum([*parts, source["coverage"]]) / 6, 1)
    worst = {establishment["uai"]: establishment for establishment in scores["establishments"]}
    assert (worst[MILLEVOYE]["late"], worst[MARESCHAL]["missing"], worst[MARESCHAL]["back"]) == (1, 1, 1)
    assert worst[MARESCHAL]["name"] == "Collège Guy Mareschal"
    assert scores["establishments"][0]["faults"] == max(
        establishment["faults"] for establishment in scores["establishments"]
    )


def test_score_tables_name_no_person(academy: Academy) -> None:
    """The tables for HR name no person; months and sources restrict what they show."""
    three_nights(academy)
    sent = academy.run("feed", "score", "--as-of", "2026-10-20", "-o", "csv")
    rows = list(csv.DictReader(io.StringIO(sent.out)))
    assert [row["date"] for row in rows] == ["2026-10-01", "2026-10-02", "2026-10-03"]
    assert all(float(row["validity"]) <= 1 for row in rows)
    shown = academy.run("feed", "score", "--as-of", "2026-10-20", "-o", "table")
    places = academy.run("feed", "score", "--as-of", "2026-10-20", "--by", "uai", "-o", "csv")
    for text in (sent.out, shown.out, places.out):
        assert not any(name in text for name in ("Roy", "2000", "5000", "ida"))
    assert "validity" in shown.out
    assert "Collège Guy Mareschal" in shown.out
    assert "Collège Guy Mareschal" in places.out
    assert score(academy, "--source", "hr")["sources"][0]["nights"] == 3
    none = academy.run("feed", "score", "--as-of", "2027-10-20", "-o", "json")
    assert (none.code, none.json["nights"]) == (0, [])
    assert "no feed was applied" in none.err
    wrong = academy.run("feed", "score", "--source", "rhh")
    assert (wrong.code, "no source" in wrong.err) == (2, True), wrong.err


def test_an_undone_feed_is_marked(academy: Academy) -> None:
    three_nights(academy)
    ran = academy.run("undo", "last", "--as-of", "2026-10-03", "--reason", "fichier tronqué")
    assert ran.code == 0, ran.err
    scores = score(academy)
    assert wrong("feed-score", scores) == []
    undone = {night["date"]: night["undone"] for night in scores["nights"]}
    run = academy.run("runs", "list", "-o", "json").json[0]
    assert run["note"].startswith("undo of run")
    assert undone == {"2026-10-01": False, "2026-10-02": True, "2026-10-03": False}
    (source,) = scores["sources"]
    assert (source["nights"], source["undone"], source["refused"]) == (3, 1, 0)
    rows = list(
        csv.DictReader(io.StringIO(academy.run("feed", "score", "--as-of", "2026-10-20", "-o", "csv").out))
    )
    assert [row["undone"] for row in rows] == ["no", "yes", "no"]
    assert "undone" in academy.run("feed", "score", "--as-of", "2026-10-20", "-o", "table").out


def test_refused_nights_are_counted_apart(academy: Academy) -> None:
    academy.allow_up_to(2, "deactivate", "revoke")
    academy.night("2026-10-01", academy.feed(*FIRST, day="2026-10-01"))
    cut = academy.feed(*FIRST, day="2026-10-02")
    cut.write_text(cut.read_text(encoding="utf-8").replace("rows=6", "rows=9"), encoding="utf-8")
    assert academy.run("nightly", cut, "--as-of", "2026-10-02").code == 6
    ended = [f"{line.removesuffix(';')};2026-03-31" for line in FIRST]
    assert academy.run("nightly", academy.feed(*ended, day="2026-10-03"), "--as-of", "2026-10-03").code == 4
    scores = score(academy)
    assert wrong("feed-score", scores) == []
    first, second = scores["refused"]
    assert (first["date"], first["source"], first["rows"], first["why"]) == (
        "2026-10-02",
        "hr",
        6,
        ["wrong-count"],
    )
    assert (second["date"], second["source"], second["rows"]) == ("2026-10-03", "hr", 6)
    assert "deactivate" in second["why"]
    assert [night["date"] for night in scores["nights"]] == ["2026-10-01"]
    (source,) = scores["sources"]
    assert (source["nights"], source["refused"], source["rows"]) == (1, 2, 6)
    assert source["rows"] == sum(source[fate] for fate in FATES)
    sent = academy.run("feed", "score", "--as-of", "2026-10-20", "--by", "refused", "-o", "csv")
    assert [row["date"] for row in csv.DictReader(io.StringIO(sent.out))] == ["2026-10-02", "2026-10-03"]
    assert "wrong-count" in sent.out
    shown = academy.run("feed", "score", "--as-of", "2026-10-20", "-o", "table")
    assert "the number of rows differs from the #FIN line" in shown.out


def test_a_check_compares_the_columns_with_the_last_feeds(academy: Academy) -> None:
    people = crowd(40, debut="2026-01-01", civilite="MME")
    days = [f"2026-10-0{day}" for day in range(1, 6)]
    feed = academy.feed(*people, day=days[0])
    plain = academy.run("feed", "check", feed)
    assert "not compared with the last feeds: --compare does" in plain.out
    assert "compared with nothing: the directory knows 0 full feeds" in academy.run(
        "feed", "check", feed, "--compare"
    ).out  # fmt: skip
    for number, day in enumerate(days[:3]):
        academy.night(day, academy.feed(*people[number:], day=day))
    other = academy.feed(*people[:25], *(line.replace(";MME;", ";;") for line in people[25:]), day=days[3])
    academy.sandbox.stop()
    try:
        alone = academy.run("feed", "check", other, "-o", "json")
        assert (alone.code, alone.json["compared"]) == (0, None)
        assert [warning["column"] for warning in alone.json["warnings"]] == ["date"], "it is of another day"
        assert academy.run("feed", "check", other, "--compare").code == 8
    finally:
        academy.sandbox.start()
    with academy.nothing_written():
        compared = academy.run("feed", "check", other, "--compare", "-o", "json")
        shown = academy.run("feed", "check", other, "--compare")
    assert wrong("feed-check", compared.json) == []
    warning, _ = compared.json["warnings"]
    assert (compared.code, compared.json["compared"], warning["column"]) == (0, 3, "civilite")
    assert f"warning: civilite: {warning['message']}" in shown.out
    assert "compared with the last 3 feeds: 1 column differs: civilite" in shown.out
    # the limits for comparing feeds count too
    half = academy.run("feed", "check", academy.feed(*people[:3], day=days[4]), "--compare", "-o", "json")
    assert (half.code, {refusal["code"] for refusal in half.json["refusals"]}) == (6, {"changed-column"})
    assert wrong("feed-check", half.json) == []


def test_a_small_source_with_two_composed_first_names_gives_no_warning(academy: Academy) -> None:
    """Twice `a-a` among 22 first names, in every feed: each night says the same, and none of it is new."""
    names = [f"Lou{letter}" for letter in "abcdefghijklmnopqrst"] + ["Jean-Loup", "Anne-Sophie"]
    people = [line.replace(";Louise;", f";{name};") for line, name in zip(crowd(22), names, strict=True)]
    for day in (f"2026-10-0{day}" for day in range(1, 6)):
        feed = academy.feed(*people, day=day)
        assert "WARNING" not in str(academy.plan(feed, "--as-of", day)["remarks"])
        academy.night(day, feed)
    # a third of them is new
    people = [line.replace(";Lou", ";Lou-") for line in people[:7]] + people[7:]
    feed = academy.feed(*people, day="2026-10-06")
    remarks = academy.plan(feed, "--as-of", "2026-10-06")["remarks"]
    (remark,) = [remark for remark in remarks if remark.startswith("WARNING")]
    assert "column prenom: form a-a in 40.9% of its values, at most 18.2% in the last 5 feeds" in remark
