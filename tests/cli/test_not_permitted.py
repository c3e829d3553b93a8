"""A user may not use a file that piactl needs: it says which file, which user, what to do; exit 10."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.outside import Exit
from tests.remembered import open_parents
from tests.story.academy import Academy, Ran

from .command_cases import CLAIRE, WHY, load
from .streams import Forks, forking_for_others

Run = Callable[..., Ran]

ROOT = os.geteuid() == 0
OTHER, OWNER = 65534, 1
"""The user who runs the command, and the owner of the file, if the tests run as root."""


def name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


@pytest.fixture
def loaded(make_academy: Callable[..., Academy]) -> Iterator[Academy]:
    """An academy whose files all belong to the other user, who may use all except what `hide` hides."""
    academy = make_academy(after=load)
    if ROOT:
        for path in (academy.sandbox.folder, academy.folder):
            open_parents(path)
            for file in (path, *path.rglob("*")):
                os.lchown(file, OTHER, OTHER)
    yield academy
    for path in (academy.sandbox.folder, academy.folder):
        for folder in (path, *(child for child in path.rglob("*") if child.is_dir())):
            folder.chmod(0o700)


def hide(path: Path) -> None:
    """Makes a path that the user of the command may not use."""
    mode = 0o700 if path.is_dir() else 0o600
    if ROOT:
        os.chown(path, OWNER, OWNER)
        path.chmod(mode)
    else:
        path.chmod(0)


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forking_for_others() as forks:
        yield forks


@pytest.fixture
def run(loaded: Academy, forks: Forks) -> Run:
    def run(*words: str | Path, system: Path | None = None) -> Ran:
        return forks.run(loaded, *map(str, words), user=OTHER if ROOT else None, system=system)

    return run


def refused(ran: Ran, path: Path) -> None:
    assert ran.code == Exit.CONFIGURATION, ran
    assert not re.search(r"\bbug\b", ran.err)  # the name of a folder may have these letters
    assert str(path) in ran.err
    assert f"user {name_of(OTHER if ROOT else os.geteuid())} may not" in ran.err
    assert f"sudo -u {name_of(OWNER)} piactl" in ran.err if ROOT else "check its mode" in ran.err
    assert len(ran.err.splitlines()) <= 3


FEED = "{feed}"
HIDDEN: dict[str, tuple[tuple[str, ...], ...]] = {
    "piactl.yaml": (
        ("account", "list"),
        ("plan",),
        ("nightly",),
        ("runs", "list"),
        ("key", "list"),
        ("undo", "last", *WHY),
        ("account", "lock", CLAIRE, *WHY),
        ("password", "check"),
        ("journal", "show"),
    ),
    "policy.yaml": (("plan",), ("nightly",), ("account", "list"), ("why", CLAIRE)),
    "establishments.csv": (("plan",), ("nightly",)),
    "secrets/reader": (("plan",), ("account", "list"), ("runs", "list"), ("journal", "verify", "{path}")),
    "secrets/nightly": (("nightly",),),
    "secrets/administrator": (("undo", "last", *WHY), ("account", "lock", CLAIRE, *WHY)),
    "secrets/desk": (("password", "activate", CLAIRE, "--out", "{new}"),),
    "secrets/keys": (("plan",), ("nightly",), ("key", "list"), ("key", "add", *WHY)),
    "secrets": (("plan",), ("nightly",), ("key", "list")),
    "state": (("nightly", FEED),),
    "state/plans": (("nightly", FEED),),
    "journal/piactl.jsonl": (("nightly",), ("journal", "show"), ("account", "lock", CLAIRE, *WHY)),
    "journal/piactl.jsonl.head": (("nightly",), ("account", "lock", CLAIRE, *WHY)),
    "journal": (("nightly",), ("journal", "show"), ("journal", "verify"), ("account", "lock", CLAIRE, *WHY)),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_a_file_that_the_user_may_not_use_is_named_with_advice(loaded: Academy, run: Run, name: str) -> None:
    path = loaded.sandbox.folder / name
    text = (loaded.folder / "hr.csv").read_text(encoding="utf-8").replace("claire@", "c@")
    feed = loaded.folder / "changed.csv"
    feed.write_text(text.replace("Dubreuil", "Dubreuille").replace("Roy", "Roys"), encoding="utf-8")
    if ROOT:
        os.chown(feed, OTHER, OTHER)
    assert run("account", "list").code == Exit.DONE, "nothing else is in the way"
    hide(path)
    with loaded.nothing_written():
        for words in HIDDEN[name]:
            names = {FEED: str(feed), "{new}": str(loaded.folder / "new"), "{path}": str(path)}
            arguments = [names.get(word, word) for word in words]
            refused(run(*arguments), path)


def test_a_configuration_in_a_folder_the_user_may_not_enter_is_named(loaded: Academy, run: Run) -> None:
    """Like /etc/piactl, it is in a folder of mode 0750."""
    folder = loaded.sandbox.folder / "etc"
    folder.mkdir()
    shutil.copy(loaded.sandbox.config, folder / "piactl.yaml")
    hide(folder)
    for words in (("account", "list"), ("nightly",), ("undo", "last", *WHY)):
        refused(run(*words, system=folder / "piactl.yaml"), folder / "piactl.yaml")
    ran = run("doctor", system=folder / "piactl.yaml")
    assert ran.code == Exit.CONFIGURATION
    assert "may not" in ran.out
    assert "a bug" not in ran.out


@pytest.mark.parametrize(
    "name", ["policy.yaml", "secrets", "secrets/keys", "secrets/reader", "state", "journal"]
)
def test_doctor_reports_unusable_files_and_no_bug(loaded: Academy, run: Run, name: str) -> None:
    path = loaded.sandbox.folder / name
    hide(path)
    ran = run("doctor", "-o", "json")
    assert ran.code in (Exit.CONFIGURATION, Exit.FAILED), ran
    errors = [finding for finding in json.loads(ran.out) if finding["result"] == "error"]
    text = " ".join(error["found"] + " " + error["advice"] for error in errors)
    assert str(path) in text
    assert "a bug" not in text
    assert f"sudo -u {name_of(OWNER)} piactl" in text if ROOT else "check its mode" in text


def test_doctor_reports_its_own_state_folder_of_a_wrong_mode(loaded: Academy, run: Run) -> None:
    folder = loaded.sandbox.folder / "state"
    folder.chmod(0)
    ran = run("doctor", "-o", "json")
    assert ran.code == Exit.FAILED, ran
    errors = {finding["id"]: finding for finding in json.loads(ran.out) if finding["result"] == "error"}
    assert f"this user cannot write to {folder}" in errors["D06"]["found"]


@pytest.mark.skipif(not ROOT, reason="only root can look at the files of another user")
def test_doctor_as_root_advises_to_run_as_the_owner_of_the_files(loaded: Academy) -> None:
    """The files are those of the user that runs the nights: doctor says to run it as that user."""
    ran = loaded.spawn("doctor", "-o", "json")
    (d01,) = (finding for finding in ran.json if finding["result"] == "error")
    assert f"run `runuser -u {name_of(OTHER)} -- piactl ...`, or `chown root" in d01["found"]
    folder = loaded.sandbox.folder
    for path in (folder, *(folder / n for n in ("piactl.yaml", "policy.yaml", "establishments.csv"))):
        os.chown(path, 0, 0)
    ran = loaded.spawn("doctor", "-o", "json")
    assert ran.code == Exit.CONFIGURATION, ran
    errors = {finding["id"]: finding for finding in ran.json if finding["result"] == "error"}
    assert {"D04", "D05", "D08"} <= set(errors)
    for id_ in ("D04", "D05", "D08"):
        text = errors[id_]["found"] + " " + errors[id_]["advice"]
        assert "chown" not in text
        assert "give the file" not in text.lower()
        assert f"runuser -u {name_of(OTHER)} -- piactl" in text
