"""What must be true after a fault and one more run: nothing is lost, doubled, half-made or unreported."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from piactl.journal import verify
from piactl.sandbox.folder import ACCOUNTS

from .world import Ended, Snapshot, World

MADE = frozenset({"applied"})


@dataclass
class Story:
    """What the journal says about the night: the verdicts of each intent, and the writes of each entry."""

    verdicts: dict[int, list[str]] = field(default_factory=dict)
    names: dict[int, tuple[str, str]] = field(default_factory=dict)
    runs: dict[int, str] = field(default_factory=dict)
    resolved: int = 0

    @property
    def written(self) -> Counter[str]:
        """The DNs of the entries that were written, each with the number of writes."""
        made = [self.names[seq][1] for seq, all_ in self.verdicts.items() if MADE & set(all_)]
        return Counter(made)

    def acknowledged(self, run: str) -> set[str]:
        """The DNs of the entries that were written according to the lines of that run."""
        return {
            self.names[seq][1]
            for seq, all_ in self.verdicts.items()
            if self.runs[seq] == run and MADE & set(all_)
        }


def story(world: World) -> Story:
    journalled = Story()
    for line in world.lines():
        if line.type == "intent":
            journalled.verdicts[line.seq] = []
            journalled.names[line.seq] = (line.fields["uid"], line.fields["dn"])
            journalled.runs[line.seq] = line.run
        elif line.type in ("outcome", "resolved"):
            journalled.verdicts[line.fields["intent"]].append(line.fields["outcome"])
            journalled.resolved += line.type == "resolved"
    return journalled


def check_journal(world: World) -> Story:
    """Checks that the chain is whole and agrees with the heads that the runs left, that each intent has
    exactly one outcome, and that each entry of the night was written exactly once."""
    anchors = {
        run: (record["journal"]["seq"], record["journal"]["hash"])
        for run, record in world.runs().items()
        if record.get("journal")
    }
    proved = verify(str(world.journal), anchors)
    assert proved.ok, str(proved.problem)
    assert not proved.torn, f"{proved.torn} bytes of a torn line are left"
    journalled = story(world)
    wrong = {seq: all_ for seq, all_ in journalled.verdicts.items() if len(all_) != 1}
    assert not wrong, f"intents without exactly one outcome: {wrong}"
    twice = {name: n for name, n in journalled.written.items() if n > 1}
    assert not twice, f"written more than once: {twice}"
    written = set(journalled.written)
    assert written == world.changed, (
        f"not journalled as written: {sorted(world.changed - written)[:3]}; "
        f"journalled, but not of this night: {sorted(written - world.changed)[:3]}"
    )
    return journalled


def check_directory(world: World) -> None:
    """Checks that the directory is as an undisturbed run leaves it, attribute by attribute."""
    snapshot = world.snapshot()
    missing = sorted(world.reference.entries.keys() - snapshot.entries.keys())
    extra = sorted(snapshot.entries.keys() - world.reference.entries.keys())
    assert not missing, f"accounts that are not there: {missing[:5]}"
    assert not extra, f"accounts that should not be there: {extra[:5]}"
    differing = _differing(snapshot, world.reference)
    assert not differing, f"attributes that differ: {differing}"
    memory, expected = snapshot.memory, world.reference.memory
    other = {dn for dn in {*memory, *expected} if memory.get(dn) != expected.get(dn)}
    assert not other, {dn: (memory.get(dn), expected.get(dn)) for dn in other}
    for name in ("supannEmpId", "piactlIdentifier"):
        values = Counter(v for entry in snapshot.entries.values() for v in entry.get(name, ()))
        assert max(values.values()) == 1, f"{name} doubled: {values.most_common(2)}"


def check_half(world: World) -> set[str]:
    """Checks right after a fault that every entry is as before the night or as after it, none in between.

    Returns the DNs of the entries that the night changes and that are as after it.
    """
    entries = world.snapshot().entries
    after = set()
    for name in {*entries, *world.before.entries, *world.reference.entries}:
        entry = entries.get(name)
        was, will = world.before.entries.get(name), world.reference.entries.get(name)
        assert entry in (was, will), f"{name} is half-made: {entry}"
        if entry == will and name in world.changed:
            after.add(name)
    return after


def check_runs(world: World, killed: str, rerun: Ended) -> None:
    """Checks that nobody holds the lock, and that the record of the killed run, if any, says how it ended."""
    assert world.lock() is None
    runs = world.runs()
    assert all(record["status"] != "running" for record in runs.values()), runs
    if killed in runs:
        assert runs[killed]["status"] in ("interrupted", "done"), runs[killed]
        if runs[killed]["status"] == "interrupted":
            assert f"took over the lock of run {killed}" in rerun.said, rerun.said
            assert killed in str(runs[killed]["note"])


def check_nothing_left_to_do(world: World) -> None:
    """Checks that a night with the same feeds writes to no account."""
    before = world.stamps(ACCOUNTS)
    again = world.run(world.night())
    assert again.code == 0, again.said
    assert world.stamps(ACCOUNTS) == before


def check_survived(world: World, killed: str = "") -> Story:
    """Does one more run, then checks all the above. `killed` is the run that met the fault, "" if unknown."""
    rerun = world.run(world.night())
    assert rerun.code == 0, rerun.said
    check_directory(world)
    journalled = check_journal(world)
    check_runs(world, killed, rerun)
    return journalled


def _differing(snapshot: Snapshot, reference: Snapshot) -> dict[str, list[str]]:
    return {
        dn: [n for n in {*entry, *reference.entries[dn]} if entry.get(n) != reference.entries[dn].get(n)]
        for dn, entry in snapshot.entries.items()
        if entry != reference.entries[dn]
    }
