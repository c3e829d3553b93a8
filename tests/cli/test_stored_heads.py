"""A journal that lacks a line and has new hashes, made by a program with the rights of piactl's user."""

from __future__ import annotations

import json
import socket
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import ldap3

from piactl.clock import utc_now
from piactl.core.journal_line import Anchor, Head, journal_owner, read_anchor, sealed
from piactl.journal import who
from piactl.journal.heads import has_syslog, log_head
from tests.directory.test_acl_matrix import hold_lock
from tests.story.academy import Academy, Ran, prepared
from tests.story.feeds import row

UID = "claire.dubreuil"
WHY = ("--reason", "ticket 4711")
NUMBERS = count()


def journal_of(academy: Academy) -> Path:
    return academy.sandbox.folder / "journal" / "piactl.jsonl"


def forge(path: Path, *, without: str) -> None:
    """Removes the intents of one kind with their outcomes, computes all hashes anew, and removes the head
    file: anyone who can write the journal can do this."""
    after, lines, numbers = Head(0, "0" * 64), [], {}
    gone: set[int] = set()
    for raw in path.read_bytes().splitlines():
        body: dict[str, Any] = {k: v for k, v in json.loads(raw).items() if k not in ("prev", "hash")}
        seq = body.pop("seq")
        if without in body.get("kinds", ()) or body.get("intent") in gone:
            gone.add(seq)
            continue
        for name in ("intent", "clean", "upto"):
            body |= {name: numbers.get(body[name], body[name])} if name in body else {}
        line, after = sealed(body, after)
        numbers[seq] = after.seq
        lines.append(line)
    assert gone, f"no {without} in the journal"
    path.write_bytes(b"".join(lines))
    path.with_name(f"{path.name}.head").unlink()


@prepared
def locked(academy: Academy) -> Academy:
    """After a night and one act of the help desk, which the tests then remove from the journal."""
    academy.night("2026-09-01", academy.feed(row()))
    activate(academy)
    return academy


def activate(academy: Academy) -> Ran:
    """An act of the help desk, which has no record in the directory."""
    file = academy.folder / f"handed-out-{next(NUMBERS)}"
    ran = academy.run("password", "activate", UID, "--administrator", *WHY, "--out", file)
    assert ran.code == 0, ran
    return ran


def test_each_writing_command_stores_its_head(locked: Academy) -> None:
    heads = stored(locked)
    assert len(heads) == 2
    last = json.loads(journal_of(locked).read_bytes().splitlines()[-1])
    assert max(heads, key=lambda anchor: anchor.head.seq).head == Head(last["seq"], last["hash"])
    ran = locked.run("journal", "verify")
    assert (ran.code, "2 stored heads match" in ran.out) == (0, True), ran


def test_a_line_taken_out_is_found_before_and_after_the_next_night(locked: Academy) -> None:
    forge(journal_of(locked), without="password")
    for _ in ("before", "after"):
        verification = locked.run("journal", "verify")
        assert verification.code == 1
        assert "the head in the directory of run" in verification.err
        doctor = {finding["id"]: finding for finding in locked.run("doctor", "-o", "json").json}
        assert doctor["D09"]["result"] == "error"
        locked.run("nightly", locked.feed(row(), day="2026-09-02"), "--as-of", "2026-09-02", "--yes")


def test_a_line_taken_out_is_found_by_the_head_that_doctor_remembers(locked: Academy) -> None:
    """It is found even if the heads in the directory are gone."""
    locked.run("doctor")
    with locked.sandbox.root() as root:
        for dn in [e["dn"] for e in searched(root, f"ou=journals,{locked.sandbox.state}")]:
            root.delete(dn)
    assert locked.run("journal", "verify").code == 0
    forge(journal_of(locked), without="password")
    verification = locked.run("journal", "verify")
    assert verification.code == 1
    assert "that doctor saw" in verification.err


