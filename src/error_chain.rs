//! An error with its causes.

use std::error::Error;

/// The error and its causes, outermost first.
pub fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The error and its causes in one line, without repetitions.
pub fn one_line(error: &(dyn Error + 'static)) -> String {
    join_messages("", error)
}

/// `context`, the error and its causes in one line, without repetitions.
pub fn join_messages(context: &str, error: &(dyn Error + 'static)) -> String {
    let messages = std::iter::once(context.to_owned()).chain(causes(error).map(ToString::to_string));
    messages.fold(String::new(), |text, message| match message.replace('\n', "; ") {
        // Some errors repeat their cause.
        message if text.ends_with(&message) => text,
        message if text.is_empty() => message,
        message => format!("{text}: {message}"),
    })
}
