"""Scan the pickle of a checkpoint without creating an object: the names in it, its depth and its unfolded size.

torch.load(weights_only=True) runs no foreign code. But a small pickle can still keep it busy for hours (tuples of
tuples as keys), fill memory (a constructor with a size), or state a wrong size of a storage. A pickle that passes this
scan costs about its own bytes.
"""

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from freetumor_runtime.checkpoints.inert import ARRAY_NAMES, INERT_NAMES
from freetumor_runtime.errors import CheckpointError

_MAX_DEPTH = 50
_MAX_KEY = 8

_STORAGE_BYTES = {
    **{f"torch {name}Storage": 1 for name in ("Bool", "Byte", "Char")},
    **{f"torch {name}Storage": 2 for name in ("Half", "BFloat16", "Short")},
    **{f"torch {name}Storage": 4 for name in ("Float", "Int")},
    **{f"torch {name}Storage": 8 for name in ("Double", "Long", "ComplexFloat")},
    "torch ComplexDoubleStorage": 16,
    "torch.storage UntypedStorage": 1,
}
_DTYPES = {f"torch {name}" for name, value in vars(torch).items() if isinstance(value, torch.dtype)}
_REBUILDS = {f"torch._utils _rebuild_{what}" for what in ("tensor_v2", "tensor_v3", "parameter")}
_ORDERED, _COUNTER, _DEFAULT = "collections OrderedDict", "collections Counter", "collections defaultdict"
_SETS = ("__builtin__ set", "builtins set")
_KNOWN = {
    *_STORAGE_BYTES,
    *_DTYPES,
    *_REBUILDS,
    *_SETS,
    *INERT_NAMES,
    *(_ORDERED, _COUNTER, "_codecs encode", "torch Size", "torch device", "torch.serialization _get_layout"),
}
# a pickled network names the classes of its layers
_MODULES = "torch.nn.modules."


@dataclass(frozen=True)
class PickleLimits:
    """Largest size of a pickle in bytes, operations and objects; shared objects count each time."""

    # about 33 operations a tensor: 2,400 tensors
    bytes: int = 4 * 2**20
    operations: int = 80_000
    unfolded: int = 1_000_000


STATE_DICT_LIMITS = PickleLimits()


@dataclass(slots=True)
class _Value:
    """The result of an operation. `content`: a constant, a tuple of values, the keys of a dict, or None."""

    kind: str
    content: Any = None
    # number of objects in it; shared ones count each time
    unfolded: int = 1
    depth: int = 0
    # it is inside another value, so nothing may be added to it
    closed: bool = False


class _Refused(Exception):
    pass


