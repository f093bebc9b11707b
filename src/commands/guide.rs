//! `guide`: the chapters of the user's guide, as wrapped text on stdout.

use clap::builder::{PossibleValue, PossibleValuesParser};

use super::Context;
use crate::error_report::Failure;
use crate::guide::{CHAPTERS, Chapter};

/// Line width, for any terminal.
const WIDTH: usize = 80;

/// Arguments of `guide`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Chapter to print [default: the list of chapters]
    #[arg(value_parser = chapter_parser())]
    pub chapter: Option<String>,
}

/// The names of the chapters; help and completions show the titles.
fn chapter_parser() -> PossibleValuesParser {
    CHAPTERS.iter().map(|chapter| PossibleValue::new(chapter.name).help(chapter.title())).collect::<Vec<_>>().into()
}

/// Prints one chapter, or the list of all.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    match args.chapter.as_deref().and_then(Chapter::find) {
        Some(chapter) => context.reporter.print_data(&chapter.text(WIDTH)),
        None => context.reporter.print_data(&table_of_contents()),
    }
    Ok(())
}

fn table_of_contents() -> String {
    let width = CHAPTERS.iter().map(|chapter| chapter.name.len()).max().unwrap_or_default();
    let lines = CHAPTERS.iter().map(|chapter| format!("{:width$}  {}\n", chapter.name, chapter.title()));
    lines.collect::<String>() + "\nRead a chapter with: cargo frostmirror guide CHAPTER | less\n"
}
