"""The default password policy is missing: nothing is written except what takes access away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest

from tests.outside import POLICIES

from .academy import Academy, prepared
from .phones import verified
from .test_logins import PASSWORD, day, post

CLAIRE, IDA, LEA = "claire.dubreuil", "ida.roy", "lea.faure"
NUMEN = "01E9501234ABC"
DEFAULT = f"cn=default,{POLICIES}"
WHY = ("--reason", "asked for on the telephone")
NEXT_YEAR = ("--until", day(300).isoformat())
POST = ("--uai", "0800009A", "--function", "ENS")

REFUSED: dict[str, tuple[str, ...]] = {
    "a night": ("nightly",),
    "a night with a feed": ("nightly", "FEED"),
    "apply": ("apply", "PLAN"),
    "undo": ("undo", "last", *WHY),
    "create": ("account", "create", "--family-name", "Dupont", "--given-name", "Zoe", *POST, "--until",
               day(90).isoformat(), "--sponsor", IDA, *WHY),
    "unlock": ("account", "unlock", LEA, *WHY),
    "reopen": ("account", "reopen", IDA, *NEXT_YEAR, *WHY),
    "rename": ("account", "rename", CLAIRE, "--usage-name", "Garnier", *NEXT_YEAR, *WHY),
    "a new assignment": ("assignment", "add", CLAIRE, *POST, "--until", day(90).isoformat(), *WHY),
    "an exception": ("exception", "grant", CLAIRE, "--service", "siecle", "--uai", "0800009A", "--until",
                     day(90).isoformat(), *WHY),
    "a code of the administrator": ("password", "reset", IDA, "--without-check", "--out", "CODES", *WHY),
    "a code after a check": ("password", "reset", CLAIRE, "--numen-file", "-", "--out", "CODES"),
    "unblock": ("password", "unblock", CLAIRE),
    "verify": ("otp", "verify", CLAIRE, "--proof-file", "-"),
    "enroll": ("otp", "enroll", CLAIRE, "--uri-file", "CODES"),
    "a new key": ("key", "add", *WHY),
}  # fmt: skip
"""Commands that refuse although there is something to do."""
BEFORE: dict[str, tuple[str, ...]] = {
    "apply": ("plan", "FEED", "--out", "PLAN"),
    "reopen": ("account", "close", IDA, *NEXT_YEAR, *WHY),
    "verify": ("otp", "enroll", CLAIRE, "--uri-file", "URI"),
}


@prepared
def staff(academy: Academy) -> Academy:
    """Claire and Ida, who are active, and Léa, who is locked."""
    today = day(0).isoformat()
    rows = (
        post(-100, numen=NUMEN),
        post(-100, matricule="1999", nom_famille="Roy", prenom="Ida"),
        post(-100, matricule="1888", nom_famille="Faure", prenom="Léa"),
    )
    academy.night(today, academy.feed(*rows, day=today))
    for uid in (CLAIRE, IDA, LEA):
        academy.change(uid, userPassword=[PASSWORD])
    assert academy.run("account", "lock", LEA, *WHY).code == 0
    return academy


def without_policy(academy: Academy) -> None:
    with academy.sandbox.root() as root:
        root.delete(DEFAULT)


def lets_in(academy: Academy, uid: str) -> bool:
    return academy.sandbox.accepts(academy.dn(uid), PASSWORD)


@contextmanager
def nothing_at_all_written(academy: Academy) -> Iterator[None]:
    """Inside, nothing may be written to the directory, including piactl's own records, or to the journal."""

    def everything() -> Any:
        journal = (academy.sandbox.folder / "journal" / "piactl.jsonl").read_bytes()
        keys = (academy.sandbox.folder / "secrets" / "keys").read_bytes()
        entries = academy.sandbox.entries("o=gouv,c=fr")
        return journal, keys, {dn: entry["entryCSN"] for dn, entry in entries.items()}

    before = everything()
    yield
    assert everything() == before


def test_without_the_policy_slapd_accepts_an_account_past_its_end(staff: Academy) -> None:
    """This is the reason for refusing. A lock still counts, by its link to no device."""
    staff.change(IDA, pwdEndTime=["20260101000000Z"])
    assert not lets_in(staff, IDA)
    without_policy(staff)
    assert lets_in(staff, IDA)
    assert not lets_in(staff, LEA)


