//! `man`: prints the man page, or writes all pages into a folder.

use std::path::PathBuf;

use super::Context;
use crate::durable;
use crate::error_report::{ErrorClass, Failure};

/// Arguments of `man`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write all pages into this folder instead of printing the first
    pub dir: Option<PathBuf>,
}

/// Runs the verb; `command` is the whole command line.
pub fn run(args: &Args, command: clap::Command, context: &Context) -> Result<(), Failure> {
    let pages = render_pages(command)
        .map_err(|source| Failure::new(ErrorClass::Bug, source).context("could not draw the man pages"))?;
    let Some(dir) = &args.dir else {
        if let Some((_, page)) = pages.first() {
            context.reporter.print_data(page);
        }
        return Ok(());
    };
    let dir = context.absolute(dir);
    let failed = |source| Failure::io(format!("could not write man pages into `{}`", dir.display()), source);
    durable::make_folder(&dir).map_err(failed)?;
    for (name, page) in &pages {
        durable::write(&dir.join(name), page.as_bytes()).map_err(failed)?;
    }
    Ok(())
}

/// Every page with its file name; the page of the tool comes first.
pub fn render_pages(command: clap::Command) -> std::io::Result<Vec<(String, String)>> {
    let mut command = command.bin_name("cargo-frostmirror");
    command.build();
    let mut pages = vec![render_page("cargo-frostmirror".to_owned(), command.clone())?];
    for verb in command.get_subcommands() {
        let name = format!("cargo-frostmirror-{}", verb.get_name());
        for form in verb.get_subcommands() {
            pages.push(render_page(format!("{name}-{}", form.get_name()), form.clone())?);
        }
        pages.push(render_page(name, verb.clone())?);
    }
    Ok(pages)
}

fn render_page(name: String, command: clap::Command) -> std::io::Result<(String, String)> {
    let mut bytes = Vec::new();
    clap_mangen::Man::new(command.name(name.clone())).render(&mut bytes)?;
    Ok((format!("{name}.1"), String::from_utf8_lossy(&bytes).into_owned()))
}
