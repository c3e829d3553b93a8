"""A lock, a closure and an activation have arrived on every listed server when the command says so.

Within the lag a person may change the password at the other server, which undoes them in silence.
"""

from __future__ import annotations

import csv
import re
import secrets
import time
from contextlib import suppress
from pathlib import Path

import ldap3
import pyotp
import pytest

from tests.cli.streams import Forked
from tests.outside import ACCOUNTS

from .night.world import NEXT, Ended, World
from .providers.pair import Pair, write_once

ON_THE_NIGHT = f"""
from datetime import date
import piactl.clock as clock
clock.civil_today = lambda timezone: date.fromisoformat("{NEXT}")
"""
LAG = 0.6


def an_uid(pair: Pair, number: int = 0) -> str:
    """The uid of an account that the night does not change and that has no password."""
    known = pair.one.before.accounts
    names = sorted(dn for dn in set(known) - pair.one.changed if "userPassword" not in known[dn])
    return names[number].split(",")[0].removeprefix("uid=")


def begun(pair: Pair, *words: str, config: Path | None = None) -> tuple[Forked, float]:
    command = pair.one.command(*words, config=config or pair.config, prelude=ON_THE_NIGHT)
    return pair.one.spawn(command), time.monotonic()


def done(pair: Pair, *words: str, config: Path | None = None) -> Ended:
    return pair.one.wait(*begun(pair, *words, config=config))


def lock(uid: str) -> tuple[str, ...]:
    return ("account", "lock", uid, "--reason", "stolen", "--yes")


def activate(pair: Pair, uid: str, file: str) -> tuple[str, ...]:
    out = str(pair.one.folder / f"{file}-{secrets.token_hex(3)}.csv")
    return ("password", "activate", uid, "--administrator", "--out", out, "--reason", "trial", "--yes")


def reset(pair: Pair, uid: str, file: str) -> tuple[str, ...]:
    """The same for an account whose owner has chosen a password."""
    return ("password", "reset", uid, "--without-check", *activate(pair, uid, file)[4:])


def value(world: World, uid: str, attribute: str) -> list[bytes]:
    dn = f"uid={uid},{ACCOUNTS}"
    return list(world.entries(dn, (attribute,))[dn].get(attribute, ()))


def set_password(world: World, uid: str, old: str, new: str) -> bool:
    """Changes the password as its owner. Returns whether the server took it."""
    server = ldap3.Server(world.uri, get_info=ldap3.NONE)
    dn = f"uid={uid},{ACCOUNTS}"
    connection = ldap3.Connection(server, dn, old, receive_timeout=30)
    try:
        return bool(connection.bind()) and bool(
            connection.modify(dn, {"userPassword": [(ldap3.MODIFY_REPLACE, [new])]})
        )
    finally:
        with suppress(Exception):
            connection.unbind()


def own_password(pair: Pair, uid: str) -> str:
    """Gives an account a password of its owner, on both servers."""
    words = activate(pair, uid, "first")
    assert done(pair, *words).code == 0
    with Path(words[words.index("--out") + 1]).open(encoding="utf-8-sig") as file:
        (row,) = csv.DictReader(file)
    chosen = secrets.token_urlsafe(18)
    assert set_password(pair.one, uid, row["activation_password"], chosen)
    pair.converge()
    return chosen


def test_a_lock_and_a_closure_have_arrived_when_the_command_ends(pair: Pair) -> None:
    pair.converge()
    pair.lag(LAG)
    close = ("account", "close", an_uid(pair, 1), "--until", "2026-12-31", "--reason", "left", "--yes")
    device = an_uid(pair, 2)
    suspend = ("otp", "suspend", device, "--reason", "lost", "--yes")
    uri, code = pair.one.folder / "uri", pair.one.folder / "code"
    assert done(pair, "otp", "enroll", device, "--uri-file", str(uri), "--yes").code == 0
    code.write_text(pyotp.parse_uri(uri.read_text().strip()).now())
    code.chmod(0o600)
    verified = done(
        pair, "otp", "verify", device, "--code-file", str(code), "--administrator", "--reason", "x"
    )
    assert verified.code == 0, verified.said
    compromised = (*lock(an_uid(pair, 3)), "--compromised")
    for words in (lock(an_uid(pair)), close, suspend, reset(pair, an_uid(pair, 3), "reset"), compromised):
        before = value(pair.one, words[2], "entryCSN")
        ended = done(pair, *words)
        assert (ended.code, "not yet on" in ended.said) == (0, False), ended.said
        assert value(pair.two, words[2], "entryCSN") == value(pair.one, words[2], "entryCSN") != before


