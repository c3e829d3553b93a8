"""Refusals are data too: `-o json` prints its object with exit codes 4, 5 and 6, as on success."""

from __future__ import annotations

import hashlib

from .academy import Academy
from .feeds import MICHELIS, row, text

DAYS = [f"2026-09-{day:02}" for day in range(5, 12)]
WHY = ("--reason", "appel du proviseur")
CLAIRE, IDA = "claire.dubreuil", "ida.roy"
ROWS = (row(), row(matricule="1999", prenom="Ida", nom_famille="Roy", fonction="DIR", uai=MICHELIS))


def test_refused_nights_and_plans_print_their_json_object(academy: Academy) -> None:
    academy.edit("policy.yaml", "  rename:     {floor: 15, share: 0.005}", "  rename:     {max: 0, share: 0}")
    academy.edit("policy.yaml", "      rename:     {floor: 20, share: 0.02}\n", "")
    empty = academy.raw_feed(b"")
    done = academy.night(DAYS[0], academy.feed(*ROWS, day=DAYS[0])).json
    assert (done["status"], done["refusals"], done["refused_feeds"], done["error"]) == ("done", [], [], "")

    ran = academy.night(DAYS[1], empty, code=6)
    (refused,) = ran.json["refused_feeds"]
    assert (refused["file"], refused["code"]) == (str(empty), "empty")
    assert (ran.json["status"], ran.json["summary"], ran.json["plan"]) == ("refused", {}, None)
    assert ran.json.keys() == done.keys()
    assert "[empty]" in ran.json["error"]
    assert academy.run("plan", empty, "-o", "json").json["refused_feeds"] == [refused]

    renamed = academy.feed(ROWS[0].replace(";Dubreuil;", ";Aubry;"), ROWS[1], day=DAYS[1])
    ran = academy.night(DAYS[1], renamed, code=4)
    (guard,) = ran.json["refusals"]
    assert (guard["guard"], guard["found"], guard["of"], guard["limit"]["max"]) == ("rename", 1, 2, 0)
    assert (ran.json["status"], ran.json["summary"]["rename"], ran.json["outcomes"]) == ("refused", 1, {})
    assert ran.json.keys() == done.keys()
    ran = academy.run("apply", ran.plan_file, "-o", "json")
    assert (ran.code, ran.json["refusals"], ran.json.keys()) == (4, [guard], done.keys())

    # an older feed is refused one night; later nights say so and run without it, also once it is too old
    older = academy.feed(ROWS[0], day="2026-09-01")
    assert academy.run("plan", older, "--as-of", DAYS[1]).code == 6
    assert academy.night(DAYS[1], older, code=6).json["refused_feeds"][0]["code"] == "older"
    for day in (DAYS[1], "2026-09-12"):
        ran = academy.night(day, older, academy.feed(*ROWS, day=day))
        assert (ran.json["status"], ran.err.count("an older feed, refused before; remove it")) == ("done", 1)
        assert academy.run("plan", older, "--as-of", day).code == 0
    another = academy.feed(*ROWS, day="2026-09-02")
    assert academy.night(day, older, another, code=6).json["refused_feeds"][0]["file"] == str(another)
    digest = hashlib.sha256(older.read_bytes()).hexdigest()
    accept = ("--accept-feed", digest, *WHY, "--as-of", day)
    assert "skipped" not in academy.run("plan", older, *accept).out

    # a wrong clock, and a run that cannot begin
    ran = academy.night("2026-09-01", code=4)
    assert (ran.json["refusals"], "is before that of the last one" in ran.json["error"]) == ([], True)
    assert [*academy.run("nightly", "--as-of", "soon", "-o", "json").json] == ["error"]


