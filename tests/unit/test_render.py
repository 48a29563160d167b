import subprocess

import pytest

from labwright.decide.render import render
from labwright.domain.errors import Refused

ODD = ["a b", "it's", '"q"', "$(echo no)", "`id`", "*", "", "two\nlines", "-n", "; rm -rf /", "\\", "{{ x }}"]


@pytest.mark.parametrize("value", ODD)
def test_a_quoted_value_is_one_word_of_the_shell(value: str) -> None:
    script = render("printf %s {{ value | sh }}", {"value": value})
    assert subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout == value


def test_a_value_that_is_not_given_refuses_and_names_the_template() -> None:
    with pytest.raises(Refused, match=r"local/x\.j2.*nothing"):
        render("{{ nothing }}", {}, name="local/x.j2")


def test_a_broken_template_is_refused_with_its_line() -> None:
    with pytest.raises(Refused, match=r"local/x\.j2:2"):
        render("fine\n{% if %}", {}, name="local/x.j2")


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ values.append(1) }}",
        "{{ render.__globals__ }}",
        "{% include '/etc/passwd' %}",
    ],
)
def test_a_template_does_not_get_out_of_its_sandbox(source: str) -> None:
    with pytest.raises(Refused):
        render(source, {"values": [1], "render": render})


def test_the_shells_own_braces_are_left_alone() -> None:
    text = '((${#found[@]})) && echo "${a##*) }" <# a comment #>'
    assert render(text, {}) == '((${#found[@]})) && echo "${a##*) }" '


def test_html_is_not_escaped() -> None:
    assert render("{{ x }}", {"x": "<&>"}) == "<&>"
