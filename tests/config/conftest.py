"""Files to read, and the mistakes that reading them reports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from piactl.errors import ConfigurationInvalid, Mistake


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str | bytes], Path]:
    def write(content: str | bytes) -> Path:
        path = tmp_path / "piactl-file"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture
def mistakes_of() -> Callable[[Callable[[Path], object], Path], list[Mistake]]:
    def read(reader: Callable[[Path], object], path: Path) -> list[Mistake]:
        with pytest.raises(ConfigurationInvalid) as caught:
            reader(path)
        assert all(mistake.file == str(path) for mistake in caught.value.mistakes)
        assert caught.value.mistakes, "an error without a mistake helps nobody"
        return list(caught.value.mistakes)

    return read
