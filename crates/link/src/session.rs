//! What outlives the connections of one link.

use std::fmt;
use std::time::Instant;

use bytes::Bytes;
use xtls_stanza::{Address, Stanza};
use zeroize::Zeroizing;

use crate::location::Location;
use crate::manage::Manage;
use crate::random::{Random, hex};
use crate::requests::{Purpose, Requests};
use crate::sasl::{Credentials, Memory};

/// An account's session with its server: who logs in, what the server has acknowledged (XEP-0198), and what earlier
/// connections have taught. A [`Stream`](crate::Stream) holds it while there is a connection.
pub struct Session {
    /// The bare address.
    account: Address,
    credentials: Credentials,
    resource: Option<String>,
    bind2: bool,
    managed: bool,
    memory: Memory,
    manage: Manage,
    /// They outlive a connection as what else was sent does.
    requests: Requests,
    bound: Option<Address>,
    /// What earlier bindings left unacknowledged, until it is reported.
    lost: Vec<Bytes>,
    /// The longest stanza that the server took when it was bound.
    stanza_limit: Option<usize>,
    software: Software,
    /// By which SASL2 knows this link.
    agent: Option<String>,
    random: Random,
}

/// What kind of server it is, as far as it matters to how it is written to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Software {
    /// It has not said.
    #[default]
    Unknown,
    /// Prosody, which reads 8,192 bytes at a time.
    Prosody,
    /// Another one.
    Other,
}

impl Session {
    /// For an account, by its password. The seed makes nonces and ids; it must be secret and never used twice.
    ///
    /// # Errors
    /// The address as given, if it has no local part: there is nobody to log in as.
    pub fn new(
        account: &Address,
        password: Zeroizing<String>,
        seed: [u8; 32],
    ) -> Result<Self, Address> {
        let Some(local) = account.local().map(ToOwned::to_owned) else {
            return Err(account.clone());
        };
        let bare: Address = account.to_bare().into();
        Ok(Self {
            credentials: Credentials {
                account: bare.as_str().to_owned(),
                local,
                password: Some(password),
                certificate: false,
                allow_plain: false,
            },
            account: bare,
            resource: account.resource().map(ToOwned::to_owned),
            bind2: false,
            managed: true,
            memory: Memory::default(),
            manage: Manage::default(),
            requests: Requests::default(),
            bound: None,
            lost: Vec::new(),
            stanza_limit: None,
            software: Software::default(),
            agent: None,
            random: Random::new(seed),
        })
    }

    /// The resource to ask for. Default: that of the account, or the server chooses.
    #[must_use]
    pub fn resource(mut self, resource: impl Into<String>) -> Self {
        self.resource = Some(resource.into());
        self
    }

    /// Lets the server bind within the log-in (Bind 2, XEP-0386), where it can, unless a resource is asked for. It then deletes the
    /// messages that it has kept for the account while nobody was there, without sending them: who wants them has to read
    /// the account's archive (XEP-0313). Default: no.
    #[must_use]
    pub fn bind2(mut self, allow: bool) -> Self {
        self.bind2 = allow;
        self
    }

    /// Has the server acknowledge what it takes, and resume the session after a loss (XEP-0198), where it can. Without it a loss
    /// leads to a new binding, and nobody says what became of the stanzas that were on their way. Default: yes.
    #[must_use]
    pub fn stream_management(mut self, wanted: bool) -> Self {
        self.managed = wanted;
        self
    }

    /// Shows the server the password itself (SASL PLAIN) if it offers nothing better. Default: never.
    #[must_use]
    pub fn allow_plain(mut self, allow: bool) -> Self {
        self.credentials.allow_plain = allow;
        self
    }

    /// Logs in by the certificate that the TLS handshake presents (SASL EXTERNAL), where the server offers it. Default: no.
    #[must_use]
    pub fn certificate(mut self, presented: bool) -> Self {
        self.credentials.certificate = presented;
        self
    }

    /// The bare address of the account.
    #[must_use]
    pub fn account(&self) -> &Address {
        &self.account
    }

    /// The address that the server has bound, or had bound last.
    #[must_use]
    pub fn bound(&self) -> Option<&Address> {
        self.bound.as_ref()
    }

    /// What kind of server it is.
    #[must_use]
    pub fn software(&self) -> Software {
        self.software
    }

