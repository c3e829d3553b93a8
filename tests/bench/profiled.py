"""Where a command of piactl spends its CPU, by module of piactl.

    python -m bench.profiled WORDS...

Runs the command, and prints the shares of the time after its output. What a module calls elsewhere (built-in
functions, the standard library, ldap3) counts as its own. The profiler more than doubles the time and makes
small functions look more expensive than they are: it shows where to look, not how long something takes.
"""

from __future__ import annotations

import cProfile
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MARK = "== where the CPU goes"
_SHOWN = 14
_ROUNDS = 12

Function = tuple[str, int, str]


def main(words: list[str]) -> int:
    from piactl.cli.main import run

    profiler = cProfile.Profile(time.process_time)
    code = profiler.runcall(run, words)
    profiler.create_stats()
    spent = by_module(profiler.stats)
    packages: defaultdict[str, float] = defaultdict(float)
    for name, seconds in spent.items():
        packages[name.partition(".")[0]] += seconds
    print(MARK)
    print(", ".join(f"{share:.0f} % {name}" for share, name in _shares(packages) if share >= 1))
    for share, name in _shares(spent)[:_SHOWN]:
        print(f"{share:5.1f} %  {name}")
    return code


def _shares(spent: Mapping[str, float]) -> list[tuple[float, str]]:
    total = sum(spent.values())
    return sorted(((100 * seconds / total, name) for name, seconds in spent.items()), reverse=True)


def by_module(stats: Mapping[Function, Any]) -> dict[str, float]:
    """Seconds by module of piactl. The time of any other function goes to its callers, in shares."""
    own: dict[Function, float] = {function: figures[2] for function, figures in stats.items()}
    spent: defaultdict[str, float] = defaultdict(float)
    for _ in range(_ROUNDS):
        handed: dict[Function, float] = {}
        for function, seconds in own.items():
            module = _module(function)
            callers = {} if module else stats[function][4]
            shares = {caller: max(figures[3], 1e-9) for caller, figures in callers.items()}
            if not shares:
                spent[module or "start and imports"] += seconds
                continue
            total = sum(shares.values())
            for caller, share in shares.items():
                handed[caller] = handed.get(caller, 0.0) + seconds * share / total
        own = handed
    spent["elsewhere"] += sum(own.values())
    return spent


def _module(function: Function) -> str:
    """The name of a module, such as `directory.open`; "" if the function is not in piactl."""
    parts = Path(function[0]).with_suffix("").parts
    return (
        ".".join(parts[parts.index("piactl") + 1 :]) if "piactl" in parts and "<" not in function[0] else ""
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
