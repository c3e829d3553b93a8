"""A first migration: `apply PLAN --ldif`, slapadd into the stopped server, and a run that reads it back."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from piactl.sandbox.server import find_software
from piactl.sandbox.slapd_configuration_and_folder import tree_settings

from .academy import Academy, Ran
from .feeds import crowd, row

DAY, NEXT = "2026-09-05", "2026-09-06"


def planned(academy: Academy, *rows: str, day: str = DAY) -> tuple[Path, Path]:
    """Writes a feed of these people; returns it and the file of its plan."""
    feed = academy.feed(*rows, day=day)
    file = academy.folder / f"plan-{academy.feeds}.json"
    ran = academy.run("plan", feed, "--as-of", day, "--out", file)
    assert ran.code == 0, ran.err
    return feed, file


def written(academy: Academy, plan: Path, name: str = "accounts.ldif") -> Path:
    """Writes the LDIF of a plan."""
    ldif = academy.folder / name
    ran = academy.run("apply", plan, "--ldif", ldif)
    assert ran.code == 0, ran.err
    return ldif


def load(academy: Academy, ldif: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Stops the server, loads the file as an administrator would, starts the server again."""
    academy.sandbox.stop()
    conf = academy.sandbox.folder / "slapd" / "slapd.conf"
    command = [str(find_software().slapadd), "-q", "-f", str(conf), "-b", tree_settings()["suffix"]]
    done = subprocess.run(
        [*command, *words, "-l", str(ldif)], capture_output=True, text=True, timeout=120, check=False
    )
    academy.sandbox.start()
    return done


def loaded(academy: Academy, ldif: Path) -> None:
    done = load(academy, ldif)
    assert done.returncode == 0, done.stderr


def record(academy: Academy, ldif: Path) -> dict[str, Any]:
    """The record of the run that wrote the file."""
    records = academy.sandbox.entries(f"ou=runs,{academy.sandbox.state}", "(!(cn=undo-*))")
    run_records = [json.loads(entry["piactlData"][0]) for entry in records.values() if "piactlData" in entry]
    mine: dict[str, Any] = next(
        run_record for run_record in run_records if run_record.get("ldif") == str(ldif)
    )
    return mine


