"""`init`: writes a first configuration that validates, and never overwrites another one."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from piactl.cli.main import run
from piactl.config.read_policy import policy_warnings, read_policy
from piactl.config.read_register import read_register
from piactl.config.read_settings import read_settings
from piactl.host.secret_files import read_keys
from piactl.trials.first_configuration import write_first_files

TOP = Path(__file__).resolve().parents[2]
PIP_WHEEL = [sys.executable, *"-m pip wheel --no-deps --no-build-isolation -w".split()]


def test_the_files_validate_and_are_private(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "etc" / "pi actl"
    assert run(["init", "--dir", str(folder)]) == 0
    captured = capsys.readouterr()
    names = ["piactl.yaml", "policy.yaml", "establishments.csv", "secrets/keys"]
    assert captured.out.split("\n")[:-1] == [str(folder / name) for name in names]
    settings = read_settings(folder / "piactl.yaml")
    assert policy_warnings(read_policy(Path(settings.policy_file))) == []
    assert "0800009A" in read_register(Path(settings.establishments_file))
    assert read_keys(settings.keys_file).current == "k1"
    assert (folder / "secrets").stat().st_mode & 0o777 == 0o700
    assert (folder / "secrets" / "keys").stat().st_mode & 0o777 == 0o600
    text = (folder / "establishments.csv").read_text("utf-8")
    assert text.split("\n")[0] == "uai;nom;nature;degre;secteur;commune"
    assert text.split("\n")[1].startswith("# EDIT")
    for word in ("EDIT", "doctor", "secrets/keys", f"--config '{folder}/piactl.yaml'", "schemas/ldap"):
        assert word in captured.err, word
    key = (folder / "secrets" / "keys").read_text().split()[-1]
    assert key not in captured.out + captured.err


def test_init_reports_the_number_of_edit_marks(tmp_path: Path) -> None:
    begun = write_first_files(tmp_path / "x")
    marked = [
        line for path in begun.written for line in path.read_text("utf-8").splitlines() if "EDIT" in line
    ]
    assert begun.marked == len(marked) >= 8


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", "--dir", str(tmp_path)]) == 0
    own = "# ours\n" + (tmp_path / "policy.yaml").read_text("utf-8")
    (tmp_path / "policy.yaml").write_text(own, "utf-8")
    (tmp_path / "establishments.csv").unlink()
    keys = (tmp_path / "secrets" / "keys").read_bytes()
    capsys.readouterr()
    assert run(["init", "--dir", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{tmp_path}/establishments.csv\n"
    assert "policy.yaml: already exists" in captured.err
    assert (tmp_path / "policy.yaml").read_text("utf-8") == own
    assert (tmp_path / "secrets" / "keys").read_bytes() == keys
    assert run(["init", "--dir", str(tmp_path)]) == 0
    assert "nothing to do" in capsys.readouterr().err


def test_a_link_is_left_alone(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    write_first_files(tmp_path / "real")
    (elsewhere / "policy.yaml").symlink_to(tmp_path / "real" / "policy.yaml")
    before = (tmp_path / "real" / "policy.yaml").read_bytes()
    begun = write_first_files(elsewhere)
    assert elsewhere / "policy.yaml" in begun.left
    assert (elsewhere / "policy.yaml").is_symlink()
    assert (tmp_path / "real" / "policy.yaml").read_bytes() == before


def test_init_fails_where_it_cannot_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("x")
    assert run(["init", "--dir", str(tmp_path / "file" / "below")]) == 1
    captured = capsys.readouterr()
    assert "--dir DIR" in captured.err
    assert captured.out == ""


@pytest.mark.long
def test_a_wheel_contains_the_examples_and_runs_when_installed(tmp_path: Path) -> None:
    built = subprocess.run(
        [*PIP_WHEEL, str(tmp_path), str(TOP)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    for name in ("piactl.yaml", "policy.yaml", "establishments.csv"):
        assert (tmp_path / "site" / "piactl" / "examples" / name).read_bytes() == (
            TOP / "examples" / name
        ).read_bytes()
    (about,) = (tmp_path / "site").glob("piactl-*.dist-info/METADATA")
    for word in ("Author: The piactl authors", "License-Expression: MIT", "Classifier: Typing :: Typed"):
        assert word in about.read_text(encoding="utf-8")
    assert (tmp_path / "site" / "piactl" / "py.typed").is_file()
    data = {path.name for path in (TOP / "piactl").rglob("*") if path.suffix not in (".py", ".pyc")}
    assert data - {"__pycache__"} <= {path.name for path in (tmp_path / "site" / "piactl").rglob("*")}
    done = subprocess.run(
        [sys.executable, "-m", "piactl", "init", "--dir", str(tmp_path / "made")],
        cwd=tmp_path / "site",
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path / "site")},
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 4
    # as pipx installs it, but with the packages of this environment, and as `piactl`
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "own"], check=True, timeout=120)
    pip = [tmp_path / "own" / "bin" / "pip", "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(pip, check=True, timeout=120)
    (site,) = (tmp_path / "own").glob("lib/python3*/site-packages")
    (site / "here.pth").write_text(sysconfig.get_path("purelib"))
    box = tmp_path / "box"
    for words in ("--version", f"sandbox start --dir {box}", f"--config {box}/piactl.yaml doctor"):
        command = [tmp_path / "own" / "bin" / "piactl", *words.split()]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
        assert ran.returncode == 0, ran
    subprocess.run([*command[:1], "sandbox", "stop", "--dir", box], check=True, timeout=60)
