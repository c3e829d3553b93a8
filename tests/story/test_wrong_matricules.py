"""Nobody loses or keeps access by a wrong matricule in a file: the case holds the account it points at."""

from __future__ import annotations

from .academy import Academy, Ran
from .feeds import MARESCHAL, MICHELIS, crowd, row
from .test_other_person import cases

DAYS = [f"2026-09-{day:02}" for day in range(5, 31)]
NUMEN, OTHER = "01E9501234ABC", "01E9507777XYZ"
JUSTINE = {
    "matricule": "3396937", "prenom": "Justine", "nom_famille": "Roche", "date_naissance": "1979-08-09",
    "courriel_prive": "justine@example.org", "numen": NUMEN,
}  # fmt: skip
MISTYPED = {**JUSTINE, "matricule": "5000001"}
REST = crowd(4)


def decide(academy: Academy, answer: str, *words: str, day: str, case: str = "") -> Ran:
    case = case or cases(academy)[0]["case"]
    return academy.run("match", answer, case, *words, "--reason", "vu", "--as-of", day)


def rights(academy: Academy, uid: str) -> list[str]:
    return academy.values(uid, "eduPersonEntitlement")


def test_a_mistyped_matricule_takes_nothing_from_anybody(academy: Academy) -> None:
    """The same NUMEN, or the same identity, stands under another matricule: the absence of the right one does
    not count, however many nights."""
    known: tuple[dict[str, str], ...] = (
        JUSTINE,
        {**JUSTINE, "nom_famille": "Rochet", "numen": "", "courriel_prive": "jr@example.org"},
        {
            **JUSTINE,
            "nom_famille": "Rochon",
            "numen": OTHER,
            "date_naissance": "",
            "courriel_prive": "r@x.fr",
        },
    )
    people = [{**person, "matricule": str(3396937 + n)} for n, person in enumerate(known)]
    mistyped = [{**person, "matricule": str(5000001 + n)} for n, person in enumerate(known)]
    uids = ["justine.roche", "justine.rochet", "justine.rochon"]
    academy.night(DAYS[0], academy.feed(*(row(**person) for person in people), *REST, day=DAYS[0]))
    before = [rights(academy, uid) for uid in uids]
    for day in DAYS[1:5]:
        ran = academy.night(day, academy.feed(*(row(**person) for person in mistyped), *REST, day=day))
        assert ran.json["summary"] == {}
    assert [academy.values(uid, "piactlState") for uid in uids] == [["active"]] * 3
    assert [rights(academy, uid) for uid in uids] == before
    assert sorted(case["of"] for case in cases(academy)) == [[uid] for uid in uids]
    feed = academy.feed(*(row(**person) for person in mistyped), *REST, day=DAYS[5])
    held = {hold["uid"]: hold["why"] for hold in academy.plan(feed, "--as-of", DAYS[5])["holds"]}
    for uid, person in zip(uids, mistyped, strict=True):
        assert f"listed under matricule {person['matricule']}" in held[uid]


def test_the_case_closes_by_itself_once_the_row_is_right_again(academy: Academy) -> None:
    academy.night(DAYS[0], academy.feed(row(**JUSTINE), *REST, day=DAYS[0]))
    academy.night(DAYS[1], academy.feed(row(**MISTYPED), *REST, day=DAYS[1]))
    academy.night(DAYS[2], academy.feed(row(**MISTYPED), *REST, day=DAYS[2]))
    (case,) = cases(academy)
    feed = academy.feed(row(**JUSTINE), *REST, day=DAYS[3])
    plan = academy.plan(feed, "--as-of", DAYS[3])
    assert plan["changes"] == []
    assert [r for r in plan["remarks"] if f"case {case['case']} is closed" in r and "5000001" in r]
    assert plan["holds"] == [], "a case that closes holds nobody"
    academy.quiet_night(DAYS[3], feed)
    assert cases(academy) == []
    assert academy.run("match", "list", "--decided", "-o", "json").json == []


def test_what_hr_ends_explicitly_still_ends_while_a_case_is_open(academy: Academy) -> None:
    """HR lists both the wrong and the right matricule, and gives the right one an end."""
    new = {**MISTYPED, "numen": OTHER}
    academy.night(DAYS[0], academy.feed(row(**JUSTINE), *REST, day=DAYS[0]))
    academy.night(DAYS[1], academy.feed(row(**JUSTINE), row(**new), *REST, day=DAYS[1]))
    assert [case["of"] for case in cases(academy)] == [["justine.roche"]]
    ended = academy.feed(row(**JUSTINE, fin=DAYS[1]), row(**new), *REST, day=DAYS[2])
    ran = academy.night(DAYS[2], ended)
    assert "revoke" in ran.json["summary"]
    assert academy.values("justine.roche", "piactlState") == ["grace"]


