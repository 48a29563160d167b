"""What an attempt is called: token, Slurm's id, its place in a shared allocation, whose it is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labwright.adapters.providers.slurm.handles import Known, parse
from labwright.adapters.providers.slurm.submit import handle_of, job_of
from labwright.domain.ids import Handle, Token
from labwright.domain.slurm import Account

TOKEN = Token("lab-abcdefghijkl-1")


def handle(of: str, batch: str, place: int, user: str = "") -> str:
    return handle_of(TOKEN, of, batch, place, user)


def test_a_handle_says_everything_in_one_word() -> None:
    assert Known(TOKEN, "123").handle == "lab-abcdefghijkl-1@123"
    assert Known(TOKEN, "123", 7).handle == "lab-abcdefghijkl-1@123_7"
    assert Known(TOKEN, "123", 7, "ada").handle == "lab-abcdefghijkl-1@123_7/ada"
    assert Known(TOKEN, "123", 7, "ada", 2, 8).handle == "lab-abcdefghijkl-1@123_7.2-8/ada"
    assert (Known(TOKEN, "123").id, Known(TOKEN, "123", 7, "ada", 2, 8).id) == ("123", "123_7")


known = st.builds(
    Known,
    st.from_regex(r"[a-z0-9][a-z0-9-]{0,19}-[a-z2-7]{12}-[1-9][0-9]{0,3}", fullmatch=True).map(Token),
    st.integers(1, 10**12 - 1).map(str),
    st.none() | st.integers(0, 4_000_000),
    st.just("") | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._@\\-]{0,30}\$?", fullmatch=True),
).flatmap(
    lambda k: st.integers(1, 9999).flatmap(
        lambda of: st.integers(0, of - 1 if of > 1 else 0).map(
            lambda slot: Known(k.token, k.job, k.index, k.user, slot, of)
        )
    )
)


@settings(deadline=None)
@given(known)
def test_what_was_written_is_read_again(one: Known) -> None:
    assert parse(one.handle) == one


@pytest.mark.parametrize("name", ["ada", "ada.l", "ada@example.org", "DOMAIN\\ada", "host$", "_x", "9"])
def test_every_name_that_lab_yaml_takes_for_a_user_is_read_again(name: str) -> None:
    user = Account(user=name).user
    assert parse(Known(TOKEN, "1", user=user).handle) == Known(TOKEN, "1", user=user)


@pytest.mark.parametrize(
    "text",
    ["", "x", TOKEN, f"{TOKEN}@", f"{TOKEN}@x", f"{TOKEN}@-1", f"{TOKEN}@1_", f"{TOKEN}@1_x", f"{TOKEN}@1_[2]", f"{TOKEN}@1+0", f"{TOKEN}@1.0", f"{TOKEN}@1.0-0", f"{TOKEN}@1/", f"{TOKEN}@1/a b", f"{TOKEN}@1/../x", f"{TOKEN}@1 ", f"{TOKEN}@1\n", "../x@1", ".x@1", "-x@1", "a/b@1", "a b@1", f"{'x' * 300}@1", "x@" + "1" * 13],
)  # fmt: skip
def test_what_no_attempt_can_be_called_is_none(text: str) -> None:
    assert parse(text) is None


def test_a_batchs_name_tells_where_a_trial_runs() -> None:
    assert handle("5", f"{TOKEN}.0a1b2c3d", 0) == f"{TOKEN}@5"
    assert handle("5", "lab-0123456789ab-a3.0a1b2c3d", 2) == f"{TOKEN}@5_2"
    assert handle("5", "lab-0123456789ab-a10p4.0a1b2c3d", 3, "ada") == f"{TOKEN}@5_0.3-4/ada"
    assert handle("5", "lab-0123456789ab-a10p4.0a1b2c3d", 9) == f"{TOKEN}@5_2.1-2", "the last allocation has two"
    assert handle("5", "lab-0123456789ab-a9p4.0a1b2c3d", 8) == f"{TOKEN}@5_2", "the last allocation has one"
    assert handle("5", "lab-0123456789ab-a3p3.0a1b2c3d", 2) == f"{TOKEN}@5.2-3", "one allocation is no array"


def test_a_lab_whose_name_looks_like_a_size_is_none() -> None:
    assert handle("5", "x-a5-abcdefghijkl-1.0a1b2c3d", 0) == f"{TOKEN}@5"
    assert handle("5", "a5p2-abcdefghijkl-1.0a1b2c3d", 0) == f"{TOKEN}@5"


def test_what_a_needed_attempts_folder_is_called() -> None:
    assert job_of(Handle(f"{TOKEN}@5_2/ada")) == "abcdefghijkl"
    assert job_of(Handle("something@5")) == "something@5"
