"""Files that cannot be read at all, and YAML that is refused: each message says what to do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from piactl.config.read_policy import read_policy
from piactl.config.read_register import read_register
from piactl.config.read_settings import read_settings
from piactl.config.strict_yaml import MAX_BYTES

READERS = [read_policy, read_settings, read_register]

UNUSABLE = [
    (b"", 0, 0, "the file is empty"),
    (b"\xef\xbb\xbf", 0, 0, "the file is empty"),
    (b" \n \n", 0, 0, "the file is empty"),
    (b"a: 1\nb: caf\xe9\n", 2, 7, "not UTF-8; save the file as UTF-8"),
    (b"a: 1\nb: \x1b[31m\n", 2, 4, "a control character; remove it"),
    (b"a: \x00\n", 1, 4, "a control character; remove it"),
]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(("content", "line", "column", "words"), UNUSABLE)
def test_content_that_is_no_text(written, mistakes_of, reader, content, line, column, words):
    (mistake,) = mistakes_of(reader, written(content))
    assert (mistake.line, mistake.column) == (line, column)
    assert words in mistake.message


@pytest.mark.parametrize("reader", READERS)
def test_a_missing_file_a_folder_and_a_pipe_are_reported(tmp_path, mistakes_of, reader):
    (missing,) = mistakes_of(reader, tmp_path / "absent.yaml")
    assert "there is no such file; check the path" in missing.message
    (folder,) = mistakes_of(reader, tmp_path)
    assert "this is a folder" in folder.message
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (not_regular,) = mistakes_of(reader, pipe)
    assert "not a regular file" in not_regular.message
    (too_long,) = mistakes_of(reader, tmp_path / ("x" * 300))
    assert "cannot be read" in too_long.message


def test_a_file_of_more_than_the_limit(written, mistakes_of):
    (mistake,) = mistakes_of(read_policy, written(b"#" * (MAX_BYTES + 1)))
    assert "larger than 1,000,000 bytes" in mistake.message


REFUSED = [
    ("a: &x 1", 1, 4, "anchor &x is not supported"),
    ("a: 1\nb: *x", 2, 4, "alias"),
    ("a: &x 1\nb: *x", 2, 4, "alias *x is not supported; write the value out"),
    ("a: !!str 051", 1, 4, "tag !!str is not supported"),
    ("a: !!python/object/apply:os.system [x]", 1, 4, "tag !!python/object/apply:os.system is not supported"),
    ("a: !x {b: 1}", 1, 4, "tag !x is not supported"),
    ("a: 1\n---\nb: 2", 2, 1, "a second document begins here"),
    ("<<: {a: 1}", 1, 1, "`<<` is not supported"),
    ("a: 1\nb: 2\na: 3", 3, 1, "key a appears twice, first on line 2"),
    ("x: {b: 1, b: 2}", 1, 11, "key b appears twice, first on line 2"),
    ("051: x", 1, 1, 'key 051 must be quoted: "051"'),
    ("on: x", 1, 1, 'key on must be quoted: "on"'),
    ("~: x", 1, 1, 'key ~ must be quoted: "~"'),
    ("? [a, b]\n: x", 1, 3, "a list or mapping cannot be a key; quote it if it is text"),
    ("a:\n\tb: 1\n\tc: 2", 2, 1, "a tab in the indentation; use spaces"),
    ("a:\n\tb: 1\n\tc: 2", 3, 1, "a tab in the indentation; use spaces"),
    ("a: b: c", 1, 5, "quote text that contains `: `"),
    ("a: @b", 1, 4, "a character is not allowed here"),
    ('a: "b', 1, 6, "this is not YAML here"),
    ("a: [1, 2\nb: 3", 2, 2, "this is not YAML here"),
    ("a:\n  - b\n c", 3, 2, "this is not YAML here"),
    ("a: " + "[" * 30, 1, 23, "more than 20 levels deep"),
    ("a: " + "[" * 900, 1, 23, "more than 20 levels deep"),
]


@pytest.mark.parametrize(("text", "line", "column", "words"), REFUSED, ids=[case[0][:40] for case in REFUSED])
@pytest.mark.parametrize("reader", [read_policy, read_settings])
def test_yaml_that_is_refused(written, mistakes_of, reader, text, line, column, words):
    mistakes = mistakes_of(reader, written(f"version: 1\n{text}"))
    assert any((m.line, m.column) == (line + 1, column) and words in m.message for m in mistakes), mistakes


def test_a_byte_order_mark_and_windows_line_ends_are_welcome(tmp_path):
    example = (Path(__file__).parent / "design_policy.yaml").read_bytes()
    (tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbf" + example.replace(b"\n", b"\r\n"))
    (tmp_path / "plain.yaml").write_bytes(example)
    bom, plain = (read_policy(tmp_path / name) for name in ("bom.yaml", "plain.yaml"))
    assert bom.digest != plain.digest
    assert (bom.services, bom.profiles, bom.guards) == (plain.services, plain.profiles, plain.guards)
