"""The methods paragraph of a paper, from the facts of a run or comparison. Pure functions, plain text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from topwork.core.names import strategies_of
from topwork.evaluation import target_metric
from topwork.evaluation.calibration import BINS
from topwork.evaluation.metrics import METRIC_NAMES
from topwork.evaluation.paired import RESAMPLES
from topwork.evaluation.target_metric import NAMES
from topwork.evaluation.verdict_text import join_names, metric_value, verdict_sentences
from topwork.report.formatting import format_value
from topwork.report.report_data import ReportData

REFERENCES = {
    "Korn & Graubard 1998": "Korn, E. L., & Graubard, B. I. (1998). Confidence intervals for proportions with small "
    "expected number of positive counts estimated from survey data. Survey Methodology, 24, 193-201.",
    "Wilson 1927": "Wilson, E. B. (1927). Probable inference, the law of succession, and statistical inference. "
    "Journal of the American Statistical Association 22, 209-212.",
    "Connor 1987": "Connor, R. J. (1987). Sample size for testing differences in proportions for the paired-sample "
    "design. Biometrics 43, 207-211.",
    "DeLong et al. 1988": "DeLong, E. R., DeLong, D. M. & Clarke-Pearson, D. L. (1988). Comparing the areas under two "
    "or more correlated receiver operating characteristic curves. Biometrics 44, 837-845.",
    "McNemar 1947": "McNemar, Q. (1947). Note on the sampling error of the difference between correlated proportions "
    "or percentages. Psychometrika 12, 153-157.",
    "Holm 1979": "Holm, S. (1979). A simple sequentially rejective multiple test procedure. Scandinavian Journal of "
    "Statistics 6, 65-70.",
    "Rao & Wu 1988": "Rao, J. N. K. & Wu, C. F. J. (1988). Resampling inference with complex survey data. Journal of "
    "the American Statistical Association 83, 231-241.",
    "Guo et al. 2017": "Guo, C., Pleiss, G., Sun, Y. & Weinberger, K. Q. (2017). On calibration of modern neural "
    "networks. ICML. arXiv 1706.04599.",
    "Hestness et al. 2017": "Hestness, J. et al. (2017). Deep learning scaling is predictable, empirically. arXiv "
    "1712.00409.",
    "Wightman 2019": "Wightman, R. (2019). PyTorch Image Models. doi 10.5281/zenodo.4414861.",
}
_INTERVALS = {
    "balanced-accuracy": "Balanced accuracy has score intervals with the number of images that has its variance.",
    "macro-f1": "Macro-F1 has score intervals with the number of images that has its variance (delta method).",
    "roc-auc": "The area under the ROC curve (of more than two classes the mean over each against the rest) has "
    "intervals that are symmetric on the logit scale.",
    "log-loss": "Log-loss has intervals that are symmetric on the log scale.",
}
_LINEARIZED = {
    "macro-f1": ", linearized halfway between the two confusion matrices",
    "roc-auc": ", by the placements of DeLong et al. 1988",
}
VERSIONS = ("python", "torch", "timm", "numpy", "scipy", "scikit-learn", "pillow")


def methods(data: ReportData) -> list[str]:
    """The paragraph, one sentence per entry; it states only what is in the files."""
    return [*_data(data), *_training(data), *_statistics(data), *_software(data)]


def paper(data: ReportData) -> str:
    """``paper.md``: the paragraph, the results, the caption of the figure, the references."""
    results = [] if data.verdict is None else verdict_sentences(data.verdict)
    images = f"{data.verdict.images:,} test images" if data.verdict else "the test images"
    line = "" if data.baseline is None else f" Dotted: {target_metric.describe_baseline(data.metric)}."
    metric = METRIC_NAMES[target_metric.key(data.metric)]
    sections = [
        "## Methods", " ".join(methods(data)),
        "## Results", " ".join(results),
        f"![{metric} by strategy](paper.svg)",
        f"{metric} on {images} of {data.data.name}, with 95 % intervals.{line}",
        "## References", "\n".join(f"- {entry}" for entry in references(data)),
    ]  # fmt: skip
    return "\n\n".join(section for section in sections if section) + "\n"


def references(data: ReportData) -> list[str]:
    """The works cited in the paragraph, in alphabetical order."""
    text = " ".join(methods(data))
    return [full for short, full in sorted(REFERENCES.items()) if short in text]


def _data(data: ReportData) -> list[str]:
    d = data.data
    license = f"; license {d.license}" if d.license else ""
    aside = f" {len(d.excluded):,} images could not be used and were excluded." if d.excluded else ""
    first = f"The data set {d.name} has {d.images:,} images of {len(d.classes)} classes{license}.{aside}"
    folds = data.requested.get("folds")
    note = f", {d.split_note.rstrip('.')}" if d.split_note else ""
    digest = f"; SHA-256 of the list of images and splits: {data.split_hash}" if data.split_hash else ""
    splits = ", ".join(f"{d.total(split):,} for {use}" for split, use in _SPLITS)
    if folds:
        return [
            first,
            f"Every image was tested once in {folds}-fold cross-validation (first fold: {splits}{note}{digest}).",
        ]
    return [first, f"They were split once ({splits}{note}{digest})."]


_SPLITS = (("train", "training"), ("val", "validation"), ("test", "testing"))


def _training(data: ReportData) -> list[str]:
    names, cite = [s.name for s in data.strategies], " (Wightman 2019)" if data.environment.get("timm") else ""
    lines = []
    if data.backbones:
        networks = join_names([_describe_network(backbone) for backbone in data.backbones])
        strategies = strategies_of(names)
        verb, several = "uses" if len(strategies) == 1 else "use", "s" if len(data.backbones) > 1 else ""
        lines.append(f"{join_names(strategies)} {verb} the network{several} {networks}{cite}.")
    if data.requested.get("balance"):
        lines.append("In training each class counted as much as every other (weights N / (K n_k) of the images).")
    tune = data.requested.get("trials")
    tried = f" {tune} settings of each strategy were tried." if tune else ""
    lines.append(f"{choices(data)}{tried}")
    by_epoch = [s.name for s in data.finished if s.history]
    paired, by = ("exact paired", "") if data.metric == "accuracy" else ("sign-flip", f" of the {NAMES[data.metric]}")
    if by_epoch:
        lines.append(
            f"Of the epochs of {join_names(by_epoch)} the latest was kept that was not worse on "
            f"held-out images than the best before it by more than chance ({paired} test{by}, p < 0.32)."
        )
    seed, seeds = data.requested.get("seed", 0), int(data.requested.get("n_seeds") or 1)
    once = [s.name for s in data.verdict.results if s.std is None] if data.verdict and seeds > 1 else []
    fitted = f"; {join_names(once)}, which {'does' if len(once) == 1 else 'do'} not depend on it, once" if once else ""
    many = (
        f"Each strategy was trained with {seeds} seeds, starting with {seed}{fitted}."
        if seeds > 1
        else f"The seed is {seed}."
    )
    return [*lines, many]


def _describe_network(backbone: Mapping[str, Any]) -> str:
    facts = (("weights: ", "weights"), ("input ", "input"))
    known = "; ".join(f"{text}{backbone[key]}" for text, key in facts if backbone.get(key))
    return f"{backbone.get('model')}{f' ({known})' if known else ''}"


def choices(data: ReportData) -> str:
    """Who learned from which images, and what chose its settings."""
    joined = {s.name: s.folds for s in data.finished if s.folds}
    apart = [s.name for s in data.finished if not s.folds]
    text = ""
    if joined:
        folds = " or ".join(map(str, sorted(set(joined.values()))))
        text = (
            f"{join_names(list(joined))} learned from the training and validation images together; out-of-fold "
            f"predictions of these images ({folds} folds, duplicates and groups kept together) chose the settings and "
            "calibrated the probabilities. "
        )
    if apart:
        text += (
            f"{join_names(apart)} learned from the training images; the validation set chose epochs and settings and "
            "calibrated the probabilities. "
        )
    advice = f" ({data.metric_advice})" if data.metric_advice else ""
    by = f"All choices were made by {NAMES[data.metric]}{advice}. "
    return f"{text}{by}The test set was used once, at the end."


def _statistics(data: ReportData) -> list[str]:
    verdict = data.verdict
    over, groups = (verdict.repeats[0], verdict.groups) if verdict else ("", None)
    number = " with the effective number of images" if over == "seeds" or groups else ""
    lines = [f"Accuracy has 95 % score intervals (Wilson 1927){number}."]
    if data.metric in _INTERVALS:
        lines.append(_INTERVALS[data.metric])
    if groups:
        lines.append(
            f"Images of one group (or duplicates) are not independent: intervals are widened by the design effect, "
            f"with Student's t of {groups - 1:,} degrees of freedom (Korn & Graubard 1998)."
        )
    if verdict and verdict.pairs:
        sums = "seeds and groups" if over == "seeds" and groups else "groups" if groups else over
        test = f"an exact sign-flip test of the sums over {sums} (of single images: McNemar 1947)" if (
            over == "seeds" or groups) else "the exact test of McNemar 1947"  # fmt: skip
        if verdict.metric != "accuracy":
            what = f"what {'each group of images' if groups else 'each image'} adds to the difference in"
            test = f"a sign-flip test of {what} {NAMES[verdict.metric]}{_LINEARIZED.get(verdict.metric, '')}"
        lines.append(
            f"Strategies were compared on the same {verdict.images:,} test images by {test}, corrected for "
            f"{len(verdict.pairs)} {'pair' if len(verdict.pairs) == 1 else 'pairs'} (Holm 1979); differences have "
            f"paired bootstrap intervals of {RESAMPLES:,} resamples, stratified by class (Rao & Wu 1988)."
        )
        hardest = max(verdict.pairs, key=lambda pair: pair.minimum_detectable_difference)
        lines.append(
            f"A true difference of {metric_value(hardest.minimum_detectable_difference, verdict.metric, ' points')} "
            "between any two of them would be detected with a probability of 80 % after this correction (Connor 1987)."
        )
    if verdict and verdict.recommendation and verdict.pairs:
        chosen, best = verdict.recommendation, "most accurate" if verdict.metric == "accuracy" else "best"
        lines.append(
            f"{chosen.name} was chosen on the {chosen.images:,} validation images, without the test images: the "
            "strategy with the shortest training, features and search included, that no other was significantly better "
            f"than (the same test); of those within 1.5 times that time the {best}."
        )
    if any(s.decision for s in data.finished):
        lines.append(
            "Probabilities were calibrated on images held out from the fit, logits with one temperature; the expected "
            f"calibration error has {BINS} bins of equal width (Guo et al. 2017)."
        )
    if data.curves:
        lines.append(
            "Learning curves are power laws fitted to the test error after training on nested subsets "
            "(Hestness et al. 2017)."
        )
    return lines


def _software(data: ReportData) -> list[str]:
    versions = [f"{name} {data.environment[name]}" for name in VERSIONS if data.environment.get(name)]
    using = f" with {', '.join(versions)}" if versions else ""
    device = ", ".join(f"{key} {format_value(value)}" for key, value in data.device.items())
    return [f"Computed by topwork {data.version}{using}{f' ({device})' if device else ''}."]
