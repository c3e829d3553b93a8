"""A one-off command stands still at any of its requests for longer than the lease of a run, while another
host changes the same accounts: nothing stale is written, the result is as if one had followed the other."""

from __future__ import annotations

import os
import re
import shutil
import signal
from pathlib import Path

import pytest
import yaml

from tests.cli.streams import Forked, shared_forks
from tests.faults.test_every_step import COUNTED, SAID
from tests.faults.test_one_writer import ANOTHER_HOST, wait_until_stopped
from tests.outside import POLICIES, identity_dn

from .academy import Academy, Ran
from .feeds import MARESCHAL
from .test_matricules import DAYS, LUC, WHY, aaf, both_feeds, doubled, epp, luc, two

__all__ = ["two"]

AS_OF = ("--as-of", DAYS[1])
SPLIT = ("account", "split", LUC, "--matricule", "aaf:42")
MERGE = ("account", "merge", f"{LUC}1", LUC)
COMMANDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "merge": (MERGE,),
    "split": (("account", "unlock", f"{LUC}1"), MERGE, SPLIT),
    "rekey": (("account", "rekey", LUC, "--from", "1001", "--to", "2001"),),
    "deny": (("exception", "deny", LUC, "--service", "iprof", "--until", DAYS[-1]),),
    "revert": (("drift", "revert", LUC),),
}
"""Name -> the commands to run before, and as the last one the command that stands still."""


_OF_A_FEED = re.compile(rb"-\d{3}\.csv:|(?<=^numen )[-\d]+$")


class Stage:
    """An academy with a saved state, and another host with its own identity."""

    def __init__(self, academy: Academy, *, may_hold: bool) -> None:
        """`may_hold`: a night may hold the two people while the command stands still, and then takes the HR
        data from the next feeds."""
        self.academy, self.folder = academy, academy.sandbox.folder
        dn = f"cn=another,{identity_dn('nightly')}"
        password = (self.folder / "secrets" / "nightly").read_text().strip()
        values = {"objectClass": ["applicationProcess", "simpleSecurityObject"], "cn": ["another"]}
        credentials = {"userPassword": [password], "pwdPolicySubentry": [f"cn=services,{POLICIES}"]}
        academy.sandbox.add(dn, {**values, **credentials})
        settings = yaml.safe_load(academy.sandbox.config.read_text())
        settings["directory"]["identities"]["nightly"]["dn"] = dn
        settings |= {
            "journal": str(academy.folder / "other" / "j.jsonl"),
            "state_folder": str(academy.folder / "s"),
        }
        self.feeds, self.again = (
            [
                epp(academy, day, luc(numen="20E9512345XYZ", fin=DAYS[9])),
                aaf(academy, day, luc(matricule="42", uai=MARESCHAL, prenom="LUC", fin=DAYS[9])),
            ]
            for day in DAYS[1:3]
        )
        self.again = self.again if may_hold else []
        self.other = self.folder / "other.yaml"
        self.other.write_text(yaml.safe_dump(settings, allow_unicode=True))

    def save(self) -> None:
        self._copy(self.folder, self.academy.folder / "saved")

    def reset(self) -> None:
        shutil.rmtree(self.academy.folder / "other", ignore_errors=True)
        self._copy(self.academy.folder / "saved", self.folder)

    def _copy(self, source: Path, target: Path) -> None:
        self.academy.sandbox.stop()
        for name in ("slapd/data", "journal", "state"):
            shutil.rmtree(target / name, ignore_errors=True)
            shutil.copytree(source / name, target / name)
        self.academy.sandbox.start()

    def spawn(self, words: tuple[str, ...], prelude: str, config: Path) -> Forked:
        return shared_forks().start(words, config, self.academy.folder, program=prelude)

    def ended(self, process: Forked) -> Ran:
        out, err = process.communicate(timeout=300)
        assert "Traceback" not in err, err
        return Ran(process.returncode, out, err)

    def night_elsewhere(self) -> None:
        """What another host does after the lease: the posts of the two accounts end."""
        words = ("nightly", *map(str, self.feeds), *AS_OF)
        ran = self.ended(self.spawn(words, ANOTHER_HOST, self.other))
        assert ran.code == 0, ran.err

    def final(self) -> dict[str, dict[str, list[bytes]]]:
        """The values of the accounts after one more night."""
        self.academy.night(DAYS[2], *self.again)
        entries = self.academy.managed()
        if not self.again:
            return entries
        # the feed of a value: several feeds say the same
        return {
            dn: {name: [_OF_A_FEED.sub(b"", value) for value in values] for name, values in entry.items()}
            for dn, entry in entries.items()
        }


@pytest.mark.parametrize(
    "name", ["merge", *(pytest.param(n, marks=pytest.mark.long) for n in COMMANDS if n != "merge")]
)
def test_a_command_suspended_at_any_request_writes_nothing_stale(
    two: Academy, name: str, request: pytest.FixtureRequest
) -> None:
    *before, last = COMMANDS[name]
    doubled(two)
    for words in before:
        assert two.run(*words, *WHY, "--as-of", DAYS[0]).code == 0
    if name == "revert":
        two.change(LUC, telephoneNumber=["0322999999"], eduPersonEntitlement=[])
        two.night(DAYS[0], *both_feeds(two, DAYS[0]))
    words = (*last, *WHY, *AS_OF)
    stage = Stage(two, may_hold=name == "split")
    stage.save()
    counted = stage.ended(stage.spawn(words, COUNTED.format(at=0) + SAID, two.sandbox.config))
    assert counted.code == 0, counted.err
    requests = int(counted.err.rpartition("requests: ")[2].split()[0])
    stage.night_elsewhere()
    first = stage.final()
    stage.reset()
    stage.night_elsewhere()
    done = two.run(*words)
    after = stage.final()
    stage.reset()
    stage.night_elsewhere()
    without = stage.final()

    often = int(request.config.getoption("--rounds")) if name != "merge" else 2
    steps = sorted({1 + (requests - 1) * n // often for n in range(1, often + 1)})
    codes: list[int] = []
    for step in steps:
        stage.reset()
        process = stage.spawn(words, COUNTED.format(at=step), two.sandbox.config)
        try:
            wait_until_stopped(process.pid)
            stage.night_elsewhere()
        finally:
            os.kill(process.pid, signal.SIGCONT)
        ended = stage.ended(process)
        codes.append(ended.code)
        assert ended.code in (0, 1, 5, 7, 8, 11), (step, ended.code, ended.err)
        if name == "split" and "conflict: changed since" in ended.out:
            # the new account is made, and another host has changed the old one: the same command goes on
            again = two.run(*words)
            assert again.code == 0, (step, again)
        end = stage.final()
        serial = [first, after] if ended.code == 0 else [first, after, without]
        assert end in serial, (step, ended)
        assert two.run("journal", "verify").code == 0
    print(f"{name}: stood still at {steps} of {requests}: exit {codes}, after the night {done.code}")
