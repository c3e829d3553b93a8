"""The first configuration of a host: files to edit, from the examples that ship with piactl."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from piactl.config.read_policy import read_policy
from piactl.config.read_register import read_register
from piactl.config.read_settings import read_settings
from piactl.errors import PiactlError, system_words
from piactl.host.caller import become
from piactl.host.private_files import make_private_folder, write_private, write_public
from piactl.host.secret_files import new_keys_text, read_keys
from piactl.phrase import Phrase
from piactl.shipped_files import example

FILES = ("piactl.yaml", "policy.yaml", "establishments.csv")
MARK = "EDIT"
_REGISTER_COMMENT = (
    f"# {MARK}: your establishments, one a line; these are examples. A blank means no value.\n"
)


@dataclass(frozen=True, slots=True)
class Begun:
    """The files of a first configuration: `written` ones, existing ones `left` unchanged, and the number of
    lines `marked` for editing."""

    written: tuple[Path, ...]
    left: tuple[Path, ...]
    marked: int


def write_first_files(folder: Path, user: str = "") -> Begun:
    """Writes the missing files of a first configuration to `folder`; existing files stay unchanged. With
    `user` this process of root gives them to the group of `user` and becomes that user, who makes the key.

    The folder of the secrets has mode 0700, the key file 0600. Raises PiactlError if a file cannot be
    written, and ConfigurationInvalid or SecretUnusable if the resulting files are not valid.
    """
    secrets = folder / "secrets"
    contents = {folder / name: _content(name) for name in FILES}
    written, existing = [], []
    _make_folder(folder)
    if not user:
        make_private_folder(secrets)
    for path, content in contents.items():
        if path.exists() or path.is_symlink():
            existing.append(path)
        else:
            write_public(path, content)
            written.append(path)
            if user:
                shutil.chown(path, group=user)
                path.chmod(0o640)
    if user:
        become(user)
        make_private_folder(secrets)
    keys = secrets / "keys"
    if keys.exists() or keys.is_symlink():
        existing.append(keys)
    else:
        write_private(keys, new_keys_text().encode("ascii"))
        written.append(keys)
    settings = read_settings(folder / "piactl.yaml")
    read_policy(Path(settings.policy_file))
    read_register(Path(settings.establishments_file))
    if keys in written:
        read_keys(str(keys))
    lines = (line for path in written for line in path.read_text("utf-8").splitlines())
    return Begun(tuple(written), tuple(existing), sum(MARK in line for line in lines))


def _content(name: str) -> bytes:
    try:
        content = example(name).read_bytes()
    except OSError:
        raise PiactlError(
            Phrase(
                "{example} is missing: the installation is incomplete. Install piactl again.",
                example=example(name),
            )
        ) from None
    if name == "establishments.csv":
        header, _, rest = content.partition(b"\n")
        return header + b"\n" + _REGISTER_COMMENT.encode() + rest
    return content


def _make_folder(folder: Path) -> None:
    try:
        if not folder.is_dir():
            folder.mkdir(mode=0o755, parents=True)
    except (OSError, ValueError) as error:
        why = system_words(error) if isinstance(error, OSError) else Phrase("not a path")
        raise PiactlError(
            Phrase(
                "{folder}: cannot be made ({why}); name a folder of yours with --dir DIR",
                folder=folder,
                why=why,
            )
        ) from None
