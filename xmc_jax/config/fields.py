"""Fields of a config by name: parsed from text, set, compared, checked, and looked up by level."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from xmc_jax.config.foreign import explain
from xmc_jax.config.former import GONE, refuse_former, translate
from xmc_jax.config.kinds import list_kinds, name_kind
from xmc_jax.errors import InputError, suggest

T = TypeVar("T")


QUIET = {"quiet": True}
"""Metadata of a field that `to_dict` leaves out when it has its default, so that runs made before the field existed
count as the same run."""


EXECUTION = {"execution": True}
"""Metadata of a field or a section that cannot change the weights, only how fast or where they are computed or what is
done with them later: a run resumes with another value of it."""


class Names:
    """The names that a setting may hold: those in a table as it is now, and a few others.

    A field is declared as `Annotated[str, Names(TABLE, "auto")]`, so that adding to the table extends the setting too.
    """

    def __init__(self, table: Iterable[str], *beside: str) -> None:
        self._table, self._beside = table, beside

    def __iter__(self) -> Iterator[str]:
        yield from self._beside
        yield from self._table


def list_choices(kind: Any) -> tuple[str, ...]:
    """Returns the names that a field of this type may hold; empty if it is not limited to names."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    if get_origin(kind) is Annotated:
        return tuple(kind.__metadata__[0])
    return ()


def at_level(value: Any, level: int) -> Any:
    """Returns the value of a per-level field for `level`; a tuple's last value is used for all deeper levels."""
    return value[min(level, len(value) - 1)] if isinstance(value, tuple) else value


def replace_field(config: T, name: str, value: Any, within: str = "") -> T:
    """Returns the config with the field at dotted `name` set; text is parsed to the field's type.

    Args:
        config: a config or a section of one.
        name: the field, such as `search.beam`.
        value: the new value, its text, or a dict of fields for a section.
        within: a prefix for the name in errors, such as `search.`.

    Raises:
        InputError: the field is unknown (a suggestion is given), or the value has a wrong type or is out of range.

    Example:
        >>> from xmc_jax.config import LinearConfig
        >>> replace_field(LinearConfig(), "search.beam", "20").search.beam
        20
    """
    head, _, rest = name.partition(".")
    known = {f.name: (f, t) for f, t in _typed_fields(type(config))}
    if head not in known:
        raise InputError(f"unknown setting '{within}{name}'{explain_unknown(type(config), name)}")
    current = getattr(config, head)
    if rest:
        if not is_dataclass(current):
            raise InputError(
                f"setting '{within}{name}': '{head}' holds one value and has no field '{rest}'"
            )
        return dataclasses.replace(
            config, **{head: replace_field(current, rest, value, f"{within}{head}.")}
        )  # type: ignore[type-var]
    if is_dataclass(current) and not isinstance(current, type):
        if isinstance(value, dict):
            for key, inner in value.items():
                current = replace_field(current, key, inner, f"{within}{head}.")
            return dataclasses.replace(config, **{head: current})  # type: ignore[type-var]
        if isinstance(value, type(current)):
            return dataclasses.replace(config, **{head: value})  # type: ignore[type-var]
        raise InputError(
            f"setting '{within}{name}' is a section; set a field of it{suggest('', [f.name for f in fields(current)])}"
        )
    field, kind = known[head]
    refuse_former(field, value, within + name)
    return dataclasses.replace(config, **{head: _parse(value, kind, within + name)})  # type: ignore[type-var]


def explain_unknown(config_type: type, name: str) -> str:
    """Returns what to add to an error about an unknown setting: what replaced it, or which setting is similar."""
    head, _, rest = name.partition(".")
    for field, kind in _typed_fields(config_type):
        if rest and field.name == head and isinstance(kind, type) and is_dataclass(kind):
            return explain_unknown(kind, rest)
        gone = GONE.get(getattr(kind, "__name__", ""), {})
        if name in gone:
            return f", which was removed: {gone[name]}"
    gone = GONE.get(config_type.__name__, {})
    if name in gone:
        return f", which was removed: {gone[name]}"
    foreign = explain(name)
    if foreign:
        return f"; {foreign}"
    known = list_settings(config_type)
    near = suggest(name, known)
    return near if near.startswith("; did") else "; `xmc train --help` lists what there is"


def find_section(config_type: type, name: str) -> str | None:
    """Returns the dotted name of a scalar field given by its last part (`beam` → `search.beam`), if it is unique."""
    found = []
    for f, t in _typed_fields(config_type):
        if f.name == name:
            return name
        if is_dataclass(t) and name in {g.name for g in fields(t)}:
            found.append(f"{f.name}.{name}")
    return found[0] if len(found) == 1 else None


def list_settings(config_type: type) -> list[str]:
    """Returns what a keyword may be called: the names of sections, and of fields, dotted where not unique."""
    names = []
    for f, t in _typed_fields(config_type):
        names.append(f.name)
        if is_dataclass(t):
            for g in fields(t):
                unique = find_section(config_type, g.name) == f"{f.name}.{g.name}"
                names.append(g.name if unique else f"{f.name}.{g.name}")
    return names


def to_dict(config: Any) -> dict[str, Any]:
    """Returns the config as JSON-ready nested dicts (tuples become lists), without quiet fields that have defaults."""
    values = json.loads(json.dumps(dataclasses.asdict(config)))
    for f in fields(config):
        if is_dataclass(getattr(config, f.name)):
            values[f.name] = to_dict(getattr(config, f.name))
            if f.metadata.get("quiet") and not values[f.name]:
                del values[f.name]
        elif f.metadata.get("quiet") and getattr(config, f.name) == f.default:
            del values[f.name]
    return values