def test_the_heads_also_go_to_a_file(locked: Academy) -> None:
    heads = locked.folder / "heads"
    heads.touch()
    config = locked.sandbox.config
    config.write_text(f"{config.read_text()}\njournal_heads: {heads}\n")
    activate(locked)
    anchors = [read_anchor(line) for line in heads.read_text().splitlines()]
    assert [anchor is not None for anchor in anchors] == [True]
    with locked.sandbox.root() as root:
        for dn in [e["dn"] for e in searched(root, f"ou=journals,{locked.sandbox.state}")]:
            root.delete(dn)
    forge(journal_of(locked), without="password")
    verification = locked.run("journal", "verify")
    assert verification.code == 1
    assert str(heads) in verification.err
    heads.unlink()
    assert locked.run("journal", "verify").code == 8
    assert f"{heads}: the head of the journal cannot be appended" in activate(locked).err


def test_verify_fails_if_no_stored_head_covers_a_run(locked: Academy) -> None:
    """As after a run that lost its server before it could store its head."""
    with locked.sandbox.root() as root:
        for dn in [e["dn"] for e in searched(root, f"ou=journals,{locked.sandbox.state}")]:
            root.delete(dn)
    verification = locked.run("journal", "verify")
    assert verification.code == 1
    assert "no stored head covers run" in verification.err
    activate(locked)
    assert locked.run("journal", "verify").code == 0, "the next head covers it too"


def test_a_recorded_run_without_a_line_is_found(locked: Academy) -> None:
    run = {"run": "20260902T010203-abcdef", "status": "done", "started": "2099-01-01T00:00:00+00:00"}
    run["host"] = socket.gethostname()
    path = journal_of(locked)
    first = json.loads(path.read_bytes().splitlines()[0])["time"]
    run["started"] = first.replace("Z", "+00:00")
    with locked.sandbox.root() as root:
        hold_lock(root, locked.sandbox.state)
        dn = f"cn={run['run']},ou=runs,{locked.sandbox.state}"
        root.add(dn, attributes={"objectClass": "piactlRecord", "piactlData": json.dumps(run)})
    verification = locked.run("journal", "verify")
    assert verification.code == 1
    assert f"run {run['run']}, recorded in the directory, has none" in verification.err


def test_a_forged_head_fails_verify_and_stops_no_night(locked: Academy) -> None:
    """The desk may add heads: a head of a missing line, or a text that is not a head, hides nothing."""
    folder = f"ou=journals,{locked.sandbox.state}"
    with locked.sandbox.connect("desk") as desk:
        (dn,) = [e["dn"] for e in searched(desk, folder)]
        lie = Anchor(
            "2026-09-01T00:00:00.000Z", journal_owner(who().user, who().host), "r", Head(10**17, "0" * 64)
        )
        desk.modify(dn, {"description": [(ldap3.MODIFY_ADD, [str(lie), "no head"])]})
    verification = locked.run("journal", "verify")
    assert verification.code == 1
    assert "anchors 100000000000000000" in verification.err
    assert "is not a head of a journal" in verification.err
    locked.quiet_night("2026-09-02")


def test_heads_of_impossible_times_stop_nothing(locked: Academy) -> None:
    """The desk may add them, in the name of any journal: they are named, and not remembered."""
    folder = f"ou=journals,{locked.sandbox.state}"
    forged = [
        f"{time} {owner} r1 7:{'0' * 64}"
        for owner in ("x@y", "x@é")
        for time in ("2026-99-99T00:00:00Z", "2026-02-30T00:00:00Z", "2026-09-01T::Z", "T00:00:00Z")
    ]
    owner = journal_owner(who().user, who().host)
    own = [text.replace("x@y", owner) for text in forged[:4]]
    forged.append(f"2026-09-01T00:00:00Z x@é r1 7:{'0' * 64}")
    of_another_day = f"2026-09-01T00:00:00Z x@y r1 7:{'0' * 64}"
    with locked.sandbox.connect("desk") as desk:
        for name, texts in {"x@y": [*forged, of_another_day], "x@é": forged, owner: own}.items():
            attributes = {"objectClass": "piactlRecord", "description": texts}
            desk.add(f"cn={name}-{utc_now():%Y%m%d}0,{folder}", attributes=attributes)
    night = locked.run("nightly", "--as-of", "2026-09-02")
    assert night.code == 0, night
    assert f"cn=x@y-{utc_now():%Y%m%d}0,{folder}: a value is not a head of a journal" in night.err
    verification = locked.run("journal", "verify")
    assert (verification.code, "is not a head of a journal" in verification.err) == (0, True), verification
    doctor = locked.run("doctor", "-o", "json")
    assert doctor.code in (0, 1), doctor
    with locked.sandbox.connect("administrator") as administrator:
        for name in ("x@y", "x@é", owner):
            administrator.delete(f"cn={name}-{utc_now():%Y%m%d}0,{folder}")
    # what an earlier piactl remembers of them
    remembered = locked.sandbox.folder / "state" / "journal-head"
    with remembered.open("a") as file:
        file.write("".join(f"{text}\n" for text in forged))
    night = locked.run("nightly", "--as-of", "2026-09-03")
    assert (night.code, "removed" in night.err) == (0, False), night
    verification = locked.run("journal", "verify")
    assert verification.code == 0, verification


