"""What a large feed costs: it is printed, and no test fails because of it."""

from __future__ import annotations

import random
import time
import tracemalloc
from datetime import date, timedelta

import pytest

from piactl.core.model.person import uai_letter
from piactl.core.model.settings import SourceSettings
from piactl.feed.read_feed import read_feed

ROWS = 300_000


@pytest.mark.long
def test_three_hundred_thousand_rows(sample, tmp_path):
    chance = random.Random(36000)
    uais = [f"080{n:04d}{uai_letter(f'080{n:04d}')}" for n in range(2200)]
    path = tmp_path / "epp-20260901.csv"
    with path.open("w") as file:
        file.write(sample.header + "\n")
        for n in range(ROWS):
            born = date(1960, 1, 1) + timedelta(chance.randrange(14000))
            row = sample.row(
                matricule=f"{n:08d}",
                numen=f"20E{n // 100_000:02d}{n % 100_000:05d}ABC",
                nom_famille=f"Nom{chance.randrange(20_000)}",
                prenom=f"Élodie{chance.randrange(2_000)}",
                date_naissance=f"{born:%d/%m/%Y}",
                courriel_prive=f"a{n}@example.org",
                uai=chance.choice(uais),
            )
            file.write(row + "\n")
    before = time.process_time()
    feed = read_feed(path, SourceSettings("epp"))
    spent = time.process_time() - before
    assert len(feed.people) == feed.facts.rows == ROWS
    del feed
    tracemalloc.start()
    feed = read_feed(path, SourceSettings("epp"))
    used, peak = (size / 2**20 for size in tracemalloc.get_traced_memory())
    tracemalloc.stop()
    size = path.stat().st_size / 2**20
    print(
        f"{ROWS} rows, {size:.0f} MiB: {spent:.1f} s of CPU, {used:.0f} MiB held, {peak:.0f} MiB at the most"
    )
    assert not feed.rejections
