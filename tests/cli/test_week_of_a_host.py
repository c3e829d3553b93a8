"""A week of the people of one host, who type `piactl ...` and what it prints: a refused night, its approval,
a restored directory, an adoption, a mail merge, the help desk; and the night as its unit confines it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.outside import Exit
from tests.story.academy import Academy
from tests.story.feeds import row

from .command_cases import CLAIRE, TODAY
from .unix_host import Host, load_with_matching_key, unix_host

pytestmark = pytest.mark.long

UNIT = Path(__file__).parents[2] / "examples" / "systemd" / "piactl-nightly.service"


POLICY_CASE = """\
cases:
  - case: a teacher
    posts: [{fonction: ENS, uai: "0800009A", debut: "2026-09-01"}]
    day: "2026-09-10"
    has: [messagerie]
"""


@pytest.fixture
def host(academy: Academy) -> Iterator[Host]:
    load_with_matching_key(academy)
    with unix_host(academy) as host:
        yield host


def printed(said: str, verb: str) -> list[str]:
    """The words of the command that a message prints, with the reason filled in."""
    lines = re.findall(rf"piactl {verb} [^\n]*", said)
    assert lines, said
    line = lines[0]
    return shlex.split(line.replace('"..."', "'read with the head of HR'"))


def deliver(host: Host, days: int, *people: dict[str, str]) -> str:
    """The feed of a day, with Claire, Ida and more people, as HR leaves it."""
    day = TODAY - timedelta(days=days)
    text = (host.academy.folder / "hr.csv").read_text(encoding="utf-8").splitlines()
    rows = [*text[:-1], *(row(debut="2020-09-01", **person) for person in people)]
    trailer = re.sub(r"\d+", str(len(rows) - 1), text[-1], count=1) if text[-1].startswith("#FIN") else ""
    file = f"/srv/piactl/feeds/hr-{day}.csv"
    content = "\n".join([*rows, *([trailer] if trailer else [])]) + "\n"
    host.root(f"rm -f /srv/piactl/feeds/*; cat > {file} <<'END'\n{content}END\nchmod 644 {file}")
    return file


def test_an_administrator_types_what_the_pages_say(host: Host) -> None:
    """A policy is tried, the guards fitted, a loss looked for, and the shell completes what may be run."""
    rehearsals = "/var/lib/piactl/rehearsals"
    days = f"{TODAY - timedelta(days=3)}..{TODAY}"
    host.root("install -o anne -m 600 /etc/piactl/policy.yaml /srv/home/anne/draft.yaml")
    drafted = f"piactl rehearse --feeds /srv/piactl/feeds --days {days} --policy - --out {rehearsals}/second"
    for words, code in (
        (("policy", "check", "--problems"), Exit.DONE),
        (("policy", "test", "-"), Exit.DONE),
        (("profile", "list"), Exit.DONE),
        (("service", "show", "messagerie"), Exit.DONE),
        (("guards", "suggest"), Exit.DONE),
        (("recover",), Exit.DONE),
        (("events",), Exit.DONE),
        (
            ("rehearse", "--feeds", "/srv/piactl/feeds", "--days", days, "--out", f"{rehearsals}/first"),
            Exit.DONE,
        ),
        (("guards", "suggest", f"{rehearsals}/first"), Exit.DONE),
        (("feed", "score", f"{rehearsals}/first"), Exit.DONE),
    ):
        done = host.types("anne", "piactl", *words, stdin=POLICY_CASE)
        assert done.returncode == code, (words, done)
    compared = "cd; piactl policy diff /etc/piactl/policy.yaml - <draft.yaml"
    assert host.types("anne", "sh", "-c", compared).returncode == Exit.DONE
    done = host.types("anne", "sh", "-c", f"cd; {drafted} --compare {rehearsals}/first <draft.yaml")
    assert done.returncode == Exit.DONE, done
    for person, words, completed in (
        ("anne", ("account", "lock", "cl"), CLAIRE),
        ("anne", ("service", "show", "mess"), "messagerie"),
        ("vera", ("why", "cl"), CLAIRE),
        ("eva", ("otp", "show", "cl"), CLAIRE),
    ):
        done = host.types(person, "piactl", "--complete", *words)
        assert done.stdout.split()[:1] == [completed], (person, words, done)


def test_the_night_does_not_see_the_other_passwords(host: Host) -> None:
    """As the unit confines it: these passwords cannot be opened, and the night does its work."""
    text = UNIT.read_text(encoding="utf-8")
    hidden = [
        path.lstrip("-")
        for line in re.findall(r"^InaccessiblePaths=(.*)$", text, re.MULTILINE)
        for path in line.split()
    ]
    passwords = {name.rpartition("/")[2] for name in hidden if name.startswith("/etc/piactl/secrets/")}
    assert passwords == {"desk", "administrator", "approver"}
    assert "User=piactl" in text
    assert "LoadCredential" not in text
    hide = "touch /run/hidden-$$; chmod 000 /run/hidden-$$; " + "; ".join(
        f"mount --bind /run/hidden-$$ {name}" for name in hidden
    )
    night = "runuser -u piactl -- piactl nightly /srv/piactl/feeds/hr.csv"
    tried = "".join(f"runuser -u piactl -- cat {name} 2>&1 || true; " for name in hidden)
    script = f"{hide}; rm /run/hidden-$$ 2>/dev/null || true; {tried} {night}"
    said = host.root(f"unshare --mount --propagation private bash -euc {shlex.quote(script)}")
    assert said.count("Permission denied") == len(hidden), said
    assert ": done;" in said, said
