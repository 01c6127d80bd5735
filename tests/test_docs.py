"""The documentation is true: generated pages are fresh, links lead somewhere, nothing names one machine."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import topwork

ROOT = Path(__file__).parents[1]
FOLDERS = ("src", "tests", "docs", "examples", "benchmarks", ".ci", ".github")
# Put together here so that this file does not contain them.
FORBIDDEN = re.compile(
    "|".join(
        [
            r"(?<![\w.])/(?:work|root|home/\w+|Users/\w+)" + "/",
            r"\b(?:test\.)?pypi" + r"\.(?:org|python\.org)",
            r"files\.python" + "hosted",
            r"download\.py" + r"torch\.org",
            r"conda" + r"\.anaconda\.org",
        ]
    )
)
LINK = re.compile(r"(?:\[[^\]]*\]\(|src=\"|srcset=\")([^)\s\"]+)[)\"]")


def text_files() -> list[Path]:
    """Every text file of the project."""
    files = [path for path in ROOT.iterdir() if path.is_file() and path.name != ".git"]  # a file in a worktree
    for folder in FOLDERS:
        files += [path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return sorted(path for path in files if b"\0" not in path.read_bytes()[:4096])


def pages() -> list[Path]:
    return [path for path in text_files() if path.suffix == ".md"]


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def make_cli() -> ModuleType:
    return script("make_cli")


def test_cli_page_is_fresh(make_cli: ModuleType) -> None:
    assert (ROOT / "docs" / "reference" / "cli.md").read_text("utf-8") == make_cli.page(), "run `make docs`"


def test_python_page_is_fresh_and_has_every_public_name() -> None:
    make = script("make_python")
    assert (ROOT / "docs" / "reference" / "python.md").read_text("utf-8") == make.page(), "run `make docs`"
    assert sorted(name for _, names in make.ORDER for name in names) == sorted(topwork.__all__)


def test_page_of_data_errors_has_all_messages_and_explains_none_that_is_gone() -> None:
    make = script("make_data_errors")
    page = make.page()
    assert (ROOT / "docs" / "how-to" / "data-not-read.md").read_text("utf-8") == page, "run `make docs`"
    texts = [text for group in make.messages().values() for text in group]
    assert any("is compressed as a whole" in text for text in texts)
    table = page.partition("| Message | Cause |")[2].partition("## All messages")[0]
    explained = re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
    assert len(explained) > 10
    assert [words for words in explained if not any(words in text for text in texts)] == []


def test_every_command_says_what_it_does(make_cli: ModuleType) -> None:
    assert make_cli.commands()
    for name in make_cli.commands():
        lines = make_cli.help_of(name).splitlines()
        said = [
            line for line in lines if line.strip() and "Usage:" not in line and not line.startswith(("╭", "│", "╰"))
        ]
        assert said, f"`topwork {name} --help` says nothing about what it does"


def test_nothing_names_one_machine_or_a_registry() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in text_files()
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1)
        if FORBIDDEN.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    "text", ["see /ro" + "ot/x", "cd /home/ann" + "/x", "https://download.py" + "torch.org/whl/cpu"]
)
def test_the_search_would_find_it(text: str) -> None:
    assert FORBIDDEN.search(text)


def anchors(page: Path) -> set[str]:
    """Those of the headings of a page, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def leads_nowhere(page: Path, target: str) -> bool:
    if target.startswith(("http:", "https:", "mailto:")):
        return False
    name, _, anchor = target.partition("#")
    file = page.parent / name if name else page
    return not file.exists() or bool(anchor and file.suffix == ".md" and anchor not in anchors(file))


def test_links_between_pages_lead_somewhere() -> None:
    assert [
        f"{page.relative_to(ROOT)} -> {target}"
        for page in pages()
        for target in LINK.findall(page.read_text("utf-8"))
        if leads_nowhere(page, target)
    ] == []


def test_the_readme_shows_its_result_early_and_as_it_is_printed() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert len(readme.splitlines()) <= 120
    block = readme.partition("```\n")[2].partition("```")[0]
    assert readme.index(block) + len(block) < len("\n".join(readme.splitlines()[:25]))
    shown = [line for line in block.splitlines() if line and line != "..." and not line.startswith("$ ")]
    tutorial = (ROOT / "docs" / "tutorial" / "index.md").read_text("utf-8")  # whose output another test compares
    assert len(shown) > 5
    assert [line for line in shown if line not in tutorial.splitlines()] == []
    commands = [line.partition(" #")[0].rstrip() for line in block.splitlines() if line.startswith("$ ")]
    assert [line for line in commands if line not in tutorial.splitlines()] == []
    assert "make demo" in readme
    assert "make test" in readme


def test_the_citation_has_the_version_of_the_project() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text("utf-8")


def test_the_pictures_of_the_readme_are_small() -> None:
    assert sum(path.stat().st_size for path in (ROOT / "docs" / "pictures").iterdir()) < 400_000


def test_every_page_is_in_the_index() -> None:
    docs = ROOT / "docs"
    linked = {(docs / target).resolve() for target in LINK.findall((docs / "index.md").read_text("utf-8"))}
    files = [path for path in docs.rglob("*.md") if not path.name.endswith(".template.md")]
    assert [path.name for path in files if path.resolve() not in linked and path != docs / "index.md"] == []


@pytest.mark.parametrize("target", ["gone.md", "design.md#no-such-heading", "#no-such-heading"])
def test_a_dead_link_is_found(target: str) -> None:
    assert leads_nowhere(ROOT / "docs" / "maintainers" / "design.md", target)


def test_constraints_are_exact_versions_and_nothing_else() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+", line)] == []
    names = [re.sub(r"[-_.]+", "-", line.split("==")[0]).lower() for line in lines]
    assert len(set(names)) == len(names)


def test_constraints_fit_what_the_project_requires() -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pinned = {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in lines}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    for line in [*project["dependencies"], *(line for extra in extras for line in extra)]:
        requirement = Requirement(line)
        version = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version, prereleases=True), f"{line}, but constraints.txt has {version}"


def test_readme_and_changelog_are_there() -> None:
    assert "# topwork" in (ROOT / "README.md").read_text("utf-8").lower()
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text("utf-8")
