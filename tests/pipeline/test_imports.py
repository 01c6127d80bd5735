"""A training in a script works whatever the script has imported before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

SCRIPT = """
import sys

import timm  # then the modules of topwork itself are what two threads import at once
import topwork

data, model, weights = sys.argv[1:]
topwork.train(data, "knn", model=model, weights=weights, out="run", img_size=32, workers=0, threads=1)
"""


def test_a_script_may_have_imported_torch_and_timm(photos: Path, tmp_path: Path, tiny_network: dict[str, Any]) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "script.py", str(photos), *tiny_network.values()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Exception in thread" not in done.stderr
