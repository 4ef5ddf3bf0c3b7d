"""What a plug-in states in its hello, and which program it is."""

import hashlib
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from freetumor_runtime.plugins.messages import MAX_ARRAY_BYTES, PROTOCOL, Fault, shown

DEFAULT_PATCH = (96, 96, 96)
MOST_OUTPUTS = 64
ORGANS = ("liver", "pancreas", "kidney", "lung")
_TEXT_CHARACTERS = 100
_SIDE_STEP = 8
_LEAST_SPACING_MM = 0.001
_TUMOR = re.compile(r"tumou?r|lesion|cancer")
_HELLO_KEYS = {"type", "arrays", "protocol", "name", "version", "licence", "synthesize", "segment"}
_SHARED_KEYS = {"spacingMm", "windowHu", "patchVoxels"}


@dataclass(frozen=True)
class Part:
    """What a plug-in states of one kind of request. `names`: organs that it paints, or its outputs from id 0."""

    names: tuple[str, ...]
    spacingMm: tuple[float, ...] | None
    windowHu: tuple[float, ...] | None
    patchVoxels: tuple[int, ...]


@dataclass(frozen=True)
class PluginFacts:
    name: str
    version: str
    licence: str
    # of the first word of the command that is a file; None without one
    sha256: str | None
    synthesize: Part | None
    segment: Part | None

    def as_json(self) -> dict[str, Any]:
        """Return the facts for TypeScript; outputs with the numbers of those that are tumors."""
        return {**asdict(self), "tumorOutputs": list(self.tumor_outputs)}

    @property
    def tumor_outputs(self) -> tuple[int, ...]:
        names = () if self.segment is None else self.segment.names
        return tuple(id for id, name in enumerate(names) if _TUMOR.search(name.lower()))


def facts_of(hello: Mapping[str, Any], sha256: str | None) -> PluginFacts:
    """Return what a hello states. Raises Fault for a wrong one."""
    if hello.get("type") != "hello":
        raise Fault(f"sent a wrong first message (expected hello, found {shown(hello.get('type'))})")
    if hello.get("protocol") != PROTOCOL or type(hello.get("protocol")) is not int:
        raise Fault(f"has another protocol (expected {PROTOCOL}, found {shown(hello.get('protocol'))})")
    unknown = sorted(set(hello) - _HELLO_KEYS)
    if unknown:
        raise Fault(f"sent a hello with unknown keys ({shown(unknown)})")
    facts = PluginFacts(
        name=_text(hello, "name"),
        version=_text(hello, "version"),
        licence=_text(hello, "licence"),
        sha256=sha256,
        synthesize=_part(hello, "synthesize", "organs"),
        segment=_part(hello, "segment", "outputs"),
    )
    if facts.synthesize is None and facts.segment is None:
        raise Fault("sent a hello without work (expected synthesize, segment or both)")
    if facts.synthesize is not None:
        strange = [name for name in facts.synthesize.names if name not in ORGANS]
        if strange:
            raise Fault(f"paints unsupported organs (expected {', '.join(ORGANS)}, found {shown(strange)})")
    return facts


def hash_of_program(command: Sequence[str]) -> str | None:
    """Return the SHA-256 of the first word after an interpreter that is a file, else of the interpreter's script: None.

    A command of one program is that program, found in PATH like the system does.
    """
    program = shutil.which(command[0]) or command[0]
    files = [word for word in command[1:] if os.path.isfile(word)]
    is_interpreter = re.fullmatch(r"(python|pypy|julia|Rscript|node|perl|ruby|java|bash|sh)[\d.]*", _stem(command[0]))
    path = (files[0] if files else None) if is_interpreter else program
    if path is None or not os.path.isfile(path):
        return None
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(4 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def seed_of(*place: str | int) -> int:
    """Return the seed of a request from its place, below 2^53: the same wherever and whenever it is sent."""
    digest = hashlib.sha256("/".join(map(str, place)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 11


def _stem(word: str) -> str:
    return os.path.basename(word)


def _text(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key)
    # printable: no line breaks, controls or lone surrogates, which would forge lines of a log or fail in UTF-8
    if (
        not isinstance(value, str)
        or not 0 < len(value.strip()) <= len(value) <= _TEXT_CHARACTERS
        or not value.isprintable()
    ):
        raise Fault(f"sent a wrong {key} (expected 1 to {_TEXT_CHARACTERS} printable characters, found {shown(value)})")
    return value


def _part(hello: Mapping[str, Any], key: str, names_key: str) -> Part | None:
    value = hello.get(key)
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) - _SHARED_KEYS - {names_key}:
        raise Fault(
            f"sent a wrong {key} (expected {names_key}, {', '.join(sorted(_SHARED_KEYS))}, found {shown(value)})"
        )
    names = value.get(names_key)
    least = 2 if key == "segment" else 1
    if (
        not isinstance(names, list)
        or not least <= len(names) <= MOST_OUTPUTS
        or len(set(map(str, names))) != len(names)
    ):
        raise Fault(
            f"sent wrong {key}.{names_key} (expected {least} to {MOST_OUTPUTS} different names, found {shown(names)})"
        )
    if key == "segment" and _TUMOR.search(str(names[0]).lower()):
        raise Fault(f"sent wrong {key}.{names_key} (expected the background as the first, found {shown(names[0])})")
    patch = value.get("patchVoxels")
    return Part(
        names=tuple(_text({"name": name}, "name") for name in names),
        spacingMm=_numbers(value, key, "spacingMm", 3, positive=True),
        windowHu=_numbers(value, key, "windowHu", 2, positive=False),
        patchVoxels=DEFAULT_PATCH if patch is None else _patch(key, patch, len(names) if key == "segment" else 1),
    )


def _numbers(part: Mapping[str, Any], key: str, name: str, count: int, positive: bool) -> tuple[float, ...] | None:
    value = part.get(name)
    if value is None:
        return None
    is_list = isinstance(value, list) and len(value) == count and all(type(one) in (int, float) for one in value)
    least = _LEAST_SPACING_MM if positive else -32768
    in_range = is_list and all(least <= one <= 32767 for one in value)
    if not in_range or (not positive and value[0] >= value[1]):
        rule = f"{count} {'' if positive else 'rising '}numbers from {least} to 32767"
        raise Fault(f"sent a wrong {key}.{name} (expected {rule}, found {shown(value)})")
    return tuple(map(float, value))


def _patch(key: str, value: Any, outputs: int) -> tuple[int, ...]:
    is_list = isinstance(value, list) and len(value) == 3 and all(type(side) is int for side in value)
    if not is_list or not all(16 <= side <= 512 and side % _SIDE_STEP == 0 for side in value):
        raise Fault(
            f"sent a wrong {key}.patchVoxels "
            f"(expected 3 multiples of {_SIDE_STEP} from 16 to 512, found {shown(value)})"
        )
    x, y, z = value
    if x * y * z * 4 > MAX_ARRAY_BYTES or x * y * z * 4 * outputs > 4 * MAX_ARRAY_BYTES:
        raise Fault(f"wants a too large {key}.patchVoxels (found {shown(value)})")
    return x, y, z
