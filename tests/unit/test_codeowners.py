"""Who owns a path, as GitHub, GitLab and Forgejo read CODEOWNERS (R5)."""

import re
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labwright.decide.codeowners import MOST_CHARS, MOST_RULES, PLACES, Dialect, parse
from labwright.decide.go_regex import NotUnderstood, search


def is_about(pattern: str, path: str, dialect: Dialect = "github") -> bool:
    return parse(f"{pattern} @ada", dialect).of(path) == {"ada"}


def test_the_last_rule_that_matches_says_who_owns() -> None:
    owners = parse("* @all\n*.py @Py @org/Team\n\n# a remark\n/docs/ docs@Example.org # and @nobody\n/docs/api.py\n")
    assert owners.of("a/b.txt") == {"all"}
    assert owners.of("a/b.py") == {"py", "@org/team"}
    assert owners.of("docs/x.py") == {"docs@example.org"}
    assert owners.of("docs/api.py") == frozenset()
    assert owners.problems == ()


def test_no_rule_and_a_rule_without_owners_are_two_things() -> None:
    owners = parse("/a/ @ada\n/a/free.txt")
    assert owners.owners_of_all(["a/x", "a/free.txt", "b"]) == {"a/x": {"ada"}, "a/free.txt": frozenset(), "b": None}
    assert parse("").of("a") is None


@pytest.mark.parametrize(
    ("pattern", "inside", "outside"),
    [
        ("*", "a a/b .a/.b", ""),
        ("*.js", "x.js a/b/x.js x.js/deep", "x.jsx js"),
        ("build", "build a/build build/x a/build/x/y", "rebuild buildx a/builder/x"),
        ("/build", "build build/x", "a/build"),
        ("apps/", "apps/x a/apps/x/y", "apps a/apps"),
        ("/apps/", "apps/x apps/x/y", "a/apps/x apps"),
        ("docs/*", "docs/a docs/.a", "docs/a/b a/docs/a docs"),
        ("/docs/*.md", "docs/a.md", "docs/a/b.md a/docs/a.md docs/a.mdx"),
        ("docs/api", "docs/api docs/api/x", "a/docs/api docs/apix"),
        ("/*", "a .a", "a/b"),
        ("**", "a a/b", ""),
        ("/**", "a a/b", ""),
        ("**/logs", "logs logs/x a/logs a/b/logs/x", "logsx a/xlogs"),
        ("/docs/**", "docs/a docs/a/b", "docs a/docs/a"),
        ("a/**/b", "a/b a/x/b a/x/y/b a/x/b/c", "ab a/xb b/a/b"),
        ("a/**/b/**/c", "a/b/c a/x/b/b/y/c/d", "a/c/b a/b"),
        ("a/**/*.py", "a/x.py a/b/c/x.py", "x.py a/x.pyc"),
        ("a?c", "abc x/abc", "ac a/c abbc"),
        ("a*b*c", "abc axbxc aabbcc", "ab acb a/b/c"),
        ("a**c", "ac abbc", "a/c"),
        ("*a*b*", "ab xaybz", "ba"),
        ("with\\ blank/", "with/blank with blank/x", "with"),
        ("a.b+(c)", "a.b+(c)", "axb+(c) a.bb(c)"),
        ("Case", "Case", "case"),
    ],
)
def test_github_patterns_are_those_of_gitignore(pattern: str, inside: str, outside: str) -> None:
    paths = [inside.split()[0].replace("/blank", ""), "with blank/x"] if "\\ " in pattern else inside.split()
    for path in paths[1:] if "\\ " in pattern else paths:
        assert is_about(pattern, path), path
    for path in outside.split():
        assert not is_about(pattern, path), path


@pytest.mark.parametrize("pattern", ["!a", "a[bc]", "[a", "a]", "\\#a", "/"])
def test_github_skips_what_it_gives_no_meaning(pattern: str) -> None:
    owners = parse(f"* @all\n{pattern} @ada")
    assert owners.of("a") == {"all"}
    (problem,) = owners.problems
    assert (problem.line, "skipped, as on the forge" in problem.message) == (2, True)


