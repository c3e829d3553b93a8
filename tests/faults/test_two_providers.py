"""The two providers of the fault tests, and what their checker must find: controls of the scoreboard."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import ldap3
import pytest

from tests.outside import ACCOUNTS, GROUPS, SUFFIX, find_software

from .night.moments import wait_for_lines, wait_until_it_stands
from .night.world import World
from .providers.checker import (
    OF_A_RUN,
    Entries,
    acknowledged,
    chain_faults,
    differences,
    directory,
    doubled,
    lost_writes,
    of_nights,
    outcome_faults,
)
from .providers.pair import Pair

LAG = 0.5
STATE_OF_PASSWORDS = (
    "userpassword pwdaccountlockedtime pwdreset pwdpolicysubentry pwdhistory pwdfailuretime pwdendtime"
).split()


def put(world: World, dn: str, attribute: str, value: str) -> None:
    """Sets one value as another program, by root."""
    with world.root() as connection:
        connection.modify(dn, {attribute: [(ldap3.MODIFY_REPLACE, [value])]})


def value(world: World, dn: str, attribute: str) -> bytes:
    return world.entries(dn)[dn][attribute][0]


def an_account(pair: Pair) -> str:
    return sorted(pair.one.before.accounts)[0]


# ---- replication


def test_a_group_is_replicated_as_its_definition_without_members(pair: Pair) -> None:
    """The members that dynlist computes are not replicated: the database of neither server has them."""
    accounts = [*pair.one.before.accounts]
    url = f"ldap:///{quote(ACCOUNTS, safe='=,')}??sub?(objectClass=piactlAccount)"
    group = f"cn=tous,{GROUPS}"
    with pair.one.root() as connection:
        connection.add(group, attributes={"objectClass": "groupOfURLs", "cn": "tous", "memberURL": url})
    pair.converge()
    for world in (pair.one, pair.two):
        with world.root() as connection:
            connection.search(group, "(objectClass=*)", ldap3.BASE, attributes=["member"])
            assert len(connection.response[0]["raw_attributes"]["member"]) == len(accounts)
        settings = world.folder / "slapd" / "slapd.conf"
        copy = subprocess.run(
            [find_software().slapadd.with_name("slapcat"), "-f", settings, "-b", SUFFIX],
            capture_output=True,
            check=True,
        ).stdout
        (definition,) = [block for block in copy.split(b"\n\n") if block.startswith(b"dn: cn=tous,")]
        assert b"\nmember: " not in definition
        assert b"\nmemberOf: " not in copy


def test_a_write_arrives_after_the_lag(pair: Pair) -> None:
    dn = an_account(pair)
    pair.converge()
    pair.lag(LAG)
    began = time.monotonic()
    put(pair.one, dn, "displayName", "Camille Verdelot")
    first, second = pair.stamps()
    assert first != second
    pair.converge()
    assert time.monotonic() - began >= LAG
    assert value(pair.two, dn, "displayName") == b"Camille Verdelot"


def test_a_partition_keeps_both_apart_until_it_is_healed(pair: Pair) -> None:
    dn = an_account(pair)
    pair.converge()
    pair.part()
    refused = [link.refused for link in pair.links]
    put(pair.one, dn, "displayName", "Camille Verdelot")
    until = time.monotonic() + 10
    while any(link.refused <= before for link, before in zip(pair.links, refused, strict=True)):
        assert time.monotonic() < until, "a provider does not try to reach the other"
        time.sleep(0.02)
    assert value(pair.two, dn, "displayName") != b"Camille Verdelot"
    pair.heal()
    pair.converge()
    assert value(pair.two, dn, "displayName") == b"Camille Verdelot"


@pytest.mark.long
def test_the_checker_reports_a_partition_in_which_both_sides_write(pair: Pair) -> None:
    """Each side changes the same account, and makes the same new account for a different person. After the
    partition something acknowledged is gone: the comparison with what was written shows it."""
    dn, fresh = an_account(pair), f"uid=camille.verdelot,{ACCOUNTS}"
    person = {"objectClass": ["inetOrgPerson"], "cn": "Camille Verdelot", "sn": "Verdelot"}
    pair.converge()
    pair.part()
    for world, word in ((pair.one, "first"), (pair.two, "second")):
        put(world, dn, "displayName", word)
        with world.root() as connection:
            connection.add(fresh, attributes={**person, "employeeNumber": word})
    written = pair.directories()
    assert set(differences(*written, ignored=OF_A_RUN)) == {
        f"{dn}: displayname: 1 and 1 values, not the same",
        f"{fresh}: employeenumber: 1 and 1 values, not the same",
    }
    pair.heal()
    pair.converge()
    now = pair.directories()
    lost = [differences(entries, then, ignored=OF_A_RUN) for entries, then in zip(now, written, strict=True)]
    assert any(lost), "both sides kept what they had acknowledged"


# ---- a server is lost


def written_at_second(pair: Pair) -> frozenset[tuple[str, bytes]]:
    """The DN and entryCSN of the entries whose last write a client made at the second server: it carries that
    server's number, while a replicated write carries the number of the first."""
    return frozenset(stamp for stamp in pair.two.stamps() if b"#002#" in stamp[1])


