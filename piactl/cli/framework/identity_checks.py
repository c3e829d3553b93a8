"""The identity checks of this host, for the commands of the help desk."""

from __future__ import annotations

from piactl.cli.framework.configuration import Configuration
from piactl.clock import utc_now
from piactl.directory.port import Writer
from piactl.flows.apply.known_server import check_server, compare_runs, server_of
from piactl.flows.apply.run_checks import require_default_policy, stamp_clock
from piactl.flows.helpdesk.identity_check_and_operator_limits import IdentityChecks
from piactl.journal import require_room, who


def identity_checks(configuration: Configuration, writer: Writer) -> IdentityChecks:
    """The counts of identity checks that `writer` keeps. Each check is a write, and may use up a code.
    Raises DefaultPolicyMissing, DirectoryOlder, JournalMissing and JournalUnusable before the first."""
    settings, unreadable = configuration.settings, configuration.unreadable
    require_default_policy(writer, settings.password.policy)
    compare_runs(writer, who().host, settings, unreadable, utc_now)
    csn, _ = stamp_clock(writer, settings.directory.state, utc_now)
    server = server_of(writer, settings.directory.state, csn)
    check_server(writer, settings, unreadable, server)
    require_room(settings.journal_file)
    state, timezone = settings.directory.state, configuration.policy.timezone
    return IdentityChecks(writer, state, settings.password, configuration.keys, timezone, unreadable)
