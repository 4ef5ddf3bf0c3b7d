"""Compare the measured tumors of both sides: figures of a group with intervals and nulls, and the search for copies."""

import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from freetumor_runtime.config.realism import ComparedGroup, CompareTumorsSpec, MeasuredFile
from freetumor_runtime.realism import copies
from freetumor_runtime.realism import statistics as st
from freetumor_runtime.realism.features import (
    BIN_HU,
    FEATURES,
    POSITION_SET,
    RIM_SET,
    SHAPE_SET,
    SPECTRUM_SET,
    TUMOR_SET,
    ZONES,
)

# The classifier is trained again for each exchange: it gets fewer of them.
_CLASSIFIER_SHARE = 2
# Divisions of the patients into folds, whose areas are averaged.
_REPEATS = 4
# Principal components of the features of an encoder.
_COMPONENTS = 8
_SMALL_FEATURES = tuple(dict.fromkeys((*TUMOR_SET, *RIM_SET, *SHAPE_SET)))
# Real tumors whose nearest neighbours calibrate the threshold.
_MAX_CALIBRATING = 400


@dataclass(frozen=True)
class Tumors:
    """Measured tumors, one row each."""

    about: list[dict[str, Any]]
    synthetic: np.ndarray
    patients: np.ndarray
    features: np.ndarray
    arrays: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.about)

    def of(self, rows: np.ndarray) -> "Tumors":
        arrays = {name: array[rows] for name, array in self.arrays.items()}
        about = [self.about[row] for row in np.flatnonzero(rows)]
        return Tumors(about, self.synthetic[rows], self.patients[rows], self.features[rows], arrays)


def load_tumors(files: Sequence[MeasuredFile], spec: CompareTumorsSpec, wanted: Sequence[str]) -> Tumors:
    """Read the measures of all cases, with the wanted arrays."""
    about: list[dict[str, Any]] = []
    parts: dict[str, list[np.ndarray]] = {name: [] for name in ("features", *wanted)}
    for one in files:
        with np.load(one.file, allow_pickle=False) as content:
            tumors = json.loads(content["about"].tobytes())["tumors"]
            if not tumors:
                continue
            for name, part in parts.items():
                part.append(content[name])
        shared = {"case": one.caseId, "patient": one.patient, "parent": one.parent, "synthetic": one.synthetic}
        about += [{**tumor, **shared, "size": _size_of(tumor["diameterMm"], spec)} for tumor in tumors]
    # a number for each patient, in the order of names
    names = sorted({tumor["patient"] for tumor in about})
    number = {name: at for at, name in enumerate(names)}
    joined = {name: np.concatenate(part) if part else np.zeros((0, 0)) for name, part in parts.items()}
    return Tumors(
        about,
        np.array([tumor["synthetic"] for tumor in about], bool),
        np.array([number[tumor["patient"]] for tumor in about], int),
        joined.pop("features"),
        joined,
    )


def _size_of(diameter_mm: float, spec: CompareTumorsSpec) -> str:
    for size in spec.sizes:
        if size.fromMm <= diameter_mm and (size.toMm is None or diameter_mm < size.toMm):
            return size.name
    return spec.sizes[-1].name


def compare_group(group: ComparedGroup, spec: CompareTumorsSpec) -> dict[str, Any]:
    """Return `{n, measures, features}` of the tumors of an organ and a size."""
    tumors = load_tumors(spec.files, spec, ["histograms", *(["encoder"] if spec.encoder else [])])
    tumors = tumors.of(
        np.array(
            [group.organ in ("all", one["organ"]) and group.size in ("all", one["size"]) for one in tumors.about], bool
        )
    )
    draw = _draw(spec, group.id, "sides")
    shared = len(set(tumors.patients[tumors.synthetic]) & set(tumors.patients[~tumors.synthetic]))
    tumors = tumors.of(st.one_side_each(tumors.synthetic, tumors.patients, draw))
    n = {
        "synthetic": int(tumors.synthetic.sum()),
        "real": int((~tumors.synthetic).sum()),
        "syntheticPatients": len(np.unique(tumors.patients[tumors.synthetic])),
        "realPatients": len(np.unique(tumors.patients[~tumors.synthetic])),
        "patientsOfBothSides": shared,
    }
    enough = min(n["synthetic"], n["real"]) >= spec.minTumors
    enough = enough and min(n["syntheticPatients"], n["realPatients"]) >= spec.minPatients
    if not enough:
        return {"n": n, "measures": None, "features": []}
    return {"n": n, "measures": _measures(tumors, spec, group.id), "features": _feature_rows(tumors)}


