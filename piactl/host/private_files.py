"""Private files: readable by their owner only, replaced atomically; and temporary files."""

from __future__ import annotations

import grp
import os
import pwd
import sqlite3
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from errno import ENAMETOOLONG, ENOENT, ENOTDIR
from pathlib import Path
from weakref import finalize

from piactl.errors import NotPermitted, PiactlError, UsageError, system_words
from piactl.host.caller import caller, sudo_service, this_user, user_name
from piactl.phrase import Phrase

_MAY_NOT = {
    "read": Phrase("user {user} may not read it; {way_on}"),
    "use": Phrase("user {user} may not use it; {way_on}"),
    "write": Phrase("user {user} may not write it; {way_on}"),
    "make": Phrase("user {user} may not make it; {way_on}"),
}


def may_not(path: Path | str, verb: str = "read") -> str:
    """Says that this user may not use a file, and what to do; does not name the path."""
    return Phrase(_MAY_NOT[verb], user=this_user(), way_on=run_as(path))


def run_as(path: Path | str) -> str:
    """Advice on the user that piactl should run as, if this user may not use a file."""
    owner = _owner(Path(path))
    if owner == os.geteuid():
        return Phrase("check its mode and those of the folders above it")
    # root owns the configuration, and the group of the user that runs the nights may read it
    name = user_name(owner) if owner else "piactl"
    # only root can use runuser; others may have a rule of sudo
    command = "runuser -u {} -- piactl ..." if os.geteuid() == 0 else "sudo -u {} piactl ..."
    return Phrase("run piactl as the user that runs the nights: {command}", command=command.format(name))


def _owner(path: Path) -> int:
    for candidate in (path.absolute(), *path.absolute().parents):
        try:
            return candidate.lstat().st_uid
        except (OSError, ValueError):
            continue
    return 0


def refuse_own_file(name: str, descriptor: int, folder: str = "") -> None:
    """Raises UsageError under sudo for an open file that belongs to the user of this process: its caller
    could not open it. Files directly in `folder` may be read, but not through a link."""
    user = sudo_service()
    if not user or os.fstat(descriptor).st_uid != os.geteuid():
        return
    if not _is_below(Path(name), folder):
        raise UsageError(
            Phrase(
                "{name}: belongs to {user}; under sudo piactl reads only files of others for you",
                name=name,
                user=user,
            )
        )


def refuse_missing(name: str) -> None:
    """Raises UsageError if a file that the command line names does not exist."""
    try:
        os.stat(name)  # noqa: PTH116 - Path cannot hold every name
    except (OSError, ValueError) as error:
        if getattr(error, "errno", ENOENT) in (ENOENT, ENOTDIR, ENAMETOOLONG):
            raise UsageError(Phrase("{name}: there is no such file; check the path", name=name)) from None


def refuse_input(option: str, name: str | None, folder: str = "") -> None:
    """Raises UsageError under sudo for a file with a secret that the caller names; `-` is stdin. What is
    directly in `folder` may be read."""
    user = sudo_service() if name not in (None, "-") else ""
    if user and not _is_below(Path(name or ""), folder):
        advice = (
            Phrase("name one in {folder}", folder=folder)
            if folder
            else Phrase("give {option} - and redirect: <FILE", option=option)
        )
        raise UsageError(
            Phrase(
                "{option} {name}: under sudo piactl reads no file for you as {user}; {advice}",
                option=option,
                name=name,
                user=user,
                advice=advice,
            )
        )


def refuse_output(option: str, name: Path | str, folder: str = "", *, instead: str = "") -> None:
    """Raises UsageError under sudo for a file that the caller wants written: it would be written with rights
    that the caller does not have. What is directly in `folder` may be written; without one the advice is
    `instead`, or to leave the option out and redirect the output."""
    user = sudo_service()
    if user and not _is_below(Path(name), folder):
        advice = (
            Phrase("name one in {folder}", folder=folder)
            if folder
            else instead or Phrase("leave {option} out and redirect the output", option=option)
        )
        raise UsageError(
            Phrase(
                "{option} {name}: under sudo piactl writes no file for you as {user}; {advice}",
                option=option,
                name=name,
                user=user,
                advice=advice,
            )
        )


def refuse_shared_stdout(option: str) -> None:
    """Raises UsageError unless stdout is an empty file that only its owner, the caller, may read."""
    person = caller()
    try:
        owner = 0 if person.root else pwd.getpwnam(person.name).pw_uid if person.name else os.geteuid()
        status = os.fstat(sys.stdout.fileno())
    except (KeyError, OSError, ValueError):
        status = None
    own = status and stat.S_ISREG(status.st_mode) and status.st_uid == owner
    if not (status and own and not status.st_mode & 0o077 and not status.st_size):
        raise UsageError(
            Phrase(
                "{option}: stdout must be a new file of yours that nobody else may read: (umask 077; "
                "piactl ... >FILE)",
                option=option,
            )
        )


