"""Doctor and the night name writes with the password of an identity that were made without piactl."""

from __future__ import annotations

import csv
import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import ldap3
import pytest

from piactl.ask import history as history_and_unjournalled
from piactl.ask.history import watch
from piactl.cli.framework.configuration import open_configuration
from piactl.clock import utc_now
from piactl.directory.open import open_reader
from piactl.host.secret_files import identity_password
from tests.directory.test_acl_matrix import hold_lock

from .academy import Academy
from .feeds import crowd, row

UID, NUMEN = "claire.dubreuil", "20E9512345XYZ"
WHY = ("--reason", "ticket 4711", "--yes")


@pytest.fixture
def academy(make_academy: Callable[..., Academy], monkeypatch: pytest.MonkeyPatch) -> Academy:
    """An account that a night, an administrator and the help desk wrote. Host and server share a clock, so a
    write a moment later is not taken for one of theirs."""
    monkeypatch.setattr(history_and_unjournalled, "APART", timedelta(milliseconds=2))
    academy = make_academy(accesslog=True)
    academy.night("2026-09-05", academy.feed(row(numen=NUMEN), day="2026-09-05"))
    academy.run("account", "lock", UID, *WHY)
    academy.run("account", "unlock", UID, *WHY)
    words = (*WHY, "--numen-file", "-", "--out", academy.folder / "x")
    assert academy.run("password", "activate", UID, *words, stdin=f"{NUMEN}\n").code == 0
    return academy


def found(academy: Academy) -> dict[str, Any]:
    rows: dict[str, Any] = {finding["id"]: finding for finding in academy.run("doctor", "-o", "json").json}
    return dict(rows["D51"])


def test_writes_by_piactl_owners_and_the_server_are_not_reported(academy: Academy) -> None:
    (handed,) = csv.DictReader((academy.folder / "x").read_text().splitlines())
    password = handed["activation_password"]
    assert not academy.sandbox.accepts(academy.dn(UID), "wrong")
    time.sleep(2.05)  # a wrong password delays the next log in
    with academy.sandbox.bind(academy.dn(UID), password) as person:
        person.extend.standard.modify_password(academy.dn(UID), password, "quatre chats gris et lents")
    assert "not in this journal" not in found(academy)["found"]
    assert "not in this journal" not in academy.night("2026-09-06").err


def test_a_raw_write_by_an_identity_is_named(academy: Academy) -> None:
    with academy.sandbox.root() as root:
        hold_lock(root, academy.sandbox.state)
    with academy.sandbox.connect("nightly") as nightly:
        nightly.modify(academy.dn(UID), {"piactlAlias": [(ldap3.MODIFY_REPLACE, ["thief@example.org"])]})
        nightly.delete(f"cn=lock,{academy.sandbox.state}")
    row = found(academy)
    assert row["result"] == "warning", row
    assert f"1 write of accounts not in this journal: {academy.dn(UID)} at " in row["found"]
    assert "by nightly" in row["found"]
    assert "thief" not in row["found"]
    night = academy.night("2026-09-06")
    assert f"1 write of accounts not in this journal: {academy.dn(UID)} at" in night.err


def test_a_write_just_before_the_period_is_not_reported(academy: Academy) -> None:
    """The digits after the point of a reqStart are not a time."""
    other = row(matricule="1007", prenom="Louise", nom_famille="Roy")
    academy.night("2026-09-06", academy.feed(row(), other, day="2026-09-06"))
    configuration = open_configuration(academy.sandbox.config)
    settings = configuration.settings
    while utc_now().microsecond > 500_000:
        time.sleep(0.01)
    with academy.sandbox.connect("desk") as desk:
        pairs = []
        for name in (UID, "louise.roy"):
            time.sleep(0.002)  # instants are compared in milliseconds
            pairs.append(utc_now())
            desk.modify(academy.dn(name), {"pwdReset": [(ldap3.MODIFY_REPLACE, ["TRUE"])]})
    with open_reader(settings.directory, "administrator", identity_password) as reader:
        for since, names in ((pairs[0], {UID, "louise.roy"}), (pairs[1], {"louise.roy"})):
            result = watch(reader, settings.directory, settings.journal_file, since).accounts
            assert {event.dn.partition("=")[2].partition(",")[0] for event in result} == names


def test_many_are_counted(academy: Academy) -> None:
    academy.night("2026-09-06", academy.feed(row(numen=NUMEN), *crowd(8), day="2026-09-06"))
    with academy.sandbox.connect("desk") as desk:
        desk.search(academy.sandbox.accounts, "(piactlState=active)", attributes=["uid"])
        names = [entry["dn"] for entry in desk.response if "louise" in entry["dn"]]
        for dn in names:
            desk.modify(dn, {"pwdReset": [(ldap3.MODIFY_REPLACE, ["TRUE"])]})
    text = found(academy)["found"]
    # if the server is slow, the activation of the fixture ends later than the tolerance of these tests
    counts = re.search(r"(\d+) writes of accounts not in this journal.* and (\d+) more \(desk (\d+)\)", text)
    assert counts is not None, text
    total, unnamed, desk = map(int, counts.groups())
    assert (unnamed, desk) == (total - 5, total)
    assert total in (len(names), len(names) + 1)


def test_a_server_without_an_access_log_is_an_error(make_academy: Callable[..., Academy]) -> None:
    row = found(make_academy(accesslog=False))
    assert row["result"] == "error"
    assert "nightly can read no access log" in row["found"]