def _draw(spec: CompareTumorsSpec, *names: str) -> np.random.Generator:
    return np.random.default_rng([spec.seed, zlib.crc32("/".join(names).encode())])


def _measures(tumors: Tumors, spec: CompareTumorsSpec, group: str) -> list[dict[str, Any]]:
    filled = st.without_gaps(tumors.features, tumors.synthetic)

    def columns(names: Sequence[str]) -> np.ndarray:
        return filled[:, [FEATURES.index(name) for name in names]]

    def by_features(names: Sequence[str], distance: Callable[[np.ndarray, np.ndarray], float]):
        values = columns(names)

        def statistic(rows: np.ndarray, sides: np.ndarray) -> float:
            scaled = st.standardised(values[rows], values[rows][~sides])
            return distance(scaled[sides], scaled[~sides])

        return statistic

    def by_histogram(zone: int):
        shares = tumors.arrays["histograms"][:, zone].astype(np.float64)

        def statistic(rows: np.ndarray, sides: np.ndarray) -> float:
            one, other = shares[rows][sides].mean(0), shares[rows][~sides].mean(0)
            if one.sum() == 0 or other.sum() == 0:
                return float("nan")
            return st.wasserstein_of_histograms(one, other, BIN_HU)

        return statistic

    statistics = [
        ("frechetTumor", by_features(TUMOR_SET, st.frechet_distance)),
        ("frechetRim", by_features(RIM_SET, st.frechet_distance)),
        *((f"histogram{zone.capitalize()}", by_histogram(at)) for at, zone in enumerate(ZONES)),
        ("spectrumDistance", by_features(SPECTRUM_SET, mean_wasserstein)),
        ("shapeDistance", by_features(SHAPE_SET, mean_wasserstein)),
        ("positionDistance", by_features(POSITION_SET, mean_wasserstein)),
    ]
    rows = [_distance(name, statistic, tumors, spec, group) for name, statistic in statistics]
    rows.append(classifier_measure("classifierAuc", columns(_SMALL_FEATURES), tumors, spec, group))
    if spec.encoder:
        values = tumors.arrays["encoder"].astype(np.float64)
        rows.append(classifier_measure("encoderAuc", values, tumors, spec, group, _COMPONENTS))
    return rows


def mean_wasserstein(first: np.ndarray, second: np.ndarray) -> float:
    """Return the mean over features of the Wasserstein-1 distance of rows."""
    return float(st.wasserstein(first, second).mean())


def _distance(
    name: str,
    statistic: Callable[[np.ndarray, np.ndarray], float],
    tumors: Tumors,
    spec: CompareTumorsSpec,
    group: str,
) -> dict[str, Any]:
    rows, sides = np.arange(len(tumors)), tumors.synthetic
    value = statistic(rows, sides)
    if not np.isfinite(value):
        return {"name": name, "value": None, "ci": None, "p": None, "null": None}
    null = st.permutation_null(
        sides,
        tumors.patients,
        lambda moved: statistic(rows, moved),
        spec.permutations,
        _draw(spec, group, name, "null"),
    )
    values = st.bootstrap(
        sides, tumors.patients, lambda at: statistic(at, sides[at]), spec.resamples, _draw(spec, group, name)
    )
    return _figure(name, value, st.basic_interval(value, values), null)


