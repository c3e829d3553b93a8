"""One server takes the writes, and the others have them when a run reports that it is done."""

from __future__ import annotations

import re
import time
from functools import partial
from pathlib import Path

import ldap3
import pytest
import yaml

from piactl.sandbox.slapd_configuration_and_folder import ACCOUNTS, STATE, SUFFIX

from .night.world import NEXT, Ended, World
from .providers.checker import differences
from .providers.pair import Pair
from .test_one_writer import another_host

ELSEWHERE = """
import socket
socket.gethostname = lambda: "another.example"
"""
ON_THE_NIGHT = f"""
from datetime import date
import piactl.clock as clock
clock.civil_today = lambda timezone: date.fromisoformat("{NEXT}")
"""
MOVE = f"cn=writing-server,{STATE}"
MINUTE = 60


def both(pair: Pair, seconds: int = MINUTE) -> Path:
    """The configuration with both servers, in which a run waits `seconds` seconds for the second one."""
    servers = [pair.one.uri, pair.two.uri]
    return pair.one.configure(
        "waits.yaml", directory__servers=servers, directory__replication_seconds=seconds
    )


def brief(config: Path) -> None:
    """Makes runs with this configuration wait only one second for the other server."""
    settings = yaml.safe_load(config.read_text())
    settings["directory"]["replication_seconds"] = 1
    config.write_text(yaml.safe_dump(settings))


def night(pair: Pair, config: Path, *before: str) -> Ended:
    words = pair.one.night(config=config)
    index = words.index("nightly")
    return pair.one.run([*words[:index], *before, *words[index:]])


def test_a_run_is_done_when_the_other_server_has_what_it_wrote(pair: Pair) -> None:
    pair.converge()
    pair.lag(0.4)
    ended = night(pair, both(pair))
    accounts = pair.two.snapshot().entries
    assert ended.code == 0, ended.said
    assert "not yet on" not in ended.said
    assert accounts == pair.one.snapshot().entries
    pair.converge()
    assert pair.findings() == []


def test_a_run_names_the_server_that_lacks_what_it_wrote(pair: Pair) -> None:
    pair.converge()
    pair.part()
    config = both(pair, seconds=1)
    ended = night(pair, config)
    assert ended.code == 5, ended.said
    assert f"not yet on {pair.two.uri}: does not have everything yet" in ended.said
    assert "The next run evaluates every account again." in ended.said
    assert pair.one.snapshot().entries == pair.one.reference.entries
    [record] = [record for record in pair.one.runs().values() if record["status"] == "partly"]
    assert f"not yet on {pair.two.uri}" in record["note"]
    pair.heal()
    pair.converge()
    again = night(pair, both(pair))
    assert again.code == 0, again.said
    pair.converge()
    assert pair.findings() == []


def test_a_server_that_is_down_is_named(pair: Pair) -> None:
    pair.converge()
    pair.two.kill_slapd()
    ended = night(pair, both(pair, seconds=1))
    pair.two.start_slapd()
    assert ended.code == 5, ended.said
    assert f"not yet on {pair.two.uri}: cannot be reached" in ended.said


def test_writes_move_to_another_server_only_if_an_operator_says_so(pair: Pair) -> None:
    pair.converge()
    config = both(pair, seconds=1)
    pair.one.kill_slapd()
    before = pair.two.stamps()
    refused = night(pair, config)
    assert refused.code == 8, refused.said
    assert "piactl --on SERVER --reason TEXT COMMAND" in refused.said
    assert pair.two.stamps() == before
    for code, words in (
        (2, ["--on", pair.two.uri]),
        (9, ["--on", "ldap://elsewhere.example", "--reason", "trial"]),
    ):
        wrong = night(pair, config, *words)
        assert wrong.code == code, wrong.said
    assert pair.two.stamps() == before

    moved = night(pair, config, "--on", pair.two.uri, "--reason", "ldap1 is lost")
    assert f"writes go to {pair.two.uri} from now on" in moved.said
    # the first server lacks all of it
    assert moved.code == 5, moved.said
    assert pair.two.snapshot().entries == pair.two.reference.entries

    # every later command goes there by itself
    locked = pair.one.run(
        pair.one.command("account", "lock", an_uid(pair), "--reason", "trial", "--yes", config=config)
    )
    assert locked.code == 5, locked.said
    assert f"not yet on {pair.one.uri}: cannot be reached" in locked.said
    assert f"writes go to {pair.two.uri} since" in locked.said
    assert "ldap1 is lost" in locked.said

    # the first server is back, but does not have everything yet
    pair.links[1].cut()
    pair.one.start_slapd()
    stays = night(pair, config)
    assert f"writes go to {pair.two.uri} since" in stays.said, stays.said

    pair.links[1].mend()
    pair.come_back(in_turn=False)
    pair.converge()
    back = night(pair, both(pair))
    assert f"{pair.one.uri} is back and has everything" in back.said, back.said
    assert back.code == 0, back.said
    pair.converge()
    for world in (pair.one, pair.two):
        with pytest.raises(ldap3.core.exceptions.LDAPNoSuchObjectResult):
            world.entries(MOVE)


