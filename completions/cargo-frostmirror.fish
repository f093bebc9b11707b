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
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "verify" -d 'Check bundles, audit a mirror, or hold a Cargo.lock against either: every problem'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "inspect" -d 'Show what a bundle\'s manifest says'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "diff" -d 'Show what a bundle changes against another'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "import" -d 'Verify bundles and place them in a mirror, all or nothing'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "serve" -d 'Serve a mirror to cargo and rustup'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "up" -d 'Fetch, import and serve on this machine'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "status" -d 'Say what a mirror holds'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "list" -d 'List the crates that a mirror or a bundle holds'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "gc" -d 'Remove from a mirror what no history needs any more'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "history" -d 'List the inputs of the history and the bundles that were sent; forget or label an input'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "export" -d 'Copy a mirror out: whole as one .pkg, or its crates as a folder that cargo builds from'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "setup" -d 'Print the configuration of cargo and rustup for a mirror, or write cargo\'s'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "guide" -d 'Print a chapter of the user\'s guide'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "completions" -d 'Print a completion script'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "man" -d 'Print the man page, or write all of them into a folder'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand init" -l manifest-path -d 'Take the workspace of this Cargo.toml instead of the one around the current directory (repeatable: merged)' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand init" -l from -d 'What to take: exact versions of Cargo.lock, the members\' own requirements, or both' -r -f -a "lock\t'Every crates.io package of Cargo.lock, as `[locked]`'
direct\t'The members\' own requirements with their features, as `[dependencies]`'
both\t'Both'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand init" -s o -l output -d 'The file to write [default: depends.toml beside the workspace\'s manifest; here with `--manifest-path`]' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand init" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand init" -l message-format -d 'How to report: for people, or one JSON object a line on stdout' -r -f -a "human\t'Lines and bars'
json\t'One JSON object a line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand init" -l update -d 'Renew `[locked]` in the file that is there, and keep all else'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand init" -l force -d 'Replace the file that is there'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand init" -s v -l verbose -d 'Say more (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand init" -s q -l quiet -d 'Say nothing but errors'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -s c -l config -d 'Dependency list [default: the nearest depends.toml up to the workspace\'s root, else the workspace\'s Cargo.lock]' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l manifest-path -d 'The workspace whose Cargo.lock to mirror' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l lockfile -d 'Mirror exactly the packages of this Cargo.lock (repeatable)' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l crate -d 'Mirror a crate or tool, ready for `cargo install` (repeatable)' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l from-list -d 'Fetch exactly the crates and rustup artifacts of this repair list, to mend a mirror' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l forget -d 'Retire an input of the history, by its label (repeatable); `history` lists them' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l label -d 'What the one input is called in the history and in bundles [default: the name of the package or folder that its file is in; for a crate, as `--crate` names it]' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l base -d 'The newest bundle that arrived, where later ones were lost; makes the bundle a delta on it' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l reuse -d 'Use the files of an older mirror or bundle where their digest is right (repeatable)' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l skip-registry -d 'Leave packages of this alternate registry out, as `--skip-git` does (repeatable)' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l toolchain -d 'There is no such word: it is told where toolchains are named' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l target -d 'A target triple to bring toolchains for, in place of those that `[platforms]` in depends.toml names (repeatable) [env: FROSTMIRROR_PLATFORMS, where nothing names any]; which toolchains is `[platforms]`\'s to say too, else FROSTMIRROR_TOOLCHAIN\'s, and FROSTMIRROR_DIST_URL\'s where they come from' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -s o -l output -d 'Where the bundle goes' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -s j -l jobs -d 'Requests under way at once [default: as many as the upstream\'s protocol bears]' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l base-url -d 'What the bundle\'s config.toml tells clients' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l message-format -d 'How to report: for people, or one JSON object a line on stdout' -r -f -a "human\t'Lines and bars'
json\t'One JSON object a line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l incremental -d 'Ship only what the history says was not sent yet [env: FROSTMIRROR_MODE=full|incremental]'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l skip-git -d 'Leave git dependencies out; the bundle says so, and the far side needs them by other means'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l no-toolchain -d 'Leave toolchains out, even where depends.toml or rust-toolchain.toml names them; earlier ones stay current'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l dry-run -d 'Show what would be downloaded and what it weighs, and write nothing'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l offline -d 'Use the caches alone'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -s v -l verbose -d 'Say more (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -s q -l quiet -d 'Say nothing but errors'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand verify" -l mirror -d 'Audit this mirror: every file, every index line, every record; with FILE and `--closure`, what the bundles build on' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand verify" -l closure -d 'Can this Cargo.lock be built from the bundles, or from the mirror?' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand verify" -l repair-list -d 'Write what the audit found to be fetched again, for `fetch --from-list`' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand verify" -l lock-timeout -d 'How long to wait for another process that holds the mirror' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand verify" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand verify" -l message-format -d 'How to report: for people, or one JSON object a line on stdout' -r -f -a "human\t'Lines and bars'
json\t'One JSON object a line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand verify" -l rebuild-state -d 'Make a lost or damaged manifest.json, ledger or record of index lines anew from what is on disk, as far as that proves it'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand verify" -s v -l verbose -d 'Say more (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand verify" -s q -l quiet -d 'Say nothing but errors'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand inspect" -l format -d 'How to print it' -r -f -a "text\t'For people'
json\t'Everything, for programs'
cyclonedx\t'A software bill of materials, CycloneDX 1.5 in JSON'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand inspect" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand inspect" -l message-format -d 'How to report: for people, or one JSON object a line on stdout' -r -f -a "human\t'Lines and bars'
json\t'One JSON object a line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand inspect" -s v -l verbose -d 'Say more (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand inspect" -s q -l quiet -d 'Say nothing but errors'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand inspect" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand diff" -l format -d 'How to print it; cyclonedx lists what comes' -r -f -a "text\t'For people'
json\t'Everything, for programs'
cyclonedx\t'A software bill of materials, CycloneDX 1.5 in JSON'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand diff" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand diff" -l message-format -d 'How to report: for people, or one JSON object a line on stdout' -r -f -a "human\t'Lines and bars'
json\t'One JSON object a line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand diff" -s v -l verbose -d 'Say more (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand diff" -s q -l quiet -d 'Say nothing but errors'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand diff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand import" -l mirror -d 'The mirror, made where it is not there [default: /mirror where it exists, else mirror/ below FROSTMIRROR_HOME]' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand import" -l config-dir -d 'Where a snapshot\'s frostmirror.toml and depends.toml go; an ordinary bundle never touches them [default: /config where it exists, else config/ below FROSTMIRROR_HOME]' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand import" -l base-url -d 'Write index/config.json for static servers that are reached under this address' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand import" -l lock-timeout -d 'How long to wait for another process that holds the mirror' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand import" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand import" -l message-format -d 'How to report: for people, or one JSON object a line on stdout' -r -f -a "human\t'Lines and bars'
json\t'One JSON object a line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand import" -s v -l verbose -d 'Say more (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand import" -s q -l quiet -d 'Say nothing but errors'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand import" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l bind -d 'Where to listen; port 0 takes a free one [default: 0.0.0.0:8080]' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l base-url -d 'The address that clients know this server by, for a server behind a proxy [default: the Host that each client asks for]' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l mirror -d 'The mirror [default: /mirror where it exists, else mirror in FROSTMIRROR_HOME]' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l incoming -d 'The folder that bundles are dropped into [default: /incoming where it exists, else incoming in FROSTMIRROR_HOME]' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l config-dir -d 'The folder of frostmirror.toml, which says what no flag and no variable says; those of a snapshot that is dropped in go there [default: /config where it exists, else config in FROSTMIRROR_HOME]' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l tls-cert -d 'Serve over TLS with this certificate, in PEM form with those that lead to its authority; needs --tls-key. It is taken anew when the files change' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l tls-key -d 'The key of --tls-cert' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l admin-token -d 'What who changes anything over the API or the pages must know; without one, only a user at this machine may. FROSTMIRROR_ADMIN_TOKEN is seen by fewer eyes than a command line' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l admin-token-file -d 'A file with the admin token' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l log-format -d 'How reports are written: lines for people, or one JSON object a line on stderr [default: text]. RUST_LOG (off, error, warn, info, debug, trace) says which; each request is one at info' -r -f -a "text\t''
json\t''"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l message-format -d 'How to report: for people, or one JSON object a line on stdout' -r -f -a "human\t'Lines and bars'
json\t'One JSON object a line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l watch-incoming -d 'Import the bundles that are dropped into the incoming folder'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l live -d 'Live mode: fetch from upstream what a client asks for and the mirror lacks, check it, and keep it. Needs the network; FROSTMIRROR_PROXY_MODE and `proxy_mode` do the same'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l offline -d 'Never use the network for the server itself: live mode cannot be switched on, by whatever route, until the server is started without this flag. FROSTMIRROR_OFFLINE and `offline` do the same'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -s v -l verbose -d 'Say more (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -s q -l quiet -d 'Say nothing but errors'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -s c -l config -d 'Dependency list [default: the nearest depends.toml up to the workspace\'s root, else the workspace\'s Cargo.lock]' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -l manifest-path -d 'The workspace whose Cargo.lock to mirror' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -l lockfile -d 'Mirror exactly the packages of this Cargo.lock (repeatable)' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -l bind -d 'Where to listen; port 0 takes a free one' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -l label -d 'What the one input is called in the history [default: the name of the package or folder that its file is in]' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -l message-format -d 'How to report: for people, or one JSON object a line on stdout' -r -f -a "human\t'Lines and bars'
json\t'One JSON object a line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -l offline -d 'Use the caches alone'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -s v -l verbose -d 'Say more (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -s q -l quiet -d 'Say nothing but errors'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand status" -l mirror -d 'The mirror [default: /mirror where it exists, else mirror/ below FROSTMIRROR_HOME]' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand status" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand status" -l message-format -d 'How to report: for people, or one JSON object a line on stdout' -r -f -a "human\t'Lines and bars'
json\t'One JSON object a line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand status" -s v -l verbose -d 'Say more (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand status" -s q -l quiet -d 'Say nothing but errors'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand list" -l mirror -d 'The mirror [default: FROSTMIRROR_MIRROR, else /mirror where it exists, else mirror/ below FROSTMIRROR_HOME]' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand list" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand list" -l message-format -d 'How to report: for people, or one JSON object a line on stdout' -r -f -a "human\t'Lines and bars'
json\t'One JSON object a line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand list" -s v -l verbose -d 'Say more (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand list" -s q -l quiet -d 'Say nothing but errors'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand gc" -l mirror -d 'The mirror [default: /mirror where it exists, else mirror/ below FROSTMIRROR_HOME]' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand gc" -l grace -d 'How long a crate or a component stays after its index line or its channel went, for clients that saw that: 0, 90s, 10m, 2h, 7d' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand gc" -l forget -d 'Let a lineage go, by its id or the beginning of it: what only its bundles need is garbage; `live` for what live mode brought (repeatable)' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand gc" -l accept -d 'Accept the newest bundle of a doubtful lineage (ID or unique prefix): files that only its other bundles need become garbage. With @BUNDLE, only if that bundle is the newest. A new doubt needs the flag again (repeatable)' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand gc" -l lock-timeout -d 'How long to wait for another process that holds the mirror' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand gc" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand gc" -l message-format -d 'How to report: for people, or one JSON object a line on stdout' -r -f -a "human\t'Lines and bars'
json\t'One JSON object a line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand gc" -l dry-run -d 'Print the plan and change nothing'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand gc" -s v -l verbose -d 'Say more (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand gc" -s q -l quiet -d 'Say nothing but errors'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand gc" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and not __fish_seen_subcommand_from list forget label" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and not __fish_seen_subcommand_from list forget label" -l message-format -d 'How to report: for people, or one JSON object a line on stdout' -r -f -a "human\t'Lines and bars'
json\t'One JSON object a line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and not __fish_seen_subcommand_from list forget label" -s v -l verbose -d 'Say more (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and not __fish_seen_subcommand_from list forget label" -s q -l quiet -d 'Say nothing but errors'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and not __fish_seen_subcommand_from list forget label" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and not __fish_seen_subcommand_from list forget label" -f -a "list" -d 'List the inputs and the bundles that were sent (default)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and not __fish_seen_subcommand_from list forget label" -f -a "forget" -d 'Forget an input: the next bundle no longer names what only it needs'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and not __fish_seen_subcommand_from list forget label" -f -a "label" -d 'Give an input another label'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from list" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from list" -l message-format -d 'How to report: for people, or one JSON object a line on stdout' -r -f -a "human\t'Lines and bars'
json\t'One JSON object a line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Say more (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Say nothing but errors'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from forget" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from forget" -l message-format -d 'How to report: for people, or one JSON object a line on stdout' -r -f -a "human\t'Lines and bars'
json\t'One JSON object a line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from forget" -s v -l verbose -d 'Say more (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from forget" -s q -l quiet -d 'Say nothing but errors'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from forget" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from label" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from label" -l message-format -d 'How to report: for people, or one JSON object a line on stdout' -r -f -a "human\t'Lines and bars'
json\t'One JSON object a line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from label" -s v -l verbose -d 'Say more (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from label" -s q -l quiet -d 'Say nothing but errors'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from label" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and not __fish_seen_subcommand_from snapshot local-registry vendor" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and not __fish_seen_subcommand_from snapshot local-registry vendor" -l message-format -d 'How to report: for people, or one JSON object a line on stdout' -r -f -a "human\t'Lines and bars'
json\t'One JSON object a line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and not __fish_seen_subcommand_from snapshot local-registry vendor" -s v -l verbose -d 'Say more (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and not __fish_seen_subcommand_from snapshot local-registry vendor" -s q -l quiet -d 'Say nothing but errors'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and not __fish_seen_subcommand_from snapshot local-registry vendor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and not __fish_seen_subcommand_from snapshot local-registry vendor" -f -a "snapshot" -d 'The whole mirror with its configuration as one .pkg, to be imported elsewhere'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and not __fish_seen_subcommand_from snapshot local-registry vendor" -f -a "local-registry" -d 'The .crate files and the index, for cargo\'s `local-registry`'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and not __fish_seen_subcommand_from snapshot local-registry vendor" -f -a "vendor" -d 'Every crate unpacked, for cargo\'s `directory` source'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from snapshot" -s o -l output -d 'The folder that it is written into, as snapshot-YYYYMMDD-HHMM.pkg' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from snapshot" -l config-dir -d 'Where the server\'s frostmirror.toml and depends.toml are [default: /config where it exists, else config/ below FROSTMIRROR_HOME]' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from snapshot" -l mirror -d 'The mirror [default: /mirror where it exists, else mirror/ below FROSTMIRROR_HOME]' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from snapshot" -l lock-timeout -d 'How long to wait for another process that changes the mirror' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from snapshot" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from snapshot" -l message-format -d 'How to report: for people, or one JSON object a line on stdout' -r -f -a "human\t'Lines and bars'
json\t'One JSON object a line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from snapshot" -s v -l verbose -d 'Say more (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from snapshot" -s q -l quiet -d 'Say nothing but errors'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from snapshot" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from local-registry" -l mirror -d 'The mirror [default: /mirror where it exists, else mirror/ below FROSTMIRROR_HOME]' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from local-registry" -l lock-timeout -d 'How long to wait for another process that changes the mirror' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from local-registry" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from local-registry" -l message-format -d 'How to report: for people, or one JSON object a line on stdout' -r -f -a "human\t'Lines and bars'
json\t'One JSON object a line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from local-registry" -s v -l verbose -d 'Say more (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from local-registry" -s q -l quiet -d 'Say nothing but errors'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from local-registry" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from vendor" -l mirror -d 'The mirror [default: /mirror where it exists, else mirror/ below FROSTMIRROR_HOME]' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from vendor" -l lock-timeout -d 'How long to wait for another process that changes the mirror' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from vendor" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from vendor" -l message-format -d 'How to report: for people, or one JSON object a line on stdout' -r -f -a "human\t'Lines and bars'
json\t'One JSON object a line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from vendor" -s v -l verbose -d 'Say more (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from vendor" -s q -l quiet -d 'Say nothing but errors'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from vendor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -l url -d 'The server\'s address' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -l mirror -d 'The mirror for --local [env: FROSTMIRROR_MIRROR] [default: /mirror where it exists, else mirror in FROSTMIRROR_HOME]' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -l ca -d 'Certificates (PEM) of the authority that vouches for the server' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -l check-revoke -d 'Whether cargo on Windows asks for revocation lists; a closed network has none' -r -f -a "true\t''
false\t''"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -l env -d 'Print rustup\'s variables alone, as a shell takes them: `eval "$(cargo frostmirror setup --env sh)"`' -r -f -a "sh\t'A POSIX shell'
powershell\t'PowerShell'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -l message-format -d 'How to report: for people, or one JSON object a line on stdout' -r -f -a "human\t'Lines and bars'
json\t'One JSON object a line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -l local -d 'Use the mirror on this machine\'s disk, with no server'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -l auth-required -d 'The server asks its readers for a token: tells cargo where `cargo login` keeps it'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -l write -d 'Merge cargo\'s part into $CARGO_HOME/config.toml; rustup has nothing but its environment'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -l undo -d 'Take back what --write did'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -s v -l verbose -d 'Say more (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -s q -l quiet -d 'Say nothing but errors'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand guide" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand guide" -l message-format -d 'How to report: for people, or one JSON object a line on stdout' -r -f -a "human\t'Lines and bars'
json\t'One JSON object a line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand guide" -s v -l verbose -d 'Say more (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand guide" -s q -l quiet -d 'Say nothing but errors'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand guide" -s h -l help -d 'Print help (see more with \'--help\')'
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
