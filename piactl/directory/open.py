"""Opens a reader or a writer of the directory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from piactl.core.model.settings import DirectorySettings
from piactl.directory.client.connection import Password
from piactl.directory.client.reader import DirectoryReader
from piactl.directory.client.usable_server import Link
from piactl.directory.interfaces import Reader, Writer
from piactl.directory.write.pipelined_writer import PipelinedWriter


@contextmanager
def open_reader(settings: DirectorySettings, identity: str, password: Password) -> Iterator[Reader]:
    """A reader bound as `identity` to the first usable server of the list; closed at the end.

    Raises DirectoryUnreachable with every server that was tried and why it was not used, and
    ConfigurationInvalid for an identity that is not configured.
    """
    reader = DirectoryReader(Link(settings, identity, password), settings.page_size)
    try:
        yield reader
    finally:
        reader.close()


@contextmanager
def open_writer(settings: DirectorySettings, identity: str, password: Password) -> Iterator[Writer]:
    """Like `open_reader`, for a writer: it uses only the first server of the list, which must accept writes.

    It sends as many requests at once as the settings say.
    """
    link = Link(settings, identity, password, writing=True)
    writer = PipelinedWriter(link, settings.page_size, settings.in_flight)
    try:
        yield writer
    finally:
        writer.close()