def test_writes_to_two_servers_in_a_partition_are_reported_afterwards(pair: Pair) -> None:
    """In a partition an operator of another host believes that the first server is lost; two people with the
    same name each get the same uid, one on each server. Afterwards only one of them has it."""
    other = another_host(pair, [*pair.servers])
    brief(other)
    pair.part()
    config = both(pair, seconds=1)
    assert night(pair, config).code == 5
    delta = Path(pair.one.feeds[1])
    namesakes = pair.one.folder / "ce-namesakes.csv"
    text = delta.read_text().replace("99000", "98000").replace("20E26", "20E27")
    namesakes.write_text(text.replace("01/02/1990", "03/04/1991"))
    words = pair.two.command("nightly", "--as-of", str(NEXT), str(namesakes), config=other, prelude=ELSEWHERE)
    index = words.index("nightly")
    moved = pair.two.run(
        [*words[:index], "--on", pair.servers[1], "--reason", "the first is lost", *words[index:]]
    )
    assert moved.code == 5, moved.said
    pair.heal()
    pair.converge()
    before = pair.one.stamps(ACCOUNTS)
    refused = night(pair, config)
    assert refused.code == 4, refused.said
    assert "two servers were written to" in refused.said
    assert f"piactl --on {pair.servers[0]} --reason" in refused.said
    assert pair.one.stamps(ACCOUNTS) == before
    again = night(pair, both(pair), "--on", pair.servers[0], "--reason", "compared with both journals")
    assert again.code == 0, again.said
    assert night(pair, both(pair)).code == 0


def test_help_desk_writes_to_one_of_two_servers_are_reported_too(pair: Pair, tmp_path: Path) -> None:
    """In a partition an operator of another host moves the writes and locks an account; at the first server
    the help desk meanwhile gives its owner an activation password."""
    other = another_host(pair, [*pair.servers])
    brief(other)
    pair.part()
    config, uid = both(pair, seconds=1), an_uid(pair)
    lock = ["account", "lock", uid, "--reason", "stolen", "--yes", "--as-of", str(NEXT)]
    words = ["--on", pair.servers[1], "--reason", "the first is lost", *lock]
    moved = pair.two.run(pair.two.command(*words, config=other, prelude=ELSEWHERE))
    assert moved.code == 5, moved.said
    activate = ["password", "activate", uid, "--administrator", "--out", str(tmp_path / "codes.csv"), "--yes"]
    activation = pair.one.run(pair.one.command(*activate, config=config, prelude=ON_THE_NIGHT))
    assert activation.code == 5, activation.said
    pair.heal()
    pair.converge()
    before = pair.one.stamps(ACCOUNTS)
    for words in (activate, lock):
        refused = pair.one.run(pair.one.command(*words, config=config, prelude=ON_THE_NIGHT))
        assert refused.code == 4, refused.said
        assert "two servers were written to" in refused.said
    assert night(pair, config).code == 4
    assert pair.one.stamps(ACCOUNTS) == before
    on = ["--on", pair.servers[0], "--reason", "compared with both journals"]
    assert pair.one.run(pair.one.command(*on, *lock, config=both(pair))).code == 0
    assert night(pair, both(pair)).code == 0


def test_help_desk_and_approver_follow_a_move_until_another_command_ends_it(
    pair: Pair, tmp_path: Path
) -> None:
    config, uid = both(pair, seconds=1), an_uid(pair)
    pair.one.kill_slapd()
    lock = ["account", "lock", uid, "--reason", "stolen", "--yes", "--as-of", str(NEXT)]
    on = ["--on", pair.servers[1], "--reason", "ldap1 is lost"]
    assert pair.one.run(pair.one.command(*on, *lock, config=config)).code == 5
    pair.come_back(in_turn=False)
    pair.converge()
    enroll = ["otp", "enroll", an_uid(pair, 1), "--uri-file", str(tmp_path / "uri"), "--yes"]
    back = pair.one.run(pair.one.command(*enroll, config=both(pair), prelude=ON_THE_NIGHT))
    assert back.code == 0, back.said
    assert f"writes go to {pair.servers[1]} since" in back.said
    plan = pair.one.folder / "plan.json"
    assert (
        pair.one.run(
            pair.one.command("plan", "--as-of", str(NEXT), "--out", str(plan), config=both(pair))
        ).code
        == 0
    )
    answered = pair.one.run(pair.one.command("reject", str(plan), "--reason", "trial", config=both(pair)))
    assert f"writes go to {pair.servers[1]} since" in answered.said
    pair.converge()
    ended = night(pair, both(pair))
    assert ended.code == 0, ended.said
    assert f"{pair.servers[0]} is back and has everything" in ended.said


