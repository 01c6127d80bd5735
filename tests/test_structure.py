"""The map in docs/maintainers/design.md, held by reading the source as a syntax tree: imports, sizes, and no pickle.

Each rule is a function of a package folder that returns what is wrong with it, so that the same rule can be run on
the real source, where it must find nothing, and on a planted bad tree, where it must find the fault.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import groupby
from operator import attrgetter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "topwork"
PACKAGE = "topwork"

# From the ground up. A package imports only packages of lower floors; packages on one floor do not know each other.
FLOORS = (
    ("core",),
    ("backbones", "compute", "data", "evaluation", "linear"),
    ("features", "report", "training"),
    ("strategies",),
    ("bundle",),
    ("explain",),
    ("inference",),
    ("pipeline", "serving"),
    ("cli",),
)
FLOOR_OF = {room: number for number, floor in enumerate(FLOORS) for room in floor}
TORCH = {"torch", "torchvision", "timm"}
# What must not load before a command is known: --help answers in an instant.
HEAVY = TORCH | {"sklearn", "scipy", "matplotlib", "jinja2", "huggingface_hub"}
# What needs no torch, directly or through what it imports.
LIGHT = (
    "core", "evaluation", "report", "compute.process_pool", "compute.ranks", "pipeline.configure", "pipeline.doctor",
)  # fmt: skip
# Package -> the files and folders that may import it.
ONLY_IN = {
    "timm": ("backbones/",),
    "jinja2": ("report/",),
    "matplotlib": ("report/charts.py", "report/plots.py", "explain/"),
    "typer": ("cli/",),
    **dict.fromkeys(("fastapi", "starlette", "uvicorn", "prometheus_client", "python_multipart"), ("serving/",)),
    **dict.fromkeys(("onnx", "onnxruntime", "onnxscript"), ("inference/export/",)),
    "openvino": ("features/engines.py",),
    "fsspec": ("data/remote.py",),
    "tensorboard": ("training/callbacks/tensorboard.py",),
    **dict.fromkeys(("pillow_heif", "pydicom"), ("data/optional_formats.py",)),
    "pyarrow": ("data/sources/parquet.py",),
}
EXTRAS = ONLY_IN.keys() - {"timm", "jinja2", "matplotlib", "typer"}
UNPICKLERS = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
MAX_FILE = 400
MAX_FUNCTION = 60


@dataclass(frozen=True)
class Import:
    """One import: its file, the module it names, whether it runs when the file is loaded, or never (``for_types``)."""

    file: str
    line: int
    module: str
    on_load: bool
    for_types: bool

    @property
    def package(self) -> str:
        return self.module.split(".")[0]

    @property
    def inner(self) -> str:
        """The module below ``topwork``, e.g. ``data.split``; empty for the package itself and for others."""
        return self.module.removeprefix(PACKAGE).removeprefix(".") if self.package == PACKAGE else ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.module}"


def source_files(root: Path) -> list[Path]:
    return sorted(root.rglob("*.py"))


def is_module(root: Path, dotted: str) -> bool:
    path = root.joinpath(*dotted.split(".")[1:])
    return path.is_dir() or path.with_suffix(".py").is_file()


def module_of(root: Path, file: Path) -> str:
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join([PACKAGE, *(parts[:-1] if parts[-1] == "__init__" else parts)])


def names_of(root: Path, file: Path, node: ast.Import | ast.ImportFrom) -> list[str]:
    """The full names of the modules that one statement names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    start = node.module or ""
    if node.level:
        here = module_of(root, file).split(".")[: None if file.name == "__init__.py" else -1]
        start = ".".join([*here[: len(here) - node.level + 1], *([start] if start else [])])
    inside = start.split(".")[0] == PACKAGE
    whole = [f"{start}.{alias.name}" for alias in node.names]
    return [name if inside and is_module(root, name) else start for name in whole]


@functools.cache
def parsed(text: str) -> ast.Module:
    return ast.parse(text)


