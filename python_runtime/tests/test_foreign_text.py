import os
import unicodedata

import pytest

from freetumor_runtime.foreign_text import parse_json, read_json, visible


@pytest.mark.parametrize("text", ["[" * 3_000_000, '{"a":' * 5000 + "1" + "}" * 5000])
def test_deep_text_is_refused_before_it_is_parsed(text):
    with pytest.raises(ValueError, match="nested deeper than 64 levels"):
        parse_json(text)


@pytest.mark.parametrize("text", ['{"a": "[[[[\\"[[[["}' * 1, '"' + "[" * 5000 + '"'])
def test_brackets_in_a_text_are_no_nesting(text):
    assert parse_json(text)


@pytest.mark.parametrize("text", ['"' * 300_001, '"\\' * 300_000, '"' + "\\\\" * 300_000])
def test_a_text_without_an_end_is_no_json(text):
    with pytest.raises(ValueError):
        parse_json(text)


def test_a_pipe_and_a_long_file_are_refused_without_reading_them(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with open(tmp_path / "long", "wb") as long:
        long.truncate(2**40)
    for name in ("pipe", "long"):
        with pytest.raises(ValueError, match="no regular file"):
            read_json(tmp_path / name)


def test_text_for_a_log_has_no_character_that_acts_on_a_terminal() -> None:
    every = "".join(chr(code) for code in range(0x3000) if not 0xD800 <= code < 0xE000) + "\ufeff"
    shown = visible(every)
    assert [char for char in shown if unicodedata.category(char) in ("Cc", "Zl", "Zp") and char not in "\t\n"] == []
    assert visible("scan\x1b[2J\u202e.nii\nline") == "scan\\u001b[2J\\u202e.nii\nline"
