//! Errors of `mirror`: class and hint.
