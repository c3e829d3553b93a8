"""The journal: one JSON line per change, written before it, chained by hash. No journal, no change."""

from piactl.core.journal_line import Head, JournalLine
from piactl.journal.append_file import require_room
from piactl.journal.intent_format import (
    Intent,
    Settlement,
    in_doubt,
    repeated,
    state_of_intent,
)
from piactl.journal.origin_of_run import Actor, Order, who
from piactl.journal.query import LineFilter, read_lines
from piactl.journal.verify import Problem, Verification, verify, verify_file
from piactl.journal.writer import Journal

__all__ = [
    "Actor",
    "Head",
    "Intent",
    "Journal",
    "JournalLine",
    "LineFilter",
    "Order",
    "Problem",
    "Settlement",
    "Verification",
    "in_doubt",
    "read_lines",
    "repeated",
    "require_room",
    "state_of_intent",
    "verify",
    "verify_file",
    "who",
]  # fmt: skip
