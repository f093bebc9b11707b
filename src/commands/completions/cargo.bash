
# Completes the program, also a value in the form `--option=value`. Bash splits such a word at the `=`, unless the user has
# removed the `=` from COMP_WORDBREAKS.
_cargo_frostmirror() {
    local cur="$2" prev="$3" prefix=""
    local -i at=COMP_CWORD before=-1
    if [[ $cur == --*=* ]]; then
        prefix="${cur%%=*}="
        prev="${cur%%=*}"
        cur="${cur#*=}"
        before=at
    elif (( at >= 2 )) && [[ ${COMP_WORDS[at]} == = && ${COMP_WORDS[at - 1]} == --* ]]; then
        prev="${COMP_WORDS[at - 1]}"
        cur=""
        before=at-1
    elif (( at >= 3 )) && [[ ${COMP_WORDS[at - 1]} == = && ${COMP_WORDS[at - 2]} == --* ]]; then
        prev="${COMP_WORDS[at - 2]}"
        before=at-2
    fi
    if (( before >= 0 )); then
        # As if the value stood behind a space.
        COMP_WORDS=("${COMP_WORDS[@]:0:before}" "$prev" "$cur")
        COMP_CWORD=$((before + 1))
    fi
    _cargo__frostmirror "$1" "$cur" "$prev"
    [[ -z $prefix ]] || COMPREPLY=("${COMPREPLY[@]/#/$prefix}")
}

# Completes `cargo frostmirror …`, and leaves all other arguments of cargo to the completion that is registered for it.
_cargo_frostmirror_of_cargo() {
    local -i at=1
    [[ ${COMP_WORDS[1]} == +* ]] && at=2
    if (( COMP_CWORD > at )) && [[ ${COMP_WORDS[at]} == frostmirror ]]; then
        COMP_WORDS=(cargo-frostmirror "${COMP_WORDS[@]:at+1}")
        (( COMP_CWORD -= at ))
        compopt -o bashdefault -o default 2>/dev/null
        _cargo_frostmirror cargo-frostmirror "$2" "$3"
        return
    fi
    # bash-completion loads cargo's own completion at the first use.
    if [[ -z $_cargo_frostmirror_next ]]; then
        _cargo_frostmirror_next=none
        { _comp_load cargo || __load_completion cargo; } >/dev/null 2>&1
        _cargo_frostmirror_hook
    fi
    if [[ $_cargo_frostmirror_next != none ]]; then
        "$_cargo_frostmirror_next" "$@"
    elif (( COMP_CWORD == at )); then
        COMPREPLY=($(compgen -W frostmirror -- "$2"))
    fi
}

# Registers the function above for cargo. The function that was registered before is called for everything else.
_cargo_frostmirror_hook() {
    local spec
    spec="$(complete -p cargo 2>/dev/null)"
    if [[ -z $spec ]]; then
        complete -F _cargo_frostmirror_of_cargo -o bashdefault -o default cargo
    elif [[ $spec =~ ' -F '([^ ]+)' ' && ${BASH_REMATCH[1]} != _cargo_frostmirror_of_cargo ]]; then
        _cargo_frostmirror_next=${BASH_REMATCH[1]}
        eval "${spec/ -F $_cargo_frostmirror_next / -F _cargo_frostmirror_of_cargo }"
    fi
}

_cargo_frostmirror_hook
