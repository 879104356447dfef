"""The one exception for what a user can cause and mend."""


class UserError(ValueError):
    """A user's mistake, told in one line: what is wrong, where (file, row, key), and what to do.

    Entry points print the line and exit with code 2; every other exception is a fault of ours and keeps
    its traceback.
    """
