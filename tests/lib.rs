//! End-to-end and contract tests of KubeFox. See `platform.rs`; `peers/` builds the real servers.

#![forbid(unsafe_code)]
