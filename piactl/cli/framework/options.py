"""Options that several commands share, and the parsing of their values."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from functools import wraps
from typing import Annotated, Any, get_origin, get_type_hints
from zoneinfo import ZoneInfo

import typer

from piactl.cli.framework.configuration import Configuration, this_configuration, today
from piactl.cli.framework.terminal import print_utf8
from piactl.config.nearest_word import read_establishment
from piactl.core.model.establishment import read_uai
from piactl.core.plan.change import GUARD_KINDS
from piactl.core.text import listed_words, read_json
from piactl.errors import ReasonMissing, UsageError
from piactl.phrase import Phrase, joined
from piactl.translation import read_word


class Form(StrEnum):
    """The forms in which data are printed."""

    TEXT = "text"
    TABLE = "table"
    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"
    TSV = "tsv"
    XLSX = "xlsx"
    HTML = "html"


ROWS = (Form.TABLE, Form.JSON, Form.NDJSON, Form.CSV, Form.TSV, Form.XLSX)


class ImpactGroup(StrEnum):
    """The groups by which the impact of a plan is shown."""

    UAI = "uai"
    PROFILE = "profile"
    SERVICE = "service"
    SOURCE = "source"


def use_form(form: Form) -> Form:
    """Prepares stdout: data for programs are UTF-8, whatever the locale, and a workbook is bytes, as
    `rendered` has them. Raises BadParameter for a workbook on a terminal."""
    if form is Form.XLSX:
        if sys.stdout.isatty():
            raise typer.BadParameter(Phrase("xlsx is a file: add >FILE.xlsx"))
        print_utf8("latin-1")
    elif form not in (Form.TABLE, Form.TEXT):
        print_utf8()
    return form


def _not_one_of(text: str, words: Iterable[str]) -> Phrase:
    return Phrase("{text} is not one of {words}", text=repr(text), words=", ".join(words))


def _output(help_: str, forms: Sequence[Form] = ROWS, *, shown: bool = False) -> Any:
    def read(text: str) -> Form:
        if text not in forms:
            raise typer.BadParameter(_not_one_of(text, forms))
        return use_form(Form(text))

    return typer.Option(
        "-o", "--output", metavar="|".join(forms), help=help_, show_default=shown, parser=read
    )


_OBJECT = (Form.TEXT, Form.JSON)
Output = Annotated[Form | None, _output("The output format; by default a table on a terminal, else tsv.")]
ShowOutput = Annotated[Form | None, _output("The output format; text by default.")]
RunOutput = Annotated[Form, _output("The output format; json is one object.", _OBJECT, shown=True)]
PlanOutput = Annotated[
    Form, _output("The output format; json is the plan that `apply` takes.", _OBJECT, shown=True)
]
PeriodsOutput = Annotated[
    Form, _output("The output format; json has the periods, each with its days.", _OBJECT, shown=True)
]
PageOutput = Annotated[
    Form | None,
    _output("The output format; html is a page with the plan that this host kept.", (*ROWS, Form.HTML)),
]
PlanOrImpact = Annotated[
    Form | None,
    _output(
        "The output format; text by default. json has everything (of `plan`: what `apply` takes). "
        "With --by: a table on a terminal, else tsv.",
        (Form.TEXT, Form.JSON, Form.TABLE, Form.NDJSON, Form.CSV, Form.TSV, Form.XLSX),
    ),
]
Columns = Annotated[
    str,
    typer.Option(
        "--columns",
        metavar="NAME,...",
        help="The columns, in this order. Besides the usual ones: civilite, given_name, family_name, "
        "functions, establishments, establishment_names; of `account list` also services.",
    ),
]
OwnColumns = Annotated[str, typer.Option("--columns", metavar="NAME,...", help="The columns, in this order.")]

FIRST_DAY, LAST_DAY = date(1950, 1, 1), date(2100, 12, 31)
"""The days that options accept, as in feeds. Sums of days then stay inside the calendar."""


def read_date(option: str, text: str) -> date | None:
    """The day of an option, None if it is not given. Raises UsageError."""
    if not text:
        return None
    day = _day(text)
    if day is None:
        given = f"{option} {text}"
        raise UsageError(Phrase("{given}: not a valid date; use {examples}", given=given, examples=_EXAMPLES))
    if not FIRST_DAY <= day <= LAST_DAY:
        raise UsageError(_not_between(option, text))
    return day


def _not_between(option: str, text: str) -> Phrase:
    given = f"{option} {text}"
    return Phrase("{given}: is not between {first} and {last}", given=given, first=FIRST_DAY, last=LAST_DAY)


_EXAMPLES = Phrase("YYYY-MM-DD, DD/MM/YYYY, tomorrow or +30d")
_NEAR = {"yesterday": "-1", "today": "0", "tomorrow": "1"}
_AWAY = re.compile(r"([+-]\d{1,5})[dj]")


def days_away(text: str) -> int | None:
    """The number of days from today to a day such as `tomorrow` or `+30d`; None for another text."""
    away = _AWAY.fullmatch(text)
    number = away[1] if away else _NEAR.get(read_word(text, _NEAR))
    return int(number) if number else None


def _day(text: str) -> date | None:
    """The day that a text names, a near one counted from the day of the policy's timezone."""
    number = days_away(text)
    if number is not None:
        return today(this_configuration()) + timedelta(days=number)
    for form in ("%Y-%m-%d", "%d/%m/%Y"):
        try:
            return datetime.strptime(text, form).date()  # noqa: DTZ007
        except ValueError:
            continue
    return None


