"""The counts of identity checks, which only commands of the help desk and portals keep."""

from __future__ import annotations

from typing import Any

from piactl.cli.framework.configuration import Configuration
from piactl.clock import utc_now
from piactl.flows.apply.begin_run import meet_server
from piactl.flows.helpdesk.identity_check_and_operator_limits import IdentityChecks
from piactl.journal import require_room, who


def identity_checks(configuration: Configuration, writer: Any) -> IdentityChecks:
    """The counts of identity checks that `writer`, a Writer, keeps. Each check is a write, and may use up a
    code. Raises what `meet_server` raises, and JournalUnusable, before the first."""
    settings, unreadable = configuration.settings, configuration.unreadable
    meet_server(writer, who().host, settings, unreadable, utc_now)
    require_room(settings.journal_file)
    state, timezone = settings.directory.state, configuration.policy.timezone
    return IdentityChecks(writer, state, settings.password, configuration.keys, timezone, unreadable)
