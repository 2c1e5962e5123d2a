"""Device layouts of an object: held by the object and made once, whichever thread asks first."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from threading import RLock
from typing import Any, TypeVar

T = TypeVar("T")


class Layouts:
    """Values by key, made at their first use and freed with the object that holds them.

    A copy of the object starts without any, as arrays on devices belong to one object alone.

    Attributes:
        source: an object with only small differences whose layouts can be reused, or None.
    """

    def __init__(self) -> None:
        self.source: Any = None
        self._lock = RLock()
        self._made: dict[Hashable, Any] = {}

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """Returns the value of a key; threads that ask at the same time wait for the one that makes it."""
        with self._lock:
            if key not in self._made:
                self._made[key] = make()
            return self._made[key]

    def __reduce__(self) -> tuple[type[Layouts], tuple]:
        return Layouts, ()