def test_one_of_two_rows_mistyped_keeps_the_second_post(academy: Academy) -> None:
    second = {"uai": MICHELIS, "fonction": "DIR"}
    academy.night(DAYS[0], academy.feed(row(**JUSTINE), row(**JUSTINE, **second), *REST, day=DAYS[0]))
    before = rights(academy, "justine.roche")
    for day in DAYS[1:4]:
        feed = academy.feed(row(**JUSTINE), row(**MISTYPED, **second), *REST, day=day)
        academy.quiet_night(day, feed)
    assert rights(academy, "justine.roche") == before


def test_a_row_under_the_matricule_of_somebody_else_holds_both(academy: Academy) -> None:
    """Justine's row stands under the matricule of a leaver: a case about his account, and hers is held."""
    leaver = {"matricule": "4000", "prenom": "Hugo", "nom_famille": "Lefevre", "date_naissance": "1980-01-02"}
    academy.night(DAYS[0], academy.feed(row(**JUSTINE), row(**leaver, fin=DAYS[0]), *REST, day=DAYS[0]))
    wrong = {**JUSTINE, "matricule": "4000"}
    for day in DAYS[1:5]:
        academy.night(day, academy.feed(row(**wrong), *REST, day=day))
        assert academy.values("justine.roche", "piactlState") == ["active"]
    (case,) = cases(academy)
    assert (case["doubt"], case["of"]) == ("other-person", ["hugo.lefevre", "justine.roche"])
    # decided: the file was wrong; she stays held until HR has corrected it
    assert decide(academy, "wrong-row", day=DAYS[4]).code == 0
    for day in DAYS[5:8]:
        academy.night(day, academy.feed(row(**wrong), *REST, day=day))
        assert academy.values("justine.roche", "piactlState") == ["active"]
    assert [c["decision"] for c in cases(academy)] == ["wrong-row"]
    academy.night(DAYS[8], academy.feed(row(**JUSTINE), *REST, day=DAYS[8]))
    assert cases(academy) == []


def test_a_row_that_contradicts_another_person_holds_its_own(academy: Academy) -> None:
    """Justine's row stands under the matricule of somebody who is listed too: the rows contradict each
    other, and her absence does not count."""
    hugo = {"matricule": "4000", "prenom": "Hugo", "nom_famille": "Lefevre", "date_naissance": "1980-01-02"}
    academy.night(DAYS[0], academy.feed(row(**JUSTINE), row(**hugo), *REST, day=DAYS[0]))
    wrong = {**JUSTINE, "matricule": "4000", "uai": MARESCHAL}
    for day in DAYS[1:4]:
        academy.night(day, academy.feed(row(**hugo), row(**wrong), *REST, day=day))
    assert academy.values("justine.roche", "piactlState") == ["active"]
    assert academy.values("hugo.lefevre", "piactlState") == ["active"]


def test_overdue_cases_end_every_night_with_5(academy: Academy) -> None:
    academy.night(DAYS[0], academy.feed(row(**JUSTINE), *REST, day=DAYS[0]))
    for day in (DAYS[1], DAYS[2], DAYS[11]):
        academy.night(day, academy.feed(row(**MISTYPED), *REST, day=day))
    feed = academy.feed(row(**MISTYPED), *REST, day=DAYS[12])
    applied = academy.folder / "applied"
    applied.mkdir()
    ran = academy.night(DAYS[12], feed, "--move-applied", applied, code=5)
    assert "1 case is undecided for more than 10 days: piactl match list" in ran.err
    assert academy.values("justine.roche", "piactlState") == ["active"]
    # the feed was applied all the same
    assert (applied / feed.name).exists()
    assert academy.night(DAYS[13], code=5)
    assert decide(academy, "wrong-row", day=DAYS[13]).code == 0
    academy.night(DAYS[14], academy.feed(row(**MISTYPED), *REST, day=DAYS[14]))


