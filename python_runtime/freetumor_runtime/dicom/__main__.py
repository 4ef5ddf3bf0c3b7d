"""Scan DICOM folders, convert series, or write SEG objects.

Standard input is a JSON object, standard output has one JSON object a line:

    python -m freetumor_runtime.dicom scan|convert|segment

Started by src/runtime/dicom.ts, which shows nothing of standard error: a traceback may quote values of a file.
"""

from freetumor_runtime.bridge.lifeline import die_with_parent, leave_signals_to_parent

for guard in (die_with_parent, leave_signals_to_parent):
    guard()

import json  # noqa: E402
import os  # noqa: E402
import resource  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from typing import Any  # noqa: E402

from freetumor_runtime.errors import FreetumorError  # noqa: E402

_MEMORY_BYTES = 8 * 2**30


def main() -> int:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # output of libraries must not mix with the answers
    if sys.platform == "linux":
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        most = _MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(_MEMORY_BYTES, hard)
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    request = json.load(sys.stdin)
    try:
        from freetumor_runtime.dicom.conversion import convert, scan
        from freetumor_runtime.dicom.segmentation import segment
    except ImportError:
        print(json.dumps({"type": "missing"}), file=answers, flush=True)
        return 0
    work: dict[str, Callable[[Any], Iterator[dict[str, Any]]]] = {"scan": scan, "convert": convert, "segment": segment}
    try:
        for event in work[sys.argv[1]](request):
            print(json.dumps(event, allow_nan=False), file=answers, flush=True)
    except FreetumorError as error:
        failure = {"kind": error.kind, "message": str(error), "hint": error.hint}
        print(json.dumps({"type": "failed", "error": failure}), file=answers, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
