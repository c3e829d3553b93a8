"""Files that others may write are refused: the file itself, a folder above it, a link on the way; exit 10."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from piactl.config.read_policy import read_policy
from piactl.config.read_register import read_register
from piactl.config.read_settings import read_settings
from piactl.errors import ConfigurationInvalid, Exit, NotPermitted, PiactlError, SecretUnusable
from piactl.host.private_files import lock_file, make_private_folder
from piactl.host.secret_files import read_password

EXAMPLES = Path(__file__).parents[2] / "examples"
READERS = {
    "piactl.yaml": read_settings,
    "policy.yaml": read_policy,
    "establishments.csv": read_register,
    "secret": lambda path: read_password(str(path)),
}
ROOT = os.geteuid() == 0

Read = Callable[[Path], object]


@pytest.fixture(params=READERS)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Read]:
    """A file of this user, two folders deep, and the function that reads it."""
    path = tmp_path / "a" / "b" / request.param
    path.parent.mkdir(parents=True)
    if request.param == "secret":
        path.write_text("x")
        path.chmod(0o600)
    else:
        shutil.copy(EXAMPLES / request.param, path)
        path.chmod(0o640)
    READERS[request.param](path)  # it can be read as it is
    return path, READERS[request.param]


def refusal(read: Read, path: Path) -> str:
    with pytest.raises(PiactlError) as caught:
        read(path)
    assert caught.value.exit_code is Exit.CONFIGURATION
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, ConfigurationInvalid | SecretUnusable)
    return str(caught.value)


def open_to(path: Path, mode: int) -> None:
    """Gives a file or folder this mode, and a group that has another member."""
    if mode & 0o022 == 0o020:
        if not ROOT:
            pytest.skip("only root can give a file to any group")
        os.chown(path, -1, 1)
    path.chmod(mode)


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o720, 0o702])
@pytest.mark.parametrize("above", ["b", "a"])
def test_a_file_below_a_folder_that_others_may_write_is_refused(file, above, mode):
    path, read = file
    folder = next(parent for parent in path.parents if parent.name == above)
    open_to(folder, mode)
    message = refusal(read, path)
    assert f"others may change it: {folder} has mode {mode:04o}; run `chmod go-w {folder}`" in message


@pytest.mark.parametrize("mode", [0o666, 0o660, 0o602])
def test_a_file_that_others_may_write_is_refused(file, mode):
    path, read = file
    open_to(path, mode)
    assert str(path) in (message := refusal(read, path))
    assert f"chmod {'600' if path.name == 'secret' else 'go-w'} {path}" in message


def test_files_writable_by_the_own_group_of_the_user_are_accepted(file):
    """A file as a user clones it under umask 002."""
    path, read = file
    for folder in (path.parent, path.parent.parent):
        folder.chmod(0o775)
    if path.name != "secret":
        path.chmod(0o664)
    members = {user.pw_name for user in pwd.getpwall() if user.pw_gid == path.stat().st_gid}
    members |= set(grp.getgrgid(path.stat().st_gid).gr_mem)
    assert members <= {"root", pwd.getpwuid(os.geteuid()).pw_name}, "this user has no group of its own"
    read(path)


@pytest.mark.skipif(not ROOT, reason="only root can give a file away")
@pytest.mark.parametrize("place", ["piactl.yaml", "b", "a"])
def test_a_file_or_folder_of_another_user_is_refused(tmp_path, place):
    path = tmp_path / "a" / "b" / "piactl.yaml"
    path.parent.mkdir(parents=True)
    shutil.copy(EXAMPLES / "piactl.yaml", path)
    other = next(candidate for candidate in (path, *path.parents) if candidate.name == place)
    os.chown(other, 1, 1)
    message = refusal(read_settings, path)
    assert f"others may change it: {other} belongs to daemon; run " in message
    assert f"`chown root {other}`" in message


def test_a_link_through_a_folder_that_others_may_write_is_refused(tmp_path):
    """A link leads to the file: others may write its target or the folder of the link."""
    for name in ("mine", "open", "far"):
        (tmp_path / name).mkdir()
    shutil.copy(EXAMPLES / "piactl.yaml", tmp_path / "far" / "piactl.yaml")
    (tmp_path / "open" / "link").symlink_to(tmp_path / "far")
    (tmp_path / "mine" / "link").symlink_to("../open/link/piactl.yaml")
    assert read_settings(tmp_path / "mine" / "link").policy_file
    (tmp_path / "open").chmod(0o777)
    assert f"{tmp_path / 'open'} has mode 0777" in refusal(read_settings, tmp_path / "mine" / "link")


def test_a_file_in_a_sticky_folder_is_accepted(tmp_path):
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    shutil.copy(EXAMPLES / "policy.yaml", tmp_path / "tmp" / "policy.yaml")
    assert read_policy(tmp_path / "tmp" / "policy.yaml").profiles


def test_a_hook_that_others_may_write(tmp_path):
    hook = tmp_path / "end-sessions"
    hook.write_text("#!/bin/sh\n")
    hook.chmod(0o755)
    content = (EXAMPLES / "piactl.yaml").read_text("utf-8")
    path = tmp_path / "piactl.yaml"
    path.write_text(f"{content}\nhooks: {{changes: [{{kinds: [lock], run: [{hook}]}}]}}\n")
    assert read_settings(path).change_hooks[0].command == (str(hook),)
    hook.chmod(0o757)
    assert f"hooks.changes: others may change it: {hook} has mode 0757" in refusal(read_settings, path)


@pytest.mark.parametrize("use", [make_private_folder, lambda f: lock_file(f / "lock").__enter__()])
def test_a_state_folder_that_is_a_link_or_open_to_others(tmp_path, use):
    folder = tmp_path / "state"
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotPermitted, match="is a symbolic link, which is not followed; name its target"):
        use(folder)
    folder.unlink()
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(NotPermitted, match=f"run `chmod go-w {folder}`"):
        use(folder)
    assert list((tmp_path / "elsewhere").iterdir()) == []
