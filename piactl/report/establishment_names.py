"""Names of establishments in texts for people."""

from __future__ import annotations

import re

from piactl.core.model.establishment import Register
from piactl.report.escaping import shown
from piactl.translation import translate

_UAI = re.compile(r"(?<![\w:./=-])(?<!--uai )[0-9]{7}[A-Z](?![\w-])(?!\.\w)")
"""A UAI as a word, but not in a command, a right or a file name, which may be copied."""


def with_names(text: str, register: Register) -> str:
    """The text in the language of people, with the name of each establishment behind the first mention of its
    UAI."""
    mentioned: set[str] = set()

    def name(match: re.Match[str]) -> str:
        uai = match[0]
        establishment = register.get(uai)
        if uai in mentioned or establishment is None or not establishment.name:
            return uai
        mentioned.add(uai)
        return f"{uai} ({shown(establishment.name)})"

    return _UAI.sub(name, translate(text))


def legend(text: str, register: Register) -> str:
    """One line for each establishment in a text whose lines have a fixed width."""
    uais = dict.fromkeys(_UAI.findall(text))
    names = {uai: register[uai].name for uai in uais if uai in register and register[uai].name}
    return "".join(f"{uai}  {shown(name)}\n" for uai, name in names.items())
