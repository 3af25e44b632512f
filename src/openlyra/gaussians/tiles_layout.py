"""What the tile kernels agree on: tile and block sizes, the record of a projected splat, JIT options.

numba freezes these numbers into its cached machine code and does not notice when this file changes: after editing it,
delete the `__pycache__` folder beside it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

f4 = np.float32
ZERO, HALF, ONE, TWO = f4(0), f4(0.5), f4(1), f4(2)

TILE = 16
"""Side of a tile in pixels; one thread blends one tile at a time."""
BLOCK = 4
"""Side of a block in pixels. A tile is a grid of blocks; the innermost loop runs over the 16 pixels (lanes) of one
block. Square blocks waste fewer lanes on small splats than rows of 16 pixels do."""
BLOCK_SHIFT = 2
"""log2(BLOCK)."""
LANES = BLOCK * BLOCK
BLOCKS_PER_SIDE = TILE // BLOCK
BLOCKS = BLOCKS_PER_SIDE * BLOCKS_PER_SIDE

# Columns of a record: one row of 16 float32, a cache line, for each Gaussian.
MEAN_X, MEAN_Y, CONIC_A, CONIC_B, CONIC_C, OPACITY, RED, GREEN, BLUE, EXTENT_Y, EXTENT_X, DEPTH = range(12)
RECORD = 16

STRICT: dict[str, Any] = {"cache": True, "error_model": "numpy", "boundscheck": False, "nogil": True}
"""For kernels whose loops are cut into one piece a thread: without fast maths the vectorised middle and the scalar
ends of a piece give the same bits, so the result does not depend on the number of threads."""
FAST: dict[str, Any] = {**STRICT, "fastmath": True}
"""For kernels that do a tile at a time with fixed trip counts: the same instructions whatever the number of threads."""


def _prefetch(typingctx: Any, records: Any, row: Any) -> Any:
    """Ask the processor to fetch one row of `records` ahead of its use (numba has no such call of its own)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array_type = signature.args[0]
        array = context.make_array(array_type)(context, builder, arguments[0])
        place = [arguments[1], ir.Constant(ir.IntType(64), 0)]
        pointer = cgutils.get_item_pointer(context, builder, array_type, array, place, wraparound=False)
        pointer = builder.bitcast(pointer, ir.IntType(8).as_pointer())
        integer = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, integer, integer, integer])
        function = builder.module.declare_intrinsic("llvm.prefetch", [pointer.type], kind)
        read, keep, data = ir.Constant(integer, 0), ir.Constant(integer, 3), ir.Constant(integer, 1)
        builder.call(function, [pointer, read, keep, data])
        return context.get_dummy_value()

    return types.void(records, types.int64), generate


prefetch_record: Any = intrinsic(_prefetch)
"""prefetch_record(records, row) inside a kernel."""
