"""What piactl prints can be done: each command that a refusal prints is whole, and is copied once."""

from __future__ import annotations

import csv
import re
import shlex

from .academy import Academy, Ran, prepared
from .feeds import crowd, row

DAY = "2026-12-01"
NUMEN = "20E9512345ABC"
CHOSEN, CALLER = "luc.verdier", "odile.roussel"


def again(ran: Ran, beginning: str = "To go on all the same") -> list[str]:
    """The words of the command that a refusal prints, with a reason in the place that it leaves for one."""
    printed = re.findall(rf"^piactl: {beginning}[^:]*: piactl (.+)$", ran.err, re.MULTILINE)
    assert len(printed) == 1, ran.err
    words = shlex.split(printed[0].replace('"..."', "'vu avec la DRH'"))
    return words[2:] if words[0] == "--config" else words


@prepared
def school(academy: Academy) -> list[str]:
    """41 people and two more, one of whom has chosen a password; `left` are the uids of 15 and this one."""
    luc = {"matricule": "3000001", "nom_famille": "Verdier", "prenom": "Luc"}
    odile = {"matricule": "3000002", "nom_famille": "Roussel", "prenom": "Odile", "numen": NUMEN}
    people = [row(**person, debut="2026-01-01") for person in (luc, odile)]
    academy.night(DAY, academy.feed(*crowd(41, debut="2026-01-01"), *people, day=DAY))
    academy.change(CHOSEN, userPassword=["quatre chats gris et lents"])
    return [CHOSEN, *sorted(set(academy.names().values()) - {CHOSEN, CALLER})[:15]]


def test_a_mail_merge_takes_one_copied_command_and_the_day_of_the_help_desk_stays(school: Academy) -> None:
    """15 passwords break the guards of a command, of an operator and of a day. Who has chosen a password
    keeps it, and the count of the day does not grow by what was approved."""
    file = school.folder / "letters.csv"
    names = "\n".join(school.left)
    words = ["password", "activate", "-", "--out", str(file)]
    with school.nothing_written():
        ran = school.run(*words[:3], stdin=names)
        assert (ran.code, again(ran)) == (2, [*words[:3], "--administrator", "--out", "passwords.csv"])
        ran = school.run(*words, stdin=names)
        assert ran.code == 2
        ran = school.run(*again(ran), stdin=names)
        assert (ran.code, ran.err.count("REFUSED by the guard password")) == (4, 3)
        assert "--allow password=15 --allow password_day=15 --allow password_operator=15" in ran.err
    allow = again(ran)[again(ran).index("--allow") :]
    ran = school.run(*again(ran), stdin=names)
    assert ran.code == 5, ran.err
    with file.open(encoding="utf-8", newline="") as letters:
        assert [letter["uid"] for letter in csv.DictReader(letters)] == school.left[1:]
    assert school.sandbox.accepts(school.dn(CHOSEN), "quatre chats gris et lents")

    # the same list once more: the letters on their way stay good, whatever is allowed
    file = school.folder / "more.csv"
    words = ["password", "activate", "-", "--administrator", "--out", str(file)]
    ran = school.run(*words, *allow, stdin=names)
    assert (ran.code, ran.err.count("REFUSED")) == (5, 0), ran.err
    assert not file.exists()
    assert "that nobody has used yet, valid until" in ran.out
    (new,) = re.findall(f"{school.left[1]} --without-check.*", ran.out)
    ran = school.run("password", "reset", *shlex.split(new.replace('"..."', "perdu")), "--out", str(file))
    assert ran.code == 0, ran.err

    desk = ["password", "activate", CALLER, "--numen-file", "-", "--out", str(school.folder / "odile.csv")]
    ran = school.run(*desk, stdin=NUMEN)
    assert ran.code == 0, ran.err


def test_what_was_not_approved_counts_on_and_an_approval_of_the_day_begins_it_again(school: Academy) -> None:
    def give(*names: str, allow: str = "") -> Ran:
        file = school.folder / f"{len(school.said)}.csv"
        words = ["password", "activate", *names, "--administrator", "--out", str(file)]
        return school.run(*words, *(("--allow", allow, "--reason", "rentrée") if allow else ()))

    people = school.left[1:]
    assert give(*people[:10]).code == 0
    wrong = give(people[10], allow="password=1")
    assert (wrong.code, "password_operator: 11 of" in wrong.err) == (4, True), wrong.err
    ran = school.run(*again(give(people[10])))
    assert ran.code == 0, ran.err
    assert give(*people[11:]).code == 0, "of this operator"


def test_a_refused_plan_is_written_and_applied_by_the_two_commands_that_it_prints(school: Academy) -> None:
    day = "2026-12-02"
    more = school.feed(*crowd(60, debut="2026-01-01"), day=day)
    with school.nothing_written():
        ran = school.run("plan", more, "--as-of", day)
        assert ran.code == 4
        write, apply = (words.strip() for words in " ".join(again(ran, "To apply it")).split(", then piactl"))
        assert school.run(*shlex.split(write)).code == 4
    assert school.run(*shlex.split(apply.replace("vu avec la DRH", "'vu avec la DRH'"))).code == 0


