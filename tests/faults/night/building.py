"""Builds the world of the fault tests: a sandbox, its feeds, its first load, and the undisturbed night."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from piactl.journal import read_lines
from piactl.sandbox import start_sandbox, stop_sandbox
from piactl.sandbox.folder import GROUPS

from .world import FIRST, NEXT, ROOT, World

EXAMPLES = ROOT / "examples"
PEOPLE, SEED, EFFECTIVE = 240, 20260901, "2026-09-01"

_COLUMNS = (
    "matricule;numen;civilite;nom_usage;nom_famille;prenom;date_naissance;courriel_prive;corps;position;uai;"
    "fonction;discipline;modalite;quotite;debut;fin"
)


def build_world(
    people: int = PEOPLE, *, accesslog: bool = False, arrange: Callable[[World], None] = lambda world: None
) -> World:
    """A started sandbox after its first load, with the reference of the night; takes some three seconds.

    `arrange` is called between the first load and the night.
    """
    folder = Path(tempfile.mkdtemp(prefix="piactl-faults-"))
    start_sandbox(folder, accesslog=accesslog)
    world = World(folder)
    try:
        first = _write_feeds(world, people)
        _settle_configuration(world, people)
        loaded = world.run(world.command("nightly", "--as-of", str(FIRST), str(first)))
        assert loaded.code == 0, loaded.said
        arrange(world)
        world.begin = max(line.seq for line in read_lines(str(world.journal)))
        _run_undisturbed(world)
        assert len(world.changed) >= people + 10, f"the night changes only {len(world.changed)} accounts"
        assert any("ou=waiting" in dn for dn in world.reference.memory), "nobody waits after the night"
    except BaseException:
        end_world(world)
        raise
    return world


def _run_undisturbed(world: World) -> None:
    """Keeps the world as it is, and the result of an undisturbed night as its reference."""
    world.before = world.snapshot()
    world.save()
    began = time.monotonic()
    night = world.wait(world.spawn(world.night()), began)
    assert night.code == 0, night.said
    world.seconds = night.seconds
    world.expect()


def end_world(world: World) -> None:
    stop_sandbox(world.folder)
    shutil.rmtree(world.folder)


def _settle_configuration(world: World, people: int) -> None:
    settings = yaml.safe_load(world.config.read_text())
    settings["directory"]["operation_timeout"] = 5
    settings["directory"]["connect_timeout"] = 2
    settings["directory"]["groups"] = GROUPS
    settings["sources"] = {
        # otherwise the rentrée of this small académie would look like the file of another one
        "hr": {
            "kind": "full",
            "files": ["rh-*.csv"],
            "limits": {"size_share": 3.0, "known_share": 0.5, "column_share": 0.5},
        },
        "ce": {"kind": "delta", "files": ["ce-*.csv"]},
    }
    world.config.write_text(yaml.safe_dump(settings, allow_unicode=True))
    # nearly everybody changes in the night, so that there is something to disturb
    file = world.folder / "policy.yaml"
    policy = yaml.safe_load(file.read_text())
    for guards in (policy["guards"], *policy["guards"]["periods"].values()):
        for guard in guards.values():
            if isinstance(guard, dict) and "floor" in guard:
                guard["floor"] = 2 * people
                guard.get("per_establishment", {}).update(max=2 * people)
    policy["groups"] = {
        "services": ["messagerie", "iprof", "viescolaire"],
        "extra": {"tous-enseignants": {"profile": ["enseignant", "enseignant1d"]}},
    }
    file.write_text(yaml.safe_dump(policy, allow_unicode=True))


def _write_feeds(world: World, people: int) -> Path:
    """Writes the feeds and returns the first one; sets the full one and the delta of the night in `world`."""
    folder = world.folder / "feeds"
    nights = _generated(folder, people)
    shutil.copy(folder / "establishments.csv", world.folder / "establishments.csv")
    first, second = (folder / name for name in nights)
    *rows, trailer = second.read_text().splitlines()
    assert trailer.startswith("#FIN;")
    # a dozen homonyms arrive at once: an account made after a fault must get the planned number
    rows += [_row(i, "LEROY", "CAMILLE", "01/09/2026") for i in range(12)]
    second.write_text("\n".join([*rows, f"#FIN;rows={len(rows) - 1};date={NEXT}"]) + "\n")
    delta = folder / f"ce-{NEXT}.csv"
    late = [_row(20 + i, f"HUBERT{'AIGNE'[:i]}", "LISON", "01/09/2026") for i in range(5)]
    late += [_row(30 + i, "MOREL", "JONAS", "15/11/2026") for i in range(3)]
    delta.write_text("\n".join([_COLUMNS, *late]) + "\n")
    world.feeds = (str(second), str(delta))
    return first


def _row(number: int, family: str, given: str, start: str) -> str:
    return (
        f"99{number:05d};20E26{number:05d}QZX;MME;;{family};{given};01/02/1990;;553;activite;0800009A;ENS;;"
        f"principale;100;{start};"
    )


def _generated(folder: Path, people: int) -> list[str]:
    """Writes feeds of invented people by the generator of the examples, in a separate process."""
    program = (
        "import sys; sys.path[:0] = sys.argv[1:3]\n"
        "from datetime import date\nfrom pathlib import Path\n"
        "from invented.changes import Night\nfrom invented.feeds import write_feeds\n"
        "first, effective, second = (date.fromisoformat(day) for day in sys.argv[4:7])\n"
        "nights = [Night(1, first, first, 'first'), Night(2, second, effective, 'rentree', 0.95, 0.3)]\n"
        f"for each in write_feeds(Path(sys.argv[3]), {people}, {SEED}, nights, None): print(each.path.name)\n"
    )
    command = [
        sys.executable,
        "-B",
        "-c",
        program,
        str(EXAMPLES),
        str(ROOT),
        str(folder),
        str(FIRST),
        EFFECTIVE,
        str(NEXT),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.split()