def test_a_server_that_lacks_a_lock_is_named(pair: Pair) -> None:
    pair.converge()
    brief = pair.one.configure("brief.yaml", base=pair.config, directory__replication_seconds=1)
    pair.part()
    before = value(pair.one, an_uid(pair), "entryCSN")
    ended = done(pair, *lock(an_uid(pair)), config=brief)
    assert ended.code == 5, ended.said
    assert f"not yet on {pair.two.uri.replace('%2F', '/')}: " in ended.said
    assert value(pair.one, an_uid(pair), "entryCSN") != before
    pair.two.kill_slapd()
    ended = done(pair, *lock(an_uid(pair, 1)), config=brief)
    pair.two.start_slapd()
    assert ended.code == 5, ended.said
    assert "cannot be reached" in ended.said


@pytest.mark.parametrize("late", [0.2, 0.8, 1.4])
def test_a_password_changed_elsewhere_within_the_lag_is_noticed(pair: Pair, late: float) -> None:
    """Whatever the servers make of both changes: 0 means that the activation is in force on both."""
    pair.converge()
    uid = an_uid(pair)
    thief = own_password(pair, uid)
    pair.lag(LAG)
    run, began = begun(pair, *reset(pair, uid, "second"))
    stamp = pair.one.stamps(f"uid={uid},{ACCOUNTS}")
    while pair.one.stamps(f"uid={uid},{ACCOUNTS}") == stamp:
        assert time.monotonic() - began < 20
        time.sleep(0.01)
    time.sleep(late * LAG - 0.1)
    new = secrets.token_urlsafe(18)
    taken = set_password(pair.two, uid, thief, new)
    ended = pair.one.wait(run, began)
    pair.lag(0.0)
    pair.converge()
    let_in = [set_password(world, uid, new, secrets.token_urlsafe(18)) for world in (pair.one, pair.two)]
    print(f"{late}: taken {taken}, let in {let_in}, exit {ended.code}")
    assert ended.code == (5 if any(let_in) else 0), ended.said
    assert ended.code == 0 or "give the command again" in ended.said


def test_doctor_compares_accounts_on_all_servers(pair: Pair) -> None:
    pair.converge()
    uid = an_uid(pair)
    same = done(pair, "doctor", "--compare", uid)
    assert same.code == 0, same.said
    pair.part()
    with pair.two.root() as connection:
        connection.modify(f"uid={uid},{ACCOUNTS}", {"telephoneNumber": [("MODIFY_REPLACE", ["0322"])]})
    brief = pair.one.configure("brief.yaml", base=pair.config, directory__replication_seconds=1)
    differs = done(pair, "doctor", "--compare", uid, config=brief)
    assert differs.code == 1, differs.said
    assert f"uid={uid},{ACCOUNTS} differs there (telephoneNumber)" in differs.said
    assert done(pair, "doctor", uid).code == 2
    assert done(pair, "doctor", "--compare", "nobody.here").code == 9


def plain(pair: Pair) -> None:
    """Makes the servers replicate whole entries instead of the changes in their access logs."""
    for world in (pair.one, pair.two):
        world.kill_slapd()
        settings = world.folder / "slapd" / "slapd.conf"
        text = settings.read_text()
        changed = re.sub(r'logbase="[^"]*" logfilter="[^"]*"\n  syncdata=accesslog ', "", text)
        assert changed != text
        settings.write_text(changed)
    for world in (pair.one, pair.two):
        world.start_slapd()
        write_once(world)
    pair.converge()


def test_a_lock_that_plain_replication_loses_is_noticed(pair: Pair) -> None:
    """A whole entry replaces the other one: the lock is gone on both servers."""
    plain(pair)
    uid = an_uid(pair)
    own = own_password(pair, uid)
    pair.lag(LAG)
    run, began = begun(pair, *lock(uid))
    stamp = pair.one.stamps(f"uid={uid},{ACCOUNTS}")
    while pair.one.stamps(f"uid={uid},{ACCOUNTS}") == stamp:
        assert time.monotonic() - began < 20
        time.sleep(0.01)
    new = secrets.token_urlsafe(18)
    assert set_password(pair.two, uid, own, new)
    ended = pair.one.wait(run, began)
    pair.lag(0.0)
    pair.converge()
    let_in = [set_password(world, uid, new, secrets.token_urlsafe(18)) for world in (pair.one, pair.two)]
    assert (ended.code, any(let_in)) == (5, True), ended.said
    assert "give the command again" in ended.said or "changed it meanwhile" in ended.said
    assert done(pair, *lock(uid)).code == 0
