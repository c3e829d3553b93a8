"""Writes in the database of a killed server that its access log lacks: no other server would get them."""

from __future__ import annotations

import json
import re
from pathlib import Path

from piactl.sandbox.slapd_configuration_and_folder import ACCOUNTS, STATE

from .night.world import LOG, Ended, World
from .providers.checker import differences
from .providers.pair import Pair
from .test_writing_server import ON_THE_NIGHT

DIES = """
import os
from piactl.journal import Journal
intents, calls = Journal.intents, []
def dies(journal, writes, settled=()):
    if settled:
        calls.append(1)
    if len(calls) == {number}:
        os._exit(9)
    return intents(journal, writes, settled)
Journal.intents = dies
"""
"""The run dies when it is about to record outcomes for the `number`th time: the writes are made."""


def doubtful(world: World) -> set[str]:
    """The names of the entries whose intents have no outcome."""
    open_: dict[int, str] = {}
    for line in map(json.loads, world.journal.read_text().splitlines()):
        if line["type"] == "intent":
            open_[line["seq"]] = line["dn"]
        elif line["type"] in ("outcome", "resolved"):
            del open_[line["intent"]]
    return {*open_.values()}


def unlog(world: World, names: set[str]) -> int:
    """Removes the last write of each of these entries from the access log; returns how many there were."""
    last: dict[str, str] = {}

    def edit(ldif: str) -> str:
        blocks = ldif.split("\n\n")
        for block in blocks:
            match = re.search(r"(?m)^reqDN: (.*)$", block)
            if match and match[1] in names and "\nreqResult: 0\n" in block + "\n":
                last[match[1]] = block
        return "\n\n".join(block for block in blocks if block not in last.values())

    world.rewrite_database(edit=edit, base=LOG)
    return len(last)


def lose(pair: Pair, words: list[str]) -> set[str]:
    """Makes this run die with writes in doubt, and removes these writes and the records of the run from the
    access log of the first server; returns their DNs. The second server is cut off meanwhile."""
    pair.part()
    runs = f"ou=runs,{STATE}"
    before = {*pair.one.entries(runs, ("cn",))}
    died = pair.one.run(words)
    assert died.code == 9, died.said
    names = doubtful(pair.one) | {*pair.one.entries(runs, ("cn",))} - before
    assert unlog(pair.one, names) > 0
    return names


def test_unlogged_writes_of_a_night_reach_the_other_server(pair: Pair) -> None:
    pair.converge()
    assert len(lose(pair, pair.one.night(config=pair.config, prelude=DIES.format(number=2)))) > 50
    pair.heal()
    ended = pair.one.run(pair.one.night(config=pair.config))
    assert ended.code == 0, ended.said
    pair.converge()
    assert pair.findings() == []


COMMANDS = (
    "account close {} --until 2026-10-01 --reason trial --yes",
    "otp enroll {} --uri-file uri-{} --yes",
)
"""A command that modifies an account, and one that adds an entry below it."""


def test_unlogged_writes_by_hand_reach_the_other_server_or_are_reported(pair: Pair) -> None:
    pair.converge()
    before = set(pair.one.before.accounts)
    uids, others = (
        [dn.split(",")[0].removeprefix("uid=") for dn in sorted(these)]
        for these in (before - pair.one.changed, before & pair.one.changed)
    )
    brief = pair.one.configure("brief.yaml", base=pair.config, directory__replication_seconds=1)
    dies = ON_THE_NIGHT + DIES.format(number=1)

    def words(command: str, uid: str) -> list[str]:
        return command.replace("{}", uid).split()

    def other(config: Path) -> Ended:
        lock = words("account lock {} --reason trial --yes", others.pop())
        return pair.one.run(pair.one.command(*lock, config=config, prelude=ON_THE_NIGHT))

    for command in COMMANDS:
        lost = lose(pair, pair.one.command(*words(command, uids.pop()), config=brief, prelude=dies))
        if command == COMMANDS[0]:
            # it is written again, and remembered until the other server is known to have it
            early = other(brief)
            assert early.code == 5, early.said
            assert "does not have everything yet" in early.said
            assert doubtful(pair.one) == {dn for dn in lost if dn.startswith("uid=")}
        pair.heal()
        ended = other(pair.config)
        assert ended.code == 0, ended.said
        assert "read back" in ended.said
        assert doubtful(pair.one) == set()

    # piactl cannot repeat the write of a password: it must be set again, and every run says so until then
    activate = "password activate {} --administrator --out codes-{} --yes"
    uid = uids.pop()
    lose(pair, pair.one.command(*words(activate, uid), config=brief, prelude=dies))
    pair.heal()
    for _ in range(2):
        ended = other(pair.config)
        assert ended.code == 5, ended.said
        assert f"the password of uid={uid},{ACCOUNTS} is another one there: set it again" in ended.said
    set_again = words(activate.replace("codes-", "more-"), uid)
    ended = pair.one.run(pair.one.command(*set_again, config=pair.config, prelude=ON_THE_NIGHT))
    assert ended.code == 0, ended.said

    # a deletion cannot be repeated
    uid = uids.pop()
    enroll = words("otp enroll {} --uri-file uri-{} --yes", uid)
    assert pair.one.run(pair.one.command(*enroll, config=pair.config, prelude=ON_THE_NIGHT)).code == 0
    remove = words("otp remove {} --reason trial --yes", uid)
    device = next(iter(lose(pair, pair.one.command(*remove, config=brief, prelude=dies))))
    pair.heal()
    ended = other(pair.one.configure("some.yaml", base=pair.config, directory__replication_seconds=8))
    assert ended.code == 5, ended.said
    assert f"{device} is still there: delete it there" in ended.said
    with pair.two.root() as connection:
        connection.delete(device)
    assert other(pair.config).code == 0

    # only a night repairs the records of the runs that died
    assert differences(*pair.directories()) != []
    ended = pair.one.run(pair.one.night(config=pair.config))
    assert ended.code == 0, ended.said
    pair.converge()
    assert differences(*pair.directories()) == []
