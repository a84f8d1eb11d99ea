//! The picture of the layers, as a table that is compared with `cargo metadata`.

use serde_json::Value;

use crate::workspace::{list, packages, text};

/// What one of our crates may name in a normal or build dependency.
struct Layer {
    name: &'static str,
    ours: &'static [&'static str],
    theirs: Theirs,
}

/// Which third-party crates a layer may name.
enum Theirs {
    Only(&'static [&'static str]),
    /// What `deny.toml` lets through.
    Any,
}

/// What tests and benchmarks may depend on: the layers below the program, and the keys that tests share.
const PICTURE: &[&str] = &[
    "xtls-client",
    "xtls-files",
    "xtls-forward",
    "xtls-framer",
    "xtls-ibb",
    "xtls-keys",
    "xtls-link",
    "xtls-path",
    "xtls-pipe",
    "xtls-reach",
    "xtls-s5b",
    "xtls-session",
    "xtls-stanza",
    "xtls-test-keys",
    "xtls-tls",
    "xtls-tunnel",
];

/// Top-down. A layer names only layers below it in the picture of `docs/ARCHITECTURE.md`.
const LAYERS: &[Layer] = &[
    Layer {
        name: "xtls",
        ours: &[
            "xtls-client",
            "xtls-files",
            "xtls-forward",
            "xtls-framer",
            "xtls-pipe",
            "xtls-s5b",
            "xtls-stanza",
        ],
        theirs: Theirs::Any,
    },
    Layer {
        name: "xtls-client",
        ours: &[
            "xtls-ibb",
            "xtls-keys",
            "xtls-link",
            "xtls-reach",
            "xtls-s5b",
            "xtls-session",
            "xtls-stanza",
            "xtls-tls",
            "xtls-tunnel",
        ],
        theirs: Theirs::Any,
    },
    Layer {
        name: "xtls-link",
        ours: &["xtls-framer", "xtls-stanza"],
        theirs: Theirs::Any,
    },
    Layer {
        name: "xtls-files",
        ours: &[],
        theirs: Theirs::Only(&[
            "bytes",
            "rustix",
            "sha2",
            "thiserror",
            "tokio",
            "unicode-normalization",
            "zstd",
        ]),
    },
    Layer {
        name: "xtls-forward",
        ours: &["xtls-reach"],
        theirs: Theirs::Only(&["thiserror", "tokio", "tokio-util", "yamux"]),
    },
    Layer {
        name: "xtls-pipe",
        ours: &[],
        theirs: Theirs::Only(&["thiserror", "tokio"]),
    },
    Layer {
        name: "xtls-keys",
        ours: &["xtls-stanza", "xtls-tls"],
        theirs: Theirs::Only(&[
            "getrandom",
            "rustix",
            "sha2",
            "thiserror",
            "tracing",
            "zeroize",
        ]),
    },
    Layer {
        name: "xtls-tunnel",
        ours: &[
            "xtls-ibb",
            "xtls-path",
            "xtls-s5b",
            "xtls-session",
            "xtls-stanza",
            "xtls-tls",
        ],
        theirs: Theirs::Only(&["bytes", "rand_chacha", "thiserror", "tracing", "zeroize"]),
    },
    Layer {
        name: "xtls-session",
        ours: &["xtls-framer", "xtls-stanza", "xtls-tls"],
        theirs: Theirs::Only(&[
            "base64",
            "bytes",
            "sha2",
            "thiserror",
            "tokio",
            "tracing",
            "zeroize",
        ]),
    },
    Layer {
        name: "xtls-ibb",
        ours: &["xtls-stanza"],
        theirs: Theirs::Only(&[
            "bytes",
            "foldhash",
            "futures-core",
            "rand_chacha",
            "thiserror",
            "tokio",
            "tracing",
        ]),
    },
    Layer {
        name: "xtls-path",
        ours: &["xtls-stanza"],
        theirs: Theirs::Only(&["bytes", "hkdf", "hmac", "sha2", "thiserror", "zeroize"]),
    },
    Layer {
        name: "xtls-s5b",
        ours: &["xtls-reach", "xtls-stanza"],
        theirs: Theirs::Only(&["sha1", "thiserror", "tokio"]),
    },
    Layer {
        name: "xtls-tls",
        ours: &[],
        theirs: Theirs::Only(&[
            "base64",
            "bytes",
            "curve25519-dalek",
            "der",
            "hkdf",
            "hmac",
            "rand_core",
            "rcgen",
            "rustls",
            "sha2",
            "spake2",
            "subtle",
            "thiserror",
            "tokio",
            "unicode-normalization",
            "zeroize",
        ]),
    },
    Layer {
        name: "xtls-stanza",
        ours: &[],
        theirs: Theirs::Only(&[
            "base64",
            "bytes",
            "fearless_simd",
            "idna",
            "memchr",
            "quick-xml",
            "simdutf8",
            "stringprep",
            "thiserror",
            "wide",
        ]),
    },
    Layer {
        name: "xtls-framer",
        ours: &[],
        theirs: Theirs::Only(&["bytes", "fearless_simd", "memchr", "simdutf8", "tokio-util"]),
    },
    Layer {
        name: "xtls-reach",
        ours: &[],
        theirs: Theirs::Only(&[]),
    },
    // Not part of the picture: they may depend on every layer, and no layer may depend on them.
    Layer {
        name: "xtls-tests",
        ours: PICTURE,
        theirs: Theirs::Any,
    },
    Layer {
        name: "xtls-test-keys",
        ours: &["xtls-tls", "xtls-stanza"],
        theirs: Theirs::Only(&["zeroize"]),
    },
    Layer {
        name: "xtls-sim",
        ours: PICTURE,
        theirs: Theirs::Any,
    },
    Layer {
        name: "xtls-benches",
        ours: PICTURE,
        theirs: Theirs::Any,
    },
    Layer {
        name: "xtask",
        ours: &[],
        theirs: Theirs::Only(&["anyhow", "serde_json", "xshell"]),
    },
];

