"""Strict parsing. No key has a default: an unknown or missing key, or a value of another type, is refused and named."""

import dataclasses
import types
import typing
from typing import Any

from freetumor_runtime.errors import ConfigError


def parse(kind: Any, value: Any, where: str) -> Any:
    """Return `value` as `kind` (a dataclass, tuple, dict, union with None, or plain type), strictly."""
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        options = [option for option in typing.get_args(kind) if option is not type(None)]
        return None if value is None else parse(options[0], value, where)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _parse_dataclass(kind, value, where)
    if origin is tuple:
        _expect(isinstance(value, list), where, "a list", value)
        item = typing.get_args(kind)[0]
        return tuple(parse(item, element, f"{where}[{i}]") for i, element in enumerate(value))
    if origin is dict:
        _expect(isinstance(value, dict), where, "a mapping", value)
        return {key: parse(typing.get_args(kind)[1], element, f"{where}.{key}") for key, element in value.items()}
    if kind is float:
        _expect(isinstance(value, int | float) and not isinstance(value, bool), where, "a number", value)
        return float(value)
    _expect(isinstance(value, kind) and (kind is bool or not isinstance(value, bool)), where, kind.__name__, value)
    return value


def _parse_dataclass(kind: type, value: Any, where: str) -> Any:
    _expect(isinstance(value, dict), where, "a mapping", value)
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(value) - set(hints))
    missing = sorted(set(hints) - set(value))
    if unknown or missing:
        raise ConfigError(
            f"{where}: unknown keys {unknown}, missing keys {missing}",
            "the TypeScript and Python sides are of different versions: reinstall freetumor",
        )
    return kind(**{name: parse(hint, value[name], f"{where}.{name}") for name, hint in hints.items()})


def _expect(holds: bool, where: str, expected: str, value: Any) -> None:
    if not holds:
        raise ConfigError(
            f"{where}: wrong type (expected {expected}, found {value!r})",
            "run `freetumor setup`, so that Python and TypeScript have one version",
        )
