"""Every command with right, wrong and missing input: the table that `test_every_command.py` goes through.

Words may contain {folder}, a folder of the test, {feed}, a feed that changes nothing, and {new}, a name that
is not taken. `before` are the commands to run first. A wrong input is its words, the text on stdin, the exit
code and a part of the message.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import timedelta

from piactl.cli.framework.application import load_command
from piactl.clock import civil_today
from piactl.core.plan.case import case_id
from piactl.core.rules.matching import Doubt
from tests.story.academy import Academy
from tests.story.feeds import MICHELIS, row

CLAIRE, IDA = "claire.dubreuil", "ida.roy"
NUMEN = "20E9512345XYZ"
TODAY = civil_today("Europe/Paris")
UNTIL = (TODAY + timedelta(days=30)).isoformat()
LATER = (TODAY + timedelta(days=60)).isoformat()
WHY = ("--reason", "appel du proviseur")

Words = tuple[str, ...]
Wrong = tuple[Words, str, int, str]


@dataclass(frozen=True)
class Case:
    """One command. `acting` ones take names, `-` and --dry-run; those with `asks` ask on a terminal."""

    right: Words
    stdin: str = ""
    code: int = 0
    before: tuple[tuple[Words, str], ...] = ()
    wrong: tuple[Wrong, ...] = ()
    missing: Words | None = None
    acting: bool = False
    asks: bool = False


def act(
    words: str,
    *options: str,
    before: tuple[tuple[Words, str], ...] = (),
    wrong: tuple[Wrong, ...] = (),
    reason: bool = True,
    asks: bool = True,
    stdin: str = "",
) -> Case:
    """A command that acts on accounts that are named. `stdin` is for the example in its help."""
    first = tuple(words.split())
    why = WHY if reason else ()
    common: tuple[Wrong, ...] = (
        ((*first, "nobody.here", *options, *why), "", 9, "nobody.here: no account"),
        ((*first, "-", *options, *why), "{\n", 2, "stdin, line 1: neither a name"),
        ((*first, CLAIRE, *options, *why, "-o", "xml"), "", 2, "'xml' is not one of"),
        ((*first, CLAIRE, *options, *why, "--no-such"), "", 2, "No such option"),
        ((*first, CLAIRE, "-o"), "", 2, f"See: piactl {' '.join(first)} --help"),
    )
    if reason:
        common += (((*first, CLAIRE, *options), "", 2, "needs a reason"),)
    right = (*first, CLAIRE, *options, *why)
    return Case(right, stdin, 0, before, (*common, *wrong), first, acting=True, asks=asks)


def load(academy: Academy) -> None:
    """Loads Claire, who has a NUMEN, and Ida, who heads an establishment, both for years. Writes a draft of
    the policy and a case for it."""
    feed_of(academy)
    policy = (academy.sandbox.folder / "policy.yaml").read_text(encoding="utf-8")
    (academy.folder / "draft.yaml").write_text(f"{policy}# draft\n", encoding="utf-8")
    post = '{fonction: ENS, uai: "0800009A", debut: "2026-09-01"}'
    case = f'cases:\n- {{case: a teacher, day: "2026-09-10", state: active, posts: [{post}]}}\n'
    (academy.folder / "policy-cases.yaml").write_text(case, encoding="utf-8")
    day = (TODAY - timedelta(days=3)).isoformat()
    academy.night(day, academy.folder / "hr.csv")


def feed_of(academy: Academy) -> None:
    head = {"matricule": "1999", "prenom": "Ida", "nom_famille": "Roy", "fonction": "DIR", "uai": MICHELIS}
    rows = (row(numen=NUMEN, debut="2020-09-01"), row(**head, debut="2020-09-01"))
    path = academy.feed(*rows, day=(TODAY - timedelta(days=3)).isoformat())
    path.rename(academy.folder / "hr.csv")
    newcomer = row(matricule="2001", prenom="Luc", nom_famille="Kern", numen=NUMEN)
    academy.feed(*rows, newcomer, day=TODAY.isoformat()).rename(academy.folder / "hr-newcomer.csv")


def example_of(words: str) -> Words:
    """The example in the help of a command, with the files, days and ids of the loaded academy."""
    command = load_command()
    for word in words.split():
        command = command.commands[word]
    text = command.epilog.partition("Example:")[2].replace("\\\n", " ")
    first, *example = shlex.split(text)
    assert first == "piactl"
    return tuple(HERE.get(word, word) for word in example)


def filled(words: Words, academy: Academy) -> list[str]:
    folder = str(academy.folder)
    return [w.format(folder=folder, feed=f"{folder}/hr.csv", new=f"{folder}/new") for w in words]


PERIOD = f"{TODAY - timedelta(days=3)}..{TODAY}"
NOBODY = "no account has this uid"
LOCKED = ((("account", "lock", CLAIRE, *WHY), ""),)
CLOSED = ((("account", "close", CLAIRE, "--until", UNTIL, *WHY), ""),)
DENIED = ((("exception", "deny", CLAIRE, "--service", "iprof", "--until", UNTIL, *WHY), ""),)
ENROLLED = ((("otp", "enroll", CLAIRE, "--uri-file", "{folder}/uri"), ""),)
POST = ("--uai", MICHELIS, "--function", "ENS", "--until", UNTIL)
PERSON = ("--family-name", "Petit", "--given-name", "Jules", *POST, "--sponsor", IDA)
MOVE = ("--to", MICHELIS, "--until", UNTIL)

NEWCOMER = case_id(Doubt.SAME_PERSON, "", "2001")
HERE = {
    "2026-10-31": UNTIL, "2026-12-31": LATER, "2026-09-01..2026-09-30": PERIOD, "1f0c9a3e": NEWCOMER,
    "claire.martin": IDA, "rh.csv": "{feed}", "plan.json": "{folder}/p.json", "feeds": "{folder}",
    "policy.yaml": "{folder}/draft.yaml", "draft.yaml": "{folder}/draft.yaml",
    "policy-cases.yaml": "{folder}/policy-cases.yaml", "numen.txt": "-",
    **dict.fromkeys(
        ("piactl", "september", "trial", "rejects.csv", "passwords.csv", "password.csv", "claire.png"),
        "{new}",
    ),
}  # fmt: skip
"""Word of an example -> the word of the loaded academy that replaces it."""
COMES = ((("nightly", "{folder}/hr-newcomer.csv"), ""),)


def decision(answer: str, *before: Words) -> Case:
    """A command that decides a case."""
    return Case(
        ("match", answer, NEWCOMER, *WHY),
        before=(*COMES, *((words, "") for words in before)),
        wrong=(
            (("match", answer, "00000000", *WHY), "", 9, "no such case"),
            (("match", answer, NEWCOMER), "", 2, "needs a reason"),
        ),
        missing=("match", answer),
    )


CASES: dict[str, Case] = {
    "init": Case(
        ("init", "--dir", "{new}"),
        wrong=((("init", "--dir", "{feed}/x"), "", 1, "cannot be made"),),
        asks=True,
    ),
    "plan": Case(
        ("plan", "{feed}"),
        wrong=(
            (("plan", "{new}"), "", 2, "no such file"),
            (("plan", "--as-of", "2026-02-30"), "", 2, "not a valid date"),
            (("plan", "show", "{new}"), "", 2, "cannot be read"),
            (("plan", "show", "{feed}"), "", 1, "is not a plan"),
        ),
    ),
    "rehearse": Case(
        ("rehearse", "--feeds", "{folder}", "--days", PERIOD, "--out", "{new}"),
        wrong=(
            (
                ("rehearse", "--feeds", "{folder}", "--days", "soon", "--out", "{new}"),
                "",
                2,
                "first and the last",
            ),
            (
                ("rehearse", "--feeds", "{new}", "--days", PERIOD, "--out", "{new}"),
                "",
                2,
                "name the one with the feeds",
            ),
        ),
        missing=("rehearse",),
    ),
    "guards suggest": Case(
        ("guards", "suggest"),
        wrong=(
            (("guards", "suggest", "{new}"), "", 2, "has no rehearsal"),
            (("guards", "suggest", "--margin", "0"), "", 2, "from 1 to 100"),
        ),
    ),
    "policy diff": Case(
        ("policy", "diff", "{folder}/draft.yaml", "{folder}/draft.yaml"),
        wrong=(
            (("policy", "diff", "{new}", "{folder}/draft.yaml"), "", 2, "OLD"),
            (("policy", "diff", "{folder}/draft.yaml", "{feed}"), "", 10, "hr.csv"),
            (
                ("policy", "diff", "{folder}/draft.yaml", "{folder}/draft.yaml", "-o", "csv"),
                "",
                2,
                "only with --by",
            ),
        ),
        missing=("policy", "diff"),
    ),
    "policy check": Case(
        ("policy", "check"),
        wrong=(
            (("policy", "check", "--no-such"), "", 2, "No such option"),
            (("policy", "check", "{new}"), "", 2, "no such file"),
        ),
    ),
    "policy test": Case(
        ("policy", "test", "{folder}/policy-cases.yaml"),
        wrong=(
            (("policy", "test", "{new}"), "", 2, "no such file"),
            (("policy", "test", "{feed}"), "", 10, "hr.csv"),
            (("policy", "test", "--policy", "{new}", "{feed}"), "", 2, "no such file"),
        ),
        missing=("policy", "test"),
    ),
    "apply": Case(
        ("apply", "{folder}/p.json"),
        before=((("plan", "--out", "{folder}/p.json"), ""),),
        wrong=(
            (("apply", "{new}"), "", 2, "cannot be read"),
            (("apply", "-"), "[" * 100_000, 1, "is not a plan"),
            (("apply", "-"), '{"fingerprint": "é", "signature": "é"}', 1, "was edited"),
        ),
        missing=("apply",),
    ),
    "approve": Case(
        ("approve", "{folder}/p.json", *WHY),
        before=((("plan", "--out", "{folder}/p.json"), ""),),
        wrong=(
            (("approve", "{new}", *WHY), "", 2, "cannot be read"),
            (("approve", "{folder}/p.json"), "", 2, "needs a reason"),
            (("approve", "-", *WHY), "{}", 1, "is not a plan"),
        ),
        missing=("approve",),
        code=1,  # the operator is not known, or the plan needs no approval
    ),
    "reject": Case(
        ("reject", "{folder}/p.json", *WHY),
        before=((("plan", "--out", "{folder}/p.json"), ""),),
        wrong=(
            (("reject", "{new}", *WHY), "", 2, "cannot be read"),
            (("reject", "{folder}/p.json"), "", 2, "needs a reason"),
        ),
        missing=("reject",),
        code=1,  # the operator is not known, or the plan needs no approval
    ),
    "nightly": Case(
        ("nightly", "{feed}"),
        wrong=(
            (("nightly", "nosuch={feed}"), "", 9, "nosuch"),
            (("nightly", "{new}"), "", 2, "no such file"),
            (("nightly", "--as-of", "9999-12-31"), "", 2, "is not between"),
        ),
    ),
    "undo": Case(
        ("undo", "last", *WHY),
        before=LOCKED,
        wrong=(
            (("undo", "20200101T000000-abcdef", *WHY), "", 9, "no such run"),
            (("undo", "last", "--allow", "lock=²", *WHY), "", 2, "write KIND=N"),
            (("undo", "last"), "", 2, "needs a reason"),
        ),
        missing=("undo",),
        asks=True,
    ),
    "adopt": Case(
        ("adopt", "{feed}"),
        wrong=(
            (("adopt", "{new}"), "", 2, "no such file"),
            (("adopt", "{feed}", "--apply"), "", 2, "needs a reason"),
            (("adopt", "{feed}", "--matricule-attribute", "a)(b"), "", 2, "not the name of an attribute"),
        ),
        missing=("adopt",),
    ),
    "doctor": Case(("doctor",), wrong=((("doctor", "--no-such"), "", 2, "No such option"),)),
    "completion": Case(
        ("completion", "bash"),
        wrong=((("completion", "tcsh"), "", 2, "tcsh"),),
        missing=("completion",),
    ),
    "forecast": Case(
        ("forecast", "--leavers", "30"),
        wrong=(
            (("forecast", "--until", "soon"), "", 2, "not a valid date"),
            (("forecast", "--as-of", "9999-12-31"), "", 2, "is not between"),
            (("forecast", "--leavers", "0", "--list"), "", 2, "--leavers already is a list"),
        ),
    ),
    "why": Case(
        ("why", CLAIRE, "login"),
        wrong=(
            (("why", "nobody.here"), "", 9, NOBODY),
            (("why", CLAIRE, "iporf"), "", 9, "iprof"),
            (("why", "-", "login"), "nobody.here\n" + CLAIRE, 5, NOBODY),
            (("why", CLAIRE, "--as-of", "9999-12-31"), "", 2, "is not between"),
            (("why", CLAIRE, "--run", "none"), "", 9, "none: no such run"),
            (("why", CLAIRE, "iprof", "--run", "last"), "", 2, "goes with an account alone"),
        ),
        missing=("why",),
    ),
    "roles": Case(("roles",), wrong=((("roles", "-o", "xml"), "", 2, "'xml' is not one of"),)),
    "status": Case(("status",), wrong=((("status", "--as-of", "soon"), "", 2, "not a valid date"),)),
    "runs list": Case(("runs", "list"), wrong=((("runs", "list", "--most", "many"), "", 2, "--most"),)),
    "runs rewind": Case(
        ("runs", "rewind", "--to", "2020-01-01", *WHY),
        wrong=(
            (("runs", "rewind", "--to", "2020-01-01"), "", 2, "needs a reason"),
            (("runs", "rewind", "--to", LATER, *WHY), "", 1, "name a day before it"),
        ),
        missing=("runs", "rewind"),
    ),
    "runs show": Case(
        ("runs", "show", "last"),
        wrong=((("runs", "show", "20200101T000000-abcdef"), "", 9, "no such run"),),
        missing=("runs", "show"),
    ),
    "feed check": Case(
        ("feed", "check", "{feed}"),
        wrong=((("feed", "check", "{new}"), "", 2, "no such file"),),
        missing=("feed", "check"),
    ),
    "feed rejects": Case(
        ("feed", "rejects", "{feed}", "--out", "{new}"),
        wrong=((("feed", "rejects", "{new}", "--out", "{new}"), "", 2, "no such file"),),
        missing=("feed", "rejects"),
    ),
    "feed score": Case(
        ("feed", "score"),
        wrong=(
            (("feed", "score", "--source", "none"), "", 2, "no source has this name"),
            (("feed", "score", "--months", "0"), "", 2, "months"),
            (("feed", "score", "{new}"), "", 2, "has no rehearsal"),
        ),
    ),
    "account list": Case(
        ("account", "list"),
        wrong=(
            (("account", "list", "--state", "dead"), "", 2, "is not a state"),
            (("account", "list", "--profile", "ensegnant"), "", 9, "enseignant"),
            (("account", "list", "--as-of", "0001-01-01"), "", 2, "is not between"),
        ),
    ),
    "account show": Case(
        ("account", "show", CLAIRE),
        wrong=(
            (("account", "show", "nobody.here"), "", 9, NOBODY),
            (("account", "show", CLAIRE, "nobody.here"), "", 5, NOBODY),
            (("account", "show", "-"), '{"id": 3}', 2, "neither a name"),
        ),
        missing=("account", "show"),
    ),
    "account create": Case(
        ("account", "create", *PERSON, *WHY),
        wrong=(
            (("account", "create", *PERSON), "", 2, "needs a reason"),
            (
                ("account", "create", *PERSON, *WHY, "--sponsor", "nobody.here"),
                "",
                9,
                "--sponsor nobody.here",
            ),
            (("account", "create", *PERSON, *WHY, "--until", "2020-01-01"), "", 1, "is past"),
            (("account", "create", *PERSON, *WHY, "--uai", "0800010A"), "", 2, "0800010B would be right"),
            (("account", "create", *PERSON, *WHY, "--given-name", "J3"), "", 1, "contains a digit"),
            (
                ("account", "create", *PERSON, *WHY, "--matricule", NUMEN),
                "",
                2,
                "the column matricule contains a NUMEN",
            ),
            (("account", "create", *PERSON, *WHY, "--matricule", "a\x9b"), "", 2, "is not a matricule"),
            (("account", "create", *PERSON, *WHY, "--private-mail", "a\nb"), "", 2, "is not a mail address"),
            (("account", "create", *PERSON, *WHY, "--civilite", "\x1b"), "", 2, "is not a code"),
        ),
        missing=("account", "create", *WHY),
        asks=True,
    ),
    "account rename": Case(
        ("account", "rename", CLAIRE, "--usage-name", "Petit", "--until", UNTIL, *WHY),
        wrong=(
            (("account", "rename", "nobody.here", "--usage-name", "Petit", *WHY), "", 9, NOBODY),
            (("account", "rename", CLAIRE, *WHY), "", 2, "--usage-name"),
            (("account", "rename", CLAIRE, "--usage-name", "Petit", *WHY), "", 1, "add --until DATE"),
            (
                ("account", "rename", CLAIRE, "--usage-name", "\x1b[2J", "--until", UNTIL, *WHY),
                "",
                1,
                "usage",
            ),
        ),
        missing=("account", "rename"),
        asks=True,
    ),
    "account rekey": Case(
        ("account", "rekey", CLAIRE, "--from", "1001", "--to", "2001", *WHY),
        wrong=(
            (("account", "rekey", "nobody.here", "--from", "1", "--to", "2", *WHY), "", 9, NOBODY),
            (("account", "rekey", CLAIRE, "--from", "1001", "--to", "1999", *WHY), "", 1, "account ida.roy"),
            (("account", "rekey", CLAIRE, "--from", "1", "--to", "2", *WHY), "", 1, "it has 1001"),
            (("account", "rekey", CLAIRE, "--from", "1001", "--to", "\x1b", *WHY), "", 2, "--to"),
        ),
        missing=("account", "rekey", CLAIRE, "--from", "1001", *WHY),
        asks=True,
    ),
    "account merge": Case(
        ("account", "merge", "ida.roy", CLAIRE, "--despite", "name", *WHY),
        wrong=(
            (("account", "merge", "ida.roy", CLAIRE, *WHY), "", 1, "--despite name\n"),
            (("account", "merge", "ida.roy", CLAIRE, "--despite", "\x1b", *WHY), "", 2, "is expected"),
            (("account", "merge", "nobody.here", CLAIRE, *WHY), "", 9, NOBODY),
            (("account", "merge", CLAIRE, "nobody.here", *WHY), "", 9, NOBODY),
            (("account", "merge", CLAIRE, "1001", *WHY), "", 1, "the same account"),
            (("account", "merge", CLAIRE, "ida.roy"), "", 2, "needs a reason"),
        ),
        missing=("account", "merge", CLAIRE, *WHY),
        asks=True,
    ),
    "account split": Case(
        ("account", "split", CLAIRE, "--matricule", "1999", *WHY),
        before=((("account", "merge", "ida.roy", CLAIRE, "--despite", "name", *WHY), ""),),
        wrong=(
            (("account", "split", "nobody.here", "--matricule", "1", *WHY), "", 9, NOBODY),
            (("account", "split", CLAIRE, "--matricule", "2001", *WHY), "", 1, "it has 1001"),
            (("account", "split", CLAIRE, "--matricule", "1001", *WHY), "", 1, "only known matricule"),
        ),
        missing=("account", "split", CLAIRE, *WHY),
        asks=True,
    ),
    "account lock": act(
        "account lock",
        wrong=(
            (("account", "lock", CLAIRE, "--until", "9999-12-31", *WHY), "", 2, "is not between"),
            (("account", "lock", CLAIRE, "--until", "2020-01-01", *WHY), "", 1, "past"),
            (("account", "lock", CLAIRE, "--allow", "lock=²", *WHY), "", 2, "write KIND=N"),
        ),
    ),
    "account unlock": act("account unlock", before=LOCKED),
    "account close": act(
        "account close",
        "--until",
        UNTIL,
        wrong=(
            (("account", "close", CLAIRE, *WHY), "", 1, "add --until DATE"),
            (("account", "close", CLAIRE, "--grace", "99999999999", *WHY), "", 2, "--grace"),
            (("account", "close", CLAIRE, "--from", "9999-12-31", *WHY), "", 2, "is not between"),
        ),
    ),
    "account reopen": act("account reopen", before=CLOSED),
    "account extend": act("account extend", "--until", UNTIL, before=CLOSED),
    "account timeline": Case(
        ("account", "timeline", CLAIRE),
        wrong=(
            (("account", "timeline", "nobody.here"), "", 9, NOBODY),
            (("account", "timeline", CLAIRE, "--svg", "{feed}/x"), "", 1, "cannot be written"),
            (("account", "timeline", CLAIRE, "--svg", "{feed}"), "", 1, "already exists; add --force"),
        ),
        missing=("account", "timeline"),
    ),
    "account find": Case(
        ("account", "find", "Dubreuil"),
        wrong=((("account", "find", "Dubreuil", "-o", "xml"), "", 2, "'xml' is not one of"),),
        missing=("account", "find"),
    ),
    "account history": Case(
        ("account", "history", CLAIRE),
        wrong=(
            (("account", "history", "nobody.here"), "", 9, "no such account in the directory or"),
            (("account", "history", CLAIRE, "--from", "0001-01-01"), "", 2, "is not between"),
            (("account", "history", CLAIRE, "--until", "9999-12-31T01:00"), "", 2, "is not between"),
        ),
        missing=("account", "history"),
    ),
    "account export": Case(
        ("account", "export", CLAIRE),
        wrong=(
            (("account", "export", "nobody.here"), "", 9, NOBODY),
            (("account", "export", CLAIRE, "--page", "{feed}"), "", 1, "exists"),
        ),
        missing=("account", "export"),
    ),
    "assignment list": Case(
        ("assignment", "list", "--ending-to", LATER),
        wrong=(
            (
                ("assignment", "list", "--ending-from", LATER, "--ending-to", UNTIL),
                "",
                2,
                "is after --ending-to",
            ),
            (("assignment", "list", "--uai", "0800009B"), "", 2, "the key letter"),
            (("assignment", "list", "--columns", "noms"), "", 2, "is not a column"),
        ),
    ),
    "assignment add": act(
        "assignment add",
        *POST,
        wrong=(
            (("assignment", "add", CLAIRE, *WHY), "", 2, "--uai, --function, --until"),
            (("assignment", "add", CLAIRE, *POST, "--function", "XYZ", *WHY), "", 1, "fits no profile"),
            (("assignment", "add", CLAIRE, *POST, "--corps", "\x1b|\n", *WHY), "", 1, "is not a valid code"),
            (("assignment", "add", CLAIRE, *POST, "--position", "odd", *WHY), "", 1, "not in the policy"),
            (("assignment", "add", CLAIRE, *POST, "--until", "2020-01-01", *WHY), "", 1, "is past"),
        ),
    ),
    "assignment end": act(
        "assignment end",
        "--on",
        UNTIL,
        "--until",
        LATER,
        wrong=(
            (("assignment", "end", CLAIRE, *WHY), "", 2, "add --on"),
            (
                ("assignment", "end", CLAIRE, "--on", UNTIL, "--uai", MICHELIS, *WHY),
                "",
                1,
                "no current or later assignment",
            ),
            (("assignment", "end", CLAIRE, "--on", UNTIL, *WHY), "", 1, "add --until DATE"),
        ),
    ),
    "assignment move": act(
        "assignment move",
        *MOVE,
        wrong=(
            (("assignment", "move", CLAIRE, *WHY), "", 2, "add --to, --until"),
            (
                ("assignment", "move", CLAIRE, *MOVE, "--to", "0800009A", *WHY),
                "",
                1,
                "it is already at 0800009A",
            ),
            (("assignment", "move", CLAIRE, *MOVE, "--from", "0001-01-01", *WHY), "", 2, "is not between"),
        ),
    ),
    "exception grant": act(
        "exception grant",
        "--service",
        "sts",
        "--uai",
        MICHELIS,
        "--until",
        UNTIL,
        wrong=(
            (("exception", "grant", CLAIRE, *WHY), "", 2, "add --service"),
            (("exception", "grant", CLAIRE, "--service", "iporf", "--until", UNTIL, *WHY), "", 9, "iprof"),
            (("exception", "grant", CLAIRE, "--service", "iprof", *WHY), "", 2, "needs an end"),
            (("exception", "grant", CLAIRE, "--service", "sts", "--until", UNTIL, *WHY), "", 2, "add --uai"),
        ),
    ),
    "exception deny": act(
        "exception deny",
        "--service",
        "iprof",
        "--until",
        UNTIL,
        wrong=(
            (
                ("exception", "deny", CLAIRE, "--service", "iprof", "--until", "2020-01-01", *WHY),
                "",
                2,
                "before",
            ),
        ),
    ),
    "exception end": act(
        "exception end",
        "--service",
        "iprof",
        before=DENIED,
        wrong=(
            (("exception", "end", CLAIRE, *WHY), "", 2, "add --service"),
            (
                ("exception", "end", CLAIRE, "--service", "iporf", *WHY),
                "",
                9,
                "and the policy has no such service",
            ),
        ),
    ),
    "exception list": Case(
        ("exception", "list"),
        wrong=((("exception", "list", "--service", "iporf"), "", 9, "iprof"),),
    ),
    "override list": Case(
        ("override", "list"), wrong=((("override", "list", "--as-of", "soon"), "", 2, "not a valid date"),)
    ),
    "override end": act(
        "override end",
        before=CLOSED,
        wrong=((("override", "end", CLAIRE, "--kind", "lock", *WHY), "", 2, "the kinds are"),),
    ),
    "drift list": Case(
        ("drift", "list"), wrong=((("drift", "list", "--as-of", "soon"), "", 2, "not a valid date"),)
    ),
    "drift show": Case(
        ("drift", "show", CLAIRE),
        wrong=((("drift", "show", "nobody.here"), "", 9, "nobody.here: no account"),),
        missing=("drift", "show"),
    ),
    **{
        f"drift {word}": Case(
            ("drift", word, CLAIRE, *options, *WHY),
            # there is nothing to do here: tests/story/test_drift.py has accounts that another program changed
            wrong=(
                (("drift", word, "nobody.here", *options, *WHY), "", 9, "nobody.here: no account"),
                (("drift", word, CLAIRE, *options), "", 2, "needs a reason"),
            ),
            missing=("drift", word),
        )
        for word, options in (("revert", ()), ("adopt", ()), ("override", ("--until", UNTIL)))
    },
    "match list": Case(
        ("match", "list"), wrong=((("match", "list", "--older-than", "x"), "", 2, "'x' is not a number"),)
    ),
    "match show": Case(
        ("match", "show", NEWCOMER),
        before=COMES,
        wrong=((("match", "show", "00000000"), "", 9, "no such case"),),
        missing=("match", "show"),
    ),
    "match same": decision("same"),
    "match different": decision("different"),
    "match wrong-row": decision("wrong-row"),
    "match forget": decision("forget", ("match", "different", NEWCOMER, *WHY)),
    "establishment list": Case(
        ("establishment", "list", "thuillier"),
        wrong=(
            (("establishment", "list", "nowhere"), "", 9, "no establishment of the register"),
            (("establishment", "list", "-o", "xml"), "", 2, "'xml' is not one of"),
        ),
    ),
    "service list": Case(("service", "list"), wrong=((("service", "list", "x"), "", 2, "x"),)),
    "service show": Case(
        ("service", "show", "iprof"),
        wrong=((("service", "show", "iporf"), "", 9, "iprof"),),
        missing=("service", "show"),
    ),
    "profile list": Case(("profile", "list"), wrong=((("profile", "list", "x"), "", 2, "x"),)),
    "profile show": Case(
        ("profile", "show", "enseignant"),
        wrong=((("profile", "show", "ensegnant"), "", 9, "enseignant"),),
        missing=("profile", "show"),
    ),
    "password activate": act(
        "password activate",
        "--administrator",
        "--out",
        "{new}",
        reason=False,
        stdin=f"{NUMEN}\n",
        wrong=(
            (("password", "activate", CLAIRE, IDA, "--out", "{new}"), "", 2, "one account at a time"),
            (("password", "activate", CLAIRE, "--administrator"), "", 2, "never to a pipe"),
            (("password", "activate", CLAIRE, "--administrator", "--out", "{feed}"), "", 1, "already exists"),
            (
                ("password", "activate", CLAIRE, "--administrator", "--out", "{new}/x"),
                "",
                1,
                "cannot be made",
            ),
        ),
    ),
    "password reset": Case(
        ("password", "reset", CLAIRE, "--numen-file", "-", "--out", "{new}"),
        stdin=f"{NUMEN}\n",
        wrong=(
            (("password", "reset", "nobody.here", "--out", "{new}"), "", 9, NOBODY),
            (
                ("password", "reset", CLAIRE, "--out", "{new}"),
                NUMEN,
                2,
                "can only be asked for on a terminal",
            ),
            (("password", "reset", CLAIRE, "--numen-file", "-", "--out", "{new}"), "", 2, "has no line"),
            (
                ("password", "reset", CLAIRE, "--numen-file", "-", "--out", "{new}"),
                "\0\n",
                2,
                "this is not a NUMEN",
            ),
            (
                ("password", "reset", CLAIRE, "--numen-file", "{new}", "--out", "{new}"),
                "",
                2,
                "no such file",
            ),
            (("password", "reset", CLAIRE, IDA, "--out", "{new}"), "", 2, "one account at a time"),
            (("password", "reset", IDA, "--numen-file", "-", "--out", "{new}"), NUMEN, 1, IDA),
            (("password", "reset", CLAIRE, "--without-check", "--out", "{new}"), "", 2, "needs a reason"),
            (("password", "reset", CLAIRE, "--second-person"), "", 2, "needs a reason"),
            (("password", "reset", CLAIRE, IDA, "--second-person", *WHY), "", 2, "is for one account"),
        ),
        missing=("password", "reset"),
    ),
    "password approve": Case(
        ("password", "approve", "2222-2222", "--out", "{new}"),
        code=9,
        wrong=(
            (("password", "approve", "2222-2222", "--out", "{new}"), "", 9, "there is no such request"),
            (("password", "approve", "\x1b)(cn=*", "--out", "{new}"), "", 9, "there is no such request"),
            (("password", "approve", "2222-2222"), "", 2, "never to a pipe"),
        ),
        missing=("password", "approve"),
    ),
    "password requests": Case(
        ("password", "requests"),
        wrong=(
            (("password", "requests", "--withdraw", "2222-2222"), "", 2, "needs a reason"),
            (("password", "requests", "--withdraw", "2222-2222", *WHY), "", 9, "there is no such request"),
        ),
    ),
    "password unblock": act("password unblock", reason=False, asks=False),
    "password check": Case(
        ("password", "check", CLAIRE),
        stdin="quatre chats gris et lents\n",
        wrong=(
            (("password", "check", "nobody.here"), "x\n", 9, NOBODY),
            (("password", "check", CLAIRE), "", 2, "has no line"),
            (("password", "check", CLAIRE), "Claire2020\n", 1, ""),
            (("password", "check", "--password-file", "{new}"), "", 2, "no such file"),
        ),
    ),
    "otp enroll": act(
        "otp enroll",
        "--uri-file",
        "{new}",
        reason=False,
        wrong=(
            (("otp", "enroll", CLAIRE), "", 2, "never to a pipe"),
            (("otp", "enroll", CLAIRE, "--uri-file", "{feed}"), "", 1, "already exists"),
            (("otp", "enroll", CLAIRE, IDA, "--png", "{new}"), "", 2, "--png is for one account"),
        ),
    ),
    "otp verify": Case(
        ("otp", "verify", CLAIRE, "--proof-file", "-"),
        stdin=f"{NUMEN}\nno code\n",
        code=1,
        before=ENROLLED,
        wrong=(
            (("otp", "verify", "nobody.here"), "123456\n", 9, NOBODY),
            (("otp", "verify", CLAIRE, "--code-file", "{new}"), "", 1, "no device waits"),
        ),
        missing=("otp", "verify"),
    ),
    "otp check": Case(
        ("otp", "check", CLAIRE),
        stdin="123456\n",
        code=1,
        wrong=(
            (("otp", "check", "nobody.here"), "123456\n", 9, NOBODY),
            (("otp", "check", CLAIRE, "--code-file", "{new}"), "", 2, "no such file"),
        ),
        missing=("otp", "check"),
    ),
    "otp approve": Case(
        ("otp", "approve", "2222-2222"),
        stdin="123456\n",
        code=9,
        wrong=((("otp", "approve", "2222-2222"), "123456\n", 9, "there is no such request"),),
        missing=("otp", "approve"),
    ),
    "otp show": Case(
        ("otp", "show", CLAIRE),
        wrong=((("otp", "show", "nobody.here"), "", 9, NOBODY),),
        missing=("otp", "show"),
    ),
    "otp suspend": act("otp suspend", asks=False),
    "otp resume": act("otp resume", "--administrator", asks=False),
    "otp remove": act("otp remove", asks=False, before=ENROLLED),
    "otp resync": Case(
        ("otp", "resync", CLAIRE),
        stdin="²²²²²²\n٣٣٣٣٣٣\n",
        code=1,
        wrong=((("otp", "resync", "nobody.here"), "123456\n123456\n", 9, NOBODY),),
        missing=("otp", "resync"),
    ),
    "key list": Case(("key", "list"), wrong=((("key", "list", "x"), "", 2, "x"),)),
    "key add": Case(
        ("key", "add", *WHY),
        wrong=(
            (("key", "add"), "", 2, "needs a reason"),
            (("key", "add", "--id", "\x1b[2J", *WHY), "", 10, "not the id of a key"),
            (("key", "add", "--id", "k1", *WHY), "", 10, "key k1 already exists"),
        ),
    ),
    "key retire": Case(
        ("key", "retire", "k0", *WHY),
        code=9,
        wrong=(
            (("key", "retire", "k1", *WHY), "", 1, "k1"),
            (("key", "retire", "k1"), "", 2, "needs a reason"),
        ),
        missing=("key", "retire"),
    ),
    "journal show": Case(
        ("journal", "show"),
        wrong=(
            (("journal", "show", "--account", "nobody.here"), "", 9, "no change of this uid fits"),
            (("journal", "show", "--from", "0001-01-01"), "", 2, "is not between"),
            (("journal", "show", "--from", "2026-09-02", "--until", "2026-09-01"), "", 2, "is after"),
        ),
    ),
    "events": Case(
        ("events",),
        wrong=(
            (("events", "--since", "soon"), "", 2, "--since soon: is not the id of an event"),
            (("events", "--since", f"{10**6}.1-{'a' * 16}"), "", 9, "are of another journal"),
            (("events", "--follow", "-o", "csv"), "", 2, "--follow prints ndjson only"),
        ),
    ),
    "journal verify": Case(
        ("journal", "verify"),
        wrong=(
            (("journal", "verify", "{new}"), "", 2, "no such file"),
            (("journal", "verify", "{feed}"), "", 1, "hr.csv"),
            (("journal", "verify", "x" * 5000), "", 2, "no such file"),
            (("journal", "verify", "{feed}", "--syslog", "-"), "", 2, "--syslog goes without a FILE"),
            (("journal", "verify", "--syslog", "{feed}"), "", 1, "there is no head of a journal"),
            (("journal", "verify", "--syslog", "{new}"), "", 2, "no such file"),
        ),
    ),
    "journal export": Case(
        ("journal", "export"),
        wrong=((("journal", "export", "--from", "soon"), "", 2, "--from soon: not a valid date"),),
    ),
    "journal prune": Case(
        ("journal", "prune", "--before", "2020-01-01"),
        wrong=(
            (("journal", "prune", "--before", "soon"), "", 2, "--before soon: not a valid date"),
            (("journal", "prune", "--before", "2100-01-01"), "", 2, "not in the future"),
        ),
        missing=("journal", "prune"),
    ),
    "journal begin": Case(
        ("journal", "begin", *WHY),
        code=1,
        wrong=(
            (("journal", "begin", *WHY), "", 1, "no line of the journal of this host is missing"),
            (("journal", "begin"), "", 2, "needs a reason"),
        ),
        missing=("journal", "begin"),
    ),
    "journal close": Case(
        ("journal", "close", *WHY),
        wrong=((("journal", "close"), "", 2, "needs a reason"),),
        missing=("journal", "close"),
    ),
    "recover": Case(
        ("recover",),
        wrong=(
            (("recover", "--accept"), "", 2, "--accept needs a reason"),
            (("recover", "--accept", *WHY), "", 1, "the directory lacks no run"),
            (("recover", *WHY), "", 2, "--reason needs"),
        ),
    ),
    "sandbox start": Case(
        ("sandbox", "start", "--dir", "{new}"),
        wrong=((("sandbox", "start", "--dir", "{feed}"), "", 1, "hr.csv"),),
    ),
    "sandbox stop": Case(
        ("sandbox", "stop", "--dir", "{new}"),
        before=((("sandbox", "start", "--dir", "{new}"), ""),),
        wrong=((("sandbox", "stop", "--dir", "{feed}"), "", 1, "hr.csv"),),
    ),
    "sandbox status": Case(
        ("sandbox", "status", "--dir", "{new}"),
        before=((("sandbox", "start", "--dir", "{new}"), ""), (("sandbox", "stop", "--dir", "{new}"), "")),
        wrong=((("sandbox", "status", "--dir", "{feed}"), "", 1, "hr.csv"),),
    ),
}
