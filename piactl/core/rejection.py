"""What a feed says that cannot be used, and who is left alone because of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rejection:
    """One reason why one row of a feed cannot be used. `line` counts from 1; `column` is canonical."""

    file: str
    line: int
    column: str
    code: str
    message: str
    matricule: str | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """An account (or a person without one) left exactly as it is in this run."""

    matricule: str | None
    uid: str | None
    why: str
