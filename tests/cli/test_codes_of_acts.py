"""The documented exit codes of the one-off commands."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from datetime import timedelta

import pytest

from tests.outside import Exit, run
from tests.story.academy import Academy, Ran
from tests.story.feeds import crowd, row

from .conditions import CLAIRE, IDA, TODAY, UNTIL, WHY


def done(academy: Academy) -> Ran:
    return academy.run("account", "lock", "-", *WHY, stdin=f"{CLAIRE}\n{IDA}\n")


def nothing_to_do(academy: Academy) -> Ran:
    return academy.run("account", "unlock", "-", *WHY, stdin=f"{CLAIRE}\n{IDA}\n")


def failed(academy: Academy) -> Ran:
    return academy.run("account", "close", CLAIRE, *WHY)


def usage(academy: Academy) -> Ran:
    return academy.run("exception", "deny", "-", "--service", "iprof", "--until", "soon", *WHY, stdin=CLAIRE)


def guarded(academy: Academy) -> Ran:
    """A forgotten filter: everybody is in the pipe, more than the policy lets one command lock."""
    listed = academy.run("account", "list", "-o", "ndjson").out
    assert listed.count("\n") == 13
    with academy.nothing_written():
        assert academy.run("account", "lock", "-", "--yes", *WHY, stdin=listed).code == Exit.REFUSED
        return academy.run("account", "lock", "-", *WHY, stdin=listed)


def partly(academy: Academy) -> Ran:
    return academy.run("account", "lock", "-", *WHY, stdin=f"nobody.here\n{CLAIRE}\n")


def feed_refused(academy: Academy) -> Ran:
    return academy.run("adopt", academy.raw_feed(b""))


def locked(academy: Academy) -> Ran:
    """An undo writes to many accounts, so it needs the run lock; a lock of one account does not."""
    assert academy.run("account", "lock", CLAIRE, *WHY).code == 0
    lock = {"run": "other", "host": "elsewhere", "pid": 1, "began": 1, "who": "x", "place": "y"}
    lock |= {"since": "2026-11-25T00:00:00+00:00", "expires": "2999-01-01T00:00:00+00:00"}
    with academy.sandbox.root() as root:
        root.add(f"cn=lock,{academy.sandbox.state}", "piactlRecord", {"piactlData": json.dumps(lock)})
    assert academy.run("account", "lock", IDA, *WHY).code == 0
    return academy.run("undo", "last", *WHY)


def unreachable(academy: Academy) -> Ran:
    academy.sandbox.stop()
    return academy.run("password", "unblock", CLAIRE)


def older(academy: Academy) -> Ran:
    """The directory was restored from a backup that is older than the last run."""
    runs = academy.sandbox.entries(f"ou=runs,{academy.sandbox.state}", "(objectClass=piactlRecord)")
    with academy.sandbox.root() as root:
        for dn in sorted(runs, key=len, reverse=True):
            root.delete(dn)
    return academy.run("exception", "deny", CLAIRE, "--service", "iprof", "--until", UNTIL, *WHY)


def not_found(academy: Academy) -> Ran:
    return academy.run("assignment", "end", "nobody.here", "--on", UNTIL, *WHY)


def configuration(academy: Academy) -> Ran:
    (academy.sandbox.folder / "secrets" / "administrator").unlink()
    return academy.run("account", "lock", CLAIRE, *WHY)


CODES: dict[str, tuple[Exit, Callable[[Academy], Ran], tuple[str, ...]]] = {
    "done": (Exit.DONE, done, ()),
    "nothing to do": (Exit.DONE, nothing_to_do, ()),
    "failed": (Exit.FAILED, failed, (CLAIRE, "--until")),
    "usage": (Exit.USAGE, usage, ("--until soon", "YYYY-MM-DD")),
    "refused by a guard": (
        Exit.REFUSED,
        guarded,
        ("lock: 13 of 13", "--allow lock=13", "nothing was"),
    ),
    "in part": (Exit.PARTLY, partly, ("1 of 2 accounts was not changed",)),
    "feed refused": (Exit.FEED_REFUSED, feed_refused, ("hr-002.csv", "[empty]")),
    "lock held": (Exit.LOCKED, locked, ("is writing since", "elsewhere")),
    "unreachable": (Exit.UNREACHABLE, unreachable, ("ldapi", "piactl sandbox start")),
    "older than the journal": (Exit.OLDER, older, ("piactl recover",)),
    "not found": (Exit.NOT_FOUND, not_found, ("nobody.here",)),
    "configuration": (Exit.CONFIGURATION, configuration, ("secrets/administrator", "no such file")),
}


@pytest.mark.parametrize("name", CODES)
def test_exit_code(academy: Academy, name: str) -> None:
    code, make, words = CODES[name]
    day = (TODAY - timedelta(days=3)).isoformat()
    people = (
        row(debut="2020-09-01"),
        row(matricule="1999", prenom="Ida", nom_famille="Roy", debut="2020-09-01"),
    )
    academy.night(day, academy.feed(*people, *crowd(11, debut="2020-09-01"), day=day))
    ran = make(academy)
    assert ran.code == code, ran
    for word in words:
        assert word in ran.err, ran
    if code != Exit.DONE:
        assert ran.err.startswith("piactl: ")


def test_all_codes_but_few_have_a_case() -> None:
    others = {Exit.CHANGES, Exit.BUG, Exit.DECLINED, Exit.INTERRUPTED}
    assert {code for code, _, _ in CODES.values()} == set(Exit) - others


def test_a_bug_is_reported_with_its_place_and_no_data(
    academy: Academy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("20E9512345XYZ")

    monkeypatch.setattr("piactl.core.edits.states.lock", broken)
    err, out = io.StringIO(), io.StringIO()
    with redirect_stderr(err), redirect_stdout(out):
        code = run(["--config", str(academy.sandbox.config), "account", "lock", CLAIRE, *WHY])
    assert code == Exit.BUG
    assert "this is a bug in piactl (KeyError at " in err.getvalue()
    assert "20E9512345XYZ" not in out.getvalue() + err.getvalue()
    assert "Traceback" not in err.getvalue()
