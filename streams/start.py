"""The program's entry: Ctrl-C ends it without a traceback from its first moment on, also while the rest is loaded."""

from __future__ import annotations

import sys

EXIT_INTERRUPTED = 130


def main() -> None:
    """Run the command line and end the process with its exit code."""
    try:
        from streams.cli import run

        code = run()
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    sys.exit(code)
