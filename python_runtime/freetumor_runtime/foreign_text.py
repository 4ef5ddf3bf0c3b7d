"""Text that others may have written: JSON is bounded before it is parsed, control characters are spelled out.

The twin of src/foreign-text.ts and src/plain-text.ts.
"""

import json
import os
import re
import stat
from pathlib import Path
from typing import Any

MAX_BYTES = 4 * 2**20
_MAX_DEPTH = 64
# a string is one match, so that brackets in it do not count; without an end it reaches to the end of the text
_STRING_OR_BRACKET = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
_ACTING = re.compile("[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def visible(text: str) -> str:
    """Return text for a terminal or a log: characters that act on either are spelled out (`\\u001b`), lines stay."""
    return _ACTING.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def parse_json(text: str) -> Any:
    """Return the value of JSON text. Raises ValueError if it is not JSON, or is nested deeper than 64 levels."""
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        if match[0] in "[{":
            depth += 1
            if depth > _MAX_DEPTH:
                raise ValueError(f"nested deeper than {_MAX_DEPTH} levels")
        elif match[0] in "]}":
            depth -= 1
    return json.loads(text)


def read_json(path: str | os.PathLike[str]) -> Any:
    """Return the value of a JSON file of at most 4 MiB. Raises OSError, or ValueError for any other file."""
    # a pipe without a writer would block a plain open for ever
    with open(os.open(Path(path), os.O_RDONLY | os.O_NONBLOCK), encoding="utf-8") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_BYTES:
            raise ValueError(f"no regular file of at most {MAX_BYTES} bytes")
        return parse_json(file.read())
