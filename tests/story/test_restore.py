"""What docs/restore.md says about a restore, done on real servers: the result is that of a directory in which
nothing was lost."""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from piactl.core.journal_line import Anchor
from piactl.sandbox.server import find_software

from .academy import Academy
from .feeds import MICHELIS, THUILLIER, row
from .killed import killed_at_calls_of, killed_by

BASE, SUNDAY, MONDAY, TUESDAY, TODAY = (f"2026-09-{day:02}" for day in (5, 6, 7, 8, 9))
IDA = {"matricule": "1999", "prenom": "Ida", "nom_famille": "Rollin"}
NOEL = {"matricule": "2001", "prenom": "Noel", "nom_famille": "Carpentier", "uai": MICHELIS}
LEA = {"matricule": "2002", "prenom": "Lea", "nom_famille": "Fontaine", "uai": THUILLIER}


@pytest.fixture
def make(make_academy: Callable[..., Academy]) -> Callable[[], Academy]:
    """Makes academies with a full source and one of changes, after their first two nights."""
    return lambda: make_academy(accesslog=True, after=first_nights)


def first_nights(academy: Academy) -> None:
    academy.sources(full="kind: full", moves="kind: delta")
    academy.night(BASE, academy.feed(row(), row(**IDA), day=BASE, source="full"))
    academy.night(SUNDAY, academy.feed(row(**NOEL), day=SUNDAY, source="moves"))


def deltas(academy: Academy) -> list[tuple[str, Path]]:
    """Runs two nights of deltas: a newcomer, then their move and the end of another person."""
    moved = [row(**{**LEA, "uai": MICHELIS}), row(**{**NOEL, "fin": TUESDAY})]
    return [
        (MONDAY, academy.feed(row(**LEA), day=MONDAY, source="moves")),
        (TUESDAY, academy.feed(*moved, day=TUESDAY, source="moves")),
    ]


def slapd_conf(academy: Academy) -> str:
    return str(academy.sandbox.folder / "slapd" / "slapd.conf")


def back_up(academy: Academy, name: str = "backup") -> Path:
    """Runs `slapcat` on the running server; returns the LDIF."""
    ldif = academy.folder / f"{name}.ldif"
    words = [
        str(find_software().slapadd.with_name("slapcat")),
        "-f",
        slapd_conf(academy),
        "-o",
        "ldif-wrap=no",
    ]
    subprocess.run([*words, "-b", "o=gouv,c=fr", "-l", ldif], check=True, timeout=60, capture_output=True)
    return ldif


def restore(academy: Academy, ldif: Path) -> None:
    """Empties the database and loads the file by `slapadd`."""
    academy.sandbox.stop()
    for file in (academy.sandbox.folder / "slapd" / "data").rglob("*.mdb"):
        file.unlink()
    words = [str(find_software().slapadd), "-q", "-f", slapd_conf(academy), "-b", "o=gouv,c=fr", "-l", ldif]
    subprocess.run(words, check=True, timeout=60, capture_output=True)
    academy.sandbox.start()


def test_a_restored_directory_ends_as_the_undisturbed_one(make: Callable[[], Academy]) -> None:
    undisturbed, academy = make(), make()
    ldif = back_up(academy)
    nights = deltas(academy)
    for day, feed in nights:
        undisturbed.night(day, feed)
        academy.night(day, feed)
    lock = ["account", "lock", "-", "--reason", "l'essai", "--as-of", TUESDAY]
    locked = academy.spawn(*lock, stdin="ida.rollin\n")
    assert locked.code == 0, locked.err
    assert academy.run("status", "-o", "json").json["lost"] is None
    restore(academy, ldif)
    lost = academy.run("status")
    assert re.search(r"^alarms .*run 2\S+ wrote on .* piactl recover$", lost.out, re.MULTILINE), lost.out

    with academy.nothing_written():
        assert academy.night(TODAY, code=11).err.count("piactl recover") == 1
        assert "D40" in academy.run("doctor").out
    ran = academy.run("recover", "-o", "json")
    assert ran.code == 11, ran.err
    report = ran.json
    assert [len(run["feeds"]) for run in report["runs"]] == [1, 1, 0]
    assert [feed["file"] for feed in report["feeds"]] == [feed.name for _, feed in nights]
    states = {account["uid"]: account["state"] for run in report["runs"] for account in run["accounts"]}
    assert states == {"lea.fontaine": "missing", "noel.carpentier": "differs", "ida.rollin": "differs"}
    assert "ida.rollin: differs (lock, update)" in academy.run("recover").out
    (again,) = report["by_hand"]
    assert shlex.split(again) == ["piactl", *lock[:2], "ida.rollin", *lock[3:]]
    assert f"\n  {again}\n" in academy.run("recover").out
    assert re.search(r"\b1 absent\b", academy.spawn("recover", LC_ALL="fr_FR.UTF-8").out)

    assert academy.run("recover", "--accept").code == 2
    accepted = academy.run("recover", "--accept", "--reason", "backup of Sunday")
    assert accepted.code == 0, accepted.err
    assert [line.split("=")[1].split()[0] for line in accepted.err.splitlines() if "apply again" in line] == [
        feed.name for _, feed in nights
    ]
    assert f"give again after the feeds: {again}\n" in accepted.err
    assert academy.run("recover").code == 0
    assert academy.run("status", "-o", "json").json["lost"] is None
    academy.night(TODAY, *(feed for _, feed in nights))
    undisturbed.night(TODAY)
    assert academy.managed() == undisturbed.managed()
    academy.quiet_night(TODAY, nights[-1][1])
    assert academy.run("journal", "verify").code == 0


