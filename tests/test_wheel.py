"""The wheel works in an environment that holds topwork and its core dependencies, and nothing of ours for development.

Installing torch anew takes minutes and a network, so the environment is made of links to the packages that are here:
the closure of what the wheel's metadata requires, and no more. A dependency that is used but not declared is missing.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
DEV = sorted(canonicalize_name(Requirement(line).name) for line in PROJECT["optional-dependencies"]["dev"])


def run(*command: str | Path, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command without our own paths and settings in its environment."""
    ours = ("PYTHON", "PYTEST", "VIRTUAL_ENV", "COVERAGE")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env={**clean, "PYTHONUTF8": "1"}, capture_output=True, text=True,
        encoding="utf-8", timeout=240,
    )  # fmt: skip
    assert not check or done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


@dataclass(frozen=True)
class Environment:
    """An environment into which the wheel was installed."""

    folder: Path
    work: Path

    @property
    def scripts(self) -> Path:
        return self.folder / ("Scripts" if os.name == "nt" else "bin")

    @property
    def packages(self) -> Path:
        variables = {"base": str(self.folder), "platbase": str(self.folder)}
        return Path(sysconfig.get_path("purelib", scheme="venv", vars=variables))

    def python(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return run(self.scripts / "python", *arguments, cwd=self.work, check=check)

    def topwork(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return run(self.scripts / "topwork", *arguments, cwd=self.work, check=check)


def wanted(lines: list[str], extras: set[str]) -> Iterator[Requirement]:
    """The requirements among ``lines`` that hold here for a package asked for with these extras."""
    for line in lines:
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras}):
            yield requirement


def closure(lines: list[str]) -> dict[str, metadata.Distribution]:
    """All packages that these requirements need, through whatever they need, by name."""
    found: dict[str, metadata.Distribution] = {}
    asked: set[tuple[str, frozenset[str]]] = set()
    todo = list(wanted(lines, set()))
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if (name, frozenset(requirement.extras)) in asked:
            continue
        asked.add((name, frozenset(requirement.extras)))
        found[name] = metadata.distribution(name)
        todo += wanted(found[name].requires or [], set(requirement.extras))
    return found


def link(source: Path, target: Path) -> None:
    """A link, or a copy on a system that has none for us."""
    try:
        target.symlink_to(source, target_is_directory=source.is_dir())
    except OSError:
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, target)


def link_package(package: metadata.Distribution, target: Path) -> None:
    """Make one installed package visible in another ``site-packages``."""
    names = {path.parts[0] for path in package.files or []} - {"..", "__pycache__"}
    for name in sorted(names):
        if not (target / name).exists():
            link(Path(str(package.locate_file(name))), target / name)


