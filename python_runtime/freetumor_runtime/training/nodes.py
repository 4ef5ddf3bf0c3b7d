"""Start a training equally on several nodes, and report a failure to all of them (launcher/join.py).

The nodes share only the process group of their ranks.
"""

import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from freetumor_runtime.config.training import TrainingSpec
from freetumor_runtime.errors import ConfigError
from freetumor_runtime.training.ranks import Ranks

# key of launcher/join.py, which every node watches
_OVER = "freetumor/over"
_CONNECT_SECONDS = 3
_CHUNK_BYTES = 16 << 20
# the manifest is last: a folder with a manifest is complete
_FILES = ("model.pt", "state.pt", "manifest.json")


def begin_alike(spec: TrainingSpec, ranks: Ranks) -> TrainingSpec:
    """Return the training of this node's ranks: node 0 chooses the checkpoint and sends it to nodes that lack it.

    Raises ConfigError that lists the differences if this node has another training than node 0.
    """
    if ranks.nodes == 1:
        return spec
    _refuse_another_training(spec, ranks)
    name = _told(ranks, Path(spec.resumeFrom).name if spec.resumeFrom else "")
    if not name:
        return replace(spec, resumeFrom=None)
    own = Path(spec.runDirectory) / "checkpoints" / name
    manifest = _told(ranks, (own / "manifest.json").read_text(encoding="utf-8") if ranks.first else "")
    has_it = _reads(own / "manifest.json") == manifest
    lacking = ranks.maximum(torch.tensor([not has_it], dtype=torch.float64)).item() > 0
    if lacking:
        fetched = Path(spec.runDirectory) / f"checkpoints.node-{ranks.node}" / name
        _send_checkpoint(own, None if has_it or not ranks.leads_node else fetched, ranks)
        own = own if has_it else fetched
    return replace(spec, resumeFrom=str(own))


def tell_other_nodes(failure: dict[str, Any]) -> None:
    """Report a failure to the other nodes: the first failure of a job ends it on all nodes with the same message."""
    if int(os.environ.get("GROUP_WORLD_SIZE", "1")) == 1:
        return
    # the store may be unreachable; then that is the failure
    with suppress(RuntimeError, OSError, ValueError):
        address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        # connect first: torch's own client retries for minutes
        socket.create_connection(address, _CONNECT_SECONDS).close()
        store = torch.distributed.TCPStore(*address, is_master=False, wait_for_workers=False)
        store.compare_set(_OVER, "", json.dumps({**failure, "node": int(os.environ["GROUP_RANK"])}))


def _refuse_another_training(spec: TrainingSpec, ranks: Ranks) -> None:
    own = _what_decides(spec)
    theirs = json.loads(_told(ranks, json.dumps(own)))
    different = sorted(key for key in {*own, *theirs} if own.get(key) != theirs.get(key))
    anywhere = ranks.maximum(torch.tensor([len(different)], dtype=torch.float64)).item() > 0
    hint = "give every node the same configuration, data and weights"
    if different:
        raise ConfigError(
            f"node {ranks.node} has another training than node 0 (differences: {', '.join(different)})", hint
        )
    if anywhere:
        raise ConfigError("another node has another training than node 0; its log lists the differences", hint)


def _what_decides(spec: TrainingSpec) -> dict[str, Any]:
    """Return the training without the values that may differ between nodes: ids, paths and roundings of `prepare`."""
    told = asdict(spec)
    for key in ("runId", "runDirectory", "ownerNumber", "resumeFrom"):
        del told[key]
    for part, key in (("synthesis", "textureDirectory"), ("baseline", "checkpoint"), ("generator", "checkpoint")):
        if told[part] is not None:
            del told[part][key]
    del told["segmentor"]["initialWeights"]
    for case in told["validation"]["cases"]:
        del case["path"], case["contentSha256"]
    return json.loads(json.dumps(told))


def _send_checkpoint(source: Path, target: Path | None, ranks: Ranks) -> None:
    """Send rank 0's files to every rank; those with a target write them there, completely or not at all."""
    if target is not None:
        # checkpoints of an earlier restart
        shutil.rmtree(target.parent, ignore_errors=True)
        target.mkdir(parents=True)
    for name in _FILES:
        aside = None if target is None else target / f"{name}.tmp"
        with open(aside or os.devnull, "wb") as file:
            for chunk in _chunks(source / name, ranks):
                file.write(chunk)
            if aside is not None:
                file.flush()
                os.fsync(file.fileno())
        if aside is not None and target is not None:
            aside.rename(target / name)
    ranks.barrier()


def _chunks(path: Path, ranks: Ranks) -> Iterator[memoryview]:
    size = path.stat().st_size if ranks.first else 0
    left = int(ranks.send_all(torch.tensor([size], dtype=torch.int64)).item())
    with open(path if ranks.first else os.devnull, "rb") as file:
        while left > 0:
            chunk = torch.zeros(min(left, _CHUNK_BYTES), dtype=torch.uint8)
            if ranks.first:
                file.readinto(chunk.numpy())
            yield memoryview(ranks.send_all(chunk).numpy())
            left -= len(chunk)


def _told(ranks: Ranks, text: str) -> str:
    """Return the text of rank 0 on every rank."""
    content = torch.frombuffer(bytearray(text.encode() or b"\0"), dtype=torch.uint8)
    size = int(ranks.send_all(torch.tensor([len(text.encode())], dtype=torch.int64)).item())
    if size == 0:
        return ""
    if not ranks.first:
        content = torch.zeros(size, dtype=torch.uint8)
    return bytes(ranks.send_all(content).numpy()).decode()


def _reads(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return None
