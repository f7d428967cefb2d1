"""`deltann doctor`: is this machine ready, and if not, what to do."""

from __future__ import annotations

import click


@click.command()
@click.pass_context
def doctor(ctx: click.Context) -> None:
    """Check this machine: Python, memory, disk, the cache, compilers, and that each installed framework starts."""
    from rich.console import Console

    from deltann.doctor import examine

    console = Console(markup=False, highlight=False)
    healthy = True
    for check in examine():
        console.print(f"{'ok  ' if check.ok else 'FAIL'}  {check.what}: {check.found}", soft_wrap=True)
        if not check.ok:
            healthy = False
            console.print(f"      {check.fix}", soft_wrap=True)
    ctx.exit(0 if healthy else 3)
