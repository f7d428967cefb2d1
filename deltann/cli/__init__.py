"""The command line: a thin layer over the Python calls. Modules here import click alone at their top level."""

from __future__ import annotations

import errno
import io
import sys
import traceback
from typing import Any

import click

from deltann.cli.backends import backends
from deltann.cli.bench import bench
from deltann.cli.compare import compare
from deltann.cli.doctor import doctor
from deltann.cli.report import report
from deltann.cli.scoreboard import scoreboard
from deltann.cli.view import view
from deltann.errors import UsageError
from deltann.report.text import printable

INTERRUPTED = 130
BROKEN = 70


class _OneLine(click.ClickException):
    exit_code = 2


class _Commands(click.Group):
    """Turns what a user can cause into one line and its exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UsageError as error:
            raise _OneLine(printable(str(error))) from error
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise _OneLine(
                f"cannot write {error.filename or 'the output'}: {error.strerror}; free some space"
            ) from error
        except KeyboardInterrupt as stop:
            click.echo(f"deltann: {str(stop) or 'interrupted'}", err=True)
            ctx.exit(INTERRUPTED)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception:
            # Python's own code for this is 1, which here says that the environments differ.
            traceback.print_exc()
            ctx.exit(BROKEN)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="deltann", prog_name="deltann")
def main() -> None:
    """Will this model behave the same after I deploy it?

    \b
    Exit codes of compare, bench and report:
      0  the environments agree; bench: none is slower
      1  they differ; bench: one is slower, or its outputs differ
      2  usage or input error
      3  a backend failed: crash, time-out, unsupported, unavailable
      4  inconclusive: these inputs, or these times, could not have told
     70  deltann itself failed: please report what it printed
    130  interrupted

    With --baseline they are about what was accepted: 0 all is as it was then, or better; 1 something is worse, or new
    where CI is set; what is new elsewhere counts as above.
    """
    for stream in (sys.stdout, sys.stderr):
        # A terminal of another encoding gets escapes for what it lacks, not a failure after hours of work.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


for _command in (compare, bench, report, view, scoreboard, backends, doctor):
    main.add_command(_command)