def test_feed_check(academy: Academy) -> None:
    """It reports every error of a row at once, of layout, names and policy, and wrong bytes."""
    wrong = {"prenom": "J3an", "fonction": "ZZZ"}
    rows = [
        *ROWS,
        row(matricule="1002", uai="0800009B", debut="30/02/2026", **wrong),
        row(matricule="1003", position="odd", **wrong),
        # a correct row of somebody who also has a wrong one
        row(matricule="1003", uai="0800009B"),
        # the profile of a known function could depend on what is wrong
        row(matricule="1004", uai="0800009B"),
        row(matricule="1005", prenom="Zoé"),
    ]
    content = text(rows, DAYS[0]).replace("Zoé", "Zo\xe9").encode("latin-1")
    feed = academy.raw_feed(content)
    ran = academy.run("feed", "check", feed, "-o", "json")
    assert (ran.code, ran.json["status"], ran.json["refusals"]) == (5, "partly usable", [])
    codes: dict[int, set[str]] = {}
    for rejection in ran.json["rejections"]:
        codes.setdefault(rejection["line"], set()).add(rejection["code"])
    assert codes == {
        4: {"bad-uai", "bad-date", "name-digit", "profile-none"},
        5: {"position-unknown", "name-digit", "profile-none"},
        6: {"bad-uai"},
        7: {"bad-uai"},
        8: {"undecodable"},
    }
    shown = academy.run("feed", "check", feed)
    assert (
        shown.code,
        "prenom: bytes are not utf-8, as expected; they look like windows-1252" in shown.out,
    ) == (
        5,
        True,
    )
    # a night holds the same people, for the same reasons
    limits = "  hr: {limits: {bad_floor: 99, held_floor: 99}, kind: full,"
    academy.edit("piactl.yaml", "  hr: {kind: full,", limits)
    plan = academy.plan(feed, "--as-of", DAYS[0])
    assert {(r["line"], r["code"]) for r in plan["rejections"]} == {(n, c) for n in codes for c in codes[n]}
    assert {change["uid"] for change in plan["changes"]} == {CLAIRE, IDA}

    usable = academy.run("feed", "check", academy.feed(*ROWS, day=DAYS[0]), "-o", "json")
    assert (usable.code, usable.json["status"]) == (0, "usable")
    utf16 = academy.raw_feed(text(ROWS, DAYS[0]).encode("utf-16"))
    ran = academy.run("feed", "check", utf16, "-o", "json")
    assert (ran.code, ran.json["status"], ran.json.keys()) == (6, "refused", usable.json.keys())
    assert ran.json["refusals"][0]["code"] == "wrong-encoding"
    assert "utf-8 is expected, but the file is UTF-16" in ran.json["refusals"][0]["message"]


def test_refused_one_off_commands_print_their_json_object(academy: Academy) -> None:
    academy.allow_up_to(0, "lock")
    academy.night(DAYS[0], academy.feed(*ROWS, day=DAYS[0]))
    lock = ("account", "lock", CLAIRE, "nobody.here", *WHY, "--as-of", DAYS[0])
    with academy.nothing_written():
        for options in ((), ("--dry-run",)):
            ran = academy.run(*lock, *options, "-o", "json")
            locked, unknown = ran.json
            assert (ran.code, locked["outcome"], unknown["outcome"]) == (4, "refused", "not found")
            assert [refusal["guard"] for refusal in locked["refusals"]] == ["lock"]
            assert locked["refusals"][0]["of"] == 2
            assert locked["changes"][0]["kind"] == "lock"
            assert unknown["refusals"] == []
            assert "guard is broken" in locked["message"]
        text = academy.run(*lock, "--dry-run")
        assert (text.code, "lock" in text.out, "--allow lock=1" in text.err) == (4, True, True)
    ran = academy.run(*lock, "--allow", "lock=1", "-o", "json")
    assert (ran.code, [result["outcome"] for result in ran.json]) == (5, ["applied", "not found"])

    ran = academy.run("undo", "last", *WHY, "--as-of", DAYS[0], "-o", "json")
    assert (ran.code, ran.json["status"]) == (0, "done")
    # a day before that of the last run
    ran = academy.run(
        "account", "lock", IDA, *WHY, "--as-of", "2026-09-01", "--allow", "lock=1", "-o", "json"
    )
    assert (ran.code, ran.json[0]["outcome"]) == (4, "refused")
    assert "is before that of the last one" in ran.json[0]["message"]
    # changes by hand do not move that day
    for words, day in ((("unlock",), "2026-11-01"), (("lock", "--allow", "lock=1"), DAYS[0])):
        assert academy.run("account", words[0], IDA, *words[1:], *WHY, "--as-of", day).code == 0
