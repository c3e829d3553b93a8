"""The two doors: a reader, and, where writing is meant, a writer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from piactl.core.settings import DirectorySettings
from piactl.directory.connection import Password
from piactl.directory.port import Reader, Writer
from piactl.directory.reader import DirectoryReader
from piactl.directory.servers import Link, Servers


@contextmanager
def open_reader(settings: DirectorySettings, identity: str, password: Password) -> Iterator[Reader]:
    """A reader bound as `identity` to the first usable server of the list; closed at the end.

    `password` is given the identity's `password_file` and returns what it holds; it is not called for
    EXTERNAL. Raises DirectoryUnreachable with every server that was tried and why it was not used, and
    ConfigurationInvalid for an identity that is not configured.
    """
    reader = DirectoryReader(Link(Servers(settings, identity, password)), settings.page_size)
    try:
        yield reader
    finally:
        reader.close()


@contextmanager
def open_writer(settings: DirectorySettings, identity: str, password: Password) -> Iterator[Writer]:
    """The same for a writer, with the first server of the list that takes writes.

    One request at a time where the settings say so, else many.
    """
    from piactl.directory.bulk import BulkWriter  # imported here: those who read do without
    from piactl.directory.writer import DirectoryWriter

    link = Link(Servers(settings, identity, password, writing=True))
    writer = (
        DirectoryWriter(link, settings.page_size)
        if settings.in_flight == 1
        else BulkWriter(link, settings.page_size, settings.in_flight)
    )
    try:
        yield writer
    finally:
        writer.close()
