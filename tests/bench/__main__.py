"""tests/bench/run: see README.md."""

from __future__ import annotations

import argparse
import compileall
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.cases import CASES, LARGE, RUN, Bench
from bench.contests import Contest
from bench.measuring import CommandFailed
from bench.populations import TOP, make_population
from bench.servers import KINDS, new_server
from bench.table import document, goals, tables
from piactl import __version__
from piactl.sandbox.server import find_software

SEED = 1
_LARGE_CASES = ("quiet", "commands")


def main() -> int:
    options = _options()
    # so that each slapd is ended and the files are removed on SIGTERM too
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(128 + signal.SIGTERM))
    # compiled, as an installed piactl is
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    compileall.compile_dir(TOP / "piactl", quiet=2)
    machine: dict[str, object] = _machine()
    folder = Path(tempfile.mkdtemp(prefix="piactl-bench-", dir=options.dir))
    contests: list[Contest] = []
    try:
        for people in options.people:
            contests += _of_size(people, options, folder / str(people))
            shutil.rmtree(folder / str(people))
    except (CommandFailed, RuntimeError) as failed:
        print(failed, file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    machine["load"] = f"{machine['load']}, {os.getloadavg()[0]:.1f} at the end"
    if options.output == "goals":
        print("".join(goals(contests)), end="")
    elif options.output == "json":
        print(json.dumps(document(machine, contests), ensure_ascii=False, indent=2))
    else:
        print("".join(tables(machine, contests)), end="")
    return 0


def _of_size(people: int, options: argparse.Namespace, folder: Path) -> list[Contest]:
    _say(f"{people:,} invented people")
    population = make_population(people, SEED, folder / "feeds")
    cases = options.case or (_LARGE_CASES if people >= LARGE else CASES)
    contests = []
    for kind in options.server:
        # cases other than a load run only with an access log, which most directories have
        mine = [case for case in CASES if case in cases and (case == "load" or kind == "accesslog")]
        if not mine:
            continue
        with new_server(kind, folder, population.register, people) as server:
            goals_only = options.output == "goals"
            bench = Bench(population, server, options.runs, folder, _say, options.profile, goals_only)
            contests += [RUN[case](bench) for case in mine]
        shutil.rmtree(folder / kind)
    return contests


def _machine() -> dict[str, object]:
    slapd = subprocess.run([str(find_software().slapd), "-VV"], capture_output=True, text=True, check=False)
    version = re.search(r"OpenLDAP: slapd (\S+)", slapd.stderr + slapd.stdout)
    return {
        "piactl": __version__,
        "python": platform.python_version(),
        "slapd": version[1] if version else "of an unknown version",
        "cores": os.cpu_count(),
        "load": f"{os.getloadavg()[0]:.1f} at the start",
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/bench/run", description="piactl beside OpenLDAP's own tools")
    parser.add_argument("--people", type=_sizes, help="one size or several: 36000,1200000 (default 36000)")
    parser.add_argument("--quick", action="store_true", help="2,000 people")
    parser.add_argument("--case", nargs="+", choices=CASES, help="only these")
    parser.add_argument(
        "--server",
        nargs="+",
        choices=KINDS,
        default=KINDS,
        help="only these; the other cases run with accesslog",
    )
    parser.add_argument("--runs", type=int, help="rounds of each case (default 3, with --quick 2)")
    parser.add_argument("--dir", help="where the directories are made: the disk they are measured on")
    parser.add_argument("--profile", action="store_true", help="also show where piactl's CPU goes")
    parser.add_argument("-o", dest="output", choices=("table", "json", "goals"), default="table")
    options = parser.parse_args(arguments)
    options.runs = (2 if options.quick else 3) if options.runs is None else options.runs
    if options.runs < 1:
        parser.error("--runs: at least 1")
    options.people = options.people or [2_000 if options.quick else 36_000]
    return options


def _sizes(text: str) -> list[int]:
    try:
        sizes = sorted({int(number) for number in text.replace("_", "").split(",")})
    except ValueError:
        raise argparse.ArgumentTypeError("numbers, with commas between them") from None
    if sizes[0] < 60:
        raise argparse.ArgumentTypeError("at least 60 people")
    return sizes


if __name__ == "__main__":
    sys.exit(main())
