"""Two providers for each worker; before every test they are reset to the morning before the night.

What a failed test leaves is kept: see `keep_evidence`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from .providers.pair import Pair, build_pair, ldaps_too


@pytest.fixture(scope="session")
def built_pair() -> Iterator[Pair]:
    pair = build_pair()
    yield pair
    pair.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call" and report.failed:
        keep_evidence(item, report)
    return report


def keep_evidence(item: pytest.Function, report: pytest.TestReport) -> None:
    """Keeps what a failed test leaves in its `tmp_path` before another test resets it: the failure, the
    journal, the state files, and each server's entries, access log and messages."""
    for name in ("pair", "either_pair", "world"):
        if name in item.funcargs:
            folder = Path(item.funcargs["tmp_path"]) / "evidence"
            folder.mkdir()
            (folder / "failure.txt").write_text(
                f"{item.nodeid}\n\n{report.longreprtext}\n\n{report.capstdout}"
            )
            item.funcargs[name].keep(folder)
            report.sections.append(("Evidence", f"kept in {folder}"))


@pytest.fixture
def pair(built_pair: Pair, tmp_path: Path) -> Pair:
    built_pair.reset()
    return built_pair


@pytest.fixture(scope="session")
def built_tls_pair() -> Iterator[Pair]:
    with ldaps_too():
        pair = build_pair(tls=True)
        yield pair
        pair.close()


@pytest.fixture(params=["ldapi", "ldaps"])
def either_pair(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    """Two providers that piactl reaches by ldapi, or by ldaps with a private CA."""
    built: Pair = request.getfixturevalue("built_pair" if request.param == "ldapi" else "built_tls_pair")
    built.reset()
    return built
