"""The process behind ``forge`` and ``python -m forge_workers``.

Belongs here: turning errors into one line and an exit code. Does not belong here: any command.
"""

from __future__ import annotations

import os
import sys

from forge_workers.cli import app
from forge_workers.errors import ForgeError
from forge_workers.plain import plain

#: Wrong usage or settings.
_USAGE = 2
_STOPPED = 130


def main() -> None:
    """Run the command line; exit 0 fine, 1 the night has failed steps, 2 wrong usage or settings."""
    os.umask(0o077)  # nights quote private code
    try:
        app()
    except ForgeError as error:
        sys.stderr.write(f"forge: {error}\n")
        sys.exit(_USAGE)
    except KeyboardInterrupt:
        sys.exit(_STOPPED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(_STOPPED)
    except OSError as error:  # a home that cannot be written, a disk that is full: one line names it
        sys.stderr.write(f"forge: {plain(str(error.filename or 'a file'))} cannot be used: {error.strerror or error}\n")
        sys.exit(_USAGE)


if __name__ == "__main__":
    main()
