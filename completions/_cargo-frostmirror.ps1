
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
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colours')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'How to report: for people, or one JSON object a line on stdout')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('init', 'init', [CompletionResultType]::ParameterValue, 'Write depends.toml from a workspace')
            [CompletionResult]::new('fetch', 'fetch', [CompletionResultType]::ParameterValue, 'Resolve, download, and write one .pkg')
            [CompletionResult]::new('verify', 'verify', [CompletionResultType]::ParameterValue, 'Check bundles, audit a mirror, or hold a Cargo.lock against either: every problem')
            [CompletionResult]::new('inspect', 'inspect', [CompletionResultType]::ParameterValue, 'Show what a bundle''s manifest says')
            [CompletionResult]::new('diff', 'diff', [CompletionResultType]::ParameterValue, 'Show what a bundle changes against another')
            [CompletionResult]::new('import', 'import', [CompletionResultType]::ParameterValue, 'Verify bundles and place them in a mirror, all or nothing')
            [CompletionResult]::new('serve', 'serve', [CompletionResultType]::ParameterValue, 'Serve a mirror to cargo and rustup')
            [CompletionResult]::new('up', 'up', [CompletionResultType]::ParameterValue, 'Fetch, import and serve on this machine')
            [CompletionResult]::new('status', 'status', [CompletionResultType]::ParameterValue, 'Say what a mirror holds')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the crates that a mirror or a bundle holds')
            [CompletionResult]::new('gc', 'gc', [CompletionResultType]::ParameterValue, 'Remove from a mirror what no history needs any more')
            [CompletionResult]::new('history', 'history', [CompletionResultType]::ParameterValue, 'List the inputs of the history and the bundles that were sent; forget or label an input')
            [CompletionResult]::new('export', 'export', [CompletionResultType]::ParameterValue, 'Copy a mirror out: whole as one .pkg, or its crates as a folder that cargo builds from')
            [CompletionResult]::new('setup', 'setup', [CompletionResultType]::ParameterValue, 'Print the configuration of cargo and rustup for a mirror, or write cargo''s')
            [CompletionResult]::new('guide', 'guide', [CompletionResultType]::ParameterValue, 'Print a chapter of the user''s guide')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print a completion script')
            [CompletionResult]::new('man', 'man', [CompletionResultType]::ParameterValue, 'Print the man page, or write all of them into a folder')
            break
        }
        'cargo-frostmirror;init' {
            [CompletionResult]::new('--manifest-path', '--manifest-path', [CompletionResultType]::ParameterName, 'Take the workspace of this Cargo.toml instead of the one around the current directory (repeatable: merged)')
            [CompletionResult]::new('--from', '--from', [CompletionResultType]::ParameterName, 'What to take: exact versions of Cargo.lock, the members'' own requirements, or both')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'The file to write [default: depends.toml beside the workspace''s manifest; here with `--manifest-path`]')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'The file to write [default: depends.toml beside the workspace''s manifest; here with `--manifest-path`]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colours')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'How to report: for people, or one JSON object a line on stdout')
            [CompletionResult]::new('--update', '--update', [CompletionResultType]::ParameterName, 'Renew `[locked]` in the file that is there, and keep all else')
            [CompletionResult]::new('--force', '--force', [CompletionResultType]::ParameterName, 'Replace the file that is there')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;fetch' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'Dependency list [default: the nearest depends.toml up to the workspace''s root, else the workspace''s Cargo.lock]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Dependency list [default: the nearest depends.toml up to the workspace''s root, else the workspace''s Cargo.lock]')
            [CompletionResult]::new('--manifest-path', '--manifest-path', [CompletionResultType]::ParameterName, 'The workspace whose Cargo.lock to mirror')
            [CompletionResult]::new('--lockfile', '--lockfile', [CompletionResultType]::ParameterName, 'Mirror exactly the packages of this Cargo.lock (repeatable)')
            [CompletionResult]::new('--crate', '--crate', [CompletionResultType]::ParameterName, 'Mirror a crate or tool, ready for `cargo install` (repeatable)')
            [CompletionResult]::new('--from-list', '--from-list', [CompletionResultType]::ParameterName, 'Fetch exactly the crates and rustup artifacts of this repair list, to mend a mirror')
            [CompletionResult]::new('--forget', '--forget', [CompletionResultType]::ParameterName, 'Retire an input of the history, by its label (repeatable); `history` lists them')
            [CompletionResult]::new('--label', '--label', [CompletionResultType]::ParameterName, 'What the one input is called in the history and in bundles [default: the name of the package or folder that its file is in; for a crate, as `--crate` names it]')
            [CompletionResult]::new('--base', '--base', [CompletionResultType]::ParameterName, 'The newest bundle that arrived, where later ones were lost; makes the bundle a delta on it')
            [CompletionResult]::new('--reuse', '--reuse', [CompletionResultType]::ParameterName, 'Use the files of an older mirror or bundle where their digest is right (repeatable)')
            [CompletionResult]::new('--skip-registry', '--skip-registry', [CompletionResultType]::ParameterName, 'Leave packages of this alternate registry out, as `--skip-git` does (repeatable)')
            [CompletionResult]::new('--toolchain', '--toolchain', [CompletionResultType]::ParameterName, 'There is no such word: it is told where toolchains are named')
            [CompletionResult]::new('--target', '--target', [CompletionResultType]::ParameterName, 'A target triple to bring toolchains for, in place of those that `[platforms]` in depends.toml names (repeatable) [env: FROSTMIRROR_PLATFORMS, where nothing names any]; which toolchains is `[platforms]`''s to say too, else FROSTMIRROR_TOOLCHAIN''s, and FROSTMIRROR_DIST_URL''s where they come from')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'Where the bundle goes')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'Where the bundle goes')
            [CompletionResult]::new('-j', '-j', [CompletionResultType]::ParameterName, 'Requests under way at once [default: as many as the upstream''s protocol bears]')
            [CompletionResult]::new('--jobs', '--jobs', [CompletionResultType]::ParameterName, 'Requests under way at once [default: as many as the upstream''s protocol bears]')
            [CompletionResult]::new('--base-url', '--base-url', [CompletionResultType]::ParameterName, 'What the bundle''s config.toml tells clients')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colours')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'How to report: for people, or one JSON object a line on stdout')
            [CompletionResult]::new('--incremental', '--incremental', [CompletionResultType]::ParameterName, 'Ship only what the history says was not sent yet [env: FROSTMIRROR_MODE=full|incremental]')
            [CompletionResult]::new('--skip-git', '--skip-git', [CompletionResultType]::ParameterName, 'Leave git dependencies out; the bundle says so, and the far side needs them by other means')
            [CompletionResult]::new('--no-toolchain', '--no-toolchain', [CompletionResultType]::ParameterName, 'Leave toolchains out, even where depends.toml or rust-toolchain.toml names them; earlier ones stay current')
            [CompletionResult]::new('--dry-run', '--dry-run', [CompletionResultType]::ParameterName, 'Show what would be downloaded and what it weighs, and write nothing')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Use the caches alone')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;verify' {
            [CompletionResult]::new('--mirror', '--mirror', [CompletionResultType]::ParameterName, 'Audit this mirror: every file, every index line, every record; with FILE and `--closure`, what the bundles build on')
            [CompletionResult]::new('--closure', '--closure', [CompletionResultType]::ParameterName, 'Can this Cargo.lock be built from the bundles, or from the mirror?')
            [CompletionResult]::new('--repair-list', '--repair-list', [CompletionResultType]::ParameterName, 'Write what the audit found to be fetched again, for `fetch --from-list`')
            [CompletionResult]::new('--lock-timeout', '--lock-timeout', [CompletionResultType]::ParameterName, 'How long to wait for another process that holds the mirror')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colours')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'How to report: for people, or one JSON object a line on stdout')
            [CompletionResult]::new('--rebuild-state', '--rebuild-state', [CompletionResultType]::ParameterName, 'Make a lost or damaged manifest.json, ledger or record of index lines anew from what is on disk, as far as that proves it')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;inspect' {
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'How to print it')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colours')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'How to report: for people, or one JSON object a line on stdout')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;diff' {
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'How to print it; cyclonedx lists what comes')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colours')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'How to report: for people, or one JSON object a line on stdout')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;import' {
            [CompletionResult]::new('--mirror', '--mirror', [CompletionResultType]::ParameterName, 'The mirror, made where it is not there [default: /mirror where it exists, else mirror/ below FROSTMIRROR_HOME]')
            [CompletionResult]::new('--config-dir', '--config-dir', [CompletionResultType]::ParameterName, 'Where a snapshot''s frostmirror.toml and depends.toml go; an ordinary bundle never touches them [default: /config where it exists, else config/ below FROSTMIRROR_HOME]')
            [CompletionResult]::new('--base-url', '--base-url', [CompletionResultType]::ParameterName, 'Write index/config.json for static servers that are reached under this address')
            [CompletionResult]::new('--lock-timeout', '--lock-timeout', [CompletionResultType]::ParameterName, 'How long to wait for another process that holds the mirror')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colours')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'How to report: for people, or one JSON object a line on stdout')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;serve' {
            [CompletionResult]::new('--bind', '--bind', [CompletionResultType]::ParameterName, 'Where to listen; port 0 takes a free one [default: 0.0.0.0:8080]')
            [CompletionResult]::new('--base-url', '--base-url', [CompletionResultType]::ParameterName, 'The address that clients know this server by, for a server behind a proxy [default: the Host that each client asks for]')
            [CompletionResult]::new('--mirror', '--mirror', [CompletionResultType]::ParameterName, 'The mirror [default: /mirror where it exists, else mirror in FROSTMIRROR_HOME]')
            [CompletionResult]::new('--incoming', '--incoming', [CompletionResultType]::ParameterName, 'The folder that bundles are dropped into [default: /incoming where it exists, else incoming in FROSTMIRROR_HOME]')
            [CompletionResult]::new('--config-dir', '--config-dir', [CompletionResultType]::ParameterName, 'The folder of frostmirror.toml, which says what no flag and no variable says; those of a snapshot that is dropped in go there [default: /config where it exists, else config in FROSTMIRROR_HOME]')
            [CompletionResult]::new('--tls-cert', '--tls-cert', [CompletionResultType]::ParameterName, 'Serve over TLS with this certificate, in PEM form with those that lead to its authority; needs --tls-key. It is taken anew when the files change')
            [CompletionResult]::new('--tls-key', '--tls-key', [CompletionResultType]::ParameterName, 'The key of --tls-cert')
            [CompletionResult]::new('--admin-token', '--admin-token', [CompletionResultType]::ParameterName, 'What who changes anything over the API or the pages must know; without one, only a user at this machine may. FROSTMIRROR_ADMIN_TOKEN is seen by fewer eyes than a command line')
            [CompletionResult]::new('--admin-token-file', '--admin-token-file', [CompletionResultType]::ParameterName, 'A file with the admin token')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How reports are written: lines for people, or one JSON object a line on stderr [default: text]. RUST_LOG (off, error, warn, info, debug, trace) says which; each request is one at info')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colours')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'How to report: for people, or one JSON object a line on stdout')
            [CompletionResult]::new('--watch-incoming', '--watch-incoming', [CompletionResultType]::ParameterName, 'Import the bundles that are dropped into the incoming folder')
            [CompletionResult]::new('--live', '--live', [CompletionResultType]::ParameterName, 'Live mode: fetch from upstream what a client asks for and the mirror lacks, check it, and keep it. Needs the network; FROSTMIRROR_PROXY_MODE and `proxy_mode` do the same')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Never use the network for the server itself: live mode cannot be switched on, by whatever route, until the server is started without this flag. FROSTMIRROR_OFFLINE and `offline` do the same')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;up' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'Dependency list [default: the nearest depends.toml up to the workspace''s root, else the workspace''s Cargo.lock]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Dependency list [default: the nearest depends.toml up to the workspace''s root, else the workspace''s Cargo.lock]')
            [CompletionResult]::new('--manifest-path', '--manifest-path', [CompletionResultType]::ParameterName, 'The workspace whose Cargo.lock to mirror')
            [CompletionResult]::new('--lockfile', '--lockfile', [CompletionResultType]::ParameterName, 'Mirror exactly the packages of this Cargo.lock (repeatable)')
            [CompletionResult]::new('--bind', '--bind', [CompletionResultType]::ParameterName, 'Where to listen; port 0 takes a free one')
            [CompletionResult]::new('--label', '--label', [CompletionResultType]::ParameterName, 'What the one input is called in the history [default: the name of the package or folder that its file is in]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colours')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'How to report: for people, or one JSON object a line on stdout')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Use the caches alone')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;status' {
            [CompletionResult]::new('--mirror', '--mirror', [CompletionResultType]::ParameterName, 'The mirror [default: /mirror where it exists, else mirror/ below FROSTMIRROR_HOME]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colours')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'How to report: for people, or one JSON object a line on stdout')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;list' {
            [CompletionResult]::new('--mirror', '--mirror', [CompletionResultType]::ParameterName, 'The mirror [default: FROSTMIRROR_MIRROR, else /mirror where it exists, else mirror/ below FROSTMIRROR_HOME]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colours')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'How to report: for people, or one JSON object a line on stdout')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;gc' {
            [CompletionResult]::new('--mirror', '--mirror', [CompletionResultType]::ParameterName, 'The mirror [default: /mirror where it exists, else mirror/ below FROSTMIRROR_HOME]')
            [CompletionResult]::new('--grace', '--grace', [CompletionResultType]::ParameterName, 'How long a crate or a component stays after its index line or its channel went, for clients that saw that: 0, 90s, 10m, 2h, 7d')
            [CompletionResult]::new('--forget', '--forget', [CompletionResultType]::ParameterName, 'Let a lineage go, by its id or the beginning of it: what only its bundles need is garbage; `live` for what live mode brought (repeatable)')
            [CompletionResult]::new('--accept', '--accept', [CompletionResultType]::ParameterName, 'Accept the newest bundle of a doubtful lineage (ID or unique prefix): files that only its other bundles need become garbage. With @BUNDLE, only if that bundle is the newest. A new doubt needs the flag again (repeatable)')
            [CompletionResult]::new('--lock-timeout', '--lock-timeout', [CompletionResultType]::ParameterName, 'How long to wait for another process that holds the mirror')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colours')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'How to report: for people, or one JSON object a line on stdout')
            [CompletionResult]::new('--dry-run', '--dry-run', [CompletionResultType]::ParameterName, 'Print the plan and change nothing')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;history' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colours')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'How to report: for people, or one JSON object a line on stdout')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the inputs and the bundles that were sent (default)')
            [CompletionResult]::new('forget', 'forget', [CompletionResultType]::ParameterValue, 'Forget an input: the next bundle no longer names what only it needs')
            [CompletionResult]::new('label', 'label', [CompletionResultType]::ParameterValue, 'Give an input another label')
            break
        }
        'cargo-frostmirror;history;list' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colours')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'How to report: for people, or one JSON object a line on stdout')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;history;forget' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colours')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'How to report: for people, or one JSON object a line on stdout')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;history;label' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colours')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'How to report: for people, or one JSON object a line on stdout')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;export' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colours')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'How to report: for people, or one JSON object a line on stdout')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('snapshot', 'snapshot', [CompletionResultType]::ParameterValue, 'The whole mirror with its configuration as one .pkg, to be imported elsewhere')
            [CompletionResult]::new('local-registry', 'local-registry', [CompletionResultType]::ParameterValue, 'The .crate files and the index, for cargo''s `local-registry`')
            [CompletionResult]::new('vendor', 'vendor', [CompletionResultType]::ParameterValue, 'Every crate unpacked, for cargo''s `directory` source')
            break
        }
        'cargo-frostmirror;export;snapshot' {
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'The folder that it is written into, as snapshot-YYYYMMDD-HHMM.pkg')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'The folder that it is written into, as snapshot-YYYYMMDD-HHMM.pkg')
            [CompletionResult]::new('--config-dir', '--config-dir', [CompletionResultType]::ParameterName, 'Where the server''s frostmirror.toml and depends.toml are [default: /config where it exists, else config/ below FROSTMIRROR_HOME]')
            [CompletionResult]::new('--mirror', '--mirror', [CompletionResultType]::ParameterName, 'The mirror [default: /mirror where it exists, else mirror/ below FROSTMIRROR_HOME]')
            [CompletionResult]::new('--lock-timeout', '--lock-timeout', [CompletionResultType]::ParameterName, 'How long to wait for another process that changes the mirror')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colours')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'How to report: for people, or one JSON object a line on stdout')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;export;local-registry' {
            [CompletionResult]::new('--mirror', '--mirror', [CompletionResultType]::ParameterName, 'The mirror [default: /mirror where it exists, else mirror/ below FROSTMIRROR_HOME]')
            [CompletionResult]::new('--lock-timeout', '--lock-timeout', [CompletionResultType]::ParameterName, 'How long to wait for another process that changes the mirror')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colours')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'How to report: for people, or one JSON object a line on stdout')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;export;vendor' {
            [CompletionResult]::new('--mirror', '--mirror', [CompletionResultType]::ParameterName, 'The mirror [default: /mirror where it exists, else mirror/ below FROSTMIRROR_HOME]')
            [CompletionResult]::new('--lock-timeout', '--lock-timeout', [CompletionResultType]::ParameterName, 'How long to wait for another process that changes the mirror')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colours')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'How to report: for people, or one JSON object a line on stdout')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;setup' {
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'The server''s address')
            [CompletionResult]::new('--mirror', '--mirror', [CompletionResultType]::ParameterName, 'The mirror for --local [env: FROSTMIRROR_MIRROR] [default: /mirror where it exists, else mirror in FROSTMIRROR_HOME]')
            [CompletionResult]::new('--ca', '--ca', [CompletionResultType]::ParameterName, 'Certificates (PEM) of the authority that vouches for the server')
            [CompletionResult]::new('--check-revoke', '--check-revoke', [CompletionResultType]::ParameterName, 'Whether cargo on Windows asks for revocation lists; a closed network has none')
            [CompletionResult]::new('--env', '--env', [CompletionResultType]::ParameterName, 'Print rustup''s variables alone, as a shell takes them: `eval "$(cargo frostmirror setup --env sh)"`')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colours')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'How to report: for people, or one JSON object a line on stdout')
            [CompletionResult]::new('--local', '--local', [CompletionResultType]::ParameterName, 'Use the mirror on this machine''s disk, with no server')
            [CompletionResult]::new('--auth-required', '--auth-required', [CompletionResultType]::ParameterName, 'The server asks its readers for a token: tells cargo where `cargo login` keeps it')
            [CompletionResult]::new('--write', '--write', [CompletionResultType]::ParameterName, 'Merge cargo''s part into $CARGO_HOME/config.toml; rustup has nothing but its environment')
            [CompletionResult]::new('--undo', '--undo', [CompletionResultType]::ParameterName, 'Take back what --write did')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;guide' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colours')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'How to report: for people, or one JSON object a line on stdout')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;completions' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colours')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'How to report: for people, or one JSON object a line on stdout')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;man' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colours')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'How to report: for people, or one JSON object a line on stdout')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more (repeatable)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
    })

    $completions.Where{ $_.CompletionText -like "$wordToComplete*" } |
        Sort-Object -Property ListItemText
}
