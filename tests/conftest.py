"""Shared fixtures: a private slapd for each test, made by piactl's own sandbox (some 50 ms each)."""

from __future__ import annotations

import gc
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import ldap3
import pytest
from hypothesis import settings

from piactl.host import private_files
from piactl.sandbox import SandboxStatus, start_sandbox, stop_sandbox
from piactl.sandbox.folder import ACCOUNTS, STATE, identity_dn
from piactl.sandbox.server import recall

from .examples import SEARCH
from .outside import seen_from_outside
from .remembered import (
    copy_prepared,
    kept_folder,
    prepared_sandbox,
    remember_configurations,
    remember_schemas,
    stop_kept,
)

# the tests and the policy have the same today (Europe/Paris), also in the hours in which UTC has another day;
# a value in this form needs no time zone files
os.environ["TZ"] = "CET-1CEST,M3.5.0,M10.5.0/3"
time.tzset()

# the time of one example depends on the load of the machine; the examples are the same, except with --all
settings.register_profile("piactl", deadline=None, derandomize=True)
settings.register_profile(SEARCH, deadline=None)
settings.load_profile("piactl")


# if set, each worker rewrites and compiles all tests, and each of some thousand processes compiles piactl
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# no test cuts the power: in memory, if there is room and programs may run there, nothing waits for the disk
MEMORY = Path("/dev/shm")
if (
    not os.environ.get("TMPDIR")
    and os.access(MEMORY, os.W_OK)
    and shutil.disk_usage(MEMORY).free > 6_000_000_000
    and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
):
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--in-batches", action="store_true", help="the stories as among very many people")
    parser.addoption("--rounds", type=int, default=20, help="how often a long fault test strikes")
    parser.addoption("--update-golden", action="store_true", help="write the files of tests/golden anew")


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    """How often a long fault test strikes."""
    return int(request.config.getoption("--rounds"))


def pytest_configure() -> None:
    # root may test the checkout of another user, whose example files piactl would not trust
    private_files.trusted_owners.add(Path(__file__).stat().st_uid)
    # a shell makes background processes ignore SIGINT, and programs that the tests start would ignore it too
    signal.signal(signal.SIGINT, signal.default_int_handler)
    remember_configurations()
    remember_schemas()
    # the tests expect English output, also on a machine with a French locale
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if os.environ.get(name, "").startswith("fr"):
            os.environ[name] = "C.UTF-8"


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    options = config.option
    without_paths = config.args_source is not pytest.Config.ArgsSource.ARGS
    in_worker = hasattr(config, "workerinput")
    if without_paths and config.getoption("numprocesses", 0) is None and not (options.usepdb or in_worker):
        # more workers than cores: many tests wait for a deadline or for a process
        options.numprocesses, options.dist = 4, "worksteal"
    if without_paths and config.getoption("numprocesses", 0) and not in_worker:
        _compile_tests()


def _compile_tests() -> None:
    """Lets one process rewrite and compile the tests that are new or have changed, which takes ten seconds of
    CPU; otherwise all workers would do so at the same time."""
    tests = Path(__file__).parent
    if all(_is_compiled(path) for path in tests.rglob("test_*.py")):
        return
    collecting = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n", "0", "-p", "no:cacheprovider"]
    # the workers say what is wrong with the tests
    subprocess.run(
        collecting, cwd=tests.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    )


def _is_compiled(path: Path) -> bool:
    compiled = path.parent.glob(f"__pycache__/{path.stem}.*-pytest-*.pyc")
    return any(file.stat().st_mtime >= path.stat().st_mtime for file in compiled)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not re.search(r"\blong\b", config.option.markexpr):
        long = {item for item in items if item.get_closest_marker("long")}
        items[:] = [item for item in items if item not in long]
        config.hook.pytest_deselected(items=[*long])
        _begin_with_faults(items)
    for item in items:
        if item.path in seen_from_outside():
            item.add_marker("outside")
    # the long stories of the most people first: one begun last would keep a single worker busy at the end
    items.sort(key=_people_of_long_test, reverse=True)


def _begin_with_faults(items: list[pytest.Item]) -> None:
    """Puts the tests of a world and those of two providers where two workers begin: each worker gets an equal
    number of tests and takes some of others at the end, so each would build both, for some seconds of CPU."""
    fixtures = ("world", "built_pair")
    groups = [[i for i in items if name in getattr(i, "fixturenames", ())] for name in fixtures]
    share = len(items) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    placed = {item for group in groups for item in group}
    others = [item for item in items if item not in placed]
    for number, group in enumerate(groups):
        others[number * share : number * share] = group
    items[:] = others


def _people_of_long_test(item: pytest.Item) -> int:
    parameters = getattr(item, "callspec", None)
    return int(parameters.params.get("people", 0)) if parameters and item.get_closest_marker("long") else 0


