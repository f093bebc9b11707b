
# Completes `cargo frostmirror …` in addition to cargo's own completions.
function __fish_cargo_frostmirror_of_cargo
    set -l tokens (commandline -opc)
    set -e tokens[1]
    if string match -q -- '+*' $tokens[1]
        set -e tokens[1]
    end
    test "$tokens[1]" = frostmirror
    or return 1
    set -e tokens[1]
    if set -q argv[1]
        set -l line cargo-frostmirror (string escape -- $tokens) (commandline -ct)
        complete -C "$line"
    end
end

function __fish_cargo_frostmirror_is_next
    set -l tokens (commandline -opc)
    test (count $tokens) -eq 1
    or begin
        test (count $tokens) -eq 2
        and string match -q -- '+*' $tokens[2]
    end
end

complete -c cargo -n __fish_cargo_frostmirror_is_next -f -a frostmirror -d 'Bring Rust across an air gap'
complete -c cargo -n __fish_cargo_frostmirror_of_cargo -f -a '(__fish_cargo_frostmirror_of_cargo complete)'
