"""Configuration: TOML files read into frozen pydantic models.

A config model (`Spec`) lives beside what it configures; this module only reads, overrides, checks and writes. Unknown
keys are refused, every mistake is reported at once, and each names file, key, reason and a likely correction.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import tomli_w
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from molvae.core.devices import known_device
from molvae.core.errors import ConfigError
from molvae.core.files import UTF16_MARKS, write_text


class Spec(BaseModel):
    """Base of every configuration model: frozen, and unknown keys are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


AnySpec = TypeVar("AnySpec", bound=BaseModel)
DeviceName = Annotated[str, AfterValidator(known_device)]


def load_config(path: str | Path | None, spec_type: type[AnySpec], overrides: Sequence[str] = ()) -> AnySpec:
    """Read a TOML file, apply the overrides in order and check the result.

    Args:
        path: the file; None starts from the defaults of `spec_type`.
        spec_type: the model to read into.
        overrides: "a.b=value"; a value that is not TOML is taken as a string; "a.0.b" reaches into a list.

    Raises:
        ConfigError: with every mistake found, one a line: `file: key: reason; did you mean 'x'?`.
    """
    source = "defaults" if path is None else str(path)
    data = {} if path is None else _read_toml(Path(path))
    overridden = {_apply(data, override) for override in overrides}
    return parse_config(data, spec_type, source, overridden)


def parse_config(
    data: Mapping[str, Any],
    spec_type: type[AnySpec],
    source: str = "config",
    overridden: Collection[tuple[str, ...]] = (),
) -> AnySpec:
    """Check plain data against a model.

    Args:
        data: nested dictionaries and lists, as TOML gives them.
        spec_type: the model to read into.
        source: what to call the data in messages.
        overridden: keys that came from `--set` and not from the source.

    Raises:
        ConfigError: with every mistake found.
    """
    try:
        return spec_type.model_validate(data)
    except ValidationError as error:
        lines = dict.fromkeys(_mistakes(error, data, spec_type, source, overridden))
        raise ConfigError("\n".join(lines)) from None


def dump_config(spec: BaseModel, path: str | Path) -> None:
    """Write a config as TOML, None left out, such that `load_config` reads the same config back."""
    write_text(path, tomli_w.dumps(spec.model_dump(mode="json", exclude_none=True)))


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What differs in two dumped models: dotted keys with both values, None for one that is not there. Of sections of
    different kinds only that.

    >>> differing({"a": {"x": 1, "y": 2}, "b": 3}, {"a": {"x": 1, "y": 4}})
    {'a.y': (2, 4), 'b': (3, None)}
    """
    if before.get("kind") != now.get("kind"):
        return {"kind": (before.get("kind"), now.get("kind"))}
    found: dict[str, tuple[Any, Any]] = {}
    for key in {**before, **now}:
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found |= {f"{key}.{below}": pair for below, pair in differing(old, new).items()}
        elif old != new:
            found[key] = (old, new)
    return found


def did_you_mean(word: str, choices: Sequence[str]) -> str:
    """The ending of a message: "; did you mean 'x'?" where a choice is close to `word`, in any case, else ""."""
    close = _closest(word, choices)
    return f"; did you mean {close!r}?" if close else ""


def _closest(word: str, choices: Sequence[str], cutoff: float = 0.6) -> str | None:
    lowered = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(word.lower(), lowered, n=1, cutoff=cutoff)
    return lowered[close[0]] if close else None


def in_any_case(word: str, choices: Collection[str]) -> str | None:
    """The choice that is `word`, or else the only one that differs from it in case alone.

    >>> in_any_case("QED", ["qed", "logP", "logp"]), in_any_case("LogP", ["qed", "logP", "logp"])
    ('qed', None)
    """
    same = [word] if word in choices else [choice for choice in choices if choice.lower() == word.lower()]
    return same[0] if len(same) == 1 else None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file{_similar_file(path)}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        if error.object[:2] in UTF16_MARKS:
            raise ConfigError(f"{path}: is UTF-16 text; save it as UTF-8") from None
        raise ConfigError(f"{path}: is not UTF-8 text ({error.reason} at byte {error.start})") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not valid TOML: {error}") from None


def _similar_file(path: Path) -> str:
    names = [str(other) for other in path.parent.glob("*.toml")] if path.parent.is_dir() else []
    return did_you_mean(str(path), names)


# --- overrides ------------------------------------------------------------------------------------------------------


def _apply(data: dict[str, Any], override: str) -> tuple[str, ...]:
    """Set one "a.b=value" in place; returns its key."""
    dotted, equals, text = override.partition("=")
    key = tuple(part.strip() for part in dotted.split("."))
    if not equals or not all(key):
        raise ConfigError(f"--set {override!r}: expected KEY=VALUE, for instance search.budget=500")
    target: Any = data
    for depth, part in enumerate(key[:-1]):
        target = _child(target, part, override, ".".join(key[: depth + 1]))
    if isinstance(target, list):
        target[_index(target, key[-1], override)] = _value(text)
    else:
        target[key[-1]] = _value(text)
    return key


def _child(target: Any, part: str, override: str, dotted: str) -> Any:
    child = target[_index(target, part, override)] if isinstance(target, list) else target.setdefault(part, {})
    if not isinstance(child, dict | list):
        raise ConfigError(f"--set {override!r}: {dotted} is a value, not a section")
    return child


def _index(target: list[Any], part: str, override: str) -> int:
    if not part.isdecimal() or int(part) >= len(target):
        raise ConfigError(f"--set {override!r}: {part!r} is no index into a list of {len(target)}")
    return int(part)


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


# --- messages -------------------------------------------------------------------------------------------------------


def _mistakes(
    error: ValidationError, data: Any, spec_type: type[BaseModel], source: str, overridden: Collection[tuple[str, ...]]
) -> Iterator[str]:
    """One line for each mistake."""
    for item in error.errors(include_url=False):
        key = _key_in_data(item["loc"], data, keep_last=item["type"] in ("missing", "extra_forbidden"))
        from_set = key and any(key[: len(k)] == k or k[: len(key)] == key for k in overridden)
        origin = "--set" if from_set else source
        yield f"{origin}: {'.'.join(key) or '(the whole file)'}: {_reason(item, key, data, spec_type)}"


def _key_in_data(loc: tuple[int | str, ...], data: Any, keep_last: bool) -> tuple[str, ...]:
    """The error's key as the user wrote it: pydantic puts the chosen branch of a union among the keys."""
    key: list[str] = []
    branch = _kind_of(data)
    for depth, part in enumerate(loc):
        if part == branch:  # which may be the name of a key, too
            branch = None
            continue
        inside = (isinstance(data, Mapping) and part in data) or (isinstance(data, list) and isinstance(part, int))
        if inside:
            data = data[part]
            branch = _kind_of(data)
        elif not (keep_last and depth == len(loc) - 1):
            continue
        key.append(str(part))
    return tuple(key)


