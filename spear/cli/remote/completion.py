"""Shell completion, made from the parser: it knows whatever the command line knows."""

from argparse import Action, ArgumentParser, _SubParsersAction
from collections.abc import Iterator
from shlex import quote
from typing import NamedTuple

SHELLS = ("bash", "zsh", "fish")
_WALK = """\
        if [ -n "$value" ]; then value=""; continue; fi
        case "$place:$word" in
{deeper}
{valued}
        esac
    done
    if [ -n "$value" ]; then
        case "$value" in
{values}
        esac
    elif [ "${{current#-}}" != "$current" ]; then
        case "$place" in
{options}
        esac
    else
        case "$place" in
{words}
        esac
    fi
"""
_BASH = f"""\
_spear() {{{{
    local word place="" value="" found="" current="${{{{COMP_WORDS[COMP_CWORD]}}}}"
    for word in "${{{{COMP_WORDS[@]:1:COMP_CWORD-1}}}}"; do
{_WALK}\
    COMPREPLY=($(compgen -W "$found" -- "$current"))
}}}}
complete -o bashdefault -o default -F _spear spear
"""
_ZSH = f"""\
#compdef spear
_spear() {{{{
    local word place="" value="" found="" current="${{{{words[CURRENT]}}}}"
    for word in "${{{{(@)words[2,CURRENT-1]}}}}"; do
{_WALK}\
    if [ -n "$found" ]; then compadd -- ${{{{=found}}}}; else _files; fi
}}}}
compdef _spear spear
"""
_FISH = """\
function __spear_complete
    set -l place ""
    set -l value ""
    set -l found
    set -l current (commandline -ct)
    set -l given (commandline -opc)
    set -e given[1]
    for word in $given
        if test -n "$value"
            set value ""
            continue
        end
        switch "$place:$word"
{deeper}
{valued}
        end
    end
    if test -n "$value"
        switch "$value"
{values}
        end
    else if string match -q -- "-*" "$current"
        switch "$place"
{options}
        end
    else
        switch "$place"
{words}
        end
    end
    if test (count $found) -gt 0
        printf "%s\\n" $found
    else
        __fish_complete_path "$current"
    end
end
complete -c spear -f -a "(__spear_complete)"
"""
_TEMPLATES = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
_DEEPER = {"posix": 'place="${place:+$place }$word"', "fish": 'set place (string trim "$place $word")'}
_VALUED = {"posix": 'value="$place:$word"', "fish": 'set value "$place:$word"'}


class _Place(NamedTuple):
    """A command's words so far, and what may follow them."""

    name: str
    words: list[str]
    options: list[Action]


def _places(parser: ArgumentParser, name: str = "") -> Iterator[_Place]:
    arguments = [action for action in parser._actions if not action.option_strings]
    words = [str(word) for action in arguments for word in action.choices or ()]
    yield _Place(name, words, [action for action in parser._actions if action.option_strings])
    for action in arguments:
        if isinstance(action, _SubParsersAction):
            for word, below in action.choices.items():
                yield from _places(below, f"{name} {word}".strip())


def script(shell: str, parser: ArgumentParser) -> str:
    """The script for one of `SHELLS`."""
    kind = "fish" if shell == "fish" else "posix"
    places = list(_places(parser))
    steps = [f"{':' if ' ' not in p.name else ''}{':'.join(p.name.rsplit(' ', 1))}" for p in places if p.name]
    valued = {
        f"{place.name}:{option}": " ".join(map(str, action.choices or ()))
        for place in places for action in place.options if action.nargs != 0 for option in action.option_strings
    }  # fmt: skip
    options = {place.name: " ".join(name for a in place.options for name in a.option_strings) for place in places}
    return _TEMPLATES[shell].format(
        deeper=_branch(kind, steps, _DEEPER[kind]),
        valued=_branch(kind, list(valued), _VALUED[kind]),
        values=_answers(kind, valued),
        options=_answers(kind, options),
        words=_answers(kind, {place.name: " ".join(place.words) for place in places}),
    )


def _branch(kind: str, patterns: list[str], does: str) -> str:
    if kind == "fish":
        return f"        case {' '.join(map(quote, patterns))}\n            {does}"
    return f"        {'|'.join(map(quote, patterns))}) {does} ;;"


def _answers(kind: str, words: dict[str, str]) -> str:
    say = "set found {}" if kind == "fish" else 'found="{}"'
    return "\n".join(_branch(kind, [name], say.format(found)) for name, found in words.items() if found)
