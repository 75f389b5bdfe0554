"""`hawkeye completion bash|zsh`: a script that completes subcommands, options and their values; else file names."""

from __future__ import annotations

import argparse

_BASH = """\
_hawkeye() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" previous="${{COMP_WORDS[COMP_CWORD-1]}}"
    local command="${{COMP_WORDS[1]}}" words=""
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="{commands}"
    else
        case "$command $previous" in
{values}
        esac
        if [ -z "$words" ]; then
            case "$command" in
{options}
            esac
        fi
    fi
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    # Subcommands' other words are files, which the shell completes itself.
    [ ${{#COMPREPLY[@]}} -gt 0 ] || compopt -o default 2>/dev/null || true
}}
complete -F _hawkeye hawkeye
"""

_ZSH = "autoload -U +X bashcompinit && bashcompinit\nautoload -U +X compinit && compinit -u\n"


def completion_script(grammar: argparse.ArgumentParser, shell: str) -> str:
    """The script for a shell, from the grammar of the command itself.

    Args:
        grammar: whose subcommands are completed.
        shell: "bash", or "zsh", which reads the same script.
    """
    commands = _subcommands(grammar)
    values, options = [], []
    for name, command in commands.items():
        words = [*_subcommands(command)]
        for action in _all_actions(command):
            words += [text for text in action.option_strings if text.startswith("--")]
            if action.choices is not None and action.option_strings:
                for text in action.option_strings:
                    values.append(f'            "{name} {text}") words="{" ".join(map(str, action.choices))}" ;;')
            elif action.choices is not None and not isinstance(action, argparse._SubParsersAction):
                words += map(str, action.choices)
        options.append(f'                {name}) words="{" ".join(dict.fromkeys(words))}" ;;')
    script = _BASH.format(
        commands=" ".join([*commands, "--help", "--version"]), values="\n".join(values), options="\n".join(options)
    )
    return script if shell == "bash" else _ZSH + script


def _subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _all_actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """A subcommand's actions and those of its own subcommands."""
    return [*parser._actions, *(each for child in _subcommands(parser).values() for each in child._actions)]