def _figure(name: str, value: float, interval: tuple[float, float] | None, null: np.ndarray) -> dict[str, Any]:
    return {
        "name": name,
        "value": value,
        "ci": None if interval is None else list(interval),
        "p": st.p_value(value, null),
        "null": {"mean": float(null.mean()), "p95": float(np.quantile(null, 0.95))} if len(null) else None,
    }


def classifier_measure(
    name: str,
    values: np.ndarray,
    tumors: Tumors,
    spec: CompareTumorsSpec,
    group: str,
    components: int | None = None,
) -> dict[str, Any]:
    """Return the cross-validated AUC of a classifier of the two sides by features; folds are of patients.

    With `components`, the classifier gets the first principal components of the features of each training fold.
    """

    def scored(sides: np.ndarray, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        folds = st.folds_of_patients(sides, tumors.patients, draw)
        return st.cross_validated_scores(st.Sample(values, sides, tumors.patients), folds, components), folds

    def area(sides: np.ndarray, draw: np.random.Generator) -> float | None:
        return st.area_within_folds(*_around(*scored(sides, draw), sides))

    draw = _draw(spec, group, name)
    runs = [scored(tumors.synthetic, draw) for _ in range(_REPEATS)]
    areas = [st.area_within_folds(*_around(*run, tumors.synthetic)) for run in runs]
    found = [one for one in areas if one is not None]
    if not found:
        return {"name": name, "value": None, "ci": None, "p": None, "null": None}
    value = float(np.mean(found))

    def of_resample(at: np.ndarray) -> float | None:
        weights = np.bincount(at, minlength=len(tumors)).astype(float)
        parts = [st.area_within_folds(*_around(*run, tumors.synthetic), weights) for run in runs]
        known = [one for one in parts if one is not None]
        return float(np.mean(known)) if known else None

    values_of = st.bootstrap(tumors.synthetic, tumors.patients, of_resample, spec.resamples // _CLASSIFIER_SHARE, draw)
    null_draw = _draw(spec, group, name, "null")
    null = st.permutation_null(
        tumors.synthetic,
        tumors.patients,
        lambda moved: area(moved, null_draw),
        spec.permutations // _CLASSIFIER_SHARE,
        null_draw,
    )
    return _figure(name, value, st.percentile_interval(values_of), null)


def _around(scores: np.ndarray, folds: np.ndarray, sides: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return scores, sides, folds


def _feature_rows(tumors: Tumors) -> list[dict[str, Any]]:
    """Return mean and spread of every feature on both sides, and their distance in standard deviations of the reals."""
    rows = []
    filled = st.without_gaps(tumors.features, tumors.synthetic)
    scaled = st.standardised(filled, filled[~tumors.synthetic])
    distances = st.wasserstein(scaled[tumors.synthetic], scaled[~tumors.synthetic])
    for at, name in enumerate(FEATURES):
        sides = {}
        for side, mask in (("real", ~tumors.synthetic), ("synthetic", tumors.synthetic)):
            known = tumors.features[mask, at]
            known = known[np.isfinite(known)]
            sides[side] = (
                {"mean": float(known.mean()), "sd": float(known.std()), "n": len(known)} if len(known) else None
            )
        if sides["real"] is None or sides["synthetic"] is None:
            continue
        rows.append({"name": name, **sides, "distance": float(distances[at])})
    return rows


def find_copies(spec: CompareTumorsSpec) -> dict[str, Any]:
    """Return `{thresholds, nearest}`: for each synthetic tumor the nearest real tumor and the nearest host patch."""
    reals = load_tumors([one for one in spec.files if not one.synthetic], spec, ["tumor"])
    thresholds = _thresholds(reals, spec)
    limits = {one["size"]: one for one in thresholds}
    made = [one for one in spec.files if one.synthetic]
    hosts, owners = _host_library(made)
    found = []
    for one in made:
        mine = load_tumors([one], spec, ["tumor", "around"])
        for at, tumor in enumerate(mine.about):
            real = _nearest(mine.arrays["tumor"][at], reals.arrays["tumor"], np.ones(len(reals), bool))
            host = _nearest(mine.arrays["around"][at], hosts, np.ones(len(hosts), bool))
            found.append(
                {
                    **{key: tumor[key] for key in ("case", "tumor", "organ", "size", "diameterMm")},
                    "real": real and _real_of(real, reals, limits[tumor["size"]]),
                    "host": host and _host_of(host, owners, one.parent),
                }
            )
    return {"thresholds": thresholds, "nearest": found}


def _real_of(found: copies.Nearest, reals: Tumors, limit: dict[str, Any]) -> dict[str, Any]:
    judged = limit["threshold"] is not None
    return {
        "case": reals.about[found.row]["case"],
        "tumor": reals.about[found.row]["tumor"],
        "similarity": found.similarity,
        "lead": found.lead,
        "copy": _is_copy(found, limit) if judged else None,
    }


def _is_copy(found: copies.Nearest, limit: dict[str, Any]) -> bool:
    return found.similarity > limit["threshold"] or found.lead > limit["leadThreshold"]


def _host_of(found: copies.Nearest, owners: list[str | None], parent: str | None) -> dict[str, Any]:
    return {"case": owners[found.row], "similarity": found.similarity, "own": owners[found.row] == parent}


def _nearest(patch: np.ndarray, library: np.ndarray, allowed: np.ndarray) -> copies.Nearest | None:
    if len(library) == 0:
        return None
    return copies.nearest(patch.astype(np.float32).reshape((copies.SIDE,) * 3), library, allowed)


def _host_library(files: Sequence[MeasuredFile]) -> tuple[np.ndarray, list[str | None]]:
    """Return the patches of hosts at the places of their synthetic tumors, and the id of each host."""
    patches: list[np.ndarray] = []
    owners: list[str | None] = []
    for one in files:
        with np.load(one.file, allow_pickle=False) as content:
            if "host" in content:
                patches.append(content["host"])
                owners += [one.parent] * len(content["host"])
    return (np.concatenate(patches) if patches else np.zeros((0, 0))), owners


def _thresholds(reals: Tumors, spec: CompareTumorsSpec) -> list[dict[str, Any]]:
    """Return the thresholds of each size, from real tumors and their nearest ones of other patients.

    The threshold of the lead is that of all sizes: leads differ little by size, and few tumors give no stable one.
    """
    rows = np.arange(len(reals))
    if len(rows) > _MAX_CALIBRATING:
        rows = np.sort(_draw(spec, "copies").choice(rows, _MAX_CALIBRATING, replace=False))
    similar: list[tuple[str, copies.Nearest]] = []
    for row in rows:
        one = _nearest(reals.arrays["tumor"][row], reals.arrays["tumor"], reals.patients != reals.patients[row])
        if one is not None:
            similar.append((reals.about[row]["size"], one))
    lead_threshold = copies.lead_threshold_of(np.array([one.lead for _, one in similar]))
    thresholds = []
    for size in spec.sizes:
        own = [one for name, one in similar if name == size.name]
        used = own if len(own) >= copies.MIN_REALS else [one for _, one in similar]
        values = np.array([one.similarity for one in used])
        limit = {
            "threshold": copies.threshold_of(values),
            "leadThreshold": lead_threshold,
        }
        thresholds.append(
            {
                "size": size.name,
                **limit,
                "reals": len(used),
                "ofAllSizes": len(own) < copies.MIN_REALS,
                "median": float(np.median(values)) if len(values) else None,
                "realsAbove": 0 if limit["threshold"] is None else sum(_is_copy(one, limit) for one in used),
            }
        )
    return thresholds
