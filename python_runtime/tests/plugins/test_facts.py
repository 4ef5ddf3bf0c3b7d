"""What a plug-in may state in its hello."""

import pytest

from freetumor_runtime.plugins.facts import facts_of
from freetumor_runtime.plugins.messages import Fault

SEGMENT = {"outputs": ["background", "liver tumor"], "spacingMm": [1, 1, 1], "windowHu": [-175, 250]}
HELLO = {"type": "hello", "protocol": 1, "name": "plug-in", "version": "1", "licence": "MIT", "segment": SEGMENT}


def test_a_correct_hello_is_read():
    facts = facts_of(HELLO, None)
    assert (facts.licence, facts.tumor_outputs) == ("MIT", (1,))


@pytest.mark.parametrize(
    "text", ["", "  ", "MIT\nerror: disk full", "\x1b[2J", "a\u202eb", "\ud800", "x" * 101, 1, None]
)
@pytest.mark.parametrize("key", ["name", "version", "licence"])
def test_texts_are_one_printable_line(key, text):
    with pytest.raises(Fault, match=f"sent a wrong {key} .expected 1 to 100 printable characters"):
        facts_of({**HELLO, key: text}, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outputs": ["tumor", "liver"]}, "expected the background as the first"),
        ({"outputs": ["background", "tumor", "tumor"]}, "2 to 64 different names"),
        ({"outputs": ["background", "tu\nmor"]}, "printable characters"),
        ({"spacingMm": [1, 1, -1]}, "3 numbers from 0.001 to 32767"),
        ({"spacingMm": [1, 1, float("nan")]}, "3 numbers from 0.001"),
        ({"windowHu": [250, -175]}, "2 rising numbers from -32768"),
        ({"patchVoxels": [95, 96, 96]}, "3 multiples of 8"),
    ],
)
def test_a_wrong_segmentor_is_refused_with_the_rule(change, message):
    with pytest.raises(Fault, match=message):
        facts_of({**HELLO, "segment": {**SEGMENT, **change}}, None)
