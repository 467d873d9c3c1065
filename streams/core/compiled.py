"""The one way to compile a function: numba, cached in a folder named by the sources it was compiled from.

numba's own cache looks only at the file of the function itself, so that an edit in a helper of another file would go on
running the old rules. The cache folder therefore carries a hash of every source file of `core` and `wire`, of numba's
version and of the processor that the code was made for: other sources, another folder.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

import numba
from numba.core.dispatcher import Dispatcher

Function = TypeVar("Function", bound=Callable[..., object])

_PACKAGE = Path(__file__).resolve().parent.parent


@cache
def cache_folder() -> Path:
    """Return the folder of the compiled code of exactly these sources.

    Its parent is `FIFTYTWO_CACHE_DIR` where that is set, else `NUMBA_CACHE_DIR`, else `fiftytwo/compiled` in the user's
    cache folder.
    """
    digest = hashlib.sha256(numba.__version__.encode())
    digest.update(str(numba.config.CPU_NAME).encode())
    for folder in ("core", "wire"):
        for source in sorted((_PACKAGE / folder).glob("*.py")):
            digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return _cache_root() / digest.hexdigest()[:16]


def _cache_root() -> Path:
    for variable in ("FIFTYTWO_CACHE_DIR", "NUMBA_CACHE_DIR"):
        if value := os.environ.get(variable):
            return Path(value)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fiftytwo" / "compiled"


def njit(function: Function) -> Function:
    """Compile a function of the hot path: no Python objects, no interpreter lock, cached on disk.

    It allocates no array, and so need not count who refers to one: counting costs more than most of what is called.
    """
    return _compiled(function)


def inlined(function: Function) -> Function:
    """Compile a small helper into its callers: several times a record, a call costs more than the work."""
    return _compiled(function, forceinline=True)


def allocating(function: Function) -> Function:
    """Compile a function that makes arrays of its own, and counts references to give them back."""
    return _compiled(function, _nrt=True)


def compile_for(function: Callable[..., object], *arguments: object) -> None:
    """Compile a function for the types of these arguments, or find it in the cache, without calling it."""
    if isinstance(function, Dispatcher):  # Not where compiling is switched off.
        function.compile(tuple(numba.typeof(argument) for argument in arguments))


def _compiled(function: Function, *, forceinline: bool = False, _nrt: bool = False) -> Function:
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(cache_folder())
    try:
        compiled: Function = numba.njit(cache=True, nogil=True, forceinline=forceinline, _nrt=_nrt)(function)
    finally:
        numba.config.CACHE_DIR = before
    return compiled
