"""Write the figures of a run with the package wandb: `python -m freetumor_runtime.wandb_run`.

Standard input has one JSON object per line: the run first, then `step` and `values`, then `end` with an exit code. The
result is one JSON line on standard output. An input without `end` leaves nothing behind: the folder gets its name last.
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TextIO

UNFINISHED = "unfinished-"


def main() -> None:
    answers = os.dup(1)
    # the package must not write into the answers
    os.dup2(2, 1)
    with os.fdopen(answers, "w", encoding="utf-8") as out:
        print(json.dumps(write_run(sys.stdin)), file=out, flush=True)


def write_run(lines: TextIO) -> dict[str, object]:
    """Write a run and return the name of its folder, or an error."""
    try:
        import wandb  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        return {"error": f"cannot be imported ({error})", "missing": True}
    about = json.loads(next(lines))
    folder = Path(about["directory"]) / "wandb"
    folder.mkdir(exist_ok=True)
    for left in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(left)
    staging = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=folder))
    try:
        name = log_run(wandb, about, lines, staging)
        if name is None:
            return {"error": "the input ended early", "missing": False}
        if name:
            (staging / "wandb").rename(folder / name)
        return {"folder": name}
    except Exception as error:  # the package has many kinds of errors
        return {"error": f"{type(error).__name__}: {error}", "missing": False}
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def log_run(wandb, about: dict, lines: TextIO, staging: Path) -> str | None:
    """Log all steps; return the name of the folder, empty without steps, None if the input has no end."""
    settings = wandb.Settings(
        # the user's environment decides to upload
        mode=os.environ.get("WANDB_MODE") or "offline",
        root_dir=str(staging),
        console="off",
        silent=True,
        # no host, user, path, program, package or load leaves the run
        host="",
        username="",
        email="",
        program="",
        disable_code=True,
        disable_git=True,
        save_code=False,
        x_disable_machine_info=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_save_requirements=False,
    )
    with wandb.init(
        project=about["project"],
        entity=about["entity"],
        id=about["id"],
        name=about["name"],
        job_type=about["job"],
        config=about["config"],
        resume="allow",
        settings=settings,
    ) as run:
        first = last = None
        for line in lines:
            said = json.loads(line)
            if "end" in said:
                run.finish(exit_code=said["end"])
                return "" if first is None else f"steps-{first}-{last}"
            run.log(said["values"], step=said["step"])
            first, last = said["step"] if first is None else first, said["step"]
    return None


if __name__ == "__main__":
    main()
