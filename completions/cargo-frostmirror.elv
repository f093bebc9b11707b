
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
            cand verify 'Check bundles: every entry, every problem'
            cand inspect 'Show what a bundle''s manifest says'
            cand import 'Verify bundles and place them in a mirror, all or nothing'
            cand serve 'Serve a mirror to cargo'
            cand up 'Fetch, import and serve on this machine'
            cand status 'Say what a mirror holds'
            cand setup 'Print or write cargo''s configuration for a mirror'
            cand completions 'Print a completion script'
            cand man 'Print the man page, or write all of them into a folder'
        }
        &'cargo-frostmirror;init'= {
            cand --color 'When to use colours'
            cand --message-format 'How to report: for people, or one JSON object a line on stdout'
            cand -v 'Say more (repeatable)'
            cand --verbose 'Say more (repeatable)'
            cand -q 'Say nothing but errors'
            cand --quiet 'Say nothing but errors'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'cargo-frostmirror;fetch'= {
            cand --color 'When to use colours'
            cand --message-format 'How to report: for people, or one JSON object a line on stdout'
            cand -v 'Say more (repeatable)'
            cand --verbose 'Say more (repeatable)'
            cand -q 'Say nothing but errors'
            cand --quiet 'Say nothing but errors'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'cargo-frostmirror;verify'= {
            cand --color 'When to use colours'
            cand --message-format 'How to report: for people, or one JSON object a line on stdout'
            cand -v 'Say more (repeatable)'
            cand --verbose 'Say more (repeatable)'
            cand -q 'Say nothing but errors'
            cand --quiet 'Say nothing but errors'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'cargo-frostmirror;inspect'= {
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
            cand --color 'When to use colours'
            cand --message-format 'How to report: for people, or one JSON object a line on stdout'
            cand -v 'Say more (repeatable)'
            cand --verbose 'Say more (repeatable)'
            cand -q 'Say nothing but errors'
            cand --quiet 'Say nothing but errors'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'cargo-frostmirror;up'= {
            cand --color 'When to use colours'
            cand --message-format 'How to report: for people, or one JSON object a line on stdout'
            cand -v 'Say more (repeatable)'
            cand --verbose 'Say more (repeatable)'
            cand -q 'Say nothing but errors'
            cand --quiet 'Say nothing but errors'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'cargo-frostmirror;status'= {
            cand --color 'When to use colours'
            cand --message-format 'How to report: for people, or one JSON object a line on stdout'
            cand -v 'Say more (repeatable)'
            cand --verbose 'Say more (repeatable)'
            cand -q 'Say nothing but errors'
            cand --quiet 'Say nothing but errors'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'cargo-frostmirror;setup'= {
            cand --color 'When to use colours'
            cand --message-format 'How to report: for people, or one JSON object a line on stdout'
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