/// The crates that build without an async runtime by default.
pub(crate) const WITHOUT_RUNTIME: &[&str] = &[
    "xtls-framer",
    "xtls-stanza",
    "xtls-ibb",
    "xtls-tls",
    "xtls-session",
    "xtls-tunnel",
    "xtls-keys",
    "xtls-path",
    "xtls-reach",
    "xtls-s5b",
];

/// Every arrow in `metadata` that is not in the picture.
pub(crate) fn faults(metadata: &Value) -> Vec<String> {
    let ours: Vec<&str> = packages(metadata)
        .map(|package| text(package, "name"))
        .collect();
    let mut faults = Vec::new();
    for package in packages(metadata) {
        let name = text(package, "name");
        let Some(layer) = LAYERS.iter().find(|layer| layer.name == name) else {
            faults.push(format!(
                "{name}: no layer of this name in xtask/src/arrows.rs"
            ));
            continue;
        };
        for dependency in
            list(package, "dependencies").filter(|dependency| text(dependency, "kind") != "dev")
        {
            let other = text(dependency, "name");
            let allowed = match (ours.contains(&other), &layer.theirs) {
                (true, _) => layer.ours.contains(&other),
                (false, Theirs::Only(names)) => names.contains(&other),
                (false, Theirs::Any) => true,
            };
            if !allowed {
                faults.push(format!("{name} → {other}: the picture has no such arrow"));
            }
        }
    }
    faults
}

/// Async runtimes in the output of `cargo tree` for the crate `name`, one package per line.
pub(crate) fn runtimes(name: &str, tree: &str) -> Vec<String> {
    let crates = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    let runtimes =
        crates.filter(|other| *other == "mio" || *other == "tokio" || other.starts_with("tokio-"));
    runtimes
        .map(|other| format!("{name} builds {other} by default"))
        .collect()
}

