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

complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -l color -d 'When to use colors' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -l message-format -d 'Format of reports' -r -f -a "human\t'Data on stdout, reports and progress bars on stderr'
json\t'One JSON object per line on stdout'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -s v -l verbose -d 'Name each crate and file (-v), and each HTTP request (-vv)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -s V -l version -d 'Print version'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "init" -d 'Write depends.toml from a workspace'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "fetch" -d 'Resolve and download what projects need, and write one .pkg'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "verify" -d 'Check bundles, a mirror, or whether a Cargo.lock builds from them'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "inspect" -d 'Show a bundle\'s manifest without reading its payload'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "diff" -d 'Compare two bundles'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "import" -d 'Verify bundles and import them into a mirror, all or nothing'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "serve" -d 'Serve a mirror to cargo, rustup and a browser'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "up" -d 'Fetch, import and serve for this machine alone'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "status" -d 'Show what a mirror contains'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "list" -d 'List the crates of a mirror or a bundle'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "gc" -d 'Remove files from a mirror that no history needs'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "history" -d 'List inputs and sent bundles; forget or label an input'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "export" -d 'Export a mirror as one .pkg, or its crates as a cargo source'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "setup" -d 'Print or write cargo\'s and rustup\'s configuration for a mirror'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "guide" -d 'Print a chapter of the user\'s guide'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "completions" -d 'Print a completion script for a shell'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "man" -d 'Print a man page, or write all of them into a folder'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "help" -d 'Print the help of a verb, or a topic'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand init" -l manifest-path -d 'Cargo.toml of a workspace to list (repeatable)' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand init" -l from -d 'Source' -r -f -a "lock\t'Every crates.io package of Cargo.lock, as `[locked]`'
direct\t'The members\' own requirements with their features, as `[dependencies]`'
both\t'Both'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand init" -s o -l output -d 'Output file [default: depends.toml in the workspace root]' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand init" -l color -d 'When to use colors' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand init" -l message-format -d 'Format of reports' -r -f -a "human\t'Data on stdout, reports and progress bars on stderr'
json\t'One JSON object per line on stdout'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand init" -l update -d 'Update `[locked]` in the existing file, and keep the rest'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand init" -l force -d 'Replace the existing file'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand init" -s v -l verbose -d 'Name each crate and file (-v), and each HTTP request (-vv)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand init" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -s c -l config -d 'Dependency list [default: depends.toml, else Cargo.lock]' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l manifest-path -d 'Workspace to fetch, by its Cargo.toml' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l lockfile -d 'Cargo.lock to fetch exactly (repeatable)' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l crate -d 'Crate or tool to fetch (repeatable)' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l from-list -d 'Repair list to fetch, from `verify --repair-list`' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l label -d 'Label [default: its package, folder or crate]' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l forget -d 'Input of the history to retire (repeatable)' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l skip-registry -d 'Leave this alternate registry out (repeatable)' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l target -d 'Target to fetch toolchains for (repeatable)' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l toolchain -d 'Not supported; its error says where to name toolchains' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l base -d 'Last bundle before the first lost one' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -s o -l output -d 'Folder for the bundle' -r -f -a "(__fish_complete_directories)"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l base-url -d 'Mirror\'s URL for clients' -r -f
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l reuse -d 'Older mirror or bundle to take files from (repeatable)' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -s j -l jobs -d 'Parallel requests [default: 128 with HTTP/2, else 8]' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l color -d 'When to use colors' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l message-format -d 'Format of reports' -r -f -a "human\t'Data on stdout, reports and progress bars on stderr'
json\t'One JSON object per line on stdout'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l skip-git -d 'Leave git dependencies out'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l no-toolchain -d 'Leave toolchains out of this bundle'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l drop-toolchains -d 'Retire earlier toolchains, and fetch none'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l incremental -d 'Write a delta: only files that earlier bundles lack'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l dry-run -d 'Print the downloads and their sizes; write nothing'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l offline -d 'Use only the caches; send no request'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -s v -l verbose -d 'Name each crate and file (-v), and each HTTP request (-vv)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand verify" -l mirror -d 'Mirror to audit' -r -f -a "(__fish_complete_directories)"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand verify" -l closure -d 'Cargo.lock to check: can the bundles or the mirror build it?' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand verify" -l repair-list -d 'Write the files to fetch again, for `fetch --from-list`' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand verify" -l lock-timeout -d 'Seconds to wait for the mirror\'s lock' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand verify" -l color -d 'When to use colors' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand verify" -l message-format -d 'Format of reports' -r -f -a "human\t'Data on stdout, reports and progress bars on stderr'
json\t'One JSON object per line on stdout'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand verify" -l rebuild-state -d 'Rebuild lost or damaged records from the mirror\'s files'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand verify" -s v -l verbose -d 'Name each crate and file (-v), and each HTTP request (-vv)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand verify" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand inspect" -l format -d 'Output format' -r -f -a "text\t'Text'
json\t'JSON with all fields'
cyclonedx\t'Software bill of materials, CycloneDX 1.5 in JSON'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand inspect" -l color -d 'When to use colors' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand inspect" -l message-format -d 'Format of reports' -r -f -a "human\t'Data on stdout, reports and progress bars on stderr'
json\t'One JSON object per line on stdout'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand inspect" -s v -l verbose -d 'Name each crate and file (-v), and each HTTP request (-vv)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand inspect" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand inspect" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand diff" -l format -d 'Output format' -r -f -a "text\t'Text'
json\t'JSON with all fields'
cyclonedx\t'Software bill of materials, CycloneDX 1.5 in JSON'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand diff" -l color -d 'When to use colors' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand diff" -l message-format -d 'Format of reports' -r -f -a "human\t'Data on stdout, reports and progress bars on stderr'
json\t'One JSON object per line on stdout'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand diff" -s v -l verbose -d 'Name each crate and file (-v), and each HTTP request (-vv)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand diff" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand diff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand import" -l mirror -d 'Mirror [default: /mirror, else ~/.frostmirror/mirror]' -r -f -a "(__fish_complete_directories)"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand import" -l config-dir -d 'Snapshot\'s settings [default: /config, else ~/.frostmirror/config]' -r -f -a "(__fish_complete_directories)"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand import" -l base-url -d 'Base URL of a static web server; writes index/config.json' -r -f
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand import" -l lock-timeout -d 'Seconds to wait for the mirror\'s lock' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand import" -l color -d 'When to use colors' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand import" -l message-format -d 'Format of reports' -r -f -a "human\t'Data on stdout, reports and progress bars on stderr'
json\t'One JSON object per line on stdout'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand import" -s v -l verbose -d 'Name each crate and file (-v), and each HTTP request (-vv)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand import" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand import" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l bind -d 'Listening address; port 0 picks a free port [default: 0.0.0.0:8080]' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l base-url -d 'Base URL of clients behind a proxy [default: each request\'s Host]' -r -f
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l mirror -d 'Mirror [default: /mirror, else ~/.frostmirror/mirror]' -r -f -a "(__fish_complete_directories)"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l incoming -d 'Incoming folder [default: /incoming, else ~/.frostmirror/incoming]' -r -f -a "(__fish_complete_directories)"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l config-dir -d 'Folder of settings [default: /config, else ~/.frostmirror/config]' -r -f -a "(__fish_complete_directories)"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l log-format -d 'Log format on stderr [default: text]' -r -f -a "text\t''
json\t''"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l admin-token -d 'Token required for write requests' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l admin-token-file -d 'File with the admin token' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l tls-cert -d 'TLS certificate chain (PEM); needs --tls-key' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l tls-key -d 'Private key (PEM) of --tls-cert' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l color -d 'When to use colors' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l message-format -d 'Format of reports' -r -f -a "human\t'Data on stdout, reports and progress bars on stderr'
json\t'One JSON object per line on stdout'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l watch-incoming -d 'Import bundles that appear in the incoming folder'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l live -d 'Live mode: fetch requested files that the mirror lacks'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l offline -d 'Send no request to upstream; live mode stays off'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -s v -l verbose -d 'Name each crate and file (-v), and each HTTP request (-vv)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -s c -l config -d 'Dependency list [default: depends.toml, else Cargo.lock]' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -l manifest-path -d 'Workspace to mirror, by its Cargo.toml' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -l lockfile -d 'Cargo.lock to mirror exactly (repeatable)' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -l bind -d 'Listening address; port 0 picks a free port' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -l label -d 'Label of the input [default: its package or folder]' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -l color -d 'When to use colors' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -l message-format -d 'Format of reports' -r -f -a "human\t'Data on stdout, reports and progress bars on stderr'
json\t'One JSON object per line on stdout'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -l offline -d 'Use only the caches; send no request'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -s v -l verbose -d 'Name each crate and file (-v), and each HTTP request (-vv)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand status" -l mirror -d 'Mirror [default: /mirror, else ~/.frostmirror/mirror]' -r -f -a "(__fish_complete_directories)"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand status" -l color -d 'When to use colors' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand status" -l message-format -d 'Format of reports' -r -f -a "human\t'Data on stdout, reports and progress bars on stderr'
json\t'One JSON object per line on stdout'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand status" -s v -l verbose -d 'Name each crate and file (-v), and each HTTP request (-vv)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand status" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand list" -l mirror -d 'Mirror to list [default: /mirror, else ~/.frostmirror/mirror]' -r -f -a "(__fish_complete_directories)"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand list" -l color -d 'When to use colors' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand list" -l message-format -d 'Format of reports' -r -f -a "human\t'Data on stdout, reports and progress bars on stderr'
json\t'One JSON object per line on stdout'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand list" -s v -l verbose -d 'Name each crate and file (-v), and each HTTP request (-vv)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand list" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand gc" -l mirror -d 'Mirror [default: /mirror, else ~/.frostmirror/mirror]' -r -f -a "(__fish_complete_directories)"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand gc" -l grace -d 'Grace period, such as 0, 90s, 2h or 7d' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand gc" -l forget -d 'Lineage to forget, by ID or prefix (repeatable)' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand gc" -l accept -d 'Doubtful lineage whose newest bundle to accept (repeatable)' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand gc" -l reject -d 'False bundle, which the sender did not write (repeatable)' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand gc" -l lock-timeout -d 'Seconds to wait for the mirror\'s lock' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand gc" -l color -d 'When to use colors' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand gc" -l message-format -d 'Format of reports' -r -f -a "human\t'Data on stdout, reports and progress bars on stderr'
json\t'One JSON object per line on stdout'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand gc" -l dry-run -d 'Print the plan, and remove nothing'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand gc" -s v -l verbose -d 'Name each crate and file (-v), and each HTTP request (-vv)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand gc" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand gc" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and not __fish_seen_subcommand_from list forget label" -l color -d 'When to use colors' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and not __fish_seen_subcommand_from list forget label" -l message-format -d 'Format of reports' -r -f -a "human\t'Data on stdout, reports and progress bars on stderr'
json\t'One JSON object per line on stdout'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and not __fish_seen_subcommand_from list forget label" -s v -l verbose -d 'Name each crate and file (-v), and each HTTP request (-vv)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and not __fish_seen_subcommand_from list forget label" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and not __fish_seen_subcommand_from list forget label" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and not __fish_seen_subcommand_from list forget label" -f -a "list" -d 'List the inputs and the sent bundles (the default)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and not __fish_seen_subcommand_from list forget label" -f -a "forget" -d 'Forget an input; the next bundle no longer needs its files'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and not __fish_seen_subcommand_from list forget label" -f -a "label" -d 'Give an input another label'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from list" -l color -d 'When to use colors' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from list" -l message-format -d 'Format of reports' -r -f -a "human\t'Data on stdout, reports and progress bars on stderr'
json\t'One JSON object per line on stdout'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Name each crate and file (-v), and each HTTP request (-vv)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from forget" -l color -d 'When to use colors' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from forget" -l message-format -d 'Format of reports' -r -f -a "human\t'Data on stdout, reports and progress bars on stderr'
json\t'One JSON object per line on stdout'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from forget" -s v -l verbose -d 'Name each crate and file (-v), and each HTTP request (-vv)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from forget" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from forget" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from label" -l color -d 'When to use colors' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from label" -l message-format -d 'Format of reports' -r -f -a "human\t'Data on stdout, reports and progress bars on stderr'
json\t'One JSON object per line on stdout'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from label" -s v -l verbose -d 'Name each crate and file (-v), and each HTTP request (-vv)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from label" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from label" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and not __fish_seen_subcommand_from snapshot local-registry vendor" -l color -d 'When to use colors' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and not __fish_seen_subcommand_from snapshot local-registry vendor" -l message-format -d 'Format of reports' -r -f -a "human\t'Data on stdout, reports and progress bars on stderr'
json\t'One JSON object per line on stdout'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and not __fish_seen_subcommand_from snapshot local-registry vendor" -s v -l verbose -d 'Name each crate and file (-v), and each HTTP request (-vv)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and not __fish_seen_subcommand_from snapshot local-registry vendor" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and not __fish_seen_subcommand_from snapshot local-registry vendor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and not __fish_seen_subcommand_from snapshot local-registry vendor" -f -a "snapshot" -d 'Write the whole mirror and its settings as one .pkg'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and not __fish_seen_subcommand_from snapshot local-registry vendor" -f -a "local-registry" -d 'Write the .crate files and the index as cargo\'s `local-registry`'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and not __fish_seen_subcommand_from snapshot local-registry vendor" -f -a "vendor" -d 'Unpack every crate as cargo\'s `directory` source'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from snapshot" -s o -l output -d 'Folder for the bundle, snapshot-YYYYMMDD-HHMM.pkg' -r -f -a "(__fish_complete_directories)"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from snapshot" -l config-dir -d 'Folder of settings [default: /config, else ~/.frostmirror/config]' -r -f -a "(__fish_complete_directories)"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from snapshot" -l mirror -d 'Mirror to export [default: /mirror, else ~/.frostmirror/mirror]' -r -f -a "(__fish_complete_directories)"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from snapshot" -l lock-timeout -d 'Seconds to wait for the mirror\'s lock' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from snapshot" -l color -d 'When to use colors' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from snapshot" -l message-format -d 'Format of reports' -r -f -a "human\t'Data on stdout, reports and progress bars on stderr'
json\t'One JSON object per line on stdout'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from snapshot" -s v -l verbose -d 'Name each crate and file (-v), and each HTTP request (-vv)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from snapshot" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from snapshot" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from local-registry" -l mirror -d 'Mirror to export [default: /mirror, else ~/.frostmirror/mirror]' -r -f -a "(__fish_complete_directories)"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from local-registry" -l lock-timeout -d 'Seconds to wait for the mirror\'s lock' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from local-registry" -l color -d 'When to use colors' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from local-registry" -l message-format -d 'Format of reports' -r -f -a "human\t'Data on stdout, reports and progress bars on stderr'
json\t'One JSON object per line on stdout'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from local-registry" -s v -l verbose -d 'Name each crate and file (-v), and each HTTP request (-vv)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from local-registry" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from local-registry" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from vendor" -l mirror -d 'Mirror to export [default: /mirror, else ~/.frostmirror/mirror]' -r -f -a "(__fish_complete_directories)"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from vendor" -l lock-timeout -d 'Seconds to wait for the mirror\'s lock' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from vendor" -l color -d 'When to use colors' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from vendor" -l message-format -d 'Format of reports' -r -f -a "human\t'Data on stdout, reports and progress bars on stderr'
json\t'One JSON object per line on stdout'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from vendor" -s v -l verbose -d 'Name each crate and file (-v), and each HTTP request (-vv)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from vendor" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from vendor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -l url -d 'Server URL' -r -f
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -l mirror -d 'Mirror for --local [default: /mirror, else ~/.frostmirror/mirror]' -r -f -a "(__fish_complete_directories)"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -l ca -d 'CA certificates (PEM) with which clients trust the server' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -l check-revoke -d 'Revocation check of cargo on Windows' -r -f -a "true\t''
false\t''"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -l env -d 'Print rustup\'s variables only' -r -f -a "sh\t'A POSIX shell'
powershell\t'PowerShell'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -l color -d 'When to use colors' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -l message-format -d 'Format of reports' -r -f -a "human\t'Data on stdout, reports and progress bars on stderr'
json\t'One JSON object per line on stdout'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -l local -d 'Use the mirror on this machine\'s disk, without a server'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -l auth-required -d 'Configure cargo for a server that requires a read token'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -l write -d 'Write cargo\'s part to $CARGO_HOME/config.toml'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -l offline -d 'Do not contact the server'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -l undo -d 'Undo the changes of --write'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -s v -l verbose -d 'Name each crate and file (-v), and each HTTP request (-vv)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand guide" -l color -d 'When to use colors' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand guide" -l message-format -d 'Format of reports' -r -f -a "human\t'Data on stdout, reports and progress bars on stderr'
json\t'One JSON object per line on stdout'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand guide" -s v -l verbose -d 'Name each crate and file (-v), and each HTTP request (-vv)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand guide" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand guide" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand completions" -l color -d 'When to use colors' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand completions" -l message-format -d 'Format of reports' -r -f -a "human\t'Data on stdout, reports and progress bars on stderr'
json\t'One JSON object per line on stdout'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand completions" -s v -l verbose -d 'Name each crate and file (-v), and each HTTP request (-vv)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand completions" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand man" -l color -d 'When to use colors' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand man" -l message-format -d 'Format of reports' -r -f -a "human\t'Data on stdout, reports and progress bars on stderr'
json\t'One JSON object per line on stdout'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand man" -s v -l verbose -d 'Name each crate and file (-v), and each HTTP request (-vv)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand man" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand man" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand help" -l color -d 'When to use colors' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand help" -l message-format -d 'Format of reports' -r -f -a "human\t'Data on stdout, reports and progress bars on stderr'
json\t'One JSON object per line on stdout'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand help" -s v -l verbose -d 'Name each crate and file (-v), and each HTTP request (-vv)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand help" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand guide" -f -a "fetching approving operating building live-mode rest-api reference troubleshooting glossary"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand completions" -f -a "bash elvish fish powershell zsh"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand help" -f -a "init fetch verify inspect diff import serve up status list gc history export setup guide completions man help exit-codes environment global-options"

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
