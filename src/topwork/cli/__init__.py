"""The command line: one call in Python per command. Heavy imports are inside the commands.

Enters: the arguments of a command; its options come from the fields of the configuration. Leaves: one call in Python, a
printed result and an exit status. Adding a command is a function here and its name in ``COMMANDS``.
"""

from topwork.cli import stored, train, use, view
from topwork.cli.app import SettingsCommand, app
from topwork.cli.entry import main

__all__ = ["app", "main"]

COMMANDS = (
    train.compare,
    train.train,
    train.demo,
    view.check,
    use.predict,
    use.export,
    use.serve,
    view.report,
    view.show,
    stored.runs,
    stored.cache,
    view.models,
    view.doctor,
)  # in the order of --help
for command in COMMANDS:
    app.command(cls=SettingsCommand)(command)
app.command(hidden=True)(train.worker)  # topwork starts it itself
