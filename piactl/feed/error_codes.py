"""The error codes of feeds, each with its meaning and the next step.

The codes are stable: the rejects file, the summary and the metrics show them, and people filter on them.
The codes of the limits of a source (`older`, `bad-column`, `held` and others) are in
`piactl.core.plan.check_feed_limits`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from piactl.core.plan.check_feed_limits import LEADING_ZEROS
from piactl.errors import FeedRefused
from piactl.phrase import Phrase

_AT_SOURCE = Phrase("HR: correct it in your application, or in the rejects file")
_IN_SET = Phrase("correct it in the application that exports the set")
_EXPORT = Phrase("HR: export the file again")
PERSON_DOUBLED = "person-doubled"
ZEROS_IN_REJECTS = Phrase("HR: type the zeros again, after an apostrophe ('0123456)")

REJECTIONS: Mapping[str, tuple[Phrase, Phrase]] = {
    "empty-row": (
        Phrase("the row is blank"),
        Phrase(
            "the file may go, but no absence counts this night; HR: remove the cause in your application, "
            "not the row by hand: #FIN counts it"
        ),
    ),
    "too-few-fields": (Phrase("the row has fewer fields than the header"), _AT_SOURCE),
    "too-many-fields": (Phrase("the row has more fields than the header"), _AT_SOURCE),
    "bad-quoting": (
        Phrase("a quote is in a place that RFC 4180 does not allow"),
        Phrase("HR: put the whole field between quotes, and double those in it"),
    ),
    "undecodable": (Phrase("bytes are not valid in the configured encoding"), _AT_SOURCE),
    "control-character": (Phrase("a field contains a control character"), _AT_SOURCE),
    "damaged-text": (Phrase("text was damaged by a wrong change of encoding"), _AT_SOURCE),
    "missing-value": (Phrase("a required value is blank"), _AT_SOURCE),
    "bad-former-matricule": (
        Phrase("the column ancien_matricule is not a matricule"),
        Phrase("HR: correct it, or leave it blank"),
    ),
    "bad-matricule": (Phrase("a matricule is 1 to 20 letters and digits"), _AT_SOURCE),
    "leading-zeros": (
        Phrase("the matricule differs from a known one only by leading zeros"),
        Phrase("HR: send the file as it was exported, and open it in no spreadsheet"),
    ),
    "matricule-is-numen": (
        Phrase("the column matricule contains a NUMEN"),
        Phrase("HR: put the matricule there, never the NUMEN"),
    ),
    "bad-numen": (Phrase("a NUMEN has 13 characters such as 01E9501234ABC"), _AT_SOURCE),
    "bad-date": (Phrase("not a valid date"), _AT_SOURCE),
    "month-first": (
        Phrase("the month is written before the day"),
        Phrase("HR: export the file again with the day first"),
    ),
    "date-out-of-range": (Phrase("the date is not plausible"), _AT_SOURCE),
    "end-before-start": (Phrase("fin is before debut"), _AT_SOURCE),
    "birth-after-start": (Phrase("date_naissance is not before debut"), _AT_SOURCE),
    "too-young": (Phrase("date_naissance makes a child of the person"), _AT_SOURCE),
    "bad-uai": (Phrase("a UAI is seven digits and a key letter"), _AT_SOURCE),
    "bad-mail": (Phrase("a private address is one address alone"), _AT_SOURCE),
    "bad-modality": (
        Phrase("modalite is principale, secondaire, suppleance or empty"),
        Phrase("HR: write one of these; administrator: or map it in `values` of the source"),
    ),
    "bad-quotite": (Phrase("quotite is 0 to 100, or a fraction"), _AT_SOURCE),
    "bad-code": (Phrase("a code is short printable text"), _AT_SOURCE),
    "person-contradicts": (Phrase("rows of one person disagree in the person's columns"), _AT_SOURCE),
    "assignment-contradicts": (Phrase("rows of one assignment disagree"), _AT_SOURCE),
    "structure-unknown": (
        Phrase("the set has no such structure"),
        Phrase("ask for a set with this structure"),
    ),
    PERSON_DOUBLED: (Phrase("the set has the person twice, with other content"), _AT_SOURCE),
    "too-many-assignments": (Phrase("one matricule has more rows than one person can have"), _AT_SOURCE),
}
"""Code of a rejected row -> (meaning, next step)."""

REFUSALS: Mapping[str, tuple[Phrase, Phrase]] = {
    "unreadable": (
        Phrase("the file cannot be read"),
        Phrase("administrator: check its name and its permissions"),
    ),
    "not-a-file": (Phrase("not a regular file"), Phrase("save it to a file first")),
    "changed": (
        Phrase("the file changed while it was read"),
        Phrase("HR: send it again when it is complete"),
    ),
    "empty": (Phrase("the file is empty; an empty feed is never valid"), _EXPORT),
    "bom-only": (Phrase("the file contains only a byte order mark"), _EXPORT),
    "header-only": (Phrase("the file has a header but no rows; an empty feed is never valid"), _EXPORT),
    "not-csv": (Phrase("the file is not CSV"), _EXPORT),
    "title-line": (Phrase("line 1 is not the header"), Phrase("HR: remove it")),
    "other-delimiter": (
        Phrase("the fields are apart by another mark"),
        Phrase("administrator: set `delimiter` of the source"),
    ),
    "cr-only": (
        Phrase("lines end with CR alone, as on old Macs"),
        Phrase("HR: save it with Windows or Unix line ends"),
    ),
    "missing-column": (
        Phrase("a required column is missing"),
        Phrase(
            "HR: add it, or give one this name; administrator: or map its name in `columns` of the source"
        ),
    ),
    "doubled-column": (Phrase("a column appears twice in the header"), _EXPORT),
    "bad-constant": (
        Phrase("a constant of the source is wrong"),
        Phrase("administrator: correct `constants` of the source"),
    ),
    "second-header": (
        Phrase("the header appears twice: files were joined"),
        _EXPORT,
    ),
    "cut": (Phrase("the last line has no line end: the file was cut"), _EXPORT),
    "unclosed-quote": (Phrase("a quote is not closed on its line"), _EXPORT),
    "no-trailer": (Phrase("the last line, #FIN, is missing: the file is incomplete"), _EXPORT),
    "bad-trailer": (
        Phrase("the #FIN line is cut or wrong"),
        Phrase("HR: export the file again; your application writes it as #FIN;rows=N;date=AAAA-MM-JJ"),
    ),
    "wrong-count": (Phrase("the number of rows differs from the #FIN line"), _EXPORT),
    "wrong-digest": (Phrase("the content does not match the sha256 of the #FIN line"), _EXPORT),
    "after-trailer": (Phrase("lines follow the #FIN line"), _EXPORT),
    "wrong-encoding": (
        Phrase("the file is not in the configured encoding"),
        Phrase(
            "HR: export the file again, without opening it in a spreadsheet; administrator: or, if every "
            "file is so, set `encoding` of the source"
        ),
    ),
    "too-many-bytes": (
        Phrase("the file is larger than the source allows"),
        Phrase("administrator: check it, then raise `max_bytes`"),
    ),
    "too-many-rows": (
        Phrase("the file has more rows than the source allows"),
        Phrase("administrator: check it, then raise `max_rows`"),
    ),
    "field-too-long": (
        Phrase("a field is longer than the source allows"),
        Phrase("administrator: check it, then raise `max_field`"),
    ),
    "line-too-long": (Phrase("a line is too long"), Phrase("HR: check that it is the CSV file")),
    "bad-archive": (Phrase("the archive is damaged, or made to harm"), _EXPORT),
    "other-archive": (
        Phrase("an archive of a kind that is not read"),
        Phrase("feed its folder, or pack it as .zip or .tgz"),
    ),
    "missing-piece": (Phrase("a file of the set is missing"), Phrase("fetch all files of the set anew")),
    "wrong-checksum": (
        Phrase("a file of the set does not agree with its .md5"),
        Phrase("fetch the set anew, with its .md5"),
    ),
    "mixed-sets": (Phrase("it has files of several sets"), Phrase("feed each set separately")),
    "no-people": (Phrase("the set has no staff (PersEducNat)"), Phrase("feed the whole folder or archive")),
    "no-structures": (
        Phrase("the set has no structures (EtabEducNat)"),
        Phrase("feed the whole folder or archive"),
    ),
    "doubled-structure": (Phrase("a structure is there twice, with two UAIs"), _EXPORT),
    "delta-set": (Phrase("a complete set has requests of a delta"), Phrase("keep its name as delivered")),
    "no-complete-set": (
        Phrase("it is a delta, and this host has no set before it"),
        Phrase("feed the last complete set and every delta after it"),
    ),
    "bad-name": (Phrase("its name is not that of its format"), Phrase("keep its name as delivered")),
    "wrong-perimeter": (
        Phrase("the set is of another académie or degree"),
        Phrase("request the right one, or correct `perimeter`"),
    ),
    "undated": (
        Phrase("neither the name of the set nor its head has a date"),
        Phrase("keep its name as delivered"),
    ),
    "unsafe-xml": (Phrase("the file declares entities or a structure of its own"), _EXPORT),
    "bad-xml": (Phrase("the file is not XML of the form ficAlimMENESR"), _EXPORT),
    "mostly-rejected": (
        Phrase("most rows cannot be read"),
        Phrase("administrator: check the layout of the source"),
    ),
}
"""Code of a refused feed -> (meaning, next step)."""


def rejection_message(
    code: str, detail: str = "", *, of_set: bool = False, corrected: bool = False
) -> Phrase:
    """One line: the problem (`detail`, or else the meaning of the code) and the next step. For a row `of_set`
    the next step differs, because the rejects file of a set, which is XML, cannot be fed; so does that for
    lost zeros in a file of `corrected` rejects, which a spreadsheet may save."""
    meaning, advice = REJECTIONS[code]
    if of_set and advice == _AT_SOURCE:
        advice = _IN_SET
    if corrected and code == LEADING_ZEROS:
        advice = ZEROS_IN_REJECTS
    return Phrase("{problem}; {advice}", problem=detail or meaning, advice=advice)


def held_words(place: str, column: str, message: str, code: str) -> Phrase:
    """Why a rejected row holds its person."""
    return Phrase(
        "{place}: {column}: {message} [{code}]", place=place, column=column, message=message, code=code
    )


Refusal = tuple[str, str]
"""The code of a refused feed, and the message: what is wrong; the next step."""


def refusal(code: str, detail: str = "", step: str = "") -> Refusal:
    """The pair that `FeedRefused` takes; `detail` replaces the meaning of the code, `step` its next step."""
    meaning, advice = REFUSALS[code]
    return code, Phrase("{problem}; {advice}", problem=detail or meaning, advice=step or advice)


def refused(path: Path, code: str, detail: str = "", source: str = "") -> FeedRefused:
    """The error for a feed that is refused for this one reason."""
    return FeedRefused(str(path), [refusal(code, detail)], source)
