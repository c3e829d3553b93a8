"""What a run requires before its first write: the default password policy, the schema, a date that is not
before that of the last run, a stored plan that still fits, and the current key of digests.

slapd's ppolicy looks the default password policy up at every bind: without its entry pwdStartTime,
pwdEndTime, lockouts and the quality of passwords have no effect, and closed accounts log in again.

A host without the current key would not recognise people whose digests were made with it. A host with another
key of the same id would recognise nobody. So the current key is recorded in the directory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from piactl.config.read_register import register_digest
from piactl.core.model.keyed_digests import DigestKeys, digest_key_id
from piactl.core.model.settings import DirectorySettings, MatchingSettings, Settings, SourceSettings
from piactl.core.plan.plan import ReadyPlan, Rows
from piactl.core.plan.state_between_runs import LastRun, RunStatus
from piactl.core.plan.write import Write
from piactl.directory.interfaces import Outcome, Reader, Writer
from piactl.directory.probe.schema_check import lacking, read_subschema
from piactl.directory.store.account_entries import IN_ACCOUNTS
from piactl.directory.store.record_entries import (
    Places,
    Record,
    Records,
    UnreadableRecords,
    set_record,
    text_of,
)
from piactl.directory.store.run_records import read_runs, run_in
from piactl.errors import (
    REASON,
    DefaultPolicyMissing,
    PiactlError,
    SchemaLacking,
    SecretUnusable,
    StalePlan,
    UnsafePlan,
)
from piactl.journal import Order
from piactl.phrase import Phrase, joined
from piactl.runs.run import Run

PUT_BACK = Phrase(
    'Put it back from slapd/tree.ldif.in, by the commands of docs/upgrade-directory.md ("A password '
    'policy is missing")'
)


def require_default_policy(policy: str, *, there: bool) -> None:
    """Raises DefaultPolicyMissing if there is no entry `policy` (the DN in `password.policy`): without it,
    what a run writes has no effect. If the DN is empty, nothing is required; `doctor` warns of that."""
    if policy and not there:
        problem = Phrase(
            "{policy} (password.policy) is missing, or may not be read: without the default password policy "
            "the server applies no end and no lock of an account",
            policy=policy,
        )
        way_on = Phrase("Nothing was changed. {way_on}", way_on=PUT_BACK)
        raise DefaultPolicyMissing(joined([problem, way_on], "{first}\n{second}"))


def require_schema(writer: Writer, directory: DirectorySettings, writes: Rows[Write]) -> None:
    """Raises SchemaLacking if the schema lacks a class or an attribute that one of the writes adds. If the
    schema may not be read, nothing is required."""
    schema = read_subschema(writer.read, writer.facts().subschema) if len(writes) else None
    missing = lacking(schema, directory.attributes) if schema is not None else {}
    if not missing:
        return
    refused = {
        name: why
        for write in writes
        for name, why in missing.items()
        if name in write.add or name.encode() in write.add.get("objectClass", ())
    }
    if refused:
        raise SchemaLacking(
            Phrase(
                "the server would refuse writes of this run: {why}. Nothing was changed.\n"
                "Load the files of schemas/ldap (docs/upgrade-directory.md); see piactl doctor, D16.",
                why=joined(sorted(refused.values())),
            )
        )


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


_INPUTS = {
    "rules": Phrase("the policy"),
    "register": Phrase("the register"),
    "settings": Phrase("the configuration"),
}


def check_not_replaced(run: Run, facts: Mapping[str, Any], after: str) -> None:
    """Says which of the inputs in `facts` are not those of the last run, `after`. Raises UnsafePlan if an
    earlier run had one of them and a later one replaced it, unless the run has a reason: then a host has an
    old copy, and would take back what the other hosts do."""
    last = run_in(run.records, after, run.unreadable) if after else None
    if last is None:
        return
    others = {name: text for name, text in _INPUTS.items() if last.get(name, facts[name]) != facts[name]}
    for text in others.values():
        run.say(
            Phrase(
                "warning: {input} of this run is not that of run {run} on {host}",
                input=text,
                run=after,
                host=last.get("host"),
            )
        )
    written = (RunStatus.DONE, RunStatus.PARTLY, RunStatus.STOPPED)
    if not others or run.order.reason:
        return
    for record in read_runs(run.writer, run.places.state, run.unreadable):
        for name, text in others.items():
            if record.get(name) == facts[name] and record["status"] in written:
                raise UnsafePlan(
                    Phrase(
                        "{input} of this run is that of run {run} on {host}, which a later run replaced: a "
                        "host may have an old copy of the file. Nothing was written\n"
                        "Compare the file with that of {other}, and copy the right one. If it is this one, "
                        'run once with --reason "..."',
                        input=text,
                        run=record["run"],
                        host=record.get("host"),
                        other=last.get("host"),
                    )
                ).with_options(REASON)


FAR = timedelta(days=92)
"""A clock this far after the last run counts as wrong."""


def check_date(order: Order, last: LastRun | None, settings: Settings) -> None:
    """Raises UnsafePlan if the run must not write as of its date."""
    any_date = settings.any_date
    if order.as_of != order.today and not any_date:
        raise UnsafePlan(
            Phrase(
                "writing as of {day}, which is not today, is for trials: this directory's configuration does "
                "not allow it (any_date)",
                day=order.as_of,
            )
        )
    if last is None:
        return
    name = last.run or Phrase("its record cannot be read")
    if order.as_of < last.as_of:
        before = Phrase(
            "the date of this run, {day}, is before that of the last one, {last} ({run}):",
            day=order.as_of,
            last=last.as_of,
            run=name,
        )
        check = Phrase("check the clock (`date`)")
        if any_date:
            trial = Phrase("if this is a trial go on with --as-of {day} or a later day", day=last.as_of)
            check = Phrase("{trial}, else {check}", trial=trial, check=check)
        way_on = Phrase(
            'If the clock was wrong in that run: piactl runs rewind --to {day} --reason "..."',
            day=order.as_of,
        )
        if last.lost:
            way_on = Phrase(
                "If no run was made as of {day}: delete {dn}, and the next run checks every account",
                day=last.as_of,
                dn=Places(settings.directory.state).last_run,
            )
        raise UnsafePlan(joined([before, check, way_on], "{first}\n{second}"))
    if last.as_of == date.min:  # lost, and no record of a run has its date
        return
    if order.as_of - last.as_of > FAR and not order.explicit:
        raise UnsafePlan(
            Phrase(
                "the date of this run, {day}, is {days} days after the last one ({run}): if the clock is "
                "right, confirm it with --as-of {day}",
                day=order.as_of,
                days=(order.as_of - last.as_of).days,
                run=name,
            )
        ).with_options(f"--as-of {order.as_of}")


def check_plan_fits(ready: ReadyPlan, settings: Settings, policy: str, last: LastRun | None) -> str:
    """Checks that a plan read from a file still fits; returns the run that already applied it, "" for none.
    `policy` is the digest of today's policy.

    Raises StalePlan if policy, register, directory or the last run are not those the plan was made from.
    """
    accounts = settings.directory.accounts
    if ready.plan.basis.directory != accounts:
        raise StalePlan(
            Phrase(
                "the plan was made for {other}, this directory is {directory}; make the plan again",
                other=ready.plan.basis.directory,
                directory=accounts,
            )
        )
    if last is not None and last.plan == ready.fingerprint and last.clean:
        return last.run
    if ready.plan.basis.policy != policy:
        raise StalePlan(
            Phrase(
                "the plan was made with another policy, a draft or an older one; "
                "make that one the policy, or make the plan again"
            )
        )
    if ready.plan.basis.register != register_digest(Path(settings.establishments_file)):
        raise StalePlan(
            Phrase("the establishment register has changed since the plan was made; make the plan again")
        )
    after = last.run if last else ""
    again = last is not None and last.plan == ready.fingerprint
    if last is not None and last.lost and ready.plan.basis.after:
        raise StalePlan(
            Phrase(
                "the record of the last run cannot be read, so piactl cannot tell if the plan still fits; "
                "make it again"
            )
        )
    if ready.plan.basis.after != after and not again:
        raise StalePlan(Phrase("another run, {run}, was made after the plan; make the plan again", run=after))
    return ""


# ---- the key of digests

_CHECK = "keys"


def announce_key(writer: Writer, state: str, keys: DigestKeys) -> None:
    """Records the current key below the entry `state`: its id, and a digest of the id made with it. Raises
    PiactlError."""
    dn = Places(state).keys
    record = {"current": keys.current, "check": keys.digest(_CHECK, keys.current)}
    result = set_record(writer, dn, record)
    if result is not None and result.outcome not in (Outcome.APPLIED, Outcome.UNCHANGED):
        raise PiactlError(Phrase("{dn} cannot be written: {why}", dn=dn, why=result.message))


def check_current_key(
    records: Records, settings: Settings, keys: DigestKeys, unreadable: UnreadableRecords
) -> None:
    """Raises SecretUnusable if this host lacks the current key.

    If the record cannot be read, this host needs every key that the digests of accounts were made with.
    """
    dn = records.places.keys
    if records.entry(dn) is None:
        return
    announced = records.value(dn, read_announced, unreadable)
    if announced is None:
        check_needed_keys(records.reader, settings, keys)
        return
    key, check = announced
    if key in keys.keys and keys.matches(check, _CHECK, key):
        return
    wrong = Phrase("has another key with that id") if key in keys.keys else Phrase("lacks it")
    raise SecretUnusable(
        Phrase(
            "the current digest key of this directory is {key}, and {file} {wrong}; nothing was changed.\n"
            "Copy the key file from the host where `piactl key add` was run",
            key=key,
            file=settings.keys_file,
            wrong=wrong,
        )
    )


def read_announced(record: Record) -> tuple[str, str]:
    """The id of the current key, and the digest of it. Raises KeyError, ValueError."""
    return text_of(record, "current"), text_of(record, "check")


def check_needed_keys(reader: Reader, settings: Settings, keys: DigestKeys) -> None:
    """Raises SecretUnusable if this host lacks a key that digests of accounts were made with."""
    directory = settings.directory
    digests = ("piactlMatriculeDigest", "piactlNumenDigest", "piactlIdentityDigest", "piactlBirthDigest")
    names = [directory.attributes.get(name, name) for name in digests]
    for entry in reader.search(directory.accounts, IN_ACCOUNTS, names):
        digests_here = (digest for name in names for digest in entry.values.get(name, ()))
        for key in (digest_key_id(digest.decode("utf-8", "replace")) for digest in digests_here):
            if key not in keys.keys:
                raise SecretUnusable(
                    Phrase(
                        "{dn} needs the digest key {key}, and {file} lacks it; nothing was changed.\n"
                        "Copy the key file from the host where the nights run",
                        dn=entry.dn,
                        key=key or "(none)",
                        file=settings.keys_file,
                    )
                )
