"""What a trial is told: declared parameters, and the values that a sweep gives them."""

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from labwright.domain.forms import (
    FLAGS,
    Fault,
    Faults,
    Flag,
    Form,
    Line,
    Model,
    Number,
    Positive,
    named,
    number,
    show,
    whole,
)

TRIALS_MAX = 10_000
OPTIONS_MAX = 256

Kind = Literal["int", "float", "bool", "enum", "string"]


def _scalar(value: Any) -> Any:
    if isinstance(value, list | tuple | Mapping):
        raise Fault(f"must be a single value, not {show(value)}")
    return _plain(value)


def _plain(value: Any) -> Any:
    """A value that JSON can hold: nothing infinite in it."""
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, float) and not math.isfinite(item):
            raise Fault(f"must be finite, not {item}", "put it in quotes and convert it in your script")
        if isinstance(item, Mapping | list | tuple):
            todo += item.values() if isinstance(item, Mapping) else item
    return value


def _fit_int(value: Any) -> int:
    if (found := whole(value)) is None:
        raise Fault(f"must be a whole number, as its type is int, not {show(value)}")
    return found


def _fit_float(value: Any) -> float:
    if (found := number(value)) is None:
        raise Fault(f"must be a number, as its type is float, not {show(value)}")
    return found


def _fit_bool(value: Any) -> bool:
    found = FLAGS.get(value) if isinstance(value, str) else value
    if not isinstance(found, bool):
        raise Fault(f"must be true or false, as its type is bool, not {show(value)}")
    return found


def _fit_string(value: Any) -> str:
    if not isinstance(value, str):
        raise Fault(f"must be text, as its type is string, not {show(value)}", "put it in quotes")
    return value


_FIT = {"int": _fit_int, "float": _fit_float, "bool": _fit_bool, "string": _fit_string, "enum": _scalar}


def _same(value: Any) -> tuple[bool, Any]:
    """1 and 1.0 are the same value; 1 and true are not."""
    return isinstance(value, bool), value


