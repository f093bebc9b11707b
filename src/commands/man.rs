//! `man`: prints the man page, or writes all pages into a folder.

use std::path::PathBuf;

use super::Context;
use crate::durable;
use crate::error_report::Failure;

mod page;

/// Arguments of `man`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder for all pages [default: print cargo-frostmirror(1)]
    #[arg(value_hint = clap::ValueHint::DirPath)]
    pub dir: Option<PathBuf>,
}

/// Runs the verb; `command` is the whole command line.
pub fn run(args: &Args, command: clap::Command, context: &Context) -> Result<(), Failure> {
    let pages = render_pages(command);
    let Some(dir) = &args.dir else {
        if let Some((_, page)) = pages.first() {
            context.reporter.print_data(page);
        }
        return Ok(());
    };
    let dir = context.absolute(dir);
    let failed = |source| {
        let failure = Failure::io(format!("could not write man pages into `{}`", dir.display()), source);
        let hint =
            failure.hint.clone().unwrap_or_else(|| "give a folder that can be created, or an existing one".to_owned());
        failure.hint(hint)
    };
    durable::make_folder(&dir).map_err(failed)?;
    for (name, page) in &pages {
        durable::write(&dir.join(name), page.as_bytes()).map_err(failed)?;
    }
    Ok(())
}

/// Every page with its file name; the page of the program comes first, and each verb before its subcommands.
pub fn render_pages(mut command: clap::Command) -> Vec<(String, String)> {
    command.build();
    let mut pages = Vec::new();
    add_pages(&command, &[], &mut pages);
    pages
}

fn add_pages(command: &clap::Command, path: &[&str], pages: &mut Vec<(String, String)>) {
    pages.push((format!("{}.1", page::page_name(path)), page::render(command, path)));
    for verb in command.get_subcommands() {
        let path: Vec<&str> = path.iter().copied().chain([verb.get_name()]).collect();
        add_pages(verb, &path, pages);
    }
}
