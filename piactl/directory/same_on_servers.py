"""Whether entries are the same on every listed server: their values, and the state of their passwords; and up
to which write of each server, by its serverID, a database is (contextCSN).

A write at one server reaches the others after a lag. Within it a person can change the password at another
server, which undoes a lock or an activation: then each server has what was written last, or a mixture. So the
entries are read only when each server has what all of them had when the write had reached each of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from typing import TypeVar

from piactl.core.model.settings import DirectorySettings
from piactl.core.plan.write import Write, WriteState
from piactl.directory.client.connection import Password, Session, Unusable, open_session
from piactl.directory.client.usable_server import shown_uri
from piactl.directory.dn import under
from piactl.directory.interfaces import RawEntry, ServerFacts
from piactl.directory.write.entry_comparison import state_of_entry
from piactl.errors import PiactlError
from piactl.phrase import Phrase, first_line

_PASSWORD, _CHANGED = "userPassword", "pwdChangedTime"
_PASSWORD_STATE = ("pwdReset", "pwdAccountLockedTime", "pwdPolicySubentry", _CHANGED)
"""What is replicated of the state of a password; failures and last uses are not."""
_OF_A_PASSWORD = frozenset({_PASSWORD, *_PASSWORD_STATE})
_PAUSES = (0.05, 0.1, 0.2, 0.5)
"""Seconds between two readings; the last one is repeated."""

_Found = TypeVar("_Found")
Expected = Mapping[str, Sequence[Write]]
"""The writes that were made of each entry, by DN, in their order; none to compare the servers alone."""


def not_arrived(
    settings: DirectorySettings, identity: str, password: Password, expected: Expected
) -> list[str]:
    """A sentence for each listed server on which, after at most `replication_seconds`, an entry does not have
    what was written, or differs from that of the first server. Nothing is compared if only one server is
    listed. Reads as `identity`."""
    if len(settings.servers) < 2 or not expected:
        return []
    deadline = time.monotonic() + settings.replication_seconds
    sentences: dict[str, str] = {}
    with ExitStack() as stack:
        sessions: dict[str, Session] = {}
        for uri in settings.servers:
            try:
                session = open_session(uri, settings, settings.identities[identity], password)
                sessions[uri] = stack.enter_context(closing(session))
            except (Unusable, PiactlError) as error:
                sentences[uri] = Phrase("cannot be reached: {error}", error=str(error))
        try:
            behind = _level(sessions, settings.suffix, deadline)
            wrong = _until(deadline, partial(_compared, sessions, expected))
        except PiactlError as error:
            return [first_line(str(error))]
    sentences |= dict.fromkeys(behind, Phrase("does not have everything yet"))
    sentences |= wrong
    return [
        Phrase("{name}: {text}", name=shown_uri(uri), text=sentences[uri])
        for uri in settings.servers
        if uri in sentences
    ]


def _level(sessions: Mapping[str, Session], suffix: str, deadline: float) -> list[str]:
    """Waits until each server has what all of them have now, and then once more: by then each has the writes
    of the first, and all have what was written at each of them before these came. Returns those that do not.
    A server without contextCSN is not waited for."""
    behind: list[str] = []
    for _ in range(2):
        wanted: dict[str, str] = {}
        for session in sessions.values():
            for number, csn in _csns(session, suffix).items():
                wanted[number] = max(csn, wanted.get(number, ""))
        behind = _until(deadline, partial(_behind, sessions, suffix, wanted))
        if behind:
            break
    return behind


def _behind(sessions: Mapping[str, Session], suffix: str, wanted: Mapping[str, str]) -> list[str]:
    behind = []
    for uri, session in sessions.items():
        csns = _csns(session, suffix)
        if csns and any(csns.get(number, "") < csn for number, csn in wanted.items()):
            behind.append(uri)
    return behind


def _csns(session: Session, suffix: str) -> dict[str, str]:
    return csns_in(session.entry(context_of(session.facts, suffix), [CONTEXT_CSN]))


def _until(deadline: float, look: Callable[[], _Found]) -> _Found:
    """Looks until nothing is found any more, at most until the deadline; returns what was found last."""
    pauses = iter(_PAUSES)
    while (found := look()) and time.monotonic() + (pause := next(pauses, _PAUSES[-1])) < deadline:
        time.sleep(pause)
    return found


def _compared(sessions: Mapping[str, Session], expected: Expected) -> dict[str, str]:
    """A sentence for each server with an entry that does not have what was written, or differs from that of
    the first server."""
    wrong: dict[str, str] = {}
    for dn, writes in expected.items():
        written = merged(writes) if writes else None
        names = dict.fromkeys(("*", *_PASSWORD_STATE, *((*written.add, *written.delete) if written else ())))
        entries = {uri: session.entry(dn, tuple(names)) for uri, session in sessions.items()}
        first = next(iter(entries.values()), None)
        for uri, entry in entries.items():
            if why := _difference(dn, written, first, entry):
                wrong.setdefault(uri, why)
    return wrong


def _difference(dn: str, written: Write | None, first: RawEntry | None, entry: RawEntry | None) -> str:
    if entry is None and (first is not None or (written is not None and written.op != "delete")):
        return Phrase("{dn} is not there", dn=dn)
    if entry is not None and first is None:
        return Phrase("{dn} is still there", dn=dn)
    names = _differing(first, entry) if first is not None and entry is not None else ()
    if written is not None and state_of_entry(written, entry) is not WriteState.MADE:
        # the server takes these from the entry when its owner changes the password
        if _OF_A_PASSWORD & {*written.add, *written.delete}:
            return Phrase("the password of {dn} was changed meanwhile: give the command again", dn=dn)
        return Phrase("{dn} does not have what was written: somebody changed it meanwhile", dn=dn)
    if names and _OF_A_PASSWORD.issuperset(names):
        return Phrase("the password of {dn} is another one there: give the command again", dn=dn)
    return Phrase("{dn} differs there ({names})", dn=dn, names=", ".join(names)) if names else ""


def merged(writes: Sequence[Write]) -> Write:
    """The writes of one entry as one, in which each attribute has its last write."""
    last = writes[-1]
    add: dict[str, tuple[bytes, ...]] = {}
    delete: dict[str, tuple[bytes, ...]] = {}
    for write in writes:
        for values in (add, delete):
            for name in {*write.add, *write.delete} & values.keys():
                del values[name]
        add |= write.add
        delete |= write.delete
    return replace(last, add=add, delete=delete)


def _differing(one: RawEntry, other: RawEntry) -> tuple[str, ...]:
    """The attributes that differ. The time of the last change stands for a password that may not be read."""
    names = sorted({*one.values, *other.values})
    readable = bool(one.values.get(_PASSWORD) and other.values.get(_PASSWORD))
    return tuple(
        name
        for name in names
        if not (name == _CHANGED and readable)
        and sorted(one.values.get(name, ())) != sorted(other.values.get(name, ()))
    )


# ---- contextCSN


CONTEXT_CSN = "contextCSN"


def context_of(facts: ServerFacts, suffix: str) -> str:
    """The DN of the database that holds `suffix`; its entry has the contextCSN."""
    contexts = [context for context in facts.naming_contexts if context and under(suffix, context)]
    return max(contexts, key=len, default=suffix)


def csns_in(entry: RawEntry | None) -> dict[str, str]:
    """The contextCSN in the entry of a database, by serverID (three hexadecimal digits); empty if it has
    none."""
    csns = entry.texts(CONTEXT_CSN) if entry is not None else []
    return {csn.split("#")[2]: csn for csn in csns if csn.count("#") == 3}
