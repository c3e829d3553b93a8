"""A new telephone is enrolled while its owner is on the telephone: the operator reads out a key."""

from __future__ import annotations

import re

import pytest

from tests.cli.terminal import at_terminal

from .academy import Academy, prepared
from .phones import Phone, verified
from .test_logins import day, post

CLAIRE, NUMEN, OTHER = "claire.dubreuil", "01E9501234ABC", "01E9501234XYZ"
OWN = "quatre chats gris et lents"
KEY = re.compile(r": ((?:[A-Z2-7]{4} ){7}[A-Z2-7]{4})$", re.MULTILINE)


@prepared
def claire(academy: Academy) -> Academy:
    academy.night(day(0).isoformat(), academy.feed(post(-100, numen=NUMEN), day=day(0).isoformat()))
    academy.change(CLAIRE, userPassword=[OWN])
    return academy


def read_out(academy: Academy, **environment: str) -> Phone:
    """The telephone into which the person typed what was read out: the key, with blanks or without."""
    code, screen = at_terminal(
        academy, "otp", "enroll", CLAIRE, "--yes", columns=120, TERM="xterm", **environment
    )
    assert code == 0, screen
    [key] = KEY.findall(screen)
    assert screen.splitlines().index(next(line for line in screen.splitlines() if key in line)) > 20
    return Phone(key.replace(" ", ""))


def accepts(academy: Academy, words: str) -> bool:
    return academy.sandbox.accepts(academy.dn(CLAIRE), words)


@pytest.mark.parametrize(("language", "numen"), [("C.UTF-8", "The NUMEN"), ("fr_FR.UTF-8", "Le NUMEN")])
def test_the_key_that_is_read_out_is_worth_nothing_without_the_proof(
    claire: Academy, language: str, numen: str
) -> None:
    phone = read_out(claire, LC_ALL=language)
    assert accepts(claire, OWN), "until it is verified nothing has changed"
    assert not accepts(claire, OWN + phone.code())
    french = language.startswith("fr")
    labels = ("Code de" if french else "Code of", "[o/N]" if french else "[y/N]")
    verify = ("otp", "verify", CLAIRE)
    answers = {numen: OTHER}
    code, screen = at_terminal(claire, *verify, answers=answers, LC_ALL=language)
    assert code == 1, screen
    answers = {numen: NUMEN, labels[0]: phone.code(), labels[1]: "o"}
    code, screen = at_terminal(claire, *verify, answers=answers, LC_ALL=language)
    assert code == 0, screen
    assert "Claire Dubreuil" in screen
    assert not accepts(claire, OWN)
    assert accepts(claire, OWN + phone.code())


def test_a_lost_telephone_stays_out_whatever_was_read_out(claire: Academy) -> None:
    """The next key replaces one that was never verified, as after a call that broke off."""
    lost = verified(claire, CLAIRE)
    assert claire.run("otp", "suspend", CLAIRE, "--reason", "perdu dans le train").code == 0
    first = read_out(claire)
    second = read_out(claire)
    verify = ("otp", "verify", CLAIRE, "--proof-file", "-")
    assert claire.run(*verify, stdin=f"{NUMEN}\n{first.code()}\n").code == 1
    assert not accepts(claire, OWN + lost.code())
    assert not accepts(claire, OWN + first.code())
    assert claire.run(*verify, stdin=f"{NUMEN}\n{second.code()}\n").code == 0
    assert accepts(claire, OWN + second.code())
    assert not accepts(claire, OWN + lost.code())
