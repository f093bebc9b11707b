
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
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Format of reports')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('init', 'init', [CompletionResultType]::ParameterValue, 'Write depends.toml from a workspace')
            [CompletionResult]::new('fetch', 'fetch', [CompletionResultType]::ParameterValue, 'Resolve and download what projects need, and write one .pkg')
            [CompletionResult]::new('verify', 'verify', [CompletionResultType]::ParameterValue, 'Check bundles, a mirror, or whether a Cargo.lock builds from them')
            [CompletionResult]::new('inspect', 'inspect', [CompletionResultType]::ParameterValue, 'Show a bundle''s manifest without reading its payload')
            [CompletionResult]::new('diff', 'diff', [CompletionResultType]::ParameterValue, 'Compare two bundles')
            [CompletionResult]::new('import', 'import', [CompletionResultType]::ParameterValue, 'Verify bundles and import them into a mirror, all or nothing')
            [CompletionResult]::new('serve', 'serve', [CompletionResultType]::ParameterValue, 'Serve a mirror to cargo, rustup and a browser')
            [CompletionResult]::new('up', 'up', [CompletionResultType]::ParameterValue, 'Fetch, import and serve for this machine alone')
            [CompletionResult]::new('status', 'status', [CompletionResultType]::ParameterValue, 'Show what a mirror contains')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the crates of a mirror or a bundle')
            [CompletionResult]::new('gc', 'gc', [CompletionResultType]::ParameterValue, 'Remove files from a mirror that no history needs')
            [CompletionResult]::new('history', 'history', [CompletionResultType]::ParameterValue, 'List inputs and sent bundles; forget or label an input')
            [CompletionResult]::new('export', 'export', [CompletionResultType]::ParameterValue, 'Export a mirror as one .pkg, or its crates as a cargo source')
            [CompletionResult]::new('setup', 'setup', [CompletionResultType]::ParameterValue, 'Print or write cargo''s and rustup''s configuration for a mirror')
            [CompletionResult]::new('guide', 'guide', [CompletionResultType]::ParameterValue, 'Print a chapter of the user''s guide')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print a completion script for a shell')
            [CompletionResult]::new('man', 'man', [CompletionResultType]::ParameterValue, 'Print a man page, or write all of them into a folder')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print the help of a verb, or a topic')
            break
        }
        'cargo-frostmirror;init' {
            [CompletionResult]::new('--manifest-path', '--manifest-path', [CompletionResultType]::ParameterName, 'Cargo.toml of a workspace to list (repeatable)')
            [CompletionResult]::new('--from', '--from', [CompletionResultType]::ParameterName, 'Source')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'Output file [default: depends.toml in the workspace root]')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'Output file [default: depends.toml in the workspace root]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Format of reports')
            [CompletionResult]::new('--update', '--update', [CompletionResultType]::ParameterName, 'Update `[locked]` in the existing file, and keep the rest')
            [CompletionResult]::new('--force', '--force', [CompletionResultType]::ParameterName, 'Replace the existing file')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;fetch' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'Dependency list [default: depends.toml, else Cargo.lock]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Dependency list [default: depends.toml, else Cargo.lock]')
            [CompletionResult]::new('--manifest-path', '--manifest-path', [CompletionResultType]::ParameterName, 'Workspace to fetch, by its Cargo.toml')
            [CompletionResult]::new('--lockfile', '--lockfile', [CompletionResultType]::ParameterName, 'Cargo.lock to fetch exactly (repeatable)')
            [CompletionResult]::new('--crate', '--crate', [CompletionResultType]::ParameterName, 'Crate or tool to fetch (repeatable)')
            [CompletionResult]::new('--from-list', '--from-list', [CompletionResultType]::ParameterName, 'Repair list to fetch, from `verify --repair-list`')
            [CompletionResult]::new('--label', '--label', [CompletionResultType]::ParameterName, 'Label [default: its package, folder or crate]')
            [CompletionResult]::new('--forget', '--forget', [CompletionResultType]::ParameterName, 'Input of the history to retire (repeatable)')
            [CompletionResult]::new('--skip-registry', '--skip-registry', [CompletionResultType]::ParameterName, 'Leave this alternate registry out (repeatable)')
            [CompletionResult]::new('--target', '--target', [CompletionResultType]::ParameterName, 'Target to fetch toolchains for (repeatable)')
            [CompletionResult]::new('--toolchain', '--toolchain', [CompletionResultType]::ParameterName, 'Not supported; its error says where to name toolchains')
            [CompletionResult]::new('--base', '--base', [CompletionResultType]::ParameterName, 'Last bundle before the first lost one')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'Folder for the bundle')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'Folder for the bundle')
            [CompletionResult]::new('--base-url', '--base-url', [CompletionResultType]::ParameterName, 'Mirror''s URL for clients')
            [CompletionResult]::new('--reuse', '--reuse', [CompletionResultType]::ParameterName, 'Older mirror or bundle to take files from (repeatable)')
            [CompletionResult]::new('-j', '-j', [CompletionResultType]::ParameterName, 'Parallel requests [default: 128 with HTTP/2, else 8]')
            [CompletionResult]::new('--jobs', '--jobs', [CompletionResultType]::ParameterName, 'Parallel requests [default: 128 with HTTP/2, else 8]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Format of reports')
            [CompletionResult]::new('--skip-git', '--skip-git', [CompletionResultType]::ParameterName, 'Leave git dependencies out')
            [CompletionResult]::new('--no-toolchain', '--no-toolchain', [CompletionResultType]::ParameterName, 'Leave toolchains out of this bundle')
            [CompletionResult]::new('--drop-toolchains', '--drop-toolchains', [CompletionResultType]::ParameterName, 'Retire earlier toolchains, and fetch none')
            [CompletionResult]::new('--incremental', '--incremental', [CompletionResultType]::ParameterName, 'Write a delta: only files that earlier bundles lack')
            [CompletionResult]::new('--dry-run', '--dry-run', [CompletionResultType]::ParameterName, 'Print the downloads and their sizes; write nothing')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Use only the caches; send no request')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;verify' {
            [CompletionResult]::new('--mirror', '--mirror', [CompletionResultType]::ParameterName, 'Mirror to audit')
            [CompletionResult]::new('--closure', '--closure', [CompletionResultType]::ParameterName, 'Cargo.lock to check: can the bundles or the mirror build it?')
            [CompletionResult]::new('--repair-list', '--repair-list', [CompletionResultType]::ParameterName, 'Write the files to fetch again, for `fetch --from-list`')
            [CompletionResult]::new('--lock-timeout', '--lock-timeout', [CompletionResultType]::ParameterName, 'Seconds to wait for the mirror''s lock')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Format of reports')
            [CompletionResult]::new('--rebuild-state', '--rebuild-state', [CompletionResultType]::ParameterName, 'Rebuild lost or damaged records from the mirror''s files')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;inspect' {
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'Output format')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Format of reports')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;diff' {
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'Output format')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Format of reports')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;import' {
            [CompletionResult]::new('--mirror', '--mirror', [CompletionResultType]::ParameterName, 'Mirror [default: /mirror, else ~/.frostmirror/mirror]')
            [CompletionResult]::new('--config-dir', '--config-dir', [CompletionResultType]::ParameterName, 'Snapshot''s settings [default: /config, else ~/.frostmirror/config]')
            [CompletionResult]::new('--base-url', '--base-url', [CompletionResultType]::ParameterName, 'Base URL of a static web server; writes index/config.json')
            [CompletionResult]::new('--lock-timeout', '--lock-timeout', [CompletionResultType]::ParameterName, 'Seconds to wait for the mirror''s lock')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Format of reports')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;serve' {
            [CompletionResult]::new('--bind', '--bind', [CompletionResultType]::ParameterName, 'Listening address; port 0 picks a free port [default: 0.0.0.0:8080]')
            [CompletionResult]::new('--base-url', '--base-url', [CompletionResultType]::ParameterName, 'Base URL of clients behind a proxy [default: each request''s Host]')
            [CompletionResult]::new('--mirror', '--mirror', [CompletionResultType]::ParameterName, 'Mirror [default: /mirror, else ~/.frostmirror/mirror]')
            [CompletionResult]::new('--incoming', '--incoming', [CompletionResultType]::ParameterName, 'Incoming folder [default: /incoming, else ~/.frostmirror/incoming]')
            [CompletionResult]::new('--config-dir', '--config-dir', [CompletionResultType]::ParameterName, 'Folder of settings [default: /config, else ~/.frostmirror/config]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Log format on stderr [default: text]')
            [CompletionResult]::new('--admin-token', '--admin-token', [CompletionResultType]::ParameterName, 'Token required for write requests')
            [CompletionResult]::new('--admin-token-file', '--admin-token-file', [CompletionResultType]::ParameterName, 'File with the admin token')
            [CompletionResult]::new('--tls-cert', '--tls-cert', [CompletionResultType]::ParameterName, 'TLS certificate chain (PEM); needs --tls-key')
            [CompletionResult]::new('--tls-key', '--tls-key', [CompletionResultType]::ParameterName, 'Private key (PEM) of --tls-cert')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Format of reports')
            [CompletionResult]::new('--watch-incoming', '--watch-incoming', [CompletionResultType]::ParameterName, 'Import bundles that appear in the incoming folder')
            [CompletionResult]::new('--live', '--live', [CompletionResultType]::ParameterName, 'Live mode: fetch requested files that the mirror lacks')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Send no request to upstream; live mode stays off')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;up' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'Dependency list [default: depends.toml, else Cargo.lock]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Dependency list [default: depends.toml, else Cargo.lock]')
            [CompletionResult]::new('--manifest-path', '--manifest-path', [CompletionResultType]::ParameterName, 'Workspace to mirror, by its Cargo.toml')
            [CompletionResult]::new('--lockfile', '--lockfile', [CompletionResultType]::ParameterName, 'Cargo.lock to mirror exactly (repeatable)')
            [CompletionResult]::new('--bind', '--bind', [CompletionResultType]::ParameterName, 'Listening address; port 0 picks a free port')
            [CompletionResult]::new('--label', '--label', [CompletionResultType]::ParameterName, 'Label of the input [default: its package or folder]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Format of reports')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Use only the caches; send no request')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;status' {
            [CompletionResult]::new('--mirror', '--mirror', [CompletionResultType]::ParameterName, 'Mirror [default: /mirror, else ~/.frostmirror/mirror]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Format of reports')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;list' {
            [CompletionResult]::new('--mirror', '--mirror', [CompletionResultType]::ParameterName, 'Mirror to list [default: /mirror, else ~/.frostmirror/mirror]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Format of reports')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;gc' {
            [CompletionResult]::new('--mirror', '--mirror', [CompletionResultType]::ParameterName, 'Mirror [default: /mirror, else ~/.frostmirror/mirror]')
            [CompletionResult]::new('--grace', '--grace', [CompletionResultType]::ParameterName, 'Grace period, such as 0, 90s, 2h or 7d')
            [CompletionResult]::new('--forget', '--forget', [CompletionResultType]::ParameterName, 'Lineage to forget, by ID or prefix (repeatable)')
            [CompletionResult]::new('--accept', '--accept', [CompletionResultType]::ParameterName, 'Doubtful lineage whose newest bundle to accept (repeatable)')
            [CompletionResult]::new('--reject', '--reject', [CompletionResultType]::ParameterName, 'False bundle, which the sender did not write (repeatable)')
            [CompletionResult]::new('--lock-timeout', '--lock-timeout', [CompletionResultType]::ParameterName, 'Seconds to wait for the mirror''s lock')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Format of reports')
            [CompletionResult]::new('--dry-run', '--dry-run', [CompletionResultType]::ParameterName, 'Print the plan, and remove nothing')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;history' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Format of reports')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the inputs and the sent bundles (the default)')
            [CompletionResult]::new('forget', 'forget', [CompletionResultType]::ParameterValue, 'Forget an input; the next bundle no longer needs its files')
            [CompletionResult]::new('label', 'label', [CompletionResultType]::ParameterValue, 'Give an input another label')
            break
        }
        'cargo-frostmirror;history;list' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Format of reports')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;history;forget' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Format of reports')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;history;label' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Format of reports')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;export' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Format of reports')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('snapshot', 'snapshot', [CompletionResultType]::ParameterValue, 'Write the whole mirror and its settings as one .pkg')
            [CompletionResult]::new('local-registry', 'local-registry', [CompletionResultType]::ParameterValue, 'Write the .crate files and the index as cargo''s `local-registry`')
            [CompletionResult]::new('vendor', 'vendor', [CompletionResultType]::ParameterValue, 'Unpack every crate as cargo''s `directory` source')
            break
        }
        'cargo-frostmirror;export;snapshot' {
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'Folder for the bundle, snapshot-YYYYMMDD-HHMM.pkg')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'Folder for the bundle, snapshot-YYYYMMDD-HHMM.pkg')
            [CompletionResult]::new('--config-dir', '--config-dir', [CompletionResultType]::ParameterName, 'Folder of settings [default: /config, else ~/.frostmirror/config]')
            [CompletionResult]::new('--mirror', '--mirror', [CompletionResultType]::ParameterName, 'Mirror to export [default: /mirror, else ~/.frostmirror/mirror]')
            [CompletionResult]::new('--lock-timeout', '--lock-timeout', [CompletionResultType]::ParameterName, 'Seconds to wait for the mirror''s lock')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Format of reports')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;export;local-registry' {
            [CompletionResult]::new('--mirror', '--mirror', [CompletionResultType]::ParameterName, 'Mirror to export [default: /mirror, else ~/.frostmirror/mirror]')
            [CompletionResult]::new('--lock-timeout', '--lock-timeout', [CompletionResultType]::ParameterName, 'Seconds to wait for the mirror''s lock')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Format of reports')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;export;vendor' {
            [CompletionResult]::new('--mirror', '--mirror', [CompletionResultType]::ParameterName, 'Mirror to export [default: /mirror, else ~/.frostmirror/mirror]')
            [CompletionResult]::new('--lock-timeout', '--lock-timeout', [CompletionResultType]::ParameterName, 'Seconds to wait for the mirror''s lock')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Format of reports')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;setup' {
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'Server URL')
            [CompletionResult]::new('--mirror', '--mirror', [CompletionResultType]::ParameterName, 'Mirror for --local [default: /mirror, else ~/.frostmirror/mirror]')
            [CompletionResult]::new('--ca', '--ca', [CompletionResultType]::ParameterName, 'CA certificates (PEM) with which clients trust the server')
            [CompletionResult]::new('--check-revoke', '--check-revoke', [CompletionResultType]::ParameterName, 'Revocation check of cargo on Windows')
            [CompletionResult]::new('--env', '--env', [CompletionResultType]::ParameterName, 'Print rustup''s variables only')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Format of reports')
            [CompletionResult]::new('--local', '--local', [CompletionResultType]::ParameterName, 'Use the mirror on this machine''s disk, without a server')
            [CompletionResult]::new('--auth-required', '--auth-required', [CompletionResultType]::ParameterName, 'Configure cargo for a server that requires a read token')
            [CompletionResult]::new('--write', '--write', [CompletionResultType]::ParameterName, 'Write cargo''s part to $CARGO_HOME/config.toml')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Do not contact the server')
            [CompletionResult]::new('--undo', '--undo', [CompletionResultType]::ParameterName, 'Undo the changes of --write')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;guide' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Format of reports')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;completions' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Format of reports')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;man' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Format of reports')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'cargo-frostmirror;help' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colors')
            [CompletionResult]::new('--message-format', '--message-format', [CompletionResultType]::ParameterName, 'Format of reports')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Name each crate and file (-v), and each HTTP request (-vv)')
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
