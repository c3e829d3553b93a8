"""docs/policy.md names every key of the policy, with the defaults of the code."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from piactl.core.model.policy import Service

TOP = Path(__file__).resolve().parents[2]
PAGE = (TOP / "docs" / "policy.md").read_text(encoding="utf-8")
SCHEMA = json.loads((TOP / "schemas" / "json" / "policy.schema.json").read_text(encoding="utf-8"))[
    "properties"
]
KEYS = {
    "policy": {*SCHEMA} - {"version"},
    "accounts": {*SCHEMA["accounts"]["properties"]} - {"domain", "urn"},
    "positions": {*SCHEMA["positions"]["additionalProperties"]["properties"]},
    "services": {*SCHEMA["services"]["additionalProperties"]["properties"]},
    "otp": {"enforced_by"},
}


@pytest.mark.parametrize(("section", "keys"), KEYS.items(), ids=[*KEYS])
def test_every_key_is_named(section: str, keys: set[str]) -> None:
    assert keys
    assert {key for key in keys if not re.search(rf"`{key}\b", PAGE)} == set(), section


def test_defaults_of_services_are_those_of_the_code() -> None:
    service = Service("x", "X")
    table = PAGE.split("\n## Services\n")[1]
    defaults = {
        key: default.strip("`") for key, default in re.findall(r"^\| `(\w+)` \| (\S+) \|", table, re.M)
    }
    assert (
        defaults.items()
        >= {
            "scope": "establishment" if service.per_establishment else "person",
            "meanwhile": "keep" if service.keep else "none",
            "grant_delay": str(service.grant_delay),
            "handover": str(service.handover),
            "in_grace": str(service.in_grace).lower(),
            "otp": service.otp,
            "profiles": "all" if service.profiles is None else "",
            "mutation_delay": "grant_delay",
        }.items()
    )