def test_wrong_row_rejects_the_row_until_it_changes(academy: Academy) -> None:
    """Nothing is joined and nothing is made; the row is in the rejects file; the account stays held."""
    academy.night(DAYS[0], academy.feed(row(**JUSTINE), *REST, day=DAYS[0]))
    academy.night(DAYS[1], academy.feed(row(**MISTYPED), *REST, day=DAYS[1]))
    with academy.nothing_written():
        ran = decide(academy, "wrong-row", "--dry-run", day=DAYS[1])
        assert (ran.code, "would be decided" in ran.err) == (0, True)
        assert decide(academy, "wrong-row", day=DAYS[1]).code == 0
    ran = decide(academy, "same", day=DAYS[1])
    assert (ran.code, "match forget" in ran.err) == (1, True)
    for day in DAYS[2:5]:
        feed = academy.feed(row(**MISTYPED), *REST, day=day)
        rejections = academy.plan(feed, "--as-of", day)["rejections"]
        assert [(r["code"], r["matricule"]) for r in rejections] == [("wrong-row", "5000001")]
        academy.quiet_night(day, feed)
    rejected = [f.read_text() for f in (academy.sandbox.folder / "state" / "rejects").iterdir()]
    assert any("5000001" in text and "wrong-row" in text for text in rejected)
    assert set(academy.names()) == {"3396937", "5000", "5001", "5002", "5003"}
    assert academy.values("justine.roche", "piactlState") == ["active"]
    (case,) = cases(academy)
    assert (case["decision"], case["urgency"]) == ("wrong-row", "")
    assert "1 decided case waits for HR" in academy.run("status").out
    (finding,) = [f for f in academy.run("doctor", "-o", "json").json if f["id"] == "D59"]
    assert case["case"] in str(finding)
    # another person under the same matricule is a new question, or none
    other = {**MISTYPED, "prenom": "Eve", "nom_famille": "Roy", "date_naissance": "1990-01-01"}
    other |= {"numen": OTHER, "courriel_prive": ""}
    academy.night(DAYS[5], academy.feed(row(**JUSTINE), row(**other), *REST, day=DAYS[5]))
    assert academy.names()["5000001"] == "eve.roy"
    assert cases(academy) == []


def test_different_lets_the_absence_count_again(academy: Academy) -> None:
    new = {**MISTYPED, "numen": OTHER}
    academy.night(DAYS[0], academy.feed(row(**JUSTINE), *REST, day=DAYS[0]))
    for day in DAYS[1:4]:
        academy.night(day, academy.feed(row(**new), *REST, day=day))
    assert academy.values("justine.roche", "piactlState") == ["active"]
    assert decide(academy, "different", day=DAYS[3]).code == 0
    for day in DAYS[4:7]:
        academy.night(day, academy.feed(row(**new), *REST, day=day))
    assert academy.values("justine.roche", "piactlState") == ["grace"]
    assert academy.names()["5000001"] == "justine.roche1"


def test_a_case_holds_the_account_whichever_source_comes(academy: Academy) -> None:
    """The wrong row is in one source; the other lists the person no more, and a night has no feed."""
    academy.sources(agape="kind: full", epp="kind: full")
    second = row(**JUSTINE, uai=MICHELIS, fonction="DIR")
    first = academy.feed(row(**JUSTINE), *REST, day=DAYS[0], source="agape")
    academy.night(DAYS[0], first, academy.feed(second, *crowd(2), day=DAYS[0], source="epp"))
    before = rights(academy, "justine.roche")
    wrong = [row(**MISTYPED), *REST]
    academy.night(DAYS[1], academy.feed(*wrong, day=DAYS[1], source="agape"))
    for day in DAYS[2:5]:
        academy.night(day, academy.feed(*crowd(2), day=day, source="epp"))
    academy.night(DAYS[5])
    assert rights(academy, "justine.roche") == before
    # without the wrong row the absences count
    for day in DAYS[6:9]:
        agape = academy.feed(*REST, day=day, source="agape")
        academy.night(day, agape, academy.feed(*crowd(2), day=day, source="epp"))
    assert cases(academy) == []
    assert academy.values("justine.roche", "piactlState") == ["grace"]


def test_a_person_in_waiting_is_held_as_well(academy: Academy) -> None:
    """A person without an account yet, whose matricule is mistyped on some nights, then right again."""
    start = {"debut": "2026-11-01"}
    academy.night(DAYS[0], academy.feed(row(**JUSTINE, **start), *REST, day=DAYS[0]))
    for day in DAYS[1:4]:
        academy.night(day, academy.feed(row(**MISTYPED, **start), *REST, day=day))
    (case,) = cases(academy)
    assert {case["matricule"], *case["of"]} == {"3396937", "5000001"}
    academy.night(DAYS[4], academy.feed(row(**JUSTINE, **start), *REST, day=DAYS[4]))
    assert cases(academy) == []
    academy.night("2026-10-25")
    assert academy.names()["3396937"] == "justine.roche"
