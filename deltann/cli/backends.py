"""`deltann backends`: what is installed, and what each takes."""

from __future__ import annotations

import click


@click.group(invoke_without_command=True)
@click.pass_context
def backends(ctx: click.Context) -> None:
    """List the backends, or `show NAME`: its variants, options and devices."""
    if ctx.invoked_subcommand is not None:
        return
    from rich.console import Console
    from rich.table import Table

    from deltann import registry

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("backend", "version", "state", ""):
        table.add_column(column, no_wrap=column == "backend")
    for name in registry.names():
        found = registry.availability(name)
        table.add_row(name, found.version or "-", found.state, found.note or found.summary)
    Console(markup=False, highlight=False).print(table)


@backends.command()
@click.argument("name")
def show(name: str) -> None:
    """Variants, options and devices of the backend NAME."""
    from rich.console import Console
    from rich.table import Table

    from deltann import registry
    from deltann.errors import UsageError

    try:
        backend = registry.get(name)
    except registry.BrokenBackend as error:
        raise UsageError(f"{error}; reinstall the package that brings it") from error
    found = registry.availability(name)
    console = Console(markup=False, highlight=False)
    console.print(f"{name}: {backend.summary}; {found.state} {found.version or found.note}")
    console.print(f"devices: {', '.join(backend.devices())} (the first is the default)")
    variants = Table("variant", "stands for", "what it does", box=None, pad_edge=False, header_style="bold")
    for key, variant in backend.variants.items():
        stands_for = ",".join(f"{k}={v}" for k, v in variant.options.items())
        variants.add_row(f"{name}-{key}", f"[{stands_for}]", variant.help)
    options = Table("option", "takes", "default", "what it does", box=None, pad_edge=False, header_style="bold")
    for key, option in backend.options.items():
        takes = "|".join(option.choices) or {"count": "1, 2, …", "list": "A+B+…", "text": "text"}[option.kind]
        note = " (may change outputs)" if option.numerics else ""
        options.add_row(key, takes, option.default or "-", option.help + note)
    for table in (variants, options):
        if table.row_count:
            console.print()
            console.print(table)
