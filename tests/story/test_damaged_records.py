"""Records below piactl's state entry, and devices, that another program damaged, replaced or added: commands
report them and continue; if that is not safe, they refuse with a message."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import ldap3
import pytest

from tests.conftest import Sandbox, preparing
from tests.outside import Exit, civil_today, identity_dn
from tests.remembered import copy_prepared, kept_folder

from .academy import Academy, Ran
from .feeds import row
from .phones import enrolled, verified

CLAIRE, HUGO = "claire.dubreuil", "hugo.caron"
NUMEN, WRONG = "20E9512345XYZ", "20E9512346XYZ"
TODAY = civil_today("Europe/Paris")
DAY = TODAY.isoformat()
AHEAD = "2099-01-01T00:00:00+00:00"
WHY = ("--reason", "sur demande")
NIGHTLY = identity_dn("nightly")
RUN = "20260101T000000-abcdef"
Entry = dict[str, list[bytes]]


def rows(mail: str, *, newcomer: bool = True) -> list[str]:
    """Claire, whose private address changes each night; Hugo; Léa, who starts far in the future."""
    own = row(numen=NUMEN, courriel_prive=mail, debut="2020-09-01")
    hugo = row(matricule="1002", prenom="Hugo", nom_famille="Caron", debut="2020-09-01")
    far = (TODAY + timedelta(days=200)).isoformat()
    lea = row(matricule="1003", prenom="Léa", nom_famille="Faure", debut=far)
    return [own, hugo, *([lea] if newcomer else [])]


def answer(academy: Academy, numen: str) -> Ran:
    path = academy.folder / f"codes-{len(academy.said)}.csv"
    return academy.run("password", "reset", CLAIRE, "--numen-file", "-", "--out", path, stdin=f"{numen}\n")


@dataclass
class Damaged:
    """An academy with one record of every kind, each of which can be damaged and put back."""

    academy: Academy
    names: dict[str, str] = field(default_factory=dict)
    good: dict[str, Entry] = field(default_factory=dict)
    mails: int = 0

    def fill(self) -> None:
        academy, state = self.academy, self.academy.sandbox.state
        academy.allow_up_to(1000, "password", "password_operator", "password_day")
        academy.night(DAY, academy.feed(*rows("claire0@example.org"), day=DAY))
        verified(academy, HUGO)
        enrolled(academy, CLAIRE)
        assert academy.run("key", "add", *WHY).code == 0
        # a second night, which leaves an undo record
        self.night()
        assert answer(academy, WRONG).code == Exit.FAILED
        lock = {"run": RUN, "host": "other.example", "pid": 4242, "began": 1, "who": "piactl", "place": ""}
        lock |= {"since": "2026-01-01T00:00:00+00:00", "expires": "2026-01-01T00:05:00+00:00"}
        self.add(f"cn=lock,{state}", {"objectClass": ["piactlRecord"], "piactlData": [json.dumps(lock)]})
        everything = academy.sandbox.entries(state) | academy.sandbox.entries(academy.sandbox.accounts)
        records = {dn: entry for dn, entry in everything.items() if b"piactlRecord" in entry["objectClass"]}
        run = academy.run("runs", "show", "last", "-o", "json").json["run"]

        def one(*parts: str) -> str:
            return min(dn for dn in records if all(part in dn for part in parts))

        self.names = {
            "state": f"cn=state,{state}",
            "lock": f"cn=lock,{state}",
            "keys": f"cn=keys,{state}",
            "source": f"cn=hr,ou=sources,{state}",
            "waiting": one(",ou=waiting,"),
            "attempts": one("cn={", ",ou=attempts,"),
            "all attempts": f"cn=all,ou=attempts,{state}",
            "run": f"cn={run},ou=runs,{state}",
            "undo": one(f"cn=undo-00000,cn={run},"),
            "device": one(f",uid={CLAIRE},"),
            "device in force": one(f",uid={HUGO},"),
        }
        assert set(self.names) == set(KINDS)
        self.good = {dn: records[dn] for dn in self.names.values()}

    def night(self) -> Ran:
        """Runs a night that changes Claire's private address; returns whether it did."""
        self.mails += 1
        feed = self.academy.feed(*rows(f"claire{self.mails}@example.org"), day=DAY)
        return self.academy.run("nightly", feed, "--as-of", DAY)

    @property
    def applied(self) -> bool:
        return self.academy.values(CLAIRE, "supannMailPrive") == [f"{{PERSO}}claire{self.mails}@example.org"]

    def record(self, kind: str) -> dict[str, Any]:
        record: dict[str, Any] = json.loads(self.good[self.names[kind]]["piactlData"][0])
        return record

    def data(self, kind: str, *values: bytes) -> None:
        """Replaces the data of the record."""
        with self.academy.sandbox.root() as root:
            root.modify(self.names[kind], {"piactlData": [(ldap3.MODIFY_REPLACE, list(values))]})

    def add(self, dn: str, values: dict[str, Any]) -> None:
        self.academy.sandbox.add(dn, {"cn": [dn.partition("=")[2].partition(",")[0]], **values})

    def remove(self, dn: str) -> None:
        if self.academy.sandbox.entry(dn) is None:
            return
        below = sorted(self.academy.sandbox.entries(dn), key=len, reverse=True)
        with self.academy.sandbox.root() as root:
            for name in below:
                root.delete(name)

    def restore(self, kind: str) -> None:
        dn = self.names[kind]
        undo = self.academy.sandbox.entries(dn) if self.academy.sandbox.entry(dn) else {}
        self.remove(dn)
        restored = {
            dn: self.good[dn],
            **{
                name: undo_entry
                for name, undo_entry in undo.items()
                if name.startswith("cn=undo-") and name != dn
            },
        }
        if kind == "run":
            restored[self.names["undo"]] = self.good[self.names["undo"]]
        for name, entry in sorted(restored.items(), key=lambda pair: len(pair[0])):
            operational = {"structuralObjectClass", "entryUUID", "entryCSN", "entryDN", "subschemaSubentry"}
            operational |= {"creatorsName", "createTimestamp", "modifiersName", "modifyTimestamp"}
            operational |= {"hasSubordinates"}
            with self.academy.sandbox.root() as root:
                root.add(name, attributes={n: v for n, v in entry.items() if n not in operational})


