"""churn library: change the vendored release, compare releases, verify by a rebuild."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()
library = typer.Typer(no_args_is_help=True, help="The vendored library: upgrade, diff, verify.")
app.add_typer(library, name="library")


@library.command("upgrade")
def upgrade_command(
    wheel: Annotated[Path, typer.Argument(help="The wheel of the new release.")],
    allow_older: Annotated[
        bool, typer.Option("--allow-older", help="Allow an older or the same version.")
    ] = False,
    lock: Annotated[
        bool, typer.Option("--lock", help="Leave the locks to `make lock`, for new requirements.")
    ] = False,
) -> None:
    """Put another release of sovereign-ml into vendor/ and its version and hash into the locks."""
    from sovereign_ml.supply_chain.upgrade import upgrade

    changed = upgrade(Path.cwd(), wheel, allow_older=allow_older, relock=lock)
    if not changed:
        typer.echo(f"{wheel.name} is in place already.")
        return
    for path in changed:
        action = "wrote" if path.exists() else "removed"
        typer.echo(f"{action} {path.relative_to(Path.cwd())}")
    typer.echo("Next: `make lock`." if lock else "Next: `make setup`, then `make run test`.")


@library.command("diff")
def vendor_diff_command(
    new: Annotated[Path, typer.Argument(help="The wheel to compare with the one in vendor/.")],
    old: Annotated[Path | None, typer.Option(help="Another wheel than that in vendor/.")] = None,
) -> None:
    """Show how a wheel differs from the one in vendor/, as a unified diff."""
    from sovereign_ml.supply_chain.upgrade import vendored
    from sovereign_ml.supply_chain.wheel import difference

    typer.echo(difference(old or vendored(Path.cwd()), new).text())


@library.command("verify")
def vendor_verify_command(
    source: Annotated[str, typer.Argument(help="Path or git address of the template.")],
    wheel: Annotated[Path | None, typer.Option(help="Another wheel than that in vendor/.")] = None,
) -> None:
    """Build the vendored release again from its tag, and compare the hash."""
    from sovereign_ml.errors import Refused
    from sovereign_ml.supply_chain.upgrade import rebuild_matches, vendored
    from sovereign_ml.supply_chain.vulnerabilities import without_password

    path = wheel or vendored(Path.cwd())
    result = rebuild_matches(path, source)
    source = without_password(source)
    if result.matches:
        typer.echo(
            f"{path.name} is what v{result.version} of {source} builds: sha256 "
            f"{result.expected_sha256}"
        )
    elif result.differing:
        raise Refused(
            f"{path.name} is not what v{result.version} of {source} builds: "
            f"{', '.join(result.differing[:5])} differ. Look with `churn library diff`."
        )
    else:
        raise Refused(
            f"{path.name} holds the same files as a build of v{result.version}, compressed by "
            "another zlib: the hash can be compared only with the zlib of the release."
        )
