//! What is needed, resolved by the real cargo against a fake upstream: the passes, the snapshot, and what is refused.

mod cases;
mod downloads;
mod verb;
mod tools;
mod workshop;
