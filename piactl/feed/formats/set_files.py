"""The files of a set: one file, all files of a folder, or those of a .zip or .tgz archive; and their .md5.

An archive is read in place, never unpacked, so no path is made of its names. Nevertheless a malicious one is
refused as a whole. A .md5 is beside the set or within it: what `md5sum` writes, or the digest alone.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import IO, TypeVar

from piactl.core.model.settings import SourceLimits
from piactl.errors import FeedRefused
from piactl.feed.error_codes import refused
from piactl.feed.formats.kept_sets import KeptSet
from piactl.host.private_files import refuse_own_file
from piactl.phrase import Phrase

SUFFIX = ".md5"
_BLOCK = 1 << 20
Opener = Callable[[], IO[bytes]]
_MOST = 1_000_000
_LINE = re.compile(r"\\?([0-9a-fA-F]{32})(?: [ *](.+))?")
_BSD_LINE = re.compile(r"MD5 ?\((.+)\) ?= ?([0-9a-fA-F]{32})")


class WrongMd5(Exception):
    """A file does not agree with a .md5, or it cannot be known whether it does."""


def is_md5(name: str) -> bool:
    """Whether a name is that of a file of digests, which is not a feed."""
    return name.casefold().endswith(SUFFIX)


def md5_beside(path: Path) -> list[Path]:
    """The files with digests that lie beside a set and have its name, with or without its suffix."""
    # unlike those of Path, these also answer if a folder cannot be searched
    names = dict.fromkeys((path.name, path.name if os.path.isdir(path) else path.stem))  # noqa: PTH112
    beside = [path.parent / f"{name}{suffix}" for name in names for suffix in (SUFFIX, SUFFIX.upper())]
    return [file for file in beside if file != path and os.path.exists(file)]  # noqa: PTH110


def _check_md5(
    lists: Sequence[tuple[str, Opener, Mapping[str, Opener]]], files: Mapping[str, Opener]
) -> None:
    """Compares digests with `files`, each of which is read once, in their order. `lists` has the name of each
    .md5, what opens it, and the files that it may name. Raises WrongMd5, OSError."""
    stated: dict[str, tuple[str, str, str]] = {}
    left = _MOST
    for name, listed, nameable in lists:
        with listed() as stream:
            content = stream.read(left + 1)
        left -= len(content)
        if left < 0:
            raise WrongMd5(Phrase("{name}: the .md5 of a set may have {most} bytes", name=name, most=_MOST))
        stems = {PurePosixPath(file).stem: file for file in reversed([*nameable])}
        checked = False
        for named, digest in _digests(name, content):
            if named == name:  # `md5sum * >SET.md5` lists it, still empty
                continue
            file = named if named in nameable else stems.get(named)
            if file is None:
                why = Phrase("{name} has the digest of {file!r}, which is not there", name=name, file=named)
                raise WrongMd5(why)
            if stated.setdefault(file, (digest, named, name))[0] != digest:
                raise WrongMd5(Phrase("{file} does not agree with {name}", file=named, name=name))
            checked = True
        if not checked:
            raise WrongMd5(Phrase("{name} has no digest", name=name))
    for file, opener in files.items():
        if file in stated:
            digest, named, name = stated[file]
            if _md5(opener) != digest:
                raise WrongMd5(Phrase("{file} does not agree with {name}", file=named, name=name))


def _digests(name: str, content: bytes) -> Iterator[tuple[str, str]]:
    """The names of files, without folders, and their digests. A digest alone belongs to the file that has the
    name of the .md5."""
    for number, line in enumerate(content.decode("utf-8-sig", "replace").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if bsd := _BSD_LINE.fullmatch(text):
            named, digest = bsd.groups()
        elif match := _LINE.fullmatch(text):
            digest, named = match[1], match[2] or name[: -len(SUFFIX)]
        else:
            why = Phrase("{name}: line {line} is not the digest of a file", name=name, line=number)
            raise WrongMd5(why)
        yield re.split(r"[/\\]", named)[-1], digest.lower()


def _md5(opener: Opener) -> str:
    # detects a cut or mixed delivery; an attacker would write the .md5 too
    digest = hashlib.md5(usedforsecurity=False)
    with opener() as stream:
        while piece := stream.read(_BLOCK):
            digest.update(piece)
    return digest.hexdigest()


_MAC = "._"
"""Begins the name of a file that a Mac adds beside each file of an archive."""
_OTHER_ARCHIVES = {
    b"BZh": "bzip2 (.bz2)", b"\xfd7zXZ": "xz (.xz)", b"7z\xbc\xaf": "7-Zip (.7z)", b"Rar!": "RAR (.rar)",
    b"\x28\xb5\x2f\xfd": "zstd (.zst)",
}  # fmt: skip
"""The first bytes of archives that are not read."""
_TAR, _AT_TAR = b"ustar", 257
MOST_FILES = 1_000
_TIMES = 8
"""How often as many bytes as a source allows may be unpacked to find the files of a .tgz."""
_OF_FILE = 2_048
"""The most bytes that a table of contents has for each file, on average."""
_DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error),
    *(EOFError, NotImplementedError, RecursionError),
)
T = TypeVar("T")
Member = tuple[str, int, bool, Opener]
"""Name, size, whether it is a regular file, and the function that opens it."""


@dataclass(frozen=True, slots=True)
class SetFiles:
    """The files of a set by base name. Each can be opened more than once. `digest` is that of the set,
    `kept_sets` gives the sets of a kind that deltas may change, `hidden` counts the `._` files of a Mac, left
    out."""

    path: Path
    files: Mapping[str, Opener]
    digest: str = ""
    kept_sets: Callable[[str], Sequence[KeptSet]] = lambda _kind: ()
    hidden: int = 0

    @contextmanager
    def opened(self, name: str) -> Iterator[IO[bytes]]:
        """A file of the set. Reading past the size that the source allows raises FeedRefused."""
        with self.files[name]() as stream:
            yield stream

    def refuse(self, code: str, detail: str = "") -> FeedRefused:
        return refused(self.path, code, detail)


State = tuple[tuple[str, int, int], ...]
"""The name, size and time of each file."""


def state_of(path: Path) -> State:
    """The state of the files of a set, to see whether it changes; empty if they cannot be read."""
    try:
        paths = sorted(path.iterdir()) if path.is_dir() else [path]
        facts = [(file.name, file.lstat()) for file in (*paths, *md5_beside(path))]
    except OSError:
        return ()
    return tuple((name, fact.st_size, fact.st_mtime_ns) for name, fact in facts)


def digest_of(path: Path) -> str:
    """The SHA-256 of a file or archive; for a folder, of the lines that `sha256sum *` prints in it."""
    if not path.is_dir():
        return _sha256(path)
    names = sorted(file.name for file in path.iterdir())
    return hashlib.sha256("".join(f"{_sha256(path / n)}  {n}\n" for n in names).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with _opened(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _opened(path: Path) -> BufferedReader:
    # without O_NONBLOCK, opening a named pipe would wait for ever
    stream = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    refuse_own_file(str(path), stream.fileno())
    return stream


@contextmanager
def open_set(
    path: Path, limits: SourceLimits, digest: str, kept_sets: Callable[[str], Sequence[KeptSet]]
) -> Iterator[SetFiles]:
    """The files of a set; `digest` and `kept_sets` as in SetFiles. Raises FeedRefused if they cannot be read,
    are too large, made to harm, or do not agree with the .md5 of the set."""
    with ExitStack() as stack:
        try:
            files = _folder(path, limits) if path.is_dir() else _file(path, limits, stack)
            seen = {name: opener for name, opener in files.items() if not name.startswith(_MAC)}
            hidden = len(files) - len(seen)
            yield SetFiles(path, _agreeing(path, seen), digest, kept_sets, hidden)
        except _DAMAGED as error:
            detail = Phrase("the archive is damaged or cut ({why})", why=str(error))
            raise refused(path, "bad-archive", detail) from None


def _agreeing(path: Path, files: dict[str, Opener]) -> dict[str, Opener]:
    others = {name: opener for name, opener in files.items() if not is_md5(name)}
    set_file: dict[str, Opener] = {} if path.is_dir() else {path.name: partial(_opened, path)}
    every = {**set_file, **others}
    lists: list[tuple[str, Opener, Mapping[str, Opener]]]
    lists = [(name, opener, others) for name, opener in files.items() if is_md5(name)]
    lists += [(beside.name, partial(_opened, beside), every) for beside in md5_beside(path)]
    try:
        _check_md5(lists, every)
    except WrongMd5 as error:
        raise refused(path, "wrong-checksum", str(error)) from None
    return others


def _folder(path: Path, limits: SourceLimits) -> dict[str, Opener]:
    files: dict[str, Opener] = {}
    size = 0
    for file in sorted(path.iterdir()):
        facts = file.lstat()
        if not stat.S_ISREG(facts.st_mode):
            raise refused(path, "not-a-file", Phrase("{file}: a set has regular files only", file=file.name))
        size += facts.st_size
        if size > limits.max_bytes or len(files) >= MOST_FILES:
            raise _too_large(path, limits)
        files[file.name] = partial(_opened, file)
    return files


def _file(path: Path, limits: SourceLimits, stack: ExitStack) -> dict[str, Opener]:
    stream = stack.enter_context(_opened(path))
    facts = os.fstat(stream.fileno())
    if not stat.S_ISREG(facts.st_mode):
        raise refused(path, "not-a-file")
    if facts.st_size > limits.max_bytes:
        raise _too_large(path, limits)
    start = stream.read(_AT_TAR + len(_TAR))
    stream.seek(0)
    if not start:
        raise refused(path, "empty")
    kind = next((kind for mark, kind in _OTHER_ARCHIVES.items() if start.startswith(mark)), "")
    if kind or start[_AT_TAR:] == _TAR:
        detail = Phrase("it is an archive of {kind}, which is not read", kind=kind or "tar (.tar)")
        raise refused(path, "other-archive", detail)
    if start[:2] == b"PK":
        table = _Table(stream, _too_large(path, limits))
        files = _zip(path, stack.enter_context(_archive(lambda: zipfile.ZipFile(table))), limits)
    elif start[:2] == b"\x1f\x8b":
        unpacked = stack.enter_context(_Unpacked(stream, path, limits))
        table = _Table(unpacked, _too_large(path, limits))
        archive = _archive(lambda: tarfile.open(fileobj=table, mode="r:"))  # noqa: SIM115 the stack closes it
        files = _tar(path, stack.enter_context(archive), limits)
    else:
        return {path.name: partial(_opened, path)}
    table.is_read()
    return files


def _archive(call: Callable[[], T]) -> T:
    """The result of a call of zipfile or tarfile; nothing else may be called, or its bugs would be hidden."""
    try:
        return call()
    except (ValueError, OverflowError, struct.error) as error:  # what false numbers and names may raise
        raise zipfile.BadZipFile(str(error)) from None


def _zip(path: Path, archive: zipfile.ZipFile, limits: SourceLimits) -> dict[str, Opener]:
    members: list[Member] = []
    for info in archive.infolist():
        kind = info.external_attr >> 16
        if info.flag_bits & 0x1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            detail = Phrase("{file!r} is encrypted, or packed in a rare way", file=info.filename)
            raise refused(path, "bad-archive", detail)
        regular = not kind or stat.S_IFMT(kind) in (0, stat.S_IFREG)
        if not info.is_dir():
            opener = partial(_bounded, partial(archive.open, info), path, limits)
            members.append((info.filename, info.file_size, regular, opener))
    return _members(path, members, limits)


def _bounded(opener: Callable[[], IO[bytes] | None], path: Path, limits: SourceLimits) -> IO[bytes]:
    return _Bounded(_archive(opener), path, limits)  # type: ignore[arg-type, return-value]


def _tar(path: Path, archive: tarfile.TarFile, limits: SourceLimits) -> dict[str, Opener]:
    members: list[Member] = []
    size = 0
    while (info := _archive(archive.next)) is not None:
        if info.size < 0:
            raise tarfile.ReadError(Phrase("{file!r} has a size below zero", file=info.name))
        size += info.size
        if size > limits.max_bytes or len(members) > MOST_FILES:
            raise _too_large(path, limits)
        if not info.isdir():
            opener = partial(_bounded, partial(archive.extractfile, info), path, limits)
            members.append((info.name, info.size, info.isreg(), opener))
    return _members(path, members, limits)


def _members(path: Path, members: list[Member], limits: SourceLimits) -> dict[str, Opener]:
    files: dict[str, Opener] = {}
    if sum(size for _, size, _, _ in members) > limits.max_bytes or len(members) > MOST_FILES:
        raise _too_large(path, limits)
    for name, _, regular, opener in members:
        parts = name.split("/")
        if not regular or name.startswith("/") or "\\" in name or ".." in parts or not name.isprintable():
            detail = Phrase("the archive names {name!r}, which is not a file below it", name=name)
            raise refused(path, "bad-archive", detail)
        if parts[-1] in files:
            raise refused(path, "bad-archive", Phrase("the archive has {file} twice", file=parts[-1]))
        files[parts[-1]] = opener
    return files


def _too_large(path: Path, limits: SourceLimits) -> FeedRefused:
    detail = Phrase(
        "it has more than the {bytes} bytes, or {files} files, that the source allows",
        bytes=limits.max_bytes,
        files=MOST_FILES,
    )
    return refused(path, "too-many-bytes", detail)


class _Unpacked(gzip.GzipFile):
    """A .tgz, of which a file behind the last one read is unpacked from the start of the archive. What is
    unpacked only to reach a place is counted."""

    def __init__(self, stream: IO[bytes], path: Path, limits: SourceLimits) -> None:
        super().__init__(fileobj=stream)
        self._most = self._left = _TIMES * limits.max_bytes
        self._path = path

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        at = super().seek(0, io.SEEK_CUR)
        if whence == io.SEEK_SET:  # tarfile knows no other
            self._left -= offset - at if offset >= at else offset
        if self._left < 0:
            detail = Phrase(
                "more than {most} bytes would be unpacked, because of the order of its files", most=self._most
            )
            raise refused(self._path, "too-many-bytes", detail)
        return super().seek(offset, whence)


class _Table(io.BufferedIOBase):
    """An archive. While its table of contents is read, what a name, a header or the table itself may take is
    counted before it is read: the libraries read each at once, whatever size it states."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, too_large: FeedRefused) -> None:
        self._stream, self._too_large = stream, too_large
        self._left: int | None = MOST_FILES * _OF_FILE

    def is_read(self) -> None:
        """The table was read: the files may be larger."""
        self._left = None

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = -1 if size is None else size
        if self._left is None:
            return self._stream.read(wanted)
        piece = self._stream.read(min(wanted, self._left + 1) if wanted >= 0 else self._left + 1)
        self._left -= len(piece)
        if self._left < 0:
            raise self._too_large
        return piece

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def seekable(self) -> bool:
        return True


class _Bounded:
    """A file of an archive. Reading more bytes than the source allows is refused: sizes in the archive may be
    false."""

    def __init__(self, stream: IO[bytes], path: Path, limits: SourceLimits) -> None:
        self._stream, self._path, self._limits = stream, path, limits
        self._left = limits.max_bytes

    def read(self, size: int = -1) -> bytes:
        piece = _archive(partial(self._stream.read, _BLOCK if size < 0 else min(size, _BLOCK)))
        self._left -= len(piece)
        if self._left < 0:
            raise _too_large(self._path, self._limits)
        return piece

    def __enter__(self) -> _Bounded:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
