"""The base of every error that this project raises for a person.

Catch `WorldModelsError` at the entry of a stage or a command and print it: its text is one clear
line that says the thing, what was expected, what came, and what to do. Any other exception is a
defect of the program and keeps its traceback.
"""


class WorldModelsError(Exception):
    """A problem that the reader can mend: one line with expected, got and what to do."""
