"""For all tests: in CI nothing is skipped because a tool is missing; what `make setup` installs has to be there.

Generated examples (Hypothesis) are the same in every run, so that a change is judged by what it changed, and none of
them has to be done in time. RANDOM_EXAMPLES=1 draws new ones: what that finds is kept as an example of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "skiff",
    deadline=None,  # On a busy machine any example may take the fifth of a second that is the default.
    derandomize=not os.environ.get("RANDOM_EXAMPLES"),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("skiff")

#: What a host may lack though everything is installed: properties of its kernel and runtime.
EXCUSED = ("this host has no", "this runc does not know")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if not report.skipped or hasattr(report, "wasxfail") or not os.environ.get("CI"):
        return
    reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not any(excuse in reason for excuse in EXCUSED):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was not run: {reason}"
