"""The feeds that a night refused because they are older than the last one; later nights skip them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from piactl.errors import FeedRefused, FeedsRefused, PiactlError
from piactl.feed.feed_file import digest_of_feed
from piactl.flows.plan.inputs.load_feeds import FeedsOfAnotherDay
from piactl.private_files import write_private

_FILE = "older.sha256"


def read_older(folder: Path) -> frozenset[str]:
    """The SHA-256 of the feeds that nights of this host refused as older."""
    return frozenset(line[:64].decode("ascii", "replace") for line in read_noted(folder).splitlines())


def read_noted(folder: Path) -> bytes:
    """The file of these feeds, b"" if there is none."""
    try:
        return (folder / _FILE).read_bytes()
    except OSError:
        return b""


def write_noted(folder: Path, content: bytes) -> None:
    """Replaces the file of these feeds. Raises PiactlError."""
    write_private(folder / _FILE, content)


def note_older(error: PiactlError, folder: Path) -> None:
    """Adds the feeds that an error refuses as older, and removes those that are no longer there."""
    refused = _refused_as_older(error)
    if not refused:
        return
    lines = read_noted(folder).decode("utf-8", "surrogateescape").splitlines()
    kept = [line for line in lines if Path(line[66:]).exists()]
    added = [
        f"{digest_of_feed(path)}  {path.absolute()}" for path in map(Path, refused) if "\n" not in str(path)
    ]
    content = "".join(f"{line}\n" for line in dict.fromkeys([*kept, *added]))
    write_noted(folder, content.encode("utf-8", "surrogateescape"))


def refused_before(error: PiactlError, older: Collection[str]) -> list[str]:
    """The files that an error refuses as older, or as those of another day, and that were refused before."""
    files = error.files if isinstance(error, FeedsOfAnotherDay) else _refused_as_older(error)
    return [file for file in files if older and digest_of_feed(Path(file)) in older]


def _refused_as_older(error: PiactlError) -> list[str]:
    errors = error.errors if isinstance(error, FeedsRefused) else [error]
    feeds = [one for one in errors if isinstance(one, FeedRefused)]
    return [one.file for one in feeds if any(code == "older" for code, _ in one.refusals)]
