"""Text that is meant to harm a terminal, a spreadsheet or a parser, in every command: escaped for people,
neutral in csv, exact in json. It never causes a bug, and a refused command never writes it."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import unicodedata
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from typing import Any
from unittest.mock import patch
from xml.dom import minidom

import pytest

from tests.outside import Exit, run
from tests.story.academy import Academy, Ran, prepared
from tests.story.feeds import MICHELIS

from .command_cases import CLAIRE, IDA, LATER, UNTIL, WHY, load

PIECES = (
    "\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "\x85", "\x00", "\x7f", "\u202e", "\u2066", "\u200b",
    "\ufeff", "\u2028", "\xad", "\U000e0041", "\ue000", "[/x]", "[bold]", "[link=http://x]", "{uid}",
    "%s", "$(id)", "`id`", "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n", "\r\n", "\r", "\\",
    "\\n", '"', "'", ";", "|", ",", "*", "(", ")(uid=*", "\x1b", "é", "œ", "ﬁ", "𝒳", "А", "<script>",
    "&amp;", "-->", "{", "[", '{"uid":', "²", "٣", "--help", "-", "..", "/", "\udce9", "\udcff\udc80",
    "a" * 300, "\u202e" * 50, "x" * 5000,
)  # fmt: skip
CONTROL = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}

# {} is the text; stdin follows a bar
TEMPLATES = (
    """