def build(source: Path, out: Path) -> dict[str, bytes]:
    """Build an sdist, and a wheel from it; their content by name."""
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, source, cwd=out)
    return {path.name: path.read_bytes() for path in out.iterdir()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an sdist and a wheel."""
    out = tmp_path_factory.mktemp("dist")
    build(ROOT, out)
    return out


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp("environment")
    made = Environment(folder / "venv", folder)
    venv.EnvBuilder(with_pip=False, symlinks=os.name != "nt").create(made.folder)
    install = ("install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", wheel)
    run(sys.executable, "-m", "pip", "--python", made.scripts / "python", *install, cwd=folder)
    (own,) = metadata.distributions(name="topwork", path=[str(made.packages)])
    for package in closure(own.requires or []).values():
        link_package(package, made.packages)
    return made


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"topwork", f"topwork-{PROJECT['version']}.dist-info"}
    assert "topwork/py.typed" in names
    assert any(name.endswith("dist-info/licenses/LICENSE") for name in names)
    assert not [name for name in names if "__pycache__" in name or name.endswith((".pyc", ".orig"))]


def test_wheel_holds_every_file_of_the_source(wheel: Path) -> None:
    source = ROOT / "src"
    files = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    files = {name for name in files if "__pycache__" not in name and not name.endswith(".pyc")}
    assert files <= set(ZipFile(wheel).namelist())


def test_a_build_from_the_sdist_elsewhere_and_later_has_the_same_bytes(built: Path, tmp_path: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    source, out = tmp_path / sdist.name.removesuffix(".tar.gz"), tmp_path / "dist"
    for path in source.rglob("*"):  # what depends on the machine must not be in it
        os.utime(path, (2e9, 2e9))
        path.chmod(path.stat().st_mode & ~0o077)
    out.mkdir()
    assert build(source, out) == {path.name: path.read_bytes() for path in built.iterdir()}


def test_the_sdist_holds_what_its_tests_need(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    kinds = (".py", ".md", ".js", ".ipynb", ".webp")
    files = [
        path
        for path in ROOT.iterdir()
        if path.suffix in (".md", ".toml", ".cff") or path.name in ("Makefile", "constraints.txt")
    ]
    for folder in ("tests", "docs", "examples", "benchmarks"):
        files += [path for path in (ROOT / folder).rglob("*") if path.suffix in kinds]
    expected = {path.relative_to(ROOT).as_posix() for path in files}
    assert len(expected) > 100
    assert sorted(expected - names) == []


def test_environment_is_without_development_packages(environment: Environment) -> None:
    own = set(closure(PROJECT["dependencies"]))  # fsspec comes with torch, whoever else asks for it
    others = [name for name in DEV if name not in own]
    asked = f"from importlib.util import find_spec; print([n for n in {others!r} if find_spec(n.replace('-', '_'))])"
    assert environment.python("-c", asked).stdout.strip() == "[]"
    failed = environment.python("-c", "import pytest", check=False)
    assert "ModuleNotFoundError" in failed.stderr


def test_package_comes_from_the_wheel(environment: Environment) -> None:
    file = environment.python("-c", "import topwork; print(topwork.__file__)").stdout.strip()
    assert Path(file).is_relative_to(environment.packages)


def test_every_module_imports(environment: Environment) -> None:
    code = (
        "import importlib, pkgutil, topwork\n"
        "names = [m.name for m in pkgutil.walk_packages(topwork.__path__, 'topwork.') if '__main__' not in m.name]\n"
        "for name in names: importlib.import_module(name)\n"
        "print(len(names))"
    )
    assert int(environment.python("-W", "error", "-c", code).stdout) > 10


TYPED = """
from pathlib import Path
import topwork

run: topwork.Run = topwork.train("photos", "svm", img_size=32)
page: Path = topwork.compare("photos", epochs=3).report
model: topwork.Predictor = topwork.load(run.path)
"""
WRONG = """
import topwork

run: topwork.Comparison = topwork.train("photos")
topwork.compare("photos", strategies=3)
topwork.load("run").no_such_method
"""


def test_a_type_checker_of_a_user_sees_the_types(environment: Environment) -> None:
    """It reads the wheel that is installed; that the wheel has ``py.typed`` is another test."""
    for name, code in (("typed", TYPED), ("wrong", WRONG)):
        (environment.work / f"{name}.py").write_text(code)
    check = (
        sys.executable, "-m", "pyrefly", "check", "--preset", "default", "--output-format", "min-text",
        "--python-interpreter-path", environment.scripts / "python",
    )  # fmt: skip
    done = run(*check, "typed.py", cwd=environment.work, check=False)
    assert done.returncode == 0, done.stdout
    done = run(*check, "wrong.py", cwd=environment.work, check=False)
    assert re.findall(r"\[([a-z-]+)\]$", done.stdout, re.MULTILINE) == [
        "bad-assignment", "bad-argument-type", "missing-attribute",
    ]  # fmt: skip


def test_templates_are_in_the_package(environment: Environment) -> None:
    code = (
        "from importlib.resources import files\n"
        "print(*sorted(p.name for p in (files('topwork') / 'report' / 'templates').iterdir()), sep='\\n')"
    )
    there = set(environment.python("-c", code).stdout.split())
    expected = {path.name for path in (ROOT / "src/topwork/report/templates").iterdir()}
    assert expected
    assert expected <= there


def test_version(environment: Environment) -> None:
    assert PROJECT["version"] in environment.topwork("--version").stdout
    assert PROJECT["version"] in environment.python("-m", "topwork", "--version").stdout


def test_help_names_the_commands(environment: Environment) -> None:
    said = environment.topwork("--help").stdout
    commands = ("compare", "train", "report", "models", "runs", "doctor", "demo")
    assert [name for name in commands if name not in said] == []


def test_doctor_works(environment: Environment) -> None:
    said = environment.topwork("doctor").stdout
    assert "torch" in said


def test_missing_extra_is_one_line(environment: Environment) -> None:
    done = environment.topwork("demo", "--out", "runs", check=False)
    assert done.returncode == 3
    assert "topwork[demo]" in " ".join((done.stdout + done.stderr).split())
    assert "Traceback" not in done.stderr
