# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_cargo_frostmirror_global_optspecs
    string join \n v/verbose q/quiet color= message-format= h/help V/version
end

function __fish_cargo_frostmirror_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_cargo_frostmirror_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_cargo_frostmirror_using_subcommand
    set -l cmd (__fish_cargo_frostmirror_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -l message-format -d 'How to report: for people, or one JSON object a line on stdout' -r -f -a "human\t'Lines and bars'
json\t'One JSON object a line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -s v -l verbose -d 'Say more (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -s q -l quiet -d 'Say nothing but errors'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -s V -l version -d 'Print version'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "init" -d 'Write depends.toml from a workspace'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "fetch" -d 'Resolve, download, and write one .pkg'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "verify" -d 'Check bundles: every entry, every problem'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "inspect" -d 'Show what a bundle\'s manifest says'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "import" -d 'Verify bundles and place them in a mirror, all or nothing'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "serve" -d 'Serve a mirror to cargo'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "up" -d 'Fetch, import and serve on this machine'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "status" -d 'Say what a mirror holds'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "setup" -d 'Print or write cargo\'s configuration for a mirror'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "completions" -d 'Print a completion script'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "man" -d 'Print the man page, or write all of them into a folder'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand init" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand init" -l message-format -d 'How to report: for people, or one JSON object a line on stdout' -r -f -a "human\t'Lines and bars'
json\t'One JSON object a line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand init" -s v -l verbose -d 'Say more (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand init" -s q -l quiet -d 'Say nothing but errors'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l message-format -d 'How to report: for people, or one JSON object a line on stdout' -r -f -a "human\t'Lines and bars'
json\t'One JSON object a line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -s v -l verbose -d 'Say more (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -s q -l quiet -d 'Say nothing but errors'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand verify" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand verify" -l message-format -d 'How to report: for people, or one JSON object a line on stdout' -r -f -a "human\t'Lines and bars'
json\t'One JSON object a line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand verify" -s v -l verbose -d 'Say more (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand verify" -s q -l quiet -d 'Say nothing but errors'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand inspect" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand inspect" -l message-format -d 'How to report: for people, or one JSON object a line on stdout' -r -f -a "human\t'Lines and bars'
json\t'One JSON object a line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand inspect" -s v -l verbose -d 'Say more (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand inspect" -s q -l quiet -d 'Say nothing but errors'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand inspect" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand import" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand import" -l message-format -d 'How to report: for people, or one JSON object a line on stdout' -r -f -a "human\t'Lines and bars'
json\t'One JSON object a line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand import" -s v -l verbose -d 'Say more (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand import" -s q -l quiet -d 'Say nothing but errors'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand import" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l message-format -d 'How to report: for people, or one JSON object a line on stdout' -r -f -a "human\t'Lines and bars'
json\t'One JSON object a line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -s v -l verbose -d 'Say more (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -s q -l quiet -d 'Say nothing but errors'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -l message-format -d 'How to report: for people, or one JSON object a line on stdout' -r -f -a "human\t'Lines and bars'
json\t'One JSON object a line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -s v -l verbose -d 'Say more (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -s q -l quiet -d 'Say nothing but errors'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand status" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand status" -l message-format -d 'How to report: for people, or one JSON object a line on stdout' -r -f -a "human\t'Lines and bars'
json\t'One JSON object a line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand status" -s v -l verbose -d 'Say more (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand status" -s q -l quiet -d 'Say nothing but errors'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -l message-format -d 'How to report: for people, or one JSON object a line on stdout' -r -f -a "human\t'Lines and bars'
json\t'One JSON object a line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -s v -l verbose -d 'Say more (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -s q -l quiet -d 'Say nothing but errors'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand completions" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand completions" -l message-format -d 'How to report: for people, or one JSON object a line on stdout' -r -f -a "human\t'Lines and bars'
json\t'One JSON object a line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand completions" -s v -l verbose -d 'Say more (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand completions" -s q -l quiet -d 'Say nothing but errors'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand man" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand man" -l message-format -d 'How to report: for people, or one JSON object a line on stdout' -r -f -a "human\t'Lines and bars'
json\t'One JSON object a line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand man" -s v -l verbose -d 'Say more (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand man" -s q -l quiet -d 'Say nothing but errors'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand man" -s h -l help -d 'Print help (see more with \'--help\')'