@cache
def _filled() -> tuple[Path, Damaged]:
    """The folder of the files and a stopped academy with the records."""
    files = kept_folder()
    with preparing() as sandbox:
        prepared = Damaged(Academy(sandbox, files))
        prepared.fill()
    return files, prepared


@pytest.fixture(scope="module")
def shared() -> Iterator[Callable[[], Damaged]]:
    """The academy of the last tests, or a new one if that one has many runs, all of which commands read."""
    current: list[tuple[Damaged, int]] = []

    def leave() -> None:
        for copy, _ in current:
            copy.academy.sandbox.stop()
            for folder in (copy.academy.sandbox.folder, copy.academy.folder):
                shutil.rmtree(folder)
        current.clear()

    def get() -> Damaged:
        if not current or current[0][1] == 15:
            leave()
            files, prepared = _filled()
            folder, copied = (Path(tempfile.mkdtemp(prefix="piactl-test-")) for _ in range(2))
            copy_prepared(prepared.academy.sandbox.folder, folder)
            shutil.copytree(files, copied, dirs_exist_ok=True)
            academy = replace(prepared.academy, sandbox=Sandbox.started(folder), folder=copied, said=[])
            current.append((replace(prepared, academy=academy), 0))
        copy, used = current.pop()
        current.append((copy, used + 1))
        return copy

    yield get
    leave()


@pytest.fixture
def damaged(shared: Callable[[], Damaged]) -> Damaged:
    return shared()


# ---- every kind, damaged in every way


def _ahead(damaged: Damaged, kind: str) -> None:
    changes: dict[str, Any] = {
        "state": {"as_of": "2099-01-01"},
        "lock": {"expires": AHEAD},
        "source": {"date": "2099-01-01"},
        "waiting": {"due": "2099-01-01"},
        "attempts": {"last": AHEAD},
        "all attempts": {"failures": [AHEAD]},
        "run": {"started": AHEAD},
        "device": {"made": AHEAD},
        "device in force": {"verified": AHEAD},
    }
    damaged.data(kind, json.dumps({**damaged.record(kind), **changes.get(kind, {})}).encode())


def _foreign(damaged: Damaged, kind: str) -> None:
    dn = damaged.names[kind]
    damaged.remove(dn)
    damaged.add(dn, {"objectClass": ["applicationProcess"]})