def lost(pair: Pair, since: int) -> list[str]:
    """What the night wrote after that line of the journal and the second server does not have."""
    return lost_writes(pair.one.journal, pair.keys, directory(pair.two.uri, SUFFIX), since)


def test_a_run_that_loses_its_server_exits_with_8_and_writes_nowhere_else(pair: Pair) -> None:
    began = time.monotonic()
    run = pair.one.spawn(pair.one.night(config=pair.config))
    assert wait_for_lines(pair.one, run, 102)
    wait_until_it_stands(pair.one, run)
    pair.part()
    before = written_at_second(pair)
    # earlier writes may still be on their way to the second server, later ones cannot get there
    parted = pair.one.begin + pair.one.fill()
    while not lost(pair, parted):
        run.send_signal(signal.SIGCONT)
        assert wait_for_lines(pair.one, run, pair.one.fill() + 1)
        wait_until_it_stands(pair.one, run)
    pair.one.kill_slapd()
    run.send_signal(signal.SIGCONT)
    ended = pair.one.wait(run, began)
    assert written_at_second(pair) == before
    assert ended.code == 8, ended.said
    assert lost(pair, parted), "the second server had all that was acknowledged"
    pair.one.start_slapd()


# ---- the checker


@dataclass(frozen=True)
class Quiet:
    """What an undisturbed night left: both directories, a copy of the journal, and its keys."""

    first: Entries
    second: Entries
    undisturbed: Entries
    journal: Path
    keys: Path
    begin: int

    def changed(self, dn: str, attribute: str, change: Callable[[list[bytes]], list[bytes]]) -> Entries:
        """The second directory with the values of one attribute changed."""
        entry = dict(self.second[dn])
        entry[attribute] = sorted(change(list(entry.get(attribute, ()))))
        if not entry[attribute]:
            del entry[attribute]
        return {**self.second, dn: entry}


