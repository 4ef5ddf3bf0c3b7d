"""Find the sets of weights in a checkpoint by common keys and prefixes, select one, and normalise its keys."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from freetumor_runtime.checkpoints.inert import inert_kinds
from freetumor_runtime.errors import CheckpointError

# keys that trainers keep weights under
_WRAPPERS = (
    *("state_dict", "model_state_dict", "model_state", "model_dict", "network_weights", "network_state_dict"),
    *("model", "network", "net", "module", "weights", "params"),
)
_PREFIXES = ("module.", "_orig_mod.", "model.", "network.", "net.", "backbone.")
_NETWORKS = ("netG.", "netD.", "netSeg.")
# copies of one network; the user selects one
_COPIES = ("student", "teacher", "ema")
_DEEPEST = 3
_MOST_PREFIXES = 8
_MOST_SKIPPED = 20
# a tensor that each network has; the part before it is the prefix of a trainer
_MARKERS = [
    re.compile(rf"((?:.*\.)?){marker}")
    for marker in (
        r"down_tr512\.ops\.1\.conv1\.weight",
        r"encoder10\.layer\.conv1\.conv\.weight",
        r"swin(?:ViT|_vit)\.patch_embed\.proj\.weight",
        r"(?<!swinViT\.)(?<!swin_vit\.)layers1\.0\.blocks\.0\.attn\.qkv\.weight",
    )
]
_ENCODER_PART = re.compile(r"(patch_embed|layers[1-4]c?)\.")
_ENCODER = "layers1.0.blocks.0.attn.qkv.weight"


@dataclass
class WeightSet:
    """One set of weights; `tensors` have normalised keys."""

    # the name by which the user selects it
    name: str
    # keys that lead to the weights, joined with dots; None if the file itself is the dict of weights
    wrapper: str | None
    tensors: dict[str, Tensor] = field(default_factory=dict)
    # dropped from the keys
    prefixes: dict[str, None] = field(default_factory=dict)
    # old name -> new name
    renamed: dict[str, str] = field(default_factory=dict)
    # entries that are not read, with their types
    skipped: tuple[str, ...] = ()


def select_weights(path: str, content: Mapping[Any, Any], wanted: str | None, known: set[str]) -> WeightSet:
    """Return the set named `wanted`, or the only one. Raise CheckpointError that lists the sets if there is none.

    `known` are the entries that are read elsewhere: `skipped` does not list them.
    """
    groups = [
        (_name(wrapper, prefix), wrapper, prefix, keys, weights)
        for wrapper, weights in _dicts_of_tensors(content)
        for prefix, keys in _groups(weights).items()
    ]
    names = [name for name, *_ in groups]
    if not groups:
        raise CheckpointError(f"{path}: holds no tensors{_instead(content)}", "pass a file with weights")
    found = [group for group in groups if wanted in (None, group[0], group[1])]
    if len(found) != 1:
        raise CheckpointError(
            f"{path}: select one set of weights (expected {'one' if wanted is None else repr(wanted)}, "
            f"found {', '.join(sorted(names)[:10])})",
            "pass --weights NAME, or set `weights` (`initialWeightsSet`) in the configuration",
        )
    name, wrapper, prefix, keys, weights = found[0]
    beside = {key: value for key, value in content.items() if key not in {*known, (wrapper or "").split(".")[0]}}
    skipped = _skipped(beside if wrapper is None else {**beside, **weights})
    return _normalised(path, WeightSet(name, wrapper, skipped=skipped), prefix, keys)


def split_key(key: str) -> tuple[str, list[str]]:
    """Return a key without known prefixes, the name of a network of ours first, and the prefixes."""
    network, dropped = "", []
    for _ in range(_MOST_PREFIXES):
        start = next((prefix for prefix in (*_PREFIXES, *_NETWORKS) if key.startswith(prefix)), None)
        if start is None or (start in _NETWORKS and network):
            break
        if start in _NETWORKS:
            network = start
        else:
            dropped.append(start)
        key = key.removeprefix(start)
    return network + key, dropped


def _dicts_of_tensors(content: Mapping[Any, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str | None, dict]]:
    """Yield (wrapper, dict) of every dict with tensors under common keys, else the content itself."""
    inner = []
    for key, value in content.items():
        is_inner = isinstance(key, str) and isinstance(value, dict) and len(path) < _DEEPEST
        if is_inner and (key in _WRAPPERS or _copies_of(key)):
            inner += _dicts_of_tensors(value, (*path, key))
    if inner:
        yield from inner
        return
    if any(isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()):
        yield ".".join(path) or None, dict(content)


def _groups(weights: Mapping[Any, Any]) -> dict[str, dict[str, tuple[str, list[str], Tensor]]]:
    """Return prefix -> key -> (key without known prefixes, these prefixes, tensor), one entry for each set in a dict.

    If there is only one prefix, all keys belong to its set: a loss or a head next to the network stays and is reported.
    """
    tensors = {key: value for key, value in weights.items() if isinstance(key, str) and isinstance(value, Tensor)}
    keys = {key: (*split_key(key), tensor) for key, tensor in tensors.items()}
    short = [name for name, _, _ in keys.values() if not name.startswith(_NETWORKS)]
    prefixes = {match[1] for name in short for marker in _MARKERS if (match := marker.fullmatch(name))}
    first = {name.split(".")[0] for name in short}
    if not prefixes and len(short) == len(keys) and all(_copies_of(name) for name in first):
        prefixes = {f"{name}." for name in first}
    if len(prefixes) < 2:
        return dict.fromkeys(prefixes or {""}, keys)
    longest = sorted(prefixes, key=len, reverse=True)
    groups: dict[str, dict[str, tuple[str, list[str], Tensor]]] = {prefix: {} for prefix in longest}
    for key, (name, dropped, tensor) in keys.items():
        owner = next((prefix for prefix in longest if name.startswith(prefix)), None)
        if owner is not None:
            groups[owner][key] = (name, dropped, tensor)
    return groups


def _normalised(
    path: str, chosen: WeightSet, prefix: str, keys: Mapping[str, tuple[str, list[str], Tensor]]
) -> WeightSet:
    is_encoder = f"{prefix}{_ENCODER}" in {name for name, _, _ in keys.values()}
    for short, dropped, tensor in keys.values():
        name = short.removeprefix(prefix)
        network = next((start for start in _NETWORKS if name.startswith(start)), "")
        before = name.removeprefix(network)
        name = _current_name(before, is_encoder)
        if network + name in chosen.tensors:
            raise CheckpointError(
                f"{path}: two tensors have the name {(network + name)[:200]} without their prefixes",
                "save the file again with one of them",
            )
        chosen.tensors[network + name] = tensor
        chosen.prefixes.update(dict.fromkeys(dropped))
        if prefix and short.startswith(prefix):
            chosen.prefixes[prefix] = None
        if name != before:
            chosen.renamed |= _renaming(before, name)
    return chosen


def _current_name(name: str, is_encoder: bool) -> str:
    """Return the name that MONAI's SwinUNETR gives a tensor of a pretrained encoder."""
    if name.startswith("swin_vit."):
        name = f"swinViT.{name.removeprefix('swin_vit.')}"
    elif is_encoder and _ENCODER_PART.match(name):
        name = f"swinViT.{name}"
    if name.startswith("swinViT."):
        name = name.replace(".mlp.fc1.", ".mlp.linear1.").replace(".mlp.fc2.", ".mlp.linear2.")
    return name


