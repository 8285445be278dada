"""Make .venv, or another environment, from a lock file: python3 .ci/bootstrap.py requirements.lock [.venv]

Written for any Python 3, so that one too old is told so in one line instead of a traceback.
"""

import hashlib
import os
import subprocess
import sys

PROJECT = ".venv"


def fail(message):
    """Say what to do and stop with exit code 2."""
    sys.stderr.write(message + "\n")
    sys.exit(2)


def install(lock, venv):
    """Install exactly what the lock names, then, into its own environment, the project without looking anything up."""
    environ = dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1")
    environ.pop("PYTHONDONTWRITEBYTECODE", None)  # compiled once here, or every process pays a second for ever
    pip = [os.path.join(venv, "bin", "python"), "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.check_call(pip + ["--require-hashes", "--only-binary", ":all:", "-r", lock], env=environ)
    if venv == PROJECT:
        subprocess.check_call(pip + ["--no-build-isolation", "--no-index", "-e", "."], env=environ)


def main():
    """Make or complete the environment; do nothing when it is as the lock says."""
    newest = 13 if sys.platform == "darwin" else 14  # watchdog has no wheel for 3.14 on macOS
    if not (3, 11) <= sys.version_info[:2] <= (3, newest):
        found = ".".join(str(n) for n in sys.version_info[:3])
        fail(
            "Forge needs Python 3.11 to 3.%d and found %s: install one and run make PYTHON=python3.12 again."
            % (newest, found)
        )
    lock = sys.argv[1]
    venv = sys.argv[2] if len(sys.argv) > 2 else PROJECT
    with open(lock, "rb") as file:
        wanted = hashlib.sha256(file.read()).hexdigest() + " " + sys.version + " " + os.getcwd()
    stamp = os.path.join(venv, "." + os.path.basename(lock))
    if os.path.exists(stamp) and open(stamp).read() == wanted:
        return
    print("Setting up %s from %s (once, about a minute)" % (venv, lock))
    if subprocess.call([sys.executable, "-m", "venv", venv]) != 0:
        fail("Python could not make a virtual environment: on Debian or Ubuntu, apt install python3-venv.")
    try:
        install(lock, venv)
    except subprocess.CalledProcessError as error:
        fail("Set-up stopped (pip exit %d, its reason is above): mend that and run make again." % error.returncode)
    with open(stamp, "w") as file:
        file.write(wanted)


main()
