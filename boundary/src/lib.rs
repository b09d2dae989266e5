//! boundary.
