"""The JSON Schemas are valid, match the code, and refuse what they should."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from piactl.config.read_policy import read_policy
from piactl.config.read_settings import read_settings
from piactl.core.model.account import State
from piactl.core.model.guard_limits import DEFAULT_GUARDS
from piactl.core.model.policy import ASSIGNMENT_FIELDS, ESTABLISHMENT_FIELDS
from piactl.core.plan.change import GUARD_KINDS, Kind
from piactl.errors import ConfigurationInvalid
from piactl.shipped_files import schemas_folder
from tests.docs.test_schemas import places, without

HERE = Path(__file__).parent
NAMES = ("configuration", "policy", "policy-cases", "plan", "account")
FULL = {
    "policy": (HERE / "full_policy.yaml", read_policy),
    "configuration": (HERE / "full_configuration.yaml", read_settings),
}


def load(name: str) -> dict[str, Any]:
    return json.loads((schemas_folder() / "json" / f"{name}.schema.json").read_text("utf-8"))


def properties(schema: Any) -> set[str]:
    """Every key that a schema names anywhere."""
    if isinstance(schema, list):
        return set().union(*map(properties, schema), set())
    if not isinstance(schema, dict):
        return set()
    here = set(schema["properties"]) if isinstance(schema.get("properties"), dict) else set()
    return here.union(*map(properties, schema.values()), set())


def keys_of(data: Any) -> set[str]:
    if isinstance(data, list):
        return set().union(*map(keys_of, data), set())
    if not isinstance(data, dict):
        return set()
    return set(data).union(*map(keys_of, data.values()), set())


def loaded(name: str) -> Any:
    # the loader without resolvers leaves 08-20, 051 and the like as text
    path, _reader = FULL[name]
    return yaml.safe_load(path.read_text("utf-8"))


def plain(value: Any) -> Any:
    """A value without its digests, lines and file name, which change with every edit."""
    if dataclasses.is_dataclass(value):
        fields = [
            f.name for f in dataclasses.fields(value) if f.name not in ("digest", "content", "line", "file")
        ]
        return {name: plain(getattr(value, name)) for name in fields}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, tuple) else value


@pytest.mark.parametrize("name", NAMES)
def test_each_schema_is_valid(name):
    schema = load(name)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("name", FULL)
def test_the_full_example_holds_every_key_of_the_schema(name):
    assert properties(load(name)) <= keys_of(loaded(name))


SAME_AS_DEFAULT = {
    ("positions", "activite", "keeps"),
    ("services", "paie", "profiles"),
    ("directory", "identities", "reader", "external"),
}


@pytest.mark.parametrize("name", FULL)
def test_every_key_of_the_full_example_matters(name, tmp_path):
    """Without it reading fails or gives another value: no allowed key is ignored."""
    document = loaded(name)
    _path, reader = FULL[name]
    file = tmp_path / "edited.yaml"
    file.write_text(dump(document), "utf-8")
    expected = plain(reader(file))
    ignored = set()
    for place in places(document):
        file.write_text(dump(without(document, place)), "utf-8")
        try:
            if plain(reader(file)) == expected:
                ignored.add(place)
        except ConfigurationInvalid:
            continue
    assert ignored == {place for place in SAME_AS_DEFAULT if place[0] in document}
    assert len(places(document)) > 60


def dump(data: Any) -> str:
    """YAML with every text in double quotes, as JSON writes it."""
    return json.dumps(data, ensure_ascii=False)


@pytest.mark.parametrize("name", FULL)
def test_the_schema_accepts_the_full_example(name):
    """With days of the year and codes as text, as editors read them."""
    Draft202012Validator(load(name)).validate(yaml.load(FULL[name][0].read_text("utf-8"), TextLoader))


class TextLoader(yaml.SafeLoader):
    """Reads days of the year and the like as text."""


TextLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith("timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def test_enumerations_of_the_schemas_match_the_code():
    policy = load("policy")
    guards = policy["properties"]["guards"]["properties"]
    assert set(guards) - {"periods", "window"} == set(GUARD_KINDS) == set(DEFAULT_GUARDS)
    period = guards["periods"]["additionalProperties"]["properties"]
    assert set(period) - {"from", "to"} == set(GUARD_KINDS)
    assert set(policy["$defs"]["when"]["properties"]) == {*ASSIGNMENT_FIELDS, *ESTABLISHMENT_FIELDS}
    kinds = load("plan")["properties"]["changes"]["items"]["properties"]["kind"]["enum"]
    assert set(kinds) == {kind.value for kind in Kind}
    assert set(load("account")["properties"]["state"]["enum"]) == {state.value for state in State}
