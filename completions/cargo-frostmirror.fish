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

complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -l color -d 'When to use colors' -r -f -a "auto\t'If the output is a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -l message-format -d 'Output format: text, or one JSON object per line on stdout' -r -f -a "human\t'Text with progress bars'
json\t'One JSON object per line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -s v -l verbose -d 'Print more details (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -s V -l version -d 'Print version'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "init" -d 'Write depends.toml from a workspace'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "fetch" -d 'Resolve, download, and write one .pkg'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "verify" -d 'Check bundles or a mirror, or whether a Cargo.lock can be built from them'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "inspect" -d 'Show the contents of a bundle\'s manifest'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "diff" -d 'Compare two bundles'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "import" -d 'Verify bundles and import them into a mirror, all or nothing'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "serve" -d 'Serve a mirror to cargo and rustup'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "up" -d 'Fetch, import and serve on this machine'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "status" -d 'Show the contents of a mirror'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "list" -d 'List the crates of a mirror or a bundle'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "gc" -d 'Remove files from a mirror that no history needs'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "history" -d 'List the inputs and sent bundles of the history; forget or label an input'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "export" -d 'Export a mirror as one .pkg, or its crates as a folder that cargo builds from'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "setup" -d 'Print the configuration of cargo and rustup for a mirror, or write cargo\'s part'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "guide" -d 'Print a chapter of the user\'s guide'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "completions" -d 'Print a completion script'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_needs_command" -f -a "man" -d 'Print the man page, or write all of them into a folder'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand init" -l manifest-path -d 'Use the workspace of this Cargo.toml instead of the one around the current directory (repeatable: merged)' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand init" -l from -d 'Source: exact versions of Cargo.lock, the members\' own requirements, or both' -r -f -a "lock\t'Every crates.io package of Cargo.lock, as `[locked]`'
direct\t'The members\' own requirements with their features, as `[dependencies]`'
both\t'Both'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand init" -s o -l output -d 'Output file [default: depends.toml beside the workspace\'s manifest; in the current directory with `--manifest-path`]' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand init" -l color -d 'When to use colors' -r -f -a "auto\t'If the output is a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand init" -l message-format -d 'Output format: text, or one JSON object per line on stdout' -r -f -a "human\t'Text with progress bars'
json\t'One JSON object per line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand init" -l update -d 'Update `[locked]` in the existing file, and keep the rest'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand init" -l force -d 'Replace the existing file'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand init" -s v -l verbose -d 'Print more details (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand init" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -s c -l config -d 'Dependency list [default: the nearest depends.toml up to the workspace root, else the workspace\'s Cargo.lock]' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l manifest-path -d 'Workspace whose Cargo.lock to mirror' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l lockfile -d 'Mirror exactly the packages of this Cargo.lock (repeatable)' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l crate -d 'Mirror a crate or tool, ready for `cargo install` (repeatable)' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l from-list -d 'Fetch exactly the crates and dist files of this repair list, to repair a mirror' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l forget -d 'Retire an input of the history, by its label (repeatable); `history` lists them' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l label -d 'Label of the only input, in the history and in bundles [default: the name of the package or folder that contains its file; for a crate, the value of `--crate`]' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l base -d 'Newest bundle that arrived, if later ones were lost; the output is a delta on it' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l reuse -d 'Reuse files of an older mirror or bundle if their digest matches (repeatable)' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l skip-registry -d 'Leave packages of this alternate registry out, like `--skip-git` (repeatable)' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l toolchain -d 'Not supported; its error says where to name toolchains' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l target -d 'Target triple to fetch toolchains for, instead of `[platforms]` in depends.toml (repeatable) [env: FROSTMIRROR_PLATFORMS, if no input names a platform]. `[platforms]` also names the toolchains; otherwise FROSTMIRROR_TOOLCHAIN does. FROSTMIRROR_DIST_URL sets their source' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -s o -l output -d 'Folder for the bundle' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -s j -l jobs -d 'Number of parallel requests [default: limited by the upstream\'s protocol]' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l base-url -d 'URL that the bundle\'s config.toml gives to clients' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l color -d 'When to use colors' -r -f -a "auto\t'If the output is a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l message-format -d 'Output format: text, or one JSON object per line on stdout' -r -f -a "human\t'Text with progress bars'
json\t'One JSON object per line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l incremental -d 'Pack only files that the history does not list as sent [env: FROSTMIRROR_MODE=full|incremental]'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l skip-git -d 'Leave git dependencies out; the bundle records them, and the offline side needs another source for them'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l no-toolchain -d 'Leave toolchains out, even if depends.toml or rust-toolchain.toml names them; earlier ones stay current'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l drop-toolchains -d 'Drop the toolchains that earlier bundles brought for these inputs, and fetch none; `gc` on the other side then removes them'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l dry-run -d 'Print the downloads and their sizes, and write nothing'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -l offline -d 'Use only the caches; send no request'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -s v -l verbose -d 'Print more details (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand fetch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand verify" -l mirror -d 'Audit this mirror: every file, index line and record. With FILE and `--closure`, the mirror that the bundles extend' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand verify" -l closure -d 'Check whether this Cargo.lock can be built from the bundles or the mirror' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand verify" -l repair-list -d 'Write a list of the files to fetch again, for `fetch --from-list`' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand verify" -l lock-timeout -d 'Seconds to wait for another process that changes the mirror' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand verify" -l color -d 'When to use colors' -r -f -a "auto\t'If the output is a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand verify" -l message-format -d 'Output format: text, or one JSON object per line on stdout' -r -f -a "human\t'Text with progress bars'
json\t'One JSON object per line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand verify" -l rebuild-state -d 'Rebuild a lost or damaged manifest.json, ledger or index line record from the files, as far as these prove it'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand verify" -s v -l verbose -d 'Print more details (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand verify" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand inspect" -l format -d 'Output format' -r -f -a "text\t'Text'
json\t'JSON with all fields'
cyclonedx\t'Software bill of materials, CycloneDX 1.5 in JSON'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand inspect" -l color -d 'When to use colors' -r -f -a "auto\t'If the output is a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand inspect" -l message-format -d 'Output format: text, or one JSON object per line on stdout' -r -f -a "human\t'Text with progress bars'
json\t'One JSON object per line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand inspect" -s v -l verbose -d 'Print more details (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand inspect" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand inspect" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand diff" -l format -d 'Output format; cyclonedx lists the added packages' -r -f -a "text\t'Text'
json\t'JSON with all fields'
cyclonedx\t'Software bill of materials, CycloneDX 1.5 in JSON'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand diff" -l color -d 'When to use colors' -r -f -a "auto\t'If the output is a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand diff" -l message-format -d 'Output format: text, or one JSON object per line on stdout' -r -f -a "human\t'Text with progress bars'
json\t'One JSON object per line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand diff" -s v -l verbose -d 'Print more details (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand diff" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand diff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand import" -l mirror -d 'Mirror, created if missing [default: /mirror if it exists, else mirror/ below FROSTMIRROR_HOME]' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand import" -l config-dir -d 'Folder for a snapshot\'s frostmirror.toml and depends.toml; other bundles never change them [default: /config if it exists, else config/ below FROSTMIRROR_HOME]' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand import" -l base-url -d 'Write index/config.json for static servers with this base URL' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand import" -l lock-timeout -d 'Seconds to wait for another process that changes the mirror' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand import" -l color -d 'When to use colors' -r -f -a "auto\t'If the output is a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand import" -l message-format -d 'Output format: text, or one JSON object per line on stdout' -r -f -a "human\t'Text with progress bars'
json\t'One JSON object per line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand import" -s v -l verbose -d 'Print more details (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand import" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand import" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l bind -d 'Address to listen on; port 0 picks a free one [default: 0.0.0.0:8080]' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l base-url -d 'Base URL that clients use, for a server behind a proxy [default: the Host of each request]' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l mirror -d 'Mirror [default: /mirror if it exists, else mirror in FROSTMIRROR_HOME]' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l incoming -d 'Incoming folder for bundles [default: /incoming if it exists, else incoming in FROSTMIRROR_HOME]' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l config-dir -d 'Folder of frostmirror.toml, which applies if no flag or variable is set; a snapshot\'s configuration is restored to it [default: /config if it exists, else config in FROSTMIRROR_HOME]' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l tls-cert -d 'Serve over TLS with this certificate chain (PEM); needs --tls-key. Changed files are reloaded' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l tls-key -d 'Private key of --tls-cert' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l admin-token -d 'Token required for write requests. Without it, only local requests may write. FROSTMIRROR_ADMIN_TOKEN is safer, because other users can read command lines' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l admin-token-file -d 'File with the admin token' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l log-format -d 'Log format: text, or one JSON object per line on stderr [default: text]. RUST_LOG (off, error, warn, info, debug, trace) sets the level; each request is logged at info' -r -f -a "text\t''
json\t''"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l color -d 'When to use colors' -r -f -a "auto\t'If the output is a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l message-format -d 'Output format: text, or one JSON object per line on stdout' -r -f -a "human\t'Text with progress bars'
json\t'One JSON object per line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l watch-incoming -d 'Import bundles that appear in the incoming folder'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l live -d 'Live mode: fetch requested files that the mirror lacks from upstream, check and store them. Needs the network; FROSTMIRROR_PROXY_MODE and `proxy_mode` do the same'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -l offline -d 'Send no request to upstream: live mode cannot be switched on until a restart without this flag. FROSTMIRROR_OFFLINE and `offline` do the same'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -s v -l verbose -d 'Print more details (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -s c -l config -d 'Dependency list [default: the nearest depends.toml up to the workspace root, else the workspace\'s Cargo.lock]' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -l manifest-path -d 'Workspace whose Cargo.lock to mirror' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -l lockfile -d 'Mirror exactly the packages of this Cargo.lock (repeatable)' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -l bind -d 'Address to listen on; port 0 picks a free one' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -l label -d 'Label of the only input in the history [default: the name of the package or folder that contains its file]' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -l color -d 'When to use colors' -r -f -a "auto\t'If the output is a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -l message-format -d 'Output format: text, or one JSON object per line on stdout' -r -f -a "human\t'Text with progress bars'
json\t'One JSON object per line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -l offline -d 'Use only the caches; send no request'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -s v -l verbose -d 'Print more details (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand up" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand status" -l mirror -d 'Mirror [default: /mirror if it exists, else mirror/ below FROSTMIRROR_HOME]' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand status" -l color -d 'When to use colors' -r -f -a "auto\t'If the output is a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand status" -l message-format -d 'Output format: text, or one JSON object per line on stdout' -r -f -a "human\t'Text with progress bars'
json\t'One JSON object per line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand status" -s v -l verbose -d 'Print more details (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand status" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand list" -l mirror -d 'Mirror [default: FROSTMIRROR_MIRROR, else /mirror if it exists, else mirror/ below FROSTMIRROR_HOME]' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand list" -l color -d 'When to use colors' -r -f -a "auto\t'If the output is a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand list" -l message-format -d 'Output format: text, or one JSON object per line on stdout' -r -f -a "human\t'Text with progress bars'
json\t'One JSON object per line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand list" -s v -l verbose -d 'Print more details (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand list" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand gc" -l mirror -d 'Mirror [default: /mirror if it exists, else mirror/ below FROSTMIRROR_HOME]' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand gc" -l grace -d 'Grace period before unreferenced files are deleted: 0, 90s, 10m, 2h, 7d' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand gc" -l forget -d 'Forget a lineage (ID or unique prefix); files only it references become garbage. `live` stands for live mode (repeatable)' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand gc" -l accept -d 'Accept the newest bundle of a doubtful lineage (ID or unique prefix); files that only its other bundles reference become garbage. With @BUNDLE, only if that bundle is the newest. A new doubt needs the flag again (repeatable)' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand gc" -l lock-timeout -d 'Seconds to wait for another process that changes the mirror' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand gc" -l color -d 'When to use colors' -r -f -a "auto\t'If the output is a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand gc" -l message-format -d 'Output format: text, or one JSON object per line on stdout' -r -f -a "human\t'Text with progress bars'
json\t'One JSON object per line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand gc" -l dry-run -d 'Print the plan without changing anything'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand gc" -s v -l verbose -d 'Print more details (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand gc" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand gc" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and not __fish_seen_subcommand_from list forget label" -l color -d 'When to use colors' -r -f -a "auto\t'If the output is a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and not __fish_seen_subcommand_from list forget label" -l message-format -d 'Output format: text, or one JSON object per line on stdout' -r -f -a "human\t'Text with progress bars'
json\t'One JSON object per line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and not __fish_seen_subcommand_from list forget label" -s v -l verbose -d 'Print more details (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and not __fish_seen_subcommand_from list forget label" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and not __fish_seen_subcommand_from list forget label" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and not __fish_seen_subcommand_from list forget label" -f -a "list" -d 'List the inputs and the sent bundles (default)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and not __fish_seen_subcommand_from list forget label" -f -a "forget" -d 'Forget an input; the next bundle no longer names files that only it needs'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and not __fish_seen_subcommand_from list forget label" -f -a "label" -d 'Give an input another label'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from list" -l color -d 'When to use colors' -r -f -a "auto\t'If the output is a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from list" -l message-format -d 'Output format: text, or one JSON object per line on stdout' -r -f -a "human\t'Text with progress bars'
json\t'One JSON object per line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Print more details (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from forget" -l color -d 'When to use colors' -r -f -a "auto\t'If the output is a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from forget" -l message-format -d 'Output format: text, or one JSON object per line on stdout' -r -f -a "human\t'Text with progress bars'
json\t'One JSON object per line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from forget" -s v -l verbose -d 'Print more details (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from forget" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from forget" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from label" -l color -d 'When to use colors' -r -f -a "auto\t'If the output is a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from label" -l message-format -d 'Output format: text, or one JSON object per line on stdout' -r -f -a "human\t'Text with progress bars'
json\t'One JSON object per line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from label" -s v -l verbose -d 'Print more details (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from label" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand history; and __fish_seen_subcommand_from label" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and not __fish_seen_subcommand_from snapshot local-registry vendor" -l color -d 'When to use colors' -r -f -a "auto\t'If the output is a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and not __fish_seen_subcommand_from snapshot local-registry vendor" -l message-format -d 'Output format: text, or one JSON object per line on stdout' -r -f -a "human\t'Text with progress bars'
json\t'One JSON object per line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and not __fish_seen_subcommand_from snapshot local-registry vendor" -s v -l verbose -d 'Print more details (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and not __fish_seen_subcommand_from snapshot local-registry vendor" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and not __fish_seen_subcommand_from snapshot local-registry vendor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and not __fish_seen_subcommand_from snapshot local-registry vendor" -f -a "snapshot" -d 'The whole mirror with its configuration as one .pkg, to be imported elsewhere'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and not __fish_seen_subcommand_from snapshot local-registry vendor" -f -a "local-registry" -d 'The .crate files and the index, for cargo\'s `local-registry`'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and not __fish_seen_subcommand_from snapshot local-registry vendor" -f -a "vendor" -d 'Every crate unpacked, for cargo\'s `directory` source'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from snapshot" -s o -l output -d 'Folder for the output file, snapshot-YYYYMMDD-HHMM.pkg' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from snapshot" -l config-dir -d 'Folder with the server\'s frostmirror.toml and depends.toml [default: /config if it exists, else config/ below FROSTMIRROR_HOME]' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from snapshot" -l mirror -d 'Mirror [default: /mirror if it exists, else mirror/ below FROSTMIRROR_HOME]' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from snapshot" -l lock-timeout -d 'Seconds to wait for another process that changes the mirror' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from snapshot" -l color -d 'When to use colors' -r -f -a "auto\t'If the output is a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from snapshot" -l message-format -d 'Output format: text, or one JSON object per line on stdout' -r -f -a "human\t'Text with progress bars'
json\t'One JSON object per line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from snapshot" -s v -l verbose -d 'Print more details (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from snapshot" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from snapshot" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from local-registry" -l mirror -d 'Mirror [default: /mirror if it exists, else mirror/ below FROSTMIRROR_HOME]' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from local-registry" -l lock-timeout -d 'Seconds to wait for another process that changes the mirror' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from local-registry" -l color -d 'When to use colors' -r -f -a "auto\t'If the output is a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from local-registry" -l message-format -d 'Output format: text, or one JSON object per line on stdout' -r -f -a "human\t'Text with progress bars'
json\t'One JSON object per line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from local-registry" -s v -l verbose -d 'Print more details (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from local-registry" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from local-registry" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from vendor" -l mirror -d 'Mirror [default: /mirror if it exists, else mirror/ below FROSTMIRROR_HOME]' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from vendor" -l lock-timeout -d 'Seconds to wait for another process that changes the mirror' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from vendor" -l color -d 'When to use colors' -r -f -a "auto\t'If the output is a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from vendor" -l message-format -d 'Output format: text, or one JSON object per line on stdout' -r -f -a "human\t'Text with progress bars'
json\t'One JSON object per line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from vendor" -s v -l verbose -d 'Print more details (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from vendor" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand export; and __fish_seen_subcommand_from vendor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -l url -d 'Server URL' -r
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -l mirror -d 'Mirror for --local [env: FROSTMIRROR_MIRROR] [default: /mirror if it exists, else mirror in FROSTMIRROR_HOME]' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -l ca -d 'CA certificates (PEM) that cargo needs to trust the server' -r -F
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -l check-revoke -d 'Whether cargo on Windows checks revocation lists; a closed network usually has none' -r -f -a "true\t''
false\t''"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -l env -d 'Print only rustup\'s variables, in a shell\'s syntax: `eval "$(cargo frostmirror setup --env sh)"`' -r -f -a "sh\t'A POSIX shell'
powershell\t'PowerShell'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -l color -d 'When to use colors' -r -f -a "auto\t'If the output is a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -l message-format -d 'Output format: text, or one JSON object per line on stdout' -r -f -a "human\t'Text with progress bars'
json\t'One JSON object per line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -l local -d 'Use the mirror on this machine\'s disk, without a server'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -l auth-required -d 'The server requires a read token: configures cargo to use the token of `cargo login`'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -l write -d 'Merge cargo\'s part into $CARGO_HOME/config.toml; rustup can only be configured by environment variables'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -l undo -d 'Undo the changes of --write'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -s v -l verbose -d 'Print more details (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand setup" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand guide" -l color -d 'When to use colors' -r -f -a "auto\t'If the output is a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand guide" -l message-format -d 'Output format: text, or one JSON object per line on stdout' -r -f -a "human\t'Text with progress bars'
json\t'One JSON object per line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand guide" -s v -l verbose -d 'Print more details (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand guide" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand guide" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand completions" -l color -d 'When to use colors' -r -f -a "auto\t'If the output is a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand completions" -l message-format -d 'Output format: text, or one JSON object per line on stdout' -r -f -a "human\t'Text with progress bars'
json\t'One JSON object per line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand completions" -s v -l verbose -d 'Print more details (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand completions" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand man" -l color -d 'When to use colors' -r -f -a "auto\t'If the output is a terminal'
always\t'Always'
never\t'Never'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand man" -l message-format -d 'Output format: text, or one JSON object per line on stdout' -r -f -a "human\t'Text with progress bars'
json\t'One JSON object per line'"
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand man" -s v -l verbose -d 'Print more details (repeatable)'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand man" -s q -l quiet -d 'Print errors only'
complete -c cargo-frostmirror -n "__fish_cargo_frostmirror_using_subcommand man" -s h -l help -d 'Print help (see more with \'--help\')'
