"""The code blocks of the documents, which tests run on a host."""

from __future__ import annotations

import re
from pathlib import Path

TOP = Path(__file__).parents[2]


def blocks(page: str, section: str = "") -> list[str]:
    """The commands of a page, block after block, or those that come after the heading of a section."""
    text = (TOP / "docs" / page).read_text(encoding="utf-8").partition(f"{section}\n")[2]
    fenced = re.findall(r"```(\w*)\n(.*?) *```", text, re.DOTALL)
    return [re.sub(r"(?m)^   ", "", block) for language, block in fenced if not language]


def block(page: str, beginning: str, **edited: str) -> str:
    """The one block that begins so, with the words in it that a reader replaces."""
    [found] = [block for block in blocks(page) if block.startswith(beginning)]
    for word, written in edited.items():
        assert word in found
        found = found.replace(word, written)
    return found
