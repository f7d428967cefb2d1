"""How every number of the page is computed; the column heads lead here."""

from __future__ import annotations

from dataclasses import dataclass

from deltann.comparison.power import ENOUGH
from deltann.comparison.precision import FLOOR, MOST, WORST, K, Precision
from deltann.comparison.ranking import RBO_P
from deltann.comparison.tolerance import DEFAULTS
from deltann.comparison.vacuity import NEAR_CONSTANT
from deltann.timing.series import FEWEST_ROUNDS

_TOLERANCES = ", ".join(f"{value:g} for {dtype}" for dtype, value in DEFAULTS.items())


@dataclass(frozen=True)
class Definition:
    """`key` is the anchor; `formula` as plain text; `source`: where it is from, where it is not plain."""

    key: str
    term: str
    meaning: str
    formula: str = ""
    source: str = ""


@dataclass(frozen=True)
class Group:
    """Definitions of one part of the page."""

    title: str
    definitions: tuple[Definition, ...]


GROUPS = (
    Group("Verdicts", (
        Definition("verdict", "Verdict of a pair",
            "DIFFER: outputs of other names, shapes or types; a number that is not finite on one side only; labels "
            "that differ beyond rounding and precision; a side that float64 finds unsound; or, beside a tolerance "
            "or a limit that the user set, what exceeds it. INCONCLUSIVE: these inputs could not have told, or a "
            "side differs from itself. AGREE: neither. A difference outweighs a doubt, and a doubt an agreement. "
            "The verdict of the run is that of its judged pairs in the same order."),
        Definition("judged", "Not judged",
            "A pair that the verdict of the run does not rest on: --reference names another environment, or both "
            "sides ran the very same artifact and options, so that their agreement says nothing."),
        Definition("blame", "Who is wrong",
            "The majority is the largest set of environments that all agree with each other, if it holds more than "
            "half of them and two backends at least. An environment outside it that float64 finds unsound is wrong "
            "by arbiter and majority; with one of the two, by that alone; otherwise it cannot be told. A sound one "
            "is never blamed, nor is native, the model itself: where it is the odd one out, its export is wrong."),
    )),
    Group("Labels", (
        Definition("labels", "Labels differ, rate",
            "Samples whose class of the highest score (the lowest index on a tie) is another on the two sides; a "
            "row with a NaN has no class and always differs.", "rate = samples that differ / samples"),
        Definition("interval", "95% interval",
            "The rates that this many samples leave possible: such intervals miss the true rate 5 times in 100.",
            "(k + z²/2 ± z·√(k(n − k)/n + z²/4)) / (n + z²), k of n samples, z = 1.96",
            "Wilson's score interval, JASA 1927, without continuity correction"),
        Definition("margin", "Margin",
            "In a table of best classes: the best score less the second best. Between two sides that disagree: by "
            "how much each prefers its own label to the other's. In the output's unit."),
        Definition("kind", "Kind of a disagreement",
            "Tie: float32 may choose either class. Precision: no tie, but each side is off float64 by no more than "
            "its precision explains, and its output is sound. Fault: neither. Beyond rounding: float64 did not see "
            "the sample, and a margin exceeds what two elements inside the tolerance can shift.",
            "explained: 2·bound at the coarser side's precision (see ‘Allowed error’); without float64 2·(atol + "
            "rtol·|top score|)"),
        Definition("topk", "Top-k differs",
            "Samples whose sets of the k best classes differ, in any order; k is 5, or one less than the classes."),
        Definition("tau", "τ",
            "Kendall's τ-b between the rankings of all classes, the mean over up to 512 evenly spaced samples; 1 "
            "is the same order, −1 the opposite.",
            "(concordant − discordant) / √((pairs − ties a)(pairs − ties b))", "Knight, JASA 1966"),
        Definition("rbo", "RBO",
            "Rank-biased overlap of the two rankings, extrapolated; high ranks weigh more; 1 is the same order.",
            f"X_C/C · p^C + (1 − p)/p · Σ X_d/d · p^d, X_d the overlap of the first d of C classes, p = {RBO_P:g}",
            "Webber, Moffat and Zobel, TOIS 2010, equation 32"),
        Definition("accuracy", "Accuracy", "Of the labelled samples, the share whose top-1 class is the label.",
            "correct / labelled"),
        Definition("mcnemar", "McNemar p",
            "Whether one side is more often right than the other by more than chance: of samples that only one "
            "side gets right, each side's share would be that of a coin. Adjusted over all pairs and outputs "
            "(Benjamini and Hochberg, JRSS B 1995).", "2·Σ C(b + c, i) / 2^(b + c), i = 0 … min(b, c), at most 1",
            "McNemar, Psychometrika 1947; the exact, binomial form"),
    )),
    Group("Numbers", (
        Definition("max", "max |Δ|",
            "The largest difference of two elements, over those finite on both sides; integers exactly.",
            "max |candidate − reference|"),
        Definition("mean", "mean |Δ|, RMS", "The mean of the same differences, and their root mean square.",
            "Σ|Δ| / n and √(Σ Δ² / n)"),
        Definition("ulp", "ULP",
            "The most representable numbers that lie between two elements, of the wider of the two formats. Large "
            "near 0, where numbers are dense.", "",
            "Dawson, Comparing Floating Point Numbers, 2012"),
        Definition("cosine", "1 − cos", "The angle between the two outputs as vectors.",
            "1 − a·b / (‖a‖ ‖b‖), at least 0"),
        Definition("outside", "Outside the tolerance",
            "Finite elements further apart than the tolerance allows; b is the reference. A default tolerance is a "
            f"convention: relative {_TOLERANCES}, and the same share of the output's root mean square as the "
            "absolute part; integers must be equal. Where float64 judged both sides it decides in the default's "
            "place.",
                "|a − b| > atol + rtol·|b|"),
        Definition("nonfinite", "Not finite",
            "Elements that are NaN or infinite on one side only, or otherwise on both. On both sides alike they "
            "prove nothing."),
        Definition("errors", "Errors of samples",
            "A sample's error is its largest |Δ|, infinite where an element is not finite on one side only. Shares "
            "p50, p90 and p99 of the samples have at most this error. Bins are quarters of a decade, shaded by "
            "√(share of the samples).",
            "the ⌈p·n⌉-th smallest of n errors", "type 1 of Hyndman and Fan, The American Statistician 1996"),
    )),
    Group("Evidence", (
        Definition("soundness", "Error beside float64",
            "The same graph in float64 is the arbiter, in float32 by the same code the yardstick. Error: root mean "
            "square of the environment's difference from float64, on the samples that the arbiter ran; of integers "
            "the share that is unequal.",
            "√(Σ (output − float64)² / n)"),
        Definition("allowed", "Allowed error",
            "What the precision that an environment computes in can give; sound is who stays below it, and below "
            "the like bound for the largest single element. Precision is the coarsest of what was asked for, what "
            "the engine told, and the model's own.",
            f"K·float32's error·u/2⁻²⁴ + FLOOR·u·RMS, at most {MOST:g}·RMS; u: unit roundoff; K, FLOOR: "
            + ", ".join(f"{K[p]:g}, {FLOOR[p]:g} ({p.value})" for p in Precision)
            + f"; the largest element: {WORST:g} times that, of the largest values",
            "u: Higham, Accuracy and Stability of Numerical Algorithms, 2002, §2.1; constants from measurement"),
        Definition("noise", "Self-noise",
            "Each environment runs the first samples again, forwards and backwards. What differs from itself is "
            "not blamed on a pair; beyond the tolerance it is NONDETERMINISM, and agrees with nobody."),
        Definition("power", "Detection power",
            "Copies of the model with one fault each run on the same inputs, and are judged by the same criteria. "
            f"Inputs that notice less than {ENOUGH:.0%} are no test: INCONCLUSIVE. The interval is Wilson's.",
                "noticed / copies that ran"),
        Definition("vacuity", "Could not have told",
            "An output on which agreement says nothing: all samples give the same, it is saturated or NaN, or the "
            f"samples move it by less than {NEAR_CONSTANT:.0%} of its root mean square."),
    )),
    Group("Time", (
        Definition("slowdown", "Slowdown",
            "Environments take turns in random order within each round of fresh processes, after warm-up. The "
            "value of a round is the median of log time ratios of runs measured within moments of each other; the "
            "estimate is the mean over rounds.",
            "slowdown = time of the candidate / time of the reference − 1"),
        Definition("time-interval", "Interval of a slowdown",
            f"Student's interval over the rounds, {FEWEST_ROUNDS} at least.",
                "mean ± t(rounds − 1)·s/√rounds, of log ratios, at 95%"),
        Definition("time-verdict", "Verdict on a time",
            "REGRESSION: slower beyond doubt after Benjamini and Hochberg, possibly by the margin or more, and "
            "confirmed by a second measurement in fresh processes. IMPROVED: the same the other way. EQUIVALENT: "
            "the whole interval lies within the margin. INCONCLUSIVE: all else."),
        Definition("ms", "ms/sample",
            "Milliseconds a sample: the median (or the percentile asked for) of the runs. Where environments were "
            "not timed side by side it is the median of the comparison's own runs but the first: a hint, no "
            "verdict."),
        Definition("costs", "Load, first run, memory, artifact",
            "Seconds to make and to load the artifact; milliseconds of the first run, which engines often spend on "
            "what later ones need no more; the most memory that the process held until that ended; the artifact's "
            "size with its weights."),
    )),
)  # fmt: skip
"""All of them; `key` is unique."""
