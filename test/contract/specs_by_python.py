"""Prints what Python expects in a job file, as JSON: job -> the shape of its specification.

A shape is "string", "number", "boolean", {nullable: shape}, {list: shape}, {map: shape} or {keys: [[name, shape], ...]}.
"""

import dataclasses
import json
import types
import typing

from freetumor_runtime.config.job import SPECS

PLAIN = {str: "string", int: "number", float: "number", bool: "boolean"}


def shape_of(kind) -> object:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        (inner,) = (one for one in arguments if one is not type(None))
        return {"nullable": shape_of(inner)}
    if origin is tuple:
        return {"list": shape_of(arguments[0])}
    if origin is dict:
        return {"map": shape_of(arguments[1])}
    if dataclasses.is_dataclass(kind):
        return {
            "keys": [
                [name, shape_of(hint)]
                for name, hint in typing.get_type_hints(kind).items()
            ]
        }
    return PLAIN[kind]


print(json.dumps({job: shape_of(kind) for job, kind in SPECS.items()}))
