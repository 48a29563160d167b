import subprocess
from pathlib import Path

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


GIVEN = {"folder": Path("/etc"), "names": ["a", "b"], "options": {"k": "v"}, "text": "x" * 1000}


@pytest.mark.parametrize(
    "source",
    [
        "{{ folder.joinpath('passwd').read_text() }}",
        "{% if folder.rename('/tmp/x') %}{% endif %}",
        "{{ folder / 'passwd' }}",
        "{{ text.format('x') }}",
        "{{ 'a%s' % folder }}",
        "{% set range = text.replace %}{{ range('x', 'y') }}",
        "{{ options.pop('k') }}",
        "{{ text | attr('upper') }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ self._TemplateReference__context }}",
        "{% import 'local/run.sh.j2' as x %}",
        "{% extends 'local/run.sh.j2' %}",
    ],
)
def test_a_template_reaches_nothing_through_its_values(source: str) -> None:
    with pytest.raises(Refused):
        render(source, GIVEN)
    assert Path("/etc/passwd").exists()


LOOP = "{% for i in range(1000) %}"


@pytest.mark.parametrize(
    "source",
    [
        LOOP * 9 + "{% endfor %}" * 9,
        LOOP * 3 + "{{ text }}" + "{% endfor %}" * 3,
        LOOP * 2 + "{% if text|list|sort|unique|list %}{% endif %}" + "{% endfor %}" * 2,
        "{% for i in range(1000000000) %}{% endfor %}",
        "{% set x = text %}" + "{% set x = x + x %}" * 60 + "{{ x }}",
        "{% set x = text %}" + "{% set x = x | replace('x', 'xxxxxxxxxxxxxx') %}" * 60 + "{{ x }}",
        "{{ range(1000) | join(text * 1000) }}",
        "{{ range(1000) | join(text + text + text) }}",
        "{{ range(1000) | map('replace', '', text) | list }}",
        "{{ 9 ** 9 ** 9 ** 9 }}",
        "{{ 'x' * 10000000000 }}",
        "{{ text.ljust(10000000000) }}",
        "{{ text | center(10000000000) }}",
        "{{ text | indent(10000000000) }}",
        "{{ options | tojson(indent=10000000000) }}",
        "{{ '%10000000000d' % 1 }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% for n in names recursive %}{{ loop(names) }}{% endfor %}",
        "{% set x %}{{ text }}{% endset %}",
        "{{ text ~ text }}",
        "{% set x = [1] %}" + "{% set x = [x, x] %}" * 60 + "{{ x }}",
        "{{ " + "(" * 9999 + "1" + ")" * 9999 + " }}",
        "{{ text" + "|list" * 9999 + " }}",
        "{{ 1" + "+1" * 9999 + " }}",
        "{{ " + "9" * 9999 + " }}",
        "{% for i in names %}" * 99 + "{% endfor %}" * 99,
    ],
    ids=lambda source: source[:50],
)
@pytest.mark.timeout(20)
def test_every_template_comes_to_an_end(source: str) -> None:
    with pytest.raises(Refused):
        render(source, GIVEN)


def test_a_template_of_very_many_parts_is_not_even_compiled() -> None:
    with pytest.raises(Refused, match="more than 20,000 parts"):
        render("{{ text }}" * 20_000, GIVEN)


def test_what_templates_are_made_of_is_there() -> None:
    source = """\
{% set prefix = "--" + "x" %}
{% for key, value in options.items() if value %}
{{ prefix }} {{ key | upper }}={{ value | sh }}{% if not loop.last %},{% endif %}

{% endfor %}
{{ names | map("sh") | join(" ") }} {{ text[:2] }} {{ (1.5 * 1024) | int }} {{ names | length // 2 }} {{ "a" in ["a", "b"] }}
{{ options | tojson }} {{ text.startswith("x") and "yes" or "no" }} {{ "a-b" | replace("-", "_") }}
"""
    assert render(source, GIVEN) == '--x K=v\na b xx 1536 1 True\n{"k": "v"} yes a_b\n'


def test_a_fault_while_rendering_is_told_with_its_line() -> None:
    with pytest.raises(Refused, match=r"local/x\.j2:3: 'dict object' has no attribute 'q'"):
        render("\n\n{{ options.q }}", GIVEN, name="local/x.j2")
