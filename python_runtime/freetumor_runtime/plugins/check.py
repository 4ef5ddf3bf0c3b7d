"""Check a plug-in with phantoms: `freetumor plugin check`. It talks to it as the jobs do.

TypeScript calls inspect_plugin and check_plugin; results are plain values.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from freetumor_runtime.config.common import PluginSpec
from freetumor_runtime.config.parsing import parse
from freetumor_runtime.errors import FreetumorError
from freetumor_runtime.plugins.client import Plugin, SynthesisRequest
from freetumor_runtime.plugins.facts import Part, PluginFacts

_SPACING, _WINDOW = (1.5, 1.5, 1.5), (-175.0, 250.0)
_FAT_HU, _ORGAN_HU, _TUMOR_HU, _NOISE_HU = -100.0, 110.0, 60.0, 10.0
# smallest mean change within the planned shape that counts as a tumor
_LEAST_CHANGE_HU = 1.0
_REPEATS = 5
_END_SECONDS = 10.0

# a check: its name, and a function that returns a detail or raises Failed
Check = tuple[str, Callable[[], str]]


class Failed(Exception):
    """A check failed; the text is its detail."""


def inspect_plugin(spec: dict[str, Any]) -> dict[str, Any]:
    """Start a plug-in, return its facts, and end it."""
    plugin = Plugin(parse(PluginSpec, spec, "plugin"), "cpu", 1)
    try:
        return plugin.facts.as_json()
    finally:
        plugin.close()


def check_plugin(spec: dict[str, Any]) -> dict[str, Any]:
    """Return `{ok, plugin, checks: [{id, ok, detail, seconds}], requestSeconds: {synthesize, segment}}`."""
    parsed = parse(PluginSpec, spec, "plugin")
    kit = _Kit(Plugin(parsed, "cpu", 1), parsed)
    checks = []
    try:
        for name, check in kit.checks():
            started = perf_counter()
            try:
                ok, detail = True, check()
            except (Failed, FreetumorError) as error:
                ok, detail = False, str(error).removeprefix(f"{kit.plugin.name}: ")
            checks.append({"id": name, "ok": ok, "detail": detail, "seconds": round(perf_counter() - started, 4)})
            if kit.plugin.given_up:
                detail = "not checked: the plug-in failed three times in a row"
                checks.append({"id": "all others", "ok": False, "detail": detail, "seconds": 0.0})
                break
    finally:
        kit.plugin.close()
    return {
        "ok": all(check["ok"] for check in checks),
        "plugin": None if kit.facts is None else kit.facts.as_json(),
        "checks": checks,
        "requestSeconds": {
            kind: round(median(times), 5) if times else None for kind, times in kit.request_seconds.items()
        },
    }


class _Kit:
    """The checks of one plug-in, in order; later ones use answers of earlier ones."""

    def __init__(self, plugin: Plugin, spec: PluginSpec) -> None:
        self.plugin = plugin
        self.facts: PluginFacts | None = None
        self.request_seconds: dict[str, list[float]] = {"synthesize": [], "segment": []}
        self._spec = spec
        self._first: dict[str, np.ndarray] = {}

    def checks(self) -> Iterator[Check]:
        yield "start", self._start
        if self.facts is None:
            return
        for kind, part in (("synthesize", self.facts.synthesize), ("segment", self.facts.segment)):
            if part is not None:
                yield from self._of_kind(kind, part)
        yield "end", self._end
        for kind in self._first:
            yield f"{kind}: restart", lambda kind=kind: self._restart(kind)

    def _of_kind(self, kind: str, part: Part) -> Iterator[Check]:
        yield f"{kind}: answer", lambda: self._answer(kind, part)
        yield f"{kind}: repetition", lambda: self._repetition(kind, part)
        yield f"{kind}: no memory", lambda: self._no_memory(kind, part)
        larger = tuple(side + 8 for side in part.patchVoxels)
        smaller = tuple(max(8, side // 2) for side in part.patchVoxels)
        if kind == "synthesize":
            for organ in part.names:
                yield f"{kind}: {organ}", lambda organ=organ: self._organ(part, organ)
            yield f"{kind}: seed", lambda: self._seed(part)
            yield f"{kind}: one voxel", lambda: self._one_voxel(part)
            yield f"{kind}: larger crop", lambda: self._size(part, larger)
            yield f"{kind}: smaller crop", lambda: self._size(part, smaller)
        else:
            yield f"{kind}: lesion", lambda: self._lesion(part)
        yield f"{kind}: empty crop", lambda: self._empty(kind, part)

    def _start(self) -> str:
        started = perf_counter()
        self.facts = self.plugin.facts
        kinds = [kind for kind in ("synthesize", "segment") if getattr(self.facts, kind) is not None]
        return f"{' and '.join(kinds)}, after {perf_counter() - started:.1f} s"

    def _end(self) -> str:
        self.plugin.close(_END_SECONDS)
        if not self.plugin.ended_itself:
            raise Failed(f"still ran {_END_SECONDS:g} s after the message `end` (expected its end)")
        return "ended by itself"

    def _answer(self, kind: str, part: Part) -> str:
        answer = self._first[kind] = self._ask(kind, part)
        if kind == "segment":
            return f"{'labels' if answer.ndim == 3 else 'logits'} of {len(part.names)} outputs"
        return self._painted(part, answer, _request(part, part.names[0]))

    def _painted(self, part: Part, answer: np.ndarray, request: SynthesisRequest) -> str:
        inside = request.shape > 0
        change = float((answer - request.image)[inside].mean(dtype=np.float64))
        outside = int((np.abs(answer - request.image)[~inside] > 1).sum())
        if abs(change) < _LEAST_CHANGE_HU:
            raise Failed(f"no tumor within the shape (expected a mean change of 1 HU or more, found {change:.2f} HU)")
        return f"{change:+.0f} HU within the shape; {outside} other voxels differ and would be blended out"

    def _repetition(self, kind: str, part: Part) -> str:
        for _ in range(_REPEATS):
            self._refuse_other(kind, self._ask(kind, part), "another answer to the same request")
        return f"{_REPEATS} bit-identical answers"

    def _no_memory(self, kind: str, part: Part) -> str:
        self._ask(kind, part, number=1)
        answer = self._ask(kind, part)
        self._refuse_other(kind, answer, "an answer that depends on an earlier request")
        return "bit-identical after another request"

    def _restart(self, kind: str) -> str:
        other = Plugin(self._spec, "cpu", 1)
        try:
            part = getattr(other.facts, kind)
            self._refuse_other(kind, self._ask(kind, part, plugin=other), "another answer after a restart")
        finally:
            other.close()
        return "bit-identical in another process"

    def _organ(self, part: Part, organ: str) -> str:
        request = _request(part, organ)
        return self._painted(part, self._synthesize(request), request)

    def _seed(self, part: Part) -> str:
        answers = [self._synthesize(replace(_request(part, part.names[0]), seed=seed)) for seed in (1, 2**53 - 1)]
        # allowed, but worth knowing
        if np.array_equal(answers[0], answers[1]):
            return "has no effect: tumors differ by place only"
        return "changes the tumor"

    def _one_voxel(self, part: Part) -> str:
        request = _request(part, part.names[0])
        shape = np.zeros_like(request.shape)
        shape[tuple(side // 2 for side in shape.shape)] = 1
        self._synthesize(replace(request, shape=shape))
        return "answered"

    def _size(self, part: Part, sides: tuple[int, ...]) -> str:
        self._synthesize(_request(part, part.names[0], sides=sides))
        return f"answered {' x '.join(map(str, sides))} voxels"

    def _empty(self, kind: str, part: Part) -> str:
        if kind == "synthesize":
            request = _request(part, part.names[0])
            self._synthesize(replace(request, image=np.full_like(request.image, _window(part)[0])))
        else:
            self._segment(part, np.full(part.patchVoxels, _window(part)[0], np.float32))
        return "answered a crop of the lowest HU"

    def _lesion(self, part: Part) -> str:
        request = _request(part, "liver", lesion=True)
        answer = self._segment(part, request.image)
        labels = answer if answer.ndim == 3 else answer.argmax(0)
        assert self.facts is not None
        found = np.isin(labels, self.facts.tumor_outputs)
        truth = request.shape > 0
        dice = 2 * int((found & truth).sum()) / max(1, int(found.sum()) + int(truth.sum()))
        return f"Dice {dice:.2f} for a dark sphere in a phantom (for information)"

    def _refuse_other(self, kind: str, answer: np.ndarray, what: str) -> None:
        first = self._first.get(kind)
        if first is None:
            raise Failed("not checked: the first request failed")
        if not np.array_equal(first, answer):
            raise Failed(f"{what} (expected bit-identical, found {int((first != answer).sum())} other values)")

    def _ask(self, kind: str, part: Part, number: int = 0, plugin: Plugin | None = None) -> np.ndarray:
        request = _request(part, part.names[0] if kind == "synthesize" else "liver", number)
        if kind == "synthesize":
            return self._synthesize(request, plugin)
        return self._segment(part, request.image, plugin)

    def _synthesize(self, request: SynthesisRequest, plugin: Plugin | None = None) -> np.ndarray:
        started = perf_counter()
        answer = (plugin or self.plugin).synthesize(request)
        self.request_seconds["synthesize"].append(perf_counter() - started)
        return answer

    def _segment(self, part: Part, image: np.ndarray, plugin: Plugin | None = None) -> np.ndarray:
        started = perf_counter()
        answer = (plugin or self.plugin).segment(image, part.spacingMm or _SPACING, _window(part))
        self.request_seconds["segment"].append(perf_counter() - started)
        return answer


def _window(part: Part) -> tuple[float, ...]:
    return part.windowHu or _WINDOW


def _request(
    part: Part, organ: str, number: int = 0, sides: tuple[int, ...] | None = None, lesion: bool = False
) -> SynthesisRequest:
    """Return a request with a phantom: an ellipsoid organ in fat, and a sphere in it as planned shape."""
    shape_XYZ = sides or part.patchVoxels
    axes = [np.linspace(-1, 1, side, dtype=np.float32) for side in shape_XYZ]
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    organ_XYZ = (x / 0.8) ** 2 + (y / 0.7) ** 2 + (z / 0.8) ** 2 < 1
    tumor_XYZ = (x - 0.1 * number) ** 2 + y**2 + (z + 0.1) ** 2 < 0.25**2
    noise = np.random.default_rng(number).normal(0, _NOISE_HU, shape_XYZ)
    image_XYZ = np.where(organ_XYZ, _ORGAN_HU, _FAT_HU) + noise
    if lesion:
        image_XYZ[tumor_XYZ] += _TUMOR_HU - _ORGAN_HU
    low, high = _window(part)
    return SynthesisRequest(
        image=image_XYZ.clip(low, high).astype(np.float32),
        label=organ_XYZ.astype(np.uint8),
        shape=tumor_XYZ.astype(np.uint8),
        organ=organ,
        size="small",
        seed=7 + number,
        spacing_mm=part.spacingMm or _SPACING,
        window_hu=(low, high),
        classes={1: organ, 2: f"{organ} tumor"},
    )
