"""A host or a server with a wrong clock: nothing is written, and there is a way out after such a run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any

import pytest

import piactl.clock
from tests.conftest import Sandbox
from tests.directory.spoiling_proxy import Wire

from .academy import Academy, prepared
from .feeds import MICHELIS, row

Shift = Callable[[timedelta], AbstractContextManager[None]]


@pytest.fixture
def clock_ahead(monkeypatch: pytest.MonkeyPatch) -> Shift:
    """Sets the clock of this host, but not of the server, ahead."""

    @contextmanager
    def shifted(by: timedelta) -> Iterator[None]:
        class Wrong(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
                return datetime.now(tz) + by

        with monkeypatch.context() as patched:
            patched.setattr(piactl.clock, "datetime", Wrong)
            yield

    return shifted


def today() -> date:
    return piactl.clock.civil_today("Europe/Paris")


def this_day(days: int = 0) -> str:
    return (today() + timedelta(days=days)).isoformat()


@prepared
def loaded(academy: Academy) -> Academy:
    eve = this_day(-1)  # so that a clock that is some minutes behind is not behind the last night, too
    ran = academy.run("nightly", academy.feed(row(debut="2020-09-01"), day=eve), "--as-of", eve)
    assert ran.code == 0, ran.err
    return academy


def test_a_host_whose_clock_is_not_the_servers_writes_nothing(loaded: Academy, clock_ahead: Shift) -> None:
    records = loaded.sandbox.entries(loaded.sandbox.state)
    feed = loaded.feed(row(debut="2020-09-01", prenom="Clara"), day=this_day())
    plan = loaded.folder / "plan.json"
    assert loaded.run("plan", feed, "--out", plan, "--as-of", today().isoformat()).code == 0
    for by in (timedelta(days=87), timedelta(minutes=12), -timedelta(minutes=12)):
        with loaded.nothing_written(), clock_ahead(by):
            ran = loaded.run("nightly", feed)
            confirmed = loaded.run("nightly", "--as-of", today().isoformat())
            applied = loaded.run("apply", plan)
        assert (ran.code, confirmed.code, applied.code) == (4, 4, 4), ran.err
        assert "the clock of this host says" in ran.err
        assert f"{datetime.now(UTC):%Y-%m-%d}" in ran.err
        assert "timedatectl" in ran.err
        assert "limit: 10 minutes" in confirmed.err
    # nor a record of a run: it would have the wrong time
    assert loaded.sandbox.entries(loaded.sandbox.state) == records


@pytest.mark.parametrize("by", [timedelta(days=2), -timedelta(minutes=12)])
def test_a_one_off_command_compares_the_clocks_too(
    loaded: Academy, clock_ahead: Shift, by: timedelta
) -> None:
    """It does so as each identity, before the journal is written."""
    until = ["--until", this_day(30), "--reason", "helps out", "--yes"]
    grant = ["exception", "grant", "claire.dubreuil", "--service", "sts", "--uai", MICHELIS, *until]
    unblock = ["password", "unblock", "claire.dubreuil"]
    with loaded.sandbox.root() as connection:
        connection.modify(
            loaded.dn("claire.dubreuil"), {"pwdAccountLockedTime": [("MODIFY_REPLACE", ["20260101000000Z"])]}
        )
    journal = (loaded.sandbox.folder / "journal" / "piactl.jsonl").read_bytes()
    with loaded.nothing_written(), clock_ahead(by):
        for words in (grant, unblock):
            ran = loaded.run(*words)
            assert ran.code == 4, ran.err
            assert "the clock of this host says" in ran.err
            assert "timedatectl" in ran.err
    assert (loaded.sandbox.folder / "journal" / "piactl.jsonl").read_bytes() == journal
    # access is still taken away, with a warning
    with clock_ahead(by):
        ran = loaded.run("account", "lock", "claire.dubreuil", "--reason", "stolen", "--yes")
    assert ran.code == 0, ran.err
    assert "warning: the clock of this host says" in ran.err
    assert "the change is made nevertheless" in ran.err
    for words in (grant, unblock):
        ran = loaded.run(*words)
        assert ran.code == 0, ran.err
        assert "clock" not in ran.err


def test_a_lock_by_a_host_that_is_ahead_is_in_force_at_once(loaded: Academy, clock_ahead: Shift) -> None:
    with loaded.sandbox.root() as connection:
        connection.modify(
            loaded.dn("claire.dubreuil"), {"userPassword": [("MODIFY_REPLACE", ["Chosen-by-her-1"])]}
        )
    assert loaded.sandbox.accepts(loaded.dn("claire.dubreuil"), "Chosen-by-her-1")
    with clock_ahead(timedelta(days=2)):
        assert loaded.run("account", "lock", "claire.dubreuil", "--reason", "stolen", "--yes").code == 0
    assert not loaded.sandbox.accepts(loaded.dn("claire.dubreuil"), "Chosen-by-her-1")


def test_a_small_difference_of_the_clocks_is_accepted(loaded: Academy, clock_ahead: Shift) -> None:
    with clock_ahead(timedelta(minutes=8)):
        assert loaded.run("nightly").code == 0
    loaded.edit("piactl.yaml", "any_date: true", "clock: {server_minutes: 7}\nany_date: true")
    with clock_ahead(timedelta(minutes=8)):
        assert loaded.run("nightly").code == 4
    assert loaded.run("nightly").code == 0


class OtherTime(Wire):
    """Passes on the requests to a server, and `minutes` more than its time."""

    minutes = 0

    def _reply(self, message: bytes, *arguments: Any) -> None:
        if b"monitorTimestamp" in message:
            self.fired += 1
            time = f"{datetime.now(UTC) + timedelta(minutes=self.minutes):%Y%m%d%H%M%SZ}".encode()
            message = re.sub(rb"\d{14}Z", time, message)
        super()._reply(message, *arguments)


def test_the_clock_of_another_server_is_compared_too(
    loaded: Academy, make_sandbox: Callable[[], Sandbox]
) -> None:
    feed = loaded.feed(row(debut="2020-09-01", prenom="Clara"), day=this_day())
    lock = ("account", "lock", "claire.dubreuil", "--reason", "stolen", "--yes")
    deny = ("exception", "deny", "claire.dubreuil", "--service", "iprof")
    deny = (*deny, "--until", this_day(30), "--reason", "asked", "--yes")
    proxy = OtherTime(make_sandbox().socket)
    try:
        servers = f'servers: ["{loaded.sandbox.uri}", "{proxy.uri}"]\n  replication_seconds: 1'
        loaded.edit("piactl.yaml", f'servers: ["{loaded.sandbox.uri}"]', servers)
        for proxy.minutes in (12, -12):
            with loaded.nothing_written():
                for words in (("nightly", feed), deny):
                    ran = loaded.run(*words)
                    assert (ran.code, f"that of {proxy.uri}" in ran.err) == (4, True), ran.err
            ran = loaded.run("doctor", "-o", "json")
            found = [check["result"] for check in ran.json if check["id"] == "D26"]
            assert found == ["ok", "error"]
        # access is still taken away, with a warning
        ran = loaded.run(*lock)
        assert (ran.code, f"that of {proxy.uri}" in ran.err) == (5, True), ran.err
        proxy.minutes = 0
        ran = loaded.run("nightly", feed)
        assert (ran.code, "clock" in ran.err) == (0, False), ran.err
        assert proxy.fired >= 6
    finally:
        proxy.close()


def test_a_feed_dated_too_far_from_today_refuses_the_run(loaded: Academy) -> None:
    for days, side, code in ((-8, "before", 6), (8, "after", 0)):
        feed = loaded.feed(row(debut="2020-09-01", prenom="Clara"), day=this_day(days))
        with loaded.nothing_written():
            plan = loaded.run("plan", feed)
            ran = loaded.run("nightly", feed)
        assert (plan.code, ran.code) == (4, 4)
        assert f"its date, {this_day(days)}, is 8 days {side}" in ran.err
        assert f"--as-of {this_day()}" in ran.err
        # once confirmed, the date is not a reason any more, but perhaps that the last feed is later
        confirmed = loaded.run("nightly", feed, "--as-of", this_day())
        assert confirmed.code == code
        assert ("[older]" in confirmed.err) is (days < 0)


def test_how_many_days_a_feed_may_be_away_is_a_setting(loaded: Academy) -> None:
    loaded.edit("piactl.yaml", "{kind: full,", "{kind: full, feed_days: 9,")
    assert loaded.run("nightly", loaded.feed(row(debut="2020-09-01"), day=this_day(9))).code == 0
    assert loaded.run("nightly", loaded.feed(row(debut="2020-09-01"), day=this_day(10))).code == 4


def test_feeds_within_the_limit_are_used(loaded: Academy) -> None:
    feed = loaded.feed(row(debut="2020-09-01"), day=this_day(7))
    assert loaded.run("nightly", feed).code == 0


# The way out after a run with a wrong clock


@pytest.fixture
def ahead(loaded: Academy) -> Academy:
    """An academy after a run with the clocks of host and server 87 days ahead, in which a post ended."""
    feed = loaded.feed(row(debut="2020-09-01", fin=this_day(86)), day=this_day())
    assert loaded.run("nightly", feed).code == 0
    assert loaded.night(this_day(87)).json["summary"]
    return loaded


def test_nights_run_again_after_a_rewind(ahead: Academy) -> None:
    wrong = ahead.run("runs", "list", "-o", "json").json[0]["run"]
    refused = ahead.run("nightly")
    assert refused.code == 4
    assert f"piactl runs rewind --to {this_day()}" in refused.err
    with ahead.nothing_written():
        ran = ahead.run("runs", "rewind", "--to", this_day(), "--reason", "wrong clock")
    assert ran.code == 0, ran.err
    assert f"the day of the last run is {this_day()}; it was {this_day(87)}" in ran.out
    assert "1 run is after" in ran.err
    assert f"piactl undo {wrong}" in ran.err
    record = ahead.run("runs", "show", "last", "-o", "json").json
    assert (record["status"], record["reason"], record["rewound"]) == ("done", "wrong clock", [wrong])
    journal = next((ahead.sandbox.folder / "journal").glob("*.jsonl"))
    assert f"set back from {this_day(87)} to {this_day()}: wrong clock" in journal.read_text()
    # the next night opens what the date had closed
    night = ahead.run("nightly", "-o", "json")
    assert night.code == 0, night.err
    assert ahead.values("claire.dubreuil", "piactlState") == ["active"]
    assert ahead.run("journal", "verify").code == 0


def test_undo_puts_back_what_the_wrong_run_changed(ahead: Academy) -> None:
    wrong = ahead.run("runs", "list", "-o", "json").json[0]["run"]
    assert ahead.run("runs", "rewind", "--to", this_day(), "--reason", "wrong clock").code == 0
    undone = ahead.run("undo", wrong, "--yes", "--reason", "wrong clock")
    assert undone.code == 0, undone.err
    assert ahead.values("claire.dubreuil", "piactlState") == ["active"]


def test_a_rewind_goes_back_only(ahead: Academy) -> None:
    before = ahead.sandbox.entry(f"cn=state,{ahead.sandbox.state}")
    for days in (88, 100):
        ran = ahead.run("runs", "rewind", "--to", this_day(days), "--reason", "a slip")
        assert ran.code == 1
        assert f"is {this_day(87)}; name a day before it" in ran.err
    assert ahead.sandbox.entry(f"cn=state,{ahead.sandbox.state}") == before


def test_a_lost_record_after_a_rewind_does_not_bring_the_wrong_day_back(ahead: Academy) -> None:
    assert ahead.run("runs", "rewind", "--to", this_day(), "--reason", "wrong clock").code == 0
    with ahead.sandbox.root() as connection:
        connection.modify(
            f"cn=state,{ahead.sandbox.state}", {"piactlData": [("MODIFY_REPLACE", ["rubbish"])]}
        )
    assert ahead.run("nightly").code == 0


def test_a_wrong_clock_entry_stops_changes_but_not_locks(loaded: Academy) -> None:
    """The content of the record is never read. An entry that takes no record stops changes of accounts, but
    not taking access away; the message says what to do."""
    dn = f"cn=clock,ou=attempts,{loaded.sandbox.state}"
    unblock, until = ["password", "unblock", "claire.dubreuil"], ["--until", this_day(30), "--reason", "x"]
    grant = ["exception", "grant", "claire.dubreuil", "--service", "sts", "--uai", MICHELIS, *until, "--yes"]
    lock = ["account", "lock", "claire.dubreuil", "--reason", "stolen", "--yes"]
    unlock = ["account", "unlock", "claire.dubreuil", "--reason", "found", "--yes"]
    night = ["nightly"]
    assert loaded.run(*lock).code == 0  # this makes the record

    def blocked() -> None:
        with loaded.sandbox.root() as connection:
            since = {"pwdAccountLockedTime": [("MODIFY_REPLACE", ["20260101000000Z"])]}
            connection.modify(loaded.dn("claire.dubreuil"), since)

    for text in (
        "rubbish",
        "{}",
        '{"run":7}',
        '{"run":"20991231T000000-ffffff","last":"2099-12-31T00:00:00Z"}',
    ):
        with loaded.sandbox.root() as connection:
            connection.modify(dn, {"piactlData": [("MODIFY_REPLACE", [text])]})
        blocked()
        for words in (unblock, lock, unlock, night):
            ran = loaded.run(*words)
            assert (ran.code, "clock" in ran.err) == (0, False), (text, words, ran.err)

    for code, why, classes, attributes in (
        (10, "delete it", ["organizationalRole"], {}),
        (1, "Referrals are not followed", ["referral", "extensibleObject"], {"ref": ["ldap://127.0.0.1:1/"]}),
    ):
        with loaded.sandbox.root() as connection:
            connection.delete(dn)
            connection.add(dn, attributes={"objectClass": classes, "cn": ["clock"], **attributes})
        blocked()
        with loaded.nothing_written():
            for words in (unblock, grant):
                ran = loaded.run(*words)
                assert ran.code == code, (words, ran.code, ran.err)
                assert "cn=clock,ou=attempts" in ran.err
                assert why in ran.err
        assert loaded.run(*night).code == 0  # the run lock shows the time of the server
        ran = loaded.run(*lock)
        assert ran.code == 0, ran.err
        assert "the change is made nevertheless" in ran.err
        with loaded.sandbox.root() as connection:
            connection.delete(dn, controls=[("2.16.840.1.113730.3.4.2", True, None)])
        assert loaded.run(*unlock).code == 0
