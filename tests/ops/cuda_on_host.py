"""Runs the kernels' own CUDA source on the CPU, thread after thread, so that it is tested where there is no GPU."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from rtface.ops import Raster
from rtface.ops.cuda import SOURCE, THREADS, WARP

SHIM = """
#include <cmath>
#include <cstring>
#define __global__
#define __device__
struct Index { unsigned int x; };
static Index blockIdx, blockDim, threadIdx;
static int max(int a, int b) { return a > b ? a : b; }
static int min(int a, int b) { return a < b ? a : b; }
static unsigned int __float_as_uint(float v) { unsigned int bits; std::memcpy(&bits, &v, 4); return bits; }
static float __uint_as_float(unsigned int v) { float f; std::memcpy(&f, &v, 4); return f; }
static unsigned long long atomicMin(unsigned long long* at, unsigned long long value) {
    const unsigned long long old = *at;
    if (value < old) *at = value;
    return old;
}
using std::rint; using std::fabs; using std::fmin; using std::fmax;
#include "SOURCE"
#define EVERY(blocks) blockDim.x = 256; for (unsigned int b = 0; b < (blocks); ++b) \\
    for (unsigned int t = 0; t < 256; ++t) { blockIdx.x = b; threadIdx.x = t;
extern "C" void run_nearest(long long blocks, const float* p, const int* tr, const long long* s, const int* c, int n,
                            int h, int w, unsigned long long* keys) {
    EVERY(blocks) nearest_keys(p, tr, s, c, n, h, w, keys); }
}
extern "C" void run_resolve(long long blocks, const float* p, const int* tr, const long long* s, int n, int h, int w,
                            const unsigned long long* keys, float* d, int* i, float* b3) {
    EVERY(blocks) resolve_keys(p, tr, s, n, h, w, keys, d, i, b3); }
}
"""


def compile_kernels(folder: Path) -> ctypes.CDLL:
    """The kernels as a shared library of the host; the compiler is the one that built rtface."""
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    assert compiler, "no C++ compiler, which building rtface needs, too: apt install g++"
    (folder / "host.cpp").write_text(SHIM.replace("SOURCE", str(SOURCE)))
    library = folder / "kernels.so"
    subprocess.run([compiler, "-O2", "-ffp-contract=off", "-shared", "-fPIC", "-o", str(library),
                    str(folder / "host.cpp")], check=True)
    return ctypes.CDLL(str(library))


def rasterize_packed(library: ctypes.CDLL, positions: Any, triangles: Any, triangle_starts: Any, culled: Any,
                     height: int, width: int) -> Raster:
    """As :func:`rtface.ops.cuda.rasterize_packed`, with NumPy arrays."""
    pictures = len(culled)
    keys = np.full((pictures, height, width), 2**64 - 1, np.uint64)
    shape = keys.shape
    out = Raster(np.empty(shape, np.float32), np.empty(shape, np.int32), np.empty((*shape, 3), np.float32))

    def pointers(*arrays: Any) -> list[ctypes.c_void_p]:
        return [ctypes.c_void_p(a.ctypes.data) for a in arrays]

    def blocks(threads: int) -> ctypes.c_longlong:
        return ctypes.c_longlong((threads + THREADS - 1) // THREADS)

    library.run_nearest(blocks(len(triangles) * WARP), *pointers(positions, triangles, triangle_starts, culled),
                        pictures, height, width, *pointers(keys))
    library.run_resolve(blocks(keys.size), *pointers(positions, triangles, triangle_starts), pictures, height, width,
                        *pointers(keys, *out))
    return out
