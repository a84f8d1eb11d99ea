//! Rust as tokens: enough of it to tell what is public.

use std::collections::{BTreeMap, BTreeSet};

/// A file: what it imports, and what others see of it.
pub(crate) struct Source {
    tokens: Vec<String>,
    /// The crate that each imported name comes from.
    imports: BTreeMap<String, String>,
    /// Crates that are re-exported whole.
    exports: Vec<String>,
    /// Public types and traits.
    types: Vec<String>,
    /// Types that are not.
    private: BTreeSet<String>,
    /// The text of each public signature, with the type that it is of, if it is an implementation.
    signatures: Vec<(Option<String>, String)>,
}

impl Source {
    pub(crate) fn new(text: &str) -> Self {
        let mut source = Self {
            tokens: tokens(text),
            imports: BTreeMap::new(),
            exports: Vec::new(),
            types: Vec::new(),
            private: BTreeSet::new(),
            signatures: Vec::new(),
        };
        source.read();
        source
    }

    /// Crates that are re-exported whole.
    pub(crate) fn exports(&self) -> impl Iterator<Item = &str> {
        self.exports.iter().map(String::as_str)
    }

    /// Public types and traits.
    pub(crate) fn types(&self) -> impl Iterator<Item = &str> {
        self.types.iter().map(String::as_str)
    }

    fn read(&mut self) {
        let mut at = 0;
        while at < self.tokens.len() {
            at = match self.word(at) {
                "#" => self.attribute(at),
                "use" => self.import(at, false),
                "pub" if self.word(at + 1) == "(" => self.skip_restricted(at),
                "pub" => self.public(at + 1),
                "impl" => self.implementation(at),
                "struct" | "enum" | "trait" => self.hidden(at),
                // The bodies of functions.
                "{" => self.matching(at) + 1,
                _ => at + 1,
            };
        }
    }

    fn word(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", String::as_str)
    }

    /// Skips an attribute, and what it makes a part of tests.
    fn attribute(&self, at: usize) -> usize {
        let end = self.matching(at + if self.word(at + 1) == "!" { 2 } else { 1 });
        if self.tokens[at..=end].join("") != "#[cfg(test)]" {
            return end + 1;
        }
        let mut next = end + 1;
        while self.word(next) == "#" {
            next = self.matching(next + 1) + 1;
        }
        self.end_of_item(next)
    }

    /// Where an item ends: behind its block or its semicolon.
    fn end_of_item(&self, mut at: usize) -> usize {
        loop {
            match self.word(at) {
                "" => return at,
                ";" => return at + 1,
                "{" => return self.matching(at) + 1,
                "(" | "[" => at = self.matching(at) + 1,
                _ => at += 1,
            }
        }
    }

    /// The other end of what a bracket opens.
    fn matching(&self, open: usize) -> usize {
        let mut depth = 0_usize;
        for at in open..self.tokens.len() {
            match self.word(at) {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return at;
            }
        }
        panic!("an open bracket");
    }

    /// Passes over the visibility of what is public within the crate only.
    fn skip_restricted(&mut self, at: usize) -> usize {
        let next = self.matching(at + 1) + 1;
        match self.word(next) {
            "struct" | "enum" | "trait" => self.hidden(next),
            _ => next,
        }
    }

    /// Passes over a type that others do not see. Its fields may be called public all the same.
    fn hidden(&mut self, at: usize) -> usize {
        self.private.insert(self.word(at + 1).to_owned());
        self.end_of_item(at)
    }

    fn import(&mut self, at: usize, public: bool) -> usize {
        let end = (at..self.tokens.len())
            .find(|at| self.word(*at) == ";")
            .expect("the end of an import");
        let path: Vec<String> = self.tokens[at + 1..end].to_vec();
        self.import_tree(&path, None, public);
        end + 1
    }

    /// One branch of an import, whose first word is that of a crate unless there is one before it.
    fn import_tree(&mut self, path: &[String], root: Option<&str>, public: bool) {
        let words: Vec<&str> = path.iter().map(String::as_str).collect();
        if let Some(brace) = words.iter().position(|word| *word == "{") {
            let root = root.or_else(|| {
                words
                    .first()
                    .copied()
                    .filter(|word| !matches!(*word, "{" | "::"))
            });
            let (mut depth, mut from) = (0_usize, brace + 1);
            for at in brace..words.len() {
                match words[at] {
                    "{" => depth += 1,
                    "}" => depth -= 1,
                    _ => {}
                }
                if (depth == 1 && words[at] == ",") || depth == 0 {
                    self.import_tree(&path[from..at], root, public);
                    from = at + 1;
                }
            }
            return;
        }
        let (Some(first), Some(last)) = (words.iter().find(|word| **word != "::"), words.last())
        else {
            return;
        };
        let whole = root.is_none() && !words[1..].contains(&"::");
        if public && whole {
            self.exports.push((*first).to_owned());
        }
        let root = root.unwrap_or(first).to_owned();
        if *last != "_" {
            self.imports.insert((*last).to_owned(), root);
        }
    }