def test_a_lock_of_many_accounts(school: Academy) -> None:
    with school.nothing_written():
        ran = school.run("account", "lock", *school.left, "--reason", "enquête sur l'un d'eux")
    assert ran.code == 4
    assert "l'un d'eux" in " ".join(again(ran)), "the reason as it was given"
    assert school.run(*again(ran)).code == 0


def test_a_refused_feed_shows_what_is_wrong_and_the_command_that_accepts_it(school: Academy) -> None:
    day = "2026-12-02"
    people = crowd(41, debut="2026-01-01")
    wrong = [line.replace("0800009A", "0800009B") for line in people[:25]]
    feed = school.feed(*wrong, *people[25:], day=day)
    with school.nothing_written():
        ran = school.run("nightly", feed, "--as-of", day)
        assert ran.code == 6
        assert re.search(r"uai are wrong .*\n(piactl:   line \d: .* 0800009A would be right;?\n){3}", ran.err)
        assert (ran.err.count("--accept-feed"), "--accept-feed" in ran.err.splitlines()[-1]) == (1, True)
        ran = school.run(*again(ran))
    # a guard counts the people of these rows, who are held
    assert (ran.code, "--allow held=25" in ran.err) == (4, True), ran.err
    assert school.run(*again(ran, "To apply it")).code == 0
    # a check has no such option: programs get the night, and HR, which accepts no feed, does not
    ran = school.run("feed", "check", school.feed(*wrong, *people[25:], day=day, mark="2"), "-o", "json")
    assert (ran.code, "nightly" in ran.json["next"], "--accept-feed" in ran.err) == (6, True, False)


def test_two_refused_feeds_are_accepted_by_one_command(school: Academy) -> None:
    day = "2026-12-02"
    few, some = (
        school.feed(*crowd(count, debut="2026-01-01"), day=day, mark=str(count)) for count in (20, 15)
    )
    with school.nothing_written():
        ran = school.run("nightly", few, some, "--as-of", day)
    assert ran.code == 6
    assert ran.err.count("--accept-feed") == 2
    assert re.search(r"known from this source \(limit: 90 %\), not \d+, \d+, \d+;", ran.err), ran.err
    ran = school.run(*again(ran))
    assert (ran.code, "REFUSED by the guard revoke" in ran.err) == (4, True), ran.err


def test_a_plan_that_another_run_has_outdated_says_so_and_not_what_to_allow(school: Academy) -> None:
    """Before, it asked for --allow with a reason first, and only then said that the plan is outdated."""
    day = "2026-12-02"
    more = school.feed(*crowd(60, debut="2026-01-01"), day=day)
    file = school.folder / "le plan.json"
    assert school.run("plan", more, "--as-of", day, "--out", file).code == 4
    shown = again(school.run("apply", file), "To show it")
    assert (shown[-1], school.run(*shown).code) == (str(file), 0), "also of a file with a blank"
    school.night(day)
    with school.nothing_written():
        ran = school.run("apply", file)
    assert (ran.code, "make the plan again" in ran.err, "--allow" in ran.err) == (1, True, False), ran.err


def test_programs_find_the_command_that_goes_on_in_the_json_of_a_refused_run(school: Academy) -> None:
    """Before, only stderr had it."""
    day = "2026-12-02"
    few = school.feed(*crowd(20, debut="2026-01-01"), day=day)
    ran = school.night(day, few, code=6)
    words = [*again(ran)]
    assert shlex.split(ran.json["next"].replace('"..."', "'vu avec la DRH'"))[-len(words) :] == words
    more = school.feed(*crowd(60, debut="2026-01-01"), day=day)
    ran = school.night(day, more, code=4)
    assert ran.json["next"].startswith("piactl apply ")
    assert ran.json["next"] in ran.err
    assert school.night(day).json["next"] == ""


def test_an_apply_that_lacks_an_approval_prints_both_commands(school: Academy) -> None:
    policy = school.sandbox.folder / "policy.yaml"
    policy.write_text(policy.read_text("utf-8") + "approvals: {required: [{refused: any}]}\n", "utf-8")
    day = "2026-12-02"
    more = school.feed(*crowd(60, debut="2026-01-01"), day=day)
    ran = school.night(day, more, code=4)
    assert ran.json["next"].startswith("piactl approve "), "first"
    apply = again(ran, "To apply it")
    with school.nothing_written():
        ran = school.run(*apply, "-o", "json")
    assert ran.code == 4
    assert ran.json["next"].startswith("piactl approve ")
    assert shlex.split(ran.err.replace('"..."', "'vu avec la DRH'"))[-len(apply) :] == apply


def test_a_name_that_was_typed_is_not_to_be_corrected_by_hr(school: Academy) -> None:
    words = ("account", "rename", CALLER, "--until", "2026-12-31", "--reason", "mariage", "--usage-name")
    for name, problem in (("?", "has a question mark"), ("x", "is a placeholder"), ("M2", "a digit")):
        ran = school.run(*words, name, "--as-of", DAY)
        assert (ran.code, problem in ran.err, CALLER in ran.err) == (1, True, True), ran.err
        assert "HR" not in ran.err
