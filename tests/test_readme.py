"""What the README says works: its Python blocks run, the commands and files that it names exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from molvae.cli.faults import run as run_command

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8") if (ROOT / "README.md").exists() else ""
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(*languages: str) -> list[str]:
    """The fenced blocks in a language."""
    return [text for language, text in BLOCK.findall(README) if language in languages]


def command_lines() -> list[list[str]]:
    """Every `molvae ...` line of the shell blocks, split into words; comments and what follows a pipe are left out."""
    lines = "\n".join(blocks("bash", "sh", "shell", "console")).replace("\\\n", " ").splitlines()
    bare = [line.strip().removeprefix("$ ") for line in lines]
    commands = [shlex.split(line.split(" | ")[0], comments=True) for line in bare if line.startswith("molvae ")]
    return [words for words in commands if len(words) > 1 and not words[1].startswith("-")]


@pytest.mark.integration
def test_python_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order and in one namespace, as a reader would type them, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "readme"}
    for number, text in enumerate(blocks("python", "py"), start=1):
        exec(compile(text, f"README.md, Python block {number}", "exec"), namespace)


@pytest.mark.parametrize("words", command_lines(), ids=" ".join)
def test_commands_exist_with_their_options(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    verb = words[1:3] if words[1] == "data" else words[1:2]
    assert run_command([*verb, "--help"]) == 0
    text = capsys.readouterr().out
    for option in (word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)):
        assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text), f"molvae {' '.join(verb)} has no {option}"


@pytest.mark.parametrize("path", sorted(set(re.findall(r"(?<![\w/.])(?:configs|pipelines|tests)/[\w/.-]+\w", README))))
def test_files_that_are_named_exist(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`make (\w+)`", README + "\n`make demo` `make test`"))))
def test_make_targets_exist(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def test_relative_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\((?!https?://|#)([^)#]+)", README):
        assert (ROOT / link).exists(), link


def test_pipelines_are_importable_modules_that_explain_themselves() -> None:
    for name in re.findall(r"python -m (pipelines\.\w+)", README):
        source = ROOT / (name.replace(".", "/") + ".py")
        assert source.read_text(encoding="utf-8").startswith('"""')


def test_readme_is_there_and_says_the_two_commands() -> None:
    assert "make demo" in README
    assert "make test" in README
