"""The rules of sudo on this host."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from piactl.host.caller import user_name
from piactl.phrase import Phrase

SUDOERS = Path("/etc/sudoers")


@dataclass(frozen=True, slots=True)
class SudoRules:
    """The rules of sudo, as cvtsudoers prints them. `why` is why there are none to compare, "" if there are;
    `invalid`: sudo itself does not accept them."""

    why: str = ""
    invalid: bool = False
    rules: Mapping[str, Any] | None = None


@cache
def read_sudo_rules(sudoers: Path) -> SudoRules:
    """The rules of this host, as root reads them; asked for before root becomes the user of piactl."""
    checker, reader = shutil.which("visudo"), shutil.which("cvtsudoers")
    if os.geteuid() != 0:
        return SudoRules(Phrase("only root can read the rules of sudo; run piactl doctor as root too"))
    if checker is None or reader is None or not sudoers.exists():
        return SudoRules(Phrase("sudo is not installed here"))
    if _output([checker, "-c", "-f", str(sudoers)]) is None:
        return SudoRules(invalid=True)
    return SudoRules(rules=json.loads(_output([reader, "-e", "-f", "json", str(sudoers)]) or "{}"))


def _output(command: list[str]) -> str | None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return done.stdout if done.returncode == 0 else None


def too_wide(rules: Mapping[str, Any], program: str, user: str) -> list[str]:
    """The rules that let somebody run anything but the program as this user, or set variables for it, such as
    LD_PRELOAD, which runs code of theirs beside the passwords."""
    wide: list[str] = []
    if _sets_variables(rules.get("Defaults", [])):
        wide.append(Phrase("`Defaults setenv` lets people set LD_PRELOAD, and so read the passwords"))
    for rule in rules.get("User_Specs", []):
        people = ", ".join(str(next(iter(some.values()))) for some in rule.get("User_List", []))
        for part in rule.get("Cmnd_Specs", []):
            if not _is_for(part.get("runasusers", []), user):
                continue
            for command in part.get("Commands", []):
                words = str(command.get("command", "")).split()
                if words[:1] != [program] and not command.get("negated"):
                    wide.append(
                        Phrase(
                            "{people} may run {command} as {user}",
                            people=people,
                            command=" ".join(words),
                            user=user,
                        )
                    )
            if _sets_variables([part]):
                wide.append(
                    Phrase(
                        "{people} may set LD_PRELOAD, and so read the passwords of {user}",
                        people=people,
                        user=user,
                    )
                )
    return wide


def _is_for(users: Sequence[Mapping[str, Any]], user: str) -> bool:
    """Whether a rule is for the user; one for all users is for root, too, who has everything."""
    names = {str(one.get("username", "")) for one in users if not one.get("negated")}
    numbers = {user_name(one["userid"]) for one in users if "userid" in one}
    all_but_root = "ALL" in names and any(one.get("negated") for one in users)
    return user in names | numbers or all_but_root


def _sets_variables(parts: Iterable[Mapping[str, Any]]) -> bool:
    return any(option.get("setenv") is True for part in parts for option in part.get("Options", []))