DAY_OPTIONS: set[str] = set()
"""The options of the command, and of others, whose values are days."""


def day_option(name: str, help_: str) -> Any:
    """An option whose value is a day."""
    DAY_OPTIONS.add(name)

    def read(text: str) -> date | None:
        return read_date(name, text)

    return typer.Option(name, metavar="DATE", help=help_, parser=read)


def number_option(
    name: str, metavar: str, help_: str, least: int = 0, most: int = 1_000_000, kind: type[float] = int
) -> Any:
    """An option whose value is a number from `least` to `most`, a whole one by default."""

    def read(text: object) -> float:
        try:
            number = kind(str(text))
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            why = Phrase(
                "{text} is not a number from {least} to {most}", text=repr(text), least=least, most=most
            )
            raise typer.BadParameter(why)
        return number

    return typer.Option(name, metavar=metavar, help=help_, parser=read)


def word_option(name: str, words: type[StrEnum], help_: str) -> Any:
    """An option whose value is one of the words."""

    def read(text: str) -> StrEnum:
        if text not in [*words]:
            raise typer.BadParameter(_not_one_of(text, words))
        return words(text)

    return typer.Option(name, metavar="|".join(words), help=help_, parser=read)


def _read_place(option: str, text: str) -> str:
    """The UAI of the establishment that an option gives by UAI or by name, "" if it is not given. Raises
    UsageError."""
    uai, why = read_uai(text) if text else ("", "")
    if uai is None:
        uai, why = read_establishment(text, this_configuration().register)
    if uai is None:
        raise UsageError(Phrase("{name}: {text}", name=option, text=why))
    return uai


def uai_option(help_: str, *names: str) -> Any:
    """An option, `--uai` without `names`, that takes an establishment by UAI or name: its value is the UAI,
    "" if it is not given."""
    names = names or ("--uai",)

    def read(text: str) -> str:
        return _read_place(names[0], text)

    return typer.Option(*names, metavar="UAI", help=help_, parser=read)