def pytest_collection_finish() -> None:
    # some million objects stay: no garbage collection needs to look at them again
    gc.collect()
    gc.freeze()
    # few others are in cycles, and looking for these takes up to an eighth of the time
    gc.set_threshold(50_000)


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox. `uri` is its ldapi socket, `tcp_uri` the same server over TCP on 127.0.0.1."""

    folder: Path
    config: Path
    uri: str
    tcp_uri: str
    pid: int
    accounts: str = ACCOUNTS
    state: str = STATE

    @classmethod
    def started(cls, folder: Path, *, accesslog: bool = False) -> Sandbox:
        status = start_sandbox(folder, accesslog=accesslog)
        assert status.pid is not None
        return cls(folder, status.configuration, *status.uris, status.pid)

    @property
    def socket(self) -> Path:
        """The Unix socket of the server."""
        return Path(unquote(self.uri.removeprefix("ldapi://")))

    @contextmanager
    def root(self) -> Iterator[ldap3.Connection]:
        """A connection as the rootdn (SASL EXTERNAL), which may see and do everything."""
        options = {"authentication": ldap3.SASL, "sasl_mechanism": ldap3.EXTERNAL, "sasl_credentials": ""}
        with _bound(self.uri, **options) as connection:
            yield connection

    @contextmanager
    def connect(self, identity: str) -> Iterator[ldap3.Connection]:
        """A connection as one of the identities: reader, nightly, desk, administrator, approver."""
        password = (self.folder / "secrets" / identity).read_text().strip()
        with self.bind(identity_dn(identity), password) as connection:
            yield connection

    @contextmanager
    def bind(self, dn: str, password: str) -> Iterator[ldap3.Connection]:
        """A simple bind ("" and "" is anonymous); raises an LDAPOperationResult if it is refused."""
        options = {"user": dn, "password": password, "authentication": ldap3.SIMPLE} if dn else {}
        with _bound(self.uri, **options) as connection:
            yield connection

    def entry(self, dn: str) -> dict[str, list[bytes]] | None:
        """All attributes of one entry as root sees them, operational ones too; None if there is no entry."""
        with self.root() as connection:
            try:
                connection.search(dn, "(objectClass=*)", ldap3.BASE, attributes=["*", "+"])
            except ldap3.core.exceptions.LDAPNoSuchObjectResult:
                return None
            return dict(connection.response[0]["raw_attributes"])

    def entries(
        self, base: str, query: str = "(objectClass=*)", attributes: tuple[str, ...] = ("*", "+")
    ) -> dict[str, dict[str, list[bytes]]]:
        """The entries of a subtree by DN as root sees them, with all attributes unless others are given."""
        with self.root() as connection:
            connection.search(base, query, ldap3.SUBTREE, attributes=list(attributes))
            return {e["dn"]: dict(e["raw_attributes"]) for e in connection.response if "dn" in e}

    def add(self, dn: str, values: dict[str, Any]) -> None:
        """Adds an entry as root."""
        with self.root() as connection:
            connection.add(dn, attributes=values)

    def accepts(self, dn: str, password: str) -> bool:
        """Whether a simple bind succeeds."""
        try:
            with self.bind(dn, password):
                return True
        except ldap3.core.exceptions.LDAPInvalidCredentialsResult:
            return False

    def at(self, uri: str) -> Sandbox:
        """The same identities and passwords at another server."""
        return replace(self, uri=uri)

    def stop(self) -> SandboxStatus:
        return stop_sandbox(self.folder)

    def start(self) -> SandboxStatus:
        return start_sandbox(self.folder)


@contextmanager
def _bound(uri: str, **options: Any) -> Iterator[ldap3.Connection]:
    server = ldap3.Server(uri, get_info=ldap3.NONE)
    connection = ldap3.Connection(
        server, raise_exceptions=True, auto_referrals=False, check_names=False, receive_timeout=30, **options
    )
    try:
        connection.bind()
        yield connection
    finally:
        connection.unbind()


@contextmanager
def sandboxes() -> Iterator[Callable[..., Sandbox]]:
    """Makes started sandboxes (`make(accesslog=True)`); each is stopped at the end by its pid.

    They have the same passwords and keys, except `fresh` ones. A sandbox `like` a stopped one also has its
    content.
    """
    folders: list[Path] = []

    def make(*, accesslog: bool = False, fresh: bool = False, like: Path | None = None) -> Sandbox:
        # not tmp_path: with the names of long tests it is too long for a Unix socket
        folder = Path(tempfile.mkdtemp(prefix="piactl-test-"))
        folders.append(folder)
        if not fresh:
            copy_prepared(like or prepared_sandbox(accesslog), folder)
        return Sandbox.started(folder, accesslog=accesslog)

    try:
        yield make
    finally:
        for folder in folders:
            if process := recall(folder / "slapd" / "process.json"):
                os.kill(process.pid, signal.SIGKILL)  # its data are removed too
            shutil.rmtree(folder)


@pytest.fixture
def make_sandbox() -> Iterator[Callable[..., Sandbox]]:
    """Makes sandboxes for one test, as `sandboxes` does."""
    with sandboxes() as make:
        yield make


@contextmanager
def preparing(*, accesslog: bool = False) -> Iterator[Sandbox]:
    """A sandbox that is stopped at the end and kept, for `make_sandbox(like=sandbox.folder)`."""
    folder = kept_folder()
    copy_prepared(prepared_sandbox(accesslog), folder)
    yield Sandbox.started(folder, accesslog=accesslog)
    stop_kept(folder)


@pytest.fixture
def sandbox(make_sandbox: Callable[..., Sandbox]) -> Sandbox:
    """A running sandbox for one test."""
    return make_sandbox()
