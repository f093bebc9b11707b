
use builtin;
use str;

set edit:completion:arg-completer[cargo-frostmirror] = {|@words|
    fn spaces {|n|
        builtin:repeat $n ' ' | str:join ''
    }
    fn cand {|text desc|
        edit:complex-candidate $text &display=$text' '(spaces (- 14 (wcswidth $text)))$desc
    }
    var command = 'cargo-frostmirror'
    for word $words[1..-1] {
        if (str:has-prefix $word '-') {
            break
        }
        set command = $command';'$word
    }
    var completions = [
        &'cargo-frostmirror'= {
            cand --color 'When to use colours'
            cand --message-format 'How to report: for people, or one JSON object a line on stdout'
            cand -v 'Say more (repeatable)'
            cand --verbose 'Say more (repeatable)'
            cand -q 'Say nothing but errors'
            cand --quiet 'Say nothing but errors'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
            cand init 'Write depends.toml from a workspace'
            cand fetch 'Resolve, download, and write one .pkg'
            cand verify 'Check bundles, audit a mirror, or hold a Cargo.lock against either: every problem'
            cand inspect 'Show what a bundle''s manifest says'
            cand diff 'Show what a bundle changes against another'
            cand import 'Verify bundles and place them in a mirror, all or nothing'
            cand serve 'Serve a mirror to cargo'
            cand up 'Fetch, import and serve on this machine'
            cand status 'Say what a mirror holds'
            cand list 'List the crates that a mirror or a bundle holds'
            cand gc 'Remove from a mirror what no history needs any more'
            cand setup 'Print or write cargo''s configuration for a mirror'
            cand completions 'Print a completion script'
            cand man 'Print the man page, or write all of them into a folder'
        }
        &'cargo-frostmirror;init'= {
            cand --manifest-path 'Take the workspace of this Cargo.toml instead of the one around the current directory (repeatable: merged)'
            cand --from 'What to take: exact versions of Cargo.lock, the members'' own requirements, or both'
            cand -o 'The file to write'
            cand --output 'The file to write'
            cand --color 'When to use colours'
            cand --message-format 'How to report: for people, or one JSON object a line on stdout'
            cand --update 'Renew `[locked]` in the file that is there, and keep all else'
            cand --force 'Replace the file that is there'
            cand -v 'Say more (repeatable)'
            cand --verbose 'Say more (repeatable)'
            cand -q 'Say nothing but errors'
            cand --quiet 'Say nothing but errors'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'cargo-frostmirror;fetch'= {
            cand -c 'What to mirror; where the default does not exist and a workspace is found, its Cargo.lock is used'
            cand --config 'What to mirror; where the default does not exist and a workspace is found, its Cargo.lock is used'
            cand --manifest-path 'The workspace whose Cargo.lock to mirror'
            cand --lockfile 'Mirror exactly the packages of this Cargo.lock (repeatable)'
            cand --crate 'Mirror a crate or tool, ready for `cargo install` (repeatable)'
            cand --from-list 'Fetch exactly the crates of this repair list, to mend a mirror'
            cand --forget 'Retire an input of the history, named as `inspect` shows it (repeatable)'
            cand --base 'The newest bundle that arrived, where later ones were lost; makes the bundle a delta on it'
            cand --reuse 'Use the crates of an older mirror or bundle where their digest is right (repeatable)'
            cand --skip-registry 'Leave packages of this alternate registry out, each named in a warning (repeatable)'
            cand -o 'Where the bundle goes'
            cand --output 'Where the bundle goes'
            cand -j 'Requests under way at once [default: as many as the upstream''s protocol bears]'
            cand --jobs 'Requests under way at once [default: as many as the upstream''s protocol bears]'
            cand --base-url 'What the bundle''s config.toml tells clients'
            cand --color 'When to use colours'
            cand --message-format 'How to report: for people, or one JSON object a line on stdout'
            cand --incremental 'Ship only what the history says was not sent yet [env: FROSTMIRROR_MODE=full|incremental]'
            cand --skip-git 'Leave git dependencies out, each named in a warning'
            cand --no-toolchain 'Leave toolchains out, even where depends.toml asks for them'
            cand --dry-run 'Show what would be downloaded and what it weighs, and write nothing'
            cand --offline 'Use the caches alone'
            cand -v 'Say more (repeatable)'
            cand --verbose 'Say more (repeatable)'
            cand -q 'Say nothing but errors'
            cand --quiet 'Say nothing but errors'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'cargo-frostmirror;verify'= {
            cand --mirror 'Audit this mirror: every file, every index line, every record; with FILE and `--closure`, what the bundles build on'
            cand --closure 'Can this Cargo.lock be built from the bundles, or from the mirror?'
            cand --repair-list 'Write what the audit found to be fetched again, for `fetch --from-list`'
            cand --lock-timeout 'How long to wait for another process that holds the mirror'
            cand --color 'When to use colours'
            cand --message-format 'How to report: for people, or one JSON object a line on stdout'
            cand --rebuild-state 'Make a lost or damaged manifest.json, ledger or record of index lines anew from what is on disk, as far as that proves it'
            cand -v 'Say more (repeatable)'
            cand --verbose 'Say more (repeatable)'
            cand -q 'Say nothing but errors'
            cand --quiet 'Say nothing but errors'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'cargo-frostmirror;inspect'= {
            cand --format 'How to print it'
            cand --color 'When to use colours'
            cand --message-format 'How to report: for people, or one JSON object a line on stdout'
            cand -v 'Say more (repeatable)'
            cand --verbose 'Say more (repeatable)'
            cand -q 'Say nothing but errors'
            cand --quiet 'Say nothing but errors'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'cargo-frostmirror;diff'= {
            cand --format 'How to print it; cyclonedx lists what comes'
            cand --color 'When to use colours'
            cand --message-format 'How to report: for people, or one JSON object a line on stdout'
            cand -v 'Say more (repeatable)'
            cand --verbose 'Say more (repeatable)'
            cand -q 'Say nothing but errors'
            cand --quiet 'Say nothing but errors'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'cargo-frostmirror;import'= {
            cand --mirror 'The mirror, made where it is not there [default: /mirror where it exists, else mirror/ below FROSTMIRROR_HOME]'
            cand --config-dir 'Where a snapshot''s configuration goes; an ordinary bundle never touches it'
            cand --base-url 'Write index/config.json for static servers that are reached under this address'
            cand --lock-timeout 'How long to wait for another process that holds the mirror'
            cand --color 'When to use colours'
            cand --message-format 'How to report: for people, or one JSON object a line on stdout'
            cand -v 'Say more (repeatable)'
            cand --verbose 'Say more (repeatable)'
            cand -q 'Say nothing but errors'
            cand --quiet 'Say nothing but errors'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'cargo-frostmirror;serve'= {
            cand --bind 'Where to listen; port 0 takes a free one'
            cand --base-url 'The address that clients know this server by, for a server behind a proxy [default: the Host that each client asks for]'
            cand --mirror 'The mirror [default: /mirror where it exists, else mirror in FROSTMIRROR_HOME]'
            cand --incoming 'With --watch-incoming, the folder that bundles are dropped into [default: /incoming where it exists, else incoming in FROSTMIRROR_HOME]'
            cand --color 'When to use colours'
            cand --message-format 'How to report: for people, or one JSON object a line on stdout'
            cand --watch-incoming 'Import the bundles that are dropped into the incoming folder'
            cand -v 'Say more (repeatable)'
            cand --verbose 'Say more (repeatable)'
            cand -q 'Say nothing but errors'
            cand --quiet 'Say nothing but errors'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'cargo-frostmirror;up'= {
            cand -c 'What to mirror; where the default does not exist, the Cargo.lock of the workspace is used'
            cand --config 'What to mirror; where the default does not exist, the Cargo.lock of the workspace is used'
            cand --manifest-path 'The workspace whose Cargo.lock to mirror'
            cand --lockfile 'Mirror exactly the packages of this Cargo.lock (repeatable)'
            cand --bind 'Where to listen; port 0 takes a free one'
            cand --color 'When to use colours'
            cand --message-format 'How to report: for people, or one JSON object a line on stdout'
            cand --offline 'Use the caches alone'
            cand -v 'Say more (repeatable)'
            cand --verbose 'Say more (repeatable)'
            cand -q 'Say nothing but errors'
            cand --quiet 'Say nothing but errors'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'cargo-frostmirror;status'= {
            cand --mirror 'The mirror [default: /mirror where it exists, else mirror/ below FROSTMIRROR_HOME]'
            cand --color 'When to use colours'
            cand --message-format 'How to report: for people, or one JSON object a line on stdout'
            cand -v 'Say more (repeatable)'
            cand --verbose 'Say more (repeatable)'
            cand -q 'Say nothing but errors'
            cand --quiet 'Say nothing but errors'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'cargo-frostmirror;list'= {
            cand --mirror 'The mirror [default: FROSTMIRROR_MIRROR, else /mirror where it exists, else mirror/ below FROSTMIRROR_HOME]'
            cand --color 'When to use colours'
            cand --message-format 'How to report: for people, or one JSON object a line on stdout'
            cand -v 'Say more (repeatable)'
            cand --verbose 'Say more (repeatable)'
            cand -q 'Say nothing but errors'
            cand --quiet 'Say nothing but errors'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'cargo-frostmirror;gc'= {
            cand --mirror 'The mirror [default: /mirror where it exists, else mirror/ below FROSTMIRROR_HOME]'
            cand --grace 'How long a crate stays after its index line went, for clients that saw the line: 0, 90s, 10m, 2h, 7d'
            cand --forget 'Let a lineage go, by its id or the beginning of it: what only its bundles need is garbage (repeatable)'
            cand --lock-timeout 'How long to wait for another process that holds the mirror'
            cand --color 'When to use colours'
            cand --message-format 'How to report: for people, or one JSON object a line on stdout'
            cand --dry-run 'Print the plan and change nothing'
            cand -v 'Say more (repeatable)'
            cand --verbose 'Say more (repeatable)'
            cand -q 'Say nothing but errors'
            cand --quiet 'Say nothing but errors'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'cargo-frostmirror;setup'= {
            cand --url 'The server''s address'
            cand --mirror 'The mirror for --local [env: FROSTMIRROR_MIRROR] [default: /mirror where it exists, else mirror in FROSTMIRROR_HOME]'
            cand --ca 'Certificates (PEM) of the authority that vouches for the server'
            cand --check-revoke 'Whether cargo on Windows asks for revocation lists; a closed network has none'
            cand --color 'When to use colours'
            cand --message-format 'How to report: for people, or one JSON object a line on stdout'
            cand --local 'Use the mirror on this machine''s disk, with no server'
            cand --write 'Merge it into $CARGO_HOME/config.toml'
            cand --undo 'Take back what --write did'
            cand -v 'Say more (repeatable)'
            cand --verbose 'Say more (repeatable)'
            cand -q 'Say nothing but errors'
            cand --quiet 'Say nothing but errors'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'cargo-frostmirror;completions'= {
            cand --color 'When to use colours'
            cand --message-format 'How to report: for people, or one JSON object a line on stdout'
            cand -v 'Say more (repeatable)'
            cand --verbose 'Say more (repeatable)'
            cand -q 'Say nothing but errors'
            cand --quiet 'Say nothing but errors'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'cargo-frostmirror;man'= {
            cand --color 'When to use colours'
            cand --message-format 'How to report: for people, or one JSON object a line on stdout'
            cand -v 'Say more (repeatable)'
            cand --verbose 'Say more (repeatable)'
            cand -q 'Say nothing but errors'
            cand --quiet 'Say nothing but errors'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
    ]
    $completions[$command]
}
