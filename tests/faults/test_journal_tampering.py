"""Tampering with the journal: what is found, where, and what cannot be found without an anchor."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from piactl.core.journal_line import Head, sealed
from piactl.errors import JournalUnusable
from piactl.journal import Settlement, verify

from .journals import digest, intend, journal_path, make_journal

__all__ = ["digest", "intend", "journal_path", "make_journal"]  # fixtures

SEED = 20270901


@dataclass
class Whole:
    """An intact journal of three runs; `anchors` are the heads stored elsewhere."""

    path: Path
    lines: list[bytes]
    anchors: dict[str, Head]
    head: Head

    def found(self, lines: list[bytes], *, anchored: bool):
        self.path.write_bytes(b"".join(lines))
        if anchored:
            return verify(str(self.path), {**self.anchors, "the last": self.head})
        return verify(str(self.path))


@pytest.fixture
def whole(make_journal, intend, journal_path) -> Whole:
    """An intact journal without its .head file: the attacker removed it."""
    anchors = {}
    for run in ("one", "two", "three"):
        with make_journal(run) as journal:
            for batch in range(4):
                numbers = journal.intents([intend(f"{run}.{batch}{i}") for i in range(3)])
                journal.outcomes([Settlement(number, "applied") for number in numbers])
            anchors[run] = journal.end({"applied": 12})
    Path(journal_path + ".head").unlink()
    path = Path(journal_path)
    return Whole(path, path.read_bytes().splitlines(keepends=True), anchors, anchors["three"])


def body(line: bytes) -> dict:
    return {k: v for k, v in json.loads(line).items() if k not in ("seq", "prev", "hash")}


def before(lines: list[bytes], index: int) -> Head:
    if index == 0:
        return Head(0, "0" * 64)
    last = json.loads(lines[index - 1])
    return Head(last["seq"], last["hash"])


def forged(lines: list[bytes], index: int) -> bytes:
    """The line at `index` with other content and a matching hash."""
    return sealed({**body(lines[index]), "run": "forged"}, before(lines, index))[0]


def rechained(lines: list[bytes], index: int) -> list[bytes]:
    """All hashes from `index` on, computed anew as a skilled attacker would do."""
    result, after = lines[:index], before(lines, index)
    for line in lines[index:]:
        sealed_line, after = sealed(body(line), after)
        result.append(sealed_line)
    return result


Tampering = tuple[list[bytes], int]


def flip(lines: list[bytes], chance: random.Random) -> Tampering:
    index = chance.randrange(len(lines))
    line = bytearray(lines[index])
    line[chance.randrange(len(line))] ^= chance.randrange(1, 256)
    return [*lines[:index], bytes(line), *lines[index + 1 :]], index


def delete(lines: list[bytes], chance: random.Random) -> Tampering:
    index = chance.randrange(len(lines))
    count = chance.choice((1, 1, 2, 5))
    return lines[:index] + lines[index + count :], index


def insert(lines: list[bytes], chance: random.Random) -> Tampering:
    index = chance.randrange(len(lines))
    return [
        *lines[:index],
        chance.choice((lines[index], chance.choice(lines), forged(lines, index))),
        *lines[index:],
    ], index


def reorder(lines: list[bytes], chance: random.Random) -> Tampering:
    first, second = sorted(chance.sample(range(len(lines)), 2))
    moved = list(lines)
    moved[first], moved[second] = moved[second], moved[first]
    return moved, first


def cut(lines: list[bytes], chance: random.Random) -> Tampering:
    text = b"".join(lines)
    remaining = text[: chance.randrange(len(text))].splitlines(keepends=True)
    return remaining, len(remaining) - (1 if remaining and not remaining[-1].endswith(b"\n") else 0)


def replace(lines: list[bytes], chance: random.Random) -> Tampering:
    index = chance.randrange(len(lines))
    return [*lines[:index], forged(lines, index), *lines[index + 1 :]], index


def splice(lines: list[bytes], chance: random.Random) -> Tampering:
    """Alters, removes or adds a line, and makes the whole rest of the chain match."""
    index = chance.randrange(len(lines))
    kind = chance.randrange(3)
    changed = lines[:index] + [forged(lines, index), forged(lines, index)][:kind] + lines[index + 1 :]
    return rechained(changed, index), index


TAMPERINGS: list[Callable[[list[bytes], random.Random], Tampering]]
TAMPERINGS = [flip, delete, insert, reorder, cut, replace, splice]


def every_tampering_is_found(whole: Whole, rounds: int) -> None:
    chance = random.Random(SEED)
    counts = dict.fromkeys((t.__name__ for t in TAMPERINGS), 0)
    for number in range(rounds):
        tampering = TAMPERINGS[number % len(TAMPERINGS)]
        lines, index = tampering(whole.lines, chance)
        if lines == whole.lines:
            lines, index = delete(whole.lines, chance)
        proof = whole.found(lines, anchored=True)
        context = f"seed {SEED}, round {number}, {tampering.__name__} at line {index + 1}: {proof}"
        assert proof.problem is not None, context
        if tampering is splice:
            assert proof.problem.line >= index + 1, context
        else:
            assert proof.problem.line in (index + 1, index + 2), context
        counts[tampering.__name__] += 1
    print(f"seed {SEED}: {sum(counts.values())} of {rounds} found: {counts}")
    assert sum(counts.values()) == rounds
    assert whole.found(whole.lines, anchored=True).ok, "the control: untouched, it is whole"


def test_every_tampering_is_found_with_anchors(whole):
    every_tampering_is_found(whole, 200)


@pytest.mark.long
def test_every_one_of_ten_thousand_tamperings_is_found_with_anchors(whole):
    every_tampering_is_found(whole, 10_000)


def test_a_change_of_any_byte_of_a_line_is_found(whole):
    """Each byte of a line in the middle is changed in turn: that line is named, with anchors or without."""
    index = len(whole.lines) // 2
    for place in range(len(whole.lines[index])):
        line = bytearray(whole.lines[index])
        line[place] ^= 1
        proof = whole.found([*whole.lines[:index], bytes(line), *whole.lines[index + 1 :]], anchored=False)
        assert proof.problem is not None, place
        assert proof.problem.line == index + 1, place


def test_changes_in_the_middle_are_found_without_anchors(whole):
    """Every change in the middle is found, unless all hashes to the end are computed anew."""
    chance = random.Random(SEED)
    for tampering in (flip, delete, insert, reorder, replace):
        for _ in range(30):
            lines, index = tampering(whole.lines[:-8], chance)
            lines += whole.lines[-8:]
            if lines != whole.lines:
                assert not whole.found(lines, anchored=False).ok, (tampering.__name__, index)


def test_a_cut_end_and_a_remade_chain_are_found_only_with_anchors(whole):
    """If the end is cut at a line, or the chain made anew to its end, the file alone looks intact. So heads
    are stored elsewhere, and with them both are found."""
    ended = whole.lines[:-5]
    assert whole.found(ended, anchored=False).ok
    assert not whole.found(ended, anchored=True).ok
    remade = rechained([*whole.lines[:10], forged(whole.lines, 10), *whole.lines[11:]], 10)
    assert whole.found(remade, anchored=False).ok
    proof = whole.found(remade, anchored=True)
    assert "is not the one that one anchors" in str(proof.problem)
    assert whole.found([], anchored=False).ok
    assert not whole.found([], anchored=True).ok


def test_a_line_remade_after_the_last_anchor_is_not_found(whole):
    """A line after the last anchor can be remade."""
    whole.anchors.pop("three")
    whole.head = whole.anchors["two"]
    index = whole.anchors["two"].seq + 3
    remade = rechained([*whole.lines[:index], forged(whole.lines, index), *whole.lines[index + 1 :]], index)
    assert whole.found(remade, anchored=True).ok


def test_only_the_newest_lines_are_verified_if_that_is_asked(whole):
    """As doctor does: what is wrong in them is found, with its place in the file; older heads and runs are
    not compared."""
    path, heads = str(whole.path), whole.anchors
    runs = {"one": "2027-09-01T00:00:00.000Z", "three": "2029-01-01T00:00:00.000Z"}
    proof = verify(path, heads, runs, 20)
    assert (proof.problem, proof.lines, proof.first) == (None, 20, len(whole.lines) - 19)
    assert proof.uncovered == ("one", "two")
    index = len(whole.lines) - 15
    whole.path.write_bytes(
        b"".join([*whole.lines[:index], b"#" + whole.lines[index], *whole.lines[index + 1 :]])
    )
    assert verify(path, heads, runs, 20).problem.line == index + 1
    assert verify(path, heads, runs, 10).ok
    whole.path.write_bytes(b"".join(whole.lines[:-1]))
    assert "three anchors" in verify(path, heads, runs, 10).problem.why
    whole.path.write_bytes(b"".join(whole.lines))
    assert "run later, recorded" in verify(path, heads, {"later": "2030-01-01T00:00:00.000Z"}, 10).problem.why
    whole.path.rename(f"{path}.1")
    whole.path.touch()
    assert verify(path, heads, runs, 20).lines == 20, "the file was rotated just now"


@pytest.mark.parametrize("kind", ["cut", "last", "appended", "emptied"])
def test_a_run_refuses_to_go_on_from_a_tampered_end(make_journal, intend, journal_path, kind):
    """The .head file beside the journal shows it, if the attacker forgot it."""
    with make_journal("one") as journal:
        journal.intents([intend("a.b")])
    path = Path(journal_path)
    lines = path.read_bytes().splitlines(keepends=True)
    tampered = {
        "cut": lines[:-1],
        "last": [*lines[:-1], forged(lines, len(lines) - 1)],
        "appended": [*lines, lines[-1]],
        "emptied": [b"\n"],
    }[kind]
    with path.open("r+b") as file:
        file.truncate()
        file.write(b"".join(tampered))
        file.truncate()
    text = path.read_bytes()
    assert not verify(journal_path).ok
    with pytest.raises(JournalUnusable, match="chain of the journal is broken") as refusal:
        make_journal("two").begin()
    assert "journal verify" in str(refusal.value)
    assert path.read_bytes() == text, "the evidence is left as it is"


def test_a_foreign_file_is_not_taken_for_a_journal(make_journal, tmp_path):
    path = tmp_path / "hosts"
    path.write_text("127.0.0.1 localhost")
    path.chmod(0o600)
    with pytest.raises(JournalUnusable, match="not one of a journal"):
        make_journal(path=str(path)).begin()
    assert path.read_text() == "127.0.0.1 localhost"
