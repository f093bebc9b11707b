//! Hostile bundles.
