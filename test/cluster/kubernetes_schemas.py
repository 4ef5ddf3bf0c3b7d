"""Check manifests against the schemas of Kubernetes and of Kubeflow Trainer.

    kubernetes_schemas.py --missing    print the packages that the check needs and that this Python lacks
    kubernetes_schemas.py < INPUT      INPUT: a JSON list of YAML texts; print a JSON list of {objects, errors}, one for each

kubernetes-validate has the schemas of Kubernetes. The models of kubeflow-trainer-api state TrainJob and TrainingRuntime, but accept
unknown keys: every object of their schema that states its keys gets `additionalProperties: false`.
"""

import importlib.util
import json
import sys
from functools import cache

PACKAGES = {"kubernetes_validate": "kubernetes-validate", "kubeflow_trainer_api": "kubeflow-trainer-api"}


def main() -> None:
    if "--missing" in sys.argv:
        print(" ".join(package for name, package in PACKAGES.items() if importlib.util.find_spec(name) is None))
        return
    print(json.dumps([checked(text) for text in json.load(sys.stdin)]))


def checked(text: str) -> dict:
    import yaml

    objects = list(yaml.safe_load_all(text))
    return {"objects": objects, "errors": [error for one in objects for error in errors_of(one)]}


def errors_of(manifest: dict) -> list[str]:
    if manifest["apiVersion"].startswith("trainer.kubeflow.org/"):
        return trainer_errors(manifest)
    import kubernetes_validate

    try:
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{error.path}: {error.message}"]
    return []


def trainer_errors(manifest: dict) -> list[str]:
    errors = trainer_validator(manifest["kind"]).iter_errors(manifest)
    return [f"{error.json_path}: {error.message[:200]}" for error in errors]


@cache
def trainer_validator(kind: str):
    import jsonschema
    from kubeflow_trainer_api import models

    model = getattr(models, f"TrainerV1alpha1{kind}")
    return jsonschema.Draft202012Validator(strict(model.model_json_schema(by_alias=True)))


# pydantic describes these two by their parts; the API takes a text or a number
SCALARS = {
    "IoK8sApimachineryPkgApiResourceQuantity": {"type": ["string", "number"]},
    "IoK8sApimachineryPkgUtilIntstrIntOrString": {"type": ["string", "integer"]},
}


def strict(schema: dict) -> dict:
    """Return the schema without unknown keys."""
    schema["$defs"].update({name: scalar for name, scalar in SCALARS.items() if name in schema["$defs"]})
    for part in (schema, *schema["$defs"].values()):
        if "properties" in part:
            part["additionalProperties"] = False
    return schema


if __name__ == "__main__":
    main()