def test_the_entries_decide_whether_writes_return(pair: Pair) -> None:
    """contextCSN does not: a killed slapd may have an older contextCSN of its own than the other server gets
    from its access log; and if two servers refresh at once, one may delete entries that only it had."""
    config = both(pair, seconds=2)
    pair.begin_logs()
    earlier, lost = own_csn(pair.one), f"uid={an_uid(pair, 1)},{ACCOUNTS}"
    pair.part()
    with pair.one.root() as connection:
        connection.modify(lost, {"description": [(ldap3.MODIFY_REPLACE, ["the last write before the end"])]})
    latest = own_csn(pair.one)
    behind = partial(re.sub, f"(?m)^contextCSN: {re.escape(latest)}$", f"contextCSN: {earlier}")
    pair.one.rewrite_database(edit=behind)
    pair.one.kill_slapd()
    lock = ["account", "lock", an_uid(pair), "--reason", "stolen", "--yes", "--as-of", str(NEXT)]
    on = ["--on", pair.servers[1], "--reason", "ldap1 is lost"]
    assert pair.one.run(pair.one.command(*on, *lock, config=config)).code == 5
    pair.heal()
    pair.come_back(in_turn=True)
    wait_for_csn(pair.two, latest)
    assert own_csn(pair.one) < latest

    back = pair.one.run(pair.one.command("nightly", "--as-of", str(NEXT), config=both(pair)))
    assert f"{pair.servers[0]} is back and has everything" in back.said, back.said
    assert back.code == 0, back.said
    pair.converge()
    assert differences(*pair.directories()) == []

    config = both(pair, seconds=1)
    again = pair.one.run(pair.one.command(*on, *lock, config=config))
    assert again.code == 0, again.said
    pair.converge()
    pair.two.rewrite_database(edit=lambda ldif: re.sub(f"(?s)dn: {lost}\n.*?\n\n", "", ldif))
    pair.converge()
    before = pair.one.stamps(), pair.two.stamps()
    refused = night(pair, config)
    assert refused.code == 4, refused.said
    assert f"{pair.servers[0]} is back, but 1 entry differs between it and {pair.servers[1]}" in refused.said
    assert f"{pair.servers[1]} lacks 1 of them: {lost}\n" in refused.said
    assert "piactl doctor --compare" in refused.said
    assert (pair.one.stamps(), pair.two.stamps()) == before
    # a change by hand goes to the server that takes the writes
    lock[2] = an_uid(pair, 2)
    stays = pair.one.run(pair.one.command(*lock, config=config))
    assert f"writes go to {pair.servers[1]} since" in stays.said, stays.said


def test_a_night_names_entries_that_another_server_lacks(pair: Pair) -> None:
    """Another program may have written them, and only one server has them; contextCSN is the same."""
    config, uid = both(pair, seconds=2), an_uid(pair)
    pair.converge()
    block = ""

    def remove(ldif: str) -> str:
        nonlocal block
        block = next(entry for entry in ldif.split("\n\n") if entry.startswith(f"dn: uid={uid},{ACCOUNTS}\n"))
        return ldif.replace(f"{block}\n\n", "")

    pair.two.rewrite_database(edit=remove)
    pair.converge()
    for _ in range(2):
        differs = night(pair, config)
        assert differs.code == 5, differs.said
        named = f"1 entry differs there (uid={uid},{ACCOUNTS}): see piactl doctor --compare"
        assert f"not yet on {pair.servers[1]}: {named}" in differs.said
    pair.two.rewrite_database(edit=lambda ldif: f"{ldif.rstrip()}\n\n{block}\n\n")
    pair.converge()
    mended = night(pair, config)
    assert mended.code == 0, mended.said


def own_csn(world: World) -> str:
    """The contextCSN of the writes by the first server, as `world` has it."""
    csns = world.entries(SUFFIX, ("contextCSN",))[SUFFIX]["contextCSN"]
    return next(csn.decode() for csn in csns if b"#001#" in csn)


def wait_for_csn(world: World, csn: str) -> None:
    until = time.monotonic() + MINUTE
    while own_csn(world) < csn:
        assert time.monotonic() < until, "the first server's last write does not arrive"
        time.sleep(0.02)


def an_uid(pair: Pair, number: int = 0) -> str:
    """The uid of an account that the night does not change."""
    dn = sorted(set(pair.one.before.accounts) - pair.one.changed)[number]
    return dn.split(",")[0].removeprefix("uid=")