DAMAGES: dict[str, Any] = {
    "not JSON": lambda damaged, kind: damaged.data(kind, b"rubbish"),
    "no text": lambda damaged, kind: damaged.data(kind, b"\xff\xfe\x00{"),
    "deep JSON": lambda damaged, kind: damaged.data(kind, b"[" * 100_000),
    "JSON of another type": lambda damaged, kind: damaged.data(kind, b"[1]"),
    "a missing field": lambda damaged, kind: damaged.data(kind, b"{}"),
    "fields of other types": lambda damaged, kind: damaged.data(
        kind, json.dumps({name: [{}] for name in damaged.record(kind)}).encode()
    ),
    "no data": lambda damaged, kind: damaged.data(kind),
    "a future instant": _ahead,
    "an unknown format": lambda damaged, kind: damaged.data(
        kind, json.dumps({**damaged.record(kind), "format": 2}).encode()
    ),
    "another class": _foreign,
    "an entry below": lambda damaged, kind: damaged.add(
        f"cn=below,{damaged.names[kind]}", {"objectClass": ["applicationProcess"]}
    ),
}
KINDS = (
    *("state", "lock", "keys", "source", "waiting", "attempts", "all attempts", "run", "undo"),
    *("device", "device in force"),
)
NOT_UNREADABLE = {
    # an empty count is a count of zero
    ("attempts", "a missing field"),
    ("all attempts", "a missing field"),
    # none of these must be in the past
    ("keys", "a future instant"),
    ("source", "a future instant"),
    ("waiting", "a future instant"),
    ("undo", "a future instant"),
    ("device", "a future instant"),
    ("device in force", "a future instant"),
    # commands find the devices of an account by their class, and look for nothing else below it
    ("device", "another class"),
    ("device in force", "another class"),
    ("device", "an entry below"),
    ("device in force", "an entry below"),
}
"""Damages that commands have no reason to report."""


def code_of_the_night(kind: str, damage: str) -> Exit:
    """A night cannot do without two records: a lock that cannot be read counts as held, and no run is made
    for a day before the last one."""
    if kind == "lock" and damage != "an entry below":
        return Exit.LOCKED
    if kind == "state" and damage == "a future instant":
        return Exit.REFUSED
    if kind == "source" and damage == "a future instant":
        return Exit.FEED_REFUSED
    return Exit.DONE


def some_of_each(share: int, *also: tuple[str, str]) -> list[Any]:
    """Every kind with every damage. In short runs each kind gets one damage in `share`, and each damage one
    kind in `share`, and `also` these kinds these damages."""
    return [
        pytest.param(
            kind, damage, marks=[pytest.mark.long] * ((k + d) % share > 0 and (kind, damage) not in also)
        )
        for k, kind in enumerate(KINDS)
        for d, damage in enumerate(DAMAGES)
    ]


def met_at_night(kind: str, damage: str) -> bool:
    """Whether a night reads the record: it reads neither earlier runs nor devices."""
    if (kind, damage) in NOT_UNREADABLE:
        return False
    if kind in ("run", "undo", "device", "device in force"):
        return damage in ("another class", "an entry below")
    return True


@pytest.mark.parametrize(("kind", "damage"), some_of_each(5, ("source", "another class")))
def test_a_night_skips_a_damaged_record_and_reports_it(damaged: Damaged, kind: str, damage: str) -> None:
    """It names the entry and what to do once, and writes the accounts of the night."""
    dn = damaged.names[kind]
    damaged.restore(kind)
    DAMAGES[damage](damaged, kind)
    before = damaged.academy.stamps()
    try:
        ran = damaged.night()
        assert ran.code == code_of_the_night(kind, damage), ran
        assert (damaged.academy.stamps() == before) is (ran.code != Exit.DONE), ran
        assert damaged.applied is (ran.code == Exit.DONE), ran
        name = f"cn=below,{dn}" if damage == "an entry below" else dn
        if ran.code == Exit.DONE and met_at_night(kind, damage):
            [line] = [line for line in ran.err.splitlines() if f"skipped {name}: " in line]
            assert "delete" in line or "upgrade" in line or "clocks" in line
            assert "rubbish" not in line
        if kind == "source" and ran.code == Exit.DONE:
            entry = damaged.academy.sandbox.entry(dn) or {}
            if b"piactlRecord" in entry["objectClass"]:
                assert json.loads(entry["piactlData"][0])["source"] == "hr", "it is made again"
        if ran.code == Exit.REFUSED:
            assert "piactl runs rewind --to" in ran.err
        elif ran.code == Exit.LOCKED:
            assert dn in ran.err
            assert "If no run is under way, delete the entry" in ran.err
        assert damaged.academy.run("journal", "verify").code == 0
    finally:
        damaged.restore(kind)
    if ran.code != Exit.DONE:
        assert damaged.night().code == Exit.DONE
        assert damaged.applied


