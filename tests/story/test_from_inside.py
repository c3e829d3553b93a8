"""Stories that change a limit of piactl, or call one function of it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from piactl.clock import utc_now
from piactl.core.plan.state_between_runs import LastRun
from piactl.runs.hooks import called
from tests.aaf_sets import Agent, delta, files, modification

from .academy import Academy
from .feeds import MICHELIS, MILLEVOYE
from .test_aaf import folder, supplemented
from .test_hooks import hooked
from .test_vanished import CLAIRE, IDA
from .test_vanished import begun as begun


def test_a_delta_follows_its_own_establishment_despite_later_sets(make_academy, monkeypatch) -> None:
    """Each delta follows the set of its own establishment, however many others were applied since."""
    monkeypatch.setattr("piactl.planning.merge_feeds.REMEMBERED", 1)
    academy = make_academy(after=supplemented)
    ida = Agent("501", ("4079$ENS",), sn="ROY", given="Ida", birth="")
    places = {MILLEVOYE: "4079", MICHELIS: "4078"}
    for day in ("03", "04"):
        sets = []
        for uai, number in places.items():
            name, agent = f"ENT2D_{uai}", replace(ida, id=f"6{number}", functions=(f"{number}$ENS",))
            complete = files([agent], "20260903", name=name, schools={number: uai})
            later = delta([modification(agent.id, sn="ROYER")], "20260904", name=name)
            stem = f"{name}_{'Complet' if day == '03' else 'Delta'}_202609{day}"
            sets.append(folder(academy.folder / stem, complete if day == "03" else later))
        academy.night(f"2026-09-{day}", *sets)
    with academy.nothing_written():
        again = academy.folder / f"ENT2D_{MILLEVOYE}_Complet_20260903"
        ran = academy.night("2026-09-04", again, code=6)
        assert "it is dated 2026-09-03, but one dated 2026-09-04 of the same establishments" in ran.err


def test_a_hook_that_others_may_change_by_then_is_not_run(academy: Academy) -> None:
    heard = hooked(academy, "cat >>{heard}")
    hook = academy.folder / "hook"
    assert called((str(hook),), "x", 5) == ""
    hook.chmod(0o757)
    assert "is not run: others may change it" in called((str(hook),), "x", 5)
    assert heard.read_text() == "x"


def test_the_first_night_of_a_week_lists_every_account(
    begun: Academy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other nights list what was written since the last one began: nothing here, as if it was long ago."""
    monkeypatch.setattr(LastRun, "began", property(lambda _: utc_now() + timedelta(hours=1)))
    record = f"cn=accounts-00000,{begun.sandbox.state}"
    begun.night("2026-09-13")
    with begun.sandbox.root() as root:
        root.delete(record)
    begun.night("2026-09-13")
    assert begun.sandbox.entry(record) is None
    begun.night("2026-09-14")
    assert json.loads(begun.sandbox.entry(record)["piactlData"][0]).keys() == {CLAIRE, IDA}
