"""The changes of the write of one account, from one comparison.

The attributes of the entry are compared with those of the desired account. That is the write. The changes
explain it: each names fields whose attributes differ, and each written attribute belongs to a change. No
change is shown without a write.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from piactl.core.model.account import State
from piactl.core.plan.change import LAYOUT, Change, Facts, Kind
from piactl.core.plan.diff import changes_of, home_establishments
from piactl.core.plan.drift import Drift, DriftClass, DriftFate
from piactl.core.plan.write import Write
from piactl.core.rules.desired import Desired, Rules
from piactl.directory.store.attribute_map import Encoding
from piactl.directory.store.base_digest import BASE
from piactl.phrase import Phrase

RESTORED = "attributes"
"""The fact of a change that names the attributes which another program changed."""


def changes_of_write(
    desired: Desired,
    write: Write,
    rules: Rules,
    encoding: Encoding,
    drift: Iterable[Drift] = (),
    *,
    every: bool = False,
) -> list[Change]:
    """The changes of the write that makes an account the desired one, at least one.

    Attributes that another program changed, and that no change of the account explains, have changes of their
    own, which name them: one for each class of `drift`, and one for those that are not known as such. With
    `every`, so do those that a change explains, because nothing else lists them. Attributes that only get the
    form of this version have one change.
    """
    if desired.subject.current is None:
        return changes_of(desired, rules)
    formed = _formed(desired, write, encoding)
    written = sorted({*write.attributes} - {encoding.name(BASE), *formed})
    fields = {field for attribute in written for field in encoding.fields.get(attribute, ())}
    changes = changes_of(desired, rules, fields)
    foreign = _changed_by_others(desired, written, encoding) if changes else written
    shown = written if every else foreign
    stays = (DriftFate.KEPT, DriftFate.WAITS)
    drifted = [
        attribute_drift
        for attribute_drift in drift
        if attribute_drift.attribute in shown and not (every and attribute_drift.fate in stays)
    ]
    changes[:0] = _reverted(desired, drifted, rules)
    # the object class of the link changes with it
    known = {attribute_drift.attribute for attribute_drift in drifted} | (
        {"objectClass"} if drifted else set()
    )
    foreign = [name for name in foreign if name not in known]
    if foreign:
        changes.append(_restored(desired, write, foreign, rules, encoding))
    if formed:
        reason = Phrase(
            "an earlier version wrote the entry: it gets the form that SUPANN and eduPerson define"
        )
        changes.append(_update(desired, {LAYOUT: formed}, {LAYOUT: formed}, reason, rules))
    return changes


def _formed(desired: Desired, write: Write, encoding: Encoding) -> list[str]:
    """The attributes that only get the form of this version. An account that is archived, or comes back, has
    other values, not another form."""
    current, archived = desired.subject.current, desired.account.state is State.ARCHIVED
    if current is None or (current.state is State.ARCHIVED) != archived:
        return []
    return encoding.formed(write)


def _reverted(desired: Desired, drift: Sequence[Drift], rules: Rules) -> Iterator[Change]:
    """The changes that take back what another program changed; what gave access comes first."""
    for drift_class in DriftClass:
        some = [attribute_drift for attribute_drift in drift if attribute_drift.drift_class == drift_class]
        if not some:
            continue
        names = [attribute_drift.attribute for attribute_drift in some]
        by = next((attribute_drift.by for attribute_drift in some if attribute_drift.by), "")
        yield Change(
            kind=Kind.DRIFT,
            uid=desired.account.uid,
            matricule=desired.account.matricule,
            before={RESTORED: names, "theirs": [f"{d.attribute}: {v}" for d in some for v in d.theirs]},
            after={
                RESTORED: names,
                "class": drift_class.value,
                "ours": [f"{d.attribute}: {v}" for d in some for v in d.ours],
            },
            reason=Phrase("another program changed it, {by}", by=by)
            if by
            else Phrase("another program changed it"),
            effective=rules.as_of,
            establishments=home_establishments(desired.account, rules.as_of),
            profiles=desired.account.profiles,
        )


def _changed_by_others(desired: Desired, written: Sequence[str], encoding: Encoding) -> list[str]:
    """The written attributes whose fields the account already has as it should."""
    current, account = desired.subject.current, desired.account
    if current is None or account.state is State.ARCHIVED:
        return []

    def differs(field: str) -> bool:
        return bool(getattr(current, field) != getattr(account, field))

    fields = ((name, encoding.fields.get(name, ())) for name in written)
    return [name for name, made_of in fields if made_of and not any(map(differs, made_of))]


def _restored(desired: Desired, write: Write, names: list[str], rules: Rules, encoding: Encoding) -> Change:
    """The change that restores managed attributes, or that links a closed or locked account to no device so
    that the directory refuses it."""
    before: Facts = {RESTORED: names}
    after: Facts = {RESTORED: names}
    reason = Phrase("managed attributes were changed by another program: {names}", names=", ".join(names))
    link = encoding.name("oathTOTPToken")
    if desired.account.shut and link in write.add and {link, "objectClass"}.issuperset(names):
        before, after = {"refused_by": ["dates"]}, {"refused_by": ["dates", Phrase("link to no device")]}
        reason = Phrase(
            "the account is closed, and its dates alone count only where a password policy applies"
        )
        if desired.account.locked:
            reason = Phrase(
                "the account is locked, and its dates alone count only where a password policy applies"
            )
    return _update(desired, before, after, reason, rules)


def _update(desired: Desired, before: Facts, after: Facts, reason: str, rules: Rules) -> Change:
    return Change(
        kind=Kind.UPDATE,
        uid=desired.account.uid,
        matricule=desired.account.matricule,
        before=before,
        after=after,
        reason=reason,
        effective=rules.as_of,
        establishments=home_establishments(desired.account, rules.as_of),
        profiles=desired.account.profiles,
    )
