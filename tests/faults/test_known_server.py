"""A server is known by what it is: its serverID and piactl's tree, never its address.

However hosts name two servers, and whichever of them answers, runs write to one of them, until somebody
accepts another one. No address is given to two people.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.outside import ACCOUNTS, STATE

from .night.moments import wait_for_lines
from .night.world import NEXT, Ended, World
from .providers.delaying_proxy import Link
from .providers.pair import Pair
from .test_one_writer import another_host

ELSEWHERE = """
import socket
socket.gethostname = lambda: "another.example"
"""
LOST = ("--reason", "ldap1 is lost")


class Balancer(Link):
    """One address for two servers: each new connection goes to `towards`."""

    def lead_to(self, world: World) -> None:
        self._target = str(world.folder / "slapd" / "ldapi")


@pytest.fixture
def balancer(pair: Pair) -> Iterator[Balancer]:
    link = Balancer(pair.one.folder / "slapd" / "ldapi")
    yield link
    link.close()


@pytest.fixture
def settled(pair: Pair) -> Pair:
    """Two providers after a night of the first host at the first server, which they know from then on."""
    night = pair.one.run(pair.one.command("nightly", "--as-of", str(NEXT), config=pair.config))
    assert night.code == 0, night.said
    pair.converge()
    return pair


def namesakes(pair: Pair) -> Path:
    """A feed of other people who have the names of the newcomers of the night."""
    text = Path(pair.one.feeds[1]).read_text().replace("99000", "98000").replace("20E26", "20E27")
    file = pair.one.folder / "ce-namesakes.csv"
    file.write_text(text.replace("01/02/1990", "03/04/1991"))
    return file


def night_elsewhere(pair: Pair, config: Path) -> Ended:
    words = ("nightly", "--as-of", str(NEXT), str(namesakes(pair)))
    return pair.one.run(pair.one.command(*words, config=config, prelude=ELSEWHERE))


def owners(world: World) -> dict[bytes, bytes]:
    """The matricule of the person who has each address."""
    return {
        address: matricule
        for entry in world.entries(ACCOUNTS, ("mail", "mailAlternateAddress", "supannEmpId")).values()
        for address in (*entry.get("mail", ()), *entry.get("mailAlternateAddress", ()))
        for matricule in entry.get("supannEmpId", ())
    }


@pytest.mark.parametrize("named", ["in another order", "by another name"])
def test_hosts_that_name_the_servers_differently_write_to_one_of_them(
    settled: Pair, balancer: Balancer, named: str
) -> None:
    pair = settled
    balancer.lead_to(pair.two)
    servers = [*pair.servers][::-1] if named == "in another order" else [balancer.uri]
    other = another_host(pair, servers)
    pair.part()
    before = pair.two.stamps(ACCOUNTS)
    first = pair.one.run(pair.one.night(config=pair.config))
    assert first.code == 0, first.said
    given = owners(pair.one)
    refused = night_elsewhere(pair, other)
    assert refused.code == 11, refused.said
    assert "it has serverID 2, not 1" in refused.said
    assert "piactl recover" in refused.said
    assert pair.two.stamps(ACCOUNTS) == before
    pair.heal()
    pair.converge()
    assert night_elsewhere(pair, other).code == 11
    shown = pair.one.run(pair.one.command("recover", config=other, prelude=ELSEWHERE))
    assert shown.code == 11, shown.said
    assert "run piactl recover --accept --reason TEXT there first" in shown.out
    assert owners(pair.two) == given


def test_behind_a_load_balancer_two_nights_write_to_one_server(settled: Pair, balancer: Balancer) -> None:
    """The night that began at the first server opens further connections, which lead to the second one."""
    pair = settled
    other = another_host(pair, [balancer.uri])
    config = pair.one.configure("balanced.yaml", directory__servers=[balancer.uri])
    pair.lag(0.6)
    lines, began = pair.one.fill(), time.monotonic()
    run = pair.one.spawn(pair.one.night(config=config))
    assert wait_for_lines(pair.one, run, lines + 1)
    balancer.lead_to(pair.two)
    refused = night_elsewhere(pair, other)
    first = pair.one.wait(run, began)
    assert refused.code == 11, refused.said
    assert first.code in (0, 8), first.said
    pair.lag(0.0)
    pair.converge()
    assert b"#002#" not in b"".join(csn for _, csn in pair.two.stamps(ACCOUNTS))
    balancer.lead_to(pair.one)
    ended = pair.one.run(pair.one.night(config=config))
    assert ended.code == 0, ended.said
    pair.converge()
    now = owners(pair.two)
    assert now == owners(pair.one)
    assert not any(matricule.startswith(b"98000") for matricule in now.values())


def test_a_connection_that_leads_to_another_server_is_not_used(settled: Pair, balancer: Balancer) -> None:
    pair = settled
    config = pair.one.configure("balanced.yaml", directory__servers=[balancer.uri])
    pair.part()
    before = pair.two.stamps(ACCOUNTS)
    lines, began = pair.one.fill(), time.monotonic()
    run = pair.one.spawn(pair.one.night(config=config))
    assert wait_for_lines(pair.one, run, lines + 102)
    balancer.lead_to(pair.two)
    balancer.cut()
    balancer.mend()
    ended = pair.one.wait(run, began)
    assert ended.code == 8, ended.said
    assert "another server answers at this address (serverID 2, not 1)" in ended.said
    assert pair.two.stamps(ACCOUNTS) == before


def test_somebody_names_another_server_first_and_accepts_it(settled: Pair) -> None:
    """The first server gave addresses that the second one never got."""
    pair = settled
    config = pair.one.configure("second.yaml", base=pair.config, directory__servers=[*pair.servers][::-1])
    pair.part()
    lost = pair.one.run(pair.one.night(config=pair.config))
    assert lost.code == 0, lost.said
    given = owners(pair.one)
    pair.one.kill_slapd()

    before = pair.two.stamps(ACCOUNTS)
    refused = night_elsewhere(pair, config)
    assert refused.code == 11, refused.said
    shown = pair.one.run(pair.one.command("recover", config=config))
    assert shown.code == 11, shown.said
    assert "it has serverID 2, not 1" in shown.out
    assert re.search(
        r"serverID 1: the journal has a write of \S+, this server has those up to \S+", shown.out
    )
    assert "did not end" not in shown.out
    assert pair.two.stamps(ACCOUNTS) == before
    # what takes access away goes on
    uid = sorted(pair.one.before.accounts)[0].split(",")[0].removeprefix("uid=")
    lock = ("account", "lock", uid, "--reason", "stolen", "--yes")
    dn = f"uid={uid},{ACCOUNTS}"
    locked = pair.one.run(pair.one.command(*lock, config=config))
    assert "warning: " in locked.said
    assert pair.two.stamps(dn) != frozenset(stamp for stamp in before if stamp[0] == dn)

    accepted = pair.one.run(pair.one.command("recover", "--accept", *LOST, config=config))
    assert accepted.code == 0, accepted.said
    night = night_elsewhere(pair, config)
    assert night.code == 0, night.said
    now = owners(pair.two)
    twice = {address for address in now.keys() & given.keys() if now[address] != given[address]}
    assert twice == set()
    assert {matricule for matricule in now.values() if matricule.startswith(b"98000")}

    pair.heal()
    pair.come_back(in_turn=True)
    assert pair.one.run(pair.one.night(config=pair.config)).code == 11


def test_a_directory_that_was_made_anew_is_not_written_to(settled: Pair) -> None:
    """It has the entries of a copy, and another entryUUID for each: not by slapadd of what slapcat gave."""
    pair = settled
    drop: Callable[[str], str] = lambda ldif: re.sub(r"(?m)^entryUUID: .*\n", "", ldif)  # noqa: E731
    pair.two.kill_slapd()
    pair.one.rewrite_database(edit=drop)
    lock = ("account", "lock", "nobody", "--reason", "trial")
    refused = pair.one.run(pair.one.night())
    assert refused.code == 11, refused.said
    assert "the directory was made anew" in refused.said
    assert pair.one.run(pair.one.command(*lock)).code == 9
    assert pair.one.run(pair.one.command("recover", "--accept", "--reason", "made anew")).code == 0
    assert "11" not in str(pair.one.run(pair.one.night()).code)


def test_a_night_and_doctor_name_another_server_that_is_written_to(settled: Pair) -> None:
    pair = settled
    dn = sorted(pair.one.before.accounts)[0]
    with pair.two.root() as connection:
        connection.modify(dn, {"description": [("MODIFY_REPLACE", ["by another program"])]})
    pair.converge()
    night = ("nightly", "--as-of", str(NEXT))
    found = json.loads(pair.one.run(pair.one.command("doctor", "-o", "json", config=pair.config)).out)
    here, other = [check for check in found if check["id"] == "D72"]
    assert (here["result"], "serverID 2" in here["found"]) == ("warning", True), here
    assert other["result"] == "ok", other
    named = pair.one.run(pair.one.command(*night, config=pair.config))
    assert named.code == 0, named.said
    assert "serverID 2 was written to" in named.said
    again = pair.one.run(pair.one.command(*night, config=pair.config))
    assert "was written to" not in again.said


def test_records_have_what_the_server_is(settled: Pair) -> None:
    pair = settled
    tree = pair.one.entries(STATE, ("entryUUID",))[STATE]["entryUUID"][0].decode()
    last = json.loads(
        pair.one.entries(f"cn=state,{STATE}", ("piactlData",))[f"cn=state,{STATE}"]["piactlData"][0]
    )
    runs = [record.get("server") for record in pair.one.runs().values()]
    assert last["server"] == f"001 {tree}"
    assert f"001 {tree}" in runs