def imports(root: Path) -> list[Import]:
    """Every import in every file, at any depth."""
    return [item for file in source_files(root) for item in imports_of(root, file, file.read_text("utf-8"))]


@functools.cache
def imports_of(root: Path, file: Path, text: str) -> list[Import]:
    found = []

    def visit(node: ast.AST, on_load: bool, for_types: bool) -> None:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for name in names_of(root, file, node):
                found.append(Import(file.relative_to(root).as_posix(), node.lineno, name, on_load, for_types))
        for_types = for_types or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        later = for_types or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, on_load and not later, for_types)

    visit(parsed(text), True, False)
    return found


def loaded_with(root: Path, start: str, known: dict[str, list[Import]]) -> dict[str, str]:
    """All packages from elsewhere that importing ``start`` loads, each with the import that does it."""
    seen: set[str] = set()
    outside: dict[str, str] = {}
    todo = [start]
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        if "." in name:
            todo.append(name.rpartition(".")[0])  # a package is loaded before what is in it
        path = root.joinpath(*name.split(".")[1:])
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        for item in known.get(file.relative_to(root).as_posix(), []):
            if not item.on_load:
                continue
            if item.package == PACKAGE:
                todo.append(item.module)
            else:
                outside.setdefault(item.package, str(item))
    return outside


def nothing_at_the_root(root: Path) -> Iterator[str]:
    """The package root holds no module, and every folder in it is on a floor."""
    for path in sorted(root.iterdir()):
        if path.is_file() and path.name not in {"__init__.py", "__main__.py", "py.typed"}:
            yield f"{path.name} is at the package root"
        if path.is_dir() and path.name not in FLOOR_OF and path.name != "__pycache__":
            yield f"{path.name}/ is not in FLOORS"


def packages_describe_themselves(root: Path) -> Iterator[str]:
    """The docstring of a package on a floor says in at most seven lines what it holds, what enters and what leaves."""
    for room in FLOOR_OF:
        file = root / room / "__init__.py"
        text = ast.get_docstring(parsed(file.read_text("utf-8"))) or "" if file.is_file() else ""
        if file.is_file() and not ("Enters:" in text and "Leaves:" in text and len(text.splitlines()) <= 8):
            yield f"{room}/__init__.py says not what it holds, what enters and what leaves"


def only_lower_floors(root: Path) -> Iterator[str]:
    """A package imports only what is below it, also inside functions; the public names are for users alone."""
    for item in imports(root):
        room, imported = item.file.split("/")[0], item.inner.split(".")[0]
        if item.package != PACKAGE or room not in FLOOR_OF or imported == room:
            continue
        if FLOOR_OF.get(imported, len(FLOORS)) >= FLOOR_OF[room]:
            yield f"{item}, which is not below {room}"


def no_loops(root: Path) -> Iterator[str]:
    """No files import each other in a loop, also inside functions; for type checkers alone they may."""
    known: dict[str, set[str]] = {}
    for item in imports(root):
        own = module_of(root, root / item.file)
        if item.package == PACKAGE and item.module != own and not item.for_types:
            known.setdefault(own, set()).add(item.module)
    try:
        TopologicalSorter(known).prepare()
    except CycleError as error:
        yield " -> ".join(error.args[1])


def strategies_apart(root: Path) -> Iterator[str]:
    """Only ``strategies/__init__.py`` names the strategies; they share what is not in its dict."""
    own = set(re.findall(r'^ *"(\w+)": ', (root / "strategies/__init__.py").read_text("utf-8"), re.MULTILINE))
    for item in imports(root):
        inside = item.file.startswith("strategies/") and item.file != "strategies/__init__.py"
        if inside and item.inner in {"strategies", *(f"strategies.{name}" for name in own)}:
            yield str(item)


def libraries_in_their_place(root: Path) -> Iterator[str]:
    for item in imports(root):
        if not item.file.startswith(ONLY_IN.get(item.package, "")):
            yield str(item)
        elif item.package in EXTRAS and item.on_load:
            yield f"{item} when it is loaded; the extra may not be installed"


