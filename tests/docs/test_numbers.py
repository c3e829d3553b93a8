"""The numbers in the documents are those of the code and of the example configuration."""

from __future__ import annotations

from pathlib import Path

from piactl.config.settings import read_settings
from piactl.core.credentials import proofs_and_backoff as backoff
from piactl.core.model.settings import Settings

DOCS = Path(__file__).resolve().parents[2] / "docs"
UNDO, SECRETS = (
    " ".join((DOCS / name).read_text("utf-8").split())
    for name in ("undo.md", "passwords-and-one-time-codes.md")
)
"""The pages as one line each."""


def test_the_documented_days_of_undo_match_the_settings() -> None:
    settings = read_settings(DOCS.parent / "examples" / "piactl.yaml")
    assert settings.keep_undo_days == Settings.__dataclass_fields__["keep_undo_days"].default
    assert f"`keep_undo_days` ({settings.keep_undo_days})" in UNDO


def test_the_documented_limits_of_attempts_match_the_code() -> None:
    settings = read_settings(DOCS.parent / "examples" / "piactl.yaml")
    assert f"`password.failures_per_hour` ({settings.password.failures_per_hour})" in SECRETS
    assert (backoff.FIRST_WAIT.seconds, backoff.LONGEST_WAIT.days, backoff.FORGOTTEN_AFTER.days) == (60, 1, 7)
    assert "one minute, then two, four, up to a day" in SECRETS
    assert "a week without attempts" in SECRETS
