"""What a comparison says before it begins, and while it is not finished: the plan, and the answer so far.

The order of work is that of ``strategies.work_order``: what says most soonest.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from topwork.core import commands
from topwork.core.config import Config
from topwork.core.names import split_models, strategy_of
from topwork.core.strategy_config import CPU_MINUTES
from topwork.strategies import info_of, work_order

if TYPE_CHECKING:
    from topwork.training.context import RunContext

MIN_SECONDS = 10.0  # between two reports, except where networks follow


def describe_plan(config: Config, device_type: str, folder: Path, parallel: int = 1) -> list[str]:
    """What a comparison is going to do, in lines for the log.

    Args:
        config: As requested.
        device_type: ``"cpu"``, ``"cuda"``, ...
        folder: It writes to.
        parallel: Trainings at the same time.
    """
    from topwork.evaluation.verdict_text import join_names

    order = work_order(config.strategies)
    heads = [name for name in order if not info_of(name).trains_network]
    networks = [f"{name}{_budget(name, config, device_type)}" for name in order if info_of(name).trains_network]
    lines = []
    if heads:
        lines.append(f"{join_names(heads)}: classifiers on features of the pretrained network, for a first answer soon")
    if any(len(split_models(model)) > 1 for model in config.models or (config.backbone.model,)):
        lines.append("scratch and finetune train one network, so they are not compared on joined ones")
    if networks:
        lines.append(
            f"{'then ' if heads else ''}{join_names(networks)}: training of a whole network, which takes longest"
        )
    if config.folds:
        lines.append(f"all of it {config.folds} times, once for each fold")
    elif config.n_seeds > 1:
        lines.append(f"then again with {config.n_seeds - 1} more {'seed' if config.n_seeds == 2 else 'seeds'}")
    if parallel > 1:
        lines.append(f"{parallel} trainings at a time")
    lines.append(f"{folder / 'report.html'} can be read as soon as a strategy has finished, and is updated after each")
    lines.append(f"Ctrl-C stops and loses nothing; to continue: {commands.command('compare', '--resume', folder)}")
    return [f"{'Plan' if number == 0 else '':10}{line}" for number, line in enumerate(lines)]


def _budget(name: str, config: Config, device_type: str) -> str:
    """`` (5 to 15 min on this CPU)``; empty where something else limits the time."""
    settings = config.settings[name]
    explicit = getattr(settings, "epochs", "auto") != "auto" or getattr(settings, "minutes", None)
    if device_type != "cpu" or explicit or strategy_of(name) not in CPU_MINUTES:
        return ""
    usual, longest = (f"{minutes:.0f}" for minutes in CPU_MINUTES[strategy_of(name)])
    return f" (about {usual if usual == longest else f'{usual} to {longest}'} min on this CPU)"


class InterimReports:
    """The report of a comparison and a line in the log after each strategy but the last.

    Args:
        context: Of the comparison.
        names: Its strategies in the order of work.
    """

    def __init__(self, context: RunContext, names: Sequence[str]) -> None:
        self._context, self._waiting = context, list(names)
        self._last = time.monotonic()

    def finished(self, name: str) -> None:
        """A strategy has finished."""
        if name not in self._waiting:
            return
        self._waiting.remove(name)
        networks_follow = any(info_of(other).trains_network for other in self._waiting)
        heads_follow = any(not info_of(other).trains_network for other in self._waiting)
        due = time.monotonic() - self._last >= MIN_SECONDS
        if not self._waiting or not (due or (networks_follow and not heads_follow)):
            return
        self._write()
        self._last = time.monotonic()

    def _write(self) -> None:
        from topwork.evaluation.answer import answer
        from topwork.evaluation.verdict_text import join_names
        from topwork.pipeline.report_images import load_small
        from topwork.report.folder_evaluation import evaluate_folder
        from topwork.report.render import write_report
        from topwork.report.shown_images import write_folder_thumbnails

        context, folder = self._context, self._context.folder
        write_folder_thumbnails(folder, partial(load_small, context.manifest))
        write_report(folder)
        verdict = evaluate_folder(folder).verdict
        for number, sentence in enumerate(answer(verdict) if verdict else ()):
            context.progress.log(f"{'So far:' if number == 0 else '':9} {sentence}")
        verb = "is" if len(self._waiting) == 1 else "are"
        context.progress.log(
            f"{'':9} {join_names(self._waiting)} {verb} still to be trained. Report so far: {folder / 'report.html'}"
        )
