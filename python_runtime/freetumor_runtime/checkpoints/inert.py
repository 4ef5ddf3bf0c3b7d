"""Inert stand-ins for common objects next to weights.

torch.load(weights_only=True) builds a stand-in instead of the named object: it takes any arguments, keeps none, and
runs nothing. A name that is not listed here is refused by pickle_scan.
"""

import struct
from collections.abc import Iterable
from typing import Any

_PATHS = ("Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath")
_STANDING: dict[str, tuple[str, ...]] = {
    "argparse": ("Namespace",),
    "builtins": ("dict", "float", "int", "list"),
    "datetime": ("date", "datetime", "time", "timedelta", "timezone"),
    "numpy": ("ndarray",),
    "pathlib": _PATHS,
    # Python 3.13
    "pathlib._local": _PATHS,
    "types": ("SimpleNamespace",),
}
_ARRAYS = ("numpy.core.multiarray", "numpy._core.multiarray")
# number type of NumPy -> its format of struct
_NUMBERS = {"b1": "?", "f2": "e", "f4": "f", "f8": "d", "i1": "b", "i2": "h", "i4": "i", "i8": "q"}
_NUMBERS |= {"u1": "B", "u2": "H", "u4": "I", "u8": "Q"}


class Inert:
    """Stands for an object of `kind`; accepts any arguments and any state, and keeps none of them."""

    kind = "object"

    def __new__(cls, *_: Any) -> "Inert":
        return super().__new__(cls)

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


class NumberType(Inert):
    """Stands for a numpy.dtype and keeps its code and byte order."""

    kind = "numpy.dtype"

    def __init__(self, code: Any = "", *_: Any) -> None:
        self.code, self.order = code, "="

    def __setstate__(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        self.order = order if order in ("<", ">") else "="


def _number(number_type: Any, content: Any = None, *_: Any) -> Any:
    """Return a NumPy number as one of Python; a stand-in for anything else."""
    code = getattr(number_type, "code", None)
    known = _NUMBERS.get(code) if isinstance(code, str) else None
    if known is None or not isinstance(content, bytes) or len(content) != struct.calcsize(known):
        return _of_kind("numpy.generic")()
    return struct.unpack(number_type.order + known, content)[0]


def _plain_dict(*_: Any) -> dict[Any, Any]:
    """Stand for a defaultdict; its items follow."""
    return {}


def _of_kind(name: str) -> type[Inert]:
    return type(name, (Inert,), {"kind": name})


_ARRAY = _of_kind("numpy.ndarray")
# what torch.load builds for a name, as torch.serialization.safe_globals takes it
STAND_INS: list[Any] = [
    *(
        (_of_kind(f"{module.removesuffix('._local')}.{name}"), f"{module}.{name}")
        for module, names in _STANDING.items()
        for name in names
    ),
    (NumberType, "numpy.dtype"),
    *((_number, f"{module}.scalar") for module in _ARRAYS),
    *((_ARRAY, f"{module}._reconstruct") for module in _ARRAYS),
    (_plain_dict, "collections.defaultdict"),
]
# protocol 2 writes these modules and names of Python 2
_OLD_NAMES = {"builtins dict", "builtins float", "builtins int", "builtins list"}
ARRAY_NAMES = frozenset(f"{module} _reconstruct" for module in _ARRAYS)
# the same names as a pickle writes them
INERT_NAMES = frozenset(
    {
        *(" ".join(name.rsplit(".", 1)) for _, name in STAND_INS),
        *(name.replace("builtins", "__builtin__") for name in _OLD_NAMES),
        "__builtin__ long",
    }
)


def inert_kinds(value: Any) -> set[str]:
    """Return the kinds of all stand-ins in a value; pickle_scan bounds how far this walks."""
    if isinstance(value, Inert):
        return {value.kind}
    if isinstance(value, type) and issubclass(value, Inert):
        return {value.kind}
    if not isinstance(value, dict | list | tuple | set):
        return set()
    parts: Iterable[Any] = value.values() if isinstance(value, dict) else value
    return set().union(*map(inert_kinds, parts))
