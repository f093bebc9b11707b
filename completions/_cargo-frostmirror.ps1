
using namespace System.Management.Automation
using namespace System.Management.Automation.Language

Register-ArgumentCompleter -Native -CommandName 'cargo-frostmirror' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $commandElements = $commandAst.CommandElements
    $command = @(
        'cargo-frostmirror'
        for ($i = 1; $i -lt $commandElements.Count; $i++) {
            $element = $commandElements[$i]
            if ($element -isnot [StringConstantExpressionAst] -or
                $element.StringConstantType -ne [StringConstantType]::BareWord -or
                $element.Value.StartsWith('-') -or
                $element.Value -eq $wordToComplete) {
                break
        }
        $element.Value
    }) -join ';'

    $completions = @(switch ($command) {
        'cargo-frostmirror' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Output format: text, or one JSON object per line on stdout')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('init', 'init', [CompletionResultType]::ParameterValue, 'Write depends.toml from a workspace')
            [CompletionResult]::new('fetch', 'fetch', [CompletionResultType]::ParameterValue, 'Resolve, download, and write one .pkg')
            [CompletionResult]::new('verify', 'verify', [CompletionResultType]::ParameterValue, 'Check bundles or a mirror, or whether a Cargo.lock can be built from them')
            [CompletionResult]::new('inspect', 'inspect', [CompletionResultType]::ParameterValue, 'Show the contents of a bundle''s manifest')
            [CompletionResult]::new('diff', 'diff', [CompletionResultType]::ParameterValue, 'Compare two bundles')
            [CompletionResult]::new('import', 'import', [CompletionResultType]::ParameterValue, 'Verify bundles and import them into a mirror, all or nothing')
            [CompletionResult]::new('serve', 'serve', [CompletionResultType]::ParameterValue, 'Serve a mirror to cargo and rustup')
            [CompletionResult]::new('up', 'up', [CompletionResultType]::ParameterValue, 'Fetch, import and serve on this machine')
            [CompletionResult]::new('status', 'status', [CompletionResultType]::ParameterValue, 'Show the contents of a mirror')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the crates of a mirror or a bundle')
            [CompletionResult]::new('gc', 'gc', [CompletionResultType]::ParameterValue, 'Remove files from a mirror that no history needs')
            [CompletionResult]::new('history', 'history', [CompletionResultType]::ParameterValue, 'List the inputs and sent bundles of the history; forget or label an input')
            [CompletionResult]::new('export', 'export', [CompletionResultType]::ParameterValue, 'Export a mirror as one .pkg, or its crates as a folder that cargo builds from')
            [CompletionResult]::new('setup', 'setup', [CompletionResultType]::ParameterValue, 'Print the configuration of cargo and rustup for a mirror, or write cargo''s part')
            [CompletionResult]::new('guide', 'guide', [CompletionResultType]::ParameterValue, 'Print a chapter of the user''s guide')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print a completion script')
            [CompletionResult]::new('man', 'man', [CompletionResultType]::ParameterValue, 'Print the man page, or write all of them into a folder')
            break
        }
        'cargo-frostmirror;init' {
            [CompletionResult]::new('--manifest-path', '--manifest-path', [CompletionResultType]::ParameterName, 'Use the workspace of this Cargo.toml instead of the one around the current directory (repeatable: merged)')
            [CompletionResult]::new('--from', '--from', [CompletionResultType]::ParameterName, 'Source: exact versions of Cargo.lock, the members'' own requirements, or both')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'Output file [default: depends.toml beside the workspace''s manifest; in the current directory with `--manifest-path`]')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'Output file [default: depends.toml beside the workspace''s manifest; in the current directory with `--manifest-path`]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Output format: text, or one JSON object per line on stdout')
            [CompletionResult]::new('--update', '--update', [CompletionResultType]::ParameterName, 'Update `[locked]` in the existing file, and keep the rest')
            [CompletionResult]::new('--force', '--force', [CompletionResultType]::ParameterName, 'Replace the existing file')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;fetch' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'Dependency list [default: the nearest depends.toml up to the workspace root, else the workspace''s Cargo.lock]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Dependency list [default: the nearest depends.toml up to the workspace root, else the workspace''s Cargo.lock]')
            [CompletionResult]::new('--manifest-path', '--manifest-path', [CompletionResultType]::ParameterName, 'Workspace whose Cargo.lock to mirror')
            [CompletionResult]::new('--lockfile', '--lockfile', [CompletionResultType]::ParameterName, 'Mirror exactly the packages of this Cargo.lock (repeatable)')
            [CompletionResult]::new('--crate', '--crate', [CompletionResultType]::ParameterName, 'Mirror a crate or tool, ready for `cargo install` (repeatable)')
            [CompletionResult]::new('--from-list', '--from-list', [CompletionResultType]::ParameterName, 'Fetch exactly the crates and dist files of this repair list, to repair a mirror')
            [CompletionResult]::new('--forget', '--forget', [CompletionResultType]::ParameterName, 'Retire an input of the history, by its label (repeatable); `history` lists them')
            [CompletionResult]::new('--label', '--label', [CompletionResultType]::ParameterName, 'Label of the only input, in the history and in bundles [default: the name of the package or folder that contains its file; for a crate, the value of `--crate`]')
            [CompletionResult]::new('--base', '--base', [CompletionResultType]::ParameterName, 'Newest bundle that arrived, if later ones were lost; the output is a delta on it')
            [CompletionResult]::new('--reuse', '--reuse', [CompletionResultType]::ParameterName, 'Reuse files of an older mirror or bundle if their digest matches (repeatable)')
            [CompletionResult]::new('--skip-registry', '--skip-registry', [CompletionResultType]::ParameterName, 'Leave packages of this alternate registry out, like `--skip-git` (repeatable)')
            [CompletionResult]::new('--toolchain', '--toolchain', [CompletionResultType]::ParameterName, 'Not supported; its error says where to name toolchains')
            [CompletionResult]::new('--target', '--target', [CompletionResultType]::ParameterName, 'Target triple to fetch toolchains for, instead of `[platforms]` in depends.toml (repeatable) [env: FROSTMIRROR_PLATFORMS, if no input names a platform]. `[platforms]` also names the toolchains; otherwise FROSTMIRROR_TOOLCHAIN does. FROSTMIRROR_DIST_URL sets their source')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'Folder for the bundle')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'Folder for the bundle')
            [CompletionResult]::new('-j', '-j', [CompletionResultType]::ParameterName, 'Number of parallel requests [default: limited by the upstream''s protocol]')
            [CompletionResult]::new('--jobs', '--jobs', [CompletionResultType]::ParameterName, 'Number of parallel requests [default: limited by the upstream''s protocol]')
            [CompletionResult]::new('--base-url', '--base-url', [CompletionResultType]::ParameterName, 'URL that the bundle''s config.toml gives to clients')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Output format: text, or one JSON object per line on stdout')
            [CompletionResult]::new('--incremental', '--incremental', [CompletionResultType]::ParameterName, 'Pack only files that the history does not list as sent [env: FROSTMIRROR_MODE=full|incremental]')
            [CompletionResult]::new('--skip-git', '--skip-git', [CompletionResultType]::ParameterName, 'Leave git dependencies out; the bundle records them, and the offline side needs another source for them')
            [CompletionResult]::new('--no-toolchain', '--no-toolchain', [CompletionResultType]::ParameterName, 'Leave toolchains out, even if depends.toml or rust-toolchain.toml names them; earlier ones stay current')
            [CompletionResult]::new('--drop-toolchains', '--drop-toolchains', [CompletionResultType]::ParameterName, 'Drop the toolchains that earlier bundles brought for these inputs, and fetch none; `gc` on the other side then removes them')
            [CompletionResult]::new('--dry-run', '--dry-run', [CompletionResultType]::ParameterName, 'Print the downloads and their sizes, and write nothing')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Use only the caches; send no request')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;verify' {
            [CompletionResult]::new('--mirror', '--mirror', [CompletionResultType]::ParameterName, 'Audit this mirror: every file, index line and record. With FILE and `--closure`, the mirror that the bundles extend')
            [CompletionResult]::new('--closure', '--closure', [CompletionResultType]::ParameterName, 'Check whether this Cargo.lock can be built from the bundles or the mirror')
            [CompletionResult]::new('--repair-list', '--repair-list', [CompletionResultType]::ParameterName, 'Write a list of the files to fetch again, for `fetch --from-list`')
            [CompletionResult]::new('--lock-timeout', '--lock-timeout', [CompletionResultType]::ParameterName, 'Seconds to wait for another process that changes the mirror')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Output format: text, or one JSON object per line on stdout')
            [CompletionResult]::new('--rebuild-state', '--rebuild-state', [CompletionResultType]::ParameterName, 'Rebuild a lost or damaged manifest.json, ledger or index line record from the files, as far as these prove it')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;inspect' {
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'Output format')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Output format: text, or one JSON object per line on stdout')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;diff' {
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'Output format; cyclonedx lists the added packages')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Output format: text, or one JSON object per line on stdout')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;import' {
            [CompletionResult]::new('--mirror', '--mirror', [CompletionResultType]::ParameterName, 'Mirror, created if missing [default: /mirror if it exists, else mirror/ below FROSTMIRROR_HOME]')
            [CompletionResult]::new('--config-dir', '--config-dir', [CompletionResultType]::ParameterName, 'Folder for a snapshot''s frostmirror.toml and depends.toml; other bundles never change them [default: /config if it exists, else config/ below FROSTMIRROR_HOME]')
            [CompletionResult]::new('--base-url', '--base-url', [CompletionResultType]::ParameterName, 'Write index/config.json for static servers with this base URL')
            [CompletionResult]::new('--lock-timeout', '--lock-timeout', [CompletionResultType]::ParameterName, 'Seconds to wait for another process that changes the mirror')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Output format: text, or one JSON object per line on stdout')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;serve' {
            [CompletionResult]::new('--bind', '--bind', [CompletionResultType]::ParameterName, 'Address to listen on; port 0 picks a free one [default: 0.0.0.0:8080]')
            [CompletionResult]::new('--base-url', '--base-url', [CompletionResultType]::ParameterName, 'Base URL that clients use, for a server behind a proxy [default: the Host of each request]')
            [CompletionResult]::new('--mirror', '--mirror', [CompletionResultType]::ParameterName, 'Mirror [default: /mirror if it exists, else mirror in FROSTMIRROR_HOME]')
            [CompletionResult]::new('--incoming', '--incoming', [CompletionResultType]::ParameterName, 'Incoming folder for bundles [default: /incoming if it exists, else incoming in FROSTMIRROR_HOME]')
            [CompletionResult]::new('--config-dir', '--config-dir', [CompletionResultType]::ParameterName, 'Folder of frostmirror.toml, which applies if no flag or variable is set; a snapshot''s configuration is restored to it [default: /config if it exists, else config in FROSTMIRROR_HOME]')
            [CompletionResult]::new('--tls-cert', '--tls-cert', [CompletionResultType]::ParameterName, 'Serve over TLS with this certificate chain (PEM); needs --tls-key. Changed files are reloaded')
            [CompletionResult]::new('--tls-key', '--tls-key', [CompletionResultType]::ParameterName, 'Private key of --tls-cert')
            [CompletionResult]::new('--admin-token', '--admin-token', [CompletionResultType]::ParameterName, 'Token required for write requests. Without it, only local requests may write. FROSTMIRROR_ADMIN_TOKEN is safer, because other users can read command lines')
            [CompletionResult]::new('--admin-token-file', '--admin-token-file', [CompletionResultType]::ParameterName, 'File with the admin token')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Log format: text, or one JSON object per line on stderr [default: text]. RUST_LOG (off, error, warn, info, debug, trace) sets the level; each request is logged at info')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Output format: text, or one JSON object per line on stdout')
            [CompletionResult]::new('--watch-incoming', '--watch-incoming', [CompletionResultType]::ParameterName, 'Import bundles that appear in the incoming folder')
            [CompletionResult]::new('--live', '--live', [CompletionResultType]::ParameterName, 'Live mode: fetch requested files that the mirror lacks from upstream, check and store them. Needs the network; FROSTMIRROR_PROXY_MODE and `proxy_mode` do the same')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Send no request to upstream: live mode cannot be switched on until a restart without this flag. FROSTMIRROR_OFFLINE and `offline` do the same')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;up' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'Dependency list [default: the nearest depends.toml up to the workspace root, else the workspace''s Cargo.lock]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Dependency list [default: the nearest depends.toml up to the workspace root, else the workspace''s Cargo.lock]')
            [CompletionResult]::new('--manifest-path', '--manifest-path', [CompletionResultType]::ParameterName, 'Workspace whose Cargo.lock to mirror')
            [CompletionResult]::new('--lockfile', '--lockfile', [CompletionResultType]::ParameterName, 'Mirror exactly the packages of this Cargo.lock (repeatable)')
            [CompletionResult]::new('--bind', '--bind', [CompletionResultType]::ParameterName, 'Address to listen on; port 0 picks a free one')
            [CompletionResult]::new('--label', '--label', [CompletionResultType]::ParameterName, 'Label of the only input in the history [default: the name of the package or folder that contains its file]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Output format: text, or one JSON object per line on stdout')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Use only the caches; send no request')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;status' {
            [CompletionResult]::new('--mirror', '--mirror', [CompletionResultType]::ParameterName, 'Mirror [default: /mirror if it exists, else mirror/ below FROSTMIRROR_HOME]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Output format: text, or one JSON object per line on stdout')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;list' {
            [CompletionResult]::new('--mirror', '--mirror', [CompletionResultType]::ParameterName, 'Mirror [default: FROSTMIRROR_MIRROR, else /mirror if it exists, else mirror/ below FROSTMIRROR_HOME]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Output format: text, or one JSON object per line on stdout')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;gc' {
            [CompletionResult]::new('--mirror', '--mirror', [CompletionResultType]::ParameterName, 'Mirror [default: /mirror if it exists, else mirror/ below FROSTMIRROR_HOME]')
            [CompletionResult]::new('--grace', '--grace', [CompletionResultType]::ParameterName, 'Grace period before unreferenced files are deleted: 0, 90s, 10m, 2h, 7d')
            [CompletionResult]::new('--forget', '--forget', [CompletionResultType]::ParameterName, 'Forget a lineage (ID or unique prefix); files only it references become garbage. `live` stands for live mode (repeatable)')
            [CompletionResult]::new('--accept', '--accept', [CompletionResultType]::ParameterName, 'Accept the newest bundle of a doubtful lineage (ID or unique prefix); files that only its other bundles reference become garbage. With @BUNDLE, only if that bundle is the newest. A new doubt needs the flag again (repeatable)')
            [CompletionResult]::new('--lock-timeout', '--lock-timeout', [CompletionResultType]::ParameterName, 'Seconds to wait for another process that changes the mirror')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Output format: text, or one JSON object per line on stdout')
            [CompletionResult]::new('--dry-run', '--dry-run', [CompletionResultType]::ParameterName, 'Print the plan without changing anything')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;history' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Output format: text, or one JSON object per line on stdout')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the inputs and the sent bundles (default)')
            [CompletionResult]::new('forget', 'forget', [CompletionResultType]::ParameterValue, 'Forget an input; the next bundle no longer names files that only it needs')
            [CompletionResult]::new('label', 'label', [CompletionResultType]::ParameterValue, 'Give an input another label')
            break
        }
        'cargo-frostmirror;history;list' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Output format: text, or one JSON object per line on stdout')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;history;forget' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Output format: text, or one JSON object per line on stdout')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;history;label' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Output format: text, or one JSON object per line on stdout')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;export' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Output format: text, or one JSON object per line on stdout')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('snapshot', 'snapshot', [CompletionResultType]::ParameterValue, 'The whole mirror with its configuration as one .pkg, to be imported elsewhere')
            [CompletionResult]::new('local-registry', 'local-registry', [CompletionResultType]::ParameterValue, 'The .crate files and the index, for cargo''s `local-registry`')
            [CompletionResult]::new('vendor', 'vendor', [CompletionResultType]::ParameterValue, 'Every crate unpacked, for cargo''s `directory` source')
            break
        }
        'cargo-frostmirror;export;snapshot' {
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'Folder for the output file, snapshot-YYYYMMDD-HHMM.pkg')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'Folder for the output file, snapshot-YYYYMMDD-HHMM.pkg')
            [CompletionResult]::new('--config-dir', '--config-dir', [CompletionResultType]::ParameterName, 'Folder with the server''s frostmirror.toml and depends.toml [default: /config if it exists, else config/ below FROSTMIRROR_HOME]')
            [CompletionResult]::new('--mirror', '--mirror', [CompletionResultType]::ParameterName, 'Mirror [default: /mirror if it exists, else mirror/ below FROSTMIRROR_HOME]')
            [CompletionResult]::new('--lock-timeout', '--lock-timeout', [CompletionResultType]::ParameterName, 'Seconds to wait for another process that changes the mirror')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Output format: text, or one JSON object per line on stdout')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;export;local-registry' {
            [CompletionResult]::new('--mirror', '--mirror', [CompletionResultType]::ParameterName, 'Mirror [default: /mirror if it exists, else mirror/ below FROSTMIRROR_HOME]')
            [CompletionResult]::new('--lock-timeout', '--lock-timeout', [CompletionResultType]::ParameterName, 'Seconds to wait for another process that changes the mirror')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Output format: text, or one JSON object per line on stdout')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;export;vendor' {
            [CompletionResult]::new('--mirror', '--mirror', [CompletionResultType]::ParameterName, 'Mirror [default: /mirror if it exists, else mirror/ below FROSTMIRROR_HOME]')
            [CompletionResult]::new('--lock-timeout', '--lock-timeout', [CompletionResultType]::ParameterName, 'Seconds to wait for another process that changes the mirror')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Output format: text, or one JSON object per line on stdout')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;setup' {
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'Server URL')
            [CompletionResult]::new('--mirror', '--mirror', [CompletionResultType]::ParameterName, 'Mirror for --local [env: FROSTMIRROR_MIRROR] [default: /mirror if it exists, else mirror in FROSTMIRROR_HOME]')
            [CompletionResult]::new('--ca', '--ca', [CompletionResultType]::ParameterName, 'CA certificates (PEM) that cargo needs to trust the server')
            [CompletionResult]::new('--check-revoke', '--check-revoke', [CompletionResultType]::ParameterName, 'Whether cargo on Windows checks revocation lists; a closed network usually has none')
            [CompletionResult]::new('--env', '--env', [CompletionResultType]::ParameterName, 'Print only rustup''s variables, in a shell''s syntax: `eval "$(cargo frostmirror setup --env sh)"`')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Output format: text, or one JSON object per line on stdout')
            [CompletionResult]::new('--local', '--local', [CompletionResultType]::ParameterName, 'Use the mirror on this machine''s disk, without a server')
            [CompletionResult]::new('--auth-required', '--auth-required', [CompletionResultType]::ParameterName, 'The server requires a read token: configures cargo to use the token of `cargo login`')
            [CompletionResult]::new('--write', '--write', [CompletionResultType]::ParameterName, 'Merge cargo''s part into $CARGO_HOME/config.toml; rustup can only be configured by environment variables')
            [CompletionResult]::new('--undo', '--undo', [CompletionResultType]::ParameterName, 'Undo the changes of --write')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;guide' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Output format: text, or one JSON object per line on stdout')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;completions' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Output format: text, or one JSON object per line on stdout')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;man' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Output format: text, or one JSON object per line on stdout')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print more details (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
    })

    $completions.Where{ $_.CompletionText -like "$wordToComplete*" } |
        Sort-Object -Property ListItemText
}
