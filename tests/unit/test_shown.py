"""A configuration shows itself as it would be typed."""

from __future__ import annotations

import hbmmodel as hbm
from hbmmodel import Controller, Cooling, System, device  # noqa: F401  # names in what is evaluated


def test_only_what_differs_from_the_defaults_is_shown() -> None:
    assert repr(hbm.Controller()) == "Controller()"
    assert repr(hbm.System(hbm.device("HBM4_8000"))) == "System(device=device('HBM4_8000', variant='24Gb_12H'))"


def test_what_is_shown_makes_the_same_system() -> None:
    system = hbm.System(
        hbm.device("HBM3E_8000", "24Gb_16H", tFAW_ns=20, rows=8192),
        stacks=8,
        controller=hbm.Controller(read_queue=16, quotas={"decode": hbm.Quota(reserved_share=0.5)}),
        cooling=hbm.Cooling(coolant_c=60.0),
    )
    assert eval(repr(system), {**globals(), "Quota": hbm.Quota}) == system
