"""Resolves what several sources say differently of one person, and remembers what did not count.

The feed of one source alone cannot tell a change from an older statement: if both counted, the night of one
source would rename an account, that of the other would rename it back. So a statement counts only where it
differs from what the same source said last. That is remembered sparsely, in the record of the source in the
directory, where any host finds it: nothing as long as a source says what the account has, else a keyed digest
of each field that it says otherwise. Apart from these deviations, the account has the last statement of every
source that knows the person. A deviation under a key that was retired meanwhile counts as a change, once.
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
    """Decides for each person which source counts. `deviations` are those of each source by matricule, after
    the run; `moved` are the matricules whose deviations the run changes."""

    as_of: date
    keys: DigestKeys
    deviations: dict[str, dict[str, Deviation]]
    disagreements: list[Disagreement] = field(default_factory=list)
    moved: set[str] = field(default_factory=set)

    def is_sole(self, matricule: str, listed: Collection[str], assignments: Sequence[Assignment]) -> bool:
        """Whether only one source knows a person, and no other lists the person tonight: then there is
        nothing to decide or remember."""
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
        *,
        accepted: bool,
    ) -> Person:
        """The person with the statements that count; a field in which none does is silent.

        `listed` has the person of each source of the run, `known` are the assignments before the run,
        `assignments` those after it. `accepted`: by hand, so every difference from the account is a change.
        """
        sources = self._sources_of(assignments)
        listed = {source: one for source, one in listed.items() if source in sources}
        data = data_of(account)
        values: dict[str, str] = {}
        columns: list[str] = []
        for name, column in PERSON_DATA.items():
            statements = [
                Statement(source, getattr(one, name), self._is_new(source, one, name, data, known, accepted))
                for source, one in listed.items()
                if name not in one.silent
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
        """The sources that have a say: those of assignments that are not over, or else of all."""
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
        accepted: bool,
    ) -> bool:
        """Whether a source says something else than before. The first statement of a source about a person
        whom another source knows is no change: it only fills blanks."""
        value = getattr(person, name)
        if value == data[name] or accepted:
            return bool(value != data[name])
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
        """Remembers the last statement of every source if the account will have another value. The last
        statement of a source that says nothing tonight is its deviation, else `before`."""
        said = {statement.source: statement.value for statement in statements}
        for source in sources & self.deviations.keys():
            stored = self._stored(source, matricule).get(name)
            if source in said or stored is None:
                last = said.get(source, before)
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
