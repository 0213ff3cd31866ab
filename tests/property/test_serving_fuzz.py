"""Files of arrivals with anything in them: requests, or one line that names the file; never anything else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fuzzing import mutated
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hbmmodel.errors import HbmTraceError
from hbmmodel.serving import read_arrivals

SAMPLES = sorted((Path(__file__).parent.parent / "unit" / "data" / "serving").iterdir())


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda p: p.stem)
@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_read_or_refused(tmp_path: Path, sample: Path, data: st.DataObject) -> None:
    path = tmp_path / "damaged"
    path.write_bytes(data.draw(mutated(sample.read_bytes())))
    try:
        found = read_arrivals(path)
    except HbmTraceError as error:
        message = str(error)
        assert message.startswith(str(path)) and "\n" not in message and len(message) < 1000
    else:
        assert len(found) and found.time_s[0] == 0 and (np.diff(found.time_s) >= 0).all()
        assert found.input_tokens.min() > 0 and found.output_tokens.min() > 0
