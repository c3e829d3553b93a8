"""Reading any file gives a value or raises ConfigurationInvalid with a place and a message."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from piactl.config.read_policy import read_policy
from piactl.config.read_register import read_register
from piactl.config.read_settings import read_settings
from piactl.config.strict_yaml import Unclear, parse_document
from piactl.core.model.policy import Policy
from piactl.core.model.settings import Settings
from piactl.errors import ConfigurationInvalid
from tests.examples import examples

HERE = Path(__file__).parent
EXAMPLES = {
    read_policy: (HERE / "full_policy.yaml").read_text("utf-8"),
    read_settings: (HERE / "full_configuration.yaml").read_text("utf-8"),
}
BOUNDED = settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

SCALARS = st.one_of(
    st.sampled_from(
        ["051", "010", "no", "on", "12:30", "1_000", "2026-09-01", "~", "", "1e3", "0x1F", ".5", "-1", "<<"]
    ),
    st.sampled_from(
        [
            "*x",
            "&x 1",
            "!!int 3",
            "[]",
            "{}",
            "[a, b]",
            "{a: 1}",
            "{1: 2}",
            "[[[",
            "'",
            '"',
            "@",
            "- a",
            "a: b",
        ]
    ),
    st.integers().map(str),
    st.floats().map(str),
    st.text(max_size=8),
)
YAML_LIKE = st.text(alphabet="abv: -[]{},'\"#&*!|>%@`?~<=\n\t 0189._é\u2028", max_size=80)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def read_or_refuse(reader, path: Path) -> object:
    try:
        return reader(path)
    except ConfigurationInvalid as error:
        mistakes = error.mistakes
    last = len(path.read_bytes().decode("utf-8", "replace").splitlines()) + 1
    assert mistakes
    for mistake in mistakes:
        assert mistake.message.strip()
        assert 0 <= mistake.line <= last
        assert mistake.column >= 0
    return None


@pytest.mark.parametrize("reader", [read_policy, read_settings, read_register])
@BOUNDED
@given(
    content=YAML_LIKE.map(str.encode)
    | st.text(max_size=60).map(lambda t: t.encode("utf-8", "ignore"))
    | st.binary(max_size=60)
)
def test_any_content(tmp_path, reader, content):
    path = tmp_path / "any"
    path.write_bytes(content)
    value = read_or_refuse(reader, path)
    assert value is None or reader is read_register, "such a text cannot be a policy or a configuration"


@pytest.mark.parametrize(("reader", "kind"), [(read_policy, Policy), (read_settings, Settings)])
@BOUNDED
@given(data=st.data())
def test_a_good_file_with_one_value_changed(tmp_path, reader, kind, data):
    lines = EXAMPLES[reader].splitlines()
    number = data.draw(st.integers(0, len(lines) - 1))
    head, colon, _rest = lines[number].partition(": ")
    lines[number] = head + (colon or ": ") + data.draw(SCALARS)
    path = tmp_path / "changed.yaml"
    path.write_text("\n".join(lines), "utf-8", errors="ignore")
    value = read_or_refuse(reader, path)
    assert value is None or isinstance(value, kind)


@pytest.mark.parametrize("reader", [read_policy, read_settings])
@BOUNDED
@given(data=st.data())
def test_a_good_structure_with_one_branch_changed(tmp_path, reader, data):
    root = yaml.safe_load(EXAMPLES[reader])
    place = root
    for _ in range(data.draw(st.integers(0, 4))):
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        inner = [key for key in keys if isinstance(place[key], dict | list) and place[key]]
        if not inner:
            break
        place = place[data.draw(st.sampled_from(inner))]
    keys = list(place) if isinstance(place, dict) else list(range(len(place)))
    place[data.draw(st.sampled_from(keys))] = data.draw(VALUES)
    path = tmp_path / "changed.yaml"
    path.write_text(json.dumps(root), "utf-8")
    value = read_or_refuse(reader, path)
    assert value is None or isinstance(value, Policy | Settings)


@BOUNDED
@given(raw=st.from_regex(r"[-+0-9a-zA-Z._:~=<]{1,12}", fullmatch=True))
def test_an_unquoted_scalar_is_never_converted_by_surprise(raw):
    """Text stays text, and a number is the decimal that is written; other values are not tested."""
    try:
        value = parse_document("f", f"k: {raw}").root.at("k").value
    except ConfigurationInvalid:
        return
    if isinstance(value, bool):
        assert raw == ("true" if value else "false")
    elif isinstance(value, int):
        assert str(value) == raw.replace("-0", "0") if value == 0 else str(value) == raw
    elif isinstance(value, float):
        assert float(raw) == value
        assert not raw.startswith((".", "+", "00"))
    elif isinstance(value, str):
        assert value == raw
        assert yaml.safe_load(f"k: {raw}") == {"k": raw}, "another YAML reader must see the same text"
    elif isinstance(value, Unclear):
        assert value.raw == raw
    elif value is not None:
        assert isinstance(value, dict | list)


@BOUNDED
@given(text=st.text(max_size=30))
def test_quoted_text_stays_text(text):
    written = yaml.safe_dump({"k": text}, default_style='"', allow_unicode=False, width=10_000)
    (entry,) = parse_document("f", written).root.entries()
    assert (entry[0], entry[1].value) == ("k", text)
