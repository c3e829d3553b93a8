"""`account create|rename|lock|unlock|close|reopen|extend|rekey|merge|split`: one-off changes of accounts."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from piactl.cli.framework.account_command import (
    AccountCommand,
    EditOptions,
    Manner,
    begin,
    finish,
)
from piactl.cli.framework.help_desk import requests_of
from piactl.cli.framework.open_directory import reading
from piactl.cli.framework.options import (
    FirstDay,
    Form,
    LastDay,
    Names,
    NeededLastDay,
    OneName,
    day_option,
    number_option,
    uai_option,
    with_shared_options,
)
from piactl.cli.framework.output import say, typed_again
from piactl.cli.framework.writing_command import put_run, say_approval, write_plan
from piactl.clock import utc_now
from piactl.core.acts import Act, ActRefused
from piactl.core.acts import lock_close_rename as accounts
from piactl.core.plan.plan import ReadyPlan
from piactl.core.plan.state_between_runs import RunStatus
from piactl.core.rules.matching import BIRTH_DATE, NAME, NUMEN_WORD
from piactl.edits.account_store import AccountStore
from piactl.edits.carry_out_batch import Batch
from piactl.edits.merge_split_rekey import merge_plan, prepare_merge, prepare_rekey, prepare_split
from piactl.edits.one_off_change import prepare
from piactl.edits.sponsored_accounts import Newcomer, prepare_extension, prepare_newcomer
from piactl.errors import REASON, Exit, UsageError
from piactl.host.private_files import refuse_output
from piactl.phrase import Phrase
from piactl.planning.signed_plan_file import sealed
from piactl.runs.approvals import require_approval


@with_shared_options
def lock(
    names: Names,
    options: EditOptions,
    until: LastDay = None,
    compromised: Annotated[
        bool,
        typer.Option(
            "--compromised", help="Someone else knows the password: remove it, and suspend the device."
        ),
    ] = False,
) -> int:
    """Lock accounts at once, whatever the HR data say.

    The lock ends after --until, or with `account unlock`; a password reset does not lift it. The password
    and the device stay, unless --compromised is given: then the owner needs an activation password, and a
    proof for the device, once the account is unlocked. Open requests for the account and devices that wait
    to be verified end with it. Open sessions of services continue; piactl calls the commands under
    hooks.changes of the configuration, which can end them.

    Example: piactl account lock claire.dubreuil --compromised --reason "stolen password"
    """
    command = begin(options, emergency=True)
    act = accounts.lock(command.author, until, compromised=compromised)
    return _lock_compromised(command, names, act) if compromised else command.act_on(names, act)


def _lock_compromised(command: AccountCommand, names: Sequence[str], act: Act) -> int:
    order, settings = command.order, command.configuration.settings

    def prepared(store: AccountStore) -> Batch:
        batch = prepare(store, names, act, order.reason, compromised=settings.password)
        all_requests = requests_of(command.configuration, store.reader)
        return all_requests.withdrawing(batch, store, command.author, order.run, utc_now())

    return command.decide(prepared)


@with_shared_options
def unlock(names: Names, options: EditOptions) -> int:
    """Lift an administrator's lock. The HR data apply again at once. If there is none, lift the lock that
    stayed when HR stopped listing a person whose position locked the account.

    Example: piactl account unlock claire.dubreuil --reason "new password"
    """
    command = begin(options)
    return command.act_on(names, accounts.unlock(command.author))


@with_shared_options
def close(
    names: Names,
    options: EditOptions,
    from_: Annotated[
        date | None, day_option("--from", "The first closed day (YYYY-MM-DD); today by default.")
    ] = None,
    grace: Annotated[int, number_option("--grace", "N", "Days of grace from that day.", most=3660)] = 0,
    until: Annotated[date | None, day_option("--until", "The last closed day (YYYY-MM-DD).")] = None,
) -> int:
    """Close accounts from --from to --until, without grace unless --grace is given.

    All assignments end the day before the first closed day. After the last one the HR data apply again, and
    the account opens if HR still has the person. So --until is required for a person in the HR data; for
    others the closure lasts until nothing else would keep the account open. An assignment that starts after
    the first closed day reopens the account. In an emergency use `account lock`.

    Example: piactl account close claire.dubreuil --from 2026-09-10 --until 2026-10-31 --reason "has left"
    """
    command = begin(options, emergency=True)
    day = from_ or command.order.as_of
    return command.act_on(names, accounts.close(command.author, day, until, grace))


@with_shared_options
def reopen(names: Names, options: EditOptions, until: LastDay = None) -> int:
    """Reopen closed accounts.

    Ends a closure by hand or, with --until, renews the last assignment from today to that day. A lock
    stays.

    Example: piactl account reopen claire.dubreuil --reason "closed by mistake"
    """
    command = begin(options)
    return command.act_on(names, accounts.reopen(command.author, until))


@with_shared_options
def extend(
    names: Names,
    options: EditOptions,
    until: NeededLastDay = None,
    sponsor: Annotated[
        str,
        typer.Option("--sponsor", help="The new sponsor, for a person who is not in the HR data."),
    ] = "",
) -> int:
    """Extend accounts to a later day. Closed accounts are reopened.

    The assignments that end last continue, without a gap in the rights. The extension ends by itself once
    HR has it too. --sponsor also changes the sponsor, or only the sponsor if the accounts last until that
    day already.

    Example: piactl account extend claire.dubreuil --until 2026-10-31 --reason "renewed"
    """
    command = begin(options)
    if until is None:
        raise UsageError(Phrase("the new last day is missing: add --until DATE"))
    last_day, author = until, command.author
    return command.decide(lambda store: prepare_extension(store, names, author, last_day, sponsor))


@with_shared_options
def rename(
    account: OneName,
    options: EditOptions,
    usage_name: Annotated[
        str | None,
        typer.Option("--usage-name", help='The new usage name; "" for the family name alone. [required]'),
    ] = None,
    until: LastDay = None,
) -> int:
    """Change the usage name of a person. The address follows; the old one becomes an alias.

    A return to a former name restores the former address. The uid never changes. For a person in the HR
    data --until is required: HR has to correct its data by then.

    Example: piactl account rename claire.dubreuil --usage-name Aubry --until 2026-10-31 --reason "marriage"
    """

    if usage_name is None:
        raise UsageError(
            Phrase('the new name is missing: add --usage-name NAME, or --usage-name "" for none')
        )
    command = begin(options)
    act = accounts.rename(command.author, usage_name.strip(), until)
    return command.act_on([account], act)


@with_shared_options
def create(
    options: EditOptions,
    family_name: Annotated[
        str, typer.Option("--family-name", help="The family name, as on the identity card. [required]")
    ] = "",
    given_name: Annotated[str, typer.Option("--given-name", help="The first names. [required]")] = "",
    uai: Annotated[str, uai_option("The establishment. [required]")] = "",
    function: Annotated[
        str, typer.Option("--function", help="The code of the function, such as ENS or DIR. [required]")
    ] = "",
    until: NeededLastDay = None,
    sponsor: Annotated[
        str, typer.Option("--sponsor", help="The account of the person who is responsible for it. [required]")
    ] = "",
    from_: FirstDay = None,
    usage_name: Annotated[str, typer.Option("--usage-name", help="The usage name, if there is one.")] = "",
    civilite: Annotated[str, typer.Option("--civilite", help="M. or MME.")] = "",
    corps: Annotated[str, typer.Option("--corps", help="The code of the corps.")] = "",
    private_mail: Annotated[str, typer.Option("--private-mail", help="The private mail address.")] = "",
    matricule: Annotated[
        str, typer.Option("--matricule", help="The matricule of the person; generated by default.")
    ] = "",
) -> int:
    """Create an account for a person who is not in the HR data: an external speaker, a private contract.

    The address follows the usual rule, the rights follow the function, and the account ends after --until.
    The matricule of a person who left restores their account and addresses.

    Example: piactl account create --family-name Petit --given-name Jules --uai 0800010B --function ENS
    --until 2026-10-31 --sponsor ida.roy --reason "speaker"
    """
    newcomer = Newcomer(
        family_name=family_name,
        given_name=given_name,
        usage_name=usage_name,
        civilite=civilite,
        private_mail=private_mail,
        matricule=matricule,
        uai=uai,
        function=function,
        corps=corps,
        start=from_,
        until=until,
        sponsor=sponsor,
    )
    command = begin(options)
    return command.decide(lambda store: prepare_newcomer(store, newcomer, command.author))


@with_shared_options
def rekey(
    account: OneName,
    old: Annotated[str, typer.Option("--from", metavar="MATRICULE", help="The matricule that HR gave up.")],
    new: Annotated[str, typer.Option("--to", metavar="MATRICULE", help="The matricule that replaces it.")],
    options: EditOptions,
) -> int:
    """Give a person another matricule of HR. The account stays as it is.

    Write a matricule of a source with a namespace of its own as NAMESPACE:MATRICULE.

    Example: piactl account rekey claire.dubreuil --from 1001 --to 2001 --reason "new in HR"
    """
    command = begin(options)
    return command.decide(lambda store: prepare_rekey(store, account, old, new, command.author))


@with_shared_options
def merge(
    source: Annotated[str, typer.Argument(metavar="FROM", help="The account that ends.")],
    into: Annotated[str, typer.Argument(metavar="INTO", help="The account that remains.")],
    options: EditOptions,
    administrator: Annotated[
        bool, typer.Option("--administrator", help="Merge protected accounts too.")
    ] = False,
    despite: Annotated[
        list[str] | None,
        typer.Option(
            "--despite",
            metavar="WHAT",
            help="Merge although this differs: birth-date, numen or name; can be repeated.",
        ),
    ] = None,
    out: Annotated[
        str,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Write the plan of the merge to a file for `approve`; change nothing.",
        ),
    ] = "",
) -> int:
    """Merge two accounts of one person.

    INTO gets the matricules, assignments, exceptions and overrides of both, and the addresses of FROM lead
    to it. The password and devices of FROM end; only its uid stays, and names INTO. After a crash the next
    night or command finishes the merge. `undo` reverts it, except for password and devices.

    First the command compares the two people. If their birth dates, NUMENs or names differ, it refuses, and
    asks for --despite with each of these.

    If the policy asks for two people (`approvals`), write the plan with --out, let another person approve
    it, then apply it with `apply FILE`.

    Example: piactl account merge claire.martin claire.dubreuil --despite name --reason "one person"
    """
    differing = frozenset(despite or ())
    for word in differing - {BIRTH_DATE, NUMEN_WORD, NAME}:
        raise UsageError(Phrase("--despite {word}: birth-date, numen or name is expected", word=word))
    command = begin(options)
    settings = command.configuration.settings
    if not out:
        file = f"{settings.plans_folder}/merge-{command.order.run}.json"
        first = Phrase("To write its plan: {command}\n", command=typed_again((f"--out {shlex.quote(file)}",)))
        return command.decide(
            lambda store: _approvable(
                command,
                *_merge(command, store, source, into, protected=administrator, despite=differing),
                file,
                first=first,
                then=Phrase(
                    "\nThen, as the one who made the plan: piactl apply {file}", file=shlex.quote(file)
                ),
            )
        )
    refuse_output("--out", out, settings.plans_folder)
    with reading(command.configuration, command.manner.reader) as reader:
        store = command.accounts(reader)
        _, ready = _merge(command, store, source, into, protected=administrator, despite=differing)
    write_plan(ready, out)
    say_approval(ready, out)
    say(Phrase("To apply it: piactl apply {out}", out=shlex.quote(out)))
    return int(Exit.DONE)


def _merge(
    command: AccountCommand,
    store: AccountStore,
    source: str,
    into: str,
    *,
    protected: bool,
    despite: Collection[str],
) -> tuple[Batch, ReadyPlan]:
    """The merge of two accounts, and its plan."""
    batch = prepare_merge(store, source, into, command.author, protected=protected, despite=despite)
    plan, configuration = merge_plan(batch, store), command.configuration
    folder, people = Path(configuration.settings.state_folder), command.order.actor.names
    return batch, sealed(plan, configuration.keys, folder, people)


def _approvable(
    command: AccountCommand, batch: Batch, ready: ReadyPlan, file: str, *, first: str = "", then: str = ""
) -> Batch:
    """The batch, with a check of the approvals that its plan needs."""
    rules = command.configuration.policy.approvals
    return replace(
        batch, approval=lambda run: require_approval(run, ready, rules, file, first=first, then=then)
    )


def apply_merge(
    ready: ReadyPlan,
    file: str,
    allow: Sequence[str],
    reason: str,
    output: Form,
    *,
    break_glass: bool,
) -> int:
    """Applies a stored plan of `merge`: makes the same plan again, whose writes need their order. Raises
    ActRefused if it comes out different."""
    first, day = next(iter(ready.writes)), ready.plan.basis.as_of
    source, into = dict.fromkeys(row.uid for row in ready.writes)
    typed = str.__str__(first.reason)  # as a sentence with a form it would make another plan
    command = begin(Manner(typed, yes=True, allow=allow, as_of=day))
    order = replace(command.order, reason=reason or typed, break_glass=break_glass)
    command = replace(command, order=order)

    def prepare(store: AccountStore) -> Batch:
        # the plan says what differs, and comes out another if that has changed
        despite = (BIRTH_DATE, NUMEN_WORD, NAME)
        batch, made = _merge(command, store, source, into, protected=True, despite=despite)
        if made.fingerprint != ready.fingerprint:
            raise ActRefused(
                Phrase(
                    "{file}: an account of this merge has changed since, or somebody else made the plan\n"
                    "Nothing was written. Make it again: piactl account merge {source} {into} {reason} "
                    "--out {out}",
                    file=file,
                    source=source,
                    into=into,
                    reason=REASON,
                    out=file if file != "-" else "FILE",
                )
            )
        return _approvable(command, batch, ready, file)

    batch, result = command.carry_through(prepare)
    error = result.refused or result.error
    if error is not None:
        raise error
    if output is not Form.JSON:
        return finish(batch, result, command.manner, day)
    outcomes = Counter(result.of(account)[0].value for account in batch.accounts)
    for problem in result.late:
        say(problem)
    put_run(run=result.run, status=RunStatus.DONE, outcomes=outcomes)
    return int(Exit.PARTLY if result.late else Exit.DONE)


@with_shared_options
def split(
    account: OneName,
    matricule: Annotated[
        str, typer.Option("--matricule", metavar="MATRICULE", help="The matricule of the other person.")
    ],
    options: EditOptions,
) -> int:
    """Split an account that two people share: one matricule and its assignments get an account of their own.

    ACCOUNT keeps its addresses; the new account gets its name by the rules. Password and devices end: both
    people need an activation password. To reverse a split, merge the new account.

    A number of a supplement that joined the wrong account is taken off with its assignments: no account is
    made, password and devices stay, and it does not join that account again by itself.

    Example: piactl account split claire.dubreuil --matricule 1999 --reason "two people"
    """
    command = begin(options)
    sources = command.configuration.settings.sources.values()
    return command.decide(lambda store: prepare_split(store, account, matricule, command.author, sources))
