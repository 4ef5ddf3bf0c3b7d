"""Start one rank of a user's own script (`freetumor launch`). torchrun runs this file by its path; the script replaces
it and then runs as under torchrun alone.

    rank.py SCRIPT ARGS...        rank.py -m MODULE ARGS...

The script inherits three properties: the kernel kills it when the launcher exits, its output goes to
`node-N/rank-R/output.log`, and on a single node `hook/sitecustomize.py` gives its ranks a private store.
"""

import os
import sys

# This file is run by its path, by a Python that may not have the package; the exec replaces it completely.
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from freetumor_runtime.bridge.lifeline import die_with_parent, keep_rank_log


def main(script: list[str]) -> None:
    die_with_parent()
    keep_rank_log()
    # the launcher's lifeline must not become the input of the script
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    if "FREETUMOR_STORE" in os.environ:
        hook = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hook")
        os.environ["PYTHONPATH"] = os.pathsep.join([hook, *filter(None, [os.environ.get("PYTHONPATH")])])
    os.execv(sys.executable, [sys.executable, "-u", *script])


if __name__ == "__main__":
    main(sys.argv[1:])
