"""Requests to a plug-in: synthesize a tumor in a crop, segment a crop (docs/plugins.md).

A plug-in is not trusted: each answer is compared with its request before it is used.
"""

import os
import shlex
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from freetumor_runtime.config.common import PluginSpec
from freetumor_runtime.errors import EnvironmentError, PluginError
from freetumor_runtime.foreign_text import visible
from freetumor_runtime.plugins.facts import PluginFacts, facts_of, hash_of_program
from freetumor_runtime.plugins.messages import (
    MAX_ARRAY_BYTES,
    Accept,
    Announced,
    Closed,
    Fault,
    TooLate,
    receive_message,
    refuse_unread,
    send_message,
    shown,
)
from freetumor_runtime.plugins.process import PluginProcess

_LARGEST_HU, _LEAST_HU = 32767, -32768
_FAULTS_IN_A_ROW = 3
_END_SECONDS = 2.0
_HINT = "run `freetumor plugin check` on it"


@dataclass(frozen=True)
class SynthesisRequest:
    """A host crop in HU, float32; label ids and planned shape, uint8; all [X, Y, Z]."""

    image: np.ndarray
    label: np.ndarray
    shape: np.ndarray
    organ: str
    size: str
    seed: int
    spacing_mm: Sequence[float]
    window_hu: Sequence[float]
    # label id -> name
    classes: Mapping[int, str]


