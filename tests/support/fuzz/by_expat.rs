//! What expat makes of documents: a small C program does the parsing, so no unsafe code is needed here. It is run once
//! for a batch, from a file to a file: with pipes most of the time would be spent waiting.

use std::fs::{self, File};
use std::process::Command;

use tempfile::TempDir;

/// The program of `expat.c`, compiled.
pub(super) struct Expat {
    folder: TempDir,
}

impl Expat {
    /// Compiles the program.
    ///
    /// # Panics
    /// There is no C compiler, or no expat to build with.
    pub(super) fn build() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the program");
        let source = folder.path().join("expat.c");
        fs::write(&source, include_str!("expat.c")).expect("a file for the program");
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let built = Command::new(compiler)
            .args(["-O2", "-std=c99", "-o"])
            .args([&folder.path().join("expat"), &source])
            .arg("-lexpat")
            .status();
        assert!(
            built.is_ok_and(|status| status.success()),
            "expat judges here beside us: please install a C compiler and expat's headers (Debian: gcc, libexpat1-dev)"
        );
        Self { folder }
    }

    /// The tree of each document; `None` if expat refuses it.
    pub(super) fn trees<'a>(
        &self,
        documents: impl Iterator<Item = &'a [u8]>,
    ) -> Vec<Option<Vec<u8>>> {
        let mut batch = vec![0; 4];
        for document in documents {
            batch.extend_from_slice(&len(document.len()));
            batch.extend_from_slice(document);
        }
        let size = len(batch.len() - 4);
        batch[..4].copy_from_slice(&size);

        let path = |name: &str| self.folder.path().join(name);
        fs::write(path("batch"), &batch).expect("a file for the batch");
        let ran = Command::new(path("expat"))
            .stdin(File::open(path("batch")).expect("was just written"))
            .stdout(File::create(path("trees")).expect("a file for the answers"))
            .status();
        assert!(ran.is_ok_and(|status| status.success()), "expat.c failed");
        let answers = fs::read(path("trees")).expect("was just written");
        let mut rest = &*answers;
        let mut trees = Vec::new();
        while let Some((size, after)) = rest.split_first_chunk() {
            let (tree, after) = after.split_at(u32::from_le_bytes(*size) as usize);
            trees.push(Some(tree.to_vec()).filter(|tree| !tree.is_empty()));
            rest = after;
        }
        trees
    }
}

fn len(len: usize) -> [u8; 4] {
    u32::try_from(len)
        .expect("less than 4 GiB in a batch")
        .to_le_bytes()
}
