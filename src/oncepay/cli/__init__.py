"""The command ``oncepay``: one group, one line for what went wrong, an exit code that means something.

The modules of this package import click and nothing else of weight before a command runs, so that ``oncepay --help``
answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from oncepay import __version__
from oncepay.cli import (
    accounts,
    apps,
    audit,
    cases,
    doctor,
    endpoints,
    exits,
    keys,
    migrate,
    play,
    restored,
    sandbox,
    serve,
    story,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--debug", is_flag=True, help="Show where an error came from.")
@click.version_option(__version__, prog_name="oncepay", message="%(prog)s %(version)s")
def root(*, debug: bool) -> None:
    """A payment centre: no paid order is ever lost, and no order is ever paid twice and kept.

    Settings come from the environment, ONCEPAY_DATABASE_URL and so on; `oncepay doctor` shows them all.

    \b
    Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 no such thing,
    4 clashes with what is there, 5 not available now, 6 wrong settings or keys.
    """


for command in (
    play.demo,
    play.drill,
    serve.serve,
    serve.work,
    sandbox.sandbox,
    migrate.migrate,
    restored.restored,
    doctor.doctor,
    keys.key,
    apps.app,
    accounts.account,
    endpoints.endpoint,
    story.show,
    story.explain,
    cases.cases,
    audit.audit,
):
    root.add_command(command)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. ``arguments``: without the program's name; None: the process's own."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given[: next((i for i, word in enumerate(given) if not word.startswith("-")), len(given))]
    try:
        code = root.main(args=given, prog_name="oncepay", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return exits.USAGE
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return exits.INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone, and so has the wish to hear more
        return exits.FAILED
    except Exception as error:
        if debug:
            raise
        click.echo(f"oncepay: {exits.sentence(error)}", err=True)
        return exits.code_of(error)
    return code if isinstance(code, int) else exits.OK


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The entry point."""
    sys.exit(run(arguments))
