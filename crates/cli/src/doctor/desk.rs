//! Questions to servers and peers over a link, one at a time.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};
use xtls_client::xmpp::Link;
use xtls_client::{LinkError, LinkEvent};
use xtls_stanza::{
    Address, Condition, Content, Envelope, ErrorType, Payload, PresenceKind, StanzaError,
};

use crate::failure::Failure;
use crate::link;

/// A link, and what came on it unasked.
pub(super) struct Desk {
    link: Link,
    /// Begins the ids of questions, so that nobody else knows them.
    secret: String,
    asked: u64,
    /// The shortest time in which an answer has come.
    quickest: Duration,
    /// Who has said that they are there.
    present: BTreeSet<String>,
}

/// Why a question has no answer.
#[derive(Debug)]
pub(super) enum Unanswered {
    Refused(StanzaError),
    Silence,
}

impl Desk {
    pub(super) fn new(link: Link) -> Result<Self, Failure> {
        Ok(Self {
            link,
            secret: link::random_resource()?,
            asked: 0,
            quickest: Duration::MAX,
            present: BTreeSet::new(),
        })
    }

    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    /// The shortest time in which an answer has come, or a second.
    pub(super) fn quickest(&self) -> Duration {
        self.quickest.min(Duration::from_secs(1))
    }

    /// The resources of an account that have said that they are there, but for our own.
    pub(super) fn resources(&self, of: &str) -> Vec<String> {
        let own = self.link.bound().as_str();
        let begin = format!("{of}/");
        self.present
            .iter()
            .filter(|address| address.as_str() != own)
            .filter_map(|address| address.strip_prefix(&begin))
            .map(ToOwned::to_owned)
            .collect()
    }

    pub(super) fn id(&mut self) -> String {
        self.asked += 1;
        format!("{}-{}", self.secret, self.asked)
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// The link has ended.
    pub(super) async fn ask(
        &mut self,
        whom: &Address,
        what: Payload,
        patience: Duration,
    ) -> Result<Result<Option<Payload>, Unanswered>, LinkError> {
        let id = self.id();
        let question = Envelope {
            from: None,
            to: Some(whom.clone()),
            id: id.clone(),
            content: Content::Get(what),
        };
        let began = Instant::now();
        let deadline = began + patience;
        match timeout_at(deadline, self.link.send(question)).await {
            Ok(sent) => sent?,
            Err(_) => return Ok(Err(Unanswered::Silence)),
        }
        loop {
            let Ok(envelope) = timeout_at(deadline, self.next()).await else {
                return Ok(Err(Unanswered::Silence));
            };
            let envelope = envelope?;
            if envelope.id != id || envelope.from.as_ref() != Some(whom) {
                continue;
            }
            match envelope.content {
                Content::Result(payload) => {
                    self.quickest = self.quickest.min(began.elapsed());
                    return Ok(Ok(payload));
                }
                Content::Error(error) => return Ok(Err(Unanswered::Refused(error))),
                Content::Get(_)
                | Content::Set(_)
                | Content::Message { .. }
                | Content::Presence { .. } => {}
            }
        }
    }

    pub(super) async fn send(&mut self, envelope: Envelope) -> Result<(), LinkError> {
        self.link.send(envelope).await
    }

    /// The next stanza. Who is there is noted, and who asks something learns that nobody answers.
    pub(super) async fn next(&mut self) -> Result<Envelope, LinkError> {
        loop {
            let LinkEvent::Envelope(envelope) = self.link.next().await? else {
                continue;
            };
            match (&envelope.content, &envelope.from) {
                (Content::Presence { kind, .. }, Some(from)) => {
                    if *kind == PresenceKind::Available && self.present.len() < MAX_PRESENT {
                        self.present.insert(from.as_str().to_owned());
                    } else if *kind == PresenceKind::Unavailable {
                        self.present.remove(from.as_str());
                    }
                }
                (Content::Get(_) | Content::Set(_), from)
                    if from.as_ref() != Some(self.link.bound()) =>
                {
                    let error = StanzaError::new(ErrorType::Cancel, Condition::ServiceUnavailable);
                    self.link.send(envelope.error(error)).await?;
                }
                (
                    Content::Get(_)
                    | Content::Set(_)
                    | Content::Result(_)
                    | Content::Error(_)
                    | Content::Message { .. }
                    | Content::Presence { .. },
                    _,
                ) => {}
            }
            return Ok(envelope);
        }
    }

    /// Logs out in order; the result no longer matters.
    pub(super) async fn close(self) {
        let _ = timeout(LEAVING, self.link.close()).await;
    }
}

/// Addresses that are remembered to be there.
const MAX_PRESENT: usize = 1_000;

/// How long the good-bye may take.
const LEAVING: Duration = Duration::from_secs(5);
