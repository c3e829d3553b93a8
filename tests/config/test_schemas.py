"""The JSON Schemas are valid, match the code, and refuse what they should."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from piactl.config.policy import read_policy
from piactl.config.settings import read_settings
from piactl.core.model.account import State
from piactl.core.model.guard_limits import DEFAULT_GUARDS
from piactl.core.model.policy import ASSIGNMENT_FIELDS, ESTABLISHMENT_FIELDS
from piactl.core.plan.change import GUARD_KINDS, Kind
from piactl.errors import ConfigurationInvalid
from piactl.resources import schemas_folder

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


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every key in a document."""
    paths = []
    entries = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in entries:
        if isinstance(data, dict):
            paths.append((*path, key))
        paths += places(value, (*path, key))
    return paths


def without(data: Any, path: tuple[Any, ...]) -> Any:
    result = copy.deepcopy(data)
    place = result
    for step in path[:-1]:
        place = place[step]
    del place[path[-1]]
    return result


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


PLAN = {
    "fingerprint": "f" * 64,
    "basis": {"feeds": [], "policy": "p", "directory": "d", "as_of": "2026-09-01"},
    "summary": {"create": 1},
    "changes": [
        {
            "kind": "create", "uid": "marie.martin", "matricule": "M1", "before": None,
            "after": {"state": "active"}, "reason": "assigned", "feed": "epp.csv", "line": 2,
            "effective": "2026-09-01",
        }
    ],
    "rejections": [
        {"file": "epp.csv", "line": 3, "column": "uai", "code": "uai", "message": "wrong", "matricule": None}
    ],
    "holds": [{"matricule": "M2", "uid": None, "why": "rejected rows", "code": "rejected"}],
    "absents": [],
    "disagreements": [],
    "contradictions": [],
    "drift": [],
    "refusals": [
        {"guard": "deactivate", "found": 6, "of": 20, "limit": {"max": 5, "share": 0.2}, "scope": "0800009A"}
    ],
    "writes": [],
    "signature": None,
}  # fmt: skip

ACCOUNT = {
    "uid": "marie.martin", "matricule": "M1", "matricules": ["M1"], "merged_into": None,
    "address": "marie.martin@ac-amiens.fr", "aliases": [],
    "display_name": "Marie Martin", "state": "on-leave", "locked": False, "login_from": "2026-09-01",
    "login_until": None, "refused_by": [], "next_due": None, "profiles": ["enseignant"],
    "assignments": [
        {
            "uai": "0800009A", "function": "ENS", "corps": "551", "position": None, "modality": None,
            "start": "2026-09-01", "end": None, "profile": "enseignant",
        }
    ],
    "entitlements": [{"service": "iprof", "uai": None, "from": "2026-09-01", "to": None}],
    "lock": None, "sponsor": None, "cases": [], "held": False,
    "drift": [
        {
            "attribute": "cn", "class": "presentation", "ours": ["Marie Martin"], "theirs": ["M. M."],
            "fate": "reverted", "since": "2026-09-05", "until": None, "by": "", "owner": None,
        }
    ],
}  # fmt: skip

BROKEN = [
    ("plan", ("changes", 0, "kind"), "delete"),
    ("plan", ("changes", 0, "effective"), "01/09/2026"),
    ("plan", ("changes", 0, "line"), 0),
    ("plan", ("basis", "as_of"), None),
    ("plan", ("holds", 0, "why"), None),
    ("plan", ("refusals", 0, "found"), -1),
    ("account", ("state",), "gone"),
    ("account", ("locked",), "no"),
    ("account", ("login_from",), ""),
    ("account", ("assignments", 0, "start"), None),
    ("account", ("assignments", 0, "uai"), ""),
    ("account", ("entitlements", 0, "uai"), ""),
    ("account", ("sn",), "Martin"),
]


@pytest.mark.parametrize(("name", "sample"), [("plan", PLAN), ("account", ACCOUNT)])
def test_a_sample_fits_and_every_field_is_required(name, sample):
    validator = Draft202012Validator(load(name))
    validator.validate(sample)
    for place in places(sample):
        if not {"after", "limit", "summary"} & set(place[:-1]):
            assert not validator.is_valid(without(sample, place)), place


@pytest.mark.parametrize(("name", "path", "value"), BROKEN)
def test_a_broken_sample_does_not_fit(name, path, value):
    sample = copy.deepcopy(PLAN if name == "plan" else ACCOUNT)
    place: Any = sample
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert not Draft202012Validator(load(name)).is_valid(sample)