def check_pickle(path: str, content: bytes, storages: Mapping[str, int], limits: PickleLimits) -> None:
    """Raise CheckpointError for a pickle with other content than tensors and plain values, or with a wrong size.

    `storages`: key -> bytes in the archive.
    """
    scan = _Scan(storages, limits)
    cause: Exception | None = None
    try:
        scan.run(content)
    except (_Refused, ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        cause = error
    if any(name.startswith(_MODULES) for name in scan.foreign):
        raise CheckpointError(
            f"{path}: holds a pickled module (expected a state dict, found {next(iter(scan.foreign))})"[:1000],
            "load it where you trust it, then run torch.save(model.state_dict(), 'weights.pt')",
        ) from cause
    if scan.foreign:
        names = list(scan.foreign)
        raise CheckpointError(
            f"{path}: holds more than weights: {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"[:1000],
            "save the model again as a state dict: only tensors and plain values are read",
        ) from cause
    if cause is not None:
        said = cause if isinstance(cause, _Refused) else f"its data.pkl is damaged: {cause!r}"
        raise CheckpointError(f"{path}: {said}"[:1000], "get the file again from where it was published") from cause


class _Scan:
    """A stack machine of the operations that torch's own weights-only reader supports."""

    def __init__(self, storages: Mapping[str, int], limits: PickleLimits) -> None:
        self.storages, self.limits = storages, limits
        # in the order of the file
        self.foreign: dict[str, None] = {}
        self.stack: list[_Value] = []
        self.marks: list[int] = []
        self.memo: dict[int, _Value] = {}

    def run(self, content: bytes) -> None:
        for number, (operation, argument, _) in enumerate(pickletools.genops(content)):
            if number > self.limits.operations:
                raise _Refused(f"its data.pkl has more than {self.limits.operations} operations")
            act = _OPERATIONS.get(operation.name)
            if act is None:
                raise _Refused(f"its data.pkl uses {operation.name}, which no state dict needs")
            act(self, argument)

    def constant(self, argument: Any) -> None:
        self.stack.append(_Value("constant", argument))

    def name(self, argument: str) -> None:
        if argument not in _KNOWN:
            self.foreign[argument.replace(" ", ".")] = None
        self.stack.append(_Value("global", argument))

    def mark(self, _: Any) -> None:
        self.marks.append(len(self.stack))

    def put(self, argument: int) -> None:
        self.memo[argument] = self.stack[-1]

    def get(self, argument: int) -> None:
        value = self.memo[argument]
        if value.kind in ("list", "dict") and not value.closed:
            raise _Refused("its data.pkl holds a list or dict within itself")
        self.stack.append(value)

    def make_tuple(self, length: int | None) -> None:
        items = self.since_mark() if length is None else self.pop(length)
        self.stack.append(self.around(_Value("tuple", tuple(items)), items))

    def append(self, items: list[_Value]) -> None:
        self.grow("list", items)

    def set_items(self, items: list[_Value]) -> None:
        keys = items[::2]
        if any(key.unfolded > _MAX_KEY or key.kind not in ("constant", "tuple") for key in keys):
            raise _Refused("its data.pkl has a key that is not a plain value")
        target = self.grow("dict", items)
        target.content.extend(key.content for key in keys)

    def reduce(self, _: Any) -> None:
        function, arguments = self.pop(2)
        if function.kind != "global" or arguments.kind != "tuple":
            raise _Refused("its data.pkl calls an object that is not a function")
        made = _made_by(function.content, arguments.content)
        self.stack.append(self.around(made, [arguments]))

    def new_object(self, _: Any) -> None:
        kind, arguments = self.pop(2)
        if kind.kind != "global" or arguments.kind != "tuple":
            raise _Refused("its data.pkl creates an object without a class")
        if kind.content in _KNOWN and kind.content not in INERT_NAMES:
            raise _Refused(f"its data.pkl creates a {kind.content.replace(' ', '.')} without its constructor")
        self.stack.append(self.around(_Value("inert" if kind.content in INERT_NAMES else "foreign"), [arguments]))

    def build(self, _: Any) -> None:
        (state,) = self.pop(1)
        target = self.stack[-1]
        is_state_dict = target.kind == "dict" and state.kind == "dict" and set(state.content) <= {"_metadata"}
        if not is_state_dict and target.kind not in ("inert", "foreign"):
            raise _Refused("its data.pkl sets the inner state of an object")
        self.around(target, [state])

    def storage(self, _: Any) -> None:
        (identity,) = self.pop(1)
        word, kind, key, _location, length = (item.content for item in identity.content)
        if kind not in _STORAGE_BYTES:
            raise _Refused(f"type of a storage is not supported (found {kind})")
        if word != "storage" or type(length) is not int or self.storages.get(key) != length * _STORAGE_BYTES[kind]:
            raise _Refused(
                f"wrong size of storage {key!r} "
                f"(expected {self.storages.get(key)} bytes, found {length!r} elements of {kind})"
            )
        self.stack.append(_Value("storage"))

    def grow(self, kind: str, items: list[_Value]) -> _Value:
        target = self.stack[-1]
        if target.kind != kind or target.closed:
            raise _Refused(f"its data.pkl adds to an object that is not a new {kind}")
        return self.around(target, items)

    def around(self, outer: _Value, items: list[_Value]) -> _Value:
        """Add items to a value and return it. Refuse it if it becomes too large or too deep."""
        for item in items:
            item.closed = True
            outer.unfolded += item.unfolded
            outer.depth = max(outer.depth, item.depth + 1)
        if outer.unfolded > self.limits.unfolded or outer.depth > _MAX_DEPTH:
            raise _Refused("its data.pkl unfolds to too many or too deep objects")
        return outer

    def since_mark(self) -> list[_Value]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def pop(self, count: int) -> list[_Value]:
        if len(self.stack) - (self.marks[-1] if self.marks else 0) < count:
            raise _Refused("its data.pkl takes more values from the stack than it has")
        start = len(self.stack) - count
        items = self.stack[start:]
        del self.stack[start:]
        return items


def _made_by(function: str, arguments: tuple[_Value, ...]) -> _Value:
    """Return the result of a call. Refuse arguments that torch.save does not write for it."""
    plain = [item.content for item in arguments]
    if function == _ORDERED:
        fits, made = not arguments, _Value("dict", [])
    elif function == _COUNTER:
        fits, made = [item.kind for item in arguments] in ([], ["dict"]), _Value("object")
    elif function == "_codecs encode":
        fits, made = plain[1:] in (["latin1"], ["latin-1"]), _Value("object")
    elif function == _DEFAULT:
        fits, made = len(arguments) <= 1, _Value("dict", [])
    elif function in _SETS:
        fits, made = [item.kind for item in arguments] == ["list"], _Value("object")
    elif function == "torch device":
        fits, made = all(item.kind == "constant" for item in arguments), _Value("object")
    elif function in ARRAY_NAMES:
        # NumPy writes an empty array; its shape is in the state, which no stand-in reads
        shape = [item.content for item in plain[1]] if len(plain) == 3 and arguments[1].kind == "tuple" else None
        fits, made = shape == [0], _Value("inert")
    elif function in INERT_NAMES:
        fits, made = True, _Value("inert")
    elif function in _REBUILDS or function == "torch Size":
        fits, made = True, _Value("object")
    else:
        # foreign names are reported at the end; known ones are not functions
        fits, made = function not in _KNOWN, _Value("foreign")
    if not fits:
        raise _Refused(f"its data.pkl calls {function.replace(' ', '.')} with unexpected arguments")
    return made


_CONSTANTS = ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING")
_FIXED = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_OPERATIONS: dict[str, Callable[[_Scan, Any], None]] = {
    **{name: lambda scan, argument: scan.constant(argument) for name in _CONSTANTS},
    **{name: lambda scan, _, value=value: scan.constant(value) for name, value in _FIXED.items()},
    "PROTO": lambda scan, _: None,
    "STOP": lambda scan, _: None,
    "GLOBAL": _Scan.name,
    "MARK": _Scan.mark,
    "EMPTY_TUPLE": lambda scan, _: scan.make_tuple(0),
    "TUPLE1": lambda scan, _: scan.make_tuple(1),
    "TUPLE2": lambda scan, _: scan.make_tuple(2),
    "TUPLE3": lambda scan, _: scan.make_tuple(3),
    "TUPLE": lambda scan, _: scan.make_tuple(None),
    "EMPTY_LIST": lambda scan, _: scan.stack.append(_Value("list")),
    "EMPTY_DICT": lambda scan, _: scan.stack.append(_Value("dict", [])),
    "APPEND": lambda scan, _: scan.append(scan.pop(1)),
    "APPENDS": lambda scan, _: scan.append(scan.since_mark()),
    "SETITEM": lambda scan, _: scan.set_items(scan.pop(2)),
    "SETITEMS": lambda scan, _: scan.set_items(scan.since_mark()),
    "REDUCE": _Scan.reduce,
    "NEWOBJ": _Scan.new_object,
    "BUILD": _Scan.build,
    "BINPERSID": _Scan.storage,
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), _Scan.put),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _Scan.get),
}
