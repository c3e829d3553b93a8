"""A process that appends to a journal, for tests that run several of them, limit them or kill them.

    journal_writer.py JOURNAL RUN COUNT [BATCH]

Prints `synced N...` once the intents with these numbers are on the disk, and `settled N...` once their
outcomes are. Exits 3, saying why on stderr, when the journal cannot be used. COUNT 0 goes on until killed.
"""

from __future__ import annotations

import hashlib
import itertools
import sys
from datetime import UTC, datetime

from piactl.errors import JournalUnusable
from piactl.journal import Actor, IntendedWrite, Journal, RunContext, Settlement


def write(name: str, number: int) -> IntendedWrite:
    uid = f"{name}{number}"
    return IntendedWrite(
        uid=uid,
        dn=f"uid={uid},ou=personnels EN,ou=ac-amiens,ou=education,o=gouv,c=fr",
        op="modify",
        kinds=("grant",),
        reason="a right begins",
        added={"eduPersonEntitlement": (b"urn:mace:ac-amiens.fr:service:iprof",)},
    )


def main(path: str, run: str, count: int, batch: int) -> None:
    journal = Journal(
        path,
        now=lambda: datetime.now(UTC),
        digest=lambda text: "{k1}" + hashlib.sha256(b"key" + text.encode()).hexdigest(),
        secret=("userPassword",),
        context=RunContext(run, ("piactl", "nightly"), Actor("piactl", "", "", "cron", "host", 1)),
    )
    with journal:
        print("begun", flush=True)
        for start in itertools.count(0, batch) if count == 0 else range(0, count, batch):
            size = batch if count == 0 else min(batch, count - start)
            numbers = journal.intents([write(run, start + i) for i in range(size)])
            print("synced", *numbers, flush=True)
            journal.outcomes([Settlement(number, "applied") for number in numbers])
            print("settled", *numbers, flush=True)
        journal.end({"applied": count})


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else 1)
    except JournalUnusable as error:
        print(error, file=sys.stderr)
        sys.exit(3)
