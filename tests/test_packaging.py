"""The package as pip gets it: what is in the wheel, and that it says the version of the VERSION file."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from conftest import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    argv = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(argv, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "buildtasks").rglob("*.py")}
    rest = {name for name in names - sources if ".dist-info/" not in name}
    assert sources <= names
    assert rest == {"buildtasks/py.typed"}


def test_the_version_is_that_of_the_version_file(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    assert metadata["Version"] == (ROOT / "VERSION").read_text().strip()
    wanted = {line.partition(">=")[0] for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line}
    assert wanted == {"docker", "invoke", "platformdirs", "requests", "rich", "semver"}