def lines(academy: Academy) -> list[dict[str, Any]]:
    journal = academy.sandbox.folder / "journal" / "piactl.jsonl"
    return [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []


def outcomes(academy: Academy) -> list[str]:
    """The outcomes in the journal of all writes that were read back, in order."""
    return [line["outcome"] for line in lines(academy) if line["type"] == "resolved"]


def intents(academy: Academy) -> list[dict[str, Any]]:
    return [line for line in lines(academy) if line["type"] == "intent"]


PEOPLE = (
    row(matricule="1", prenom="Zoé", nom_famille="D'Hérouville", courriel_prive="zoe@example.org"),
    row(matricule="2", prenom="Noël", nom_famille="Ñandú", fin="2026-12-31"),
    row(matricule="3", prenom="Anne", nom_famille="Vasseur"),
    row(matricule="4", prenom="Anne", nom_famille="Vasseur"),
    row(matricule="5", prenom="Lise", nom_famille="Attente", debut="2027-02-01"),
)


def test_what_is_loaded_is_what_apply_would_have_written(make_academy: Any) -> None:
    offline, online = make_academy(), make_academy()
    key = (offline.sandbox.folder / "secrets" / "keys").read_text()
    (online.sandbox.folder / "secrets" / "keys").write_text(key)
    feed, plan = planned(offline, *PEOPLE)
    ldif = written(offline, plan)
    assert offline.accounts() == {}
    assert stat.S_IMODE(ldif.stat().st_mode) == 0o600
    assert b"userPassword" not in ldif.read_bytes()
    loaded(offline, ldif)
    online_feed = online.feed(*PEOPLE, day=DAY)
    assert online_feed.read_bytes() == feed.read_bytes()
    online.night(DAY, online_feed)

    assert offline.managed() == online.managed()
    classes = {dn: sorted(entry["objectClass"]) for dn, entry in offline.accounts().items()}
    assert classes == {dn: sorted(entry["objectClass"]) for dn, entry in online.accounts().items()}
    for entry in offline.accounts().values():
        assert entry["structuralObjectClass"] == [b"inetOrgPerson"]
        assert {"entryUUID", "entryCSN", "creatorsName", "createTimestamp"} <= entry.keys()
    for folder in ("sources", "waiting"):
        ours, theirs = (
            {dn: entry.get("piactlData") for dn, entry in entries.items()}
            for entries in (
                academy.sandbox.entries(f"ou={folder},{academy.sandbox.state}")
                for academy in (offline, online)
            )
        )
        if folder == "waiting":
            assert len(ours) == 2  # the folder of people in waiting, and one of them
        assert ours.keys() == theirs.keys()
    with offline.sandbox.root() as connection:
        # the server treats loaded entries as its own: indexes, schema, the next write
        connection.search(offline.sandbox.accounts, "(mail=anne.vasseur@ac-amiens.fr)")
        assert len(connection.response) == 1
    offline.change("anne.vasseur", description=["another program"])


def test_the_next_run_reads_everything_back_and_has_nothing_to_do(academy: Academy) -> None:
    feed, plan = planned(academy, *PEOPLE, *crowd(60))
    ldif = written(academy, plan)
    assert record(academy, ldif)["status"] == "loading"
    loaded(academy, ldif)
    before = academy.stamps()
    assert len(before) == 1 + 64
    ran = academy.night(DAY, feed)
    assert ran.json["summary"] == {}
    assert academy.stamps() == before
    assert "64 writes that an earlier run left in doubt were read back: 64 had been made" in ran.err
    assert outcomes(academy) == ["applied"] * 64
    ended = record(academy, ldif)
    assert ended["status"] == "done"
    assert ended["outcomes"] == {"applied": 64}
    assert academy.run("journal", "verify").code == 0
    academy.quiet_night(NEXT, academy.feed(*PEOPLE, *crowd(60), day=NEXT))
    assert outcomes(academy) == ["applied"] * 64
    academy.night("2027-02-01")
    assert "lise.attente" in academy.names().values()


def test_the_same_plan_again_is_nothing_to_do(academy: Academy) -> None:
    _, plan = planned(academy, *crowd(3))
    ldif = written(academy, plan)
    loaded(academy, ldif)
    with academy.nothing_written():
        ran = academy.run("apply", plan)
    assert ran.code == 0, ran.err
    assert "nothing to do" in ran.out + ran.err


def test_intents_are_on_the_disk_and_no_account_is_written(academy: Academy) -> None:
    _, plan = planned(academy, *crowd(3))
    written(academy, plan)
    assert [(intent["op"], intent["load"]) for intent in intents(academy)] == [("add", True)] * 3
    assert academy.accounts() == {}
    assert outcomes(academy) == []


def test_it_says_the_commands_that_come_next(academy: Academy) -> None:
    _, plan = planned(academy, *crowd(3))
    ldif = academy.folder / "with blank.ldif"
    ran = academy.run("apply", plan, "--ldif", ldif)
    for words in ("systemctl stop slapd", f"slapadd -q -b o=gouv,c=fr -l '{ldif}'", "piactl nightly"):
        assert words in ran.err
    assert "loading" in ran.out


def test_no_file_is_overwritten(academy: Academy) -> None:
    _, plan = planned(academy, *crowd(3))
    ldif = academy.folder / "accounts.ldif"
    ldif.write_text("mine")
    ran = academy.run("apply", plan, "--ldif", ldif)
    assert ran.code == 1
    assert "is not overwritten" in ran.err
    assert ldif.read_text() == "mine"
    assert intents(academy) == []


# Refused


def refused(academy: Academy, plan: Path, *words: str) -> None:
    ldif = academy.folder / "refused.ldif"
    ran = academy.run("apply", plan, "--ldif", ldif)
    assert ran.code == 1, ran.err
    for some in words:
        assert some in ran.err
    assert not ldif.exists()
    assert not [intent for intent in intents(academy) if intent.get("load")]


def test_refused_where_accounts_exist(academy: Academy) -> None:
    academy.night(DAY, academy.feed(*crowd(2), day=DAY))
    _, plan = planned(academy, *crowd(4), day=NEXT)
    refused(academy, plan, "is an account", "without --ldif")


def test_refused_where_the_plan_changes_an_entry(academy: Academy) -> None:
    values = {"objectClass": ["inetOrgPerson", "supannPerson"], "cn": "x", "sn": "x", "supannEmpId": "1001"}
    academy.sandbox.add(academy.dn("cdubreuil"), {**values, "mail": "claire.dubreuil@ac-amiens.fr"})
    plan = academy.folder / "adoption.json"
    ran = academy.run("adopt", academy.feed(row(), day=DAY), "--as-of", DAY, "--out", plan)
    assert "1  adopt" in ran.out
    refused(academy, plan, "uid=cdubreuil", "is there already")


def test_refused_where_a_feed_was_applied_before(academy: Academy) -> None:
    later = row(matricule="7", nom_famille="Attente", debut="2027-02-01")
    academy.night(DAY, academy.feed(later, day=DAY))
    _, plan = planned(academy, later, *crowd(3), day=NEXT)
    refused(academy, plan, "an earlier run has applied a feed")


def test_refused_where_a_name_was_taken_since(academy: Academy) -> None:
    _, plan = planned(academy, row(nom_famille="Dubreuil", prenom="Claire"))
    values = {"objectClass": ["inetOrgPerson"], "cn": "x", "sn": "x", "mail": "Claire.Dubreuil@example.org"}
    academy.sandbox.add(f"cn=other,{academy.sandbox.accounts}", values)
    refused(academy, plan, "Claire.Dubreuil@example.org", "make the plan again")


def test_refused_where_the_plan_is_stale(academy: Academy) -> None:
    _, plan = planned(academy, *crowd(3))
    academy.night(DAY)
    refused(academy, plan, "another run")


def test_refused_where_there_is_nothing_to_make(academy: Academy) -> None:
    _, plan = planned(academy, row(debut="2027-02-01"))
    refused(academy, plan, "makes no account")


def test_an_earlier_night_without_feeds_does_not_prevent_a_load(academy: Academy) -> None:
    academy.night(DAY)
    feed, plan = planned(academy, *crowd(3))
    loaded(academy, written(academy, plan))
    academy.quiet_night(DAY, feed)
    assert outcomes(academy) == ["applied"] * 3


# What can go wrong


def test_an_ldif_cannot_be_loaded_after_its_plan_was_applied(academy: Academy) -> None:
    feed, plan = planned(academy, *crowd(60))
    ldif = written(academy, plan)
    ran = academy.run("apply", plan)
    assert ran.code == 0, ran.err
    assert "its LDIF was not loaded and can no longer be" in ran.err
    assert outcomes(academy) == ["failed"] * 60
    assert record(academy, ldif)["status"] == "failed"
    before = academy.stamps()
    assert len(before) == 61
    assert load(academy, ldif).returncode != 0
    assert academy.stamps() == before
    academy.quiet_night(DAY, feed)
    assert (
        academy.run("undo", record(academy, ldif)["run"], "--yes", "--reason", "trial", "--as-of", DAY).code
        == 0
    )
    assert academy.stamps() == before


def test_a_second_file_replaces_one_that_was_not_loaded(academy: Academy) -> None:
    feed, plan = planned(academy, *crowd(3))
    first, second = written(academy, plan), written(academy, plan, "second.ldif")
    assert load(academy, first).returncode != 0
    assert academy.accounts() == {}
    loaded(academy, second)
    academy.quiet_night(DAY, feed)
    assert len(academy.accounts()) == 3
    assert outcomes(academy) == ["failed"] * 3 + ["applied"] * 3


def test_help_desk_commands_do_not_read_back_a_load(academy: Academy) -> None:
    """It takes no lock, and the file may still be loaded later."""
    feed, plan = planned(academy, *crowd(3))
    ldif = written(academy, plan)
    academy.run("password", "activate", "nobody", "--administrator", "--reason", "trial")
    assert outcomes(academy) == []
    loaded(academy, ldif)
    words = ["--administrator", "--reason", "first day", "--out", academy.folder / "codes"]
    ran = academy.run("password", "activate", "louise.vaubanaaa", *words)
    assert ran.code == 0, ran.err
    assert outcomes(academy) == []
    academy.night(DAY, feed)
    assert len(outcomes(academy)) == 3


@pytest.mark.parametrize("entries", [1, 4])
def test_accounts_missing_after_a_partial_load_are_planned_again(academy: Academy, entries: int) -> None:
    """slapadd was interrupted: the first entries are there, but not piactl's memory of the feed."""
    feed, plan = planned(academy, *crowd(60))
    ldif = written(academy, plan)
    part = academy.folder / "part.ldif"
    part.write_bytes(b"".join(block + b"\n\n" for block in ldif.read_bytes().split(b"\n\n")[: 1 + entries]))
    loaded(academy, part)
    assert len(academy.accounts()) == entries
    ran = academy.night(DAY, feed, code=4)  # many new accounts among few: guards of creations stop them
    assert f"--allow create={60 - entries} " in ran.err
    approval = [word for kind in re.findall(r"--allow (\S+)", ran.err) for word in ("--allow", kind)]
    applied = academy.run("apply", ran.plan_file, *approval, "--reason", "the rest of the first migration")
    assert applied.code == 0, applied
    assert sorted(outcomes(academy)) == ["applied"] * entries + ["failed"] * (60 - entries)
    ended = record(academy, ldif)
    assert ended["status"] == "partly"
    assert ended["outcomes"] == {"applied": entries, "failed": 60 - entries}
    assert len(academy.accounts()) == 60
    academy.quiet_night(DAY, feed)


def test_the_same_feed_makes_an_account_that_the_load_skipped(academy: Academy) -> None:
    """slapadd -c goes on after an error, so piactl's memory of the feed is loaded too."""
    feed, plan = planned(academy, *crowd(5))
    ldif = written(academy, plan)
    blocks = ldif.read_bytes().split(b"\n\n")
    cut = [block for block in blocks if not block.startswith(b"dn: uid=louise.vaubanaac,")]
    assert len(cut) == len(blocks) - 1
    ldif.write_bytes(b"\n\n".join(cut))
    loaded(academy, ldif)
    ran = academy.night(DAY, feed)
    assert ran.json["summary"] == {"create": 1}
    assert record(academy, ldif)["status"] == "partly"
    assert "louise.vaubanaac" in academy.names().values()


def test_an_ldif_cannot_be_loaded_twice(academy: Academy) -> None:
    feed, plan = planned(academy, *crowd(60))
    ldif = written(academy, plan)
    loaded(academy, ldif)
    before = academy.stamps()
    again = load(academy, ldif)
    assert again.returncode != 0
    assert academy.stamps() == before
    academy.quiet_night(DAY, feed)
    assert outcomes(academy) == ["applied"] * 60


def test_an_account_changed_before_it_is_read_back_is_a_conflict(academy: Academy) -> None:
    feed, plan = planned(academy, *crowd(60))
    ldif = written(academy, plan)
    loaded(academy, ldif)
    academy.change("louise.vaubanaaa", sn=["Autre"])
    academy.night(DAY, feed)
    assert sorted(outcomes(academy)) == ["applied"] * 59 + ["conflict"]
    assert record(academy, ldif)["status"] == "partly"
    assert academy.values("louise.vaubanaaa", "sn") == ["Vaubanaaa"]


def test_a_kill_before_the_ldif_is_complete_leaves_no_file(academy: Academy) -> None:
    feed, plan = planned(academy, *crowd(3))
    ldif = academy.folder / "accounts.ldif"
    kill = "import os, signal; import piactl.flows.apply.offline_load as o; "
    kill += "o.last_run_record = lambda last: os.kill(os.getpid(), signal.SIGKILL)"
    code = f"{kill}\nfrom piactl.cli.main import run; run({['apply', str(plan), '--ldif', str(ldif)]!r})"
    died = subprocess.run(
        [sys.executable, "-c", code], env=academy.environment(), capture_output=True, timeout=60, check=False
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert not ldif.exists()
    assert len(intents(academy)) == 3
    academy.night(DAY, feed)
    assert outcomes(academy) == ["failed"] * 3
    assert record(academy, ldif)["status"] == "failed"
    assert len(academy.accounts()) == 3
    assert academy.run("journal", "verify").code == 0


def test_an_ldif_that_cannot_be_written_leaves_nothing_in_doubt(academy: Academy) -> None:
    feed, plan = planned(academy, *crowd(3))
    ldif = academy.folder / "missing" / "accounts.ldif"
    ran = academy.run("apply", plan, "--ldif", ldif)
    assert ran.code == 1
    assert "cannot be written" in ran.err
    assert record(academy, ldif)["status"] == "failed"
    ran = academy.night(DAY, feed)
    assert "in doubt" not in ran.err
    assert len(academy.accounts()) == 3


def test_a_signal_stops_it_before_the_file_is_whole(academy: Academy) -> None:
    feed, plan = planned(academy, *crowd(3))
    ldif = academy.folder / "accounts.ldif"
    send = "import os, signal; import piactl.flows.apply.offline_load as o; before = o.undo_writes; "
    send += "o.undo_writes = lambda *a: (os.kill(os.getpid(), signal.SIGTERM), before(*a))[1]"
    words = ["apply", str(plan), "--ldif", str(ldif)]
    code = f"{send}\nfrom piactl.cli.main import run; import sys; sys.exit(run({words!r}))"
    ended = subprocess.run(
        [sys.executable, "-c", code], env=academy.environment(), capture_output=True, timeout=60, check=False
    )
    assert ended.returncode == 5, ended.stderr
    assert not ldif.exists()
    assert record(academy, ldif)["status"] == "stopped"
    academy.night(DAY, feed)
    assert len(academy.accounts()) == 3


# Undo, doctor, several hosts


def test_a_loaded_run_is_undone_like_any_run(make_academy: Any) -> None:
    offline, online = make_academy(), make_academy()
    feed, plan = planned(offline, *crowd(3))
    ldif = written(offline, plan)
    run = record(offline, ldif)["run"]
    early = offline.run("undo", run, "--yes", "--reason", "trial", "--as-of", DAY)
    assert early.code == 1
    assert "has read back yet" in early.err
    loaded(offline, ldif)
    offline.night(DAY, feed)
    online_run = online.night(DAY, online.feed(*crowd(3), day=DAY)).json["run"]
    undone: list[Ran] = [
        academy.run("undo", name, "--yes", "--reason", "trial", "--as-of", DAY, "-o", "json")
        for academy, name in ((offline, run), (online, online_run))
    ]
    assert [ran.code for ran in undone] == [undone[1].code] * 2
    reversed_ = [[(a["uid"], a["outcome"], a["kinds"]) for a in ran.json["accounts"]] for ran in undone]
    assert reversed_[0] == reversed_[1]
    assert len(reversed_[0]) == 3
    assert [academy.managed().keys() for academy in (offline, online)] == [online.managed().keys()] * 2
    states = [{e["piactlState"][0] for e in academy.accounts().values()} for academy in (offline, online)]
    assert states[0] == states[1]


def test_doctor_reports_an_ldif_that_was_not_read_back(academy: Academy) -> None:
    _, plan = planned(academy, *crowd(3))
    written(academy, plan)
    text = academy.run("doctor").out
    assert "wrote an LDIF that no run has read back" in text


def test_another_host_does_not_read_back_a_loaded_ldif(
    academy: Academy, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed, plan = planned(academy, *crowd(3))
    ldif = written(academy, plan)
    loaded(academy, ldif)
    journal = academy.sandbox.folder / "journal"
    here = journal.rename(academy.sandbox.folder / "journal-of-this-host")
    journal.mkdir(mode=0o700)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(socket, "gethostname", lambda: "elsewhere.example")
        academy.quiet_night(DAY, feed)
    assert record(academy, ldif)["status"] == "loading"
    shutil.rmtree(journal)
    here.rename(journal)
    academy.quiet_night(DAY, feed)
    assert record(academy, ldif)["status"] == "done"


def test_another_host_marks_an_unloaded_ldif_as_failed(
    academy: Academy, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed, plan = planned(academy, *crowd(3))
    ldif = written(academy, plan)
    journal = academy.sandbox.folder / "journal"
    here = journal.rename(academy.sandbox.folder / "journal-of-this-host")
    journal.mkdir(mode=0o700)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(socket, "gethostname", lambda: "elsewhere.example")
        academy.night(DAY)
    assert record(academy, ldif)["status"] == "failed"
    shutil.rmtree(journal)
    here.rename(journal)
    assert load(academy, ldif).returncode != 0
    assert academy.accounts() == {}
    academy.night(DAY, feed)
    assert outcomes(academy) == ["failed"] * 3
    assert len(academy.accounts()) == 3


@pytest.mark.long
def test_three_thousand_accounts_are_loaded_within_30_seconds(academy: Academy) -> None:
    feed, plan = planned(academy, *crowd(3000))
    ldif = written(academy, plan)
    started = time.monotonic()
    loaded(academy, ldif)
    assert time.monotonic() - started < 30
    academy.quiet_night(DAY, feed)
    assert outcomes(academy) == ["applied"] * 3000
    assert record(academy, ldif)["status"] == "done"