def test_an_owner_that_cannot_be_read_gives_its_path_to_nobody_else() -> None:
    owners = parse("* @all\n/a ada\n/b @o/t/u @bob\n/c @")
    assert owners.owners_of_all(["a", "b", "c"]) == {"a": frozenset(), "b": {"bob"}, "c": frozenset()}
    assert [p.line for p in owners.problems] == [2, 3, 4]


def test_line_ends_tabs_and_a_byte_order_mark_do_not_matter() -> None:
    owners = parse("\ufeff* \t @ada\r\n\t/b\t@bob \r\n")
    assert (owners.of("a"), owners.of("b"), owners.problems) == ({"ada"}, {"bob"}, ())


GITLAB = """\
* @admin
!pom.xml

[README Owners]
README.md @user1 @user2
internal/README.md @user4

^[Optional][2] @default @group/sub/Deep
README.md
docs/ @docs   # Match specific files for @remark
/config/
!/config/*.rb
/config/routes.rb @ops

[readme OWNERS]
internal/README.md @user5
"""


def test_gitlab_s_sections_are_put_together() -> None:
    owners = parse(GITLAB, "gitlab")
    default = {"default", "@group/sub/deep"}
    assert owners.of("README.md") == {"admin", "user1", "user2", *default}
    assert owners.of("internal/README.md") == {"admin", "user5", *default}
    assert owners.of("x/docs/a") == {"admin", "docs", "remark"}
    assert owners.of("x.py") == {"admin"}
    assert owners.problems == ()


def test_gitlab_s_exclusions_take_a_path_out_of_their_section_for_good() -> None:
    owners = parse(GITLAB, "gitlab")
    assert owners.of("a/pom.xml") is None
    assert owners.of("config/x.py") == {"admin", "default", "@group/sub/deep"}
    assert owners.of("config/routes.rb") == {"admin"}
    assert parse("/a @x\n[S]\n!/a", "gitlab").of("a") == {"x"}


@pytest.mark.parametrize(
    ("pattern", "inside", "outside"),
    [
        ("*", "a a/b .a/.b", ""),
        ("docs", "docs a/docs", "docs/x"),
        ("docs/", "docs/x a/docs/x/y", "docs"),
        ("/docs/", "docs/x docs/x/y", "a/docs/x"),
        ("internal/README.md", "internal/README.md a/b/internal/README.md", "README.md xinternal/README.md"),
        ("/docs/*", "docs/a", "docs/a/b"),
        ("/docs/**", "docs/a", "docs/a/b"),
        ("/docs/**/index.md", "docs/index.md docs/a/b/index.md", "index.md docs/aindex.md"),
        ("/docs/*/x", "docs/a/x", "docs/x docs/a/b/x"),
        ("/docs/*spec*", "docs/qa_specs.rb", "docs/spe"),
        ("[Ss]ection", "", "Section section"),  # a heading
        ("/[a-c]x", "ax cx", "dx /x"),
        ("/[!a-c]x", "dx", "ax /x"),
        ("/[^a]x", "bx", "ax"),
        ("/[]a]x", "]x ax", "bx"),
        ("/[a-]x", "ax -x", "bx"),
        ("/[\\]^]x", "]x ^x", "\\x"),
        ("/a[/]b", "", "a/b"),
        ("/[z-a]x", "", "zx ax"),
        ("\\#hash", "#hash a/#hash", "hash"),
        ("a\\*b", "a*b", "axb"),
    ],
)
def test_gitlab_patterns_are_those_of_fnmatch(pattern: str, inside: str, outside: str) -> None:
    for path in inside.split():
        assert is_about(pattern, path, "gitlab"), path
    for path in outside.split():
        assert not is_about(pattern, path, "gitlab"), path


def test_gitlab_s_roles_own_nothing_and_do_not_fall_back_to_the_section() -> None:
    owners = parse("[S] @default\n/a @@maintainer\n/b\n[] @x\n[S2\n/c a word only", "gitlab")
    assert owners.owners_of_all(["a", "b", "c"]) == {"a": frozenset(), "b": {"default"}, "c": {"default"}}
    assert [(p.line, "cannot be read" in p.message) for p in owners.problems] == [(2, True), (4, False), (5, False)]


