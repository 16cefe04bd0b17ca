"""What the compiled loops say about one number: powers, bits, memory at an address. Imports numba.

The loops over arrays are vectorised with these inlined, so nothing here calls a library or branches.
"""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import extending, types

from rewa.kernels.compiled import compiled

intrinsic: Any = extending.intrinsic

SHIFT = 6755399441055744.0
"""1.5 * 2^52: adding it rounds a double to an integer, which then stands in its lowest bits."""


def _cast(to: Any, llvm: Any) -> Any:
    """Return a code generator that reinterprets the bits of its argument."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], llvm)

    return generate


@intrinsic  # type: ignore[untyped-decorator]
def _bits(typing: Any, x: Any) -> Any:
    """Return the bits of a float64 as int64."""
    return types.int64(types.float64), _cast(types.int64, ir.IntType(64))


@intrinsic  # type: ignore[untyped-decorator]
def _float(typing: Any, x: Any) -> Any:
    """Return the float64 whose bits are an int64."""
    return types.float64(types.int64), _cast(types.float64, ir.DoubleType())


@intrinsic  # type: ignore[untyped-decorator]
def pointer(typing: Any, address: Any) -> Any:
    """Return a pointer to float32 from an address, an int64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], ir.FloatType().as_pointer())

    kind: Any = types
    return kind.CPointer(kind.float32)(kind.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def add_shared(typing: Any, address: Any, amount: Any) -> Any:
    """Add to an int64 in memory that threads share, and return what it was."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("add", place, arguments[1], "seq_cst")

    return types.int64(types.int64, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def float_mode(typing: Any) -> Any:
    """Return the processor's floating-point control word; 0 where this project does not know it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = ir.IntType(32)
        if platform.machine() not in ("x86_64", "AMD64"):
            return word(0)
        place = builder.alloca(word)
        builder.call(_mxcsr(builder, "stmxcsr"), [builder.bitcast(place, ir.IntType(8).as_pointer())])
        return builder.load(place)

    return types.uint32(), generate


@intrinsic  # type: ignore[untyped-decorator]
def set_float_mode(typing: Any, mode: Any) -> Any:
    """Set what :func:`float_mode` returned."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if platform.machine() in ("x86_64", "AMD64"):
            place = builder.alloca(ir.IntType(32))
            builder.store(arguments[0], place)
            builder.call(_mxcsr(builder, "ldmxcsr"), [builder.bitcast(place, ir.IntType(8).as_pointer())])
        return context.get_dummy_value()

    return types.void(types.uint32), generate


def _mxcsr(builder: Any, name: str) -> Any:
    """Return LLVM's function that stores or loads the SSE control word."""
    kind = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer()])
    full = f"llvm.x86.sse.{name}"
    return builder.module.globals.get(full) or ir.Function(builder.module, kind, full)


@compiled("contract", inline=True)
def log2(d: float) -> float:
    """Return log2 of a positive, finite float64 to a relative 2^-30, also next to 1."""
    bits = _bits(d)
    exponent = (bits - np.int64(0x3FE6A09E667F3BCD)) >> np.int64(52)  # the mantissa falls in [0.71, 1.41]
    r = _float(bits - (exponent << np.int64(52))) - 1.0
    r2 = r * r
    r4 = r2 * r2
    low = (1.4426950417996345 - 0.7213475156602271 * r) + (0.4808978892144448 - 0.3606741492991047 * r) * r2
    middle = (0.28857617307789984 - 0.24046720908747335 * r) + (
        0.20504349617710724 - 0.17890870652515461 * r
    ) * r2
    high = (0.17205680130433104 - 0.1690633572823051 * r) + 0.09703394998731062 * r2
    p = low + (middle + high * r4) * r4
    result: float = p * r + (_float(exponent + np.int64(0x4338000000000000)) - SHIFT)
    return result


@compiled("contract", inline=True)
def exp2(t: float) -> float:
    """Return 2^t to a relative 2^-29; beyond what float32 holds, some number that is beyond it too."""
    t = min(max(t, -1000.0), 1000.0)
    shifted = t + SHIFT
    f = t - (shifted - SHIFT)
    f2 = f * f
    low = (1.0000000005541647 + 0.6931472057371958 * f) + (0.24022646890645522 + 0.05550328777105325 * f) * f2
    high = (0.009618488956331182 + 0.0013399931177239738 * f) + 0.00015345812161311629 * f2
    p = low + high * (f2 * f2)
    result: float = _float(_bits(p) + (_bits(shifted) << np.int64(52)))
    return result


@compiled("contract", inline=True)
def real_power(a: np.float32, logarithm: float, exponent: float) -> np.float32:
    """Return a ** exponent for a >= 0 and exponent > 0, given log2(a); within 2 ulp everywhere."""
    p = np.float32(exp2(exponent * logarithm))
    return p if (a > np.float32(0)) & (a < np.float32(np.inf)) else a


@compiled("contract", inline=True)
def whole_power(a: np.float32, b0: bool, b1: bool, b2: bool, b3: bool, b4: bool, b5: bool) -> np.float32:
    """Return a to the integer whose bits are given, lowest first; the order of products is torch's here.

    (See ``rewa.optim.power.abs_power``; a factor of 1 changes no bit.)
    """
    one = np.float32(1)
    out = a if b0 else one
    a *= a
    out *= a if b1 else one
    a *= a
    out *= a if b2 else one
    a *= a
    out *= a if b3 else one
    a *= a
    out *= a if b4 else one
    a *= a
    return out * (a if b5 else one)


@compiled(inline=True)
def bits_of(exponent: float) -> tuple[bool, bool, bool, bool, bool, bool]:
    """Return the lowest six bits of an integer exponent, lowest first."""
    n = int(exponent)
    return n & 1 != 0, n & 2 != 0, n & 4 != 0, n & 8 != 0, n & 16 != 0, n & 32 != 0


@compiled("contract", inline=True)
def root_power(a: np.float32, half: bool, quarter: bool) -> np.float32:
    """Return a to the sum of 1/2 and 1/4, as far as they are asked for."""
    one = np.float32(1)
    root = np.sqrt(a)
    return (root if half else one) * (np.sqrt(root) if quarter else one)


@compiled(inline=True)
def roots_of(exponent: float) -> tuple[bool, bool]:
    """Return whether 1/2 and 1/4 are in the fraction of an exponent that is a multiple of 1/4."""
    quarters = int(4 * exponent)
    return quarters & 2 != 0, quarters & 1 != 0
