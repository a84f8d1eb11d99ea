//! `xtls trust` and `xtls id`.

use std::io::Write as _;

use xtls_client::PinsError;
use xtls_client::tls::trust::{Level, MAX_ATTEMPTS, Method, Pin, PinError};
use xtls_client::tls::{Fingerprint, Identity};

use crate::account::{account, home};
use crate::args::{Account, Id, Trust, TrustPeer, TrustPin, TrustRevoke};
use crate::failure::{Code, Failure};
use crate::say::Say;
use crate::suggest::Suggest;
use crate::words;

/// Shows one's own address and key.
pub(crate) fn id(args: &Id, say: Say) -> Result<(), Failure> {
    let home = home(&args.account)?;
    let account = account(&args.account, &home)?;
    let identity = home.identity(&account)?;
    let fingerprint = identity.fingerprint();
    let uri = format!("xmpp:{}?xtls;fp={}", account.bare(), fingerprint.hex());
    let mut out = anstream::stdout().lock();
    let written = (|| {
        writeln!(out, "address      {}", account.bare())?;
        writeln!(out, "fingerprint  {fingerprint}")?;
        for (at, line) in words::of_fingerprint(&fingerprint).iter().enumerate() {
            writeln!(
                out,
                "{}{line}",
                if at == 0 {
                    "words        "
                } else {
                    "             "
                }
            )?;
        }
        writeln!(out, "uri          {uri}")?;
        if args.qr
            && let Ok(code) = qrcode::QrCode::new(&uri)
        {
            let image = code
                .render::<qrcode::render::unicode::Dense1x2>()
                .quiet_zone(true)
                .build();
            writeln!(out, "\n{image}")?;
        }
        out.flush()
    })();
    written.map_err(stdout_failed)?;
    say.event(
        "id",
        &[
            ("address", account.bare().into()),
            ("fingerprint", fingerprint.hex().into()),
            ("uri", uri.into()),
        ],
        format_args!("the key lives in {}", home.account(&account).display()),
    );
    Ok(())
}

pub(crate) fn trust(verb: &Trust, say: Say) -> Result<(), Failure> {
    match verb {
        Trust::List(account) => list(account, say),
        Trust::Show(args) => show(args, say),
        Trust::Pin(args) => pin(args, say),
        Trust::Forget(args) => forget(args, say),
        Trust::Revoke(args) => revoke(args, say),
    }
}

fn list(args: &Account, say: Say) -> Result<(), Failure> {
    let home = home(args)?;
    let account = account(args, &home)?;
    let store = home.pins(&account)?.store();
    let mut none = true;
    for (peer, pins) in store.list() {
        for pin in pins {
            none = false;
            print(peer, pin, say)?;
        }
    }
    if none {
        say.event(
            "empty",
            &[],
            format_args!("{} has pinned no key yet", account.bare()),
        );
    }
    Ok(())
}

fn show(args: &TrustPeer, say: Say) -> Result<(), Failure> {
    let home = home(&args.account)?;
    let account = account(&args.account, &home)?;
    let store = home.pins(&account)?.store();
    let pins = store.of(args.peer.bare());
    if pins.is_empty() {
        return Err(Failure::failed(format!(
            "no key is pinned for {}",
            args.peer
        )));
    }
    for pin in pins {
        print(args.peer.bare(), pin, say)?;
    }
    let failed = store.failed(args.peer.bare());
    if failed > 0 {
        say.warn(
            "failed_attempts",
            &[("peer", args.peer.bare().into()), ("failed", failed.into())],
            format_args!(
                "{failed} of {MAX_ATTEMPTS} attempts to verify them failed or were broken off within a day: \
                 somebody may be guessing"
            ),
        );
    }
    Ok(())
}

fn pin(args: &TrustPin, say: Say) -> Result<(), Failure> {
    let home = home(&args.account)?;
    let account = account(&args.account, &home)?;
    let key = fingerprint(&args.fingerprint)?;
    not_own(key, &home.identity(&account)?)?;
    let peer = args.peer.bare();
    let level = Level::Verified(Method::Fingerprint);
    let pinned = home.pins(&account)?.change(|store, now| {
        if args.another {
            store.pin_another(peer, key, level, now)
        } else {
            store.pin(peer, key, level, now)
        }
    });
    pinned.map_err(|error| not_pinned(error, &Suggest::new(&args.account), peer, key))?;
    say.event(
        "pinned",
        &[("peer", peer.into()), ("fingerprint", key.hex().into())],
        format_args!("{peer} is now known by {key}"),
    );
    Ok(())
}