def test_forgejo_counts_every_rule_that_matches() -> None:
    owners = parse(
        ".*\\.py @Py\nexperiments/.* @org/Lab bob # and @nobody\n!docs/.* @all\nwith\\ blank @c\na\\#b @d", "forgejo"
    )
    assert owners.of("experiments/a.py") == {"py", "@org/lab", "bob", "all"}
    assert owners.of("docs/a.py") == {"py"}
    assert owners.of("docs/a.md") is None
    assert owners.of("with blank") == {"all", "c"}
    assert owners.of("a#b") == {"all", "d"}
    assert owners.problems == ()


def test_forgejo_s_backslashes_are_read_twice() -> None:
    assert is_about(r"a\\.b", "a.b", "forgejo")
    assert not is_about(r"a\\.b", "axb", "forgejo")
    assert is_about(r"a\.b", "axb", "forgejo")  # the first reading takes it away: a dot, that is any character


def test_forgejo_skips_rules_without_owners() -> None:
    owners = parse("a\nb @x\n\\", "forgejo")
    assert (owners.of("a"), owners.of("b")) == (None, {"x"})
    assert [p.line for p in owners.problems] == [1, 3]


def test_what_cannot_be_read_gives_no_right_away() -> None:
    owners = parse("(?i)a.* @x\nb.* @y", "forgejo")
    assert owners.owners_of_all(["a", "b"]) == {"a": frozenset(), "b": {"y"}}
    assert "not understood here: flags of a group" in owners.problems[0].message
    for dialect in ("github", "gitlab"):
        long = parse(f"/a @x\n/{'b' * 1001} @y\n/c @z", dialect)
        assert long.owners_of_all(["a", "c"]) == {"a": frozenset(), "c": {"z"}}
    assert parse(f"/a @x\n!/{'b' * 1001}", "gitlab").of("a") == {"x"}


@pytest.mark.parametrize("dialect", ["github", "gitlab", "forgejo"])
def test_a_file_beyond_all_measure_gives_nobody_anything(dialect: Dialect) -> None:
    for text in ("* @ada\n" + "#" * MOST_CHARS, "* @ada\n" * (MOST_RULES + 1)):
        owners = parse(text, dialect)
        assert owners.of("a") == frozenset()
        assert "so nobody owns anything" in owners.problems[0].message


def test_each_forge_looks_in_places_of_its_own() -> None:
    assert PLACES["github"][0] == ".github/CODEOWNERS"
    assert PLACES["gitlab"] == ("CODEOWNERS", "docs/CODEOWNERS", ".gitlab/CODEOWNERS")
    assert PLACES["forgejo"][2:] == (".gitea/CODEOWNERS", ".forgejo/CODEOWNERS")


HOSTILE = [
    "*a" * 400, "**/" * 300 + "x", "a*/**/" * 100 + "x", "?*" * 400, "*" * 900, "**a**/" * 100, "[a-z]*" * 100, "/" * 900,
    "(a+)+$", "(a|a)*b", ".*.*.*.*.*.*.*.*x", "(.*a){20}", "((a{0,30}){0,30})b", "(" * 60, "((){1000}){1000}", "(((){1000}){1000}){1000}",
    "a{1000}" * 9, "(x+x+)+y", "[" * 900, "\\" * 900, "(?:" * 40 + ")*" * 40,
]  # fmt: skip


@pytest.mark.parametrize("pattern", HOSTILE)
@pytest.mark.parametrize("dialect", ["github", "gitlab", "forgejo"])
def test_no_pattern_takes_for_ever(pattern: str, dialect: Dialect) -> None:
    owners = parse(f"{pattern} @x", dialect)
    for path in ("a" * 4000, "a/" * 2000 + "b", "x" * 4000 + "z", "/" * 4000, "ab" * 2000):
        assert owners.of(path) in (None, frozenset(), {"x"})


@given(
    st.text() | st.text("*?/[]!^\\#@a-z.(){}|+$, \t\r\n"), st.sampled_from(["github", "gitlab", "forgejo"]), st.text()
)
def test_any_text_is_read_without_an_error(text: str, dialect: Dialect, path: str) -> None:
    owners = parse(text, dialect)
    found = owners.of(path)
    assert found is None or all(x == x.lower() or "@" in x for x in found)
    assert len(owners.problems) <= 50