def _kind_of(data: Any) -> Any:
    return data.get("kind") if isinstance(data, Mapping) else None


def _reason(item: Any, key: tuple[str, ...], data: Any, spec_type: type[BaseModel]) -> str:
    """What is wrong with one key, in words."""
    context = item.get("ctx", {})
    match item["type"]:
        case "extra_forbidden":
            return "unknown key" + _similar_key(key, data, spec_type)
        case "missing":
            return "is missing"
        case "union_tag_invalid":
            choices = context["expected_tags"]
            return f"unknown kind {context['tag']!r} (known: {choices}){_similar_choice(context['tag'], choices)}"
        case "union_tag_not_found":
            return f"the key {context['discriminator']} is missing"
        case "literal_error" | "enum":
            choices = context["expected"]
            return f"should be {choices}, got {item['input']!r}{_similar_choice(item['input'], choices)}"
        case "value_error":
            return str(context["error"])
        case _:
            message = item["msg"].removeprefix("Input ")
            return f"{message[:1].lower()}{message[1:]}, got {_shortened(item['input'])}"


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _similar_choice(value: Any, choices: str) -> str:
    return did_you_mean(str(value), [c.strip(" '") for c in choices.replace(" or ", ",").split(",")])


def _similar_key(key: tuple[str, ...], data: Any, spec_type: type[BaseModel]) -> str:
    """The likeliest key for an unknown one: of the same section first, else the same name in another section."""
    *section, name = key
    models: list[type[BaseModel]] = [spec_type]
    for part in section:
        data = data[int(part)] if isinstance(data, list) else data[part]
        fields = [model.model_fields[part] for model in models if part in model.model_fields]
        models = [m for field in fields for m in _models_in(field.annotation)] if fields else models
        models = [m for m in models if _is_chosen(m, data)]
    siblings = sorted({field for model in models for field in model.model_fields})
    if similar := did_you_mean(name, siblings):
        return similar
    paths = list(_key_paths(spec_type))
    names = {path.rsplit(".")[-1]: path for path in reversed(paths)}
    close = _closest(name, list(names), cutoff=0.75)
    if close and names[close] != ".".join(key):  # the same key belongs to another kind of section
        return f"; did you mean {names[close]!r}?"
    return f" (known here: {', '.join(siblings)})" if siblings else ""


def _is_chosen(model: type[BaseModel], data: Any) -> bool:
    """Whether the section's `kind` chooses this model (or there is nothing to choose by)."""
    if not isinstance(data, Mapping) or "kind" not in data or "kind" not in model.model_fields:
        return True
    return data["kind"] in get_args(model.model_fields["kind"].annotation)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation such as `list[A | B] | None` may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        annotation.model_rebuild(raise_errors=False)  # a model that holds models of its own kind
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]


def _key_paths(spec_type: type[BaseModel], prefix: str = "", above: tuple[type, ...] = ()) -> Iterator[str]:
    """All dotted keys of a model; a model inside itself is not followed again."""
    for name, field in spec_type.model_fields.items():
        yield prefix + name
        for model in _models_in(field.annotation):
            if model not in (*above, spec_type):
                yield from _key_paths(model, f"{prefix}{name}.", (*above, spec_type))
