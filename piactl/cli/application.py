"""The commands put together."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from piactl import __version__
from piactl.cli import (
    account,
    accountacts,
    assignment,
    doctor,
    exception,
    feed,
    forecast,
    history,
    journal,
    nightly,
    pin,
    plan,
    policyview,
    runs,
    sandbox,
    timeline,
)
from piactl.cli.context import chosen, say
from piactl.errors import Exit

app = typer.Typer(
    name="piactl",
    help="Administers the life of staff accounts in an LDAP directory, from what HR says.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"piactl {__version__}")
        raise typer.Exit


@app.callback()
def front(
    config: Annotated[
        str, typer.Option("--config", envvar="PIACTL_CONFIG", help="The configuration file (piactl.yaml).")
    ] = "",
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Administers the life of staff accounts in an LDAP directory, from what HR says."""
    chosen.config = config


app.command("plan")(plan.plan)
app.command("apply")(plan.apply)
app.command("nightly")(nightly.nightly)
app.command("doctor")(doctor.doctor)
app.command("forecast")(forecast.forecast)
app.add_typer(runs.app, name="runs")
app.add_typer(feed.app, name="feed")
accountacts.register(account.app)
account.app.command("timeline")(timeline.timeline)
account.app.command("history")(history.history)
app.add_typer(account.app, name="account")
app.add_typer(assignment.app, name="assignment")
app.add_typer(exception.app, name="exception")
app.add_typer(pin.app, name="pin")
app.add_typer(policyview.services, name="service")
app.add_typer(policyview.profiles, name="profile")
app.add_typer(journal.app, name="journal")
app.add_typer(sandbox.app, name="sandbox")


# typer brings a click of its own in newer versions and uses the library in older ones: its own exceptions
# lead to the class of all errors of the command line in both
_COMMAND_LINE_ERROR = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


def _wrong_words(error: Any) -> str:
    """What is wrong with the words of the command, and where its help is."""
    # typer shows how it looked at the value
    words = str(error.format_message()).replace(": Value error, ", ": ")
    place = getattr(error, "ctx", None)
    return f"{words}\nSee: {place.command_path if place else 'piactl'} --help"


def application(arguments: list[str]) -> int:
    """Runs the command that the arguments name; its exit code."""
    try:
        result = app(args=arguments, prog_name="piactl", standalone_mode=False)
    except typer.Exit as leave:
        return int(leave.exit_code)
    except typer.Abort:
        return 130
    except Exception as error:
        if not isinstance(error, _COMMAND_LINE_ERROR):
            raise
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()  # type: ignore[attr-defined]
        else:
            say(_wrong_words(error))
        return int(Exit.USAGE)
    return result if isinstance(result, int) else int(Exit.DONE)