@pytest.fixture(scope="session")
def quiet(built_pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Quiet:
    built_pair.reset()
    ended = built_pair.one.run(built_pair.one.night(config=built_pair.config))
    assert ended.code == 0, ended.said
    built_pair.converge()
    findings = built_pair.findings()
    assert not findings, findings
    folder = tmp_path_factory.mktemp("quiet")
    journal = Path(shutil.copy(built_pair.one.journal, folder / "journal"))
    keys = Path(shutil.copy(built_pair.keys, folder / "keys"))
    first, second = built_pair.directories()
    return Quiet(first, second, built_pair.undisturbed, journal, keys, built_pair.one.begin)


def written(quiet: Quiet) -> Iterator[tuple[str, str]]:
    """The entry and attribute of each value that the night added, by its journal."""
    for line in acknowledged(quiet.journal, quiet.begin):
        for name, change in line["attributes"].items():
            if change["added"] if isinstance(change, dict) else change:
                yield line["dn"], name.lower()


@pytest.mark.long
@pytest.mark.parametrize("attribute", STATE_OF_PASSWORDS)
def test_the_checker_sees_one_value_of_a_password_or_its_state_lost(quiet: Quiet, attribute: str) -> None:
    dn = next(dn for dn, entry in quiet.second.items() if attribute in entry and dn.endswith(ACCOUNTS))
    damaged = quiet.changed(dn, attribute, lambda values: values[1:])
    reported = differences(quiet.first, damaged)
    assert [difference.split(": ")[:2] for difference in reported] == [[dn, attribute]]
    reported = differences(of_nights(damaged), of_nights(quiet.undisturbed), OF_A_RUN)
    assert [difference.split(": ")[:2] for difference in reported] == [[dn, attribute]]


@pytest.mark.long
def test_the_checker_sees_one_acknowledged_value_lost(quiet: Quiet) -> None:
    dn, attribute = next(pair for pair in written(quiet) if pair[1] == "edupersonentitlement")
    damaged = quiet.changed(dn, attribute, lambda values: [])
    assert lost_writes(quiet.journal, quiet.keys, quiet.second, quiet.begin) == []
    lost = lost_writes(quiet.journal, quiet.keys, damaged, quiet.begin)
    assert lost, "a value of the night is not missed"
    assert set(lost) == {f"{dn}: {attribute}: a value that was written is lost"}
    gone = {name: entry for name, entry in quiet.second.items() if name != dn}
    assert lost_writes(quiet.journal, quiet.keys, gone, quiet.begin) == [f"{dn}: not there"]


@pytest.mark.long
def test_the_checker_sees_a_second_password_and_a_doubled_matricule(quiet: Quiet) -> None:
    dn, other = [dn for dn, entry in quiet.second.items() if "userpassword" in entry and "uid=" in dn][:2]
    assert doubled(quiet.second) == []
    damaged = quiet.changed(dn, "userpassword", lambda values: [*values, b"{ARGON2}another"])
    assert doubled(damaged) == [f"{dn}: 2 passwords"]
    assert differences(quiet.first, damaged) == [f"{dn}: userpassword: 1 and 2 values, not the same"]
    twin = quiet.changed(dn, "supannempid", lambda values: list(quiet.second[other]["supannempid"]))
    assert len(doubled(twin)) == 1


def resealed(lines: list[dict[str, object]]) -> str:
    """The text of these lines as an unbroken chain."""
    previous, text = "0" * 64, ""
    for number, line in enumerate(lines, 1):
        body = {
            **{key: content for key, content in line.items() if key != "hash"},
            "seq": number,
            "prev": previous,
        }
        if number != line["seq"] and line["type"] == "intent":
            raise AssertionError("an intent after the removed line would get another number")
        previous = hashlib.sha256(
            json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
        ).hexdigest()
        text += json.dumps({**body, "hash": previous}, sort_keys=True, separators=(",", ":")) + "\n"
    return text


@pytest.mark.long
def test_the_checker_sees_an_outcome_missing_or_reported_twice(quiet: Quiet, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in quiet.journal.read_text().splitlines()]
    index = max(number for number, line in enumerate(lines) if line["type"] == "outcome")
    damaged = tmp_path / "journal"
    for these, count in ((lines[:index] + lines[index + 1 :], 0), ([*lines, lines[index]], 2)):
        damaged.write_text(resealed(these))
        assert chain_faults(damaged) == []
        (fault,) = outcome_faults(damaged)
        assert fault.startswith(f"intent {lines[index]['intent']}: {count} outcomes")
    damaged.write_text("".join(json.dumps(line) + "\n" for line in lines[:index] + lines[index + 1 :]))
    assert chain_faults(damaged), "a line that was taken out is not missed"
    assert chain_faults(quiet.journal) == outcome_faults(quiet.journal) == []
