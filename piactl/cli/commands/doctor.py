"""`doctor`: checks everything that piactl relies on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from piactl.cli.framework.configuration import (
    SYSTEM_CONFIGURATION,
    configuration_path,
    is_there,
    names_configuration,
    strongest_identity,
    this_configuration,
    use_configured_language,
)
from piactl.cli.framework.open_directory import reading
from piactl.cli.framework.options import Form, Output, read_names
from piactl.cli.framework.output import display, put, say
from piactl.clock import utc_now
from piactl.config.strict_yaml import STDIN
from piactl.directory.same_on_servers import not_arrived
from piactl.directory.store.account_entries import account_dn
from piactl.doctor.examine import examine, examine_policy, exit_code
from piactl.doctor.facts import CheckOutcome
from piactl.edits.account_store import find_entry
from piactl.errors import Exit, UsageError
from piactl.host.private_files import refuse_input, refuse_missing
from piactl.host.secret_files import identity_password
from piactl.journal import who
from piactl.phrase import Phrase, counted, joined
from piactl.report.escaping import shown
from piactl.report.table import rendered
from piactl.translation import translate, translate_word

Problems = Annotated[bool, typer.Option("--problems", help="Show only what is not ok.")]
COLUMNS = ("id", "title", "where", "result", "severity", "found", "meaning", "advice")


def doctor(
    accounts: Annotated[
        list[str] | None, typer.Argument(metavar="[ACCOUNT]...", help="Accounts, for --compare.")
    ] = None,
    output: Output = None,
    strict: Annotated[bool, typer.Option("--strict", help="Treat warnings as errors.")] = False,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="Compare these accounts on all listed servers; check nothing else."),
    ] = False,
    problems: Problems = False,
    canaries: Annotated[
        bool, typer.Option("--canaries", help="Also bind as the accounts of `canaries`, on every server.")
    ] = False,
) -> int:
    """Look for lost data, wrong access, and settings with which a server cannot hold what piactl promises.

    Each check has a permanent number, and says what a failure means and what to do. Nothing is changed, but
    servers may count the binds of --canaries as failed log ins.

    --compare ACCOUNT... compares the values and the state of the password of these accounts on all servers of
    directory.servers instead, once the servers had directory.replication_seconds to catch up.

    Exit codes: 0 no error (with --strict: no warning), 1 an error, 8 no server can be reached, 10
    configuration, policy or secrets cannot be used, or a server is too old. With --compare: 0 equal, 1 a
    server differs or cannot be read.

    Example: piactl doctor -o json
    """
    if compare != bool(accounts):
        raise UsageError(Phrase("--compare needs accounts, and accounts need --compare"))
    if compare:
        return _compare(read_names(accounts or ()), output)
    rows = examine(configuration_path, utc_now, who().host, canaries=canaries)
    return _show(rows, output, strict=strict, problems=problems)


def check(
    draft: Annotated[
        str,
        typer.Argument(
            metavar="[FILE]", help="A draft of the policy, in place of it; - is stdin.", show_default=False
        ),
    ] = "",
    output: Output = None,
    strict: Annotated[bool, typer.Option("--strict", help="Treat warnings as errors.")] = False,
    problems: Problems = False,
) -> int:
    """Check the files of a configuration, without a server.

    That is piactl.yaml, the policy, the register, and the keys and passwords with their modes: the first
    checks of `doctor`. Every mistake of a file is shown. A draft of the policy is checked with the other
    files of the configuration, and alone where there is none. Another configuration than that of this host
    is named before the command: `piactl --config DIR/piactl.yaml policy check`.

    Exit codes: 0 no error (with --strict: no warning), 10 an error.

    Example: piactl policy check draft.yaml
    """
    if draft:
        refuse_input("FILE", draft)
        if draft == "-":
            draft = str(STDIN)
        else:
            refuse_missing(draft)
    if draft and not names_configuration() and not is_there(SYSTEM_CONFIGURATION):
        rows = examine_policy(draft)
    else:
        rows = examine(configuration_path, utc_now, who().host, servers=False, draft=draft)
    return _show(rows, output, strict=strict, problems=problems)


def _show(rows: list[dict[str, str]], output: Form | None, *, strict: bool, problems: bool) -> int:
    use_configured_language()
    if output in (None, Form.TABLE):
        display([doctor_text(rows, problems=problems)], "table")  # it is in the language of people
    else:
        listed = [row for row in rows if row["result"] != CheckOutcome.OK or not problems]
        put(rendered(listed, COLUMNS, output.value))
    return int(exit_code(rows, strict=strict))


def _compare(names: Sequence[str], output: Form | None) -> int:
    configuration = this_configuration()
    directory = configuration.settings.directory
    if len(directory.servers) < 2:
        raise UsageError(Phrase("directory.servers has one server only; there is nothing to compare"))
    with reading(configuration) as reader:
        accounts = configuration.accounts(reader)
        uids = [find_entry(accounts, name).account.uid for name in names]
    expected = {account_dn(directory, uid): () for uid in uids}
    sentences = not_arrived(directory, strongest_identity(configuration), identity_password, expected)
    if output in (None, Form.TABLE):
        for sentence in sentences:
            say(sentence)
        if not sentences:
            say(Phrase("the same on {servers}", servers=counted(len(directory.servers), "server", "servers")))
    else:
        put(rendered([{"difference": sentence} for sentence in sentences], ("difference",), output.value))
    return int(Exit.FAILED if sentences else Exit.DONE)


# ---- the text


_QUIET = ("ok", "skipped")
_INDENT = " " * 14


def doctor_text(rows: Sequence[Mapping[str, str]], *, problems: bool = False) -> str:
    """`rows` as in `-o json`: id, title, where, result, found, meaning, advice. With `problems` only those
    that are not ok, and the counts of all."""
    several = len({row["where"] for row in rows if row["where"]}) > 1
    listed = [row for row in rows if row["result"] != "ok" or not problems]
    lines = [line for row in listed for line in _check_lines(row, several=several)]
    return "\n".join([*lines, *([""] if lines else []), _check_summary(rows)]) + "\n"


def _check_lines(row: Mapping[str, str], *, several: bool) -> list[str]:
    place = [f"[{row['where']}]"] if several and row["where"] else []
    title = joined([row["title"], *place], "{first} {second}")
    found = Phrase("{name}: {text}", name=title, text=row["found"])
    first, *rest = [shown(line.strip()) for line in translate(found).split("\n")]
    lines = [f"{row['id']}  {translate_word(row['result']):<8} {first}"]
    lines += [f"{_INDENT}{line}" for line in rest]
    if row["result"] not in _QUIET:
        lines.append(f"{_INDENT}{shown(translate(row['meaning']))}")
    if row["advice"]:
        lines += [f"{_INDENT}-> {shown(line)}" for line in translate(row["advice"]).split("\n")]
    return lines


def _check_summary(rows: Sequence[Mapping[str, str]]) -> str:
    counts = Counter(row["result"] for row in rows)
    results = [
        counted(counts["error"], "error", "errors"),
        counted(counts["warning"], "warning", "warnings"),
        Phrase("{number} skipped", number=counts["skipped"]),
        Phrase("{number} ok", number=counts["ok"]),
    ]
    listed = joined((words for words in results if not words.startswith("0 ")), "{first}, {second}")
    checks = counted(len(rows), "check", "checks")
    return translate(Phrase("{name}: {text}", name=checks, text=listed))
