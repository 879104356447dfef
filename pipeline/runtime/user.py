"""Who runs the program, for libraries that ask."""

import getpass
import os
from pathlib import Path


def complete_user() -> None:
    """Gives a name and a home to a user of whom the system knows neither, as in a container that runs under any number.

    DVC asks for both and stops where there is none. The home is /, as Docker has it: nobody else can write there.
    """
    try:
        getpass.getuser()
    except (KeyError, OSError):  # no entry in passwd, and no variable that says it
        os.environ["LOGNAME"] = f"uid-{os.getuid()}"
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = "/"
