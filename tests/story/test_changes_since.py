"""A night asks the server what has changed since the last one, and plans as if it had read everybody."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import ldap3
import pytest

from piactl.directory.client.connection import Session
from piactl.directory.port import Refresh
from piactl.directory.store import account_list
from piactl.directory.store.account_list import Listed
from piactl.flows.plan import incremental
from piactl.flows.plan.changed_since import MOST_NIGHTS, Changes
from piactl.sandbox.server import find_software

from .academy import Academy
from .feeds import row

IDA = row(matricule="1999", prenom="Ida", nom_famille="Roy")
LEO = row(matricule="1998", prenom="Léo", nom_famille="Kern")
ALL = (row(), IDA, LEO)


@pytest.fixture(autouse=True)
def always_pass_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes nights skip settled accounts even if they are few, as in these tests."""
    monkeypatch.setattr(incremental, "MOST", 1.0)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[set[str] | None]:
    """The server's answer in each night: the uids of the written accounts; None if all accounts were read."""
    answers: list[set[str] | None] = []
    original = incremental.changes_since

    def recorded(*arguments: Any) -> Changes | None:
        changes = original(*arguments)
        if arguments[2]:  # for a night, not for a plan
            answers.append({stamp[0] for stamp in changes.written} if changes else None)
        return changes

    monkeypatch.setattr(incremental, "changes_since", recorded)
    return answers


def night(academy: Academy, day: int, *rows: str, feed: bool = True) -> Any:
    """The plan of a night; it must be the same as that of `plan`, which reads everybody."""
    date = f"2026-09-{day:02}"
    feeds = [academy.feed(*(rows or ALL), day=date)] if feed else []
    plan = academy.run("plan", *feeds, "--as-of", date, "-o", "json").json
    assert academy.night(date, *feeds).json["plan"] == plan["fingerprint"]
    return plan


@pytest.fixture
def academy(make_academy: Callable[..., Academy], asked: list[set[str] | None]) -> Academy:
    """An academy after two nights: the second reads all accounts of the first."""
    academy = make_academy(accesslog=True)
    for day in (1, 2):
        night(academy, day)
    assert asked == [None]
    asked.clear()
    return academy


def change(academy: Academy, uid: str, **values: str) -> None:
    """Acts as another program."""
    with academy.sandbox.root() as root:
        changes = {name: [(ldap3.MODIFY_REPLACE, [value])] for name, value in values.items()}
        assert root.modify(academy.dn(uid), changes), root.result


def test_nights_read_what_changed_and_plan_the_same(academy: Academy, asked: list[set[str] | None]) -> None:
    night(academy, 3)
    assert asked == [set()]
    change(academy, "ida.roy", displayName="Autre Main")
    assert [drift["uid"] for drift in night(academy, 4)["drift"]] == ["ida.roy"]
    # a move, a newcomer, and a change by another command
    rows = (row(uai="0800010B"), IDA, LEO, row(matricule="1997", prenom="Zoé", nom_famille="Kern"))
    assert {planned_change["uid"] for planned_change in night(academy, 5, *rows)["changes"]} == {
        "claire.dubreuil",
        "zoe.kern",
    }
    assert academy.run("account", "lock", "leo.kern", "--reason", "x", "--as-of", "2026-09-05").code == 0
    assert {planned_change["uid"] for planned_change in night(academy, 6, *rows)["changes"]} == {
        "claire.dubreuil"
    }  # a handover
    night(academy, 7, feed=False)
    assert asked[2:] == [{"ida.roy"}, {"claire.dubreuil", "leo.kern", "zoe.kern"}, {"claire.dubreuil"}]
    # an entry is gone: everybody is read, with a feed and without
    with academy.sandbox.root() as root:
        assert root.delete(academy.dn("zoe.kern")), root.result
    assert [(drift["uid"], drift["drift_class"]) for drift in night(academy, 8, *rows)["drift"]] == [
        ("zoe.kern", "vanished")
    ]
    with academy.sandbox.root() as root:
        assert root.delete(academy.dn("leo.kern")), root.result
    assert [drift["uid"] for drift in night(academy, 9, feed=False)["drift"]] == ["leo.kern", "zoe.kern"]
    assert asked[5:] == [None, None]


