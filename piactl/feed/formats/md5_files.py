"""The .md5 of a set, beside it or within: what `md5sum` writes, or the digest alone."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO

SUFFIX = ".md5"
Opener = Callable[[], IO[bytes]]
_BLOCK = 1 << 20
_MOST = 1 << 20
_LINE = re.compile(r"\\?([0-9a-fA-F]{32})(?: [ *](.+))?")
_BSD_LINE = re.compile(r"MD5 ?\((.+)\) ?= ?([0-9a-fA-F]{32})")


class WrongMd5(Exception):
    """A file does not agree with a .md5, or it cannot be known whether it does."""


def is_md5(name: str) -> bool:
    """Whether a file is named as one with digests: it is no feed."""
    return name.casefold().endswith(SUFFIX)


def md5_beside(path: Path) -> list[Path]:
    """The files with digests that lie beside a set and have its name, with or without its suffix."""
    # unlike those of Path, these also answer where a folder cannot be searched
    names = dict.fromkeys((path.name, path.name if os.path.isdir(path) else path.stem))  # noqa: PTH112
    beside = [path.parent / f"{name}{suffix}" for name in names for suffix in (SUFFIX, SUFFIX.upper())]
    return [one for one in beside if one != path and os.path.exists(one)]  # noqa: PTH110


def check_md5(name: str, listed: Opener, files: Mapping[str, Opener]) -> None:
    """Compares the digests that the file `listed` has with those of `files`. Raises WrongMd5, OSError."""
    with listed() as stream:
        content = stream.read(_MOST)
    checked = 0
    for named, digest in _digests(name, content):
        if named == name:  # `md5sum * >SET.md5` lists it, still empty
            continue
        opener = files.get(named) or next(
            (o for n, o in files.items() if PurePosixPath(n).stem == named), None
        )
        if opener is None:
            raise WrongMd5(f"{name} has the digest of {named!r}, which is not there")
        if _md5(opener) != digest:
            raise WrongMd5(f"{named} does not agree with {name}")
        checked += 1
    if not checked:
        raise WrongMd5(f"{name} has no digest")


def _digests(name: str, content: bytes) -> Iterator[tuple[str, str]]:
    """The names of files, without folders, and their digests. A digest alone is that of the file that has the
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
            raise WrongMd5(f"{name}: line {number} is no digest of a file")
        yield re.split(r"[/\\]", named)[-1], digest.lower()


def _md5(opener: Opener) -> str:
    # against a cut or a mixed delivery, not against an attacker, who would write the .md5 too
    digest = hashlib.md5(usedforsecurity=False)
    with opener() as stream:
        while piece := stream.read(_BLOCK):
            digest.update(piece)
    return digest.hexdigest()