By = Annotated[
    ImpactGroup | None,
    word_option(
        "--by", ImpactGroup, "Show the accounts that change by establishment, profile, service or source."
    ),
]
AsOf = Annotated[date | None, day_option("--as-of", "The day of the answer (YYYY-MM-DD); today by default.")]
ActAsOf = Annotated[date | None, day_option("--as-of", "Act as of another day (only for trials).")]
FirstDay = Annotated[date | None, day_option("--from", "The first day (YYYY-MM-DD); today by default.")]
LastDay = Annotated[date | None, day_option("--until", "The last day, inclusive (YYYY-MM-DD).")]
NeededLastDay = Annotated[
    date | None, day_option("--until", "The last day, inclusive (YYYY-MM-DD). [required]")
]
Reason = Annotated[
    str, typer.Option("--reason", help="The reason, in a sentence, for the record. [required]")
]
SometimesReason = Annotated[str, typer.Option("--reason", help="The reason, in a sentence, for the record.")]
"""For commands that need a reason with some of their options only."""
Feeds = Annotated[
    list[str] | None,
    typer.Argument(metavar="FEED", help="Feed files, PATH or SOURCE=PATH.", show_default=False),
]
PlanFile = Annotated[
    str,
    typer.Argument(
        metavar="PLAN", help="The file of a plan, as `plan --out` writes it; - is stdin.", show_default=False
    ),
]
PlanOut = Annotated[
    str, typer.Option("--out", metavar="FILE", help="Also write the plan to a file (mode 0600).")
]
RehearsalDir = Annotated[
    str,
    typer.Argument(
        metavar="DIR",
        help="The folder of a rehearsal; by default the runs in the directory.",
        show_default=False,
    ),
]
_NAME = "A uid, an address, an alias or a matricule"
OneName = Annotated[str, typer.Argument(metavar="ACCOUNT", help=f"{_NAME}.", show_default=False)]


Names = Annotated[
    list[str],
    typer.Argument(
        metavar="ACCOUNT...", help=f"{_NAME}; - reads them from stdin, one per line.", show_default=False
    ),
]
"""The parameter `names` of a command; the function gets them as `read_names` returns them."""
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change; change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Skip confirmation. Guards still apply.")]
Allow = Annotated[
    list[str] | None,
    typer.Option("--allow", metavar="KIND=N", help="Approve a broken guard for exactly N accounts."),
]
AllChanges = Annotated[bool, typer.Option("--all", help="Show every change, not the first few of each kind.")]
AsAdministrator = Annotated[
    bool,
    typer.Option(
        "--administrator",
        help="Act as the administrator instead of the help desk, also on protected accounts.",
    ),
]
SecondPerson = Annotated[
    bool,
    typer.Option(
        "--second-person", help="Request it without a proof of identity; another operator approves it."
    ),
]
AcceptFeed = Annotated[
    list[str] | None,
    typer.Option(
        "--accept-feed",
        metavar="SHA256",
        help="Accept this feed although it exceeds the limits of its source.",
    ),
]


def with_shared_options(command: Callable[..., int]) -> Callable[..., int]:
    """The command with the annotated fields of its parameter `options`, a dataclass, as its last options."""
    parameters = dict(inspect.signature(command, eval_str=True).parameters)
    group = parameters.pop("options")
    hints = get_type_hints(group.annotation, include_extras=True)
    shared = {
        field.name: group.replace(name=field.name, annotation=hints[field.name], default=field.default)
        for field in fields(group.annotation)
        if get_origin(hints[field.name]) is Annotated
    }

    @wraps(command)
    def called(**arguments: Any) -> int:
        return command(
            options=group.annotation(**{name: arguments.pop(name) for name in shared}), **arguments
        )

    parameters |= shared
    called.__dict__["__signature__"] = inspect.Signature([*parameters.values()])
    called.__annotations__ = {name: parameter.annotation for name, parameter in parameters.items()}
    return called


def read_allowed(values: Sequence[str]) -> dict[str, int]:
    """The values of `--allow KIND=N` as numbers by kind. Raises UsageError."""
    allowed: dict[str, int] = {}
    for value in values:
        word, sign, number = value.partition("=")
        kind = read_word(word, GUARD_KINDS)
        if (
            not sign
            or kind not in GUARD_KINDS
            or not (number.isascii() and number.isdigit() and len(number) < 10)
        ):
            raise UsageError(
                Phrase(
                    "--allow {value}: write KIND=N with a kind of guard: {kinds}",
                    value=value,
                    kinds=listed_words(sorted(GUARD_KINDS)),
                )
            )
        allowed[kind] = int(number)
    return allowed


def need_reason(reason: str, why: str, options: Mapping[str, object] | Sequence[object]) -> None:
    """Raises ReasonMissing if `options` that need a reason are given without one."""
    if options and not reason.strip():
        raise ReasonMissing(Phrase('{option} needs a reason: add --reason "..."', option=why))


