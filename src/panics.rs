//! Turns panics into errors, for work on untrusted input that must not end its thread.
//!
//! The parsers' types should make panics impossible, and tests/layers/panics.rs lists every place that can still panic. If a
//! bug remains, one bundle is refused and the next one is imported.

use std::any::Any;
use std::cell::RefCell;
use std::fmt::{Display, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static OBJECT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A panic, with the object of the work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a bug in cargo-frostmirror stopped the work{}: {message}", object_suffix(object))]
pub struct CaughtPanic {
    /// The panic's own message.
    pub message: String,
    /// The last object that [`set_current_object`] named on this thread, such as a bundle's entry; empty if there was none.
    pub object: String,
}

fn object_suffix(object: &str) -> String {
    if object.is_empty() { String::new() } else { format!(" at `{object}`") }
}

/// Names the current object of this thread's work, for [`CaughtPanic`].
pub fn set_current_object(object: impl Display) {
    OBJECT.with_borrow_mut(|text| {
        text.clear();
        let _written = write!(text, "{object}").is_ok();
    });
}

/// Runs `work`; returns a panic in it as an error. The caller must discard all state that `work` changes.
///
/// # Errors
/// `work` panicked.
pub fn catch_panic<T>(work: impl FnOnce() -> T) -> Result<T, CaughtPanic> {
    set_current_object("");
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let object = OBJECT.with_borrow(|text| text.chars().take(300).collect());
        CaughtPanic { message: panic_message(panic.as_ref()).chars().take(1000).collect(), object }
    })
}

/// The message of a panic.
pub fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caught_panic_names_the_current_object() {
        assert_eq!(catch_panic(|| 7), Ok(7));
        let panicked: Result<(), CaughtPanic> = catch_panic(|| {
            set_current_object("crates/a-1.0.0.crate");
            panic!("an entry")
        });
        let error = panicked.expect_err("a panic");
        assert_eq!(
            error.to_string(),
            "a bug in cargo-frostmirror stopped the work at `crates/a-1.0.0.crate`: an entry"
        );
        assert_eq!(
            catch_panic(|| panic!("{}", "formatted")).map_err(|error| error.object),
            Err::<(), _>(String::new())
        );
    }
}
