"""Reads the cases of `policy test`: posts and a day, then what is expected."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from piactl.config.schema_validation import hint, read_checked
from piactl.config.strict_yaml import Document, Node, quoted
from piactl.core.explain.policy_test import PolicyCase
from piactl.core.model.person import Assignment, read_uai
from piactl.core.model.policy import Policy


def read_policy_cases(path: Path, policy: Policy) -> list[PolicyCase]:
    """The cases in a file. Raises ConfigurationInvalid with every mistake in it, including services and
    profiles that the policy does not have."""
    document = read_checked(path, "policy-cases")
    cases = [_case(document, node, policy) for node in document.root.at("cases").items()]
    document.refuse_mistakes()
    return cases


def _case(document: Document, node: Node, policy: Policy) -> PolicyCase:
    profiles = {profile.name for profile in policy.profiles}
    for name, valid in (
        *((n, {*policy.services}) for n in ("services", "has", "lacks")),
        ("profiles", profiles),
    ):
        for place in node.at(name).text_nodes():
            word = place.text().partition(":")[0]
            if word not in valid:
                document.mistake(place, f"{name}: the policy has no {quoted(place)}; {hint(word, valid)}")

    def texts(name: str) -> tuple[str, ...]:
        return tuple(node.at(name).texts())

    return PolicyCase(
        name=node.at("case").text(),
        line=node.line,
        posts=tuple(_post(document, post) for post in node.at("posts").items()),
        day=_day(document, node.at("day")) or date.min,
        state=node.at("state").text() or None,
        profiles=texts("profiles") if node.at("profiles").value is not None else None,
        services=texts("services") if node.at("services").value is not None else None,
        has=texts("has"),
        lacks=texts("lacks"),
    )


def _post(document: Document, node: Node) -> Assignment:
    _, why = read_uai(node.at("uai").text())
    if why:
        document.mistake(node.at("uai"), f"uai: {why}")
    return Assignment(
        uai=node.at("uai").text(),
        function=node.at("fonction").text(),
        start=_day(document, node.at("debut")) or date.min,
        end=_day(document, node.at("fin")),
        corps=node.at("corps").text(),
        position=node.at("position").text(),
        discipline=node.at("discipline").text(),
        modality=node.at("modalite").text(),
    )


def _day(document: Document, node: Node) -> date | None:
    if not node.text():
        return None
    try:
        return date.fromisoformat(node.text())
    except ValueError:
        document.mistake(node, f"{quoted(node)} is not a valid date; use YYYY-MM-DD")
        return None
