"""A sweep is the product of its values."""

from labwright.decide.expand import expand, trial_count
from labwright.decide.parse import parse_task


def trials(text: str) -> list[dict[str, object]]:
    task = parse_task(f"name: t\nrun: x\n{text}".encode(), "task.yaml")
    points = [dict(point) for point in expand(task)]
    assert trial_count(task) == len(points)
    return points


def test_a_task_without_a_sweep_has_one_trial_with_its_defaults() -> None:
    assert trials("parameters: {lr: 0.1, data: {type: string, default: cifar}}") == [{"lr": 0.1, "data": "cifar"}]
    assert trials("") == [{}]


def test_a_sweep_is_the_product_in_the_order_of_the_file_with_the_last_key_fastest() -> None:
    swept = trials("sweeps: {sweep_config: {b: [1, 2], a: [x, y]}}")
    assert swept == [{"b": 1, "a": "x"}, {"b": 1, "a": "y"}, {"b": 2, "a": "x"}, {"b": 2, "a": "y"}]


def test_a_swept_value_takes_the_place_of_the_default_and_others_stay() -> None:
    assert trials("parameters: {lr: 1, n: 2}\nsweeps: {sweep_config: {lr: [3]}}") == [{"lr": 3, "n": 2}]


def test_an_empty_sweep_is_no_sweep() -> None:
    assert trials("sweeps: {}") == [{}]