class Parameter(Model):
    """One declared parameter; the short form `lr: 0.1` is {default: 0.1}.

    Quoted text stays text, but where `type` is int or float a numeric text becomes that number."""

    type: Kind | None = Field(None, description="What its values must be.")
    min: Number | None = Field(None, description="Smallest value allowed.")
    max: Number | None = Field(None, description="Largest value allowed.")
    step: Number | None = Field(None, description="Step of a slider; not checked.")
    options: tuple[Any, ...] | None = Field(None, description="The only values allowed; `enum` is another word for it.")
    default: Any = Field(None, description="Its value where no sweep or command gives one.")
    title: str | None = Field(None, description="For people.")
    description: str | None = Field(None, description="For people.")
    ui_widget: str | None = Field(None, description="How a form may ask for it; kept, not used.")

    @model_validator(mode="before")
    @classmethod
    def _enum_is_options(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "enum" not in data:
            return data
        if data.get("options") is not None:
            raise Fault("says the same as `options`", "keep one of them", at=("enum",), key=True)
        return {**{key: value for key, value in data.items() if key != "enum"}, "options": data["enum"]}

    @field_validator("min", "max", "step", mode="before")
    @classmethod
    def _bound(cls, value: Any, info: ValidationInfo) -> float | None:
        if value is None:
            return None
        found = number(value)
        if found is None:
            raise Fault(f"must be a number, not {show(value)}")
        if info.data.get("type") in ("bool", "enum", "string"):
            raise Fault(f"means nothing for the type {info.data['type']}", key=True)
        if info.field_name == "max" and (least := info.data.get("min")) is not None and found < least:
            raise Fault(f"must not be below min, {least:g}")
        return found

    @field_validator("options", mode="before")
    @classmethod
    def _options(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None:
            return None
        if not isinstance(value, list | tuple) or not 0 < len(value) <= OPTIONS_MAX:
            raise Fault(f"must be a list of 1 to {OPTIONS_MAX} values")
        return distinct(value, _FIT[info.data.get("type") or "enum"])

    @field_validator("default")
    @classmethod
    def _default(cls, value: Any, info: ValidationInfo) -> Any:
        return None if value is None else fit(value, info.data)

    @model_validator(mode="after")
    def _enum_has_options(self) -> "Parameter":
        if self.type == "enum" and self.options is None:
            raise Fault("has the type enum but no `options`", "list the values allowed")
        return self


DECLARATION = Parameter.model_fields.keys() | {"enum"}
MARKS = {"type", "default", "options", "enum"}


def _declaration(value: Any) -> Any:
    """The long form of a parameter. A mapping is a declaration when all its keys are ours and one of them marks it so, or
    when it has a default and a type that we know (then a key that we do not know is a slip)."""
    if isinstance(value, Parameter):
        return value
    if isinstance(value, dict):
        if value.keys() <= DECLARATION and value.keys() & MARKS:
            return value
        if "default" in value and isinstance(value.get("type"), str) and value["type"] in _FIT:
            return value
    return {"default": value}


def fit(value: Any, declared: Mapping[str, Any]) -> Any:
    """The value as the declaration wants it. Raises Fault."""
    kind, options = declared.get("type"), declared.get("options")
    value = _plain(_FIT[kind](value) if kind else value)
    low, high = declared.get("min"), declared.get("max")
    if low is not None or high is not None:
        found = number(value)
        if found is None:
            raise Fault(f"must be a number, as it has a min or max, not {show(value)}")
        if low is not None and found < low:
            raise Fault(f"must be at least {low:g}, not {found:g}")
        if high is not None and found > high:
            raise Fault(f"must be at most {high:g}, not {found:g}")
    if options is not None and _same(value) not in map(_same, options):
        raise Fault(f"must be one of {', '.join(map(str, options))}, not {show(value)}")
    return value


def distinct(values: Iterable[Any], check: Any) -> tuple[Any, ...]:
    """The checked values, each of which may be there once."""
    found, faults = dict[tuple[bool, Any], Any](), list[Fault]()
    for n, value in enumerate(values):
        try:
            checked = check(value)
        except Fault as fault:
            faults.append(Fault(fault.message, fault.hint, at=(n,)))
            continue
        if _same(checked) in found:
            faults.append(Fault(f"is there twice: {show(value)}", "remove one of them", at=(n,)))
        found[_same(checked)] = checked
    if faults:
        raise Faults(faults)
    return tuple(found.values())


def _values(values: Any) -> Any:
    if not isinstance(values, list | tuple) or not values:
        raise Fault(f"must be a list of at least one value, not {show(values)}", "such as [0.1, 0.2]")
    return distinct(values, _scalar)


class Sweep(Form):
    """A task run once for every combination of values."""

    config: Mapping[str, Annotated[tuple[Any, ...], BeforeValidator(_values)]] = Field(
        default_factory=dict,
        alias="sweep_config",
        description="Parameter → list of its values; every combination is a trial. Left out: one trial, ranked as the rest says.",
    )
    metric: Line = Field("eval/loss", alias="sweep_metric", description="The metric that trials are ranked by.")
    lower_is_better: Flag = Field(True, description="Whether a smaller metric wins.")
    max_parallel: Positive | None = Field(None, description="How many trials may be under way at once; left out: any.")
    strategy: Literal["grid"] = Field("grid", description="How trials are chosen.")

    @field_validator("config")
    @classmethod
    def _not_too_many(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        if (trials := math.prod(map(len, value.values()))) > TRIALS_MAX:
            raise Fault(f"makes {trials:,} trials; at most {TRIALS_MAX:,} are allowed")
        return value

    def fitted(self, parameters: Mapping[str, Parameter]) -> "Sweep":
        """The same sweep with values as the declared parameters want them. Raises Faults."""
        config, faults = dict(self.config), list[Fault]()
        for name in config.keys() & parameters.keys():
            declared = dict(parameters[name])
            try:
                config[name] = distinct(config[name], lambda value: fit(value, declared))  # noqa: B023  called at once
            except Faults as several:
                faults += [Fault(f.message, f.hint, at=("sweep_config", name, *f.at)) for f in several.all]
        if faults:
            raise Faults(faults)
        return self.model_copy(update={"config": config})


Parameters = Mapping[
    Annotated[str, *named(r"[^\x00-\x1f\x7f-\x9f]+", "one line of text")],
    Annotated[Parameter, BeforeValidator(_declaration)],
]
