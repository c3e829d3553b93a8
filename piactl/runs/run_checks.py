"""What a run requires before its first write: the default password policy, the schema, a date that is not
before that of the last run, and a stored plan that still fits.

slapd's ppolicy looks the
default password policy up at every bind: without its entry pwdStartTime, pwdEndTime, lockouts and the quality
of passwords have no effect, and closed accounts log in again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from piactl.config.register import register_digest
from piactl.core.model.settings import DirectorySettings, MatchingSettings, Settings, SourceSettings
from piactl.core.plan.memory import LastRun, RunStatus
from piactl.core.plan.write import Write
from piactl.directory.port import Writer
from piactl.directory.probe.subschema import lacking, read_subschema
from piactl.directory.store.records import Places
from piactl.directory.store.run_records import read_runs, run_in
from piactl.errors import DefaultPolicyMissing, SchemaLacking, StalePlan, UnsafePlan
from piactl.planning.ready_plan import ReadyPlan, Writes
from piactl.runs.run import Order, Run

PUT_BACK = (
    'Put it back from schemas/ldap/tree.ldif.in, by the commands of docs/upgrade-directory.md ("A password '
    'policy is missing")'
)


def require_default_policy(policy: str, *, there: bool) -> None:
    """Raises DefaultPolicyMissing if there is no entry `policy` (the DN in `password.policy`): without it,
    what a run writes has no effect. If the DN is empty, nothing is required; `doctor` warns of that."""
    if policy and not there:
        raise DefaultPolicyMissing(
            f"{policy} (password.policy) is missing, or may not be read: without the default password policy "
            f"the server applies no end and no lock of an account. Nothing was changed.\n{PUT_BACK}"
        )


def warn_of_missing_policy(policy: str, say: Callable[[str], None]) -> None:
    """Warns that the entry is missing, before a change that is made nevertheless because it takes access
    away."""
    say(
        f"warning: {policy} (password.policy) is missing, or may not be read: until it is back, "
        f"the server applies no end and no lock of an account.\n{PUT_BACK}"
    )


def require_schema(writer: Writer, directory: DirectorySettings, writes: Writes) -> None:
    """Raises SchemaLacking if the schema lacks a class or an attribute that one of the writes adds. If the
    schema may not be read, nothing is required."""
    schema = read_subschema(writer.read, writer.facts().subschema) if len(writes) else None
    missing = lacking(schema, directory.attributes) if schema is not None else {}
    if not missing:
        return
    refused = {name: why for row in writes for name, why in missing.items() if _adds(row, name)}
    if refused:
        raise SchemaLacking(
            f"the server would refuse writes of this run: {'; '.join(sorted(refused.values()))}. Nothing was "
            "changed.\nLoad the files of schemas/ldap (docs/upgrade-directory.md); see piactl doctor, D16."
        )


def _adds(write: Write, name: str) -> bool:
    return name in write.add or name.encode() in write.add.get("objectClass", ())


def settings_digest(settings: Settings) -> str:
    """A digest of the settings that decide what a plan says and that are the same on all hosts. Values that
    are the default do not count, so versions that know more settings agree with earlier ones; nor does the
    order in which the file has them."""
    usual = asdict(SourceSettings(""))
    sources = {name: _own(asdict(source), usual) for name, source in settings.sources.items()}
    matching = _own(asdict(settings.matching), asdict(MatchingSettings()))
    shared = sources, matching, dict(settings.ranks), dict(settings.directory.attributes)
    text = json.dumps(
        shared, sort_keys=True, default=lambda v: sorted(v) if isinstance(v, frozenset) else str(v)
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _own(values: Mapping[str, object], default: Mapping[str, object]) -> dict[str, object]:
    """The settings that are not the default, without what is of one host."""
    return {
        name: own
        for name, own in values.items()
        if name not in ("files", "limits", "state_folder") and own != default[name]
    }


_INPUTS = {"rules": "policy", "register": "register", "settings": "configuration"}


def check_not_replaced(run: Run, facts: Mapping[str, Any], after: str) -> None:
    """Says which of the inputs in `facts` are not those of the last run, `after`. Raises UnsafePlan if an
    earlier run had one of them and a later one replaced it, unless the run has a reason: then a host has an
    old copy, and would take back what the other hosts do."""
    last = run_in(run.records, after, run.unreadable) if after else None
    if last is None:
        return
    others = {name: text for name, text in _INPUTS.items() if last.get(name, facts[name]) != facts[name]}
    for text in others.values():
        run.say(f"warning: the {text} of this run is not that of run {after} on {last.get('host')}")
    written = (RunStatus.DONE, RunStatus.PARTLY, RunStatus.STOPPED)
    if not others or run.order.reason:
        return
    for record in read_runs(run.writer, run.places.state, run.unreadable):
        for name, text in others.items():
            if record.get(name) == facts[name] and record["status"] in written:
                raise UnsafePlan(
                    f"the {text} of this run is that of run {record['run']} on {record.get('host')}, which "
                    "a later run replaced: a host may have an old copy of the file. Nothing was written\n"
                    f"Compare the file with that of {last.get('host')}, and copy the right one. If it is "
                    'this one, run once with --reason "..."'
                )


FAR = timedelta(days=92)
"""A clock this far after the last run counts as wrong."""


def check_date(order: Order, last: LastRun | None, settings: Settings) -> None:
    """Raises UnsafePlan if the run must not write as of its date."""
    any_date = settings.any_date
    if order.as_of != order.today and not any_date:
        raise UnsafePlan(
            f"writing as of {order.as_of}, which is not today, is for trials: this directory's configuration "
            "does not allow it (any_date)"
        )
    if last is None:
        return
    name = last.run or "its record cannot be read"
    if order.as_of < last.as_of:
        trial = (
            f"if this is a trial go on with --as-of {last.as_of} or a later day, else " if any_date else ""
        )
        way = (
            f'If the clock was wrong in that run: piactl runs rewind --to {order.as_of} --reason "..."'
            if not last.lost
            else f"If no run was made as of {last.as_of}: "
            f"delete {Places(settings.directory.state).last_run}, and the next run checks every account"
        )
        raise UnsafePlan(
            f"the date of this run, {order.as_of}, is before that of the last one, {last.as_of} "
            f"({name}):\n{trial}check the clock (`date`)\n{way}"
        )
    if last.as_of == date.min:  # lost, and no record of a run has its date
        return
    if order.as_of - last.as_of > FAR and not order.explicit:
        days = (order.as_of - last.as_of).days
        raise UnsafePlan(
            f"the date of this run, {order.as_of}, is {days} days after the last one ({name}): "
            f"if the clock is right, confirm it with --as-of {order.as_of}"
        )


def check_plan_fits(ready: ReadyPlan, settings: Settings, policy: str, last: LastRun | None) -> str:
    """Checks that a plan read from a file still fits; returns the run that already applied it, "" for none.
    `policy` is the digest of today's policy.

    Raises StalePlan if policy, register, directory or the last run are not those the plan was made from.
    """
    accounts = settings.directory.accounts
    if ready.plan.basis.directory != accounts:
        raise StalePlan(
            f"the plan was made for {ready.plan.basis.directory}, this directory is {accounts}; "
            "make the plan again"
        )
    if last is not None and last.plan == ready.fingerprint and last.clean:
        return last.run
    if ready.plan.basis.policy != policy:
        raise StalePlan(
            "the plan was made with another policy, a draft or an older one; "
            "make that one the policy, or make the plan again"
        )
    if ready.plan.basis.register != register_digest(Path(settings.establishments_file)):
        raise StalePlan("the establishment register has changed since the plan was made; make the plan again")
    after = last.run if last else ""
    again = last is not None and last.plan == ready.fingerprint
    if last is not None and last.lost and ready.plan.basis.after:
        raise StalePlan(
            "the record of the last run cannot be read, so piactl cannot tell if the plan still fits; "
            "make it again"
        )
    if ready.plan.basis.after != after and not again:
        raise StalePlan(f"another run, {after}, was made after the plan; make the plan again")
    return ""