def test_names_that_lost_runs_gave_stay_with_their_first_owners(make: Callable[[], Academy]) -> None:
    """Whichever feeds follow: without a memory of these names, the lower matricule would get them."""
    academy = make()
    ldif = back_up(academy)
    people = [row(), row(**IDA)]
    first, second, namesake, other = (
        row(matricule=matricule, prenom="Zoe", nom_famille="Testeur")
        for matricule in ("2100", "2050", "2020", "2200")
    )
    renamed = row(**{**IDA, "nom_famille": "Marchand"})
    newcomer = row(matricule="1500", prenom="Ida", nom_famille="Marchand")
    lost = [
        (MONDAY, [academy.feed(*people, first, day=MONDAY, source="full"), deltas(academy)[0][1]]),
        (TUESDAY, [academy.feed(row(), renamed, first, second, day=TUESDAY, source="full")]),
    ]
    for day, feeds in lost:
        academy.night(day, *feeds)
    given = {uid: academy.values(uid, "mail") for uid in academy.names().values()}
    names = academy.names()
    assert (names["2100"], names["2050"]) == ("zoe.testeur", "zoe.testeur1")

    def restored() -> None:
        restore(academy, ldif)
        assert academy.run("recover", "--accept", "--reason", "backup of Sunday").code == 0

    def kept(*matricules: str) -> None:
        after = academy.names()
        assert {m: after[m] for m in matricules} == {m: names[m] for m in matricules}
        assert {after[m]: academy.values(after[m], "mail") for m in matricules} == {
            names[m]: given[names[m]] for m in matricules
        }
        assert "  error" not in academy.run("doctor").out

    # the one who had the address for two days is not in today's feed
    restored()
    academy.night(
        TODAY, academy.feed(row(), row(**IDA), second, namesake, newcomer, day=TODAY, source="full")
    )
    kept("2050")
    after = academy.names()
    assert (after["2020"], after["1500"]) == ("zoe.testeur2", "ida.marchand1")
    # an account made by hand does not get it, either
    for_one = ["--reason", "trial", "--yes", "--as-of", TODAY]
    made = academy.run(
        "account", "create", "--given-name", "Ida", "--family-name", "Marchand", "--uai", THUILLIER,
        "--function", "ENS", "--sponsor", "claire.dubreuil", "--until", "2026-12-01", *for_one,
    )  # fmt: skip
    assert "ida.marchand2" in made.out, made.out + made.err

    # today's feed alone
    restored()
    today = academy.feed(row(), renamed, first, second, namesake, other, day=TODAY, source="full")
    academy.night(TODAY, today)
    kept("2100", "2050", "1999")
    assert {*academy.names().values()} >= {"zoe.testeur2", "zoe.testeur3"}

    # the lost runs in their order, then today's, as the page says
    restored()
    for feeds in (*(feeds for _, feeds in lost), [today]):
        academy.night(TODAY, *feeds)
    kept(*names)
    academy.quiet_night(TODAY, today)


