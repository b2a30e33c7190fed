"""Context managers that the SDK puts around the import of certain modules."""

import importlib.abc
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

Around = Callable[[ModuleType | None], AbstractContextManager[Any]]

_around_exec: dict[str, Around] = {}
_around_create: dict[str, Around] = {}


def register_exec_patch(name: str) -> Callable[[Around], Around]:
    """Put the function around the execution of module `name`."""
    return _register(_around_exec, name)


def register_create_patch(name: str) -> Callable[[Around], Around]:
    """Put the function around the creation of extension module `name`."""
    return _register(_around_create, name)


def _register(where: dict[str, Around], name: str) -> Callable[[Around], Around]:
    def register(around: Around) -> Around:
        where[name] = around
        return around

    return register


def _later(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return lambda function: function


# Of packages with random state of their own, of which a worker here has none.
register_after_snapshot = register_before_first_request = _later


def block_calls(module: ModuleType, *, allowlist: tuple[str, ...] = ()) -> None:
    """Not here: draws of random numbers at import are found by the state that they change."""


class _Loader(importlib.abc.Loader):
    def __init__(self, inner: Any, name: str) -> None:
        self._inner = inner
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        around = _around_create.get(self._name)
        if around is None:
            return self._inner.create_module(spec)
        with around(None):
            return self._inner.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        around = _around_exec.get(self._name)
        if around is None:
            self._inner.exec_module(module)
            return
        with around(module):
            self._inner.exec_module(module)


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name not in _around_exec and name not in _around_create:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, name)
        return spec


sys.meta_path.insert(0, _Finder())
