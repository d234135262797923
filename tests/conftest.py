"""What all tests share: in CI a skipped test is a failure, because CI installs everything that tests can use."""

import os

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> object:
    """Turn a skip into a failure where nothing may be skipped."""
    report = yield
    if os.environ.get("POSTROOM_NOTHING_SKIPPED") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped where nothing may be: {report.longrepr}"
    return report
