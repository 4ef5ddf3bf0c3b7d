"""The job file from TypeScript: one of the specifications of src/pipeline/ports/, field by field."""

import json

from freetumor_runtime.config.cases import EvaluateSpec, PictureSpec, PredictSpec, PrepareSpec
from freetumor_runtime.config.parsing import parse
from freetumor_runtime.config.realism import CompareTumorsSpec, RealismSpec
from freetumor_runtime.config.serving import ServeSpec
from freetumor_runtime.config.synthesis import SynthesizeSpec
from freetumor_runtime.config.training import TrainingSpec
from freetumor_runtime.errors import ConfigError

PoolSpec = PrepareSpec | EvaluateSpec | PictureSpec | RealismSpec | CompareTumorsSpec
JobSpec = ServeSpec | SynthesizeSpec | TrainingSpec | PredictSpec | PoolSpec

# job -> its specification
SPECS: dict[str, type] = {
    "baseline": TrainingSpec,
    "synthesis": TrainingSpec,
    "segmentation": TrainingSpec,
    "prepare": PrepareSpec,
    "predict": PredictSpec,
    "evaluate": EvaluateSpec,
    "picture": PictureSpec,
    "synthesize": SynthesizeSpec,
    "serve": ServeSpec,
    "realism": RealismSpec,
    "compare-tumors": CompareTumorsSpec,
}


def load_spec(path: str) -> JobSpec:
    """Read the job file that TypeScript wrote."""
    with open(path, encoding="utf-8") as file:
        raw = json.load(file)
    job = raw.get("job") if isinstance(raw, dict) else None
    if job not in SPECS:
        raise ConfigError(
            f"{path}: wrong job (expected one of {', '.join(SPECS)}, found {job!r})",
            "run `freetumor setup`, so that Python and TypeScript have one version",
        )
    return parse(SPECS[job], raw, "job")
