//! Every integration test, in one binary; modules in the order that data flows.

mod bundle;
mod bundle_hostile;
mod support;