    fn public(&mut self, at: usize) -> usize {
        let kind = (at..self.tokens.len())
            .find(|at| {
                !matches!(self.word(*at), "async" | "const" | "extern" | "auto")
                    || !matches!(self.word(at + 1), "fn" | "async" | "trait")
            })
            .expect("an item");
        match self.word(kind) {
            "use" => self.import(kind, true),
            "mod" => self.first(kind, &["{", ";"]) + 1,
            "fn" => {
                let end = self.first(kind, &["{", ";"]);
                self.keep(None, kind, end);
                self.end_of_item(kind)
            }
            "struct" => {
                self.types.push(self.word(kind + 1).to_owned());
                let body = self.first(kind, &["{", "(", ";"]);
                self.keep(None, kind, body);
                // Its public fields come next, each by itself.
                body + 1
            }
            "enum" | "trait" => {
                self.types.push(self.word(kind + 1).to_owned());
                let end = self.end_of_item(kind);
                self.keep(None, kind, end);
                end
            }
            "type" => {
                self.types.push(self.word(kind + 1).to_owned());
                let end = self.first(kind, &[";"]);
                self.keep(None, kind, end);
                end
            }
            "const" | "static" => {
                let end = self.first(kind, &["=", ";"]);
                self.keep(None, kind, end);
                end
            }
            // A field.
            _ => {
                let end = self.first(kind, &[",", "}", ")"]);
                self.keep(None, kind, end);
                end
            }
        }
    }

    /// Where the first of these stands, outside of brackets.
    fn first(&self, mut at: usize, ends: &[&str]) -> usize {
        while at < self.tokens.len() && !ends.contains(&self.word(at)) {
            at = match self.word(at) {
                "(" | "[" | "{" => self.matching(at) + 1,
                _ => at + 1,
            };
        }
        at
    }

    /// An implementation of a trait: its head and its types, which are as public as the type.
    fn implementation(&mut self, at: usize) -> usize {
        let open = self.first(at, &["{", ";"]);
        let Some(by) = (at..open).find(|at| self.word(*at) == "for" && self.word(at + 1) != "<")
        else {
            return open + 1;
        };
        let mut owner = by + 1;
        while matches!(
            self.word(owner),
            "&" | "mut" | "crate" | "super" | "self" | "::"
        ) {
            owner += 1;
        }
        let owner = Some(self.word(owner).to_owned());
        self.keep(owner.clone(), at, open);
        let end = self.matching(open);
        let mut inside = open + 1;
        while inside < end {
            let next = self.end_of_item(inside);
            if self.word(inside) == "type" {
                self.keep(owner.clone(), inside, next);
            }
            inside = next;
        }
        end + 1
    }

    fn keep(&mut self, owner: Option<String>, from: usize, to: usize) {
        let text = self.tokens[from..to.min(self.tokens.len())].join(" ");
        self.signatures.push((owner, text));
    }

    /// The signatures that others see, where these types are public, and these crates have their own.
    pub(crate) fn signatures(
        &self,
        public: &BTreeSet<&str>,
        others: &BTreeSet<String>,
    ) -> Vec<&str> {
        let seen = |owner: &str| {
            let foreign = self
                .imports
                .get(owner)
                .is_some_and(|root| others.contains(root));
            foreign || public.contains(owner) && !self.private.contains(owner)
        };
        let kept = self.signatures.iter();
        kept.filter(|(owner, _)| owner.as_deref().is_none_or(seen))
            .map(|(_, text)| text.as_str())
            .collect()
    }

    /// The crates that a signature names, by an import or by a path.
    pub(crate) fn roots<'a>(&'a self, signature: &'a str) -> Vec<&'a str> {
        let words: Vec<&str> = signature.split(' ').collect();
        let mut roots = Vec::new();
        for (at, word) in words.iter().enumerate() {
            if at > 0 && words[at - 1] == "::" {
                continue;
            }
            match self.imports.get(*word) {
                Some(root) => roots.push(root.as_str()),
                None if words.get(at + 1) == Some(&"::") => roots.push(word),
                None => {}
            }
        }
        roots
    }
}

/// Words and signs, without comments, and without what is in quotes.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(length) = quoted_length(rest) {
            tokens.push("\"\"".to_owned());
            length
        } else if c.is_alphanumeric() || c == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            let word = &rest[..end.unwrap_or(rest.len())];
            tokens.push(word.to_owned());
            word.len()
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            2
        } else {
            if !c.is_whitespace() {
                tokens.push(c.to_string());
            }
            c.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

/// The length of the text or the character in quotes that is first, if there is one.
fn quoted_length(rest: &str) -> Option<usize> {
    let start = rest.trim_start_matches('b');
    let before = rest.len() - start.len();
    if before > 1 {
        return None;
    }
    if let Some(raw) = start.strip_prefix('r')
        && raw.starts_with(['"', '#'])
    {
        let marks = raw.len() - raw.trim_start_matches('#').len();
        let end = format!("\"{}", "#".repeat(marks));
        let body = raw[marks..].strip_prefix('"')?;
        let length = body.find(&end).expect("the end of a text") + end.len();
        return Some(before + 1 + marks + 1 + length);
    }
    let mut chars = start.char_indices();
    let (_, quote) = chars.next().filter(|(_, c)| matches!(c, '"' | '\''))?;
    if quote == '\'' {
        // Else a lifetime.
        let escaped = start[1..].starts_with('\\');
        let second = start[1..].chars().nth(1);
        if !escaped && second != Some('\'') {
            return None;
        }
    }
    let mut escaped = false;
    for (at, c) in chars {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return Some(before + at + 1),
            _ => {}
        }
    }
    None
}
