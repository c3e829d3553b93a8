"""Reads the cases of `policy test`: posts and a day, then what is expected."""

from __future__ import annotations

from pathlib import Path

from piactl.config.nearest_word import hint
from piactl.config.strict_yaml import Document, Node, quoted
from piactl.config.typed_reading import read_typed
from piactl.core.model.policy import Policy
from piactl.core.model.policy_cases import PolicyCase, PolicyCases
from piactl.phrase import Phrase


def read_policy_cases(path: Path, policy: Policy) -> list[PolicyCase]:
    """The cases in a file. Raises ConfigurationInvalid with every mistake in it, including services and
    profiles that the policy does not have."""
    read, document = read_typed(path, PolicyCases, "policy-cases")
    for case in document.root.at("cases").items():
        _check_names(document, case, policy)
    document.refuse_mistakes()
    return list(read.cases)


def _check_names(document: Document, case: Node, policy: Policy) -> None:
    profiles = {profile.name for profile in policy.profiles}
    for name in ("services", "has", "lacks", "profiles"):
        valid = profiles if name == "profiles" else {*policy.services}
        for place in case.at(name).text_nodes():
            word = place.text().partition(":")[0]
            if word not in valid:
                document.mistake(
                    place,
                    Phrase(
                        "{name}: the policy has no {found}; {hint}",
                        name=name,
                        found=quoted(place),
                        hint=hint(word, valid),
                    ),
                )
