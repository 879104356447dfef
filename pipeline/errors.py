"""What ends a stage in one line: a user's mistake, or a wish to stop."""


class UserError(ValueError):
    """A user's mistake, told in one line: what is wrong, where (file, row, key), and what to do.

    Entry points print the line and exit with code 2; every other exception is a fault of ours and keeps
    its traceback.
    """


class StoppedError(Exception):
    """Someone asked the stage to stop, and its work is saved; the entry point exits as the signal's default would."""

    def __init__(self, signal_number: int, where: str) -> None:
        super().__init__(f"{where}: stopped by signal {signal_number}, its work is saved; the same command goes on")
        self.exit_code = 128 + signal_number
