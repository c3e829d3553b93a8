"""Rows whose matricule differs from a known one only by leading zeros, as a spreadsheet that saves a CSV file
makes them. They are rejected, and hold the person of the known matricule: nobody is absent because of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from piactl.core.model.person import COMMON, qualified
from piactl.core.model.settings import SourceSettings
from piactl.core.plan.check_feed_limits import LEADING_ZEROS
from piactl.core.plan.plan import Rejection
from piactl.core.plan.state_between_runs import Memory
from piactl.core.rules.desired_account import MATRICULE
from piactl.directory.store.account_entries import Entry, read_accounts_of
from piactl.directory.store.account_list import Listed
from piactl.feed.error_codes import held_words, rejection_message
from piactl.feed.feed_result import Feed
from piactl.phrase import Phrase, counted
from piactl.planning.account_index import ManagedAccounts
from piactl.planning.linked_matricules import LinkedMatricules

Slips = Mapping[str, tuple[str, ...]]
"""The matricules that differ from known ones only by leading zeros, with the known ones."""


@dataclass(frozen=True, slots=True)
class Written:
    """The matricules in one file of a source. `corrected`: it is a file of corrected rejects."""

    source: SourceSettings
    matricules: Collection[str]
    corrected: bool = False


def find_slips(
    files: Iterable[Written],
    accounts: ManagedAccounts,
    listed: Mapping[str, Listed],
    linked: LinkedMatricules,
    memory: Memory,
) -> Slips:
    """The slips in these files. Known are the matricules of accounts, archived ones included, and of people
    in waiting; a file with one of them, as it is, is right. Known are also those that nights have rejected or
    held as cases, and those of the feed whose rejects were corrected, unless both forms are among them.
    """
    files = [file for file in files if not file.source.of_sets]
    known = {matricule for matricule, _ in listed.values() if matricule}
    known |= linked.first.keys() | memory.waiting.keys()
    unknown = {matricule for file in files for matricule in file.matricules if matricule not in known}
    if not unknown:
        return {}
    noted = {case.matricule for case in memory.cases.values() if case.of_newcomer}
    noted.update(m for source in memory.sources.values() for m in source.rejected)
    corrected = {file.source.name for file in files if file.corrected}
    noted.update(m for f in files if f.source.name in corrected and not f.corrected for m in f.matricules)
    wanted = {without_zeros(matricule) for matricule in unknown}
    of_known, of_noted = _by_number(known, wanted), _by_number(noted - known, wanted)
    slips: dict[str, tuple[str, ...]] = {}
    for matricule in unknown:
        number = without_zeros(matricule)
        others = of_known.get(number, []) or ([] if matricule in noted else of_noted.get(number, []))
        if others:
            slips[matricule] = tuple(sorted(others))
    archived = any(not matricule for matricule, _ in listed.values())
    variants = _variants(unknown - slips.keys(), known | unknown) if archived else {}
    return _without_accounts(slips, variants, accounts)


def without_zeros(matricule: str) -> str:
    """The matricule without the zeros that it begins with, still in its namespace."""
    namespace, colon, number = matricule.rpartition(":")
    return namespace + colon + number.lstrip("0")


def _by_number(matricules: Iterable[str], wanted: Collection[str]) -> dict[str, list[str]]:
    """The matricules by what they are without zeros, only the `wanted` ones."""
    result: dict[str, list[str]] = {}
    for matricule in matricules:
        number = without_zeros(matricule)
        if number in wanted:
            result.setdefault(number, []).append(matricule)
    return result


def _variants(matricules: Iterable[str], usual: Iterable[str]) -> dict[str, list[str]]:
    """What each matricule is with more or fewer zeros, in the lengths that are usual."""
    lengths = {len(matricule.rpartition(":")[2]) for matricule in usual}
    result: dict[str, list[str]] = {}
    for matricule in matricules:
        namespace, _, number = without_zeros(matricule).rpartition(":")
        forms = {number.rjust(length, "0") for length in lengths}
        names = (qualified(namespace or COMMON, form) for form in sorted(forms) if form)
        result[matricule] = [name for name in names if name != matricule]
    return result


def _without_accounts(
    slips: Mapping[str, tuple[str, ...]], variants: Mapping[str, list[str]], accounts: ManagedAccounts
) -> Slips:
    """The slips without matricules that an account has as they are, and with those that an archived account
    has in another form: of these only digests are known."""
    forms = {form for names in variants.values() for form in names}
    asked = sorted({*slips, *variants, *forms}) if forms else sorted(slips)
    keys = accounts.encoding.keys
    if not asked or keys is None:
        return slips
    digests = {
        digest
        for entry in read_accounts_of(*accounts, keys, asked)
        if isinstance(entry, Entry)
        for digest in entry.account.matricule_digests
    }

    def has_account(matricule: str) -> bool:
        return not digests.isdisjoint(keys.candidates(MATRICULE, matricule))

    of_archived = {matricule: tuple(filter(has_account, names)) for matricule, names in variants.items()}
    return {
        matricule: others
        for matricule, others in {**slips, **of_archived}.items()
        if others and not has_account(matricule)
    }


def without_slips(feed: Feed, slips: Slips) -> Feed:
    """The feed with the rows of slips rejected, and the people of the known matricules held. If HR itself
    says that a person had the known matricule before, it is no slip."""

    def is_renumbered(matricule: str) -> bool:
        return matricule in feed.people and feed.people[matricule].former in slips[matricule]

    here = sorted(m for m in slips.keys() & feed.present if not is_renumbered(m))
    if not here:
        return feed
    people, held, unusable = dict(feed.people), dict(feed.held), list(feed.unusable)
    rejections = list(feed.rejections)
    for matricule in here:
        problem = _words(matricule, slips[matricule][0])
        message = rejection_message(LEADING_ZEROS, problem, corrected=feed.layout.is_rejects)
        person = people.pop(matricule, None)
        held.pop(matricule, None)
        lines = person.lines if person else {r.line for r in feed.rejections if r.matricule == matricule}
        if person is not None:
            unusable.append((person, frozenset({"matricule"})))
        for line in sorted(lines):
            rejections.append(
                Rejection(feed.facts.file, line, "matricule", LEADING_ZEROS, message, matricule)
            )
        for known in slips[matricule]:
            if known in people:
                unusable.append((people.pop(known), frozenset()))
            where = Phrase("{file}:{line}", file=feed.facts.file, line=min(lines, default=0))
            held.setdefault(known, held_words(where, "matricule", message, LEADING_ZEROS))
    return replace(
        feed,
        people=people,
        held=held,
        unusable=unusable,
        rejections=tuple(sorted(rejections, key=lambda r: (r.line, r.column, r.code))),
    )


def _words(matricule: str, known: str) -> Phrase:
    written, right = (name.rpartition(":")[2] for name in (matricule, known))
    zeros = abs(len(written) - len(right))
    if len(written) > len(right):
        many = counted(zeros, "zero", "zeros")
        return Phrase("{written} is {right} with {zeros} too many", written=written, right=right, zeros=many)
    its = Phrase("its zero") if zeros == 1 else Phrase("its {number} zeros", number=zeros)
    return Phrase(
        "{written} is {right} without {zeros}: the file was saved by a spreadsheet",
        written=written,
        right=right,
        zeros=its,
    )
