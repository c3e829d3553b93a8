"""A process that appends to a journal, for tests that run several of them, limit them or kill them.

    journal_writer.py JOURNAL RUN COUNT [BATCH [paced]]
    journal_writer.py limits FOLDER FIRST LAST

Prints `synced N...` once the intents with these numbers are on the disk, and `settled N...` once their
outcomes are. Exits 3, with the reason on stderr, if the journal cannot be used. COUNT 0 goes on until killed.
With `paced`, it writes its first intents after it has read a line from stdin, and pauses after each batch, so
that several writers take turns on a busy machine too.

With `limits`, one process for each limit on the size of its files, FIRST to LAST bytes, writes three intents
to FOLDER/LIMIT/log/j; its output goes to `said` beside that folder, and its exit code to `code`.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import resource
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path

from piactl.core.plan.write import Write
from piactl.errors import JournalUnusable
from piactl.journal import Actor, Journal, Order, Settlement

DAY = date(2027, 9, 1)


def write(name: str, number: int) -> Write:
    uid = f"{name}{number}"
    return Write(
        uid=uid,
        dn=f"uid={uid},ou=personnels EN,ou=ac-amiens,ou=education,o=gouv,c=fr",
        op="modify",
        kinds=("grant",),
        reason="a right begins",
        add={"eduPersonEntitlement": (b"urn:mace:ac-amiens.fr:service:iprof",)},
    )


def main(path: str, run: str, count: int, batch: int, *, paced: bool) -> None:
    actor = Actor("piactl", "", "", "cron", "host", 1)
    journal = Journal(
        path,
        now=lambda: datetime.now(UTC),
        digest=lambda text: "{k1}" + hashlib.sha256(b"key" + text.encode()).hexdigest(),
        secret=("userPassword",),
        order=Order(run, DAY, DAY, False, ("piactl", "nightly"), actor, ""),
    )
    with journal:
        print("begun", flush=True)
        if paced:
            sys.stdin.readline()
        for start in itertools.count(0, batch) if count == 0 else range(0, count, batch):
            size = batch if count == 0 else min(batch, count - start)
            numbers = journal.intents([write(run, start + i) for i in range(size)])
            print("synced", *numbers, flush=True)
            journal.outcomes([Settlement(number, "applied") for number in numbers])
            print("settled", *numbers, flush=True)
            if paced:
                time.sleep(0.001)
        journal.end({"applied": count})


def guarded(path: str, run: str, count: int, batch: int = 1, *, paced: bool = False) -> int:
    try:
        main(path, run, count, batch, paced=paced)
    except JournalUnusable as error:
        print(error, file=sys.stderr, flush=True)
        return 3
    return 0


def under_limits(folder: Path, first: int, last: int) -> None:
    for limit in range(first, last + 1):
        place = folder / str(limit)
        place.mkdir()
        reader, writer = os.pipe()  # the pipe holds all output, which is less than a page
        child = os.fork()
        if child == 0:
            os.dup2(writer, 1)
            os.dup2(writer, 2)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            os._exit(guarded(str(place / "log" / "j"), "limited", 3))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.close(writer)
        with os.fdopen(reader) as output:
            (place / "said").write_text(output.read())
        (place / "code").write_text(str(code))


if __name__ == "__main__":
    if sys.argv[1] == "limits":
        under_limits(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    else:
        path, run, *numbers = sys.argv[1:5]
        sys.exit(guarded(path, run, *map(int, numbers), paced=sys.argv[5:] == ["paced"]))
