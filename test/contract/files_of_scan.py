"""Reads paths from stdin, one a line; answers a JSON array: for each the files of the scan."""

import json
import sys

from freetumor_runtime.data.nifti import files_of_scan

json.dump([files_of_scan(path) for path in sys.stdin.read().splitlines()], sys.stdout)
