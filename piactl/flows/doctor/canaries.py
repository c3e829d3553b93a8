"""D47: the accounts that every server must refuse."""

from __future__ import annotations

from piactl.core.model.settings import Settings
from piactl.core.text import counted
from piactl.directory.port import Reader
from piactl.errors import PiactlError
from piactl.flows.canaries import try_canaries
from piactl.flows.doctor.checks import Finding, fine, skipped, unless_broken, worst


def examine_canaries(reader: Reader, settings: Settings, *, bind: bool) -> Finding:
    """An error for each server that lets a canary in. Without `bind` nothing is tried."""
    if not settings.canaries:
        return fine("D47", "none is configured")
    if not bind:
        return skipped(
            "D47", "not tried", advice="Run piactl doctor --canaries; the night tries them as well."
        )
    try:
        return unless_broken("D47", lambda: _tried(reader, settings))
    except PiactlError as refused:
        return skipped("D47", str(refused).split("\n", 1)[0])


def _tried(reader: Reader, settings: Settings) -> Finding:
    results = list(try_canaries(reader, settings))
    let_in = [str(result) for result in results if result.let_in]
    unknown = [str(result) for result in results if result.let_in is None]
    advice = (
        "Find out why the account opens (piactl why ACCOUNT login), and which others do. A canary that "
        "proves nothing needs a password and its file."
    )
    return worst("D47", let_in, unknown, advice, f"{counted(len(results), 'bind')}, all refused")