def from_dict(config_type: type[T], values: dict[str, Any]) -> T:
    """Rebuilds a config from the result of `to_dict`, also of an earlier version.

    Missing fields take their defaults, or what was done where there was no such field; unknown ones are refused.
    """
    config = config_type()
    for name, value in _renew(config_type, values).items():
        config = replace_field(config, name, value)
    return config


def _renew(config_type: type, values: dict[str, Any]) -> dict[str, Any]:
    """Translates the values of an earlier version to today's; settings that were removed are left out."""
    gone = GONE.get(config_type.__name__, {})
    renewed = {name: value for name, value in values.items() if name not in gone}
    for field, kind in _typed_fields(config_type):
        value = renewed.get(field.name)
        if isinstance(kind, type) and is_dataclass(kind) and isinstance(value, dict):
            renewed[field.name] = _renew(kind, value)
        elif field.name in renewed:
            renewed[field.name] = translate(field, value)
        elif values and "absent" in field.metadata:
            renewed[field.name] = field.metadata["absent"]
    return renewed


def diff(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """Returns a line `name: old -> new` for every field in which two config dicts differ."""
    out = []
    for name in sorted(old.keys() | new.keys()):
        a, b = old.get(name), new.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            out += diff(a, b, f"{prefix}{name}.")
        elif a != b:
            was, new_value = (repr(v[name]) if name in v else "default" for v in (old, new))
            out.append(f"{prefix}{name}: {was} -> {new_value}")
    return out


_fields_of: dict[type, list[tuple[dataclasses.Field, Any]]] = {}
"""Results of `_typed_fields`: resolving annotations takes longer than searching for one query."""


def _typed_fields(config_type: type) -> list[tuple[dataclasses.Field, Any]]:
    if config_type not in _fields_of:
        hints = typing.get_type_hints(config_type, include_extras=True)
        _fields_of[config_type] = [(f, hints[f.name]) for f in fields(config_type)]
    return _fields_of[config_type]


def as_tuple(value: Any) -> tuple:
    return value if isinstance(value, tuple) else (value,)


def check(ok: bool, config: Any, name: str, need: str) -> None:
    if not ok:
        raise InputError(f"{name}={getattr(config, name)!r} given, {need} needed")


def check_least(config: Any, least: float, *names: str) -> None:
    """Checks that numbers are at least `least`; `auto` and none pass."""
    for name in names:
        value = getattr(config, name)
        numbers = [v for v in as_tuple(value) if v is not None and v != "auto"]
        kind = {f.name: t for f, t in _typed_fields(type(config))}[name]
        beside = "".join(f"{word}, " for word in list_kinds(kind) if word in ("none", "auto"))
        check(all(v >= least for v in numbers), config, name, f"{beside}{least:g} or more")


def check_choices(config: Any) -> None:
    for f, t in _typed_fields(type(config)):
        value = getattr(config, f.name)
        if isinstance(t, type) and is_dataclass(t):
            if not isinstance(value, t):
                raise InputError(
                    f"section '{f.name}' given as {type(value).__name__}, {t.__name__} or a dict needed"
                )
        else:
            refuse_former(f, value, f.name)
            _parse(value, t, f.name)


def _parse(value: Any, kind: Any, name: str) -> Any:
    """Returns `value` as `kind`; text from the command line is parsed."""
    # A NumPy scalar, recognised without importing NumPy: `xmc --help` should not wait for that.
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        value = value.item()
    origin = get_origin(kind)
    if kind is type(None) and (
        value is None or (isinstance(value, str) and value.lower() == "none")
    ):
        return None
    if origin in (types.UnionType, typing.Union):
        is_sequence = isinstance(value, (list, tuple)) or (isinstance(value, str) and "," in value)
        options = sorted(get_args(kind), key=lambda k: (get_origin(k) is tuple) != is_sequence)
        options.sort(key=lambda k: k is str)  # so that `none` is not read as text
        if type(None) in options:
            options.sort(key=lambda k: k is not type(None))
        errors = []
        for option in options:
            try:
                return _parse(value, option, name)
            except InputError as error:
                errors.append(error)
        plain = [k for k in options if get_origin(k) is not tuple]
        if len(plain) < 2:
            raise errors[0]
        raise InputError(f"{name}={value!r} given, {name_kind(kind)} needed")
    if origin is tuple:
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, (list, tuple)) or not len(parts):
            raise InputError(
                f"{name}={value!r} given, one value per level needed, separated by commas"
            )
        return tuple(
            _parse(p.strip() if isinstance(p, str) else p, get_args(kind)[0], name) for p in parts
        )
    if choices := list_choices(kind):
        if value not in choices:
            raise InputError(f"{name}={value!r} is not a choice{suggest(str(value), choices)}")
        return value
    if kind is bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        raise InputError(f"{name}={value!r} given, true or false needed")
    if kind in (int, float):
        if isinstance(value, (int, float, str)) and not isinstance(value, bool):
            try:
                number = kind(value)
                if isinstance(value, str) or number == value:
                    if number != number or number in (float("inf"), float("-inf")):
                        raise ValueError
                    return number
            except (ValueError, OverflowError):
                pass
        raise InputError(
            f"{name}={value!r} given, {'a whole number' if kind is int else 'a number'} needed"
        )
    if kind is str and isinstance(value, str):
        return value
    raise InputError(f"{name}={value!r} given, {getattr(kind, '__name__', kind)} needed")