def light_where_light(root: Path) -> Iterator[str]:
    """What these modules load, through whatever they import, is free of torch; the command line of more."""
    known = {file: [*found] for file, found in groupby(imports(root), attrgetter("file"))}
    for file in source_files(root):
        name = module_of(root, file)
        inner = name.removeprefix(PACKAGE).removeprefix(".")
        if (inner + ".").startswith(tuple(light + "." for light in LIGHT)):
            forbidden = TORCH | ({"rich"} if inner == "core.progress" else set())
        elif inner in {"", "__main__"} or inner.split(".")[0] == "cli":
            forbidden = HEAVY
        else:
            continue
        for package, why in loaded_with(root, name, known).items():
            if package in forbidden:
                yield f"loading {name} loads {package}: {why}"


def files_and_functions_are_short(root: Path) -> Iterator[str]:
    """Of a function it counts the lines of the body after the docstring; signature and docstring are free."""
    for file in source_files(root):
        where, text = file.relative_to(root).as_posix(), file.read_text("utf-8")
        if (count := len(text.splitlines())) > MAX_FILE:
            yield f"{where} has {count} lines; at most {MAX_FILE}"
        for node in ast.walk(parsed(text)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
            count = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            if count > MAX_FUNCTION:
                yield f"{where}:{node.lineno} {node.name} has {count} lines; at most {MAX_FUNCTION}"


def opening_runs_no_code(root: Path) -> Iterator[str]:
    """No unpickler is imported, and no reader of torch, numpy or pandas is told or left to unpickle."""
    for item in imports(root):
        if item.package in UNPICKLERS:
            yield str(item)
    for file in source_files(root):
        for node in ast.walk(parsed(file.read_text("utf-8"))):
            where = f"{file.relative_to(root).as_posix()}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.ImportFrom) and node.module == "torch" and "load" in {a.name for a in node.names}:
                yield f"{where} imports load by itself; write torch.load"
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if given.get("weights_only", "True") != "True" or given.get("allow_pickle", "False") != "False":
                yield f"{where} {called} is told to unpickle"
            if called == "torch.load" and "weights_only" not in given:
                yield f"{where} {called} does not say weights_only=True"
            if called.endswith("read_pickle") or called in {"eval", "exec"}:
                yield f"{where} calls {called}"


RULES: list[Callable[[Path], Iterator[str]]] = [
    nothing_at_the_root, packages_describe_themselves, only_lower_floors, no_loops, strategies_apart,
    libraries_in_their_place, light_where_light, files_and_functions_are_short, opening_runs_no_code,
]  # fmt: skip


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_source_keeps_rule(rule: Callable[[Path], Iterator[str]]) -> None:
    assert source_files(SOURCE), "no source found"
    assert list(rule(SOURCE)) == []


GOOD = {
    "__init__.py": "def __getattr__(name):\n    from topwork.pipeline import api\n    return getattr(api, name)\n",
    "__main__.py": "from topwork.cli import main\nmain()\n",
    "core/errors.py": "import difflib\n",
    "core/storage.py": "from topwork.core.errors import TopworkError\nfrom . import errors\n",
    "core/progress.py": "def bar():\n    import rich.progress\n",
    "cli/__init__.py": "'Enters: a. Leaves: b.'\nimport typer\ndef main():\n    from topwork.pipeline import api\n",
    "compute/devices.py": "import torch\n",
    "data/splits.py": "import numpy as np\nfrom ..core import errors\n",
    "backbones/__init__.py": "'Enters: a. Leaves: b.'\nimport timm\n",
    "strategies/__init__.py": '"Enters: a. Leaves: b."\nSTRATEGIES = {\n    "mlp": 1,\n    "svm": 2,\n}\n',
    "strategies/base.py": "import torch\nx = safetensors.torch.load(b'')\n",
    "strategies/mlp.py": "from topwork.strategies.base import Strategy\nfrom . import base\nfrom .base import x\n",
    "strategies/svm.py": "import sklearn.svm\nx = torch.load('a', weights_only=True)\n",
    "evaluation/metrics.py": "import numpy\nif TYPE_CHECKING:\n    import rich\n",
    "report/render.py": "import jinja2\n",
    "report/charts.py": "import matplotlib.figure\n",
    "pipeline/api.py": "import torch\nfrom topwork.data import splits\nfrom topwork.strategies import STRATEGIES\n",
}
LONG = "def f():\n    '''" + "word\n" * 70 + "'''\n" + "    x = 1\n"
BAD = [
    (nothing_at_the_root, "errors.py", ""),
    (nothing_at_the_root, "helpers/__init__.py", ""),
    (packages_describe_themselves, "data/__init__.py", "import numpy"),
    (only_lower_floors, "core/config.py", "from topwork.strategies import STRATEGIES"),
    (only_lower_floors, "core/errors.py", "from topwork import compare"),
    (only_lower_floors, "backbones/layers.py", "def f():\n    from ..data.splits import x"),
    (only_lower_floors, "report/render.py", "from topwork.pipeline.api import compare"),
    (only_lower_floors, "pipeline/api.py", "from topwork import cli"),
    (no_loops, "core/errors.py", "def f():\n    from topwork.core.storage import write"),
    (no_loops, "strategies/base.py", "from topwork.strategies import mlp"),
    (strategies_apart, "strategies/mlp.py", "from topwork.strategies.svm import Svm"),
    (strategies_apart, "strategies/mlp.py", "from . import svm"),
    (strategies_apart, "strategies/base.py", "import topwork.strategies.mlp"),
    (libraries_in_their_place, "pipeline/api.py", "import timm.models"),
    (libraries_in_their_place, "report/render.py", "from matplotlib import pyplot"),
    (libraries_in_their_place, "inference/predict.py", "def f():\n    import fastapi"),
    (libraries_in_their_place, "serving/app.py", "from fastapi import FastAPI"),
    (libraries_in_their_place, "data/remote.py", "import fsspec"),
    (light_where_light, "core/storage.py", "import torch"),
    (light_where_light, "cli/__init__.py", "try:\n    import scipy.stats\nexcept ImportError: pass"),
    (light_where_light, "__init__.py", "from topwork.pipeline.api import compare"),
    (light_where_light, "evaluation/metrics.py", "from topwork.compute.devices import x"),
    (light_where_light, "report/__init__.py", "class A:\n    import topwork.backbones"),
    (light_where_light, "core/progress.py", "import rich"),
    (files_and_functions_are_short, "pipeline/api.py", "\n" * MAX_FILE + "x = 1"),
    (files_and_functions_are_short, "pipeline/api.py", "def f():\n" + "    x = 1\n" * (MAX_FUNCTION + 1)),
    (
        files_and_functions_are_short,
        "pipeline/api.py",
        "class A:\n  async def f(self):\n    '''Say.'''\n" + "    x = 1\n" * 61,
    ),
    (opening_runs_no_code, "core/storage.py", "def f():\n    from joblib import load"),
    (opening_runs_no_code, "pipeline/api.py", "torch.load('a')"),
    (opening_runs_no_code, "pipeline/api.py", "torch.load('a', weights_only=False)"),
    (opening_runs_no_code, "pipeline/api.py", "np.load('a', allow_pickle=True)"),
]


def plant(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, "utf-8")
    return root


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_accepts_good_tree(rule: Callable[[Path], Iterator[str]], tmp_path: Path) -> None:
    root = plant(tmp_path / PACKAGE, {**GOOD, "features/long_docstring.py": LONG})
    assert list(rule(root)) == []


@pytest.mark.parametrize(("rule", "file", "text"), BAD, ids=lambda value: getattr(value, "__name__", None))
def test_rule_finds_planted_fault(rule: Callable[[Path], Iterator[str]], file: str, text: str, tmp_path: Path) -> None:
    root = plant(tmp_path / PACKAGE, {**GOOD, file: text + "\n"})
    assert list(rule(root))


def test_every_rule_has_a_planted_fault() -> None:
    assert {rule for rule, _, _ in BAD} == set(RULES)
