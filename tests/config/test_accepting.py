"""The check without jsonschema accepts what jsonschema accepts, for files with random changes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from piactl.config.schema_validation import _validator, accepts, schema
from piactl.config.strict_yaml import parse_document
from piactl.resources import schemas_folder
from tests.examples import examples

HERE = Path(__file__).parent
DOCUMENTS: dict[str, Any] = {
    "policy": parse_document("f", (HERE / "full_policy.yaml").read_text("utf-8")).root.data(),
    "configuration": parse_document("f", (HERE / "full_configuration.yaml").read_text("utf-8")).root.data(),
}
BOUNDED = settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.too_slow])
WORDS = st.sampled_from(
    ["", "all", "none", "person", "establishment", "keep", "0800009A", "08-20", "1D", "iprof", "a\n", "x y"]
)
SCALARS = (
    st.none() | st.booleans() | st.integers(-2, 40) | st.sampled_from((0.0, 0.5, 1.0, 1.5, 10**6)) | WORDS
)
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(WORDS, SCALARS, max_size=2)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in a document."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    pairs = [(value, key) for key in keys]
    return pairs + [place for key in keys for place in places(value[key])]


def near(value: Any) -> st.SearchStrategy[Any]:
    """Values of the same type, most of them right."""
    if isinstance(value, bool):
        return st.booleans()
    if isinstance(value, int):
        return st.integers(-1, 3).map(lambda difference: value + difference)
    if isinstance(value, str):
        return st.sampled_from((value, value + "x", value[:-1], f" {value}"))
    return st.just(copy.deepcopy(value))


@st.composite
def changed(draw: st.DrawFn, document: Any) -> Any:
    """The document with one to three values replaced, removed or added."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        inside, key = draw(st.sampled_from(places(document)))
        edit = draw(st.sampled_from(("near", "near", "near", "replace", "remove", "add")))
        if edit == "near":
            inside[key] = draw(near(inside[key]))
        elif edit == "replace":
            inside[key] = draw(VALUES)
        elif edit == "remove":
            del inside[key]
        elif isinstance(inside, dict):
            inside[draw(WORDS)] = draw(VALUES | st.just(inside[key]))
        else:
            inside.append(draw(VALUES | st.just(inside[key])))
    return document


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_right_document_is_accepted(name: str) -> None:
    assert accepts(schema(name), DOCUMENTS[name])


def test_what_ships_is_accepted() -> None:
    shipped = parse_document(
        "f", (schemas_folder() / "sandbox" / "policy.yaml").read_text("utf-8")
    ).root.data()
    assert accepts(schema("policy"), shipped)


@pytest.mark.parametrize("name", DOCUMENTS)
@BOUNDED
@given(data=st.data())
def test_the_verdict_is_that_of_jsonschema(name: str, data: st.DataObject) -> None:
    document = data.draw(changed(DOCUMENTS[name]))
    assert accepts(schema(name), document) is _validator(name).is_valid(document)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_random_changes_include_valid_and_invalid_documents(name: str) -> None:
    """Right and wrong changes of each document are drawn: both verdicts occur."""
    verdicts: list[bool] = []

    @settings(max_examples=80, deadline=None, database=None, derandomize=True)
    @given(changed(DOCUMENTS[name]))
    def collect(document: Any) -> None:
        verdicts.append(accepts(schema(name), document))

    collect()
    assert 5 < sum(verdicts) < len(verdicts) - 20


def test_an_unknown_keyword_accepts_nothing() -> None:
    assert accepts({"type": "string"}, "a")
    assert not accepts({"type": "string", "format": "date"}, "a")
    assert not accepts({"if": {"format": "date"}, "then": False}, "a")