def test_a_digest_key_that_came_after_the_backup(make: Callable[[], Academy]) -> None:
    """The journal has the lost night under the new key, the backup knows the old one alone."""
    academy = make()
    ldif, file = back_up(academy), academy.sandbox.folder / "secrets" / "keys"
    old = file.read_text()
    assert academy.run("key", "add", "--reason", "the yearly change").out == "k2\n"
    both = file.read_text()
    people = row(), row(**IDA), row(**NOEL)
    first, namesake = (row(matricule=m, prenom="Zoe", nom_famille="Testeur") for m in ("2100", "2020"))
    academy.night(MONDAY, academy.feed(*people, first, day=MONDAY, source="full"))
    restore(academy, ldif)
    # a host that has retired the old key cannot read the backup
    file.write_text("".join(line for line in both.splitlines(keepends=True) if line not in old))
    refused = academy.run("recover", "--accept", "--reason", "backup of Sunday")
    assert (refused.code, "needs the digest key k1" in refused.err) == (10, True), refused
    file.write_text(both)
    (run,) = academy.run("recover", "-o", "json").json["runs"]
    states = {account["uid"]: account["state"] for account in run["accounts"]}
    assert states["zoe.testeur"] == "missing"
    assert academy.run("recover", "--accept", "--reason", "backup of Sunday").code == 0
    # a host without the new key writes nothing, as before the restore
    file.write_text(old)
    stopped = academy.run("nightly", "--as-of", TODAY)
    assert (stopped.code, "the current digest key of this directory is k2" in stopped.err) == (10, True), (
        stopped
    )
    file.write_text(both)
    academy.night(TODAY, academy.feed(*people, namesake, day=TODAY, source="full"))
    again = academy.feed(*people, first, namesake, day=TODAY, source="full")
    academy.night(TODAY, again)
    names = academy.names()
    assert (names["2100"], names["2020"]) == ("zoe.testeur", "zoe.testeur1")
    academy.quiet_night(TODAY, again)