/// Test-only randomness in the output of `cargo tree` for the program, one package and its features per line.
pub(crate) fn seeded(tree: &str) -> Option<String> {
    let mut tls = tree.lines().filter(|line| line.starts_with("xtls-tls "));
    let seeded = tls.any(|line| line.contains("seeded"));
    seeded.then(|| "xtls builds the randomness of tests (`seeded` of xtls-tls)".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn package(name: &str, dependencies: &[Value]) -> Value {
        json!({ "name": name, "dependencies": dependencies })
    }

    fn normal(name: &str) -> Value {
        json!({ "name": name, "kind": null })
    }

    fn workspace(ibb: &[Value]) -> Value {
        json!({ "packages": [
            package("xtls-stanza", &[normal("quick-xml")]),
            package("xtls-session", &[normal("xtls-stanza")]),
            package("xtls-ibb", ibb),
        ] })
    }

    #[test]
    fn an_arrow_sideways_fails() {
        let faults = faults(&workspace(&[normal("xtls-stanza"), normal("xtls-session")]));
        assert_eq!(
            faults,
            ["xtls-ibb → xtls-session: the picture has no such arrow"]
        );
    }

    #[test]
    fn an_arrow_upward_fails() {
        let metadata = json!({ "packages": [
            package("xtls-stanza", &[normal("xtls-ibb")]),
            package("xtls-ibb", &[normal("xtls-stanza")]),
        ] });
        assert_eq!(
            faults(&metadata),
            ["xtls-stanza → xtls-ibb: the picture has no such arrow"]
        );
    }

    #[test]
    fn an_optional_arrow_fails_too() {
        let faults = faults(&workspace(&[
            json!({ "name": "xtls-session", "kind": null, "optional": true }),
        ]));
        assert_eq!(faults.len(), 1);
    }

    #[test]
    fn a_build_dependency_is_an_arrow() {
        let faults = faults(&workspace(&[
            json!({ "name": "xtls-session", "kind": "build" }),
        ]));
        assert_eq!(faults.len(), 1);
    }

    #[test]
    fn a_crate_of_others_outside_the_list_fails() {
        let faults = faults(&workspace(&[normal("rustls")]));
        assert_eq!(faults, ["xtls-ibb → rustls: the picture has no such arrow"]);
    }

    #[test]
    fn a_crate_without_a_layer_fails() {
        let faults = faults(&json!({ "packages": [package("xtls-extra", &[])] }));
        assert_eq!(
            faults,
            ["xtls-extra: no layer of this name in xtask/src/arrows.rs"]
        );
    }

    #[test]
    fn a_dev_dependency_is_no_arrow() {
        let faults = faults(&workspace(&[json!({ "name": "proptest", "kind": "dev" })]));
        assert!(faults.is_empty(), "{faults:?}");
    }

    #[test]
    fn the_arrows_of_the_picture_pass() {
        let faults = faults(&workspace(&[normal("xtls-stanza"), normal("bytes")]));
        assert!(faults.is_empty(), "{faults:?}");
    }

    #[test]
    fn a_runtime_in_a_core_fails() {
        let tree = "xtls-ibb v0.1.0\nbytes v1.12.1\ntokio v1.54.1\ntokio-util v0.7.20\n";
        assert_eq!(
            runtimes("xtls-ibb", tree),
            [
                "xtls-ibb builds tokio by default",
                "xtls-ibb builds tokio-util by default"
            ]
        );
    }

    #[test]
    fn predictable_randomness_in_the_program_fails() {
        assert!(seeded("xtls v0.1.0 \nxtls-tls v0.1.0 (crates/tls) aws-lc-rs,seeded\n").is_some());
        assert_eq!(
            seeded("xtls v0.1.0 \nxtls-tls v0.1.0 (crates/tls) aws-lc-rs\n"),
            None
        );
    }

    #[test]
    fn no_layer_is_named_above_the_one_that_names_it() {
        for (at, layer) in LAYERS
            .iter()
            .take_while(|layer| layer.name != "xtls-tests")
            .enumerate()
        {
            for other in layer.ours {
                let place = LAYERS
                    .iter()
                    .position(|layer| layer.name == *other)
                    .unwrap();
                assert!(place > at, "{} → {other} points up", layer.name);
            }
        }
    }
}