def test_a_night_lists_what_was_written_since_the_last_one(
    academy: Academy, asked: list[set[str] | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not list everything of the last ten minutes again, even if the accounts were just made."""
    compared: list[set[str]] = []
    original = account_list._there

    def recorded(*arguments: Any) -> Iterator[tuple[str, Listed]]:
        listed = [*original(*arguments)]
        compared.append({uid for uid, _ in listed})
        yield from listed

    monkeypatch.setattr(account_list, "_there", recorded)
    night(academy, 3)
    change(academy, "ida.roy", displayName="Autre Main")
    night(academy, 4)
    night(academy, 4, feed=False)
    # night 4 wrote it too
    assert compared == [set(), {"ida.roy"}, {"ida.roy"}]
    # another program removes a record of the list
    record = f"cn=accounts-00000,{academy.sandbox.state}"
    with academy.sandbox.root() as root:
        assert root.delete(record), root.result
    night(academy, 5)
    everybody = {"claire.dubreuil", "ida.roy", "leo.kern"}
    assert asked[3:] == [None]
    assert {*map(frozenset, compared[3:])} == {frozenset(everybody)}
    compared.clear()
    assert json.loads(academy.sandbox.entry(record)["piactlData"][0]).keys() == everybody
    # the first night of a week does not need to list all
    night(academy, 7)
    assert compared == [set()]
    # without a cache only the begin of the last run is known
    (academy.sandbox.folder / "state" / "settled").unlink()
    night(academy, 8)
    assert compared == [set(), everybody]


def test_a_session_log_reports_what_is_gone(
    academy: Academy, asked: list[set[str] | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a log that goes back far enough the server names all entries; the nights are the same."""
    phases: list[bool] = []
    original = Session.refresh

    def recorded(*arguments: Any) -> Refresh | None:
        refresh = original(*arguments)
        assert refresh is not None
        phases.append(refresh.gone)
        return refresh

    monkeypatch.setattr(Session, "refresh", recorded)
    night(academy, 3)
    change(academy, "ida.roy", displayName="Autre Main")
    night(academy, 4)
    # the session log is in memory: it is empty after a restart
    academy.sandbox.stop()
    academy.sandbox.start()
    change(academy, "leo.kern", displayName="Autre Main")
    night(academy, 5)
    conf = academy.sandbox.folder / "slapd" / "slapd.conf"
    text = conf.read_text(encoding="utf-8")
    assert text.count("syncprov-sessionlog 50000") == 1
    with academy.sandbox.root() as root:
        assert root.delete(academy.dn("leo.kern")), root.result
    assert [drift["uid"] for drift in night(academy, 6)["drift"]] == ["leo.kern"]
    # a log of two writes, and more since the last night
    conf.write_text(text.replace("syncprov-sessionlog 50000", "syncprov-sessionlog 2"), encoding="utf-8")
    academy.sandbox.stop()
    academy.sandbox.start()
    night(academy, 7)
    for name in ("Une", "Deux", "Trois", "Quatre"):
        change(academy, "claire.dubreuil", displayName=name)
    assert [drift["uid"] for drift in night(academy, 8)["drift"]] == ["leo.kern", "claire.dubreuil"]
    assert phases == [True, True, False, True, False, False]
    written = [{"ida.roy"}, {"ida.roy", "leo.kern"}, None, set(), {"claire.dubreuil"}]
    assert asked == [set(), *written]


def test_all_accounts_are_read_again_after_a_number_of_nights(
    academy: Academy, asked: list[set[str] | None]
) -> None:
    feed = academy.feed(*ALL, day="2026-09-03")
    for number in range(MOST_NIGHTS + 2):
        academy.night(f"2026-09-{3 + number:02}", feed)
    assert asked == [*[set()] * MOST_NIGHTS, None, set()]


def test_changes_are_found_after_a_restore_of_the_directory(
    academy: Academy, asked: list[set[str] | None]
) -> None:
    night(academy, 3)
    backup = entries(academy)
    change(academy, "ida.roy", displayName="Autre Main")
    restore(academy, backup)
    assert night(academy, 4)["drift"] == []
    change(academy, "leo.kern", displayName="Autre Main")
    assert [drift["uid"] for drift in night(academy, 5)["drift"]] == ["leo.kern"]
    assert asked == [set(), set(), {"leo.kern"}]


def entries(academy: Academy) -> str:
    """The directory as LDIF."""
    slapcat = str(find_software().slapadd.with_name("slapcat"))
    return subprocess.run([slapcat, *conf(academy)], capture_output=True, text=True, check=True).stdout


def conf(academy: Academy) -> list[str]:
    return ["-f", str(academy.sandbox.folder / "slapd" / "slapd.conf"), "-b", "o=gouv,c=fr"]


def restore(academy: Academy, entries: str) -> None:
    data = academy.sandbox.folder / "slapd" / "data"
    academy.sandbox.stop()
    shutil.rmtree(data)
    data.mkdir(mode=0o700)
    words = [str(find_software().slapadd), *conf(academy)]
    subprocess.run(words, input=entries, text=True, check=True)
    academy.sandbox.start()


def test_a_clock_that_was_set_back_is_noticed(academy: Academy, asked: list[set[str] | None]) -> None:
    """The clock of the server was ahead the night before, so entries written now have an older entryCSN."""
    before = entries(academy)
    ahead = re.sub(r"(?m)^contextCSN: \d{4}", "contextCSN: 2030", before)
    assert ahead != before
    restore(academy, ahead)
    night(academy, 3)
    night(academy, 4)
    change(academy, "ida.roy", displayName="Autre Main")
    assert [drift["uid"] for drift in night(academy, 5)["drift"]] == ["ida.roy"]
    assert asked[-2:] == [None, None]
