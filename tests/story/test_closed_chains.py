"""A host of version 0.2.0 had a journal for each Unix user. The journal of the nights goes on, the others are
closed, and the history of an account is one answer from all of them."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import patch

from piactl.clock import utc_now
from piactl.core.plan.write import Write
from piactl.journal import Actor, Journal, Order

from .academy import Academy, prepared
from .feeds import row

UID = "claire.dubreuil"
WHY = ("--reason", "ticket 4711")


def journal_of(academy: Academy) -> Path:
    return academy.sandbox.folder / "journal" / "piactl.jsonl"


def chain_of(academy: Academy, user: str) -> Path:
    return journal_of(academy).parent / "closed" / user / "journal.jsonl"


@prepared
def upgraded(academy: Academy) -> Academy:
    """After a night, an act of the help desk, and a run of the administrator that was killed; the journals of
    these two lie where the page of the upgrade puts them."""
    academy.night("2026-09-01", academy.feed(row()))
    own, desk = "journal: journal/piactl.jsonl", "journal: journal/closed/piactl-desk/journal.jsonl"
    academy.edit("piactl.yaml", own, desk)
    file = academy.folder / "handed-out"
    # a run of another Unix user of this host is not compared with this journal either
    with patch("socket.gethostname", lambda: "other"):
        ran = academy.run("password", "activate", UID, "--administrator", *WHY, "--out", file)
    assert ran.code == 0, ran
    academy.edit("piactl.yaml", desk, own)
    today = utc_now().date()
    actor = Actor("piactl-admin", "rose", "", "terminal", "h", 1)
    with Journal(
        str(chain_of(academy, "piactl-admin")),
        now=utc_now,
        digest=lambda _: "{k1}00",
        secret=(),
        order=Order("r1", today, today, False, ("piactl", "account", "lock"), actor, ""),
    ) as journal:
        values = {"title": (b"x",)}
        journal.intents([Write("modify", academy.dn(UID), values).with_reason(UID, ("lock",), "found")])
    return academy


def changes(academy: Academy) -> list[tuple[str, str]]:
    rows = academy.run("account", "history", UID, "-o", "json").json
    return [(row["kinds"][0], row["outcome"]) for row in rows if row["run"]]


def test_the_history_of_an_account_is_one_answer_from_all_chains(upgraded: Academy) -> None:
    before = [("create", "applied"), ("password", "applied"), ("lock", "in doubt")]
    assert changes(upgraded) == before
    trial = upgraded.run("journal", "close", *WHY, "--dry-run")
    assert trial.out == "piactl-admin: would be closed\npiactl-desk: would be closed\n"
    assert changes(upgraded) == before
    closed = upgraded.run("journal", "close", *WHY)
    assert (closed.code, closed.out) == (0, "piactl-admin: closed\npiactl-desk: closed\n"), closed
    # what was in doubt is settled, and nothing is closed twice
    assert changes(upgraded)[:2] == before[:2]
    assert changes(upgraded)[2][1] != "in doubt"
    assert "no other journal is to be closed" in upgraded.run("journal", "close", *WHY).out
    shown = upgraded.run("journal", "show", "--account", UID, "-o", "json").json
    assert [(change["kinds"][0], change["author"]) for change in shown][2] == ("lock", "rose")
    assert upgraded.run("account", "lock", UID, *WHY, "-y").code == 0
    assert changes(upgraded)[3] == ("lock", "applied")
    assert upgraded.run("journal", "verify").code == 0


def test_closed_chains_are_verified_with_the_journal(upgraded: Academy) -> None:
    ran = upgraded.run("journal", "verify")
    assert (ran.code, "is not closed. See: piactl journal close" in ran.err) == (1, True), ran
    assert upgraded.run("journal", "close", *WHY).code == 0
    ran = upgraded.run("journal", "verify")
    assert (ran.code, "piactl-desk: closed, intact: " in ran.out) == (0, True), ran
    chain = chain_of(upgraded, "piactl-desk")
    text = chain.read_bytes()
    lines = text.splitlines(keepends=True)
    last = json.loads(lines[-1])
    assert last["type"] == "closed"
    for tampered in (
        lines[:-1],
        [lines[0].replace(b'"origin":"', b'"origin":"x'), *lines[1:]],
        [*lines, lines[-1]],
        [*lines[:-1], lines[-1].replace(last["hash"].encode(), b"0" * 64)],
    ):
        chain.write_bytes(b"".join(tampered))
        chain.with_name(f"{chain.name}.head").write_bytes(b"")
        ran = upgraded.run("journal", "verify")
        assert (ran.code, str(chain) in ran.err) == (1, True), ran
    chain.write_bytes(text)
    assert upgraded.run("journal", "verify").code == 0
    chain.with_name(f"{chain.name}.head").unlink()
    assert "piactl-desk: closed, its files were removed" in upgraded.run("journal", "verify").out


def test_a_run_of_a_closed_chain_is_undone(academy: Academy) -> None:
    """Another Unix user locked the account, in a journal of its own."""
    academy.night("2026-09-01", academy.feed(row()))
    own, other = "journal: journal/piactl.jsonl", "journal: journal/closed/piactl-admin/journal.jsonl"
    academy.edit("piactl.yaml", own, other)
    with patch("socket.gethostname", lambda: "other"):
        assert academy.run("account", "lock", UID, *WHY, "-y").code == 0
    academy.edit("piactl.yaml", other, own)
    assert academy.run("journal", "close", *WHY).code == 0
    run = academy.run("account", "history", UID, "-o", "json").json[-1]["run"]
    undone = academy.run("undo", run, *WHY, "--as-of", "2026-09-01", "-o", "json")
    assert (undone.code, undone.json["undoes"]) == (0, run), undone
    assert academy.show(UID, "2026-09-01")["lock"] is None
    assert [kind for kind, _ in changes(academy)] == ["create", "lock", "unlock"]
    assert academy.run("journal", "verify").code == 0
