"""Specifications of the jobs that work case by case; mirrors src/pipeline/ports/cases.ts."""

from dataclasses import dataclass

from freetumor_runtime.config.common import PluginSpec, SlidingWindowsSpec


@dataclass(frozen=True)
class PrepareCase:
    id: str
    image: str
    label: str | None
    labelMap: dict[str, int]


@dataclass(frozen=True)
class PrepareSpec:
    job: str
    directory: str
    workers: int
    spacingMm: tuple[float, ...]
    windowHu: tuple[float, ...]
    numIds: int
    # "none" or "blosc"
    compression: str
    # every byte of a case that is reused
    verify: bool
    cases: tuple[PrepareCase, ...]


@dataclass(frozen=True)
class PredictCase:
    id: str
    image: str
    # label map on the scan's grid
    organMask: str | None
    # label of the same scan, resampled to the prepared grid as the mask is
    label: str | None
    # of its files
    name: str


@dataclass(frozen=True)
class PredictMember:
    checkpoint: str
    patchMerging: str | None
    # name of one of several sets of weights in the file; None: the only one
    weights: str | None


@dataclass(frozen=True)
class GlanceSpec:
    """A segmentor of a coarser grid that chooses the sliding windows; its outputs are those of the members."""

    member: PredictMember
    windowHu: tuple[float, ...]
    spacingMm: tuple[float, ...]
    patchVoxels: tuple[int, ...]


@dataclass(frozen=True)
class RuleTermSpec:
    feature: str
    # of a term with the feature "label": the tumor id of the mask
    label: int | None
    weight: float


@dataclass(frozen=True)
class OperatingPointSpec:
    """A lesion is kept if the intercept and its weighted features sum to at least the threshold."""

    # ids of the mask that are tumors
    tumorIds: tuple[int, ...]
    terms: tuple[RuleTermSpec, ...]
    intercept: float
    threshold: float


@dataclass(frozen=True)
class PredictSpec:
    job: str
    directory: str
    # none with a plug-in
    members: tuple[PredictMember, ...]
    plugin: PluginSpec | None
    device: str
    processesPerNode: int
    threadsPerProcess: int
    precision: str
    windowHu: tuple[float, ...]
    spacingMm: tuple[float, ...]
    patchVoxels: tuple[int, ...]
    windows: SlidingWindowsSpec
    # all; coarse: near findings of outputs that the mask keeps; organs: near organs that the glance finds
    windowChoice: str
    mirrorAxes: tuple[int, ...]
    cropForeground: bool
    # lowerEnd or minimum
    padding: str
    minForeground: float
    # original or prepared
    grid: str
    # nearest (of the mask) or linear (of the logits, then argmax)
    resampling: str
    # grid, windows and resampling of freetumor, or those of nnunetv2
    method: str
    # uint8 or scan
    dataType: str
    tumorOutputs: tuple[int, ...]
    # of an organ mask; none: every id but 0
    organIds: tuple[int, ...]
    # one id of the mask for each output
    maskIds: tuple[int, ...]
    # outputs
    probabilities: tuple[int, ...]
    cases: tuple[PredictCase, ...]
    # None: every lesion is kept
    operatingPoint: OperatingPointSpec | None = None
    # None: the members look at windows side by side
    glance: GlanceSpec | None = None


@dataclass(frozen=True)
class EvaluateCase:
    id: str
    prediction: str
    label: str
    # predicted tumor outside this mask is removed
    organ: str | None
    # probabilities whose sum lesions are scored by
    scores: tuple[str, ...]
    # scan that the contrast of true lesions is measured on
    image: str | None = None


@dataclass(frozen=True)
class EvaluateSpec:
    job: str
    workers: int
    labels: tuple[int, ...]
    tumorLabels: tuple[int, ...]
    nsdTolerancesMm: tuple[float, ...]
    lesions: bool
    spacingMm: tuple[float, ...] | None
    # source id -> id that is measured; None: the files have those
    predictionMap: dict[str, int] | None
    labelMap: dict[str, int] | None
    # ids of the label files whose voxels count in no figure
    ignoredIds: tuple[int, ...]
    cases: tuple[EvaluateCase, ...]
    # measure the features of predicted lesions that an operating point may use
    lesionFeatures: bool = False
    # removes predicted lesions first
    operatingPoint: OperatingPointSpec | None = None
    # tumor id -> id of its organ: measure depth and contrast of true lesions; None: do not
    organOfTumor: dict[str, int] | None = None


@dataclass(frozen=True)
class PictureCase:
    id: str
    prediction: str
    label: str
    # mask of the same case by another segmentor
    against: str | None
    image: str | None
    organ: str | None
    # JSON file to write
    output: str
    # probabilities for the operating point
    scores: tuple[str, ...] = ()


@dataclass(frozen=True)
class PictureSpec:
    """Three planes of pairs, for the pages of a report."""

    job: str
    workers: int
    tumorLabels: tuple[int, ...]
    windowHu: tuple[float, ...]
    predictionMap: dict[str, int] | None
    labelMap: dict[str, int] | None
    # ids of the label files whose voxels count in no figure
    ignoredIds: tuple[int, ...]
    cases: tuple[PictureCase, ...]
    operatingPoint: OperatingPointSpec | None = None
