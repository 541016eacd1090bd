"""Completion in shells: bash cuts words at colons, and Click forgets the line before an option."""

from __future__ import annotations

import os
import re
from typing import Any

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)

__all__ = ["prepare_shells"]

# As Click's, but that the line comes as it was typed, and a folder is followed by no space.
_SOURCE = """\
%(complete_func)s() {
    local IFS=$'\\n'
    local response type value

    response=$(env COMP_LINE="${COMP_LINE:0:$COMP_POINT}" COMP_WORDBREAKS="$COMP_WORDBREAKS" \
%(complete_var)s=bash_complete $1)

    for completion in $response; do
        IFS=',' read -r type value <<< "$completion"

        if [[ $type == 'dir' ]]; then
            COMPREPLY=()
            compopt -o dirnames
        elif [[ $type == 'file' ]]; then
            COMPREPLY=()
            compopt -o default
        elif [[ $type == 'plain' ]]; then
            COMPREPLY+=("$value")
            if [[ $value == */ ]]; then compopt -o nospace; fi
        fi
    done

    return 0
}

%(complete_func)s_setup() {
    complete -o nosort -F %(complete_func)s %(prog_name)s
}

%(complete_func)s_setup;
"""
_BREAKS = ":="
_QUOTES = re.compile(r"['\"]")
_ODD = re.compile(r"((?=[\x00-\x7f])[^\w@%+=:,./-])")


class _Line(ShellComplete):
    """The words of the line are what the context holds, for whoever completes one of them.

    Click takes no argument from a line that ends in an option without its value.
    """

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        self.ctx_args["obj"] = args
        return super().get_completions(args, incomplete)


class _Zsh(_Line, ZshComplete):
    """As Click's."""


class _Fish(_Line, FishComplete):
    """As Click's, but that a name may have a comma in it."""

    source_template = FishComplete.source_template.replace("string split ", "string split -m 1 ")


class _Bash(_Line, BashComplete):
    """Takes the line apart as bash would without its breaks, and says what is behind the last."""

    source_template = _SOURCE

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ.get("COMP_LINE")
        if line is None:  # a script that Click wrote earlier
            return super().get_completion_args()
        words = split_arg_string(line)
        names = (at for at, word in enumerate(words) if os.path.basename(word) == self.prog_name)  # noqa: PTH119
        words = words[next(names, 0) + 1 :]
        is_new = line[-1:].isspace() and not line.endswith("\\ ")
        return (words, "") if is_new or not words else (words[:-1], words[-1])

    def format_completion(self, item: CompletionItem[Any]) -> str:
        value = str(item.value)
        if item.type == "plain" and "COMP_LINE" in os.environ:
            value = value.removeprefix(self._behind())
            value = _ODD.sub(r"\\\1", value)
        return f"{item.type},{value}"

    def _behind(self) -> str:
        """What stands before the part that bash replaces: the word up to its last break."""
        typed = os.environ["COMP_LINE"].split(" ")[-1]
        breaks = [sign for sign in _BREAKS if sign in os.environ.get("COMP_WORDBREAKS", _BREAKS)]
        if _QUOTES.search(typed):
            return ""
        _, incomplete = self.get_completion_args()
        return incomplete[: max((incomplete.rfind(sign) + 1 for sign in breaks), default=0)]


def prepare_shells() -> None:
    """Let Click complete this way."""
    for shell in (_Bash, _Zsh, _Fish):
        add_completion_class(shell)
