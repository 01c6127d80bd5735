"""Run every benchmark that needs no data of its own; each prints a table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPTS = (
    ["extraction.py"],
    ["scaling.py"],
    ["using.py"],
    ["precision.py"],
    ["fine_tuning.py"],
    ["training_step.py"],
    ["linear_svm.py"],
    ["serving.py"],
    ["accuracy.py", "elpv"],
)

for script, *words in SCRIPTS:
    print(f"== {script}", flush=True)
    subprocess.run([sys.executable, str(Path(__file__).with_name(script)), *words], check=True)
