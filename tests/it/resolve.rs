//! What is needed, resolved by the real cargo against a fake upstream: the passes, the snapshot, and what is refused.

mod cases;
mod downloads;
mod fetch_verb;
mod tool_locks;
mod resolver_fixture;