def _renaming(before: str, after: str) -> dict[str, str]:
    names = {}
    if before.startswith("swin_vit."):
        names["swin_vit."] = "swinViT."
    elif not before.startswith("swinViT."):
        names["(no prefix)"] = "swinViT."
    if ".mlp.fc" in before:
        names["mlp.fc"] = "mlp.linear"
    return names


def _name(wrapper: str | None, prefix: str) -> str:
    """Return `student`, `teacher` or `ema` if the prefix or the key contains it; else the prefix or the key itself."""
    for said in (prefix, wrapper or ""):
        copies = _copies_of(said)
        if len(copies) == 1:
            return copies[0]
    return prefix.rstrip(".") or wrapper or "unnamed"


def _copies_of(name: str) -> list[str]:
    words = re.split(r"[._]", name.lower())
    return [word for word in _COPIES if word in words]


def _skipped(entries: Mapping[Any, Any]) -> tuple[str, ...]:
    other = {key: value for key, value in entries.items() if value is not None and not isinstance(value, Tensor)}
    named = [f"{str(key)[:200]} ({_type_of(value)})" for key, value in other.items()]
    return (*named[:_MOST_SKIPPED], *([f"{len(named) - _MOST_SKIPPED} more"] if len(named) > _MOST_SKIPPED else []))


def _type_of(value: Any) -> str:
    kinds = sorted(inert_kinds(value))
    shown = ", ".join(kinds[:3])
    if not kinds:
        return type(value).__name__
    return f"{type(value).__name__} with {shown}" if isinstance(value, dict | list | tuple | set) else shown


def _instead(content: Mapping[Any, Any]) -> str:
    kinds = sorted(set().union(*(inert_kinds(value) for value in content.values())))
    return f" (expected tensors, found {', '.join(kinds[:5])})" if kinds else ""