def days(academy: Academy) -> list[str]:
    with academy.sandbox.connect("reader") as reader:
        entries = searched(reader, f"ou=journals,{academy.sandbox.state}")
    return sorted(entry["dn"].partition(",")[0] for entry in entries)


def test_the_next_head_reveals_a_removed_head(locked: Academy) -> None:
    activate(locked)
    folder = f"ou=journals,{locked.sandbox.state}"
    with locked.sandbox.connect("administrator") as administrator:
        (entry,) = searched(administrator, folder)
        values = sorted(value.decode() for value in entry["raw_attributes"]["description"])
        administrator.modify(entry["dn"], {"description": [(ldap3.MODIFY_DELETE, [values[1]])]})
    verification = locked.run("journal", "verify")
    assert (verification.code, "a head was removed from the directory" in verification.err) == (1, True), (
        verification
    )
    assert values[1].partition(" ")[0] in verification.err
    doctor = {finding["id"]: finding for finding in locked.run("doctor", "-o", "json").json}
    assert (doctor["D50"]["result"], "was removed" in doctor["D50"]["found"]) == ("error", True)


def test_nights_notice_a_removed_last_head_of_another_journal(locked: Academy) -> None:
    """No later head of its owner names it, and the owner may have rewritten the journal to its end. Each
    night remembers the last heads of the other users and hosts."""
    folder = f"ou=journals,{locked.sandbox.state}"
    seen = utc_now() - timedelta(days=2)
    time = seen.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    value = str(Anchor(time, "piactl-admin@elsewhere", "r1", Head(7, "0" * 64)))
    dn = f"cn=piactl-admin@elsewhere-{seen:%Y%m%d},{folder}"
    locked.sandbox.add(dn, {"objectClass": "piactlRecord", "description": value})
    sentence = f"a head was removed from the directory, stored at {time} by piactl-admin@elsewhere"
    assert sentence not in locked.run("nightly", "--as-of", "2026-09-02").err
    with locked.sandbox.connect("administrator") as administrator:
        administrator.delete(dn)
    for day in ("2026-09-03", "2026-09-04"):
        assert sentence in locked.run("nightly", "--as-of", day).err
    doctor = {finding["id"]: finding for finding in locked.run("doctor", "-o", "json").json}
    assert (doctor["D50"]["result"], sentence in doctor["D50"]["found"]) == ("error", True)
    verification = locked.run("journal", "verify")
    assert (verification.code, sentence in verification.err) == (1, True), verification
    today = utc_now().date().isoformat()
    assert locked.run("journal", "prune", "--heads", "--before", today).code == 0
    assert locked.run("journal", "verify").code == 0, "an administrator looked into it"


