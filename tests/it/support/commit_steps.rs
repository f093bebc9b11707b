//! The checkpoints at which a test kills a command while it changes a mirror. Every commit of a process numbers its steps.

/// What a killed process exits with, as a shell reports it.
pub const SIGABRT: i32 = 128 + 6;

/// Every checkpoint, in order. A command that passes fewer is not killed, which ends a loop over these.
pub fn commit_steps() -> impl Iterator<Item = String> {
    (1..).map(|number| format!("commit:{number}"))
}
