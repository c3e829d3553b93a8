"""What the tests that see piactl from outside know of it: the command, its exit codes, the addresses of a
sandbox, and today; and which tests these are.

They are the acceptance suite: they run commands and look at the directory, at files and at what is printed,
so they survive every change inside. Of the files of `SUITE` only those of `INSIDE` know more, and
tests/docs/test_outside.py checks it: all others know piactl by these few modules and by `BRIDGES` alone.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from enum import IntEnum
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from piactl.cli.main import run as run
from piactl.sandbox import start_sandbox as start_sandbox
from piactl.sandbox import stop_sandbox as stop_sandbox
from piactl.sandbox.folder import ACCOUNTS as ACCOUNTS
from piactl.sandbox.folder import GROUPS as GROUPS
from piactl.sandbox.folder import POLICIES as POLICIES
from piactl.sandbox.folder import STATE as STATE
from piactl.sandbox.folder import STRUCTURES as STRUCTURES
from piactl.sandbox.folder import SUFFIX as SUFFIX
from piactl.sandbox.folder import identity_dn as identity_dn
from piactl.sandbox.folder import socket_uri as socket_uri
from piactl.sandbox.server import find_software as find_software
from piactl.sandbox.server import launch as launch
from piactl.sandbox.server import stop_process as stop_process
from piactl.sandbox.server import wait_until_answering as wait_until_answering

CONSUMERS = "ou=consumers,ou=services,ou=ac-amiens,ou=education,o=gouv,c=fr"
SCHEMAS = Path(__file__).resolve().parents[1] / "schemas"


class Exit(IntEnum):
    """The exit codes that are promised."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    CHANGES = 3
    REFUSED = 4
    PARTLY = 5
    FEED_REFUSED = 6
    LOCKED = 7
    UNREACHABLE = 8
    NOT_FOUND = 9
    CONFIGURATION = 10
    OLDER = 11
    DECLINED = 12
    BUG = 70
    INTERRUPTED = 130


def utc_now() -> datetime:
    return datetime.now(UTC)


def civil_today(timezone: str) -> date:
    return datetime.now(ZoneInfo(timezone)).date()


HAS_SYSLOG = "piactl.doctor.journal_of_host.has_syslog"
"""Whether this host has syslog, for tests that must not depend on it."""

SUITE = (
    "story/test_*.py",
    "golden/test_*.py",
    "faults/**/test_*.py",
    "cli/test_*.py",
    "directory/test_acl_*.py",
    "docs/test_first_migration_page.py",
    "docs/test_upgrade_directory.py",
)
"""Stories, golden nights, kills and other faults, commands with their exit codes, the matrix of rights, and
the pages that tests play. The cases (cases/*.yaml) belong to it too; their reader knows the rules."""

KNOWN = ("piactl.cli.main", "piactl.clock")
"""What every file may name: the one entry of the command, and the clock, which a test may set."""

BRIDGES = (
    "conftest.py",
    "outside.py",
    "planning.py",
    "programs.py",
    "remembered.py",
    "cli/command_cases.py",
    "cli/streams.py",
    "cli/unix_host.py",
    "directory/config_server.py",
    "faults/night/building.py",
    "faults/night/survival.py",
    "faults/night/world.py",
    "faults/providers/pair.py",
    "story/academy.py",
    "story/both_ways.py",
    "story/conftest.py",
    "story/killed.py",
)
"""The helpers that know piactl for the files of the suite: a change inside changes them, and no test."""

INSIDE = (
    "cli/test_command_table.py",
    "cli/test_caller.py",
    "cli/test_completion.py",
    "cli/test_every_command.py",
    "cli/test_colours.py",
    "cli/test_doctor.py",
    "cli/test_in_french.py",
    "cli/test_typed_in_french.py",
    "cli/test_doctor_after_a_load.py",
    "cli/test_doctor_passwords.py",
    "cli/test_mistakes_of_new_users.py",
    "cli/test_init.py",
    "cli/test_journal_commands.py",
    "cli/test_journal_heads.py",
    "cli/test_key.py",
    "cli/test_shell_limits.py",
    "cli/test_password.py",
    "cli/test_recorded_command.py",
    "cli/test_roles.py",
    "cli/test_sudo_rules.py",
    "cli/test_under_sudo.py",
    "faults/test_journal.py",
    "faults/test_journal_failures.py",
    "faults/test_journal_pruning.py",
    "faults/test_journal_tampering.py",
    "story/test_approvals.py",
    "story/test_approved_merge.py",
    "story/test_closed_chains.py",
    "story/test_consumers.py",
    "story/test_devices.py",
    "story/test_wrong_as_a_whole.py",
    "story/test_drift_matrix.py",
    "story/test_from_inside.py",
    "story/test_history.py",
    "story/test_supann_eduperson.py",
    "story/test_matching_key.py",
    "story/test_metrics.py",
    "story/test_national_years.py",
    "story/test_newcomers.py",
    "story/test_night_db.py",
    "story/test_night_page.py",
    "story/test_one_of_two_sources.py",
    "story/test_ordinary_year.py",
    "story/test_plan_file.py",
    "story/test_proof_changes.py",
    "story/test_proofs.py",
    "story/test_regression_runs.py",
    "story/test_rehearse.py",
    "story/test_rehearsed_year.py",
    "story/test_restore.py",
    "story/test_run_steps.py",
    "story/test_sealed_digests.py",
    "story/test_number_of_searches.py",
    "story/test_second_person.py",
    "story/test_timelines.py",
    "story/test_unjournalled.py",
)
"""Files of the suite that know more, because what they test cannot be seen otherwise, or not yet."""


@cache
def seen_from_outside() -> frozenset[Path]:
    """The files of the acceptance suite that see piactl from outside only."""
    tests = Path(__file__).parent
    suite = {file for glob in SUITE for file in tests.glob(glob)}
    return frozenset(suite - {tests / name for name in INSIDE})
