"""Files that a spreadsheet has saved: leading zeros of matricules are gone, and nobody pays for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .academy import Academy, prepared
from .feeds import MICHELIS, row, text

PEOPLE = 120
ZEROS = 21
"""Every matricule below 1,000,000 has a zero in front: 21 of 120."""
SAYS = (
    "{} is {} without its zero: the file was saved by a spreadsheet; "
    "HR: send the file as it was exported, and open it in no spreadsheet"
)
NIGHTS = ("2026-03-02", "2026-03-03", "2026-03-04")


def number(place: int) -> str:
    return f"{900_000 + place:07}" if place < ZEROS else f"{3_900_000 + place:07}"


def person(place: int, **values: str) -> str:
    return row(
        matricule=values.pop("matricule", number(place)),
        numen=f"20E95{place:05}ABC",
        prenom="Élodie" if place % 2 else "Gaël",
        nom_famille=f"Lefèvre{chr(97 + place // 26)}{chr(97 + place % 26)}",
        date_naissance="14/07/1980",
        courriel_prive=f"p{place}@example.org",
        uai="0800009A" if place % 3 else MICHELIS,
        debut="2026-01-01",
        position="suspension" if place == 7 else "",
        **values,
    )


ROWS = [person(place) for place in range(PEOPLE)]


def slipped(*places: int, rows: list[str] | None = None) -> list[str]:
    """The rows, without the leading zeros of these people."""
    return [
        line.lstrip("0") if place in places else line
        for place, line in enumerate(ROWS if rows is None else rows)
    ]


@prepared
def loaded(academy: Academy) -> Academy:
    academy.night("2026-03-01", academy.feed(*ROWS, day="2026-03-01"))
    assert academy.show("0900007", "2026-03-01")["locked"]
    return academy


def test_a_file_without_zeros_is_refused_night_after_night(loaded: Academy) -> None:
    with loaded.nothing_written():
        for day in NIGHTS[:2]:
            ran = loaded.night(day, loaded.feed(*slipped(*range(ZEROS)), day=day), code=6)
            first, *lines = ran.err.partition("feed refused: ")[2].splitlines()
            assert first == (
                "21 of its 120 rows have a matricule that differs from a known one only by leading zeros "
                "(limit: 3, or 1 % of the rows)"
            )
            assert lines[:3] == [
                f"piactl:   line {n + 2}: 90000{n} is 090000{n} without its zero: "
                f"the file was saved by a spreadsheet{';' if n == 2 else ''}"
                for n in range(3)
            ]
            assert lines[3].startswith("piactl:   HR: send the file as it was exported")
            assert "--accept-feed" in lines[-1]
    assert loaded.run("match", "list", "--as-of", NIGHTS[-1], "-o", "json").json == []
    loaded.quiet_night("2026-03-05", loaded.feed(*ROWS, day="2026-03-05"))


def test_a_row_without_its_zero_holds_the_account_night_after_night(loaded: Academy) -> None:
    for day in NIGHTS[:2]:
        feed = loaded.feed(*slipped(7), day=day)
        plan = loaded.plan(feed, "--as-of", day)
        assert [(r["line"], r["column"], r["code"], r["matricule"]) for r in plan["rejections"]] == [
            (9, "matricule", "leading-zeros", "900007")
        ]
        assert plan["rejections"][0]["message"] == SAYS.format("900007", "0900007")
        assert [(h["matricule"], h["uid"], h["code"]) for h in plan["holds"]] == [
            ("0900007", loaded.names()["0900007"], "rejected")
        ]
        assert (plan["absents"], plan["changes"]) == ([], [])
        loaded.quiet_night(day, feed)
    shown = loaded.show("0900007", NIGHTS[-1])
    assert (shown["locked"], shown["state"], shown["matricules"]) == (True, "on-leave", ["0900007"])
    assert loaded.run("match", "list", "--as-of", NIGHTS[-1], "-o", "json").json == []


def test_an_accepted_file_holds_the_people_of_its_slips(loaded: Academy) -> None:
    for day in NIGHTS[:2]:
        feed = loaded.feed(*slipped(5, 6, 7), day=day)
        refused = loaded.night(day, feed, code=6)
        digest = refused.err.partition("--accept-feed ")[2].split()[0]
        accepted = ("--accept-feed", digest, "--reason", "vu avec les RH")
        with loaded.nothing_written():
            ran = loaded.run("nightly", feed, "--as-of", day, *accepted)
            assert ran.code == 0, ran.err
    assert loaded.show("0900007", NIGHTS[-1])["locked"]


def few(academy: Academy, day: str, *rows: str) -> Path:
    return academy.feed(*rows, day=day)


def test_a_handful_among_few_people_is_refused(academy: Academy) -> None:
    rows = ROWS[:5] + ROWS[-5:]
    academy.night("2026-03-01", few(academy, "2026-03-01", *rows))
    for day in NIGHTS[:2]:
        with academy.nothing_written():
            academy.night(day, few(academy, day, *slipped(0, 1, 2, 3, 4, rows=rows)), code=6)
            ran = academy.night(day, few(academy, day, *slipped(2, rows=rows)), code=6)
            assert "[leading-zeros]" in ran.err
    academy.quiet_night("2026-03-05", few(academy, "2026-03-05", *rows))


def test_a_zero_too_many_and_two_zeros_too_few(loaded: Academy) -> None:
    rows = list(ROWS)
    rows[90] = person(90, matricule="0" + number(90))
    plan = loaded.plan(loaded.feed(*rows, day=NIGHTS[0]), "--as-of", NIGHTS[0])
    assert [r["message"].partition(";")[0] for r in plan["rejections"]] == [
        "03900090 is 3900090 with 1 zero too many"
    ]
    assert (plan["absents"], plan["changes"]) == ([], [])
    assert [h["matricule"] for h in plan["holds"]] == ["3900090"]


def test_two_zeros(academy: Academy) -> None:
    rows = [person(0, matricule="0012345"), *ROWS[10:]]
    academy.night("2026-03-01", academy.feed(*rows, day="2026-03-01"))
    plan = academy.plan(academy.feed(*slipped(0, rows=rows), day=NIGHTS[0]), "--as-of", NIGHTS[0])
    [rejection] = plan["rejections"]
    assert rejection["message"].startswith("12345 is 0012345 without its 2 zeros: the file was saved")
    assert [h["matricule"] for h in plan["holds"]] == ["0012345"]


def test_two_people_whose_matricules_differ_in_zeros_are_no_slip(loaded: Academy) -> None:
    """An administrator has made the account of the second one."""
    created = loaded.run(
        "account", "create", "--matricule", "900003", "--family-name", "Autre", "--given-name", "Tout",
        "--uai", MICHELIS, "--function", "ENS", "--until", "2026-08-31", "--sponsor",
        loaded.names()[number(30)], "--reason", "matricules voisins", "--as-of", "2026-03-01", "--yes",
    )  # fmt: skip
    assert created.code == 0, created.err
    other = row(matricule="900003", prenom="Tout", nom_famille="Autre", uai=MICHELIS, debut="2026-03-01")
    feed = loaded.feed(*ROWS, other, day=NIGHTS[0])
    plan = loaded.plan(feed, "--as-of", NIGHTS[0])
    assert (plan["rejections"], plan["holds"]) == ([], [])
    loaded.night(NIGHTS[0], feed)
    assert loaded.show("900003", NIGHTS[0])["assignments"][-1]["start"] == "2026-03-01"


def test_a_matricule_that_hr_itself_declares_is_no_slip(loaded: Academy) -> None:
    header, *rows = text([person(7).lstrip("0"), *ROWS[:7], *ROWS[8:]], NIGHTS[0]).splitlines()
    former = [";0900007" if line.startswith("900007;") else ";" for line in rows[:-1]]
    lines = [f"{header};ancien_matricule", *map("".join, zip(rows, former, strict=False)), rows[-1]]
    feed = loaded.raw_feed("".join(f"{line}\n" for line in lines).encode())
    loaded.night(NIGHTS[0], feed)
    shown = loaded.show("900007", NIGHTS[0])
    assert (shown["matricules"], shown["locked"]) == (["0900007", "900007"], True)


def test_the_matricule_of_an_archived_account_is_known(loaded: Academy) -> None:
    gone = [person(0, fin="2026-03-05"), *ROWS[1:]]
    loaded.night("2026-03-02", loaded.feed(*gone, day="2026-03-02"))
    loaded.night("2026-06-20")
    loaded.nights("2026-06-22", loaded.feed(*ROWS[1:], day="2026-06-22"))
    uid = "gael.lefevreaa"
    assert loaded.show(uid, "2026-06-22")["state"] == "archived"
    back = person(0).replace("2026-01-01", "2026-06-20").replace(";20E9500000ABC;", ";;")
    back = back.replace("14/07/1980", "").replace("p0@example.org", "")
    feed = loaded.feed(back.lstrip("0"), *ROWS[1:], day="2026-06-23")
    plan = loaded.plan(feed, "--as-of", "2026-06-23")
    assert [r["message"] for r in plan["rejections"]] == [SAYS.format("900000", "0900000")]
    assert plan["changes"] == []
    assert loaded.show(uid, "2026-06-23")["state"] == "archived"


def test_people_in_waiting_are_known(loaded: Academy) -> None:
    coming = row(matricule="0777777", prenom="Zoé", nom_famille="Attend", debut="2026-09-01")
    loaded.night(NIGHTS[0], loaded.feed(*ROWS, coming, day=NIGHTS[0]))
    plan = loaded.plan(loaded.feed(*ROWS, coming.lstrip("0"), day=NIGHTS[1]), "--as-of", NIGHTS[1])
    assert [r["message"] for r in plan["rejections"]] == [SAYS.format("777777", "0777777")]
    assert [h["matricule"] for h in plan["holds"]] == ["0777777"]


def test_corrected_rejects_that_a_spreadsheet_has_saved(loaded: Academy) -> None:
    """A newcomer with a wrong date, corrected in a spreadsheet: no account under another number."""
    newcomer = row(matricule="0010012", prenom="Gaëlle", nom_famille="Bréhat", debut="2026-03-01")
    wrong = newcomer.replace("2026-03-01", "2026-02-30")
    loaded.night(NIGHTS[0], loaded.feed(*ROWS, wrong, day=NIGHTS[0]))
    rejects = (
        text([newcomer.lstrip("0")])
        .replace("fin\n", "fin;rejet\n")
        .replace("2026-03-01;", "2026-03-01;;bad-date")
    )
    for day in NIGHTS[:2]:  # twice, with the feed of the day and alone
        with loaded.nothing_written():
            ran = loaded.night(day, loaded.raw_feed(rejects.encode()), code=6)
            assert "10012 is 0010012 without its 2 zeros" in ran.err
    feed = loaded.feed(*ROWS, wrong, day=NIGHTS[1])
    ran = loaded.night(NIGHTS[1], feed, loaded.raw_feed(rejects.encode()), code=6)
    assert "10012 is 0010012 without its 2 zeros" in ran.err
    loaded.night(NIGHTS[2], loaded.feed(*ROWS, newcomer, day=NIGHTS[2]))
    assert loaded.names()["0010012"] == "gaelle.brehat"


def test_feed_check_says_it_with_the_directory(loaded: Academy) -> None:
    one = loaded.run("feed", "check", loaded.feed(*slipped(7), day=NIGHTS[0]), "--compare")
    assert one.code == 5
    assert f"matricule: {SAYS.format('900007', '0900007')} [leading-zeros]" in one.out
    assert "1 of 120 rows rejected, 1 person would be held" in one.out
    assert "warning: matricule" not in one.out
    many = loaded.run("feed", "check", loaded.feed(*slipped(*range(ZEROS)), day=NIGHTS[0]), "--compare")
    assert many.code == 6
    assert "line 2: 900000 is 0900000 without its zero: the file was saved by a spreadsheet\n" in many.err
    right = loaded.run("feed", "check", loaded.feed(*ROWS, day=NIGHTS[0]), "--compare")
    assert (right.code, "nothing is rejected" in right.out) == (0, True)


def test_a_supplement_and_another_namespace(academy: Academy) -> None:
    """The same digits in another namespace are other people."""
    academy.sources(hr="kind: full", sport="kind: full, role: supplement, namespace: uss")
    post: Callable[..., str] = row
    hr = [post(matricule="0001001"), *(person(place) for place in range(30, 40))]
    academy.night(NIGHTS[0], academy.feed(*hr, day=NIGHTS[0]))
    sport = academy.feed(post(matricule="1001", fonction="DOC"), day=NIGHTS[1], source="sport")
    plan = academy.plan(academy.feed(*hr, day=NIGHTS[1]), sport, "--as-of", NIGHTS[1])
    assert plan["rejections"] == []
