"""Configs: everything wrong is said at once, with the key and the likeliest correction; what we write we can read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError, model_validator

from molvae.core.config import Spec, did_you_mean, dump_config, load_config, parse_config
from molvae.core.errors import ConfigError


class Named(Spec):
    kind: Literal["named"] = "named"
    name: str


class Command(Spec):
    kind: Literal["command"] = "command"
    argv: tuple[str, ...]
    timeout_seconds: float = 60.0
    inner: AnyOracle | None = None  # a spec may hold specs of its own kind


AnyOracle = Annotated[Named | Command, Field(discriminator="kind")]


class Search(Spec):
    budget: int = Field(1000, gt=0)
    acquisition: Literal["ucb", "thompson"] = "ucb"
    output: Path | None = None

    @model_validator(mode="after")
    def _even(self) -> Search:
        if self.budget % 2:
            raise ValueError("budget should be even")
        return self


class Run(Spec):
    seed: int = 0
    oracle: AnyOracle
    more: tuple[AnyOracle, ...] = ()
    search: Search = Search()


GOOD = """
seed = 3
[oracle]
kind = "named"
name = "qed"
[search]
budget = 500
"""


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "run.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def mistakes(path: Path | None, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(path, Run, overrides)
    assert caught.value.exit_code == 2
    return str(caught.value).splitlines()


def test_a_good_file_is_read(write) -> None:
    config = load_config(write(GOOD), Run)
    assert config == Run(seed=3, oracle=Named(name="qed"), search=Search(budget=500))
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 4  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '[oracle]\nkind = "named"\nnme = "qed"',
            ["oracle.name: is missing", "oracle.nme: unknown key; did you mean 'name'?"],
        ),
        ("budget = 3\n" + GOOD, ["budget: unknown key; did you mean 'search.budget'?"]),
        (GOOD + "argv = 1", ["search.argv: unknown key; did you mean 'oracle.argv'?"]),
        (GOOD + "zzz = 1", ["search.zzz: unknown key (known here: acquisition, budget, output)"]),
        (
            '[oracle]\nkind = "naned"',
            ["oracle: unknown kind 'naned' (known: 'named', 'command'); did you mean 'named'?"],
        ),
        ("[oracle]\nkind = 3", ["oracle: unknown kind '3' (known: 'named', 'command')"]),
        ('[oracle]\nname = "x"', ["oracle: the key 'kind' is missing"]),
        (
            GOOD + 'acquisition = "usb"',
            ["search.acquisition: should be 'ucb' or 'thompson', got 'usb'; did you mean 'ucb'?"],
        ),
        (GOOD.replace("500", "501"), ["search: budget should be even"]),
        (GOOD.replace("500", "0"), ["search.budget: should be greater than 0, got 0"]),
        (
            GOOD.replace("500", '"many"'),
            ["search.budget: should be a valid integer, unable to parse string as an integer, got 'many'"],
        ),
        ("seed = 1", ["oracle: is missing"]),
        ('oracle = "qed"', ["oracle: should be a valid dictionary or object to extract fields from, got 'qed'"]),
        (
            GOOD + '[[more]]\nkind = "command"\nargv = ["x"]\ntimeout = 3',
            ["more.0.timeout: unknown key; did you mean 'timeout_seconds'?"],
        ),
        (
            GOOD + '[[more]]\nkind = "command"\nargv = []\n[more.inner]\nkind = "named"\nname = "a"\nnme = "b"',
            ["more.0.inner.nme: unknown key; did you mean 'name'?"],
        ),
    ],
)
def test_mistakes_are_named_and_corrected(write, text: str, expected: list[str]) -> None:
    path = write(text)
    assert mistakes(path) == [f"{path}: {line}" for line in expected]


def test_all_mistakes_are_reported_at_once(write) -> None:
    path = write('sed = 1\n[oracle]\nkind = "named"\n[search]\nbudget = -2\nacquisition = "x"')
    assert len(mistakes(path)) == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"seed = ", "is not valid TOML: Invalid value (at end of document)"),
        (b"seed = 1\nseed = 2\n", "is not valid TOML: Cannot overwrite a value (at line 2, column 9)"),
        (b"seed = \xff", "is not UTF-8 text (invalid start byte at byte 7)"),
        ("seed = 1\n".encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
        (b"\xfe\xff\x00s", "is UTF-16 text; save it as UTF-8"),
    ],
)
def test_files_that_are_no_toml(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    assert mistakes(path) == [f"{path}: {message}"]


def test_a_byte_order_mark_is_no_content(write) -> None:
    assert load_config(write("\ufeff" + GOOD), Run) == load_config(write(GOOD), Run)


def test_files_that_are_not_there(write, tmp_path: Path) -> None:
    path = write(GOOD)
    absent = path.with_name("rum.toml")
    assert mistakes(absent) == [f"{absent}: no such file; did you mean {str(path)!r}?"]
    assert mistakes(tmp_path) == [f"{tmp_path}: cannot be read: Is a directory"]


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("seed=7", lambda c: c.seed == 7),
        ("search.budget=20", lambda c: c.search.budget == 20),
        ("search.output=runs/a b", lambda c: c.search.output == Path("runs/a b")),
        ("oracle.name=osimertinib_mpo", lambda c: c.oracle.name == "osimertinib_mpo"),
        ('oracle={kind = "command", argv = ["a", "b"]}', lambda c: c.oracle.argv == ("a", "b")),
        ("more.0.name=sa", lambda c: c.more[0].name == "sa"),
        ("search . budget = 22", lambda c: c.search.budget == 22),
    ],
)
def test_overrides(write, override: str, read) -> None:
    path = write(GOOD + '[[more]]\nkind = "named"\nname = "logp"')
    assert read(load_config(path, Run, ["seed=1", override]))


def test_overrides_build_a_config_without_a_file() -> None:
    assert load_config(None, Run, ["oracle.kind=named", "oracle.name=qed"]).oracle == Named(name="qed")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("budget", "--set 'budget': expected KEY=VALUE, for instance search.budget=500"),
        ("=3", "--set '=3': expected KEY=VALUE, for instance search.budget=500"),
        ("seed.a=3", "--set 'seed.a=3': seed is a value, not a section"),
        ("search.budgt=3", "--set: search.budgt: unknown key; did you mean 'budget'?"),
        (
            "search.budget=few",
            "--set: search.budget: should be a valid integer, unable to parse string as an integer, got 'few'",
        ),
        ("more.2.name=qed", "--set 'more.2.name=qed': '2' is no index into a list of 0"),
        ("more.\u00b2.name=qed", "--set 'more.\u00b2.name=qed': '\u00b2' is no index into a list of 0"),
    ],
)
def test_bad_overrides_are_said_to_be_overrides(write, override: str, message: str) -> None:
    assert mistakes(write("more = []\n" + GOOD), override) == [message]


names = st.text(min_size=1, max_size=20)
oracles = st.recursive(
    st.builds(Named, name=names),
    lambda inner: st.builds(
        Command, argv=st.lists(names, max_size=3).map(tuple), timeout_seconds=st.floats(allow_nan=False), inner=inner
    ),
    max_leaves=3,
)


@given(
    st.builds(Run, seed=st.integers(-(2**63), 2**63 - 1), oracle=oracles, more=st.lists(oracles, max_size=2).map(tuple))
)
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, config: Run) -> None:
    path = tmp_path_factory.mktemp("config") / "config.resolved.toml"
    dump_config(config, path)
    assert load_config(path, Run) == config


def test_data_can_be_checked_without_a_file() -> None:
    with pytest.raises(ConfigError, match=r"^oracle 'x': name: is missing$"):
        parse_config({}, Named, "oracle 'x'")


def test_did_you_mean() -> None:
    assert did_you_mean("optimize", ["optimise", "train"]) == "; did you mean 'optimise'?"
    assert did_you_mean("OPTIMIZE", ["Optimise", "train"]) == "; did you mean 'Optimise'?"
    assert did_you_mean("abc", ["xyz"]) == ""
