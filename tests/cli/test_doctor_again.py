"""A second doctor looks only at what is new since the first one, and finds what a first one would find."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import ldap3
import pytest

from piactl.clock import utc_now
from piactl.directory.client.connection import Session
from piactl.flows.doctor import examine
from tests.story.academy import Academy
from tests.story.feeds import row

UID, OTHER = "claire.dubreuil", "hugo.caron"
REPLACE = ldap3.MODIFY_REPLACE


@pytest.fixture
def examined(make_academy: Callable[..., Academy]) -> Academy:
    """Two accounts and an access log, after a first doctor."""
    academy = make_academy(accesslog=True)
    hugo = row(matricule="1002", prenom="Hugo", nom_famille="Caron")
    academy.night("2026-09-05", academy.feed(row(), hugo, day="2026-09-05"))
    later(academy, 10)
    return academy


def later(academy: Academy, minutes: int) -> dict[str, tuple[str, str]]:
    """What a doctor finds some minutes from now, by the id of its checks: what is written now is then older
    than the allowed difference of clocks."""
    examination = examine(
        academy.sandbox.config, lambda: utc_now() + timedelta(minutes=minutes), "here.example"
    )
    return {finding.check.id: (finding.outcome.value, finding.found) for finding in examination.findings}


def baseline(academy: Academy) -> Path:
    return academy.sandbox.folder / "state" / "doctor.json"


def change(academy: Academy, uid: str, **values: list[str]) -> None:
    with academy.sandbox.root() as root:
        root.modify(academy.dn(uid), {name: [(REPLACE, to)] for name, to in values.items()})


def test_accounts_found_in_order_are_not_read_again(
    examined: Academy, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    page = Session.page

    def counted(
        self: Session, base: str, scope: str, query: str, attributes: list[str], **options: object
    ) -> object:
        result = page(self, base, scope, query, attributes, **options)  # type: ignore[arg-type]
        # the check of drift (D55) reads whole entries that were written since the last night
        digests = "piactlMatriculeDigest" in attributes and "displayName" not in attributes
        read.extend(entry.dn for entry in result[0] if digests and entry.dn.startswith("uid="))
        return result

    monkeypatch.setattr(Session, "page", counted)
    again = later(examined, 20)
    assert not read
    assert again["D27"] == ("ok", again["D27"][1])
    assert "2 matricules of accounts" in again["D27"][1]
    assert "counted on" in again["D27"][1]
    change(examined, OTHER, description=["new"])
    later(examined, 5)  # the clock was set back: nothing counts as known
    assert set(read) == {examined.dn(UID), examined.dn(OTHER)}


@pytest.mark.parametrize(
    ("values", "check", "words"),
    [
        ({"mail": []}, "D36", f"1 account without an address: {OTHER}"),
        ({"piactlMatriculeDigest": ["{k9}00"]}, "D27", "key k9: 1 digest"),
        ({"pwdPolicySubentry": ["cn=lax,ou=policies"]}, "D43", f"{OTHER}: cn=lax,ou=policies"),
        ({"description": ["by somebody"]}, "D51", "1 write of accounts not in this journal"),
    ],
)
def test_changes_since_the_first_doctor_are_found(
    examined: Academy, values: dict[str, list[str]], check: str, words: str
) -> None:
    assert later(examined, 11)[check][0] == "ok"
    change(examined, OTHER, **values)
    for minutes in (12, 13):  # a fault is not remembered as checked
        outcome, text = later(examined, minutes)[check]
        assert outcome in ("warning", "error")
        assert words in text


def test_an_edit_of_a_verified_journal_line_is_found(examined: Academy) -> None:
    journal = examined.sandbox.folder / "journal" / "piactl.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    assert later(examined, 11)["D09"][0] == "ok"
    journal.write_bytes(b"".join([lines[0], lines[1].replace(b'"time":"20', b'"time":"21'), *lines[2:]]))
    outcome, text = later(examined, 12)["D09"]
    assert (outcome, "piactl.jsonl:2: was edited" in text) == ("error", True), text
    journal.write_bytes(b"".join(lines))
    assert later(examined, 13)["D09"][0] == "ok"


def test_new_journal_lines_are_verified(examined: Academy) -> None:
    first = later(examined, 11)["D09"][1]
    assert examined.run("account", "lock", UID, "--reason", "demande").code == 0
    outcome, text = later(examined, 12)["D09"]
    assert (outcome, text != first) == ("ok", True)
    journal = examined.sandbox.folder / "journal" / "piactl.jsonl"
    journal.write_bytes(journal.read_bytes()[:-10])
    assert later(examined, 13)["D09"][0] == "error"


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"asked": 1, "journal": 2, "keys": 3, "fine": 4, "writes": 5}']
)
def test_a_damaged_memory_of_the_first_doctor_is_ignored(examined: Academy, content: str) -> None:
    good = later(examined, 11)
    baseline(examined).write_text(content)
    again = later(examined, 12)
    assert {i: result[0] for i, result in again.items()} == {i: result[0] for i, result in good.items()}
    assert json.loads(baseline(examined).read_text())["fine"]
