"""A property that is computed when first asked for, and kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T_co = TypeVar("T_co", covariant=True)


class lazy(Generic[T_co]):  # noqa: N801 (used as a decorator)
    """As `functools.cached_property`, without the lock that it takes before Python 3.12: half of its time here."""

    def __init__(self, make: Callable[[Any], T_co]) -> None:
        """`make` computes the value from the object."""
        self._make = make
        self._name = make.__name__
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> lazy[T_co]: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T_co: ...

    def __get__(self, instance: object | None, owner: type) -> lazy[T_co] | T_co:
        """The value; later ones are found in the object before this is asked."""
        if instance is None:
            return self
        value = instance.__dict__[self._name] = self._make(instance)
        return value
