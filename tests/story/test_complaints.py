"""The complaints that support hears: each is reproduced with real log ins and answered by one command, whose
advice then solves it."""

from __future__ import annotations

import csv
import re
import shlex
import time
from typing import Any

import ldap3

from .academy import Academy, prepared
from .feeds import MICHELIS
from .phones import KNOWN, Phone, verified
from .test_logins import day, post

CLAIRE = "claire.dubreuil"
NUMEN = "01E9501234ABC"
OWN = "quatre chats gris et lents"
NEW = "trois poules rousses et vives"


@prepared
def claire(academy: Academy) -> Academy:
    """Claire, who has had her post for a long time and chose a password herself."""
    apply_rows(academy, post(-100, numen=NUMEN))
    chosen(academy, OWN)
    return academy


def apply_rows(academy: Academy, *rows: str, before: int = 0) -> None:
    academy.night(day(-before).isoformat(), academy.feed(*rows, day=day(-before).isoformat()))


def chosen(academy: Academy, password: str) -> None:
    academy.change(CLAIRE, userPassword=[password])
    with academy.sandbox.bind(academy.dn(CLAIRE), password) as connection:
        connection.modify(academy.dn(CLAIRE), {"userPassword": [(ldap3.MODIFY_REPLACE, [password])]})


def lets_in(academy: Academy, password: str) -> bool:
    return academy.sandbox.accepts(academy.dn(CLAIRE), password)


def answer(academy: Academy, subject: str) -> Any:
    """What `why` says as data; its text for people must contain the same."""
    [explanation] = academy.run("why", CLAIRE, subject, "-o", "json").json["answers"]
    words = academy.run("why", CLAIRE, subject).out
    words = re.sub(r"([0-9]{7}[A-Z]) \([^)]*\)", r"\1", words)  # the name of an establishment
    for cause in explanation["causes"]:
        assert cause["text"] in " ".join(words.split()), (cause, words)
    return explanation


def cause_of(academy: Academy, kind: str) -> Any:
    causes = [cause for cause in answer(academy, "login")["causes"] if cause["kind"] == kind]
    assert len(causes) == 1, causes
    return causes[0]


def followed(academy: Academy, command: str, *options: str, stdin: str = "") -> None:
    """Runs the advice word for word, with what only the caller knows."""
    words = shlex.split(command.replace('"..."', '"appel au support"'))
    assert words[0] == "piactl"
    ran = academy.run(*words[1:], *options, stdin=stdin)
    assert ran.code == 0, ran


def test_why_leads_from_a_forgotten_password_to_a_new_one(claire: Academy) -> None:
    for attempt in ("Quatre chats gris", "quatre chats noirs"):
        assert not lets_in(claire, attempt)
    cause = cause_of(claire, "wrong-tries")
    assert "the password was wrong at the last 2 tries" in cause["text"]
    file = claire.folder / "code.csv"
    followed(claire, cause["command"], "--numen-file", "-", "--out", str(file), stdin=f"{NUMEN}\n")
    with file.open(encoding="utf-8", newline="") as rows:
        [row] = csv.DictReader(rows)
    with claire.sandbox.bind(claire.dn(CLAIRE), row["activation_password"]) as connection:
        connection.modify(claire.dn(CLAIRE), {"userPassword": [(ldap3.MODIFY_REPLACE, [NEW])]})
    assert lets_in(claire, NEW)
    assert not lets_in(claire, OWN)
    time.sleep(2.05)  # until the next night a wrong password delays the next log in
    assert lets_in(claire, NEW), "who logs in well has no wrong tries any more"
    explanation = answer(claire, "login")
    assert explanation["yes"]
    assert {cause["kind"] for cause in explanation["causes"]} == {"device-none"}


