"""Sets of national feeds with random faults: each set is read, or refused with a documented code."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from piactl.core.model.settings import SourceSettings
from piactl.errors import FeedRefused
from piactl.feed.error_codes import REFUSALS, REJECTIONS
from piactl.feed.formats.all_formats import set_to_keep
from piactl.feed.formats.kept_sets import keep_set
from piactl.feed.read_feed import read_feed
from tests.aaf_sets import (
    Agent,
    deletion,
    delta,
    files,
    first_degree,
    folder,
    gpei,
    individual,
    modification,
    person,
    sts,
    tarred,
    zipped,
)

AGENTS = [
    Agent("500", ("4077$ENS$ENSEIGNANT$L0202$X", "4078$ENS$E$L0202", "4077$-$SANS OBJET", "4077$DOC")),
    Agent("501", ("4079$EDU$EDUCATION$E0030$CPE",), sn="NOËL", birth_name="LEFÈVRE", given="Zoé"),
    Agent("502", ()),
]
SET = files(AGENTS, pieces=2)
CHANGES = [
    modification("500", sn="AUBRY", ENTPersonFonctions=["4079$ENS$E$L0202", ""]),
    deletion("501"),
    person(Agent("503", sn="GRÉVIN", given="Léo")),
    modification("900", sn="X"),
]
LOCAL = individual("L1", "local", PRENOM="Ida", DATE_NAISSANCE="")
FOUND: Mapping[str, tuple[str, str, Mapping[str, bytes]]] = {
    "aaf": ("aaf", "ENT2DVA_Complet_20260901", SET),
    "delta": ("aaf", "ENT2DVA_Delta_20260902", delta(CHANGES, "20260902")),
    "aaf1d": ("aaf1d", "ENT1D_Complet_20260901", first_degree(files(AGENTS, name="ENT1D"))),
    "gpei": ("gpei", "CLG80_GPEI_Complet_20260901", gpei(files(AGENTS, name="CLG80_GPEI"))),
    "sts": ("sts", "sts_emp_0800009A_2026", sts(individual("7001"), LOCAL, individual("7002", PRENOM="Léo"))),
}
"""Format, name and files of an undamaged set."""


def damaged(contents: Mapping[str, bytes], stem: str, chance: random.Random, folder_: Path) -> Path:
    """Writes a set with one to three faults, as a folder or as an archive that may be damaged itself."""
    broken = dict(contents)
    for _ in range(chance.randint(1, 3)):
        name = chance.choice([*broken])
        content = bytearray(broken[name])
        place = chance.randrange(len(content) + 1)
        match chance.randrange(6):
            case 0:
                del content[place:]
            case 1:
                content[place:place] = bytes(chance.randrange(256) for _ in range(chance.randint(1, 8)))
            case 2:
                del content[place : place + chance.randint(1, 200)]
            case 3:
                content[place:place] = content[place : place + chance.randint(1, 400)]
            case 4:
                words = (b"$", b"&x;", b"<!--", b"]]>", b"<value>", b"\0", b"X", b"addRequest", b'"')
                content[place:place] = chance.choice(words)
            case _:
                broken.pop(name)
                name = chance.choice([name.replace("0000", "0007"), name.replace("2026", "2036"), "x", name])
        broken[name] = bytes(content)
    path = folder_ / f"{stem}{chance.choice(['', '.zip', '.tgz'])}"
    if not path.suffix:
        return folder(path, broken)
    write = zipped if path.suffix == ".zip" else tarred
    content = bytearray(write(path, broken).read_bytes())
    if chance.random() < 0.5:
        place = chance.randrange(len(content))
        content[place : place + 4] = bytes(chance.randrange(256) for _ in range(chance.randint(0, 4)))
        path.write_bytes(content)
    return path


def outcome(path: Path, source: SourceSettings) -> tuple[set[str], Mapping[str, object]]:
    """The codes of a set, and the table that must contain them."""
    try:
        feed = read_feed(path, source)
    except FeedRefused as error:
        return {code for code, _ in error.refusals}, REFUSALS
    return {rejection.code for rejection in feed.rejections}, REJECTIONS


@pytest.mark.parametrize("kind", [*FOUND])
@pytest.mark.parametrize(("first", "count"), [(0, 40), pytest.param(1_000, 2_500, marks=pytest.mark.long)])
def test_a_damaged_set_is_read_or_refused_with_a_documented_code(tmp_path, kind, first, count):
    form, stem, contents = FOUND[kind]
    source = SourceSettings("set", format=form, drop_functions=("-",), state_folder=str(tmp_path))
    tmp_path.chmod(0o700)
    if kind == "delta":
        complete = zipped(tmp_path / "ENT2DVA_Complet_20260901.zip", SET)
        read_feed(complete, source)
        kept_set = set_to_keep(complete, source)
        assert kept_set is not None
        keep_set(tmp_path, kept_set)
    (tmp_path / "whole").mkdir()
    assert outcome(zipped(tmp_path / "whole" / f"{stem}.zip", contents), source) == (set(), REJECTIONS)
    refused = 0
    for seed in range(first, first + count):
        own = tmp_path / str(seed)
        own.mkdir()
        path = damaged(contents, stem, random.Random(seed), own)
        # its own source name, so that no set builds on a damaged one
        codes, why = outcome(path, replace(source, name=f"set{seed}") if kind != "delta" else source)
        assert codes <= why.keys(), f"seed {seed}"
        refused += why is REFUSALS
    assert refused > count // 4
