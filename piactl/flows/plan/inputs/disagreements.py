"""Resolves disagreements of several sources about one person, and remembers the statements that did not
count.

If every statement counted, the night of one source would rename an account and the night of the other would
rename it back. So a statement counts only if it differs from the last one of the same source. Only deviations
are stored, in the record of the source in the directory, for all hosts: a keyed digest of each field whose
last statement differs from the account. Without a deviation, the last statement is the value of the account.
A deviation under a retired key counts as a change, once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from piactl.core.model.account import Account
from piactl.core.model.digests import DigestKeys
from piactl.core.model.overrides import MANUAL
from piactl.core.model.person import Assignment, Person
from piactl.core.plan.plan import Disagreement
from piactl.core.plan.run_state import Deviation
from piactl.core.rules.same_person import PERSON_DATA, Statement, data_of, resolved_value, sources_differ


@dataclass(slots=True)
class Resolver:
    """Decides for each person which source counts. `deviations` are by source and matricule, after the run;
    `moved` are the matricules whose deviations the run changes."""

    as_of: date
    keys: DigestKeys
    deviations: dict[str, dict[str, Deviation]]
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
        known: Sequence[Assignment],
        assignments: Sequence[Assignment],
    ) -> Person:
        """The person with the statements that count; a field in which none does is silent.

        `listed` has the person of each source of the run, `known` are the assignments before the run,
        `assignments` those after it.
        """
        sources = self._sources_of(assignments)
        listed = {source: described for source, described in listed.items() if source in sources}
        data = data_of(account)
        values: dict[str, str] = {}
        columns: list[str] = []
        for name, column in PERSON_DATA.items():
            statements = [
                Statement(
                    source,
                    getattr(described, name),
                    self._is_new(source, described, name, data, known),
                )
                for source, described in listed.items()
                if name not in described.silent
            ]
            if len(sources) <= 1:
                values[name] = statements[0].value if statements else data[name]
                continue
            values[name] = resolved_value(name, data[name], statements)
            self._remember(person.matricule, sources, statements, name, data[name], values[name])
            if sources_differ(name, values[name], statements):
                columns.append(column)
        if columns:
            self._report(account, listed, sources, columns)
        silent = {name for name, value in values.items() if value == data[name]}
        return replace(person, silent=person.silent | silent, **values)  # type: ignore[arg-type]

    def _sources_of(self, assignments: Sequence[Assignment]) -> set[str]:
        """The sources that count: those of assignments that are not over, else those of all assignments."""
        of_sources = [a for a in assignments if a.source != MANUAL]
        running = {a.source for a in of_sources if a.end is None or a.end >= self.as_of}
        return running or {a.source for a in of_sources}

    def _is_new(
        self,
        source: str,
        person: Person,
        name: str,
        data: Mapping[str, str],
        known: Sequence[Assignment],
    ) -> bool:
        """Whether the statement of a source is new. Its first statement about a person whom another source
        knows only fills blanks."""
        value = getattr(person, name)
        if value == data[name]:
            return False
        stored = self._stored(source, person.matricule).get(name)
        if stored is not None:
            return not self.keys.matches(stored, _purpose(name), value)
        return not data[name] or any(a.source == source for a in known)

    def _stored(self, source: str, matricule: str) -> Deviation:
        return self.deviations.get(source, {}).get(matricule, {})

    def _remember(
        self,
        matricule: str,
        sources: set[str],
        statements: Sequence[Statement],
        name: str,
        before: str,
        after: str,
    ) -> None:
        """Stores the last statement of every source that differs from the new value. The last statement of a
        source without a statement tonight is its deviation, else `before`."""
        stated = {statement.source: statement.value for statement in statements}
        for source in sources & self.deviations.keys():
            stored = self._stored(source, matricule).get(name)
            if source in stated or stored is None:
                last = stated.get(source, before)
                digest = self.keys.keep_or_renew(stored, _purpose(name), last) if last != after else None
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
        rows = " and ".join(person.assignments[0].origin for person in listed.values())
        silent = " and ".join(sorted(sources - listed.keys()))
        differ = f"{rows} differ" if len(listed) > 1 else f"{rows} differs from {silent}"
        why = f"{differ} in {', '.join(columns)}"
        self.disagreements.append(Disagreement(account.matricule, account.uid, tuple(columns), why))


def _purpose(name: str) -> str:
    return f"told {name}"
