from __future__ import annotations

import re
import string
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltann.environment import Environment, parse_all, split_specs
from deltann.errors import UsageError

_WORD = st.text(string.ascii_letters + string.digits + "_", min_size=1, max_size=6)
_NAME = st.from_regex(re.compile(r"[a-z][a-z0-9_]{0,6}", re.ASCII), fullmatch=True)
_VERSION = st.from_regex(re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!]{0,6}", re.ASCII), fullmatch=True)
_DEVICE = st.from_regex(re.compile(r"[a-z][a-z0-9_-]{0,6}(:[0-9]{1,2})?", re.ASCII), fullmatch=True)
_VALUE = st.from_regex(re.compile(r"[^\s,=\[\]]{1,8}"), fullmatch=True)
_ENVIRONMENTS = st.builds(
    lambda name, variants, version, device, options: Environment(
        name, tuple(variants), version, device, tuple(sorted(options.items()))
    ),
    _NAME,
    st.lists(_WORD, max_size=3, unique=True),
    st.none() | _VERSION,
    st.none() | _DEVICE,
    st.dictionaries(_NAME, _VALUE, max_size=3),
)


@given(_ENVIRONMENTS)
def test_every_environment_survives_its_spelling(environment: Environment) -> None:
    assert Environment.parse(str(environment)) == environment


@given(st.text(max_size=20) | st.from_regex(r"[a-z]+(-[A-Z0-9]+)*(@[0-9.]+)?(:[a-z]+)?(\[[a-z=,0-9 ]*\])?"))
def test_any_text_is_read_into_one_canonical_spelling_or_refused(text: str) -> None:
    with suppress(UsageError):
        canonical = str(Environment.parse(text))
        assert str(Environment.parse(canonical)) == canonical


@given(st.lists(_ENVIRONMENTS, min_size=1, max_size=4, unique=True))
def test_lists_of_specs_survive_joining(environments: list[Environment]) -> None:
    assert parse_all(",".join(map(str, environments))) == tuple(environments)
    assert parse_all([str(environment) for environment in environments]) == tuple(environments)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("torch", Environment("torch")),
        ("ort-O1", Environment("ort", ("O1",))),
        ("ort@1.20.1", Environment("ort", version="1.20.1")),
        ("torch-compile:cuda", Environment("torch", ("compile",), device="cuda")),
        ("torch:cuda:1", Environment("torch", device="cuda:1")),
        ("ort:qemu-aarch64", Environment("ort", device="qemu-aarch64")),
        (" tvm-O3[ b=2, a=1 ] ", Environment("tvm", ("O3",), options=(("a", "1"), ("b", "2")))),
        ("ort[]", Environment("ort")),
        (
            "a-b-c@1:d:0[k=v+w]",
            Environment("a", ("b", "c"), "1", "d:0", (("k", "v+w"),)),
        ),
    ],
)
def test_the_grammar(text: str, expected: Environment) -> None:
    assert Environment.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "NAME"),
        ("Ort", "NAME"),
        ("ort-", "NAME"),
        ("ort:", "NAME"),
        ("ort[threads=1", "NAME"),
        ("ort[threads]", "write key=value"),
        ("ort[threads=]", "write key=value"),
        ("ort[threads=1,,x=2]", "write key=value"),
        ("ort-O1-O1", "variant O1 twice"),
        ("ort[a=1,a=2]", "option a twice"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_way_to_write_it(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=re.escape(told)) as caught:
        Environment.parse(text)
    assert len(str(caught.value).splitlines()) == 1


def test_commas_in_brackets_part_options_and_not_specs() -> None:
    assert split_specs("torch, ort[a=1,b=2] ,,tvm-O3") == ["torch", "ort[a=1,b=2]", "tvm-O3"]


def test_no_spec_and_one_spec_twice_are_refused() -> None:
    for nothing in ("", " , ", []):
        with pytest.raises(UsageError, match="no backend is named"):
            parse_all(nothing)
    with pytest.raises(UsageError, match=r"'ort\[a=1,b=2\]' is named twice"):
        parse_all("ort[b=2,a=1],torch,ort[a=1,b=2]")


@given(_ENVIRONMENTS)
def test_a_slug_is_a_file_name(environment: Environment) -> None:
    slug = environment.slug
    assert 0 < len(slug.encode(errors="surrogatepass")) <= 255
    assert not set(slug) & set('/\\:*?"<>|\0')
    assert slug not in (".", "..")


@given(_ENVIRONMENTS, _ENVIRONMENTS)
def test_slugs_differ_where_specs_differ(one: Environment, other: Environment) -> None:
    assert (one.slug == other.slug) == (one == other)


def test_slugs_of_values_that_look_alike_differ() -> None:
    specs = ["ort[p=a/b]", "ort[p=a_b]", "ort[p=a~b]", "ort[p=a:b]", "ort[p=a(b]", "ort[p=A_b]"]
    assert len({Environment.parse(spec).slug for spec in specs}) == len(specs)


def test_a_long_list_of_optimisers_still_gives_a_file_name() -> None:
    specs = [f"ort[disabled_optimizers={'+'.join(f'SomeLongOptimiser{i}' for i in range(n))}]" for n in (40, 41)]
    slugs = {Environment.parse(spec).slug for spec in specs}
    assert len(slugs) == 2
    assert max(map(len, slugs)) <= 255
