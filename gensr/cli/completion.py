"""Completion of sub-commands, keys, values, generator names and files in bash, zsh and fish.

The scripts only ask ``gensr __complete WORD...`` (the last word is the one under the cursor). Its first line says what
the shell should add: ``none``, ``files`` or ``dirs``; the other lines are candidates for the whole word.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from gensr import registry
from gensr.cli.commands import COMMANDS
from gensr.cli.console import DONE, Console
from gensr.cli.domains import option_names
from gensr.cli.keys import KEYS, Key
from gensr.cli.models_keys import ACTIONS as MODELS
from gensr.errors import UsageError, nearest

BASH = r"""
_gensr() {
    local IFS=$'\n' line="${COMP_LINE:0:COMP_POINT}" piece glue=1 word shown candidate file
    local -a words reply found
    # bash splits words at = and : and replaces only what follows; put them together again
    for piece in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
        if [[ "$piece" == [=:]* && ${#words[@]} -gt 0 ]]; then
            words[${#words[@]}-1]+="$piece"; glue=0
        elif [[ $glue == 0 && ! ( -z "$piece" && "$line" == *' ' ) ]]; then
            words[${#words[@]}-1]+="$piece"; glue=1
        else
            words+=("$piece"); glue=1
        fi
    done
    word="${words[${#words[@]}-1]}"
    shown="${word%"${word##*[=:]}"}"
    file="${word#"$shown"}"
    mapfile -t reply < <(gensr __complete "${words[@]:1}" 2>/dev/null)
    COMPREPLY=()
    for candidate in "${reply[@]:1}"; do
        [[ "$candidate" == "$word"* ]] && COMPREPLY+=("${candidate#"$shown"}")
    done
    [[ ${#COMPREPLY[@]} == 1 && "${COMPREPLY[0]}" =~ [=.:]$ ]] && compopt -o nospace
    case "${reply[0]}" in
        files) found=($(compgen -f -- "${file//\\/}")) ;;
        dirs) found=($(compgen -d -- "${file//\\/}")) ;;
    esac
    [[ ${#found[@]} == 0 ]] && return
    if [[ ${#COMPREPLY[@]} == 0 ]]; then
        compopt -o filenames +o nospace
        COMPREPLY=("${found[@]}")
    else
        # keys and files together: -o filenames would also quote the = of keys
        for candidate in "${found[@]}"; do COMPREPLY+=("$(printf %q "$candidate")"); done
    fi
}
complete -F _gensr gensr
"""

ZSH = r"""
#compdef gensr
_gensr() {
    local -a reply open whole
    reply=("${(@f)$(gensr __complete "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
    local candidate
    for candidate in "${(@)reply[2,-1]}"; do
        [[ -z "$candidate" ]] && continue
        if [[ "$candidate" == *[=.:] ]]; then open+=("$candidate"); else whole+=("$candidate"); fi
    done
    (( $#open )) && compadd -S '' -- "${open[@]}"
    (( $#whole )) && compadd -- "${whole[@]}"
    if [[ "$PREFIX" == *=* ]]; then compset -P '*='; fi
    case "${reply[1]}" in
        files) _files ;;
        dirs) _files -/ ;;
    esac
}
if [[ "$funcstack[1]" == _gensr ]]; then _gensr "$@"; else compdef _gensr gensr; fi
"""

FISH = r"""
function __gensr_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l reply (gensr __complete $words[2..-1] 2>/dev/null)
    set -l word (commandline -ct)
    set -l start (string replace -r '[^=]*$' '' -- $word)
    string join \n -- $reply[2..-1]
    switch "$reply[1]"
        case files
            for path in (__fish_complete_path (string replace -- "$start" '' $word))
                echo "$start$path"
            end
        case dirs
            for path in (__fish_complete_directories (string replace -- "$start" '' $word))
                echo "$start$path"
            end
    end
end
complete -c gensr -f -a '(__gensr_complete)'
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}

HELP = """\
usage: gensr completion bash|zsh|fish

Prints a completion script. To switch it on:
  bash   echo 'eval "$(gensr completion bash)"' >> ~/.bashrc
  zsh    echo 'eval "$(gensr completion zsh)"' >> ~/.zshrc      (after compinit)
  fish   gensr completion fish > ~/.config/fish/completions/gensr.fish"""

ACTIONS = {"models": tuple(MODELS), "completion": tuple(SCRIPTS)}
SWITCHES = {
    "upsample": ("--config", "--config-dir", "--cfg", "--i-understand", "--multirun"),
    "deblur": ("--config-dir", "--cfg"),
    "info": ("--config-dir",),
    "check": ("--config-dir",),
}


def run(argv: Sequence[str], console: Console) -> int:
    """Print the script of a shell.

    Args:
        argv: the name of the shell.
        console: where to print.

    Returns:
        The exit code.
    """
    shell = argv[0] if argv else ""
    if shell in ("", "-h", "--help"):
        console.say(HELP)
        return DONE
    if shell not in SCRIPTS:
        raise UsageError(f"no completion for {shell!r}{nearest(shell, SCRIPTS) or ';'} shells: {', '.join(SCRIPTS)}")
    console.say(SCRIPTS[shell].strip())
    return DONE


def answer(words: Sequence[str], console: Console) -> int:
    """Print the candidates for the last word of a command line."""
    kind, candidates = complete(words or [""])
    console.say("\n".join([kind, *candidates]))
    return DONE


def complete(words: Sequence[str]) -> tuple[str, list[str]]:
    """What may stand in the place of the last word.

    Args:
        words: those after ``gensr``, the one under the cursor last.

    Returns:
        What the shell should add ("none", "files" or "dirs"), and candidates.
    """
    command, word = words[0], words[-1]
    if len(words) == 1:
        kind, found = "none", [*_commands(), "--help", "--version"]
    elif command in ACTIONS and (len(words) == 2 or command == "completion"):
        kind, found = "none", list(ACTIONS[command])
    elif command == "models":
        kind, found = _models(words[1], word)
    elif command == "train":
        kind, found = _train(words)
    elif command in KEYS:
        kind, found = _keys(command, words)
    elif command == "calibrate":
        kind, found = _calibrate(word)
    else:
        kind, found = "files", []
    return kind, [candidate for candidate in found if candidate.startswith(word)]


def _commands() -> list[str]:
    return [*COMMANDS, *registry.names("commands")]


def _train(words: Sequence[str]) -> tuple[str, list[str]]:
    word, converted = words[-1], registry.names("foreign")
    families = [name for name in registry.names("generators") if name not in converted]  # those are not trained
    if word.startswith("generator="):
        return "none", [f"generator={name}" for name in families]
    if "=" in word:
        return "files", []
    named = [w.removeprefix("generator=") for w in words if w.startswith("generator=")]
    if not named or named[-1] not in families:
        return "none", ["generator="]
    from gensr.cli.train import trainer

    return "none", [f"{key}=" for key in trainer(named[-1]).train_options]


def _models(action: str, word: str) -> tuple[str, list[str]]:
    known = {key.name: key for key in MODELS.get(action, ())}
    name, sign, _ = word.partition("=")
    if sign:
        key = known.get(name)
        return (key.files or "none", [f"{name}={value}" for value in key.choices()]) if key else ("none", [])
    return "files", [*generator_names(), *(f"{key}=" for key in known)]


def _calibrate(word: str) -> tuple[str, list[str]]:
    from gensr.cli.calibrate_keys import KEYS as known

    name, sign, _ = word.partition("=")
    if not sign:
        return "none", [*(f"{key}=" for key in known), "--help", "--traceback"]
    if name not in known:
        return "none", []
    return known[name].files or "none", [f"{name}={value}" for value in _values(known[name])]


def _keys(command: str, words: Sequence[str]) -> tuple[str, list[str]]:
    keys, word = KEYS[command], words[-1]
    name, sign, _ = word.partition("=")
    if name.startswith("domain.") and not sign:
        return "none", [f"domain.{option}=" for option in _options(words)]
    if sign and name in keys:
        return keys[name].files or "none", [f"{name}={value}" for value in _values(keys[name])]
    if sign or word.startswith("-"):
        return ("files", []) if sign else ("none", ["--help", "--traceback", *SWITCHES.get(command, ())])
    if words[-2] in ("--config-dir", "--config"):
        return "dirs" if words[-2] == "--config-dir" else "files", []
    groups = [f"{group}." for group in ("domain", "runtime") if group in keys]
    return "files", [*(f"{key}=" for key in keys), *groups]


def _values(key: Key) -> list[str]:
    if key.name == "generator":
        return generator_names()
    if key.name in ("search", "runtime"):
        names = {e.name.removesuffix(".yaml") for e in files("gensr.conf").joinpath(key.name).iterdir()}
        return sorted(names | set(key.choices()))
    return list(key.choices())


def _options(words: Sequence[str]) -> list[str]:
    """Options of the domain that the line names, or of all."""
    known = option_names()
    named = [word.removeprefix("domain=") for word in words if word.startswith("domain=")]
    chosen = [known[name] for name in named if name in known] or list(known.values())
    return sorted({option for options in chosen for option in options})


def generator_names() -> list[str]:
    """Installed generators by the names of their files; no file is opened and torch is not imported."""
    home = os.environ.get("GENSR_HOME")
    own = Path(home) if home else Path.home() / ".local" / "share" / "gensr"
    found = [p for folder in [*registry.weight_folders(), own] for p in folder.glob("*.safetensors")]
    return sorted({p.name.removesuffix(".safetensors") for p in found})
