"""Types of the binding of the C core; see _core.pyx."""

from collections.abc import Mapping, Sequence
from typing import Any

from numpy import float64, int32, int64, uint8, uint64
from numpy.typing import NDArray

MAX_DIMS: int

def device_fields() -> list[str]: ...
def counter_names() -> list[str]: ...
def bank_counter_names() -> list[str]: ...
def histogram_edges() -> NDArray[int64]: ...
def policies() -> dict[str, list[dict[str, str]]]: ...

class CoreDevice:
    ticks: dict[str, int]
    def __init__(self, ticks: Mapping[str, int]) -> None: ...
    def least_refresh_interval(self, per_bank: bool) -> int: ...

class CoreMap:
    device: CoreDevice
    stacks: int
    def __init__(
        self,
        device: CoreDevice,
        stacks: int,
        pieces: Sequence[tuple[int, int, int]],
        xors: Sequence[tuple[int, int, int, int]] = (),
    ) -> None: ...
    @property
    def capacity_bytes(self) -> int: ...
    def decode(self, address: NDArray[uint64], wrap: bool = False) -> NDArray[int32]: ...
    def encode(self, coordinates: NDArray[int32]) -> NDArray[uint64]: ...

class CoreSystem:
    map: CoreMap
    def __init__(
        self,
        map: CoreMap,
        policy: Mapping[str, int | str],
        *,
        host_ticks: int,
        window: int,
        threads: int,
        command_log: bool,
        epoch_ticks: int,
        skip: bool = True,
    ) -> None: ...
    def set_l2(self, size_bytes: int, line_bytes: int, ways: int) -> None: ...
    def l2_counts(self) -> dict[str, int]: ...
    def requests(
        self,
        address: NDArray[uint64],
        is_write: NDArray[uint8],
        tick: NDArray[int64] | None,
        wrap: bool,
        first_record: int = 0,
    ) -> None: ...
    def submit(
        self, accesses: list[tuple[Any, ...]], operation: int, start: int, tile_bursts: int, wrap: bool
    ) -> bool: ...
    def next_end(self) -> tuple[int, int]: ...
    def next_start(self) -> int: ...
    def accept(self) -> None: ...
    def operations(self, n: int) -> dict[str, NDArray[int64]]: ...
    def finish(self) -> int: ...
    def counters(self) -> dict[str, NDArray[int64]]: ...
    def bank_counters(self) -> dict[str, NDArray[int64]]: ...
    def histogram(self) -> NDArray[uint64]: ...
    def epochs(self) -> dict[str, Any]: ...
    def commands(self) -> NDArray[Any]: ...

class CoreThermal:
    layers: int
    sources: int
    modes: int
    def __init__(
        self,
        conductance: NDArray[float64],
        capacity: NDArray[float64],
        sheet: NDArray[float64],
        eigenvalue: NDArray[float64],
        source_layer: NDArray[int32],
        dt_s: float,
    ) -> None: ...
    def step(self, state: NDArray[float64], power: NDArray[float64], steps: int = 1) -> None: ...

def run_channel(
    ticks: Mapping[str, int],
    policy: Mapping[str, int | str],
    arrival: Sequence[Any],
    is_write: Sequence[Any],
    bank: Sequence[Any],
    row: Sequence[Any],
    column: Sequence[Any],
    host_ticks: int = 0,
    window: int = 0,
    skip: bool = True,
    command_log: bool = True,
) -> dict[str, Any]: ...
