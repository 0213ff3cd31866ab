"""What a run did, command by command, for the viewers of others: Perfetto traces and value change dumps.

Owns the choice of a window of a command log, what the commands say about rows, buses and power states, and the two file
formats; must not know how a log was recorded or whether it is legal.
"""

from hbmmodel.export.perfetto import write_perfetto
from hbmmodel.export.vcd import write_vcd

__all__ = ["write_perfetto", "write_vcd"]