@pytest.mark.parametrize("name", REFUSED)
def test_nothing_is_written_without_the_default_policy(staff: Academy, name: str) -> None:
    today = day(0).isoformat()
    news = staff.feed(post(-100), post(-2, matricule="1777", nom_famille="Neuf", prenom="Anne"), day=today)
    files = {"PLAN": "plan.json", "CODES": "codes", "URI": "uri"}
    places = {"FEED": str(news), **{word: str(staff.folder / file) for word, file in files.items()}}
    if name in BEFORE:
        ran = staff.run(*[places.get(word, word) for word in BEFORE[name]])
        assert ran.code == 0, ran.err
    for _ in range(5):
        assert not staff.sandbox.accepts(staff.dn(CLAIRE), "not it at all")
    words = [places.get(word, word) for word in REFUSED[name]]
    without_policy(staff)
    stdin = NUMEN if name == "a code after a check" else f"{NUMEN}\n123456\n"
    with nothing_at_all_written(staff):
        ran = staff.run(*words, stdin=stdin)
    assert ran.code == 10, ran.err
    first, second = ran.err.removesuffix("\n").split("\n")
    assert f"{DEFAULT} (password.policy) is missing" in first
    assert "slapd/tree.ldif.in" in second
    assert "docs/upgrade-directory.md" in second
    assert not (staff.folder / "codes").exists()
    put_back(staff)
    if name == "verify":
        return  # the code that it gives is wrong
    ran = staff.run(*words, stdin=stdin)
    assert ran.code == 0, ran.err


def put_back(academy: Academy) -> None:
    values = {
        "objectClass": ["applicationProcess", "pwdPolicy"],
        "pwdAttribute": "userPassword",
        "pwdLockout": "TRUE",
        "pwdMustChange": "TRUE",
        "pwdMinLength": "12",
    }
    academy.sandbox.add(DEFAULT, values)


@pytest.mark.parametrize("act", ["lock", "close"])
def test_an_account_can_be_locked_or_closed_without_the_policy(staff: Academy, act: str) -> None:
    without_policy(staff)
    until = NEXT_YEAR if act == "close" else ()
    ran = staff.run("account", act, CLAIRE, *until, *WHY)
    assert ran.code == 0, ran.err
    assert f"warning: {DEFAULT} (password.policy) is missing" in ran.err
    assert "docs/upgrade-directory.md" in ran.err
    assert CLAIRE in ran.out
    ends = datetime.strptime(staff.values(CLAIRE, "pwdEndTime")[0], "%Y%m%d%H%M%SZ")
    assert ends.date() <= day(0)
    put_back(staff)
    assert not lets_in(staff, CLAIRE)
    assert staff.run("journal", "verify").code == 0


def test_a_device_can_be_suspended_without_the_policy(staff: Academy) -> None:
    phone = verified(staff, CLAIRE)
    without_policy(staff)
    ran = staff.run("otp", "suspend", CLAIRE, *WHY)
    assert (ran.code, "warning: " in ran.err) == (0, True), ran.err
    assert not staff.sandbox.accepts(staff.dn(CLAIRE), PASSWORD + phone.code())


def test_what_only_reads_goes_on(staff: Academy) -> None:
    today = day(0).isoformat()
    without_policy(staff)
    for words in (
        ("plan",),
        ("account", "show", CLAIRE),
        ("why", CLAIRE),
        ("runs", "list"),
        ("journal", "verify"),
        ("account", "lock", CLAIRE, "--dry-run", *WHY),
    ):
        ran = staff.run(*words)
        assert ran.code == 0, (words, ran.err)
    checks = {finding["id"]: finding for finding in staff.run("doctor", "-o", "json").json}
    assert checks["D17"]["result"] == "error"
    put_back(staff)
    staff.quiet_night(today)


def test_without_the_setting_nothing_is_required(staff: Academy) -> None:
    staff.edit("piactl.yaml", f"  policy: {DEFAULT}\n", "")
    without_policy(staff)
    assert staff.run("nightly").code == 0
