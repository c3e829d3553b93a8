"""What the journal says of runs: who began them, what they intended, how they ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from piactl.core.journal_line import JournalLine
from piactl.journal.intent_format import Intent, intent_of, settlement_of
from piactl.journal.origin_of_run import author_of
from piactl.journal.query import read_lines

Feed = Mapping[str, str]
"""Source, file and digest of a feed that a run applied."""

_MADE = ("applied", "unchanged", "")
"""The outcomes of writes that were or may have been made; "" is the outcome in a killed run."""


@dataclass(slots=True)
class JournalledRun:
    """`started` and `ended` are UTC, ISO 8601; `ended` is "" if it was killed. `recorded`: it has a record in
    the directory. `plan` is the fingerprint of its plan, "" if it has none. `accepted` are the runs that it
    accepted as lost. `undone`: the directory has its record, but an entry that it wrote is as before that
    write, or missing; the journal alone does not know."""

    run: str
    started: str
    command: tuple[str, ...]
    user: str
    as_of: str
    ended: str = ""
    recorded: bool = False
    plan: str = ""
    feeds: tuple[Feed, ...] = ()
    accepted: tuple[str, ...] = ()
    undone: bool = False
    intents: dict[int, Intent] = field(default_factory=dict)
    outcomes: dict[int, str] = field(default_factory=dict)

    def writes(self) -> Iterator[Intent]:
        """The intents that were or may have been carried out."""
        return (intent for seq, intent in self.intents.items() if self.outcomes.get(seq, "") in _MADE)


def journalled_runs(path: str, with_writes: Callable[[str], bool]) -> list[JournalledRun]:
    """The runs of all chains, in order, with their intents if `with_writes` is true for the id of the run.
    Raises JournalUnusable."""
    runs: dict[str, JournalledRun] = {}
    for line in read_lines(path):
        if line.type == "run":
            runs[line.run] = _begun(line)
        elif line.run in runs:
            _add(runs[line.run], line, with_writes=with_writes(line.run))
    return sorted(runs.values(), key=lambda run: run.started)


def _begun(line: JournalLine) -> JournalledRun:
    f = line.fields
    author = author_of(*(str(f.get(name) or "") for name in ("user", "sudo_user", "login")))
    as_of, plan = (str(f.get(name) or "") for name in ("as_of", "plan"))  # 0.2.0 wrote the plan here
    return JournalledRun(line.run, line.time, tuple(map(str, f["command"])), author, as_of, plan=plan)


def _add(run: JournalledRun, line: JournalLine, *, with_writes: bool) -> None:
    f = line.fields
    if line.type == "intent" and with_writes:
        run.intents[line.seq] = intent_of(line)
    elif with_writes and (settlement := settlement_of(line)) is not None:
        run.outcomes[settlement.intent] = settlement.outcome
    elif line.type == "note" and str(f["text"]).startswith("plan "):
        run.plan = str(f["text"]).removeprefix("plan ")
    elif line.type == "accepted":
        run.accepted = tuple(f["runs"])
    elif line.type == "end":
        run.ended, run.recorded = line.time, f.get("recorded") is True
        run.feeds = tuple(f.get("feeds", ()))