def _is_below(path: Path, folder: str) -> bool:
    return bool(folder) and path.is_absolute() and path.parent == Path(folder) and not path.is_symlink()


_MOST_LINKS = 40

trusted_owners = {0}
"""The users, besides the running one, whose files are trusted; the tests add the owner of their checkout."""


def exposure(path: Path | str) -> str:
    """Says who else may change a file or folder, and which command prevents it; "" if only root and this user
    may. Looks at the file, every folder above it, and every link that leads there."""
    for step, status in _steps(Path(path).absolute()):
        is_link, mode = stat.S_ISLNK(status.st_mode), stat.S_IMODE(status.st_mode)
        if not _is_trusted(status.st_uid):
            owner, option = user_name(status.st_uid), "-h " if is_link else ""
            as_owner = (
                Phrase("`runuser -u {owner} -- piactl ...`, or ", owner=owner) if os.geteuid() == 0 else ""
            )
            return Phrase(
                "others may change it: {step} belongs to {owner}; run {as_owner}`chown {option}root {step}`",
                step=step,
                owner=owner,
                as_owner=as_owner,
                option=option,
            )
        # in a folder with the sticky bit, such as /tmp, only their owners can replace files
        sticky = stat.S_ISDIR(status.st_mode) and mode & stat.S_ISVTX
        open_to_others = mode & 0o002 or (mode & 0o020 and _has_others(status.st_gid))
        if open_to_others and not is_link and not sticky:
            return Phrase(
                "others may change it: {step} has mode {mode}; run `chmod go-w {step}`",
                step=step,
                mode=f"{mode:04o}",
            )
    return ""


def _is_trusted(uid: int) -> bool:
    return uid == os.geteuid() or uid in trusted_owners


def _has_others(gid: int) -> bool:
    """Whether a group has members besides root and this user. On most hosts a user has a group of its own."""
    try:
        members = {pwd.getpwnam(name).pw_uid for name in grp.getgrgid(gid).gr_mem}
    except KeyError:
        return True
    members |= {user.pw_uid for user in pwd.getpwall() if user.pw_gid == gid}
    return not all(map(_is_trusted, members))