COMMANDS: dict[str, tuple[str, ...]] = {
    "runs list": ("runs", "list", "-o", "json"),
    "runs show": ("runs", "show", "last"),
    "key list": ("key", "list"),
    "otp show": ("otp", "show", CLAIRE),
    "otp show in force": ("otp", "show", HUGO),
    "plan": ("plan",),
    "forecast": ("forecast",),
    "why": ("why", CLAIRE, "login"),
    "journal verify": ("journal", "verify"),
    "undo": ("undo", "last", "--dry-run"),
    "lock": ("account", "lock", CLAIRE, *WHY),
    "unlock": ("account", "unlock", CLAIRE, *WHY),
    "enroll": ("otp", "enroll", CLAIRE, "--uri-file", "{new}", *WHY),
    "activate": ("password", "activate", CLAIRE, "--administrator", "--out", "{new}"),
    "doctor": ("doctor", "-o", "json"),
}


def code_of(name: str, kind: str, damage: str) -> set[int]:
    """The exit codes that are allowed besides 0."""
    if kind == "state" and damage == "a future instant" and name in ("lock", "unlock", "enroll", "activate"):
        return {Exit.REFUSED}
    if name == "undo" and kind == "undo":  # some or all of what it needs is missing
        return {Exit.FAILED}
    if name == "undo" and kind in ("run", "state", "source"):
        return {Exit.FAILED, Exit.REFUSED}
    if name == "enroll" and (kind, damage) == ("device", "an entry below"):
        return {Exit.FAILED}  # the device that it replaces cannot be deleted
    if name == "doctor":
        return {Exit.FAILED}
    return set()


@pytest.mark.parametrize(
    ("kind", "damage"), some_of_each(11, ("attempts", "a future instant"), ("undo", "a missing field"))
)
def test_other_commands_continue_despite_a_damaged_record(damaged: Damaged, kind: str, damage: str) -> None:
    """None of them ends with 70; doctor names the entry."""
    dn, academy = damaged.names[kind], damaged.academy
    damaged.restore(kind)
    DAMAGES[damage](damaged, kind)
    try:
        for name, words in COMMANDS.items():
            new = academy.folder / f"new-{len(academy.said)}"
            ran = academy.run(*(str(new) if word == "{new}" else word for word in words))
            assert ran.code in {Exit.DONE, *code_of(name, kind, damage)}, (name, ran)
            if ran.code:
                assert ran.err or ran.out, ran
            if name == "doctor":
                findings = {finding["id"]: finding for finding in ran.json}
        check = findings["D37"]
        if kind == "undo" and damage != "an entry below":
            return  # the reader may not see what undo needs; undo reports it
        if (kind, damage) in NOT_UNREADABLE or (kind, damage) == ("state", "a future instant"):
            return
        assert check["result"] in ("warning", "error"), check
        assert dn in check["found"], check
        assert check["advice"]
    finally:
        damaged.restore(kind)
        for device in academy.sandbox.entries(academy.dn(CLAIRE), "(objectClass=oathTOTPToken)"):
            if device != damaged.names["device"]:
                damaged.remove(device)


# ---- what is safe if skipping is not


def unlocked(academy: Academy) -> Damaged:
    prepared = Damaged(academy)
    prepared.fill()
    prepared.remove(prepared.names["lock"])
    return prepared


@pytest.fixture
def loaded(make_academy: Callable[..., Academy]) -> Damaged:
    academy = make_academy(after=unlocked)
    return replace(academy.left, academy=academy)


def test_without_the_state_record_last_day_and_guards_still_count(loaded: Damaged) -> None:
    loaded.data("state", b"rubbish")
    yesterday = (TODAY - timedelta(days=1)).isoformat()
    with loaded.academy.nothing_written():
        early = loaded.academy.run("nightly", "--as-of", yesterday)
    assert early.code == Exit.REFUSED, early
    assert f"before that of the last one, {DAY}" in early.err
    # the share would allow it, but the number of accounts is not known
    loaded.academy.edit(
        "policy.yaml", "  lock:       {floor: 5, share: 0.001}", "  lock:       {max: 0, share: 0.9}"
    )
    refused = loaded.academy.run("account", "lock", CLAIRE, *WHY)
    assert refused.code == Exit.REFUSED, refused
    assert loaded.academy.run("account", "lock", CLAIRE, *WHY, "--allow", "lock=1").code == Exit.DONE
    ran = loaded.night()
    assert ran.code == Exit.DONE
    entry = loaded.academy.sandbox.entry(loaded.names["state"])
    assert entry is not None
    assert json.loads(entry["piactlData"][0])["clean"] is True
    assert loaded.academy.run("account", "unlock", CLAIRE, *WHY).code == Exit.DONE


