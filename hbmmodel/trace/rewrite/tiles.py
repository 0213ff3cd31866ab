"""Matrix products as tiles that read their operands again and again.

Owns the count of re-reads; must not know the cache that may catch them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from hbmmodel.trace.records import OpRecord, Record, RecordedTrace
from hbmmodel.trace.rewrite.base import Pass, check_count
from hbmmodel.trace.rewrite.matmul import product

__all__ = ["GemmTiles"]


@dataclass(frozen=True)
class GemmTiles(Pass):
    """Products C = A B as rows of tiles: each panel of `m` rows of A is read once per `n` columns, B once per panel.

    Without this pass every operand moves once, the lower bound that a large enough cache reaches. With it every
    re-read reaches the memory system; ``simulate(l2=...)`` then catches those that a cache of that size holds.

    Parameters
    ----------
    m, n : int
        Rows and columns of a tile of C.

    Notes
    -----
    For A of M x K and B of K x N elements, A is read ceil(N / n) times and B ceil(M / m) times. Re-reads are in the
    order of a walk along the rows of C where A is dense and `m` divides M; else A is walked as a whole each time.

    Source
    ------
    The blocked product: Golub and Van Loan, *Matrix Computations*, 4th edition, 1.5; tiles of 128 x 128 and 128 x 256
    are the usual sizes of CUTLASS kernels.

    Examples
    --------
    >>> str(GemmTiles(128, 256))
    'gemm_tiles(m=128, n=256)'
    """

    pass_name: ClassVar[str] = "gemm_tiles"

    m: int = 128
    n: int = 128

    def __post_init__(self) -> None:
        check_count("m", self.m, 1, 1 << 20)
        check_count("n", self.n, 1, 1 << 20)

    def apply(self, trace: RecordedTrace) -> Iterator[Record]:
        """Records with re-reads."""
        for record in trace.records():
            one = product(record) if isinstance(record, OpRecord) else None
            if one is None or not isinstance(record, OpRecord):
                yield record
                continue
            operands = list(record.operands)
            a, b = operands[one.a], operands[one.b]
            rows, columns = a.shape[one.a_rows], b.shape[one.b_columns]
            if rows and columns:
                is_dense = a.stride[one.a_inner] == 1 and len(a.shape) == 2
                panels = rows // self.m if is_dense and rows % self.m == 0 else 1
                operands[one.a] = a._replace(reread=(panels, -(-columns // self.n)))
                operands[one.b] = b._replace(reread=(1, -(-rows // self.m)))
            yield record._replace(operands=tuple(operands))
