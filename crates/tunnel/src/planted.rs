//! Bugs that `cargo xtask sim --planted` puts in, one at a time, to see whether the simulated world finds them. In any
//! other build `planted!` is `false`, and nothing of this is left.

/// Whether the bug of this name is in.
macro_rules! planted {
    ($bug:literal) => {{
        #[cfg(planted)]
        let planted = $crate::planted::is($bug);
        #[cfg(not(planted))]
        let planted = false;
        planted
    }};
}

#[cfg(planted)]
pub(crate) fn is(bug: &str) -> bool {
    static BUG: std::sync::LazyLock<Option<String>> =
        std::sync::LazyLock::new(|| std::env::var("XTLS_PLANTED").ok());
    BUG.as_deref() == Some(bug)
}