def test_a_state_record_with_a_field_of_an_earlier_version_is_read(loaded: Damaged) -> None:
    loaded.data("state", json.dumps({**loaded.record("state"), "otp_schema": True}).encode())
    yesterday = (TODAY - timedelta(days=1)).isoformat()
    early = loaded.academy.run("nightly", "--as-of", yesterday)
    assert loaded.record("state")["run"] in early.err, early
    ran = loaded.night()
    assert (ran.code, loaded.names["state"] in ran.err) == (Exit.DONE, False), ran
    entry = loaded.academy.sandbox.entry(loaded.names["state"])
    assert entry is not None
    assert "otp_schema" not in json.loads(entry["piactlData"][0])


def test_without_the_record_of_a_source_an_old_feed_is_still_refused(loaded: Damaged) -> None:
    academy = loaded.academy
    old = sorted(academy.folder.glob("hr-*.csv"))[0]
    for damage in ("not JSON", "no data", "another class"):
        DAMAGES[damage](loaded, "source")
        (academy.sandbox.folder / "state" / "older.sha256").unlink(missing_ok=True)
        with academy.nothing_written():
            ran = academy.run("nightly", old, "--as-of", DAY)
        assert ran.code == Exit.FEED_REFUSED, ran
        assert "[older]" in ran.err
        assert loaded.names["source"] in ran.err
        loaded.restore("source")


def test_without_the_record_of_a_source_an_undone_feed_is_still_refused(loaded: Damaged) -> None:
    academy = loaded.academy
    assert loaded.night().code == Exit.DONE
    feed = sorted(academy.folder.glob("hr-*.csv"))[-1]
    assert academy.run("undo", "last", *WHY).code == Exit.DONE
    loaded.data("source", b"rubbish")
    with academy.nothing_written():
        ran = academy.run("nightly", feed, "--as-of", DAY)
    assert ran.code == Exit.FEED_REFUSED, ran
    assert "[undone]" in ran.err


def test_a_host_without_the_needed_key_still_refuses(loaded: Damaged) -> None:
    assert loaded.night().code == Exit.DONE  # the digests move to the new key
    loaded.data("keys", b"rubbish")
    keys = loaded.academy.sandbox.folder / "secrets" / "keys"
    text = keys.read_text()
    keys.write_text("".join(line for line in text.splitlines(keepends=True) if not line.startswith("k2")))
    with loaded.academy.nothing_written():
        ran = loaded.night()
    assert ran.code == Exit.CONFIGURATION, ran
    assert "needs the digest key k2" in ran.err
    keys.write_text(text)
    assert loaded.night().code == Exit.DONE


def test_a_key_is_not_retired_while_a_device_record_is_unreadable(loaded: Damaged) -> None:
    for _ in range(2):
        assert loaded.night().code == Exit.DONE
    loaded.remove(loaded.names["attempts"])
    loaded.data("device in force", b"rubbish")
    ran = loaded.academy.run("key", "retire", "k1", *WHY)
    assert ran.code == Exit.FAILED, ran
    assert loaded.names["device in force"] in ran.err


def test_no_reset_passes_while_the_device_in_force_is_unreadable(loaded: Damaged) -> None:
    """Neither with NUMEN and code nor with the NUMEN alone, as for an account without a device."""
    academy = loaded.academy
    phone = verified(academy, CLAIRE)
    for device in academy.sandbox.entries(academy.dn(CLAIRE), "(objectClass=oathTOTPToken)"):
        with academy.sandbox.root() as root:
            root.modify(device, {"piactlData": [(ldap3.MODIFY_REPLACE, [b"rubbish"])]})
    shown = academy.run("otp", "show", CLAIRE, "-o", "json").json[0]
    assert (shown["login"], shown["suspended"], shown["devices"]) == ("password and code", False, [])
    path = academy.folder / "codes.csv"
    words = ("password", "reset", CLAIRE, "--numen-file", "-", "--one-time-code-file", "-", "--out", path)
    ran = academy.run(*words, stdin=f"{NUMEN}\n{phone.code()}\n")
    assert ran.code not in (Exit.DONE, Exit.BUG), ran
    assert f",uid={CLAIRE}," in ran.err
    ran = academy.run(*words[:5], "--out", path, stdin=f"{NUMEN}\n")
    assert (ran.code, "give it with --one-time-code-file" in ran.err) == (Exit.USAGE, True), ran
    assert not path.exists()