Since = Annotated[
    str,
    typer.Option(
        "--from", metavar="DATE", help="The first day or time, inclusive (YYYY-MM-DD or YYYY-MM-DDT03:15)."
    ),
]
Until = Annotated[
    str,
    typer.Option(
        "--until", metavar="DATE", help="The last day or time, inclusive (YYYY-MM-DD or YYYY-MM-DDT03:15)."
    ),
]


def read_period(
    configuration: Configuration, since: str, until: str, *, option: str = "--from"
) -> tuple[datetime | None, datetime | None]:
    """The first and last instant of a period, both included, None if not given. Days are in the timezone of
    the policy. `option` is the name of the first option. Raises UsageError with every problem."""
    if not since and not until:
        return None, None
    zone = ZoneInfo(configuration.policy.timezone)
    problems: list[str] = []
    first = _instant(option, since, zone, problems, whole_day=False)
    last = _instant("--until", until, zone, problems, whole_day=True)
    if first and last and first > last:
        problems.append(
            Phrase(
                "--from {first} is after --until {last}; give an earlier first day", first=since, last=until
            )
        )
    if problems:
        raise UsageError(joined(problems, "{first}\n{second}"))
    return first, last


def _instant(
    option: str, text: str, zone: ZoneInfo, problems: list[str], *, whole_day: bool
) -> datetime | None:
    if not text:
        return None
    moment, is_day = _read(text.strip(), zone)
    if moment is None:
        problems.append(
            Phrase(
                "{given}: not a valid date or time; use 2026-09-01T03:15, {examples}",
                given=f"{option} {text}",
                examples=_EXAMPLES,
            )
        )
    elif not FIRST_DAY <= moment.date() <= LAST_DAY:
        problems.append(_not_between(option, text))
    elif is_day and whole_day:
        return moment + timedelta(days=1) - timedelta(milliseconds=1)
    else:
        return moment
    return None


def _read(text: str, zone: ZoneInfo) -> tuple[datetime | None, bool]:
    """The instant, and whether the text is a day without a time."""
    day = _day(text)
    if day is not None:
        return datetime.combine(day, time(), zone), True
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None, False
    return moment if moment.tzinfo else moment.replace(tzinfo=zone), False


_BOM = b"\xef\xbb\xbf"


def read_names(arguments: Sequence[str]) -> list[str]:
    """The names on the command line; `-` reads stdin, one per line: plain, as JSON text, as an object with a
    uid (`account list -o ndjson`), or as a list that piactl prints, with its header. Raises UsageError."""
    names: list[str] = []
    for argument in arguments:
        names += _names_of_stdin() if argument == "-" else [argument]
    return names


def _names_of_stdin() -> Iterator[str]:
    # as bytes, so that the message names the line that is not UTF-8, in any locale
    header: list[str] = []
    separator = ""
    for number, raw in enumerate(sys.stdin.buffer, 1):
        try:
            line = (raw.removeprefix(_BOM) if number == 1 else raw).decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise UsageError(
                Phrase("stdin, line {line}: not valid UTF-8; nothing was changed", line=number)
            ) from None
        # a list that piactl prints: tsv, or a table or csv whose first column is the uid
        separator = separator or ("\t" if "\t" in line else ",| {2,}")
        cells = re.split(separator, line)
        if number == 1 and "uid" in (cells if separator == "\t" else cells[:1]):
            header = cells
        elif header and line:
            if separator == "\t" and len(cells) != len(header):
                raise UsageError(
                    Phrase("stdin, line {line}: other columns than line 1; nothing was changed", line=number)
                )
            yield cells[header.index("uid")]
        elif name := line.strip():
            yield _name_in_json(name, number) if name[0] in '{"' else name


def _name_in_json(line: str, number: int) -> str:
    try:
        value = read_json(line)
        name = value.get("uid") if isinstance(value, dict) else value
        usable = isinstance(name, str) and name.encode() != b""
    except (ValueError, RecursionError):
        usable = False
    if not usable:
        raise UsageError(
            Phrase(
                "stdin, line {line}: neither a name nor a JSON object with a uid; nothing was changed",
                line=number,
            )
        )
    return str(name)
