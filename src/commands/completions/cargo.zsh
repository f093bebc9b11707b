
# Completes `cargo-frostmirror …`. Cargo's own completion calls this function for `cargo frostmirror …`, with `frostmirror` as
# the first word. Where this function is registered for cargo itself, it leaves all other arguments to cargo's completion.
_cargo-frostmirror() {
    if [[ ${words[1]:t} != cargo ]]; then
        _cargo-frostmirror_verbs "$@"
        return
    fi
    local -i at=2
    [[ ${words[2]} == +* ]] && at=3
    if (( CURRENT > at )) && [[ ${words[at]} == frostmirror ]]; then
        shift $(( at - 1 )) words
        (( CURRENT -= at - 1 ))
        _cargo-frostmirror_verbs "$@"
    elif (( $+functions[_cargo] )); then
        _cargo "$@"
    elif (( CURRENT == at )); then
        compadd frostmirror
    else
        _default
    fi
}

if [ "$funcstack[1]" = "_cargo-frostmirror" ]; then
    _cargo-frostmirror "$@"
else
    compdef _cargo-frostmirror cargo-frostmirror
    (( $+_comps[cargo] )) || compdef _cargo-frostmirror cargo
fi