def test_why_finds_a_telephone_whose_clock_jumped(claire: Academy) -> None:
    """The clock of a telephone jumped by four minutes: the server cannot know, but wrong tries show it."""
    phone = verified(claire, CLAIRE)
    assert lets_in(claire, OWN + phone.code())
    phone.ahead = 240
    assert not lets_in(claire, OWN + phone.code())
    assert not lets_in(claire, OWN + phone.code())
    assert "the password or the code was wrong at the last 2 tries" in cause_of(claire, "wrong-tries")["text"]
    cause = cause_of(claire, "device-drift")
    followed(claire, cause["command"], stdin=f"{phone.code()}\n{phone.code()}\n")
    assert lets_in(claire, OWN + phone.code())
    causes = {cause["kind"]: cause for cause in answer(claire, "login")["causes"]}
    assert set(causes) == {"device-drift"}, "no wrong tries since"
    assert "ahead at its last good code, and is allowed to be" in causes["device-drift"]["text"]


def test_why_leads_from_a_lost_telephone_to_a_new_device(claire: Academy) -> None:
    phone = verified(claire, CLAIRE)
    assert claire.run("otp", "suspend", CLAIRE, "--reason", "perdu").code == 0
    assert not lets_in(claire, OWN + phone.code())
    cause = cause_of(claire, "device-lost")
    assert cause["effect"] == "refused"
    file = claire.folder / "uri"
    followed(claire, cause["command"], "--uri-file", str(file))
    new = Phone(file.read_text().partition("secret=")[2].partition("&")[0])
    assert claire.run("otp", "verify", CLAIRE, *KNOWN, stdin=f"{new.code()}\n").code == 0
    assert lets_in(claire, OWN + new.code())


def test_why_explains_a_service_that_is_delayed_after_a_move(academy: Academy) -> None:
    """After a gap nothing bridges the delay of a mutation: until when, by which line, and what helps now."""
    old, new = post(-300, -10), post(-1, uai=MICHELIS)
    apply_rows(academy, old, new, before=1)
    apply_rows(academy, old, new)
    explanation = answer(academy, "iprof")
    assert not explanation["yes"]
    assert explanation["until"] == day(0).isoformat()
    assert "mutation_delay" in academy.run("why", CLAIRE, "iprof").out
    lines = (academy.sandbox.folder / "policy.yaml").read_text(encoding="utf-8").splitlines()
    assert any("iprof:" in lines[rule["line"] - 1] for rule in explanation["rules"])
    delayed = cause_of(academy, "delay")
    assert "I-Prof begins on" in delayed["text"]
    followed(academy, delayed["command"])
    assert answer(academy, "iprof")["yes"]
    assert "urn:mace:ac-amiens.fr:service:iprof" in academy.values(CLAIRE, "eduPersonEntitlement")


def test_why_leads_from_a_blocked_account_to_the_unblocking(claire: Academy) -> None:
    for _ in range(5):
        assert not lets_in(claire, "nothing like it")
    assert not lets_in(claire, OWN)
    explanation = answer(claire, "login")
    assert not explanation["yes"]
    assert explanation["causes"][0]["kind"] == "blocked"
    followed(claire, explanation["causes"][0]["command"])
    assert lets_in(claire, OWN), "the same password as before"
    assert answer(claire, "login")["yes"]


def test_why_explains_log_in_during_the_grace(academy: Academy) -> None:
    """In grace this is intended, and `why` says until which day; an administrator can end it at once."""
    apply_rows(academy, post(-100, -10), before=40)
    apply_rows(academy, post(-100, -10))
    chosen(academy, OWN)
    explanation = answer(academy, "login")
    assert explanation["yes"]
    assert explanation["until"] == day(20).isoformat()
    assert explanation["causes"][0]["kind"] == "grace"
    followed(academy, f'piactl account lock {CLAIRE} --reason "..."')
    assert not lets_in(academy, OWN)
    assert not answer(academy, "login")["yes"]


def test_why_finds_an_end_that_another_program_moved(academy: Academy) -> None:
    """Another program opened the entry for longer than the rules allow, and no night was run since."""
    apply_rows(academy, post(-100, -40), before=60)
    academy.change(CLAIRE, pwdEndTime=["20991231230000Z"])
    chosen(academy, OWN)
    assert lets_in(academy, OWN)
    cause = cause_of(academy, "entry")
    assert cause["effect"] == "let in"
    followed(academy, cause["command"])
    assert not lets_in(academy, OWN)
    assert cause_of(academy, "closed")["effect"] == "refused"
