"""One instance's method with other globals: how a library's class is told to use another one, here and nowhere else."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any


def rebound(instance: Any, method: Callable[..., Any], **replaced: Any) -> types.MethodType:
    """Return a method of an instance that finds other objects under some of its module's names.

    The code is the library's own. Nothing changes for other instances of the process, which patching the module would.

    Args:
        instance: What the method is bound to.
        method: The method, as a function of its class.
        replaced: What it finds instead, by global name.
    """
    function: Any = method
    names = {**function.__globals__, **replaced}
    code = types.FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
    code.__kwdefaults__ = function.__kwdefaults__
    return types.MethodType(code, instance)
