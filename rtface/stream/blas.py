"""Linear algebra that leaves the cores to the networks."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import cast

from threadpoolctl import ThreadpoolController


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()  # looks through the loaded libraries once, which takes a millisecond


def one_blas_thread() -> AbstractContextManager[object]:
    """Linear algebra (BLAS) of the whole process computes in one thread meanwhile; entering takes 20 µs.

    Meshes are products of a small vector: more threads only spin there, and slow the networks down. Enter and leave
    it in one thread. While a thread is in such a context, those of others change nothing.
    """
    return cast("AbstractContextManager[object]", _controller().limit(limits=1, user_api="blas"))
