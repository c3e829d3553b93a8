"""The commands of docs/first-migration.md, in their order, with a real slapd."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from tests.cli.streams import shared_forks
from tests.conftest import Sandbox
from tests.outside import civil_today
from tests.story.feeds import crowd, row, text

TOP = Path(__file__).resolve().parents[2]
PAGE = (TOP / "docs" / "first-migration.md").read_text(encoding="utf-8")
STUBS = 'piactl() { "$PIACTL" --config "$BOX/piactl.yaml" "$@"; }'
FEED, PLANS = "/srv/piactl/feeds/agape-2026-11-24.csv", "/var/lib/piactl/plans"


def commands() -> list[str]:
    """Each block of commands of the page."""
    blocks = re.findall(r"^   ```\n(.*?)^   ```$", PAGE, re.DOTALL | re.MULTILINE)
    return [re.sub(r"^   ", "", block, flags=re.MULTILINE) for block in blocks]


def test_the_commands_of_the_page_make_a_first_load(sandbox: Sandbox, tmp_path: Path) -> None:
    blocks = commands()
    assert len(blocks) == 5
    feed = text([row(), *crowd(8)], str(civil_today("Europe/Paris")))
    (tmp_path / "hr.csv").write_text(feed, encoding="utf-8")
    known = {"uid": "cdubreuil", "cn": "Claire Dubreuil", "sn": "Dubreuil", "supannEmpId": "1001"}
    known |= {"mail": "claire.dubreuil@ac-amiens.fr"}
    sandbox.add(
        f"uid=cdubreuil,{sandbox.accounts}", {"objectClass": ["inetOrgPerson", "supannPerson"], **known}
    )
    program = shared_forks().program(sandbox.folder / "program")
    outputs = []
    for block in blocks:
        script = block.replace(FEED, "hr.csv").replace(PLANS, str(sandbox.folder))
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{STUBS}\n{script}"],
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                "PIACTL": str(program),
                "BOX": str(sandbox.folder),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        outputs.append(done.stdout + done.stderr)
    assert "1  adopt" in outputs[1]
    assert "8  create" in outputs[2]
    assert "nothing to do" in outputs[4]
    accounts = sandbox.entries(sandbox.accounts, "(objectClass=piactlAccount)")
    assert len(accounts) == 9
    assert any(dn.startswith("uid=cdubreuil,") for dn in accounts)
