"""Eight bytes of a buffer as one integer: comparing and parsing text costs as much as it has loads.

Words are little-endian and signed, so that compiled and uncompiled code agree: Python's integers do not wrap, and numba
turns a mixture of signed and unsigned 64-bit integers into floats.

Compiled code that is called per record takes pointers, not arrays: numba counts the references of every array that is
handed to a function, and those atomic instructions took ten times as long as reading a tick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import numba
import numpy as np
import numpy.typing as npt

from streams.core.compiled import inlined

WORD_BYTES: Final = 8
Bytes = npt.NDArray[np.uint8]
Array = TypeVar("Array", bound=npt.NDArray[Any])

if TYPE_CHECKING or numba.config.DISABLE_JIT:

    def pointer_to(array: Array) -> Array:
        """Return what compiled helpers index in the array's place; the caller keeps the array alive."""
        return array

    def _load(buffer: Bytes, at: int) -> int:
        return int.from_bytes(buffer[at : at + WORD_BYTES].tobytes(), "little", signed=True)

    def trailing_zeros(word: int) -> int:
        """Return how many bits below the lowest set one are zero; the word is not 0."""
        return (word & -word).bit_length() - 1

    def prefetch(rows: npt.NDArray[Any], index: int, offset: int) -> None:
        """Ask for the cache line at an offset in bytes of a row that is soon written. It changes nothing but time."""

else:
    from llvmlite import ir
    from numba.core import types
    from numba.extending import intrinsic

    @intrinsic
    def pointer_to(typing_context: object, array: object) -> tuple[object, object]:
        """Return what compiled helpers index in the array's place; the caller keeps the array alive."""

        def generate(context, builder, signature, arguments):  # noqa: ANN001, ANN202 - llvmlite is untyped
            return context.make_array(signature.args[0])(context, builder, arguments[0]).data

        return types.CPointer(array.dtype)(array), generate

    @intrinsic
    def _load(typing_context: object, buffer: object, at: object) -> tuple[object, object]:
        # One load instruction without the alignment that numba's own access would promise.
        def generate(context, builder, signature, arguments):  # noqa: ANN001, ANN202 - llvmlite is untyped
            pointer = builder.gep(arguments[0], [arguments[1]])
            word = builder.load(builder.bitcast(pointer, ir.IntType(64).as_pointer()))
            word.align = 1
            return word

        return types.int64(buffer, types.int64), generate

    @intrinsic
    def prefetch(typing_context: object, rows: object, index: object, offset: object) -> tuple[object, object]:
        """Ask for the cache line at an offset in bytes of a row that is soon written. It changes nothing but time."""

        def generate(context, builder, signature, arguments):  # noqa: ANN001, ANN202 - llvmlite is untyped
            byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            distance = builder.add(builder.mul(arguments[1], array.itemsize), arguments[2])
            address = builder.gep(builder.bitcast(array.data, byte), [distance])
            prototype = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
            hint = builder.module.declare_intrinsic("llvm.prefetch", [byte], prototype)
            builder.call(hint, [address, number(1), number(3), number(1)])
            return context.get_dummy_value()

        return types.void(rows, types.int64, types.int64), generate

    @intrinsic
    def trailing_zeros(typing_context: object, word: object) -> tuple[object, object]:
        """Return how many bits below the lowest set one are zero; the word is not 0."""

        def generate(context, builder, signature, arguments):  # noqa: ANN001, ANN202 - llvmlite is untyped
            return builder.cttz(arguments[0], ir.IntType(1)(True))

        return types.int64(types.int64), generate


@inlined
def word_at(buffer: Bytes, at: int, end: int) -> int:
    """Return the eight bytes from `at` as a signed little-endian integer; bytes from `end` on are zero.

    `end` is at least 8, so that nothing outside the buffer is ever read.
    """
    if at + 8 <= end:
        return _load(buffer, at)
    if at >= end:
        return 0
    # Python's own integer when uncompiled: a word must not become one of numpy's, which overflow.
    count = int(end - at)
    return _load(buffer, end - 8) >> (8 * (8 - count)) & first_bytes(count)


@inlined
def first_bytes(count: int) -> int:
    """Return the mask that keeps the first `count` bytes of a word: none for less than 1, all for 8 and more."""
    if count >= 8:
        return -1
    return (1 << (8 * count)) - 1 if count > 0 else 0


def words_of(text: bytes, count: int) -> tuple[int, ...]:
    """Return text as `count` words, padded with zero bytes."""
    padded = text.ljust(count * WORD_BYTES, b"\0")
    return tuple(
        int.from_bytes(padded[index : index + WORD_BYTES], "little", signed=True)
        for index in range(0, count * WORD_BYTES, WORD_BYTES)
    )
