"""Opens a reader or a writer of the directory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from piactl.core.model.settings import DirectorySettings
from piactl.directory.client.connection import Password
from piactl.directory.client.failover_and_reader import DirectoryReader, Link, Servers
from piactl.directory.port import Reader, Writer
from piactl.directory.write.pipelined_writer import PipelinedWriter
from piactl.directory.write.write_and_read_back import DirectoryWriter


@contextmanager
def open_reader(settings: DirectorySettings, identity: str, password: Password) -> Iterator[Reader]:
    """A reader bound as `identity` to the first usable server of the list; closed at the end.

    Raises DirectoryUnreachable with every server that was tried and why it was not used, and
    ConfigurationInvalid for an identity that is not configured.
    """
    reader = DirectoryReader(Link(Servers(settings, identity, password)), settings.page_size)
    try:
        yield reader
    finally:
        reader.close()


@contextmanager
def open_writer(settings: DirectorySettings, identity: str, password: Password) -> Iterator[Writer]:
    """Like `open_reader`, for a writer: it uses only the first server of the list, which must accept writes.

    It sends one request at a time if the settings say so, else many.
    """
    writer = _writer(settings, Link(Servers(settings, identity, password, writing=True)))
    try:
        yield writer
    finally:
        writer.close()


def _writer(settings: DirectorySettings, link: Link) -> DirectoryWriter:
    if settings.in_flight == 1:
        return DirectoryWriter(link, settings.page_size)
    return PipelinedWriter(link, settings.page_size, settings.in_flight)
