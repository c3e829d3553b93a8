"""`journal show`, `export`, `prune` and `verify FILE`, on a journal of some years."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from piactl.core.journal_line import Head, sealed
from piactl.core.plan.write import Write
from piactl.journal import Actor, Journal, Order, Settlement, who
from tests.story.academy import Academy
from tests.story.feeds import row

HOSTILE = "fin \x1b[31m de \u202e contrat\n=cmd() [/x]\ttab\u0000"
HUGO = Actor("piactl", "", "hugo", "terminal", who().host, 1)
ROSE = Actor("root", "rose", "", "terminal", who().host, 2)
CRON = Actor("piactl", "", "", "cron", who().host, 3)


@dataclass
class Past:
    """Writes runs of any date into the journal of an academy."""

    path: Path

    def run(self, run: str, day: str, actor: Actor, *changes: tuple[str, str, str, str | None]) -> Head:
        """Writes a run. Each change is (uid, kind, reason, outcome); with the outcome None it is in doubt."""
        start = datetime.fromisoformat(f"{day}T02:00:00").replace(tzinfo=UTC)
        ticks = iter(range(100_000))
        order = Order(run, start.date(), start.date(), False, ("piactl", "nightly", "a feed"), actor, "")
        with Journal(
            str(self.path),
            now=lambda: start + timedelta(seconds=next(ticks)),
            digest=lambda text: "{k1}00",
            secret=(),
            order=order,
        ) as journal:
            writes = [
                Write("modify", f"uid={uid},ou=x", add={"mail": (b"a@b",)}).with_reason(uid, (kind,), reason)
                for uid, kind, reason, _outcome in changes
            ]
            numbers = journal.intents(writes)
            outcomes = [(n, c[3]) for n, c in zip(numbers, changes, strict=True) if c[3]]
            journal.outcomes([Settlement(n, str(outcome), "changed since" if outcome == "conflict" else "")
                              for n, outcome in outcomes])  # fmt: skip
            if len(outcomes) < len(changes):
                return journal.head  # it died here
            return journal.end({})


@pytest.fixture
def past(academy: Academy) -> Past:
    """Three years of runs; the last died with a change in doubt."""
    past = Past(academy.sandbox.folder / "journal" / "piactl.jsonl")
    past.run(
        "r1",
        "2021-03-01",
        CRON,
        ("ana.roy", "create", "line 3", "applied"),
        ("bo.li", "create", "x", "applied"),
    )
    past.run(
        "r2", "2022-03-01", HUGO, ("ana.roy", "lock", HOSTILE, "applied"), ("bo.li", "grant", "y", "conflict")
    )
    past.run(
        "r3",
        "2023-03-01",
        ROSE,
        ("ana.roy", "unlock", "found again", "applied"),
        ("bo.li", "lock", "z", None),
    )
    return past


def shown(academy: Academy, *words: str) -> list[tuple[str, str, str]]:
    ran = academy.run("journal", "show", *words, "-o", "json")
    assert ran.code == 0, ran.err
    return [(change["run"], change["uid"], change["outcome"]) for change in ran.json]


ALL = [
    ("r1", "ana.roy", "applied"), ("r1", "bo.li", "applied"), ("r2", "ana.roy", "applied"),
    ("r2", "bo.li", "conflict"), ("r3", "ana.roy", "applied"), ("r3", "bo.li", "in doubt"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "positions"),
    [
        ("", [0, 1, 2, 3, 4, 5]),
        ("--account ana.roy", [0, 2, 4]),
        ("--run r2", [2, 3]),
        ("--run last", [4, 5]),
        ("--author hugo", [2, 3]),
        ("--author rose", [4, 5]),
        ("--author piactl", [0, 1, 2, 3]),
        ("--author nobody", []),
        ("--kind lock", [2, 5]),
        ("--kind create --account bo.li", [1]),
        ("--from 2022-03-01", [2, 3, 4, 5]),
        ("--from 2022-03-02", [4, 5]),
        ("--until 2022-03-01", [0, 1, 2, 3]),
        ("--from 01/03/2022 --until 2022-03-01", [2, 3]),
        ("--until 2022-03-01T02:59", [0, 1]),  # in Paris time: 01:59 UTC, a minute before the run
        ("--from 2022-03-01T02:00:02Z --until 2022-12-31", [3]),
        ("--account bo.li --run r2 --author hugo --kind grant --from 2022-01-01 --until 2022-12-31", [3]),
    ],
)
def test_show_by_every_filter(academy: Academy, past: Past, words: str, positions: list[int]) -> None:
    assert shown(academy, *words.split()) == [ALL[n] for n in positions]


def test_show_names_the_author_and_the_details_of_a_change(academy: Academy, past: Past) -> None:
    rows = academy.run("journal", "show", "-o", "ndjson").out.splitlines()
    changes = [json.loads(line) for line in rows]
    assert [change["author"] for change in changes] == ["piactl", "piactl", "hugo", "hugo", "rose", "rose"]
    assert changes[2]["reason"] == HOSTILE
    assert changes[2]["command"] == ["piactl", "nightly", "a feed"]
    assert changes[2]["attributes"] == ["mail"]
    assert (changes[3]["message"], changes[5]["settled"]) == ("changed since", None)
    assert changes[2]["time"].startswith("2022-03-01T02:00:")


def test_show_needs_the_directory_for_any_name_but_a_uid(academy: Academy) -> None:
    academy.night("2026-09-05", academy.feed(row(), day="2026-09-05"))
    for name in ("claire.dubreuil", "claire.dubreuil@ac-amiens.fr", "1001"):
        assert [change[1] for change in shown(academy, "--account", name)] == ["claire.dubreuil"], name
    assert academy.run("journal", "show", "--account", "nobody.here").code == 9
    academy.sandbox.stop()
    assert [change[1] for change in shown(academy, "--account", "claire.dubreuil")] == ["claire.dubreuil"]
    ran = academy.run("journal", "show", "--account", "1001")
    assert (ran.code, ran.out) == (8, "")
    assert "no uid of this journal" in ran.err


@pytest.mark.parametrize(
    "words",
    [
        ["show", "--from", "soon"],
        ["show", "--from", "2023-01-01", "--until", "2022-01-01"],
        ["export", "--until", "2022-13-01"],
        ["prune", "--before", "2999-01-01"],
        ["prune", "--before", "2022-01-01T10:00"],
        ["prune", "--before", "2022-01-01 10:00"],
        ["prune"],
        ["verify", "copy.jsonl", "--syslog", "-"],
    ],
)
def test_invalid_arguments_are_usage_errors_and_change_nothing(
    academy: Academy, past: Past, words: list[str]
) -> None:
    before = past.path.read_bytes()
    ran = academy.run("journal", *words)
    assert (ran.code, ran.out) == (2, "")
    assert past.path.read_bytes() == before


def test_an_empty_journal_shows_no_change(academy: Academy) -> None:
    ran = academy.run("journal", "show", "--kind", "lock", "-o", "json")
    assert (ran.code, ran.json) == (0, [])
    assert "no change" in ran.err
    assert academy.run("journal", "show", "--run", "last").code == 9


@pytest.mark.parametrize(
    ("words", "first", "last"),
    [("", 0, 16), ("--from 2022-01-01", 6, 16), ("--from 2022-01-01 --until 2022-12-31", 6, 12)],
)
def test_export_prints_the_lines_as_they_are(
    academy: Academy, past: Past, words: str, first: int, last: int
) -> None:
    ran = academy.run("journal", "export", *words.split())
    assert (ran.code, ran.out) == (0, "".join(past.path.read_text().splitlines(keepends=True)[first:last]))


# ---- verify FILE


def test_a_copied_file_is_verified_without_journal_or_directory(academy: Academy, past: Past) -> None:
    copy = academy.folder / "copy.jsonl"
    copy.write_bytes(past.path.read_bytes())
    academy.sandbox.stop()
    academy.sandbox.config.unlink()  # neither configuration nor directory is needed
    ran = academy.run("journal", "verify", copy)
    assert ran.code == 0, ran.err
    assert "journal intact: 16 lines, 1 to 16" in ran.out
    assert f"head 16:{json.loads(copy.read_bytes().splitlines()[-1])['hash']}" in ran.out
    copy.write_bytes(copy.read_bytes().replace(b"found again", b"found agaim"))
    ran = academy.run("journal", "verify", copy)
    assert (ran.code, ran.out) == (1, "")
    assert f"{copy}:14: was edited" in ran.err


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty", b""), ("text", b"127.0.0.1 localhost\n"), ("binary", b"\xff\0\n\n"), ("bad.gz", b"no gzip"),
        ("cut.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xab"), ("json", b"{}\n"), ("missing", None),
    ],
)  # fmt: skip
def test_verify_refuses_a_file_that_is_not_a_journal(
    academy: Academy, name: str, content: bytes | None
) -> None:
    path = academy.folder / name
    if content is not None:
        path.write_bytes(content)
    ran = academy.run("journal", "verify", path)
    assert (ran.code, ran.out) == (1 if content is not None else 2, "")
    assert str(path) in ran.err


# ---- prune


@pytest.fixture
def settled(academy: Academy, past: Past) -> Past:
    """A night settles what the last run of the past left in doubt, and leaves its head on its record."""
    academy.night("2026-09-05", academy.feed(row(), day="2026-09-05"))
    return past


def test_prune_removes_old_files_whole(academy: Academy, past: Past) -> None:
    old = past.path.rename(past.path.with_name(f"{past.path.name}.1"))
    before = ("journal", "prune", "--before", "2024-01-01")
    waits = academy.run(*before, "--dry-run")
    assert (waits.code, "no file has only lines before 2024-01-01" in waits.out) == (0, True), "in doubt"
    academy.night("2026-09-05", academy.feed(row(), day="2026-09-05"))  # settles it
    early = academy.run("journal", "prune", "--before", "2022-06-01")
    assert (early.code, "the journal is unchanged" in early.out) == (0, True)
    trial = academy.run(*before, "--dry-run")
    assert (trial.code, trial.out, old.exists()) == (0, f"{old}: would be removed\n", True)
    done = academy.run(*before)
    assert (done.code, done.out, old.exists()) == (0, f"{old}: removed\n", False), done.err
    assert not {change[0] for change in shown(academy)} & {"r1", "r2", "r3"}
    (line,) = [
        line for line in map(json.loads, past.path.read_bytes().splitlines()) if line["type"] == "prune"
    ]
    assert (line["files"], line["before"]) == ([old.name], "2024-01-01")
    verified = academy.run("journal", "verify")
    assert verified.code == 0, verified.err
    assert "it begins with number 17: the files with the lines before it were removed" in verified.out
    assert "1 stored head matches" in verified.out
    checks = academy.run("doctor", "-o", "json").json
    # this sandbox has no access log
    assert {check["id"] for check in checks if check["result"] == "error"} == {"D51"}
    academy.quiet_night("2026-09-06")
    assert academy.run("journal", "verify").code == 0


def age(path: Path) -> None:
    """Makes all lines years old, with matching hashes, and removes the head file."""
    after, lines = Head(0, "0" * 64), []
    for raw in path.read_bytes().splitlines():
        body: dict[str, Any] = {k: v for k, v in json.loads(raw).items() if k not in ("seq", "prev", "hash")}
        line, after = sealed({**body, "time": "2021" + body["time"][4:]}, after)
        lines.append(line)
    path.write_bytes(b"".join(lines))
    path.with_name(f"{path.name}.head").unlink()


@pytest.mark.parametrize("harm", ["edited", "cut", "anchor", "no directory"])
def test_prune_refuses_what_it_cannot_prove(academy: Academy, settled: Past, harm: str) -> None:
    text = settled.path.read_bytes()
    if harm == "edited":
        settled.path.write_bytes(text.replace(b"found again", b"found agaim"))
    elif harm == "cut":
        settled.path.write_bytes(b"".join(text.splitlines(keepends=True)[:-1]))
    elif harm == "anchor":  # everything is made anew, also the head file: only the directory shows it
        age(settled.path)
    else:
        academy.sandbox.stop()
    harmed = settled.path.read_bytes()
    ran = academy.run("journal", "prune", "--before", "2022-06-01")
    assert ran.code == (8 if harm == "no directory" else 1)
    assert ran.out == ""
    assert settled.path.read_bytes() == harmed
