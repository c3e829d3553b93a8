"""Faults that were found once and must not come back."""

from __future__ import annotations

from pathlib import Path

import pytest

from piactl.flows.apply import run_lock as locking

from .academy import Academy
from .feeds import row

DAY = "2026-09-05"


def test_a_photo_on_a_leavers_entry_does_not_stop_the_night(academy: Academy) -> None:
    academy.night("2026-03-01", academy.feed(row(debut="2026-01-01", fin="2026-03-31"), day="2026-03-01"))
    dn = f"uid=claire.dubreuil,{academy.sandbox.accounts}"
    with academy.sandbox.root() as root:
        other = "urn:mace:other:app:right"
        root.modify(
            dn,
            {
                "jpegPhoto": [("MODIFY_ADD", [b"\xff\xd8\xff"])],
                "eduPersonEntitlement": [("MODIFY_ADD", [other])],
            },
        )
    academy.night("2027-01-01")
    entry = academy.sandbox.entry(dn) or {}
    assert entry["piactlState"] == [b"archived"]
    assert "jpegPhoto" not in entry
    assert "eduPersonEntitlement" not in entry


def test_a_numen_in_a_reason_is_in_no_record(academy: Academy) -> None:
    numen = "01E9501234ABC"
    feed = academy.feed(row(), day=DAY)
    digest = academy.run("feed", "check", feed, "-o", "json").json["digest"]
    words = ["--as-of", DAY, "--accept-feed", digest, "--reason", f"agent {numen} vu"]
    assert academy.run("nightly", feed, *words).code == 0
    assert numen not in academy.run("runs", "show", "last", "-o", "json").out


def test_a_process_that_proc_hides_counts_as_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    began = locking.process_began(1)
    assert locking._alive(1, began)
    monkeypatch.setattr(locking, "process_began", lambda _pid: 0)
    assert locking._alive(1, began)
    monkeypatch.setattr(locking, "process_began", lambda _pid: began + 1)
    assert not locking._alive(1, began)
    assert Path("/proc/self/ns/pid").readlink().name in locking.this_place()


def test_the_news_of_a_delta_waits_while_its_person_is_held(academy: Academy) -> None:
    academy.sources(epp="kind: full", moves="kind: delta")
    mission = row(debut="2026-02-01", uai="0801616X")
    academy.night("2026-03-01", academy.feed(row(), day="2026-03-01", source="epp"))
    academy.night("2026-03-02", academy.feed(mission, day="2026-03-02", source="moves"))
    ended = row(debut="2026-02-01", uai="0801616X", fin="2026-03-31")
    wrong = academy.feed(
        row(uai="0800009B"), row(matricule="1002", prenom="Hugo"), day="2026-03-03", source="epp"
    )
    academy.night("2026-03-03", wrong, academy.feed(ended, day="2026-03-03", source="moves"))
    right = academy.feed(row(), row(matricule="1002", prenom="Hugo"), day="2026-03-04", source="epp")
    academy.night("2026-03-04", right)
    ends = {a["uai"]: a["end"] for a in academy.show("claire.dubreuil", "2026-03-04")["assignments"]}
    assert ends == {"0800009A": None, "0801616X": "2026-03-31"}
