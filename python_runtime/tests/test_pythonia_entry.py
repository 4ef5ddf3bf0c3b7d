"""`run` changes the process it runs in (its stdout, its end), so each test gives it one of its own."""

import json
import subprocess
import sys


def answer_of(module: str, function: str, *arguments) -> dict:
    code = (
        "import os, sys; from freetumor_runtime.pythonia_entry import run; out = os.dup(1);"
        "os.write(out, run(sys.argv[1], sys.argv[2], sys.argv[3]).encode())"
    )
    argv = [sys.executable, "-c", code, module, function, json.dumps(arguments)]
    return json.loads(subprocess.run(argv, capture_output=True, check=True, text=True).stdout)


def test_a_value_comes_back():
    assert answer_of("math", "hypot", 3, 4) == {"value": 5.0}


def test_what_a_function_prints_is_no_data():
    assert answer_of("builtins", "print", "talk") == {"value": None}


def test_an_error_of_ours_keeps_its_kind():
    error = answer_of("freetumor_runtime.config.job", "load_spec", "/no/such/job.json")["error"]
    assert set(error) == {"kind", "message", "hint"}


def test_any_other_error_is_named_with_its_function():
    error = answer_of("builtins", "int", "x")["error"]
    assert error["kind"] == "runtime"
    assert error["message"].startswith("builtins.int: ValueError: invalid literal")


def test_nan_is_an_error_since_it_would_end_node():
    assert "not JSON compliant" in answer_of("builtins", "float", "nan")["error"]["message"]
