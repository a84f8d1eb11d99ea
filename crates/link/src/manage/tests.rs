//! A session without a network: what it says, keeps and refuses.

mod bugs;
mod model;
mod refusals;

use std::time::{Duration, Instant};

use super::*;

const R: &str = "<r xmlns='urn:xmpp:sm:3'/>";

/// A link's session, and the time.
struct Link {
    pub(super) manage: Manage,
    pub(super) now: Instant,
}

impl Link {
    fn new() -> Self {
        Self {
            manage: Manage::default(),
            now: Instant::now(),
        }
    }

    /// With a session that can be resumed for five minutes.
    fn on() -> Self {
        Self::with("id='first' resume='true' max='300'")
    }

    /// With a session of these attributes.
    fn with(attributes: &str) -> Self {
        let mut link = Self::new();
        link.bind(attributes);
        link
    }

    /// Binds and gets a session; gives what the last one leaves.
    fn bind(&mut self, attributes: &str) -> Vec<Bytes> {
        let lost = self.manage.rebind();
        self.manage.enable().unwrap();
        let heard = self.hear(&format!("<enabled xmlns='{SM}' {attributes}/>"));
        assert!(matches!(heard, Ok(Heard::Enabled { .. })), "{heard:?}");
        lost
    }

    /// The server says this, in the namespace of stream management.
    fn hear(&mut self, xml: &str) -> Result<Heard, Miscount> {
        let element = Element::read(xml.as_bytes(), SM).unwrap();
        self.manage.handle(self.now, &element)
    }

    /// Writes stanzas in one batch.
    fn send(&mut self, stanzas: &[&str]) {
        let mut ends = Vec::new();
        for stanza in stanzas {
            ends.push(ends.last().unwrap_or(&0) + stanza.len());
        }
        let octets = stanzas.concat().into();
        self.manage.on_sent(self.now, octets, &ends);
    }

    /// So many stanzas come and are taken.
    fn take(&mut self, stanzas: usize) {
        for _ in 0..stanzas {
            let arrival = self.manage.on_stanza();
            assert!(self.manage.on_stanza_taken(self.now, arrival));
        }
    }

    /// What is to be written behind.
    fn said(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        while let Some(octets) = self.manage.poll(self.now) {
            said.push(String::from_utf8(octets.to_vec()).unwrap());
        }
        said
    }

    fn wait(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    /// The connection breaks, and another asks for the session.
    fn cut_and_resume(&mut self) -> Option<String> {
        self.manage.on_disconnected(self.now);
        let said = self.manage.resume(self.now)?;
        Some(String::from_utf8(said.to_vec()).unwrap())
    }
}

fn a(h: u32) -> String {
    format!("<a xmlns='{SM}' h='{h}'/>")
}

fn resume(id: &str, h: u32) -> Option<String> {
    Some(format!("<resume xmlns='{SM}' previd='{id}' h='{h}'/>"))
}
