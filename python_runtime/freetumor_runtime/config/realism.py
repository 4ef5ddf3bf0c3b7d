"""Specifications of the jobs of `freetumor realism`; mirrors src/pipeline/ports/realism.ts."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RealismOrgan:
    name: str
    label: int
    tumorLabel: int


@dataclass(frozen=True)
class RealismCase:
    id: str
    image: str
    label: str
    # source id -> id of the region; None: the file has those
    labelMap: dict[str, int] | None
    organs: tuple[RealismOrgan, ...]
    # number of each synthetic tumor; None: connected tumors
    numbers: str | None
    # scan of the same grid that the tumors were painted into
    host: str | None


@dataclass(frozen=True)
class EncoderSpec:
    """The segmentor whose encoder describes patches around tumors, and the preparation that it needs."""

    checkpoint: str
    sha256: str
    patchMerging: str | None
    # name of one of several sets of weights in the file; None: the only one
    weights: str | None
    windowHu: tuple[float, ...]
    spacingMm: tuple[float, ...]
    patchVoxels: tuple[int, ...]


@dataclass(frozen=True)
class RealismSpec:
    """Measure the tumors of cases; each case has one file in the directory."""

    job: str
    workers: int
    directory: str
    # of the isotropic grid
    spacingMm: float
    # None: no features of an encoder
    encoder: EncoderSpec | None
    cases: tuple[RealismCase, ...]


@dataclass(frozen=True)
class MeasuredFile:
    """The measures of one case."""

    caseId: str
    # of the host for a synthetic case
    patient: str
    # id of the case that the tumors were painted into
    parent: str | None
    synthetic: bool
    file: str


@dataclass(frozen=True)
class ComparedGroup:
    """Tumors that are compared: of an organ and a size, or all of them."""

    id: str
    # copies: the search for copies instead of figures
    kind: str
    # all, or a name
    organ: str
    # all, or a name
    size: str


@dataclass(frozen=True)
class SizeClass:
    name: str
    # diameters (mm): at least the first, below the second
    fromMm: float
    # None: no upper end
    toMm: float | None


@dataclass(frozen=True)
class CompareTumorsSpec:
    """Compare measured tumors, group by group."""

    job: str
    workers: int
    seed: int
    permutations: int
    resamples: int
    # tumors and patients that each side must have
    minTumors: int
    minPatients: int
    # the files hold features of an encoder
    encoder: bool
    sizes: tuple[SizeClass, ...]
    files: tuple[MeasuredFile, ...]
    cases: tuple[ComparedGroup, ...]
