"""What is imported late is the same module, and is not run before it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

from component_base.lazy import lazily

LATE = """
import sys
from component_base.lazy import lazily
late = lazily("csv")
assert "_csv" not in sys.modules
assert late.QUOTE_ALL == 1
assert "_csv" in sys.modules
import csv
assert csv is late is lazily("csv")
"""


def test_it_runs_when_it_is_used() -> None:
    subprocess.run([sys.executable, "-c", LATE], check=True)


def test_there_must_be_one() -> None:
    with pytest.raises(ModuleNotFoundError):
        lazily("no_such_module_anywhere")
