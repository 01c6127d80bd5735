"""The command line: parse, make a configuration, one call, print. Heavy imports happen inside the commands.

Enters: the arguments of a command; its options come from the fields of the configuration. Leaves: one call in Python, a
printed result and an exit status. Adding a command is a function here and its name in ``COMMANDS``.
"""

from topwork.cli import check, train, use, view
from topwork.cli.app import app
from topwork.cli.entry import main
from topwork.cli.shared_options import SettingsCommand

__all__ = ["app", "main"]

COMMANDS = (
    train.compare,
    train.train,
    train.demo,
    check.check,
    use.predict,
    use.export,
    use.serve,
    view.report,
    view.show,
    view.runs,
    view.models,
    view.doctor,
)  # in the order of --help
for command in COMMANDS:
    app.command(cls=SettingsCommand)(command)
for command in (train.worker,):  # what topwork starts itself
    app.command(hidden=True)(command)