def test_feeds_of_lost_runs_are_taken_after_a_later_one(
    make: Callable[[], Academy], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another host applied a later feed before the loss was noticed here."""
    academy = make()
    ldif = back_up(academy)
    (_, first), (_, second) = deltas(academy)
    academy.night(MONDAY, first)
    restore(academy, ldif)
    academy.edit("piactl.yaml", "journal: journal/piactl.jsonl", "journal: other/piactl.jsonl")
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("socket.gethostname", lambda: "other")
        academy.night(TUESDAY, second)
    academy.edit("piactl.yaml", "journal: other/piactl.jsonl", "journal: journal/piactl.jsonl")
    assert academy.run("recover", "--accept", "--reason", "backup").code == 0
    assert "lea.fontaine" in academy.names().values()
    academy.night(TODAY, first)
    assert academy.night(TODAY, first).json["summary"] == {}
    refused = academy.night(TODAY, academy.feed(row(**LEA), day=SUNDAY, source="moves"), code=6)
    assert "[older]" in refused.err


def test_a_host_restored_whole_is_noticed_by_the_heads_outside_it(
    make: Callable[[], Academy], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Directory, journal and state are from before the deltas: nothing on the host lacks anything. The heads
    are those that another host got by syslog."""
    undisturbed, academy = make(), make()
    heads: list[Anchor] = []
    monkeypatch.setattr("piactl.journal.writer.log_head", heads.append)
    ldif = back_up(academy)
    for name in ("journal", "state"):
        shutil.copytree(academy.sandbox.folder / name, academy.folder / name)
    nights, own = deltas(academy), list[Anchor]()
    for day, feed in nights:
        undisturbed.night(day, feed)
        heads.clear()
        academy.night(day, feed)
        own += heads
    restore(academy, ldif)
    for name in ("journal", "state"):
        shutil.rmtree(academy.sandbox.folder / name)
        shutil.copytree(academy.folder / name, academy.sandbox.folder / name)
    assert academy.run("recover").code == 0
    before = "Sep  8 02:00:01 nuit piactl[4242]: journal head "
    lines = "".join(f"{before}{head}\n" for head in own)
    assert "  error" not in academy.run("doctor").out
    assert academy.run("journal", "verify").code == 0
    verified = academy.run("journal", "verify", "--syslog", "-", stdin=lines)
    assert (verified.code, "the head in syslog of run" in verified.err) == (1, True), verified
    # as the page says
    begin = ["journal", "begin", "--reason", "snapshot of Sunday"]
    assert academy.run(*begin).code == 1, "nothing on this host says that lines are missing"
    assert academy.run(*begin, "--syslog", "-", stdin=lines).code == 0
    third = academy.feed(row(**{**LEA, "uai": THUILLIER}), day=TODAY, source="moves")
    academy.night(TODAY, third)  # before anybody noticed
    assert academy.run("undo", "last", "--reason", "deltas before it are lost", "--as-of", TODAY).code == 0
    for feed in (*(feed for _, feed in nights), third):
        again = ("--accept-feed", hashlib.sha256(feed.read_bytes()).hexdigest(), "--reason", "lost")
        ran = academy.run("nightly", feed, "--as-of", TODAY, *again)
        assert ran.code == 0, ran.err
    undisturbed.night(TODAY, third)
    assert academy.managed() == undisturbed.managed()
    assert "  error" not in academy.run("doctor").out
    assert academy.run("journal", "verify").code == 0


def in_another_second() -> None:
    """Waits until runs that begin now are later than those before, by their ids."""
    before = int(time.time())
    while int(time.time()) == before:
        time.sleep(0.01)


def test_a_journal_older_than_the_directory_is_noticed(make: Callable[[], Academy]) -> None:
    """The journal alone is restored from before a night. Restoring only the state folder does no harm."""
    academy = make()
    for name in ("journal", "state"):
        shutil.copytree(academy.sandbox.folder / name, academy.folder / name)
    nights = deltas(academy)
    in_another_second()
    academy.night(*nights[0])
    for name in ("state", "journal"):
        shutil.rmtree(academy.sandbox.folder / name)
        shutil.copytree(academy.folder / name, academy.sandbox.folder / name)
        if name == "state":
            academy.quiet_night(*nights[0])
    with academy.nothing_written():
        refused = academy.night(*nights[1], code=1)
        assert "which is not there" in refused.err
        assert "piactl journal begin" in refused.err
        deny = ["exception", "deny", "ida.rollin", "--service", "iprof", "--until", "2026-10-01"]
        assert academy.run(*deny, "--reason", "trial", "--yes", "--as-of", TUESDAY).code == 1
    in_another_second()
    assert academy.run("journal", "begin", "--reason", "yesterday's copy is the last").code == 0
    academy.night(*nights[1])
    assert academy.night(*nights[1]).json["summary"] == {}
    assert academy.run("journal", "verify").code == 0


def test_the_feeds_of_a_lost_plan_whose_run_was_killed_are_named(make: Callable[[], Academy]) -> None:
    academy = make()
    ldif = back_up(academy)
    (day, first), (later, second) = deltas(academy)
    academy.night(day, first)
    plan = academy.folder / "plan.json"
    assert academy.run("plan", second, "--as-of", later, "--out", plan).code == 0
    killed_by(killed_at_calls_of("write_ahead.Settlement"), academy, "1", "apply", str(plan))
    restore(academy, ldif)
    ran = academy.run("recover", "-o", "json")
    assert [feed["file"] for feed in ran.json["feeds"]] == [first.name, second.name], ran


def test_accepting_a_loss_where_there_is_none_is_refused(make: Callable[[], Academy]) -> None:
    academy = make()
    ran = academy.run("recover")
    assert (ran.code, ran.out) == (0, "the directory lacks no run of this host\n")
    assert academy.run("recover", "--accept", "--reason", "trial").code == 1


def test_an_accepted_loss_is_shown_again_after_a_second_restore(make: Callable[[], Academy]) -> None:
    academy = make()
    ldif = back_up(academy)
    academy.night(MONDAY, deltas(academy)[0][1])
    restore(academy, ldif)
    before = academy.run("recover", "-o", "json").json["runs"]
    assert academy.run("recover", "--accept", "--reason", "first").code == 0
    restore(academy, ldif)
    after = academy.run("recover", "-o", "json").json["runs"]
    assert [run["run"] for run in after][:-1] == [run["run"] for run in before]
    assert academy.run("recover", "--accept", "--reason", "second").code == 0
    academy.night(MONDAY)


def test_commands_to_give_again_are_listed_once_and_can_be_typed(make: Callable[[], Academy]) -> None:
    """Also after a second restore of the same copy; passwords go to the terminal, not to a file on stdout."""
    academy = make()
    ldif = back_up(academy)
    lock = ["account", "lock", "ida.rollin", "--reason", "trial", "--as-of", TUESDAY]
    activate = ["password", "activate", "noel.carpentier", "--administrator", "--reason", "letter"]
    letters = academy.folder / "letters.csv"
    for number in (1, 2):
        assert academy.spawn(*lock).code == 0
        letters.touch(mode=0o600)
        with letters.open("w") as stdout:
            words = academy.words(*activate, "--out", "-")
            subprocess.run(words, stdout=stdout, env=academy.environment(), check=True)
        letters.unlink()
        restore(academy, ldif)
        again = academy.run("recover", "-o", "json").json["by_hand"]
        assert [shlex.split(command)[1:] for command in again] == [lock, activate], number
        assert academy.run("recover", "--accept", "--reason", "backup of Sunday").code == 0


def test_a_directory_from_before_the_first_load_is_noticed(make_academy: Callable[..., Academy]) -> None:
    academy = make_academy()
    empty = back_up(academy)
    feed = academy.feed(row(), row(**IDA), day=BASE)
    academy.night(BASE, feed)
    restore(academy, empty)
    with academy.nothing_written():
        assert "does not have it" in academy.night(SUNDAY, feed, code=11).err
        assert "D40  error" in academy.run("doctor").out
    (run,) = academy.run("recover", "-o", "json").json["runs"]
    assert [lost_feed["file"] for lost_feed in run["feeds"]] == [feed.name]
    assert {account["uid"]: account["state"] for account in run["accounts"]} == {
        "claire.dubreuil": "missing",
        "ida.rollin": "missing",
    }
    assert academy.run("recover", "--accept", "--reason", "backup of before").code == 0
    academy.night(SUNDAY, feed)
    assert len(academy.accounts()) == 2
    assert academy.run("journal", "verify").code == 0


def with_part(new: Path, old: Path, below: str) -> Path:
    """The LDIF `new`, with everything below one entry as in `old`."""

    def entries(ldif: Path, *, inside: bool) -> list[str]:
        blocks = ldif.read_text(encoding="utf-8").strip().split("\n\n")
        return [block for block in blocks if block.partition("\n")[0].endswith(f",{below}") is inside]

    mixed = new.with_name("mixed.ldif")
    mixed.write_text("\n\n".join(entries(new, inside=False) + entries(old, inside=True)) + "\n", "utf-8")
    return mixed


@pytest.mark.parametrize("part", ["accounts", "state"])
def test_a_part_of_the_directory_restored_alone_is_noticed(make: Callable[[], Academy], part: str) -> None:
    """From before the nights, only the accounts are restored, or only ou=piactl."""
    undisturbed, academy = make(), make()
    old = back_up(academy, "old")
    nights = deltas(academy)
    for day, feed in nights:
        undisturbed.night(day, feed)
        academy.night(day, feed)
    until, for_one = ["--until", "2026-10-01", "--yes"], ["--reason", "trial", "--as-of", TUESDAY]
    denied = ["exception", "deny", "ida.rollin", "--service", "iprof", *until, *for_one]
    for twin in (academy,) if part == "accounts" else (undisturbed, academy):
        assert twin.run(*denied).code == 0
    restore(academy, with_part(back_up(academy, "new"), old, getattr(academy.sandbox, part)))

    lock = ["account", "lock", "ida.rollin", "--yes", *for_one]
    with academy.nothing_written():
        assert academy.night(TODAY, code=11).err.count("piactl recover") == 1
        for words in (
            ["exception", "deny", "noel.carpentier", "--service", "iprof", *until, *for_one],
            ["assignment", "end", "claire.dubreuil", "--uai", THUILLIER, "--on", TUESDAY, *until, *for_one],
            ["password", "activate", "ida.rollin", "--administrator", "--out", academy.folder / "codes.csv"],
            ["account", "rekey", "ida.rollin", "--from", "1999", "--to", "2999", "--yes", *for_one],
            ["account", "merge", "noel.carpentier", "ida.rollin", "--despite", "name", "--yes", *for_one],
            ["runs", "rewind", "--to", SUNDAY, "--reason", "trial"],
        ):
            ran = academy.run(*words)
            assert (ran.code, "piactl recover" in ran.err) == (11, True), (words, ran.code, ran.err)
        assert "D40  error" in academy.run("doctor").out
    emergency = academy.run(*lock)
    assert emergency.code == 0, emergency.err
    assert "warning: the directory is older" in emergency.err
    with academy.nothing_written():
        academy.night(TODAY, code=11)
    recovery = academy.run("recover", "-o", "json")
    assert recovery.code == 11, recovery.err
    assert [feed["file"] for feed in recovery.json["feeds"]] == [feed.name for _, feed in nights]
    assert academy.run("recover", "--accept", "--reason", "backup of Sunday").code == 0
    assert academy.run("recover").code == 0
    academy.night(TODAY, *(feed for _, feed in nights))
    if part == "accounts":  # ou=piactl knows the newcomer, whose entry counts as deleted by another program
        reverted = academy.run("drift", "revert", "lea.fontaine", "--yes", *for_one[:-1], TODAY)
        assert reverted.code == 0, reverted.err + academy.run("drift", "list", "--as-of", TODAY).out
    undisturbed.night(TODAY)
    assert academy.run("account", "unlock", *lock[2:-1], TODAY).code == 0
    for twin in (undisturbed, academy) if part == "accounts" else ():
        assert twin.run(*denied[:-1], TODAY).code == 0
    assert academy.managed() == undisturbed.managed()
    academy.quiet_night(TODAY, nights[-1][1])
    assert academy.run("journal", "verify").code == 0


def test_an_old_copy_of_the_journal_is_noticed_by_doctor_and_verify(make: Callable[[], Academy]) -> None:
    """The runs that it lacks are commands for one account, not the last ones in the directory."""
    academy = make()
    lock = ["account", "lock", "ida.rollin", "--yes", "--reason", "trial", "--as-of", TUESDAY]
    journal, copy = academy.sandbox.folder / "journal", academy.folder / "copy"
    shutil.copytree(journal, copy)
    assert academy.run(*lock).code == academy.run("account", "unlock", *lock[2:]).code == 0
    shutil.rmtree(journal)
    shutil.copytree(copy, journal)
    activate = [
        "password",
        "activate",
        "ida.rollin",
        "--administrator",
        "--out",
        academy.folder / "codes.csv",
    ]
    deny = ["exception", "deny", "ida.rollin", "--service", "iprof", "--until", "2026-10-01", *lock[3:]]
    for words in (activate, deny):
        assert academy.run(*words).code == 0
    (chain,) = (line for line in academy.run("doctor").out.splitlines() if line[5:10] == "error")
    assert chain.startswith("D09  error"), chain
    assert academy.run("journal", "verify").code == 1


def test_a_part_that_is_gone_or_old_is_noticed_by_each_command_that_writes(
    make: Callable[[], Academy],
) -> None:
    academy = make()
    nights = deltas(academy)
    academy.night(*nights[0])
    ldif, folder = back_up(academy), academy.sandbox.folder
    for_one = ["--reason", "trial", "--as-of", TUESDAY]
    commands = (
        ["nightly", nights[1][1], "--as-of", TUESDAY],
        ["exception", "deny", "ida.rollin", "--service", "iprof", "--until", "2026-10-01", "--yes", *for_one],
        ["password", "activate", "ida.rollin", "--administrator", "--out", academy.folder / "codes.csv"],
        ["account", "rekey", "ida.rollin", "--from", "1999", "--to", "2999", "--yes", *for_one],
    )

    def noticed(text: str, code: int, of_one: int) -> None:
        with academy.nothing_written():
            for words in commands:
                ran = academy.run(*words)
                assert ran.code == (code if words[0] == "nightly" else of_one), (words, ran.code, ran.err)
                assert text in ran.err or ran.code == 9, (words, ran.err)

    empty = academy.folder / "empty.ldif"
    empty.write_text("")
    for part, of_one in ((academy.sandbox.accounts, 9), (academy.sandbox.state, 11)):
        restore(academy, with_part(ldif, empty, part))
        noticed("piactl recover", 11, of_one)
    restore(academy, ldif)

    # an old register: people at an establishment that it lacks lose nothing and gain nothing
    register = folder / "establishments.csv"
    lines = register.read_text()
    register.write_text("".join(line for line in lines.splitlines(True) if not line.startswith(THUILLIER)))
    academy.quiet_night(TUESDAY, academy.feed(row(), row(**IDA), day=TUESDAY, source="full"))
    register.write_text(lines)

    # an old copy of the key file: each host needs the current key of digests
    keys = next(folder.glob("secrets/**/keys"))
    old = keys.read_text()
    assert academy.run("key", "add", "--reason", "trial").code == 0
    now = keys.read_text()
    keys.write_text(old)
    noticed("digest key", 10, 10)
    keys.write_text(now)
    day, feed = nights[1]
    put_back = academy.run("nightly", feed, "--as-of", day, "--reason", "the register is back")
    assert put_back.code == 0, put_back.err
    assert academy.run("journal", "verify").code == 0