def _steps(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """The folders and links that lead to an absolute path, and the file, as far as they can be seen."""
    place, rest, links = Path(path.anchor), list(reversed(path.parts[1:])), 0
    try:
        yield place, place.lstat()
        while rest and links <= _MOST_LINKS:
            part = rest.pop()
            if part == "..":
                place = place.parent
                continue
            status = (place / part).lstat()
            yield place / part, status
            if not stat.S_ISLNK(status.st_mode):
                place /= part
                continue
            links += 1
            target = (place / part).readlink()
            if target.is_absolute():
                place = Path(target.anchor)
            rest += reversed(target.parts[1:] if target.is_absolute() else target.parts)
    except (OSError, ValueError):
        return  # the error of opening the file says why


def make_private_folder(folder: Path) -> None:
    """Creates a folder with mode 0700, and its parents, if missing. Raises PiactlError, and NotPermitted
    if this user cannot write to it, others can, or it is a symbolic link."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise NotPermitted(Phrase("{name}: {text}", name=folder, text=may_not(folder, "write")))
        if folder.is_symlink():
            raise NotPermitted(
                Phrase("{folder}: is a symbolic link, which is not followed; name its target", folder=folder)
            )
        exposed = exposure(folder)
        if exposed:
            raise NotPermitted(Phrase("{name}: {text}", name=folder, text=exposed))
    except PermissionError:
        raise NotPermitted(Phrase("{name}: {text}", name=folder, text=may_not(folder, "make"))) from None
    except OSError as error:
        raise PiactlError(
            Phrase(
                "{folder}: cannot be made ({strerror}); check the rights and the disk, or name another",
                folder=folder,
                strerror=system_words(error),
            )
        ) from None


def forget_old(folder: Path, days: int, now: datetime) -> None:
    """Removes the files of a folder that were written more than `days` days before `now`. Raises
    NotPermitted."""
    oldest = now.timestamp() - days * 86400
    try:
        for old in folder.glob("*"):
            if old.is_file() and old.stat().st_mtime < oldest:
                old.unlink(missing_ok=True)
    except PermissionError:
        raise NotPermitted(Phrase("{name}: {text}", name=folder, text=may_not(folder, "use"))) from None


def write_public(path: Path, content: bytes) -> None:
    """Like `write_private`, with mode 0644, for a file that others may read."""
    write_private(path, content, mode=0o644)


def write_private(path: Path, content: bytes | Iterable[bytes], *, mode: int = 0o600) -> None:
    """Writes a file of mode 0600: a temporary beside it, synced, renamed, and the folder synced.

    A symbolic link at `path` is replaced, not followed; a device, a pipe or a socket never is. `content` may
    come in pieces; if producing them raises, no file is left. Raises PiactlError.
    """
    with suppress(OSError, ValueError):  # what hinders this hinders the writing, too
        there = path.lstat().st_mode
        if not (stat.S_ISREG(there) or stat.S_ISLNK(there) or stat.S_ISDIR(there)):
            raise PiactlError(
                Phrase("{path}: is a device, a pipe or a socket: name an ordinary file", path=path)
            )
    temporary = path.parent / f".{path.name}.{os.urandom(8).hex()}"
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(temporary, flags, mode), "wb", buffering=1 << 20) as stream:
                os.fchmod(stream.fileno(), mode)  # whatever the umask
                stream.writelines([content] if isinstance(content, bytes) else content)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except (OSError, ValueError) as error:
        why = system_words(error) if isinstance(error, OSError) else Phrase("not a path")
        raise PiactlError(
            Phrase(
                "{path}: cannot be written ({why}); check its folder, its rights and the disk",
                path=path,
                why=why,
            )
        ) from None


def sync_folder(folder: Path) -> None:
    """Makes the names in `folder` durable. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def refuse_existing(path: Path) -> None:
    """Raises PiactlError for an existing file or symbolic link, before somebody is asked for anything."""
    if os.path.lexists(path):
        raise _already_there(path)


def _already_there(path: Path) -> PiactlError:
    return PiactlError(Phrase("{path}: already exists and is not overwritten; name a new file", path=path))


def create_private(path: Path) -> None:
    """Creates an empty file with mode 0600, which `write_private` then fills. Raises PiactlError, also for an
    existing file or symbolic link."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileExistsError:
        raise _already_there(path) from None
    except (OSError, ValueError) as error:
        why = system_words(error) if isinstance(error, OSError) else Phrase("not a path")
        raise PiactlError(
            Phrase("{path}: cannot be made ({why}); check its folder and its rights", path=path, why=why)
        ) from None
    os.close(descriptor)


@contextmanager
def lock_file(path: Path) -> Iterator[int]:
    """The descriptor of a file for locks, created with mode 0600 if missing. Raises PiactlError."""
    make_private_folder(path.parent)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise PiactlError(
            Phrase(
                "{path}: cannot be opened ({strerror}); check its folder and its rights",
                path=path,
                strerror=system_words(error),
            )
        ) from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


class _Nameless(sqlite3.Connection):
    """A database that is closed, and so removed, once nothing refers to it any more."""

    def __del__(self) -> None:
        self.close()


def nameless_database(folder: Path, content: Iterable[bytes] = ()) -> sqlite3.Connection:
    """A SQLite database with this content, or an empty one, in a file without a name in `folder`, or in the
    system's folder for temporary files if this process may not write to `folder`. What is in its temporary
    tables stays in memory. Raises PiactlError, and what `content` raises, unless that is an OSError."""
    place = folder if folder.is_dir() and os.access(folder, os.W_OK) else None
    with room_on_disk(folder):
        descriptor, name = tempfile.mkstemp(prefix=".night.", dir=place)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.writelines(content)
            # one thread uses it, but what removes it may be a collection in another one
            db = sqlite3.connect(name, factory=_Nameless, check_same_thread=False)
            for pragma in (
                "temp_store = MEMORY",
                "journal_mode = OFF",
                "synchronous = OFF",
            ):
                db.execute(f"PRAGMA {pragma}")
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
            db.execute("CREATE TABLE opened(x)")
            db.execute("DROP TABLE opened")
            db.commit()
        finally:
            Path(name).unlink()
    return db


@contextmanager
def room_on_disk(folder: Path) -> Iterator[None]:
    """Raises PiactlError if a temporary file or database in a folder cannot be written or read back."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise PiactlError(
            Phrase(
                "{folder}: a large plan cannot be kept there while it is made ({why}); make room on that "
                "disk",
                folder=folder,
                why=system_words(error),
            )
        ) from None


class NamelessRows:
    """Bytes in the order of their places, then as they were added, in a database without a name. `folder` and
    the errors are as in `nameless_database`."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._db = folder, nameless_database(folder)
        # sqlite3's connections are in cycles, which commands never collect
        finalize(self, self._db.close)
        with room_on_disk(folder):
            self._db.execute("CREATE TABLE row(place TEXT, data BLOB)")

    def add(self, data: bytes, place: str = "") -> None:
        with room_on_disk(self._folder):
            self._db.execute("INSERT INTO row VALUES (?, ?)", (place, data))

    def __len__(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM row").fetchone()[0])

    def __iter__(self) -> Iterator[bytes]:
        for (data,) in self._db.execute("SELECT data FROM row ORDER BY place, rowid"):
            yield data