def test_an_undo_with_a_damaged_record_restores_the_rest(loaded: Damaged) -> None:
    """What can be put back is put back; it says that some accounts are not known, and exits with 5."""
    academy = loaded.academy
    run = loaded.names["run"]
    loaded.add(f"cn=undo-00001,{run}", {"objectClass": ["piactlRecord"], "piactlData": ["rubbish"]})
    ran = academy.run("undo", "last", *WHY)
    assert ran.code == Exit.PARTLY, ran
    assert f"cn=undo-00001,{run}" in ran.err
    assert academy.values(CLAIRE, "supannMailPrive") == ["{PERSO}claire0@example.org"]


# ---- counts of identity checks


def count_of(loaded: Damaged, kind: str = "attempts") -> dict[str, Any]:
    entry = loaded.academy.sandbox.entry(loaded.names[kind])
    return json.loads(entry["piactlData"][0]) if entry else {}


FEW = ("not JSON", "a missing field", "a future instant")
COUNTS = pytest.mark.parametrize(
    "damage",
    [
        pytest.param(damage, marks=[] if damage in FEW else pytest.mark.long)
        for damage in DAMAGES
        if damage not in ("another class", "an entry below")
    ],
)


@COUNTS
def test_an_unreadable_attempt_count_allows_one_try_and_is_kept(loaded: Damaged, damage: str) -> None:
    """There is one more try; after a wrong one, waiting starts."""
    DAMAGES[damage](loaded, "attempts")
    readable = damage in ("a missing field", "a future instant")
    assert answer(loaded.academy, WRONG).code == Exit.FAILED
    assert count_of(loaded)["failures"] == {"a missing field": 1, "a future instant": 2}.get(damage, 5)
    if not readable:
        assert answer(loaded.academy, NUMEN).code == Exit.REFUSED
    DAMAGES[damage](loaded, "attempts") if not readable else None
    assert answer(loaded.academy, NUMEN).code == Exit.DONE
    assert count_of(loaded) == {}


@COUNTS
def test_a_damaged_count_of_all_attempts_blocks_nobody(loaded: Damaged, damage: str) -> None:
    DAMAGES[damage](loaded, "all attempts")
    assert answer(loaded.academy, WRONG).code == Exit.FAILED
    assert answer(loaded.academy, NUMEN).code == Exit.DONE


@pytest.mark.parametrize(("failures", "minutes"), [(5, 1), (6, 2), (40, 24 * 60)])
def test_an_attempt_count_dated_ahead_causes_only_the_usual_wait(
    loaded: Damaged, failures: int, minutes: int
) -> None:
    loaded.data("attempts", json.dumps({"failures": failures, "last": AHEAD}).encode())
    ran = answer(loaded.academy, NUMEN)
    assert ran.code == Exit.REFUSED, ran
    assert "2099" not in ran.err
    assert loaded.names["attempts"] in ran.err
    stored = count_of(loaded)
    assert stored["failures"] == failures, "the count is not forgotten"
    last = datetime.fromisoformat(stored["last"])
    assert datetime.now(UTC) - last < timedelta(minutes=1), "from now on its time runs"
    passed = datetime.now(UTC) - timedelta(minutes=minutes, seconds=1)
    loaded.data("attempts", json.dumps({"failures": failures, "last": passed.isoformat()}).encode())
    assert answer(loaded.academy, NUMEN).code == Exit.DONE


def test_counts_of_all_attempts_dated_ahead_are_dated_to_now(loaded: Damaged) -> None:
    loaded.data("all attempts", json.dumps({"failures": [AHEAD] * 60}).encode())
    ran = answer(loaded.academy, NUMEN)
    assert ran.code == Exit.REFUSED, ran
    assert "2099" not in ran.err
    instants = [datetime.fromisoformat(instant) for instant in count_of(loaded, "all attempts")["failures"]]
    assert len(instants) == 60
    assert max(instants) <= datetime.now(UTC)


def test_a_night_dates_attempt_counts_of_the_future_to_now(loaded: Damaged) -> None:
    loaded.data("attempts", json.dumps({"failures": 9, "last": AHEAD}).encode())
    ran = loaded.night()
    assert ran.code == Exit.DONE
    assert loaded.names["attempts"] in ran.err
    assert count_of(loaded)["failures"] == 9
    assert datetime.fromisoformat(count_of(loaded)["last"]) <= datetime.now(UTC)


