"""One sandbox with its files, and the command run on it as an administrator would."""

from __future__ import annotations

import base64
import hmac
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import date, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any
from unittest.mock import patch

import ldap3
import pytest

from piactl.cli.framework.configuration import open_configuration
from piactl.cli.main import run
from piactl.directory.store.base_digest import ATTRIBUTES, MANAGED
from tests.cli.streams import shared_forks
from tests.conftest import Sandbox

from .feeds import text

Entries = dict[str, dict[str, list[bytes]]]


def prepared(prepare: Callable[[Academy], Any]) -> Any:
    """A fixture: an academy for one test, as `prepare` leaves it; `prepare` is called once in a process."""

    def fixture(make_academy: Callable[..., Academy]) -> Academy:
        return make_academy(after=prepare)

    return pytest.fixture(fixture, name=prepare.__name__)


@dataclass(frozen=True)
class Ran:
    """What one command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def plan_file(self) -> str:
        """The file in which a refused plan was kept, as the output says."""
        return self.err.partition("The plan is kept in ")[2].split("\n")[0].strip()


@dataclass
class Academy:
    """A sandbox with its files. `said` is everything that any command printed, for tests that search it for
    what should not be there; `left` is what the function that prepared the academy returned."""

    sandbox: Sandbox
    folder: Path
    said: list[str] = field(default_factory=list)
    feeds: int = 0
    left: Any = None

    def run(self, *arguments: str | Path, stdin: str = "") -> Ran:
        """Runs a command in this process, for speed, through the same entry point as `piactl` itself."""
        out, err = io.StringIO(), io.StringIO()
        words = ["--config", str(self.sandbox.config), *map(str, arguments)]
        with patch.object(sys, "stdin", _Stdin(stdin)), redirect_stdout(out), redirect_stderr(err):
            code = run(words)
        return self._ran(code, out.getvalue(), err.getvalue())

    def spawn(self, *arguments: str | Path, stdin: str = "", **environment: str) -> Ran:
        """Runs a command as a separate process: forked from one that has everything loaded, unless the
        interpreter itself reads a locale from the environment."""
        of_interpreter = [name for name in environment if name.startswith(("LC_", "LANG"))]
        environment = {**self.environment(), **environment}
        if not of_interpreter:
            words, config = [*map(str, arguments)], Path(environment["PIACTL_CONFIG"])
            how = {"how": (stdin, "", ""), "seconds": 60, "environment": environment}
            return self._ran(*shared_forks().ended(words, config, self.folder, **how))
        done = subprocess.run(
            self.words(*arguments),
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=60,
            env=environment,
            check=False,
        )
        return self._ran(done.returncode, done.stdout, done.stderr)

    def run_in_french(self, *arguments: str | Path, stdin: str = "") -> Ran:
        """Runs a command in the environment of a French user."""
        with patch.dict(os.environ, LC_ALL="fr_FR.UTF-8"):
            return self.run(*arguments, stdin=stdin)

    def words(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-m", "piactl", *map(str, arguments)]

    def environment(self) -> dict[str, str]:
        root = str(Path(__file__).parents[2])
        return {**os.environ, "PIACTL_CONFIG": str(self.sandbox.config), "PYTHONPATH": root}

    def _ran(self, code: int, out: str, err: str) -> Ran:
        self.said += [out, err]
        assert "Traceback" not in out + err, err
        assert code != 70, err
        return Ran(code, out, err)

    @property
    def last_run(self) -> str:
        """The DN of the record of the last run."""
        return f"cn=state,{self.sandbox.state}"

    def digests(self, matricule: str) -> list[str]:
        """The digests that an account may have of a matricule (`namespace:number`, or a number of hr)."""
        return [*open_configuration(self.sandbox.config).keys.candidates("matricule", matricule)]

    # Files

    def feed(self, *rows: str, day: str = "2026-09-01", source: str = "hr", mark: str = "") -> Path:
        """Writes a whole feed of that day into a new file; its last line has the date."""
        return self.raw_feed(text(rows, day).encode(), source=source, mark=mark)

    def raw_feed(self, content: bytes, *, source: str = "hr", mark: str = "") -> Path:
        self.feeds += 1
        path = self.folder / f"{source}-{mark}{self.feeds:03}.csv"
        path.write_bytes(content)
        return path

    def allow_up_to(self, most: int, *kinds: str) -> None:
        """Lets the guards of these kinds, or all, pass `most` accounts all year, even if there are few."""
        path = self.sandbox.folder / "policy.yaml"
        policy = path.read_text(encoding="utf-8")
        if not kinds:
            limit = r"\{floor: \d+, share: ([\d.]+)(, per_establishment: \{[^}]*\})?\}"
            policy, count = re.subn(limit, rf"{{floor: {most}, share: \1}}", policy)
            assert count > 20
        for kind in kinds:
            policy, count = re.subn(rf"( {kind}: +)\{{floor: \d+", rf"\1{{max: {most}", policy)
            assert count, kind
        path.write_text(policy, encoding="utf-8")

    def edit(self, name: str, old: str, new: str) -> None:
        """Replaces the only occurrence of `old` in a file of the sandbox."""
        path = self.sandbox.folder / name
        before = path.read_text(encoding="utf-8")
        assert before.count(old) == 1, f"{old!r} stands {before.count(old)} times in {name}"
        path.write_text(before.replace(old, new), encoding="utf-8")

    def sources(self, **sources: str) -> None:
        """Replaces the sources of the configuration: name -> settings in YAML; the files are NAME-*.csv."""
        lines = [f'  {name}: {{{settings}, files: ["{name}-*.csv"]}}' for name, settings in sources.items()]
        self.edit("piactl.yaml", '  hr: {kind: full, files: ["*.csv"]}', "\n".join(lines))

    # Commands

    def night(self, as_of: str, *words: str | Path, code: int = 0) -> Ran:
        """Runs `nightly` as of a day, with feeds and options; it must end with this exit code."""
        ran = self.run("nightly", *words, "--as-of", as_of, "-o", "json")
        assert ran.code == code, f"exit {ran.code}, not {code}: {ran.out}{ran.err}"
        return ran

    def nights(self, as_of: str, *feeds: Path) -> Ran:
        """Runs a night without a feed on the eve of a day, and one on the day: an archival needs both."""
        self.night((date.fromisoformat(as_of) - timedelta(days=1)).isoformat())
        return self.night(as_of, *feeds)

    def quiet_night(self, as_of: str, *feeds: Path) -> None:
        """Runs a night that must write to no account."""
        before = self.stamps()
        ran = self.night(as_of, *feeds)
        assert ran.json["summary"] == {}
        assert self.stamps() == before

    def twice(self, as_of: str, *feeds: Path) -> Ran:
        """Runs a night, and then the same night again, which must write to no account."""
        ran = self.night(as_of, *feeds)
        self.quiet_night(as_of, *feeds)
        return ran

    def plan(self, *words: str | Path, code: int = 0) -> Any:
        ran = self.run("plan", *words, "-o", "json")
        assert ran.code == code, f"exit {ran.code}, not {code}: {ran.err}"
        return ran.json

    def show(self, name: str, as_of: str) -> Any:
        ran = self.run("account", "show", name, "--as-of", as_of, "-o", "json")
        assert ran.code == 0, ran.err
        return ran.json

    def names(self) -> dict[str, str]:
        """matricule -> uid of the accounts that are not archived."""
        return {
            entry["supannEmpId"][0].decode(): entry["uid"][0].decode()
            for entry in self.accounts().values()
            if "supannEmpId" in entry
        }

    # The directory, seen as root

    def dn(self, uid: str) -> str:
        return f"uid={uid},{self.sandbox.accounts}"

    def entry(self, uid: str) -> dict[str, list[bytes]]:
        entry = self.sandbox.entry(self.dn(uid))
        assert entry is not None, f"there is no entry {uid}"
        return entry

    def values(self, uid: str, attribute: str) -> list[str]:
        return sorted(value.decode() for value in self.entry(uid).get(attribute, []))

    def accounts(self) -> Entries:
        return self.sandbox.entries(self.sandbox.accounts, "(objectClass=piactlAccount)")

    def stamps(self) -> dict[str, list[bytes]]:
        """The entryCSN of everything below the accounts: any write would change it."""
        entries = self.sandbox.entries(self.sandbox.accounts, attributes=("entryCSN",))
        return {dn: entry["entryCSN"] for dn, entry in entries.items()}

    def managed(self) -> dict[str, dict[str, list[bytes]]]:
        """What piactl keeps of each account, to compare directories; without digests, as keys may differ."""
        keyed = {"piactlMatriculeDigest", "piactlNumenDigest"}
        return {
            dn: {name: sorted(entry[name]) for name in MANAGED if name in entry and name not in keyed}
            for dn, entry in self.accounts().items()
        }

    def change(self, uid: str, **attributes: list[str]) -> None:
        """Acts as another program: root replaces values of an account."""
        changes = {name: [(ldap3.MODIFY_REPLACE, values)] for name, values in attributes.items()}
        with self.sandbox.root() as connection:
            connection.modify(self.dn(uid), changes)

    def recorded(self, uid: str, **attributes: list[str]) -> None:
        """Like `change`, but as if piactl had written it: with a matching base."""
        if attributes:
            self.change(uid, **attributes)
        configuration = open_configuration(self.sandbox.config)
        bases, dn = configuration.encoding.bases, self.dn(uid)
        assert bases is not None
        entry = self.entry(uid)
        values = {name: tuple(sorted(entry[name])) for name in bases.names if name in entry}
        urn = configuration.encoding.urn.encode()
        rights = tuple(v for v in values.get("eduPersonEntitlement", ()) if v.startswith(urn))
        values = {**values, "eduPersonEntitlement": rights} if rights else values
        [uuid] = self.sandbox.entries(dn, attributes=("entryUUID",))[dn]["entryUUID"]
        self.change(uid, piactlDigest=[bases.fresh(dn, values, uuid).decode()])

    def unsealed(self, uid: str, known: int = ATTRIBUTES) -> None:
        """Gives an account the digest that a version before seals wrote; `known` is the number of attributes
        that it wrote."""
        configuration, entry = open_configuration(self.sandbox.config), self.entry(uid)
        keys, urn = configuration.keys, configuration.encoding.urn.encode()
        secret = hmac.digest(keys.keys[keys.current], b"base of an account", "sha256")
        name = f"uid={uid}".encode() + b"\0"
        whole, items = [name], []
        for number, attribute in enumerate(MANAGED[:known]):
            values = sorted(entry.get(attribute, []))
            if attribute == "eduPersonEntitlement":
                values = [value for value in values if value.startswith(urn)]
            whole += [b"\0\0", attribute.encode(), *values] if values else []
            for value in values:
                if attribute in ("uid", "mail", "piactlIdentifier", "piactlAlias", "oathTOTPToken"):
                    value = value.lower()
                if attribute == "piactlAssignment":
                    value = value.rpartition(b"$")[0]
                text = name + b"%d\0" % number + value
                items.append(bytes([number]) + blake2b(text, key=secret, digest_size=4).digest())
        together = blake2b(b"\0".join(whole), key=secret, digest_size=6).digest()
        body = bytes([known]) + together + b"".join(sorted(items))
        self.change(uid, piactlDigest=[f"{{{keys.current}}}{base64.b64encode(body).decode()}"])

    @contextmanager
    def nothing_written(self) -> Iterator[None]:
        """Inside, no account may be written, made or removed."""
        before = self.stamps()
        yield
        assert self.stamps() == before


class _Stdin(io.StringIO):
    """Text on stdin, and its bytes, from which a plan is read."""

    @property
    def buffer(self) -> io.BytesIO:
        return io.BytesIO(self.getvalue().encode("utf-8", "surrogateescape"))
