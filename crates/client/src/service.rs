//! Services at an address: offer some, and call those of others.
//!
//! * [`Services`] are what a client offers: each [`Offer`] has a name, a function that answers calls, and says how many calls
//!   there may be and from whom. [`Services::start`] starts a client for them, and [`Host::run`] answers until it is asked to
//!   stop.
//! * [`Caller`] calls a service: once, until somebody answers, or again whenever the call is lost.
//! * A [`Call`] is what both get: `AsyncRead + AsyncWrite`, and who is at the other end. Its ends have accepted each other.
//!
//! ```
//! use std::io;
//! use std::sync::Arc;
//!
//! use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
//! use tokio::sync::oneshot;
//! use xtls_client::service::{Call, Caller, Offer, Services};
//! use xtls_client::stanza::Address;
//! use xtls_client::tls::{self, Identity, trust::Policy};
//! use xtls_client::{Accept, Client, Config, Pins, Relay, relay::Limits};
//! # use zeroize::Zeroizing;
//!
//! /// Answers one call. Whatever goes wrong with it ends this call, and no other.
//! async fn shout(mut call: Call) -> io::Result<()> {
//!     let mut heard = String::new();
//!     call.read_to_string(&mut heard).await?;
//!     call.write_all(heard.to_uppercase().as_bytes()).await?;
//!     call.shutdown().await
//! }
//!
//! # type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
//! # fn config(address: &Address, seed: u8, pins: &Pins) -> Result<Config> {
//! #     let identity = Identity::generate(address.bare(), &Zeroizing::new([seed; 32]), 1_767_225_600)?;
//! #     Ok(Config::new(tls::Config::with_defaults(identity)?, pins.store()).policy(Policy::Tofu))
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! # let relay = Relay::start(Limits::default());
//! # let romeo = Address::new("romeo@montague.example/orchard")?;
//! # let juliet = Address::new("juliet@capulet.example/balcony")?;
//! # let (pins, her_pins) = (Pins::memory(), Pins::memory());
//! # let (his_link, her_link) = (relay.attach(romeo.clone()).await?, relay.attach(juliet.clone()).await?);
//! # let (his_config, her_config) = (config(&romeo, 1, &pins)?, config(&juliet, 2, &her_pins)?);
//! // Juliet: who may call is up to the configuration, and to each offer.
//! let config = her_config.accept(Accept::Only([romeo.to_bare()].into()));
//! let services = Services::new().offer(Offer::new("shout", shout).at_most(8, 2));
//! let (_client, _incoming, host) = services.start(her_link, config, her_pins)?;
//! let (stop, stopped) = oneshot::channel::<()>();
//! let running = tokio::spawn(host.run(async { drop(stopped.await) }));
//!
//! // Romeo.
//! let (client, _incoming, _task) = Client::start(his_link, his_config, pins)?;
//! let mut call = Caller::new(&client, &juliet, "shout").call().await?;
//! assert_eq!(call.peer().address, juliet);
//! call.write_all(b"call me but love").await?;
//! call.shutdown().await?;
//! let mut answer = String::new();
//! call.read_to_string(&mut answer).await?;
//! assert_eq!(answer, "CALL ME BUT LOVE");
//! # drop(stop);
//! # running.await??;
//! # Ok(())
//! # }
//! ```
//!
//! Here nobody is asked about keys. Where the policy is [`Policy::Ask`](xtls_tls::trust::Policy::Ask), a caller without a pin
//! comes out at [`Incoming`](crate::Incoming), for its owner to answer, and is refused if that was dropped.

mod call;
mod caller;
mod host;
mod offer;

pub use call::Call;
pub use caller::{Caller, Retry};
pub use host::{Host, Outcome, Report, What};
pub use offer::{Failed, Offer, Services};
