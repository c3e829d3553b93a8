"""What is shown in French may be typed in French; English stays what it is, and no word means two things."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from piactl.ask.account_views import PERSON_COLUMNS
from piactl.cli.commands import account, assignment, exception, match, runs
from piactl.core.model.account import State
from piactl.core.model.overrides import OverrideKind
from piactl.core.plan.change import GUARD_KINDS
from piactl.core.rules.matching import BIRTH_DATE, NAME, NUMEN_WORD
from piactl.core.text import search_words
from piactl.translation import in_french, read_word
from tests.story.academy import Academy

from .command_cases import CLAIRE, IDA, TODAY, UNTIL, WHY
from .test_every_command import shared  # noqa: F401 - a fixture

WORDS: dict[str, Sequence[str]] = {
    "--state": [state.value for state in State],
    "--allow": GUARD_KINDS,
    "--kind": [kind.value for kind in OverrideKind],
    "--despite": (BIRTH_DATE, NUMEN_WORD, NAME),
    "columns of account list": (*account.COLUMNS, *PERSON_COLUMNS, "services"),
    "columns of exception list": (*exception.COLUMNS, *PERSON_COLUMNS),
    "columns of override list": (*exception.OVERRIDE_COLUMNS, *PERSON_COLUMNS),
    "columns of assignment list": (*assignment.LIST_COLUMNS, *PERSON_COLUMNS),
    "columns of match list": match.CASE_COLUMNS,
    "columns of runs list": runs.COLUMNS,
}


@pytest.mark.parametrize("where", WORDS)
def test_no_word_means_two_things(where: str) -> None:
    words = dict.fromkeys(WORDS[where])
    french = {word: " ".join(search_words(in_french(word))) for word in words}
    assert len(set(french.values())) == len(words), french
    for word in words:
        assert read_word(word, words) == word
        assert read_word(in_french(word), words) == word
        assert read_word(in_french(word).upper(), words) == word
        assert read_word("-".join(search_words(in_french(word))), words) == word


def test_a_word_that_means_none_or_two_stays_as_it_is() -> None:
    assert read_word("dead", ["active"]) == "dead"
    assert read_word("fermeture", ["close", "deactivate"]) == "fermeture"


def test_what_is_shown_may_be_typed(shared: Academy) -> None:  # noqa: F811
    day = (TODAY + timedelta(days=30)).isoformat()
    same = (
        (("account", "list", "--state", "actif"), ("account", "list", "--state", "active")),
        (("account", "list", "--columns", "uid,Adresse,nom"),
         ("account", "list", "--columns", "uid,address,family_name")),
        (("account", "list", "--service", "I-Prof"), ("account", "list", "--service", "iprof")),
        (("account", "list", "--service", "livret SCOLAIRE"), ("account", "list", "--service", "livret")),
        (("account", "list", "--service", "m@gistère"), ("account", "list", "--service", "magistere")),
        (("why", CLAIRE, "connexion"), ("why", CLAIRE, "login")),
        (("why", CLAIRE, "Livret scolaire unique"), ("why", CLAIRE, "livret")),
        (("service", "show", "I-PROF"), ("service", "show", "iprof")),
        (("exception", "list", "--service", "i-prof"), ("exception", "list", "--service", "iprof")),
        (("status", "--as-of", "demain"), ("status", "--as-of", "tomorrow")),
        (("status", "--as-of", "Aujourd'hui"), ("status", "--as-of", "today")),
        (("account", "show", CLAIRE, "--as-of", "+30j"), ("account", "show", CLAIRE, "--as-of", day)),
        (("account", "lock", IDA, "--allow", "verrou=1", "--allow", "mise à jour=1", *WHY, "--dry-run"),
         ("account", "lock", IDA, "--allow", "lock=1", "--allow", "update=1", *WHY, "--dry-run")),
        (("exception", "deny", IDA, "--service", "M@gistère", "--until", "+30j", *WHY, "--dry-run"),
         ("exception", "deny", IDA, "--service", "magistere", "--until", UNTIL, *WHY, "--dry-run")),
        (("journal", "show", "--kind", "création"), ("journal", "show", "--kind", "create")),
    )  # fmt: skip
    for french, english in same:
        ran = shared.run_in_french(*french)
        assert ran.code == 0, (french, ran)
        assert ran == shared.run_in_french(*english)
        assert shared.run(*french, "-o", "json").json == shared.run(*english, "-o", "json").json, "anywhere"


def test_a_message_lists_the_values_in_the_language_shown(shared: Academy) -> None:  # noqa: F811
    for words, listed in (
        (("account", "list", "--state", "mort"), "actif, position restreinte, grâce"),
        (("override", "end", CLAIRE, "--kind", "verrou", *WHY), "ajout, fin, fermeture, nom, maintien"),
        (("account", "lock", CLAIRE, "--allow", "x=1", *WHY), "retrait"),
        (("account", "list", "--columns", "adrese"), "s'agit-il de adresse ?"),
    ):
        ran = shared.run_in_french(*words)
        assert (ran.code, listed in ran.err) == (2, True), ran