account show {}
account show - | {}
account list --uai {}
account list --state {}
account list --profile {}
account timeline {}
account history {}
account export {}
account history C --from {}
account rename {} --usage-name Petit W
account rename C --usage-name {} --until U W D
account rekey {} --from 1001 --to 2001 W
account rekey C --from {} --to 2001 W D
account rekey C --from 1001 --to {} W D
account merge {} C W D
account merge C {} W D
account split C --matricule {} W D
account lock {} W
account lock - W | {}
account lock C W D --until {}
account lock C W D --allow {}
account lock C --reason {} D
account unlock {} W
account close {} W
account reopen {} W
account extend {} --until U W
account extend C --until {} W D
account create --family-name {} --given-name Jules P W D
account create --family-name Petit --given-name {} P W D
CREATE --sponsor {}
CREATE --civilite {}
CREATE --private-mail {}
CREATE --matricule {}
CREATE --corps {}
CREATE --function {}
CREATE --uai {}
assignment add {} P W
assignment add C P W D --function {}
assignment add C P W D --corps {}
assignment add C P W D --position {}
assignment end C --on U --until L W D --uai {}
assignment move C --to {} --until U W D
assignment move C --to M --until U W D --function {}
exception grant C --service {} --until U W D
exception grant C --service sts --uai {} --until U W D
exception deny {} --service iprof --until U W
exception end C --service {} W D
exception end C --service iprof --uai {} W D
exception list --service {}
drift list -o {} --as-of {}
drift show {}
drift revert {} W
drift adopt {} W
drift override {} --until {} W
override end {} W
override end C --kind {} W D
service show {}
profile show {}
why {}
why C {}
why - login | {}
forecast --until {}
password activate {} --out F
password activate - --out F | {}
password unblock {}
password unblock - | {}
password check {} | x
password check | {}
password reset IDA --numen-file - --out F | {}
password reset C --numen-file - --out F D | {}
otp enroll {} --uri-file F
otp verify {} | 123456
otp verify C | {}
otp resync C | {}
otp show {}
otp show - | {}
otp suspend {} W
otp resume {} W
otp remove {} W
key add --id {}
key retire {} W
journal show --account {}
journal show --run {}
journal show --author {}
journal show --kind {}
journal show --from {}
events --since {}
journal verify {}
journal verify --syslog {}
journal export --from {}
journal prune --before {}
undo {} W
runs show {}
adopt {}
adopt FEED --matricule-attribute {}
plan show {}
apply {}
plan {}
feed check {}
completion {}
{}
account {}
--config {} account list
account list -o {}
account list --{}
""".strip()
    .replace("CREATE", "account create --family-name Petit --given-name Jules P W D")
    .split("\n")
)


def hostile(seed: int, number: int) -> Iterator[str]:
    dice = random.Random(seed)
    yield from PIECES
    for _ in range(number - len(PIECES)):
        yield "".join(dice.choice(PIECES) for _ in range(dice.randint(1, 4)))


def words_of(template: str, text: str, academy: Academy) -> tuple[list[str], str]:
    line, _, stdin = template.partition(" | ")
    post = ["--uai", MICHELIS, "--function", "ENS", "--until", UNTIL]
    replacements = {
        "C": [CLAIRE], "IDA": [IDA], "M": [MICHELIS], "W": list(WHY), "D": ["--dry-run"], "U": [UNTIL],
        "L": [LATER],
        "P": [*post, "--sponsor", IDA] if line.startswith("account create") else post,
        "F": [str(academy.folder / "new")], "FEED": [str(academy.folder / "hr.csv")],
    }  # fmt: skip
    words = [
        replacement
        for word in line.split()
        for replacement in replacements.get(word, [word.replace("{}", text)])
    ]
    return words, stdin.replace("{}", text)


def harmless(text: str) -> bool:
    return not any(unicodedata.category(c) in CONTROL for c in text.replace("\n", ""))


def tried(academy: Academy, template: str, text: str) -> None:
    words, stdin = words_of(template, text, academy)
    ran = academy.run(*words, stdin=stdin)  # run fails on a bug and on a traceback
    attempt = f"{template!r} with {text[:200]!r}: {ran}"
    assert ran.code in (0, 1, 2, 5, 6, 9, 10), attempt
    assert harmless(ran.err), attempt
    assert harmless(ran.out.replace("\t", "")), attempt  # in a pipe a table is tsv
    assert ran.code == 0 or ran.err or ran.out, attempt
    assert len(ran.err.splitlines()) < 60, attempt


TYPED = (
    ("{}",),
    ("account", "show", "{}"),
    ("why", CLAIRE, "{}"),
    ("undo", "{}"),
    ("exception", "deny", "-{}"),
)


def completed(academy: Academy, typed: tuple[str, ...], text: str) -> None:
    """Completion of what somebody types gives an answer or none, and never an error."""
    words = [word.replace("{}", text) for word in typed]
    out, err = io.StringIO(), io.StringIO()
    place = {"PIACTL_CONFIG": str(academy.sandbox.config)}
    with patch.dict(os.environ, place), redirect_stdout(out), redirect_stderr(err):
        code = run(["--complete", *words])
    assert (code, err.getvalue()) == (Exit.DONE, ""), (words, err.getvalue())
    assert harmless(out.getvalue().replace("\t", "")), (words, out.getvalue())


def through_all(academy: Academy, seed: int, number: int) -> None:
    dice = random.Random(seed)
    order = list(TEMPLATES)
    with academy.nothing_written():
        for count, text in enumerate(hostile(seed, number)):
            completed(academy, TYPED[count % len(TYPED)], text)
            if count % len(order) == 0:
                dice.shuffle(order)
            tried(academy, order[count % len(order)], text)
    assert not (academy.folder / "new").exists()
    assert academy.run("journal", "verify").code == 0


@prepared
def loaded(academy: Academy) -> Academy:
    load(academy)
    return academy


def test_hostile_texts_do_no_harm_in_any_command(loaded: Academy) -> None:
    assert len(TEMPLATES) <= 125
    through_all(loaded, 1, 125)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10, 20))
def test_5000_hostile_texts_do_no_harm_in_any_command(loaded: Academy, seed: int) -> None:
    through_all(loaded, seed, 500)


def test_hostile_account_names_do_no_harm_in_any_command(loaded: Academy) -> None:
    """Each kind of harm in the place where most text comes in: the name of an account."""
    for template in (t for t in TEMPLATES if t.endswith("| {}") or " {} W" in t):
        for text in ("\x1b[2J\u202e", "\udce9", "a\x00b", '{"uid": "\\ud800"}'):
            tried(loaded, template, text)
    for template in ("account show - | {}", "account lock - W | {}", "account lock {} W", "why - login | {}"):
        tried(loaded, template, '{"a":' * 50_000)


def some_of(texts: tuple[str, ...]) -> list[Any]:
    """Every second text; the others are for long runs."""
    return [
        pytest.param(text, id=str(number), marks=[pytest.mark.long] * (number % 2))
        for number, text in enumerate(texts)
    ]


REASONS = (
    "=HYPERLINK(\"http://x\")\x1b[2J a|b;c\\d\x00e\x9b", "\u202egnp [/x] [bold]\n+1 \ud7ff𝒳 é ☃",
    "-1\r\n@x\t;", f"  =1 {'x' * 4000} \u200b ",
)  # fmt: skip


@pytest.mark.parametrize("reason", some_of(REASONS))
def test_a_reason_is_exact_in_json_and_harmless_elsewhere(loaded: Academy, reason: str) -> None:
    deny = ("exception", "deny", IDA, "--service", "iprof", "--until", UNTIL, "--reason", reason)
    close = ("account", "close", IDA, "--until", UNTIL, "--reason", reason)
    for words in (("account", "lock", CLAIRE, "--reason", reason), deny, close):
        ran = loaded.run(*words)
        assert (ran.code, harmless(ran.out + ran.err)) == (0, True), ran
    places = {
        ("account", "show", CLAIRE): lambda account: account["lock"]["reason"],
        ("exception", "list"): lambda exceptions: exceptions[0]["reason"],
        ("override", "list"): lambda overrides: overrides[0]["reason"],
        ("journal", "show", "--account", CLAIRE): lambda changes: changes[-1]["reason"],
        ("account", "history", CLAIRE): lambda changes: changes[-1]["reason"],
        ("runs", "show", "last"): lambda record: record["reason"],
    }
    for place, reason_in in places.items():
        assert reason_in(loaded.run(*place, "-o", "json").json) == reason, place
        for layout in ("table", "csv", "tsv", "ndjson"):
            shown(loaded.run(*place, "-o", layout), layout)
    for place in (
        ("account", "show", CLAIRE),
        ("why", CLAIRE, "login"),
        ("account", "timeline", CLAIRE),
        ("account", "export", CLAIRE),
        ("runs", "show", "last"),
        ("runs", "list"),
        ("journal", "show"),
        ("events",),
        ("status",),
        ("undo", "last", "--dry-run"),
    ):
        ran = loaded.run(*place)
        assert harmless(ran.out.replace("\t", "") + ran.err), (place, ran)
    assert loaded.run("undo", "last", "--reason", reason).code == 0


def shown(ran: Ran, layout: str) -> None:
    assert ran.code == 0, ran
    if layout != "ndjson":  # whoever pipes it may have a terminal at the end
        assert harmless("".join(ran.out.removeprefix("\ufeff").split("\t"))), (layout, ran.out)
    if layout == "table":
        return
    if layout == "csv":
        for cells in csv.reader(io.StringIO(ran.out)):
            assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells), cells
        for cells in csv.reader(io.StringIO(ran.out), delimiter=";"):  # as a French spreadsheet opens it
            assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells), cells
    elif layout == "tsv":
        head, *rows = ran.out.split("\n")[:-1]
        assert all(row.count("\t") == head.count("\t") for row in rows)
    else:
        assert all(json.loads(line) for line in ran.out.split("\n")[:-1])


NAMES = ("\x1b[2J\u202egnp [/x][bold]é", "=1+1\u200b\u2028<b>&", "A\nB\tC;=1+1", "@x\x9b31m,+2")


@pytest.mark.parametrize("name", some_of(NAMES))
def test_a_name_in_the_directory_is_exact_in_json_and_harmless_elsewhere(loaded: Academy, name: str) -> None:
    """Another tool may have written anything there."""
    loaded.recorded(CLAIRE, displayName=[name], givenName=[name], sn=[name], cn=[name])
    loaded.change(CLAIRE, supannMailPrive=["a;=1+1@example.org"])
    assert loaded.run("account", "close", CLAIRE, "--until", LATER, "--from", UNTIL, *WHY).code == 0
    listed = loaded.run("account", "list", "-o", "json").json
    assert f"{name} {name}" in {account["display_name"] for account in listed}
    for place in (
        ("account", "list"),
        ("forecast", "--leavers", "40", "--private-mail"),
        ("override", "list"),
    ):
        for layout in ("table", "csv", "tsv", "ndjson"):
            ran = loaded.run(*place, "-o", layout)
            shown(ran, layout)
    for words in (
        ("account", "show", CLAIRE),
        ("account", "timeline", CLAIRE),
        ("account", "history", CLAIRE, "-o", "table"),
        ("why", CLAIRE),
        ("why", CLAIRE, "login"),
        ("otp", "show", CLAIRE),
        ("plan",),
    ):
        ran = loaded.run(*words)
        assert ran.code == Exit.DONE, ran
        assert harmless(ran.out.replace("\t", "")), (words, ran)
    completed(loaded, TYPED[1], "claire")
    svg = loaded.run("account", "timeline", CLAIRE, "--svg", "-").out
    assert "<b>" not in svg
    assert minidom.parseString(svg)