names = st.text("ab", min_size=1, max_size=4)
globs = st.lists(st.one_of(st.just("**"), st.text("ab*?", min_size=1, max_size=5)), min_size=1, max_size=5)


@settings(max_examples=400, deadline=None)
@given(globs, st.lists(names, min_size=1, max_size=5), st.booleans(), st.booleans())
def test_a_glob_matches_what_trying_all_ways_matches(
    parts: list[str], path: list[str], rooted: bool, folder: bool
) -> None:
    pattern = "/" * rooted + "/".join(parts) + "/" * folder
    wanted = list(parts)
    if not rooted and len(parts) == 1:
        wanted.insert(0, "**")
    wanted += ["**"] if folder else []
    if wanted[-1] == "**":
        wanted.append("*")
    ends = [len(path)] if wanted[-1] == "*" else range(1, len(path) + 1)
    assert is_about(pattern, "/".join(path)) is any(tried(tuple(wanted), tuple(path[:end])) for end in ends)


@cache
def tried(pattern: tuple[str, ...], path: tuple[str, ...]) -> bool:
    if not pattern:
        return not path
    if pattern[0] == "**":
        return tried(pattern[1:], path) or (bool(path) and tried(pattern, path[1:]))
    rule = re.escape(pattern[0]).replace(r"\*", ".*").replace(r"\?", ".")
    return bool(path) and re.fullmatch(rule, path[0]) is not None and tried(pattern[1:], path[1:])


atoms = st.sampled_from(
    ["a", "b", ".", "[ab]", "[^a]", "[b-c]", r"\w", r"\D", r"\.", "^", "$", r"[\w.]", "[]a]", "{", "a{2}", "b{1,2}"]
)
regexes = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.builds("{}{}".format, inner, inner),
        st.builds("(?:{}){}".format, inner, st.sampled_from(["*", "+", "?", "*?", "{2}", "{0,1}", "{1,}"])),
        st.builds("({}|{})".format, inner, inner),
    ),
    max_leaves=6,
)


@settings(max_examples=600, deadline=None)
@given(regexes, st.text("abc.{\n", max_size=7))
def test_go_s_expressions_match_what_python_s_match(pattern: str, text: str) -> None:
    same = re.compile(pattern.replace("$", r"\Z"), re.ASCII)
    assert search(pattern)(text) is (same.search(text) is not None)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [("a)", "nothing opened"), ("(a", "nothing closes"), ("*", "nothing before"), ("a**", "after another"), ("a{2}{3}", "after another"),
     ("a{1001}", "cannot be counted"), ("a{3,2}", "cannot be counted"), ("[a", "ends too early"), ("[z-a]", "later to earlier"),
     ("\\", "ends too early"), (r"\bx", r"`\b`"), (r"\pL", r"`\p`"), (r"\1", r"`\1`"), ("[[:alpha:]]", "class with a name"),
     ("(?i)a", "flags"), ("(?=a)", "flags"), ("x" * 1001, "longer than"), ("(" * 51 + ")" * 51, "too many groups"),
     ("(a{1000}){1000}", "too large"), ("(((){1000}){1000}){1000}", "too large")],
)  # fmt: skip
def test_an_expression_that_is_not_understood_says_why(pattern: str, words: str) -> None:
    with pytest.raises(NotUnderstood, match=re.escape(words)):
        search(pattern)


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [(r"^a\z", "a\n", False), ("^a$", "a\n", False), (r"\Aa", "ba", False), ("^$", "", True), ("$^", "", True), ("", "x", True),
     ("^a|b$", "axx", True), ("^a|b$", "xxb", True), ("^a|b$", "xax", False), ("(?P<n>a)(?<m>b)", "ab", True), ("a{,2}", "a{,2}", True),
     (r"[\d_-]+x", "1_-x", True), (r"[^\W\d]", "1-_", True), (r"\t", "\t", True), (".", "\n", False), ("ä", "ä", True)],
)  # fmt: skip
def test_go_s_expressions_as_its_manual_says(pattern: str, text: str, found: bool) -> None:
    assert search(pattern)(text) is found
