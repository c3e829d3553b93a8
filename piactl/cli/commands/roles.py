"""`roles`: who the caller is for piactl, and what they may do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Annotated, Any

import typer

from piactl.cli.framework.command_table import COMMANDS
from piactl.cli.framework.options import Output
from piactl.cli.framework.output import display, put, say, show_rows
from piactl.cli.framework.start_through_sudo import PROGRAM, groups_of_site
from piactl.errors import Exit
from piactl.host.caller import caller
from piactl.host.roles_of_caller import GROUPS, IDENTITIES, SERVICE_USER, Role, held
from piactl.phrase import Phrase
from piactl.translation import translate, translate_word

COLUMNS = ("role", "yours", "groups", "identities", "commands")


def roles(
    sudoers: Annotated[
        bool,
        typer.Option("--sudoers", help="Print the line of sudoers for the groups of `roles` in piactl.yaml."),
    ] = False,
    output: Output = None,
) -> int:
    """Show who you are for piactl on this host, your roles, and what each role may do.

    A role is named by a Unix group, and root puts people into it. Whoever has none may do nothing here. A
    sandbox, and a configuration that you name with --config, ask for no role.

    --sudoers prints the line that lets the groups of `roles` in piactl.yaml start piactl; root adds it to
    /etc/sudoers.d. The groups of piactl itself need no line: its package has brought their rule.

    Example: piactl roles
    """
    of_site = groups_of_site()
    if sudoers:
        names = dict.fromkeys(f"%{group}" for groups in of_site.values() for group in groups)
        if not names:
            say(Phrase("`roles` of the configuration names no group: the rule of the package is enough"))
            return int(Exit.DONE)
        put([f"{', '.join(names)} ALL = ({SERVICE_USER}) NOPASSWD: {PROGRAM}\n"])
        return int(Exit.DONE)
    mine = held()
    if output is not None:
        show_rows([_row(role, mine, of_site.get(role, ())) for role in Role], COLUMNS, output)
    else:
        display(_sentences(mine, of_site))
    return int(Exit.DONE)


def _sentences(mine: frozenset[Role] | None, of_site: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    if mine is None:
        yield translate(Phrase("this configuration is not that of a host: no role is needed")) + "\n"
        return
    name = caller().name or Phrase("a service (a timer or cron)")
    roles = ", ".join(sorted(mine)) or Phrase("no role")
    yield translate(Phrase("you are {name}: {roles}", name=name, roles=roles)) + "\n"
    identities, commands_of = map(translate_word, ("identities", "commands"))
    for role in sorted(mine):
        row = _row(role, mine, of_site.get(role, ()))
        yield f"{role}\n  {identities:<11} {', '.join(row['identities'])}\n"
        commands = translate_word("all") if role is Role.ROOT else ", ".join(row["commands"])
        yield "\n".join(wrap(f"  {commands_of:<11} {commands}", 100, subsequent_indent=" " * 14)) + "\n"


def _row(role: Role, mine: frozenset[Role] | None, more: tuple[str, ...]) -> dict[str, Any]:
    return {
        "role": role.value,
        "yours": mine is None or role in mine,
        "groups": [*([GROUPS[role]] if role in GROUPS else []), *more],
        "identities": sorted(IDENTITIES[role]),
        "commands": [words for words, line in COMMANDS.items() if role is Role.ROOT or role in line.roles],
    }
