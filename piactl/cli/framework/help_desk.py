"""What commands of the help desk share: their options, the counts of identity checks, and the requests that
one operator makes and another one decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from piactl.ask.account_views import person_row, posts_on
from piactl.cli.framework.account_command import AccountCommand, Manner, begin
from piactl.cli.framework.configuration import Configuration
from piactl.cli.framework.options import AsAdministrator, DryRun, Reason, ShowOutput, SometimesReason, Yes
from piactl.cli.framework.output import say, say_text
from piactl.cli.framework.terminal import can_ask
from piactl.cli.framework.writing_command import new_order, run_of
from piactl.clock import utc_now
from piactl.core.model.account import Account
from piactl.core.model.settings import IdentityName
from piactl.directory.interfaces import Reader
from piactl.edits.account_store import AccountStore, find_entry
from piactl.errors import UsageError
from piactl.helpdesk.attempt_limits import IdentityChecks
from piactl.helpdesk.second_person import TWO, Requests
from piactl.journal import require_room
from piactl.journal.origin_of_run import known_operator
from piactl.journal.unusable import UnknownOperator
from piactl.phrase import Phrase, joined
from piactl.report.establishment_names import with_names
from piactl.report.plan_text import person_text
from piactl.runs.begin_run import meet_server


@dataclass(frozen=True, slots=True)
class CodeOptions(Manner):
    """The options of a command of the help desk that asks for codes: it acts with the identity of the desk,
    or with the administrator's if asked for. The run leaves no record in the directory, because the desk may
    write none and an undo could not bring a secret back; the journal has everything."""

    reason: SometimesReason = ""
    yes: Yes = False
    output: ShowOutput = None
    recorded: bool = False
    administrator: AsAdministrator = False

    def __post_init__(self) -> None:
        identity = IdentityName.ADMINISTRATOR if self.administrator else IdentityName.DESK
        object.__setattr__(self, "identity", identity)


@dataclass(frozen=True, slots=True)
class DeskOptions(CodeOptions):
    """The options of a command of the help desk that needs a reason only as an administrator."""

    dry_run: DryRun = False


@dataclass(frozen=True, slots=True)
class DeskReasonOptions(DeskOptions):
    """The options of a command of the help desk that always needs a reason."""

    reason: Reason = ""


def say_person(configuration: Configuration, account: Account, day: date) -> None:
    """On a terminal, names the person of an account before a question about them."""
    if can_ask():
        person = person_text(person_row(account, configuration.policy, day))
        line = Phrase("{name}: {text}", name=account.uid, text=person)
        say_text(with_names(line, configuration.register) + "\n")


def say_whom(command: AccountCommand, store: AccountStore, name: str) -> None:
    """On a terminal, names the person before the question for a code. Raises as `find_entry`."""
    if can_ask():
        say_person(command.configuration, find_entry(store, name).account, command.order.as_of)


def say_call_back(configuration: Configuration, account: Account, day: date) -> None:
    """Tells an operator whom to call back, and where."""
    uais = dict.fromkeys(post.uai for post in posts_on(account, configuration.policy, day))
    schools = [configuration.register[uai] for uai in uais if uai in configuration.register]
    numbers = [Phrase("{number} ({name})", number=e.telephone, name=e.name) for e in schools if e.telephone]
    whom = account.display_name or account.uid
    if numbers:
        words = Phrase(
            "Call the school back, {numbers}, and speak to {person}: to nobody in their place",
            numbers=joined(numbers, "{first} and {second}"),
            person=whom,
        )
    else:
        words = Phrase(
            "Call the school back (piactl establishment list {uai}), and speak to {person}: to nobody in "
            "their place",
            uai=next(iter(uais), "UAI"),
            person=whom,
        )
    say(words)


def identity_checks(configuration: Configuration, writer: Any) -> IdentityChecks:
    """The counts of identity checks that `writer`, a Writer, keeps. Each check is a write, and may use up a
    code. Raises what `meet_server` raises, and JournalUnusable, before the first."""
    settings, unreadable = configuration.settings, configuration.unreadable
    meet_server(run_of(configuration, new_order(configuration, None)), writer)
    require_room(settings.journal_file)
    state, timezone = settings.directory.state, configuration.policy.timezone
    return IdentityChecks(writer, state, settings.password, configuration.keys, timezone, unreadable)


def requests_of(configuration: Configuration, reader: Reader) -> Requests:
    state, timezone = configuration.settings.directory.state, configuration.policy.timezone
    return Requests(reader, state, configuration.keys, configuration.unreadable, timezone)


def request_approval(kind: str, names: Sequence[str], manner: Manner, *beside: object) -> int:
    """Requests what `kind` says for one account. Raises UsageError where an option `beside` goes without a
    request."""
    if len(names) != 1 or any(beside) or manner.allow:
        raise UsageError(
            Phrase(
                "--second-person is for one account, and goes with --reason, --dry-run, --yes and -o alone"
            )
        )
    command = begin(manner)
    configuration, order = command.configuration, command.order
    try:
        operator = known_operator(order.actor, TWO)
    except UnknownOperator as error:
        words = Phrase("I cannot do this from here; a colleague calls you back at your school")
        raise UnknownOperator(Phrase("{error}\nTo say: {words}", error=str(error), words=words)) from None
    return command.decide(
        lambda store: requests_of(configuration, store.reader).prepare(
            store,
            configuration.settings.password,
            kind,
            names,
            order.reason,
            operator,
            utc_now(),
            manner.identity,
        )
    )