def test_pruned_heads_are_accepted_and_otherwise_removed_ones_reported(locked: Academy) -> None:
    """Of several days of heads and the only head of another host, those before the day are removed; the last
    head of each journal stays, and a head that somebody else removes is still missed."""
    folder = f"ou=journals,{locked.sandbox.state}"
    today = utc_now().date()
    own, other = journal_owner(who().user, who().host), "piactl@elsewhere"
    with locked.sandbox.connect("nightly") as nightly:

        def store(owner: str, ago: int, head: Head, after: str) -> str:
            time = f"{today - timedelta(days=ago)}T00:00:00.000Z"
            dn = f"cn={owner}-{today - timedelta(days=ago):%Y%m%d},{folder}"
            value = str(Anchor(time, owner, f"r{ago}", head, after))
            nightly.add(dn, attributes={"objectClass": "piactlRecord", "description": value})
            return time

        after = ""
        for ago, raw in zip((4, 3, 2, 1), journal_of(locked).read_bytes().splitlines(), strict=False):
            line = json.loads(raw)
            after = store(own, ago, Head(line["seq"], line["hash"]), after)
        store(other, 9, Head(7, "0" * 64), "")
    before = days(locked)
    assert len(before) == 6
    words = ("journal", "prune", "--heads", "--before", (today - timedelta(days=2)).isoformat())
    ran = locked.run(*words, "--dry-run")
    assert (ran.code, "2 days of heads" in ran.out, days(locked)) == (0, True, before), ran
    ran = locked.run(*words)
    assert (ran.code, "2 days of heads" in ran.out) == (0, True), ran
    assert len(days(locked)) == 5, "today, two days, the last of the other host, and what says so"
    assert locked.run("journal", "verify").code == 0
    assert locked.run("journal", "verify").out.count("stored heads match") == 1
    activate(locked)
    assert locked.run("journal", "verify").code == 0
    # somebody else removes heads, and may write a record of a prune too
    with locked.sandbox.connect("administrator") as administrator:
        administrator.delete(f"cn={own}-{today - timedelta(days=2):%Y%m%d},{folder}")
        assert locked.run("journal", "verify").code == 1
        record = {"before": today.isoformat(), "by": "nobody", "seal": "{k1}00"}
        data = {"piactlData": [(ldap3.MODIFY_REPLACE, [json.dumps(record)])]}
        administrator.modify(f"cn=pruned,{folder}", data)
    verification = locked.run("journal", "verify")
    assert (verification.code, "another program wrote it" in verification.err) == (1, True), verification


def test_a_directory_without_ou_journals_is_reported(locked: Academy) -> None:
    with locked.sandbox.root() as root:
        for dn in [e["dn"] for e in searched(root, f"ou=journals,{locked.sandbox.state}")]:
            root.delete(dn)
        root.delete(f"ou=journals,{locked.sandbox.state}")
    ran = activate(locked)
    assert "the head of the journal is not stored in the directory" in ran.err
    doctor = {finding["id"]: finding for finding in locked.run("doctor", "-o", "json").json}
    assert doctor["D50"]["result"] == "error"
    assert "docs/upgrade-directory.md" in doctor["D50"]["advice"]


def test_syslog_gets_the_head(tmp_path: Path) -> None:
    address = str(tmp_path / "log")
    anchor = Anchor("2026-09-01T00:00:00.000Z", "host.example", "r1", Head(7, "ab" * 32))
    assert not log_head(anchor, address)
    assert not has_syslog(address)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(address)
        assert has_syslog(address)
        assert log_head(anchor, address)
        text = log.recv(1000).decode()
    assert text.startswith("<85>piactl[")
    assert read_anchor(text.partition("journal head ")[2]) == anchor


def searched(connection: ldap3.Connection, folder: str) -> list[Any]:
    connection.search(folder, "(objectClass=piactlRecord)", ldap3.LEVEL, attributes=["description"])
    return list(connection.response)


def stored(academy: Academy) -> list[Anchor]:
    with academy.sandbox.connect("reader") as reader:
        entries = searched(reader, f"ou=journals,{academy.sandbox.state}")
        texts = [value.decode() for entry in entries for value in entry["raw_attributes"]["description"]]
    anchors = [read_anchor(text) for text in texts]
    assert None not in anchors
    return [anchor for anchor in anchors if anchor is not None]
