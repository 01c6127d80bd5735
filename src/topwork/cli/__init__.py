"""The command line: parse, make a configuration, one call, print. Heavy imports happen inside the commands.

Adding a command is a function in one of the files here and its name in ``COMMANDS``.
"""

from topwork.cli import checking, looking, training, using
from topwork.cli.app import app
from topwork.cli.entry import main

__all__ = ["app", "main"]

COMMANDS = (
    training.compare,
    training.train,
    training.demo,
    checking.check,
    using.predict,
    using.export,
    using.serve,
    looking.report,
    looking.show,
    looking.runs,
    looking.models,
    looking.doctor,
)  # in the order of --help
for command in COMMANDS:
    app.command()(command)
for command in (training.worker, training.part):  # what topwork starts itself
    app.command(hidden=True)(command)
