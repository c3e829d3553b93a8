"""Passwords and keys, from files that only their owner can read, or from systemd credentials.

No error raised here contains any of the content of a file.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Sequence
from pathlib import Path

from piactl.core.model.keyed_digests import DigestKeys
from piactl.core.model.settings import CREDENTIAL, Identity, IdentityName, Settings
from piactl.errors import SecretUnusable, system_words
from piactl.host.caller import user_name
from piactl.host.private_files import exposure, may_not, write_private
from piactl.host.roles_of_caller import may_use, refuse_identity
from piactl.phrase import Phrase, joined

_MAX_BYTES = 65_536
_KEY_LINE = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]{0,31}) ([0-9a-f]{64})")
_CREDENTIAL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,200}")


def read_password(path: str) -> bytes:
    """The password in a file, without a trailing line break.

    Raises SecretUnusable if the file is missing, not regular, a symbolic link, owned by a user other than
    this one and root, open to group or others, or empty; the error says what to do.
    """
    content = _read_private(path)
    password = content.removesuffix(b"\n").removesuffix(b"\r")
    if not password:
        raise SecretUnusable(
            Phrase("{path}: the password file is empty; write the password into it", path=path)
        )
    if b"\0" in password or b"\n" in password:
        raise SecretUnusable(
            Phrase("{path}: a password file has exactly one line; this file has more", path=path)
        )
    return password


def identity_password(identity: Identity) -> bytes:
    """The password of an identity of the directory, b"" for EXTERNAL. Each connection gets it here.

    Raises NotPermitted if no role of the caller has the identity, and SecretUnusable as `read_password`.
    """
    refuse_identity(identity.name)
    return b"" if identity.external else read_password(identity.password_file)


def read_keys(path: str, matching: str = "") -> DigestKeys:
    """The digest keys of a file of lines `<id> <64 lower-case hex digits>`, of which the first is the current
    key; and the secret in the file `matching`, at least 32 characters long.

    Blank lines and lines that begin with `#` are ignored. Raises SecretUnusable as `read_password` does, and
    for bad lines, with the numbers of all.
    """
    content = _read_private(path)
    keys: dict[str, bytes] = {}
    wrong: list[str] = []
    for number, raw in enumerate(content.split(b"\n"), 1):
        line = raw.decode("ascii", "replace").strip()
        if not line or line.startswith("#"):
            continue
        match = _KEY_LINE.fullmatch(line)
        if match is None:
            wrong.append(Phrase("line {number} is not `<id> <64 lower-case hex digits>`", number=number))
        elif match[1] in keys:
            wrong.append(Phrase("line {number} repeats the id of an earlier key", number=number))
        else:
            keys[match[1]] = bytes.fromhex(match[2])
    if wrong:
        raise SecretUnusable(
            Phrase(
                "{path}: {names}. Restore the key file from its copy; a lost key cannot be recovered",
                path=path,
                names=joined(wrong),
            )
        )
    if not keys:
        raise SecretUnusable(Phrase("{path}: the file has no key; restore it from its copy", path=path))
    secret = read_password(matching) if matching else b""
    if matching and len(secret) < 32:
        raise SecretUnusable(
            Phrase(
                "{matching}: a matching key has at least 32 characters: openssl rand -hex 32",
                matching=matching,
            )
        )
    return DigestKeys(next(iter(keys)), keys, secret)


def read_own_keys(settings: Settings) -> DigestKeys:
    """The digest keys of this host; with the matching key of NUMENs of feeds, where nights or the
    administrator, who adopts, use it. The help desk checks NUMENs by slow verifiers. Raises SecretUnusable.
    """
    of_feeds = {IdentityName.NIGHTLY, IdentityName.ADMINISTRATOR} & {*settings.directory.identities}
    matching = settings.matching_key_file if of_feeds and may_use(IdentityName.NIGHTLY) else ""
    return read_keys(settings.keys_file, matching)


def new_keys_text() -> str:
    """The content of a key file with one new random key, `k1`."""
    comment = "# keys of the digests: <id> <64 hex digits>, the first is the current one. Keep a copy."
    return f"{comment}\nk1 {os.urandom(32).hex()}\n"


def add_key(path: str, key: str = "") -> str:
    """Puts a new random key first into a key file, as the current one, and returns its id: `key`, or `k` and
    the next number. The older keys and all comments stay.

    The file is replaced whole or not at all, with mode 0600, and synced. Raises SecretUnusable as `read_keys`
    does, and if the id is taken or is not valid.
    """
    keys = read_keys(_own_file(path)).keys
    fresh = key or _next_id(keys)
    if fresh in keys:
        raise SecretUnusable(
            Phrase(
                "{path}: key {fresh} already exists; an id is never reused for another key",
                path=path,
                fresh=fresh,
            )
        )
    if not _KEY_LINE.fullmatch(f"{fresh} {'0' * 64}"):
        raise SecretUnusable(
            Phrase("{fresh}: not the id of a key: letters, digits, - and _, at most 32 of them", fresh=fresh)
        )
    lines = _read_private(path).decode("utf-8", "surrogateescape").split("\n")
    first = next(n for n, line in enumerate(lines) if _KEY_LINE.fullmatch(line.strip()))
    _write_lines(path, [*lines[:first], f"{fresh} {os.urandom(32).hex()}", *lines[first:]])
    return fresh


def drop_key(path: str, key: str) -> None:
    """Removes a key from a key file, unless it is the current one. Raises SecretUnusable."""
    keys = read_keys(_own_file(path))
    if key == keys.current or key not in keys.keys:
        raise SecretUnusable(
            Phrase(
                "{path}: key {key} is the current key or does not exist; nothing was changed",
                path=path,
                key=key,
            )
        )
    lines = _read_private(path).decode("utf-8", "surrogateescape").split("\n")
    _write_lines(path, [line for line in lines if line.strip().partition(" ")[0] != key])


def _own_file(path: str) -> str:
    if path.startswith(CREDENTIAL):
        raise SecretUnusable(
            Phrase(
                "{path}: a systemd credential cannot be written; run this with a configuration whose "
                "`keys` names the file behind it",
                path=path,
            )
        )
    return path


def _next_id(keys: Collection[str]) -> str:
    numbers = [int(key[1:]) for key in keys if re.fullmatch(r"k[0-9]{1,9}", key)]
    return f"k{max(numbers, default=0) + 1}"


def _write_lines(path: str, lines: Sequence[str]) -> None:
    write_private(Path(path), "\n".join(lines).encode("utf-8", "surrogateescape"))


def _read_private(path: str) -> bytes:
    file, is_credential = _credential(path)
    try:
        # O_NONBLOCK: a pipe put there must not hang the run
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise SecretUnusable(
            Phrase("{path}: there is no such file; check the path in the configuration", path=path)
        ) from None
    except PermissionError:
        raise SecretUnusable(Phrase("{name}: {text}", name=path, text=may_not(file))) from None
    except OSError as error:
        if os.path.islink(file):  # noqa: PTH114 the rest of this module works on text and descriptors
            raise SecretUnusable(
                Phrase("{path}: a symbolic link is refused; name its target", path=path)
            ) from None
        raise SecretUnusable(
            Phrase(
                "{path}: cannot be read: {strerror}; check its owner and mode",
                path=path,
                strerror=system_words(error),
            )
        ) from None
    except ValueError:
        raise SecretUnusable(
            Phrase("the path of a secret file holds a NUL character; check the configuration")
        ) from None
    try:
        _refuse_exposed(path, os.fstat(descriptor), is_credential=is_credential)
        exposed = exposure(os.path.dirname(file))  # noqa: PTH120
        if exposed:
            raise SecretUnusable(Phrase("{name}: {text}", name=path, text=exposed))
        content = os.read(descriptor, _MAX_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(content) > _MAX_BYTES:
        raise SecretUnusable(
            Phrase(
                "{path}: larger than {max_bytes} bytes; this is probably the wrong file",
                path=path,
                max_bytes=_MAX_BYTES,
            )
        )
    return content


def _refuse_exposed(path: str, status: os.stat_result, *, is_credential: bool) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SecretUnusable(Phrase("{path}: not a regular file; name a file", path=path))
    if status.st_uid not in (0, os.geteuid()) and os.geteuid() == 0:
        owner = user_name(status.st_uid)
        raise SecretUnusable(
            Phrase(
                "{path}: it belongs to user {owner}, and this is root; run piactl as the user that runs "
                "the nights: runuser -u {owner} -- piactl ...",
                path=path,
                owner=owner,
            )
        )
    if status.st_uid not in (0, os.geteuid()):
        raise SecretUnusable(
            Phrase(
                "{path}: it belongs to user {st_uid}; `chown` it to the user that runs piactl",
                path=path,
                st_uid=status.st_uid,
            )
        )
    # systemd gives credentials mode 0440 with an ACL for the service's user, in a folder only it can enter
    exposed = stat.S_IRWXO if is_credential else stat.S_IRWXG | stat.S_IRWXO
    if status.st_mode & exposed:
        raise SecretUnusable(
            Phrase(
                "{path}: mode {mode} gives others access; `chmod 600 {path}`",
                path=path,
                mode=f"{stat.S_IMODE(status.st_mode):04o}",
            )
        )


def _credential(path: str) -> tuple[str, bool]:
    if not path.startswith(CREDENTIAL):
        return path, False
    name = path.removeprefix(CREDENTIAL)
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    if not _CREDENTIAL_NAME.fullmatch(name):
        raise SecretUnusable(Phrase("{path}: not the name of a credential; write credential:NAME", path=path))
    if not folder:
        raise SecretUnusable(
            Phrase(
                "{path}: only the unit that names it has it (LoadCredentialEncrypted={name}:FILE); a "
                "second person approves a plan, and the timer applies it",
                path=path,
                name=name,
            )
        )
    return f"{folder}/{name}", True
