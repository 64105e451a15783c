"""From exceptions to one clear message on stderr and an exit code.

0 done, 2 configuration or usage, 3 data, 4 oracle, 130 interrupted, 1 anything else. MOLVAE_DEBUG=1 shows tracebacks.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from molvae.core.errors import Interrupted, MolvaeError, debugging
from molvae.core.stopping import receive_interrupts_in_a_thread

INTERRUPTED = 130
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DISK_FULL_WORDS = ("no space left", "disk is full", "file too large", "disk quota", "streamwriter failed writing")
DISK_FULL_ADVICE = "Free some space and give the same command again; no file was left half-written."
READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


def main() -> None:
    """The entry point of the command `molvae`."""
    receive_interrupts_in_a_thread()
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run the command line; returns its exit code."""
    with _messages_on_stderr():
        try:
            from molvae.cli.app import app

            code = app(list(arguments), prog_name="molvae", standalone_mode=False)
            sys.stdout.flush()
        except KeyboardInterrupt:
            code = INTERRUPTED
        except (Exception, SystemExit) as error:  # typer exits by itself where the output cannot be written
            if any(isinstance(link, BrokenPipeError) for link in _chain(error)):
                # the reader of our output has gone, for instance `molvae sample | head`
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                return 0
            if isinstance(error, SystemExit):
                raise
            return report_fault(error)
    if code == INTERRUPTED:  # typer, too, turns Ctrl-C into this code, without a word
        print("interrupted", file=sys.stderr)
    return code if isinstance(code, int) else 0


@contextmanager
def _messages_on_stderr() -> Iterator[None]:
    """What the library logs, as plain lines."""
    logger, handler = logging.getLogger("molvae"), logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def report_fault(error: Exception) -> int:
    """Say on stderr what went wrong; returns the exit code."""
    if debugging():
        traceback.print_exception(error)
    message, code = explain(error)
    print(message, file=sys.stderr)
    return code


def run_script(main: Callable[[], int | None]) -> int:
    """Run the `main` of a script, such as a pipeline; returns its exit code, 0 where `main` returns none."""
    try:
        return main() or 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        return report_fault(error)


def explain(error: Exception) -> tuple[str, int]:
    """The message for an exception, and the exit code."""
    if isinstance(error, ImportError) and error.name and not error.name.startswith("molvae"):
        return f"error: {error}; a package is missing or broken. Install molvae again: pip install -e .", 1
    from typer import Abort  # after what is said where it is missing

    if isinstance(error, Interrupted):
        return str(error), error.exit_code
    if isinstance(error, Abort):
        return "interrupted", INTERRUPTED
    if hasattr(error, "format_message"):  # a usage error; which class it is depends on the version of typer
        context = getattr(error, "ctx", None)
        hint = f"\ntry: {context.command_path} --help" if context is not None else ""
        return f"error: {error.format_message()}{hint}", 2
    if full := next(filter(_is_disk_full, _chain(error)), None):
        return f"error: no space left to write ({_where(full)}).\n{DISK_FULL_ADVICE}", 1
    if isinstance(error, MolvaeError):
        return f"error: {error}", error.exit_code
    if isinstance(error, OSError):
        return _explain_os_error(error)
    return (
        f"error: unexpected {type(error).__name__}: {error}\n"
        "This is a fault in molvae or in an oracle of yours. The traceback: MOLVAE_DEBUG=1 molvae ...",
        1,
    )


def _explain_os_error(error: OSError) -> tuple[str, int]:
    """Files that are not there, not readable or not writable are the user's business: say which, and what to do."""
    name = error.filename
    if isinstance(error, FileNotFoundError):
        return f"error: {name}: no such file or directory", 3
    if isinstance(error, IsADirectoryError):
        return f"error: {name}: is a directory; a file was expected", 3
    if isinstance(error, NotADirectoryError | FileExistsError):
        return f"error: {name}: is a file; a directory was expected", 3
    if error.errno in READ_ONLY:
        return f"error: {name}: {error.strerror}; choose another place (--run-dir, --out)", 3
    return f"error: {error}", 3 if name else 1


def _is_disk_full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return True
    return any(words in str(error).lower() for words in DISK_FULL_WORDS)


def _where(error: BaseException) -> str:
    name = getattr(error, "filename", None)
    return f"{name}: {error.strerror}" if name and isinstance(error, OSError) else str(error).splitlines()[0]


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and what caused it, outermost first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
