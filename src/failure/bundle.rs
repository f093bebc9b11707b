//! Errors of `bundle`: class and hint.
