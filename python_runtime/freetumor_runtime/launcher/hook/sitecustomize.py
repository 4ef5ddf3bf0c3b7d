"""Python imports this file first in every rank of a user's script (`launcher/rank.py` puts its folder into PYTHONPATH).

`init_process_group()` then connects the ranks of the node through a private file (FREETUMOR_STORE). Without it they use
the TCPStore at MASTER_ADDR and MASTER_PORT, to which every user of the machine can write. The script does not notice
it: PYTHONPATH and sys.path are restored, and the user's own `sitecustomize` runs. Scripts that open a TCPStore
themselves use the one at MASTER_PORT.
"""

import importlib
import importlib.util
import os
import sys
from urllib.parse import parse_qs, urlparse

_HERE = os.path.dirname(os.path.abspath(__file__))
_RENDEZVOUS = "torch.distributed.rendezvous"


class _AfterImport:
    """Replaces the `env://` handler as soon as torch has registered its own."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name != _RENDEZVOUS:
            return None
        sys.meta_path.remove(cls)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            handlers = getattr(module, "_rendezvous_handlers", {})
            if "env" in handlers:
                handlers["env"] = _private(handlers["env"])

        spec.loader.exec_module = exec_module
        return spec


def _private(by_environment):
    def handler(url, **options):
        given = parse_qs(urlparse(url).query)
        rank, size = (int(given[key][0] if key in given else os.environ[key.upper()]) for key in ("rank", "world_size"))
        if size != int(os.environ["WORLD_SIZE"]):
            # a group of the script's own making
            yield from by_environment(url, **options)
            return
        from torch.distributed import FileStore

        yield FileStore(os.environ["FREETUMOR_STORE"], size), rank, size
        raise RuntimeError("Unable to perform re-rendezvous using env:// method")

    return handler


def _step_aside():
    kept = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder and folder != _HERE]
    if kept:
        os.environ["PYTHONPATH"] = os.pathsep.join(kept)
    else:
        os.environ.pop("PYTHONPATH", None)
    sys.path[:] = [folder for folder in sys.path if folder != _HERE]
    own = sys.modules.pop("sitecustomize")
    try:
        importlib.import_module("sitecustomize")  # the user's own
    except ModuleNotFoundError as error:
        if error.name != "sitecustomize":
            raise
    finally:
        # the import of this file expects to find it
        sys.modules.setdefault("sitecustomize", own)


if os.environ.get("FREETUMOR_STORE"):
    sys.meta_path.insert(0, _AfterImport)
_step_aside()
