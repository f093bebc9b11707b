//! Errors of `gather`: class and hint.
