"""What a panel agrees on and how far to trust it, in plain words that follow from numbers."""

import itertools
from collections.abc import Sequence

import numpy as np
from scipy.stats import spearmanr

from pellucid.render.heatmap import PLACES, is_picture, plane
from pellucid.results.attribution import Attribution
from pellucid.results.report import Report

GRID = 7
_CLOSELY, _MODERATELY = 0.7, 0.4


def statements(report: Report) -> list[str]:
    """The report in brief, one sentence per fact, the most important first."""
    said = [_prediction(report), *_agreed(report.panel, report.question), *_trust(report), *_warnings(report)]
    return [*said, *_handling(report), _limits(report)]


def regions(result: Attribution) -> tuple[np.ndarray, list[str]]:
    """One score per region that a person can name: the squares of a 7 × 7 grid of a picture, else the features."""
    if not is_picture(result):
        scores = result.by_feature()[0].double().numpy()
        return scores, [result.label(0, number) for number in range(len(scores))]
    values = plane(result)
    rows, columns = (np.arange(size) * GRID // size for size in values.shape)
    cells = (rows[:, None] * GRID + columns[None]).ravel()
    number = cells.max() + 1
    names = [PLACES[(cell // GRID * 3 // GRID) * 3 + cell % GRID * 3 // GRID] for cell in range(number)]
    return np.bincount(cells, values.ravel(), number), names


def rank_agreement(panel: Sequence[Attribution]) -> float | None:
    """The mean Spearman correlation of the regions' scores over all pairs of methods; None for fewer than two."""
    comparable = [scores for scores, _ in map(regions, panel)]
    pairs = [
        float(spearmanr(one, other).statistic)
        for one, other in itertools.combinations(comparable, 2)
        if one.shape == other.shape and len(one) > 2 and np.ptp(one) > 0 and np.ptp(other) > 0
    ]
    return float(np.mean(pairs)) if pairs else None


def shared_regions(panel: Sequence[Attribution]) -> tuple[list[str], float]:
    """Names of the regions that at least three quarters of the methods rank in their top fifth and score above zero,
    and the mean share of all positive score that lies in them."""
    scored = [regions(result) for result in panel]
    shape = scored[0][0].shape
    scored = [(scores, names) for scores, names in scored if scores.shape == shape]
    top = max(1, round(shape[0] / 5))
    votes, names = np.zeros(shape[0], dtype=int), scored[0][1]
    for scores, _ in scored:
        best = np.argsort(-scores, kind="stable")[:top]
        votes[best[scores[best] > 0]] += 1
    chosen = np.flatnonzero(votes >= max(1, int(np.ceil(0.75 * len(scored)))))
    shares = [np.clip(s, 0, None)[chosen].sum() / max(np.clip(s, 0, None).sum(), 1e-30) for s, _ in scored]
    return list(dict.fromkeys(names[number] for number in chosen)), float(np.mean(shares))


def _prediction(report: Report) -> str:
    top = report.top(2)
    if report.probabilities is None:
        return f"The model answers {float(report.scores[report.target]):.4g} for {report.question}."
    first = f"The model's first answer is {top[0]['label']} with a probability of {top[0]['probability']:.1%}"
    second = f", then {top[1]['label']} with {top[1]['probability']:.1%}" if len(top) > 1 else ""
    asked = ""
    if report.target != top[0]["index"]:
        asked = f" You asked about {report.question}, which it gives {float(report.probabilities[report.target]):.1%}."
    unsure = (
        " It is not sure: read the maps as what tips the balance." if top[0]["probability"] < 0.5 and not asked else ""
    )
    return f"{first}{second}.{asked}{unsure}"


def _agreed(panel: Sequence[Attribution], question: str) -> list[str]:
    if len(panel) < 2:
        return ["Only one method was asked, so there is nothing to agree on."]
    names, share = shared_regions(panel)
    what = "places" if is_picture(panel[0]) else f"{panel[0].features.kind}s"
    if names:
        listed = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
        said = [
            f"At least three quarters of the {len(panel)} methods find the strongest evidence for {question} in the same "
            f"{what}: {listed}. There they put {share:.0%} of everything that speaks for it."
        ]
    else:
        said = [f"The {len(panel)} methods do not agree on any {what[:-1]} among their strongest for {question}."]
    agreement = rank_agreement(panel)
    if agreement is not None:
        how = "closely" if agreement >= _CLOSELY else "moderately" if agreement >= _MODERATELY else "poorly"
        so = "" if agreement >= _MODERATELY else ", so do not rely on a single map"
        said.append(f"Their rankings of all {what} agree {how} (mean rank correlation {agreement:.2f}){so}.")
    return said


def _trust(report: Report) -> list[str]:
    evaluation = report.evaluation
    if evaluation is None:
        return ["The maps were not scored, so nothing here shows that they are right."]
    good = [name for name in evaluation.names if all(evaluation.beats(name, control) for control in evaluation.control)]
    bad = [name for name in evaluation.names if name not in good]
    if good and not bad:
        return [
            f"Destroying what the maps call important hurts the score more than any control (random, edges, constant) does, "
            f"for all {len(good)} of them with intervals that do not overlap: they point at what the network uses."
        ]
    if good:
        do = "does" if len(bad) == 1 else "do"
        return [
            f"Destroying what {_listed(good)} call{'s' if len(good) == 1 else ''} important hurts the score more than any "
            f"control does, with intervals that do not overlap; {_listed(bad)} {do} not "
            "stand out from maps that know nothing about the network, so trust the former more."
        ]
    pick = max if evaluation.higher_is_better else min
    best = pick(zip(evaluation.value.tolist(), evaluation.names, strict=True))
    chance = evaluation.control.get("random")
    range_of = "" if chance is None else f" a random map would score {chance[1]:.2f} to {chance[2]:.2f};"
    return [
        f"On this example no map stands out from all maps that know nothing about the network ({range_of.strip()} the best "
        f"here is {best[1]} with {best[0]:.2f}): take the maps as hints, not as proof."
    ]


def _warnings(report: Report) -> list[str]:
    said = []
    for result in report.panel:
        name = result.provenance.method if result.provenance else "a method"
        if result.reaching is not None and abs(float(result.reaching[0])) < 0.05:
            said.append(f"Under 5 % of the score arrives at the input in {name}: its colours rank, but do not add up.")
        if result.converged is not None and not bool(result.converged[0]):
            said.append(f"{name} did not reach its tolerance; its map is approximate.")
        if "r2" in result.quality and float(result.quality["r2"][0]) < 0.5:
            said.append(
                f"The simple model of {name} explains only {float(result.quality['r2'][0]):.0%} of what it saw."
            )
    return said


def _handling(report: Report) -> list[str]:
    return [f"The input was changed before the model saw it: {note}." for note in report.notes]


def _limits(report: Report) -> str:
    kind = {"image": "picture", "text": "text", "tabular": "row"}.get(report.modality, "input")
    return f"All of this is about this one {kind}; it says nothing about how the model behaves in general."


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
