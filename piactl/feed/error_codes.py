"""The error codes of feeds, each with its meaning and the next step.

The codes are stable: the rejects file, the summary and the metrics show them, and people filter on them.
The codes of the limits of a source (`older`, `bad-column`, `held` and others) are in
`piactl.core.plan.feed_limits`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from piactl.errors import FeedRefused

_AT_SOURCE = "correct it in HR, or correct the rejects file and feed it"
_IN_SET = "correct it in the application that exports the set"
_EXPORT = "request a new export"
PERSON_DOUBLED = "person-doubled"

REJECTIONS: Mapping[str, tuple[str, str]] = {
    "empty-row": ("the row is blank", "remove it"),
    "too-few-fields": ("the row has fewer fields than the header", _AT_SOURCE),
    "too-many-fields": ("the row has more fields than the header", _AT_SOURCE),
    "bad-quoting": (
        "a quote is in a place that RFC 4180 does not allow",
        "quote the whole field and double its quotes",
    ),
    "undecodable": ("bytes are not valid in the configured encoding", _AT_SOURCE),
    "control-character": ("a field contains a control character", _AT_SOURCE),
    "damaged-text": ("text was damaged by a wrong change of encoding", _AT_SOURCE),
    "missing-value": ("a required value is blank", _AT_SOURCE),
    "bad-former-matricule": (
        "the column ancien_matricule is not a matricule",
        "correct it in HR, or leave it blank",
    ),
    "bad-matricule": ("a matricule is 1 to 20 letters and digits", _AT_SOURCE),
    "leading-zeros": (
        "the matricule differs from a known one only by leading zeros",
        "ask for the file as it was exported, and open it in no spreadsheet",
    ),
    "matricule-is-numen": ("the column matricule contains a NUMEN", "check the columns of the source"),
    "bad-numen": ("a NUMEN has 13 characters such as 01E9501234ABC", _AT_SOURCE),
    "bad-date": ("not a valid date", _AT_SOURCE),
    "date-out-of-range": ("the date is not plausible", _AT_SOURCE),
    "end-before-start": ("fin is before debut", _AT_SOURCE),
    "birth-after-start": ("date_naissance is not before debut", _AT_SOURCE),
    "too-young": ("date_naissance makes a child of the person", _AT_SOURCE),
    "bad-uai": ("a UAI is seven digits and a key letter", _AT_SOURCE),
    "bad-mail": ("a private address is one address alone", _AT_SOURCE),
    "bad-modality": (
        "modalite is principale, secondaire, suppleance or empty",
        "map it in `values` of the source",
    ),
    "bad-quotite": ("quotite is 0 to 100, or a fraction", _AT_SOURCE),
    "bad-code": ("a code is short printable text", _AT_SOURCE),
    "person-contradicts": ("rows of one person disagree in the person's columns", _AT_SOURCE),
    "assignment-contradicts": ("rows of one assignment disagree", _AT_SOURCE),
    "structure-unknown": ("the set has no such structure", "ask for a set with this structure"),
    PERSON_DOUBLED: ("the set has the person twice, with other content", _AT_SOURCE),
    "too-many-assignments": ("one matricule has more rows than one person can have", _AT_SOURCE),
}
"""Code of a rejected row -> (meaning, next step)."""

REFUSALS: Mapping[str, tuple[str, str]] = {
    "unreadable": ("the file cannot be read", "check its name and its permissions"),
    "not-a-file": ("not a regular file", "save it to a file first"),
    "changed": ("the file changed while it was read", "feed it again when it is complete"),
    "empty": ("the file is empty; an empty feed is never valid", _EXPORT),
    "bom-only": ("the file contains only a byte order mark", _EXPORT),
    "header-only": ("the file has a header but no rows; an empty feed is never valid", _EXPORT),
    "not-csv": ("the file is not CSV", "save it as CSV UTF-8"),
    "title-line": ("line 1 is not the header", "remove it"),
    "other-delimiter": ("the fields are apart by another mark", "set `delimiter` of the source"),
    "cr-only": (
        "lines end with CR alone, as on old Macs",
        "save it with Windows or Unix line ends",
    ),
    "missing-column": (
        "a required column is missing",
        "add it, or map it in `columns` of the source",
    ),
    "doubled-column": ("a column appears twice in the header", _EXPORT),
    "bad-constant": ("a constant of the source is wrong", "correct `constants` of the source"),
    "second-header": ("the header appears twice: files were joined", "feed each file separately"),
    "cut": ("the last line has no line end: the file was cut", _EXPORT),
    "unclosed-quote": ("a quote is not closed on its line", _EXPORT),
    "no-trailer": ("the last line, #FIN, is missing: the file is incomplete", _EXPORT),
    "bad-trailer": ("the #FIN line is cut or wrong", "write it as #FIN;rows=N;date=AAAA-MM-JJ"),
    "wrong-count": ("the number of rows differs from the #FIN line", _EXPORT),
    "wrong-digest": ("the content does not match the sha256 of the #FIN line", _EXPORT),
    "after-trailer": ("lines follow the #FIN line", _EXPORT),
    "wrong-encoding": (
        "the file is not in the configured encoding",
        "save it in this encoding, or set `encoding` of the source",
    ),
    "too-many-bytes": ("the file is larger than the source allows", "check it, then raise `max_bytes`"),
    "too-many-rows": ("the file has more rows than the source allows", "check it, then raise `max_rows`"),
    "field-too-long": ("a field is longer than the source allows", "check it, then raise `max_field`"),
    "line-too-long": ("a line is too long", "check that this is a CSV file"),
    "bad-archive": ("the archive is damaged, or made to harm", _EXPORT),
    "other-archive": (
        "an archive of a kind that is not read",
        "feed its folder, or pack it as .zip or .tgz",
    ),
    "missing-piece": ("a file of the set is missing", "fetch all files of the set anew"),
    "wrong-checksum": ("a file of the set does not agree with its .md5", "fetch the set anew, with its .md5"),
    "mixed-sets": ("it has files of several sets", "feed each set separately"),
    "no-people": ("the set has no staff (PersEducNat)", "feed the whole folder or archive"),
    "no-structures": ("the set has no structures (EtabEducNat)", "feed the whole folder or archive"),
    "doubled-structure": ("a structure is there twice, with two UAIs", _EXPORT),
    "delta-set": ("a complete set has requests of a delta", "keep its name as delivered"),
    "no-complete-set": (
        "it is a delta, and this host has no set before it",
        "feed the last complete set and every delta after it",
    ),
    "bad-name": ("its name is not that of its format", "keep its name as delivered"),
    "wrong-perimeter": (
        "the set is of another académie or degree",
        "request the right one, or correct `perimeter`",
    ),
    "undated": ("neither the name of the set nor its head has a date", "keep its name as delivered"),
    "unsafe-xml": ("the file declares entities or a structure of its own", _EXPORT),
    "bad-xml": ("the file is not XML of the form ficAlimMENESR", _EXPORT),
    "mostly-rejected": ("most rows cannot be read", "check the layout of the source"),
}
"""Code of a refused feed -> (meaning, next step)."""


def rejection_message(code: str, detail: str = "", *, of_set: bool = False) -> str:
    """One line: the problem (`detail`, or else the meaning of the code) and the next step. For a row `of_set`
    the next step differs, because the rejects file of a set, which is XML, cannot be fed."""
    meaning, advice = REJECTIONS[code]
    if of_set and advice == _AT_SOURCE:
        advice = _IN_SET
    return f"{detail or meaning}; {advice}"


Refusal = tuple[str, str]
"""The code of a refused feed, and the message: what is wrong; the next step."""


def refusal(code: str, detail: str = "", step: str = "") -> Refusal:
    """The pair that `FeedRefused` takes; `detail` replaces the meaning of the code, `step` its next step."""
    meaning, advice = REFUSALS[code]
    return code, f"{detail or meaning}; {step or advice}"


def refused(path: Path, code: str, detail: str = "", source: str = "") -> FeedRefused:
    """The error for a feed that is refused for this one reason."""
    return FeedRefused(str(path), [refusal(code, detail)], source)
