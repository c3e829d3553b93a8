"""A telephone with an authenticator, and devices that people get by commands."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pyotp

from .academy import Academy, Ran

KNOWN = ("--administrator", "--reason", "known in person")
"""An administrator replaces or removes a device without a proof."""


@dataclass
class Phone:
    """Shows each code once, first the current one. `ahead` is by how many seconds its clock is fast."""

    secret: str
    ahead: int = 0
    shown: int = 0

    def code(self) -> str:
        self.shown = max(self.shown + 1, self.step)
        return self.at(self.shown)

    @property
    def step(self) -> int:
        return (int(time.time()) + self.ahead) // 30

    def at(self, step: int) -> str:
        return pyotp.TOTP(self.secret).generate_otp(step)


def enrolled(academy: Academy, uid: str, *options: str, ahead: int = 0) -> Phone:
    """The telephone of a new device that is not verified yet."""
    file = academy.folder / f"{uid}-{academy.feeds}-{time.monotonic_ns()}.uri"
    ran = academy.run("otp", "enroll", uid, "--uri-file", file, *options)
    assert ran.code == 0, ran.err
    return Phone(secret_in(file), ahead)


def secret_in(file: Path) -> str:
    [secret] = parse_qs(urlsplit(file.read_text().strip()).query)["secret"]
    return secret


def verified(academy: Academy, uid: str, *options: str, ahead: int = 0) -> Phone:
    """The telephone of a device in force, by default by the administrator."""
    phone = enrolled(academy, uid, *options, ahead=ahead)
    ran = verify(academy, uid, phone.code(), *(options or KNOWN))
    assert ran.code == 0, ran.err
    return phone


def verify(academy: Academy, uid: str, code: str, *options: str) -> Ran:
    return academy.run("otp", "verify", uid, *options, stdin=code + "\n")


def resync(academy: Academy, uid: str, phone: Phone) -> Ran:
    return academy.run("otp", "resync", uid, stdin=f"{phone.code()}\n{phone.code()}\n")
