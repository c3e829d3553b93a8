"""The status of a run, as its record stores it."""

from __future__ import annotations

from enum import StrEnum


class RunStatus(StrEnum):
    """The state of a run, or how it ended. LOADING: it wrote an LDIF, and no run has read the accounts back.
    INTERRUPTED: it was killed, and a later run found its record unfinished."""

    RUNNING = "running"
    LOADING = "loading"
    DONE = "done"
    PARTLY = "partly"
    STOPPED = "stopped"
    FAILED = "failed"
    REFUSED = "refused"
    INTERRUPTED = "interrupted"