def test_an_identity_check_that_cannot_be_counted_is_refused(loaded: Damaged) -> None:
    for kind in ("attempts", "all attempts"):
        DAMAGES["another class"](loaded, kind)
        for numen in (WRONG, NUMEN):
            ran = answer(loaded.academy, numen)
            assert ran.code == Exit.CONFIGURATION, ran
            assert loaded.names[kind] in ran.err
        loaded.restore(kind)


def test_an_entry_below_an_attempt_count_blocks_nobody(loaded: Damaged) -> None:
    for kind in ("attempts", "all attempts"):
        DAMAGES["an entry below"](loaded, kind)
    assert answer(loaded.academy, NUMEN).code == Exit.DONE
    assert count_of(loaded).get("failures", 0) == 0
    assert answer(loaded.academy, WRONG).code == Exit.FAILED
    assert count_of(loaded)["failures"] == 1


def test_a_night_deletes_and_names_the_malformed_records_that_the_help_desk_can_add(loaded: Damaged) -> None:
    """Nobody else would: the desk cannot delete a request. What a later version wrote stays."""
    sandbox = loaded.academy.sandbox
    malformed = {
        f"cn={name},ou={folder},{sandbox.state}": data
        for folder in ("attempts", "requests")
        for name, data in (("a", b"rubbish"), ("b", b"[1]"), ("c", b'{"last": 7}'), ("d", b""))
    }
    malformed[f"cn=cfhk-2222-ended,ou=requests,{sandbox.state}"] = b'{"outcome": "approved"}'  # of no request
    later = f"cn=e,ou=requests,{sandbox.state}"
    with sandbox.connect("desk") as desk:
        for dn, data in {**malformed, later: b'{"format": 2}'}.items():
            desk.add(dn, attributes={"objectClass": "piactlRecord", **({"piactlData": data} if data else {})})
    ran = loaded.night()
    assert ran.code == Exit.DONE, ran
    assert not [dn for dn in malformed if sandbox.entry(dn)]
    for folder, names in (("attempts", "a, b, c, d"), ("requests", "a, b, c, cfhk-2222-ended, d")):
        [line] = [line for line in ran.err.splitlines() if f" of ou={folder},{sandbox.state}: " in line]
        assert sorted(line.rpartition(": ")[2].split(", ")) == names.split(", ")
    assert sandbox.entry(later) is not None
    again = loaded.night()
    assert (later in again.err, [dn for dn in malformed if dn in again.err]) == (True, [])


# ---- people in waiting, and runs


def test_an_unreadable_waiting_record_is_rewritten_from_the_feed(loaded: Damaged) -> None:
    good = loaded.record("waiting")
    loaded.data("waiting", b"rubbish")
    ran = loaded.night()
    assert ran.code == Exit.DONE
    assert loaded.names["waiting"] in ran.err
    entry = loaded.academy.sandbox.entry(loaded.names["waiting"])
    assert entry is not None
    check = json.loads(entry["piactlData"][0])
    assert {**check, "assignments": 0, "numen_digest": 0} == {**good, "assignments": 0, "numen_digest": 0}
    assert loaded.names["waiting"] not in loaded.night().err


def test_a_waiting_record_under_a_wrong_name_makes_no_account(loaded: Damaged) -> None:
    made = {**loaded.record("waiting"), "matricule": "4711", "family_name": "Fremd", "due": "2026-01-01"}
    dn = f"cn=made-up,ou=waiting,{loaded.academy.sandbox.state}"
    values = {
        "objectClass": ["piactlRecord"],
        "piactlData": [json.dumps(made)],
        "piactlNextDue": ["20260101"],
    }
    loaded.add(dn, values)
    ran = loaded.academy.run("nightly", "--as-of", DAY)
    assert ran.code == Exit.DONE
    assert dn in ran.err
    assert "4711" not in loaded.academy.names()


def test_a_waiting_person_gets_an_account_despite_an_entry_below(loaded: Damaged) -> None:
    DAMAGES["an entry below"](loaded, "waiting")
    feed = loaded.academy.feed(
        *rows("claire7@example.org", newcomer=False),
        row(matricule="1003", prenom="Léa", nom_famille="Faure", debut="2020-09-01"),
        day=DAY,
    )
    ran = loaded.academy.run("nightly", feed, "--as-of", DAY)
    assert ran.code == Exit.DONE, ran
    assert loaded.names["waiting"] in ran.err
    assert "1003" in loaded.academy.names()


