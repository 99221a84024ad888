"""`dagc completion SHELL`: the script that completes commands, options and names in a shell."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    r"""Print the completion script of a SHELL: it completes commands, options, models, devices, engines and codes.

    \b
    To install it, load the script when the shell starts:
      bash   dagc completion bash > ~/.dagc-complete.bash
             echo '. ~/.dagc-complete.bash' >> ~/.bashrc
      zsh    dagc completion zsh > ~/.dagc-complete.zsh
             echo '. ~/.dagc-complete.zsh' >> ~/.zshrc    (after compinit)
      fish   dagc completion fish > ~/.config/fish/completions/dagc.fish

    In the shell at hand, try it with: eval "$(dagc completion bash)". Bash 4.4 or later is needed.
    """
    from click.shell_completion import ShellComplete, get_completion_class

    from dagc.cli.main import main

    found = get_completion_class(shell)
    if found is None:
        raise AssertionError(f"click has no completion for {shell}")
    # Not by the source() of the class: that of bash starts a bash, to look at its version.
    click.echo(ShellComplete.source(found(main, {}, "dagc", "_DAGC_COMPLETE")))
