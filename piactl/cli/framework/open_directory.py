"""Opens the directory for a command, as an identity, and reports the records that could not be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any

from piactl.ask.account_views import PERSON_COLUMNS, with_person_facts
from piactl.cli.framework.configuration import Configuration
from piactl.cli.framework.output import read_columns, say, show_rows
from piactl.core.model.settings import IdentityName
from piactl.directory.interfaces import Reader, Writer
from piactl.directory.open import open_reader, open_writer
from piactl.edits.account_store import AccountStore
from piactl.errors import Exit
from piactl.host.secret_files import identity_password
from piactl.phrase import Phrase, counted

_MOST_UNREADABLE = 5


@contextmanager
def reading(configuration: Configuration, identity: str = IdentityName.READER) -> Iterator[Reader]:
    with (
        open_reader(configuration.settings.directory, identity, identity_password) as reader,
        _reporting(configuration),
    ):
        yield reader


@contextmanager
def writing(configuration: Configuration, identity: str = IdentityName.NIGHTLY) -> Iterator[Writer]:
    with (
        open_writer(configuration.settings.directory, identity, identity_password) as writer,
        _reporting(configuration),
    ):
        yield writer


@contextmanager
def _reporting(configuration: Configuration) -> Iterator[None]:
    """Reports the records that could not be read inside the block, also after an error."""
    before = len(configuration.unreadable)
    try:
        yield
    finally:
        unreadable = list(configuration.unreadable)[before:]
        for error in unreadable[:_MOST_UNREADABLE]:
            say(Phrase("skipped {record}", record=str(error)))
        if len(unreadable) > _MOST_UNREADABLE:
            omitted = len(unreadable) - _MOST_UNREADABLE
            records = counted(omitted, "more record", "more records")
            say(Phrase("skipped {records} of piactl; all of them: piactl doctor", records=records))


def list_of_accounts(
    configuration: Configuration,
    rows_of: Callable[[AccountStore, Callable[[str], None]], Sequence[Mapping[str, Any]]],
    usual: Sequence[str],
    output: object,
    as_of: date | None,
    columns: str,
) -> int:
    """Prints rows about accounts (`uid`) on a day, with facts of the people if `columns` asks for them.
    `rows_of` gets the store that reads the accounts, and a function that takes the reason for each unreadable
    one. Returns the exit code."""
    column_names = read_columns(columns, usual, PERSON_COLUMNS)
    unreadable: list[str] = []
    with reading(configuration) as reader:
        store = configuration.accounts(reader, as_of)
        rows = with_person_facts(store, rows_of(store, unreadable.append), column_names)
    show_rows(rows, column_names, output, only=bool(columns))
    for why in unreadable:
        say(why)
    return int(Exit.PARTLY if unreadable else Exit.DONE)