def test_a_run_dated_ahead_does_not_count_as_the_last_run(loaded: Damaged) -> None:
    other = {**loaded.record("run"), "run": RUN, "started": AHEAD}
    dn = f"cn={RUN},ou=runs,{loaded.academy.sandbox.state}"
    loaded.add(dn, {"objectClass": ["piactlRecord"], "piactlData": [json.dumps(other)]})
    ran = loaded.academy.run("runs", "list", "-o", "json")
    assert [run["run"] for run in ran.json][-1] == RUN
    assert dn in ran.err
    last = loaded.academy.run("undo", "last", "--dry-run", "-o", "json").json
    assert last["undoes"] != RUN


def test_runs_that_undo_each_other_cause_no_endless_loop(loaded: Damaged) -> None:
    first_run, second_run = "20260101T000000-aaaaaa", "20260101T000001-bbbbbb"
    for name, other in ((first_run, second_run), (second_run, first_run)):
        record = {**loaded.record("run"), "run": name, "undoes": other, "undone_by": other}
        dn = f"cn={name},ou=runs,{loaded.academy.sandbox.state}"
        loaded.add(dn, {"objectClass": ["piactlRecord"], "piactlData": [json.dumps(record)]})
    loaded.data("source", b"rubbish")
    assert loaded.academy.run("undo", first_run, "--dry-run").code in (Exit.DONE, Exit.FAILED)
    assert loaded.night().code == Exit.DONE


# ---- many, and housekeeping


def test_many_are_counted_and_the_first_few_named(loaded: Damaged) -> None:
    metrics = loaded.academy.folder / "piactl.prom"
    loaded.academy.edit("piactl.yaml", "any_date: true", f"any_date: true\nmetrics: {metrics}")
    for number in range(9):
        dn = f"cn=odd-{number},ou=waiting,{loaded.academy.sandbox.state}"
        loaded.add(dn, {"objectClass": ["piactlRecord"], "piactlData": ["rubbish"]})
    ran = loaded.night()
    assert ran.code == Exit.DONE
    assert ran.err.count("skipped cn=odd-") == 5
    assert "skipped 4 more records of piactl; all of them: piactl doctor" in ran.err
    assert "\npiactl_last_run_unreadable_records 9\n" in metrics.read_text()
    check = {finding["id"]: finding for finding in loaded.academy.run("doctor", "-o", "json").json}
    assert check["D37"]["found"].startswith("9 records cannot be read: cn=odd-")


def test_old_records_that_cannot_be_deleted_end_no_night(loaded: Damaged) -> None:
    old = "20200101T000000-abcdef"
    dn = f"cn={old},ou=runs,{loaded.academy.sandbox.state}"
    record = {"run": old, "status": "done", "started": "2020-01-01T00:00:00+00:00"}
    loaded.add(dn, {"objectClass": ["piactlRecord"], "piactlData": [json.dumps(record)]})
    loaded.add(f"cn=below,{dn}", {"objectClass": ["applicationProcess"]})
    foreign = f"cn=00000000,ou=runs,{loaded.academy.sandbox.state}"
    loaded.add(foreign, {"objectClass": ["piactlRecord"], "piactlData": ["mine"]})
    ran = loaded.night()
    assert ran.code == Exit.DONE
    assert loaded.applied
    assert dn in ran.err
    assert loaded.academy.sandbox.entry(foreign) is not None, "what is not piactl's is not deleted"


def test_housekeeping_that_fails_leaves_the_night_as_it_is(loaded: Damaged) -> None:
    """nightly may not read the counts of identity checks: the changes are made, and it says so."""
    academy = loaded.academy
    academy.sandbox.stop()
    settings = academy.sandbox.folder / "slapd" / "slapd.conf"
    text = settings.read_text(encoding="utf-8")
    first = 'access to dn.exact="ou=attempts,'
    assert text.count(first) == 1
    hidden = f'access to dn.subtree="ou=attempts,{academy.sandbox.state}"\n'
    hidden += f'  by dn.exact="{NIGHTLY}" none\n  by * break\n'
    settings.write_text(text.replace(first, hidden + first), encoding="utf-8")
    academy.sandbox.start()
    ran = loaded.night()
    assert ran.code == Exit.DONE, ran
    assert loaded.applied
    assert "the changes were made, but the housekeeping after them was not" in ran.err
    assert academy.run("runs", "list", "-o", "json").json[0]["status"] == "done"
    assert academy.run("journal", "verify").code == 0
