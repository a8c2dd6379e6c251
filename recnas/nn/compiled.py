"""What loops that Numba compiles are made of. No `fastmath` flag that ignores NaN is used: divergence stays visible."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload
from torch import Tensor

from recnas.util.compiled import compiled

T = TypeVar("T")
Array = np.ndarray[Any, Any]
LOG_2 = math.log(2)
PREFETCH = "llvm.prefetch.p0i8"


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a loop when it is first called, and keeps it on the disk for later processes."""
    return compiled(function, fastmath={"reassoc", "contract", "nsz"})


def readable(x: Tensor) -> bool:
    """Whether loops can read a tensor as an array: single precision, on a CPU."""
    # Tensors without numbers, by which torch follows shapes, are of other types.
    return type(x) is Tensor and x.device.type == "cpu" and x.dtype == torch.float32


@intrinsic
def _float_of_bits(context: Any, bits: Any) -> Any:
    """The float with these bits: of 32 or 64."""
    result = types.float32 if bits == types.int32 else types.float64

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FloatType() if signature.return_type == types.float32 else ir.DoubleType()
        return builder.bitcast(arguments[0], kind)

    return result(bits), generate


@intrinsic
def _bits_of_float(context: Any, value: Any) -> Any:
    """The bits of a single-precision number."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.uint32(types.float32), generate


def number(value):
    """A number of an array, in a kernel: itself, or of bfloat16, whose bits are a uint16, in single precision."""
    return value


@overload(number)
def _number_of_type(value):
    if value == types.uint16:
        # bfloat16 is the first half of single precision.
        return lambda value: _float_of_bits(np.int32(np.uint32(value) << np.uint32(16)))
    return lambda value: value


def put(array, place, value):
    """Writes a number to an array, in a kernel: itself, or rounded to bfloat16 where these are uint16."""
    array[place] = value


@overload(put)
def _put_of_type(array, place, value):
    if array.dtype == types.uint16:

        def rounded(array, place, value):
            bits = _bits_of_float(value)
            # To the nearest, of two as near to the even one.
            array[place] = np.uint16(
                (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
            )

        return rounded

    def put_itself(array, place, value):
        array[place] = value

    return put_itself


@jit
def _exp2_single(x: Any) -> Any:
    """2^x for x up to 0 in single precision, to its last bit or two, in steps that vectorise."""
    x = np.float32(-126.0) if x < np.float32(-126.0) else x
    whole = np.floor(x + np.float32(0.5))
    rest = x - whole
    value = np.float32(LOG_2**6 / 720)
    value = value * rest + np.float32(LOG_2**5 / 120)
    value = value * rest + np.float32(LOG_2**4 / 24)
    value = value * rest + np.float32(LOG_2**3 / 6)
    value = value * rest + np.float32(LOG_2**2 / 2)
    value = value * rest + np.float32(LOG_2)
    value = value * rest + np.float32(1)
    return value * _float_of_bits(np.int32((np.int32(whole) + 127) << 23))


def exp2(x):
    """2^x for x up to 0, in a kernel."""
    return np.exp2(x)


@overload(exp2)
def _exp2_of_type(x):
    # Numba wants no types here. A kernel that held one of the two would have another key in the cache in each process.
    if x == types.float32:
        return lambda x: _exp2_single(x)
    return lambda x: np.exp2(x)


@intrinsic
def prefetch(context: Any, array: Any, place: Any) -> Any:
    """Asks for the cache line that an element of a flat array lies in, so that it is there when it is read soon.

    There need be no such element.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        address = builder.bitcast(builder.gep(data, [arguments[1]]), cgutils.voidptr_t)
        number = ir.IntType(32)
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, number, number, number]), PREFETCH
        )
        # To be read, into the innermost cache, as data.
        builder.call(function, [address, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(array, place), generate


def in_threads(loop: Callable[[int, int], T], bounds: Sequence[int]) -> list[T]:
    """Calls a loop for each two neighbouring bounds, `loop(first, stop)`, at the same time; gives what it gave.

    Numba's own threads would end the process where two of Python's use them at once, or after a fork.
    """
    first, *others = pairwise(bounds)
    if not others:
        return [loop(*first)]
    under_way = [_pool(os.getpid()).submit(loop, *each) for each in others]
    return [loop(*first), *(each.result() for each in under_way)]


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    """Threads of this process, which a fork does not have."""
    return ThreadPoolExecutor(os.cpu_count(), "compiled")