class Plugin:
    """A plug-in that is started with the first request, and again after a fault, at most three times in a row."""

    def __init__(self, spec: PluginSpec, device: str, threads: int) -> None:
        self._spec = spec
        self._values = {"device": device, "threads": str(threads)}
        self._process: PluginProcess | None = None
        self._facts: PluginFacts | None = None
        self._requests = 0
        self._faults = 0
        self._last_fault: PluginError | None = None
        # whether it ended when it was asked to by its last close
        self.ended_itself = False

    @property
    def given_up(self) -> bool:
        """Return whether the plug-in is not started again, because of faults in a row."""
        return self._process is None and self._faults >= _FAULTS_IN_A_ROW

    @property
    def facts(self) -> PluginFacts:
        """Return what the plug-in states; starts it. Raises PluginError."""
        self._ready()
        assert self._facts is not None
        return self._facts

    def synthesize(self, request: SynthesisRequest) -> np.ndarray:
        """Return the crop with the tumor in HU, float32 [X, Y, Z]. Raises PluginError."""
        header = {
            "type": "synthesize",
            "organ": request.organ,
            "size": request.size,
            "seed": request.seed,
            "spacingMm": list(request.spacing_mm),
            "windowHu": list(request.window_hu),
            "classes": {str(id): name for id, name in request.classes.items()},
        }
        arrays = {"image": request.image, "label": request.label, "shape": request.shape}
        shape = tuple(request.image.shape)
        wanted = tuple(Announced("image", dtype, shape) for dtype in ("float32", "int16"))
        return self._ask(header, arrays, "synthesized", wanted, _checked_hu)

    def segment(self, image: np.ndarray, spacing_mm: Sequence[float], window_hu: Sequence[float]) -> np.ndarray:
        """Return label ids uint8 [X, Y, Z] or logits float32 [C, X, Y, Z] of a crop in HU. Raises PluginError."""
        segment = self.facts.segment
        if segment is None:
            raise self._refused("cannot segment", "name a plug-in that states segment in its hello")
        header = {"type": "segment", "spacingMm": list(spacing_mm), "windowHu": list(window_hu)}
        shape, outputs = tuple(image.shape), len(segment.names)
        wanted = Announced("labels", "uint8", shape), Announced("logits", "float32", (outputs, *shape))

        def checked(array: np.ndarray) -> np.ndarray:
            if array.ndim == 3 and int(array.max(initial=0)) >= outputs:
                raise Fault(f"returned a label without an output (expected below {outputs}, found {array.max()})")
            return array if array.ndim == 3 else _checked_finite(array)

        return self._ask(header, {"image": image}, "segmented", wanted, checked)

    def close(self, wait_seconds: float = _END_SECONDS) -> None:
        """Ask the plug-in to end; after `wait_seconds`, end it and its descendants."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.connection is not None:
            with suppress(Fault):
                send_message(process.connection, {"type": "end"}, {}, time.monotonic() + _END_SECONDS)
                self.ended_itself = process.ends_within(wait_seconds)
        process.close()

    def refuse_other_work(self, work: str, where: str) -> None:
        """Raise PluginError if the plug-in does not do `work` (synthesize or segment)."""
        if getattr(self.facts, work) is None:
            raise self._refused(f"cannot be used as {where}", f"name a plug-in that states {work} in its hello")

    def _ask(
        self,
        header: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray],
        answer: str,
        wanted: Sequence[Announced],
        checked: Any,
    ) -> np.ndarray:
        if arrays["image"].nbytes > MAX_ARRAY_BYTES:
            raise self._refused(f"got a too large crop ({list(arrays['image'].shape)} voxels)", "use smaller patches")
        process = self._ready()
        assert process.connection is not None
        self._requests += 1
        number, seconds = self._requests, self._spec.requestTimeoutSeconds
        deadline = time.monotonic() + seconds
        try:
            refuse_unread(process.connection)
            send_message(process.connection, {**header, "id": number}, arrays, deadline)
            accept = _accept(answer, number, wanted)
            _, received = receive_message(process.connection, accept, deadline)
            (array,) = received.values()
            result = checked(array)
        except Fault as fault:
            raise self._failed(process, fault, f"within {seconds:g} s") from fault
        except BaseException:
            # interrupted within a message: the connection cannot be used again
            self._process = None
            process.close()
            raise
        self._faults = 0
        return result

    def _ready(self) -> PluginProcess:
        if self._process is not None:
            return self._process
        if self.given_up:
            raise PluginError(f"{self._last_fault} (not started again after {self._faults} faults in a row)", _HINT)
        seconds = self._spec.startTimeoutSeconds
        deadline = time.monotonic() + seconds
        program = self._spec.command[0]
        if shutil.which(program) is None:
            if os.path.isfile(program):
                raise self._refused(f"program not executable: {program}", "name its Python, or run `chmod +x` on it")
            raise self._refused(f"program not found: {program}", "correct its path, or name a command in PATH")
        try:
            process = PluginProcess(self._spec.command, self._values)
        except OSError as error:
            raise EnvironmentError(
                f"{self.name}: cannot be started ({error.strerror})", "set TMPDIR to a folder with a short path"
            ) from error
        try:
            connection = process.accept(deadline)
            hello, _ = receive_message(connection, _no_arrays, deadline)
            facts = facts_of(hello, hash_of_program(self._spec.command))
            if self._facts is not None and facts != self._facts:
                raise Fault("states something else than at its first start")
        except Fault as fault:
            raise self._failed(process, fault, f"within {seconds:g} s") from fault
        except BaseException:
            process.close()
            raise
        self._facts, self._process = facts, process
        return process

    def _failed(self, process: PluginProcess, fault: Fault, limit: str) -> PluginError:
        """End the process; return the error, with how it ended and the last lines of its output."""
        ended_itself = isinstance(fault, Closed)
        ended = process.how_ended() if ended_itself else None
        # what it prints when its connection is closed is no cause
        lines = "" if ended_itself else process.last_lines()
        self._process = None
        process.close()
        if ended_itself:
            lines = process.last_lines()
        what = f"ended with {ended}" if ended is not None else str(fault)
        expected = f" (expected {limit})" if isinstance(fault, TooLate) else ""
        self._faults += 1
        error = PluginError(f"{self.name}: {what}{expected}{f'; last output: {lines}' if lines else ''}", _HINT)
        self._last_fault = error
        return error

    def _refused(self, what: str, hint: str) -> PluginError:
        return PluginError(f"{self.name}: {what}", hint)

    @property
    def name(self) -> str:
        """Return the name of the plug-in in messages: its command."""
        command = visible(shlex.join(self._spec.command))
        return f"plug-in {command if len(command) <= 200 else f'{command[:197]}...'}"


def _accept(answer: str, number: int, wanted: Sequence[Announced]) -> Accept:
    def accept(header: Mapping[str, Any], announced: tuple[Announced, ...]) -> None:
        kind = header.get("type")
        if header.get("id") != number:
            raise Fault(f"sent a message without a request (expected id {number}, found {shown(header.get('id'))})")
        if kind == "error":
            # in one line: it must not look like lines of ours
            message = " ".join(str(header.get("message")).split())
            raise Fault(f"refused the request: {visible(message)[:300]}")
        if kind != answer:
            raise Fault(f"sent a wrong answer (expected {answer}, found {shown(kind)})")
        if len(announced) != 1 or announced[0] not in wanted:
            raise Fault(
                f"announced wrong arrays (expected {' or '.join(map(_described, wanted))}, "
                f"found {', '.join(map(_described, announced)) or 'none'})"
            )

    return accept


def _described(array: Announced) -> str:
    return f"{array.name[:40]!r} {array.dtype} {list(array.shape)}"


def _no_arrays(_header: Mapping[str, Any], announced: tuple[Announced, ...]) -> None:
    if announced:
        raise Fault("announced arrays in its hello")


def _checked_hu(array: np.ndarray) -> np.ndarray:
    hu = _checked_finite(array.astype(np.float32, copy=False))
    if hu.min() < _LEAST_HU or hu.max() > _LARGEST_HU:
        raise Fault(f"returned wrong HU (expected {_LEAST_HU} to {_LARGEST_HU}, found {hu.min():g} to {hu.max():g})")
    return hu


def _checked_finite(array: np.ndarray) -> np.ndarray:
    if not np.isfinite(array).all():
        raise Fault(f"returned {int((~np.isfinite(array)).sum())} values that are NaN or infinite")
    return array