/// What to do when the store refuses a key that the user has typed.
fn not_pinned(error: PinsError, suggest: &Suggest, peer: &str, key: Fingerprint) -> Failure {
    let hint = match &error {
        PinsError::Pin(PinError::KnownJid { .. }) => {
            let hex = key.hex();
            let lines = [
                suggest.line(&["trust", "forget"], &[peer]),
                suggest.line(&["trust", "pin", "--another"], &[peer, &hex]),
            ];
            Some(format!(
                "a pin is never overwritten: forget the old key first, or pin this one beside it as that of a second \
                 device:{}",
                Suggest::block(&lines)
            ))
        }
        PinsError::Pin(PinError::Revoked { .. }) => Some(
            "a revoked key stays refused for good, because somebody else may have it: they need a new one"
                .to_owned(),
        ),
        PinsError::Pin(PinError::KeyOfAnother { owner, .. }) => Some(format!(
            "a key belongs to one address only: what is known about it is shown by{}",
            Suggest::block(&[suggest.line(&["trust", "show"], &[owner])])
        )),
        PinsError::Pin(_)
        | PinsError::Damaged { .. }
        | PinsError::Vanished { .. }
        | PinsError::File { .. }
        | PinsError::Private(_)
        | _ => None,
    };
    let failure = Failure::from(error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn forget(args: &TrustPeer, say: Say) -> Result<(), Failure> {
    let home = home(&args.account)?;
    let account = account(&args.account, &home)?;
    let peer = args.peer.bare();
    let mut pins = home.pins(&account)?;
    if pins.store().of(peer).is_empty() {
        return Err(Failure::failed(format!("no key is pinned for {peer}")));
    }
    let dropped = pins.change(|store, _| Ok(store.forget(peer)))?;
    say.event(
        "forgotten",
        &[("peer", peer.into()), ("keys", dropped.into())],
        format_args!("{dropped} keys of {peer} are forgotten; revoked ones stay refused"),
    );
    Ok(())
}

fn revoke(args: &TrustRevoke, say: Say) -> Result<(), Failure> {
    let home = home(&args.account)?;
    let account = account(&args.account, &home)?;
    let peer = args.peer.bare();
    let mut pins = home.pins(&account)?;
    let keys: Vec<Fingerprint> = if args.fingerprint.is_empty() {
        let store = pins.store();
        let live = store.of(peer).iter();
        let live = live.filter(|pin| pin.level != Level::Revoked);
        live.map(|pin| pin.fingerprint).collect()
    } else {
        let key = fingerprint(&args.fingerprint)?;
        not_own(key, &home.identity(&account)?)?;
        vec![key]
    };
    if keys.is_empty() {
        return Err(Failure::failed(format!("no key is pinned for {peer}"))
            .hint("a key that was never met can be revoked by its fingerprint"));
    }
    // All of them or none.
    pins.change(|store, now| {
        keys.iter()
            .try_for_each(|key| store.revoke(peer, *key, now))
    })?;
    for key in keys {
        say.event(
            "revoked",
            &[("peer", peer.into()), ("fingerprint", key.hex().into())],
            format_args!("{key} of {peer} is revoked: whoever shows it is refused from now on, also after `trust forget`"),
        );
    }
    Ok(())
}

fn not_own(key: Fingerprint, own: &Identity) -> Result<(), Failure> {
    if own.fingerprint() != key {
        return Ok(());
    }
    let what = "this is the fingerprint of one's own key";
    Err(Failure::new(Code::Identity, what))
}

/// As `xtls id` prints it, in one argument or several.
fn fingerprint(words: &[String]) -> Result<Fingerprint, Failure> {
    Fingerprint::parse(&words.join(" "))
        .map_err(|error| Failure::usage(format!("the fingerprint: {error}")))
}

fn print(peer: &str, pin: &Pin, say: Say) -> Result<(), Failure> {
    say.data(
        "pin",
        &[
            ("peer", peer.into()),
            ("fingerprint", pin.fingerprint.hex().into()),
            ("level", pin.level.to_string().into()),
            ("first_seen", pin.first_seen.into()),
            ("since", pin.since.into()),
            ("last_seen", pin.last_seen.into()),
        ],
    );
    writeln!(anstream::stdout().lock(), "{peer}  {pin}").map_err(stdout_failed)
}

fn stdout_failed(error: std::io::Error) -> Failure {
    Failure::failed(format!("standard output: {error}"))
}
