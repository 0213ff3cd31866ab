"""What all tests share: where the sources are, and one profile for property tests."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Examples are drawn anew in every run; a deadline would only measure how busy the machine is.
settings.register_profile(
    "hbmmodel", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("hbmmodel")


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_is_heard() -> Iterator[None]:
    """Tests of interruption need SIGINT, which a shell's background jobs ignore, and their children with them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def checkout() -> Path:
    """Root of the source tree that holds these tests; skips where the tests run without it."""
    root = Path(__file__).resolve().parent.parent
    if not (root / "csrc").is_dir():
        pytest.skip("needs the sources of the C core")
    return root
