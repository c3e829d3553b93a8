"""Resolves disagreements of several sources about one person by their rank, and remembers what did not count.

If every statement counted, one source would rename an account and the next night the other would rename it
back. So sources have a rank: their order in the configuration, unless it names another source that comes
first for a field. Only deviations are stored, in the record of the source in the directory, for all hosts: a
keyed digest of each field whose last statement differs from the account. Without a deviation, the last
statement is the value of the account.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from piactl.core.model.account import Account
from piactl.core.model.keyed_digests import DigestKeys
from piactl.core.model.overrides import MANUAL
from piactl.core.model.person import Assignment, Person
from piactl.core.naming.names import AS_WRITTEN, shown_name
from piactl.core.plan.plan import Disagreement
from piactl.core.plan.state_between_runs import Deviation
from piactl.core.rules.source_ranks import PERSON_DATA, Ranks, data_of, differs, ranked_value
from piactl.phrase import Phrase, joined


@dataclass(slots=True)
class Resolver:
    """Decides for each person which source counts. `deviations` are by source and matricule, after the run;
    `moved` are the matricules whose deviations the run changes."""

    as_of: date
    keys: DigestKeys
    ranks: Ranks
    fills: Callable[[str, str], bool]
    """Whether the feeds of a source have values in a column."""
    deviations: dict[str, dict[str, Deviation]]
    name_case: str = AS_WRITTEN
    disagreements: list[Disagreement] = field(default_factory=list)
    moved: set[str] = field(default_factory=set)

    def is_sole(self, matricule: str, listed: Collection[str], assignments: Sequence[Assignment]) -> bool:
        """Whether only one source knows or lists the person, so that there is nothing to decide or
        remember."""
        sources = self._sources_of(assignments)
        if len(sources) > 1:
            return False
        for deviations in self.deviations.values():
            if deviations.pop(matricule, None) is not None:
                self.moved.add(matricule)
        return sources.issuperset(listed)

    def resolved(
        self,
        person: Person,
        account: Account,
        listed: Mapping[str, Person],
        assignments: Sequence[Assignment],
    ) -> Person:
        """The person with the statements that count; a field in which none does is silent.

        `listed` has the person of each source of the run, `assignments` are those after it. The first
        assignment of the person comes from the row that changes a field.
        """
        sources = self._sources_of(assignments)
        listed = {source: described for source, described in listed.items() if source in sources}
        data = data_of(account)
        values: dict[str, str] = {}
        columns: list[str] = []
        row: Person | None = None
        for name, column in PERSON_DATA.items():
            stated = {
                s: shown_name(name, getattr(described, name), self.name_case)
                for s, described in listed.items()
                if name not in described.silent
            }
            if not stated:
                values[name] = data[name]
                continue
            ranked = sorted(sources, key=lambda source: self.ranks.place(source, name))
            ranked = [source for source in ranked if source in stated or self.fills(source, column)]
            last = [self._last(source, person.matricule, name, data[name], stated) for source in ranked]
            value = values[name] = ranked_value(data[name], last)
            if value != data[name]:
                row = row or next((listed[s] for s in ranked if stated.get(s) == value), None)
            if len(sources) > 1:
                statements = {s: stated.get(s, data[name]) for s in sources}
                new = [s for s in sources if not self._said_before(s, person.matricule, name, stated.get(s))]
                if any(differs(name, value, statements[source]) for source in new):
                    columns.append(column)
                self._remember(person.matricule, sources, stated, name, data[name], value)
        if columns:
            self._report(account, listed, sources, columns)
        silent = {name for name, value in values.items() if value == data[name]}
        first = row.assignments[:1] if row is not None else ()
        return replace(
            person,
            silent=person.silent | silent,
            assignments=(*first, *(a for a in person.assignments if a not in first)),
            **values,  # type: ignore[arg-type]
        )

    def _last(
        self, source: str, matricule: str, name: str, current: str, stated: Mapping[str, str]
    ) -> str | None:
        """What a source states, tonight or the last time; None if that is unknown and was not blank."""
        if source in stated:
            return stated[source]
        stored = self._stored(source, matricule).get(name)
        if stored is None:
            return current
        return "" if self.keys.matches(stored, _purpose(name), "") else None

    def _said_before(self, source: str, matricule: str, name: str, value: str | None) -> bool:
        """Whether the remembered deviation of a source is `value`; if the source says nothing tonight
        (`value` is None), any deviation counts."""
        stored = self._stored(source, matricule).get(name)
        return stored is not None and (value is None or self.keys.matches(stored, _purpose(name), value))

    def _sources_of(self, assignments: Sequence[Assignment]) -> set[str]:
        """The sources that count: those of assignments that are not over, else those of all assignments."""
        of_sources = [a for a in assignments if a.source != MANUAL]
        running = {a.source for a in of_sources if not a.is_over(self.as_of)}
        return running or {a.source for a in of_sources}

    def _stored(self, source: str, matricule: str) -> Deviation:
        return self.deviations.get(source, {}).get(matricule, {})

    def _remember(
        self, matricule: str, sources: set[str], stated: Mapping[str, str], name: str, before: str, after: str
    ) -> None:
        """Stores the last statement of every source that differs from the new value. The last statement of a
        source without a statement tonight is its deviation, else `before`."""
        for source in sources & self.deviations.keys():
            stored = self._stored(source, matricule).get(name)
            if source in stated or stored is None:
                last = stated.get(source, before)
                digest = self.keys.digest(_purpose(name), last) if last != after else None
            else:
                digest = None if self.keys.matches(stored, _purpose(name), after) else stored
            if digest != stored:
                self._store(source, matricule, name, digest)

    def _store(self, source: str, matricule: str, name: str, digest: str | None) -> None:
        self.moved.add(matricule)
        deviation = dict(self._stored(source, matricule))
        if digest is None:
            del deviation[name]
        else:
            deviation[name] = digest
        self.deviations[source][matricule] = deviation
        if not deviation:
            del self.deviations[source][matricule]

    def _report(
        self, account: Account, listed: Mapping[str, Person], sources: set[str], columns: Sequence[str]
    ) -> None:
        rows = joined((person.assignments[0].origin for person in listed.values()), "{first} and {second}")
        silent, differ = joined(sorted(sources - listed.keys()), "{first} and {second}"), ", ".join(columns)
        why = Phrase("{row} differs from {sources} in {columns}", row=rows, sources=silent, columns=differ)
        if len(listed) > 1:
            why = Phrase("{rows} differ in {columns}", rows=rows, columns=differ)
        self.disagreements.append(Disagreement(account.matricule, account.uid, tuple(columns), why))


def _purpose(name: str) -> str:
    return f"told {name}"
