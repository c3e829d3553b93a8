"""Finds the source of a feed file by its name."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from piactl.core.model.settings import SourceSettings
from piactl.errors import UsageError


def source_of(path: Path, sources: Mapping[str, SourceSettings]) -> SourceSettings:
    """The source whose `files` patterns match the base name of `path`, or the only source.

    Raises UsageError with the names of the sources if none or several match.
    """
    fitting = [s for s in sources.values() if any(fnmatchcase(path.name, pattern) for pattern in s.files)]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting and len(sources) == 1:
        return next(iter(sources.values()))
    if not sources:
        raise UsageError(f"{path}: no source is configured; add one under `sources:`")
    several = ", ".join(s.name for s in fitting)
    problem = f"matches several sources ({several})" if fitting else "matches the `files` of no source"
    raise UsageError(f"{path}: {problem}; write NAME={path}, where NAME is one of: {', '.join(sources)}")


def feed_argument(text: str, sources: Mapping[str, SourceSettings]) -> tuple[SourceSettings, Path]:
    """The source and the file of the argument `PATH` or `NAME=PATH`.

    Raises UsageError if the name is not a source, or the path matches no single source.
    """
    name, sign, rest = text.partition("=")
    if sign and name in sources:
        if not rest:
            raise UsageError(f"{text}: the file is missing; write {name}=PATH")
        return sources[name], Path(rest)
    if sign and "/" not in name and not Path(text).exists():
        raise UsageError(f"{text}: unknown source {name!r}; the sources are: {', '.join(sources) or 'none'}")
    return source_of(Path(text), sources), Path(text)
