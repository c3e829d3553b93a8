"""The accounts of very many people as LDIF for slapadd: what a first load would write to the directory.

    python -m bench.prepared CONFIGURATION FEED DAY LDIF

piactl's own planning makes the entries, part by part, so that the bench needs little memory. Homonyms are in
the same part, so they get the names that one load would give them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from zlib import crc32

from bench.populations import TOP
from bench.requests import ldif_lines
from bench.servers import Server

BYTES_A_PART = 4_000_000


def prepare(server: Server, feed: Path, day: date, ldif: Path) -> None:
    """Writes the LDIF; the directory has no accounts."""
    configuration = server.home / "piactl.yaml"
    words = [
        sys.executable,
        "-m",
        "bench.prepared",
        str(configuration),
        str(feed),
        day.isoformat(),
        str(ldif),
    ]
    subprocess.run(words, cwd=TOP, check=True)


def main(configuration: str, feed: str, day: str, ldif: str) -> None:
    parts = _parts(Path(feed), Path(ldif).parent / "parts")
    entries = [part.with_suffix(".ldif") for part in parts]
    count = len(parts)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(_entries, [configuration] * count, parts, [day] * count, entries))
    with Path(ldif).open("wb") as ldif_file:
        for part, made in zip(parts, entries, strict=True):
            ldif_file.write(made.read_bytes())
            made.unlink()
            part.unlink()


def _parts(feed: Path, folder: Path) -> list[Path]:
    """Writes the feed in parts; all rows of all people with the same name are in the same part."""
    from piactl.core.naming.names import local_part

    folder.mkdir()
    paths = [folder / f"{number:04}.csv" for number in range(feed.stat().st_size // BYTES_A_PART + 1)]
    with ExitStack() as stack:
        rows = stack.enter_context(feed.open(encoding="utf-8"))
        parts = [stack.enter_context(path.open("w", encoding="utf-8")) for path in paths]
        header = rows.readline()
        for part in parts:
            part.write(header)
        for row in rows:
            if row.startswith("#"):
                break
            cells = row.split(";")
            name = local_part(cells[5], cells[3], cells[4])
            parts[crc32(name.encode()) % len(parts)].write(row)
    return paths


def _entries(configuration: str, part: Path, day: str, ldif: Path) -> None:
    from piactl.cli.framework.configuration import open_configuration
    from piactl.directory.open import open_reader
    from piactl.host.secret_files import identity_password
    from piactl.planning.load_feeds import read_feeds
    from tests.planning import plan_at_once

    configuration = open_configuration(Path(configuration))
    feeds = read_feeds([str(part)], configuration.settings.sources)
    with open_reader(configuration.settings.directory, "reader", identity_password) as reader:
        ready = plan_at_once(reader, configuration, feeds, date.fromisoformat(day))
    with ldif.open("w", encoding="utf-8") as file:
        for row in ready.writes:
            texts = {name: [value.decode() for value in values] for name, values in row.add.items()}
            file.writelines(
                line for line in ldif_lines("add", row.dn, texts, {}) if line != "changetype: add\n"
            )


if __name__ == "__main__":
    main(*sys.argv[1:])
