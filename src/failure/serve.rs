//! Errors of `serve`: class and hint.
