"""A hash of a function and of all that it depends on in its own module, the same in every process.

Not of its pickle: that holds sets in an order which changes with PYTHONHASHSEED, and equal constants once or twice as
the interpreter happens to share them. Here a value is what pickle would make it from, written in one order: a function
its code, defaults, captured values and the globals that it names; a class its bases, methods and attributes; an
instance its class and its state. What another module defines under a name of its own, and what cannot be pickled, is
its name alone.
"""

from __future__ import annotations

import dis
import hashlib
import logging
from collections.abc import Callable, Iterable
from functools import partial
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any, final

log = logging.getLogger(__name__)

_EMPTY = CellType()  # of a variable that is captured before it is set


def code_hash(function: Callable[..., Any]) -> str:
    """Hex digits that change with the function's code, defaults, captured values and state."""
    inner = function
    while isinstance(inner, partial):
        inner = inner.func
    try:
        form = _Forms(getattr(inner, "__module__", None)).of(function)
    except RecursionError:
        log.debug("%r holds too much: only its name tells it from others", function)
        form = _name(function)
    return hashlib.sha256(form.encode()).hexdigest()[:32]


def _name(value: Any) -> str:
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{getattr(named, '__module__', None)}.{named.__qualname__}"


@final
class _Forms:
    """Texts for values; of an object that is met again, its number, so that cycles end."""

    def __init__(self, module: str | None, met: dict[int, tuple[int, Any]] | None = None) -> None:
        self.module = module
        self.met = dict(met or {})  # id -> number, and the value itself: while it lives, no other has its id

    def of(self, value: Any) -> str:
        if value is None or value is ... or isinstance(value, bool | int | float | complex | str):
            return f"{type(value).__name__} {value!r}"
        if isinstance(value, bytes):
            return f"bytes {hashlib.sha256(value).hexdigest()}"
        if isinstance(value, tuple | frozenset | CodeType):  # equal constants may be one object or two
            return self._constant(value)
        if id(value) in self.met:
            return f"again {self.met[id(value)][0]}"
        self.met[id(value)] = (len(self.met), value)
        if isinstance(value, list):
            return self._several("list", value)
        if isinstance(value, set):
            return self._several("set", sorted(value, key=self._alone))
        if isinstance(value, dict):
            return self._several("dict", sorted(value.items(), key=lambda item: self._alone(item[0])))
        if isinstance(value, FunctionType):
            return self._function(value)
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, staticmethod | classmethod):
            return self._several(type(value).__name__, [value.__func__])
        if isinstance(value, property):
            return self._several("property", [value.fget, value.fset, value.fdel])
        if isinstance(value, ModuleType):
            return f"module {value.__name__}"
        return self._other(value)

    def _constant(self, value: Any) -> str:
        if isinstance(value, tuple):
            return self._several(_name(value), value)
        if isinstance(value, frozenset):
            return self._several(_name(value), sorted(value, key=self._alone))
        how = (value.co_flags, value.co_argcount, value.co_code, value.co_exceptiontable)
        return self._several("code", (*how, value.co_consts, value.co_names, value.co_freevars))

    def _function(self, function: FunctionType) -> str:
        if function.__module__ != self.module and "<" not in function.__qualname__:
            return _name(function)
        named = [(name, function.__globals__[name]) for name in _globals(function.__code__)
                 if name in function.__globals__]  # fmt: skip
        captured = [cell.cell_contents if cell != _EMPTY else ... for cell in function.__closure__ or ()]
        return self._several(
            "function", (function.__code__, function.__defaults__, function.__kwdefaults__, captured, named)
        )

    def _class(self, kind: type) -> str:
        if kind.__module__ != self.module:
            return _name(kind)
        return self._several(_name(kind), [*kind.__bases__, *filter(_is_own, vars(kind).items())])

    def _other(self, value: Any) -> str:
        try:
            made = value.__reduce_ex__(4)
        except Exception as error:
            log.debug("%r cannot be pickled (%s): only its type tells it from others", value, error)
            return _name(value)
        if isinstance(made, str):  # what a module defines
            return self.of(value.__wrapped__) if hasattr(value, "__wrapped__") else _name(value)
        how, arguments, state, items, pairs = (*made, None, None, None)[:5]
        return self._several("made", (how, arguments, state, [*(items or ())], [*(pairs or ())]))

    def _several(self, what: str, values: Iterable[Any]) -> str:
        return f"{what}({', '.join([self.of(value) for value in values])})"

    def _alone(self, value: Any) -> str:
        """The text of a value whose place among others is not known yet."""
        return _Forms(self.module, self.met).of(value)


def _globals(code: CodeType) -> list[str]:
    """Globals that code, or a function inside it, looks up."""
    found = {step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL"}
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return sorted(found.union(*map(_globals, inner)))


def _is_own(named: tuple[str, Any]) -> bool:
    """Whether a class's author wrote an attribute: Python adds some of its own (`__module__`, `__dict__`, ...)."""
    name, value = named
    written = isinstance(value, FunctionType | staticmethod | classmethod | property)
    return written or not (name.startswith("__") and name.endswith("__"))
