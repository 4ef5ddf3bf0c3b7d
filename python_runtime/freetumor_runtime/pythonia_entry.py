"""One call of a Python function from TypeScript through pythonia: text in, text out, whatever the function does.

Only strings cross: pythonia ends Node at a returned NaN, and hangs on values that it cannot turn into JSON.
"""

import ctypes
import importlib
import json
import os
import signal
import sys

from freetumor_runtime.errors import FreetumorError

PR_SET_PDEATHSIG = 1


def run(module: str, function: str, arguments_json: str) -> str:
    """Call `module.function(*arguments)`; return `{"value": ...}` or `{"error": {kind, message, hint}}` as text."""
    _keep_stdout_for_data()
    _die_with_parent()
    try:
        value = getattr(importlib.import_module(module), function)(*json.loads(arguments_json))
        return json.dumps({"value": value}, allow_nan=False)
    except FreetumorError as error:
        return json.dumps({"error": {"kind": error.kind, "message": str(error), "hint": error.hint}})
    except Exception as error:
        message = f"{module}.{function}: {type(error).__name__}: {error}"
        return json.dumps({"error": {"kind": "runtime", "message": message, "hint": ""}})


def _keep_stdout_for_data() -> None:
    """pythonia lets Python inherit stdout, which belongs to the command's data: what is printed here goes to stderr."""
    os.dup2(2, 1)


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