    /// The SASL mechanism by which the last log-in went.
    #[must_use]
    pub fn mechanism(&self) -> Option<&'static str> {
        self.memory.mechanism()
    }

    /// Whether the server will resume it after a loss (XEP-0198), as far as it has said so yet.
    #[must_use]
    pub fn is_resumable(&self) -> bool {
        self.manage.is_resumable()
    }

    /// The octets of stanzas that were sent and never acknowledged, in order. They are forgotten with this: the session
    /// that may have delivered them is not resumed. What the link itself has asked for is not among them.
    pub fn take_unacknowledged(&mut self) -> Vec<Bytes> {
        self.rebind();
        self.take_lost()
    }

    /// The session will not be resumed.
    pub fn forget(&mut self) {
        self.manage.forget();
    }

    /// Where the server prefers to be reached for a resumption (XEP-0198 §3). To be tried first
    /// and once in an outage, by the same name and key as ever.
    pub fn take_location(&mut self, now: Instant) -> Option<Location> {
        self.manage.take_location(now)
    }

    pub(crate) fn domain(&self) -> &str {
        self.account.domain()
    }

    pub(crate) fn wanted_resource(&self) -> Option<&str> {
        self.resource.as_deref()
    }

    /// Whether the server may choose the resource within the log-in.
    pub(crate) fn takes_any_resource(&self) -> bool {
        self.bind2 && self.resource.is_none()
    }

    /// Whether XEP-0198 is made use of.
    pub(crate) fn is_managed(&self) -> bool {
        self.managed
    }

    pub(crate) fn credentials(&self) -> (&Credentials, &Memory) {
        (&self.credentials, &self.memory)
    }

    /// 256 random bits.
    pub(crate) fn nonce(&mut self) -> [u8; 32] {
        self.random.next()
    }

    pub(crate) fn memory(&mut self) -> &mut Memory {
        &mut self.memory
    }

    /// The id of the next request of the link's own.
    pub(crate) fn id_for(&mut self, purpose: Purpose) -> String {
        let last = self.requests.id(purpose).map(ToOwned::to_owned);
        last.unwrap_or_else(|| self.fresh_id())
    }

    /// A request of the link's own is being sent.
    pub(crate) fn asked(&mut self, id: String, purpose: Purpose) {
        self.requests.add(id, purpose);
    }

    /// The request of the link's own that a stanza answers, and what it says.
    pub(crate) fn answered(&mut self, octets: &Bytes) -> Option<(Purpose, Stanza)> {
        let account = &self.account;
        self.requests
            .answered(octets, |stanza| is_of_server(stanza, account))
    }

    pub(crate) fn manage(&self) -> &Manage {
        &self.manage
    }

    pub(crate) fn manage_mut(&mut self) -> &mut Manage {
        &mut self.manage
    }

    /// A new binding takes the place of the last one. What that one leaves waits for [`Session::take_lost`].
    pub(crate) fn rebind(&mut self) {
        let own = std::mem::take(&mut self.requests);
        let mut lost = self.manage.rebind();
        lost.retain(|stanza| !own.holds(stanza));
        self.lost.append(&mut lost);
    }

    pub(crate) fn take_lost(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.lost)
    }

    pub(crate) fn bind(&mut self, address: Address) {
        self.bound = Some(address);
    }

    pub(crate) fn stanza_limit(&self) -> Option<usize> {
        self.stanza_limit
    }

    pub(crate) fn limit_stanzas(&mut self, limit: Option<usize>) {
        self.stanza_limit = limit;
    }

    /// A random UUID (version 4) for as long as the link lives: when it is bound anew the server can tell which of its old
    /// sessions to end. A lasting one, which XEP-0388 would have, would also tell which of your devices and programs this is.
    pub(crate) fn agent(&mut self) -> String {
        if let Some(agent) = &self.agent {
            return agent.clone();
        }
        let digits = hex(&self.random.next());
        let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
        let agent = format!(
            "{}-{}-4{}-8{}-{}",
            part(0, 8),
            part(8, 12),
            part(12, 15),
            part(15, 18),
            part(18, 30)
        );
        self.agent = Some(agent.clone());
        agent
    }

    pub(crate) fn learn(&mut self, software: Software) {
        self.software = software;
    }

    /// An id of which nobody knows who has not seen it.
    pub(crate) fn fresh_id(&mut self) -> String {
        self.random.id()
    }

    /// An address that the server says is ours.
    pub(crate) fn own(&self, jid: &str) -> Result<Address, String> {
        let shown = || jid.chars().take(MAX_SHOWN).collect::<String>();
        let address =
            normalised(jid).map_err(|why| format!("{:?} is not an address: {why}", shown()))?;
        if !address.same_bare(&self.account) {
            let account = &self.account;
            return Err(format!("{:?} is not an address of {account}", shown()));
        }
        Ok(address)
    }

    /// Whether nobody but our server can have sent it.
    pub(crate) fn is_of_server(&self, stanza: &Stanza) -> bool {
        is_of_server(stanza, &self.account)
    }

    pub(crate) fn is_domain(&self, name: &str) -> bool {
        is_domain(name, &self.account)
    }

    /// 32 random bits, to draw lots with.
    pub fn random(&mut self) -> u32 {
        let [a, b, c, d, ..] = self.random.next();
        u32::from_be_bytes([a, b, c, d])
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("account", &self.account)
            .field("bound", &self.bound)
            .field("software", &self.software)
            .finish_non_exhaustive()
    }
}

/// Whether nobody but the server of this account can have sent it: it names nobody, the account or the server itself.
fn is_of_server(stanza: &Stanza, account: &Address) -> bool {
    let from = stanza.from.as_ref();
    from.is_none_or(|from| from.same_bare(account) || is_domain(from.as_str(), account))
}

fn is_domain(name: &str, account: &Address) -> bool {
    let domain = account.domain();
    name == domain || normalised(name).is_ok_and(|name| name.as_str() == domain)
}

/// An address as this end writes it. A resource that is younger than the Unicode of stringprep stays as it is.
#[cfg(feature = "normalise")]
pub(crate) fn normalised(jid: &str) -> Result<Address, String> {
    use xtls_stanza::normalise::normalise;

    let raw = Address::new(jid).map_err(|error| error.to_string())?;
    match normalise(jid) {
        Ok(address) => Ok(address),
        Err(error) => {
            let bare = normalise(raw.bare()).map_err(|_| error.to_string())?;
            let resource = raw.resource().unwrap_or_default();
            Address::new(&format!("{bare}/{resource}")).map_err(|error| error.to_string())
        }
    }
}

/// An address as the server writes it.
#[cfg(not(feature = "normalise"))]
pub(crate) fn normalised(jid: &str) -> Result<Address, String> {
    Address::new(jid).map_err(|error| error.to_string())
}

/// Characters of an address that are shown if it is none.
const MAX_SHOWN: usize = 128;
